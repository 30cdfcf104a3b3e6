//! `completion`: what a shell proposes when Tab is pressed.
//!
//! The scripts are short: they hand the words to `miniku __complete`, which knows the verbs and flags from the table of
//! the command line, and asks the server for kinds and names.

use crate::cli::cluster::Cluster;
use crate::cli::error::CliError;
use crate::cli::{Cli, Session};
use clap::{Arg, ArgAction, Args, Command, CommandFactory, Parser, ValueEnum};
use miniku_core::api::kinds::Kind;
use std::io::Write;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  source <(miniku completion bash)\n  miniku completion zsh > \"${fpath[1]}/_miniku\"\n  \
    miniku completion fish > ~/.config/fish/completions/miniku.fish";

/// For which shell.
#[derive(Args, Debug)]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// A shell that asks for proposals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// The words of a command line, the last of which is being typed.
#[derive(Args, Debug)]
pub struct CompleteArgs {
    /// The words, without the program's name
    #[arg(last = true)]
    pub words: Vec<String>,
}

/// Prints a script.
pub fn script(args: &CompletionArgs, session: &mut Session) -> Result<(), CliError> {
    let script = match args.shell {
        Shell::Bash => BASH,
        Shell::Zsh => ZSH,
        Shell::Fish => FISH,
    };
    Ok(session.out.write_all(script.as_bytes())?)
}

const BASH: &str = r#"# Completion of miniku for bash: source <(miniku completion bash)
_miniku() {
    local word words=()
    for word in "${COMP_WORDS[@]:1:COMP_CWORD}"; do
        # Bash takes = and : for words of their own.
        if ((${#words[@]})) && [[ $word == [=:] || ${words[-1]} == *[=:] ]]; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
    done
    local typed=${words[-1]}
    typed=${typed%"${typed##*[=:]}"}
    COMPREPLY=()
    while IFS=$'\t' read -r word _; do
        COMPREPLY+=("${word#"$typed"}")
    done < <("$1" __complete -- "${words[@]}" 2>/dev/null)
    if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *[/=] ]]; then
        compopt -o nospace
    fi
}
complete -o default -F _miniku miniku
"#;

const ZSH: &str = r#"#compdef miniku
# Completion of miniku for zsh: put it as _miniku into a directory of $fpath.
_miniku() {
    local line
    local -a found
    while IFS=$'\t' read -r line about; do
        found+=("${line//:/\\:}:$about")
    done < <("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
    if ((${#found})); then
        _describe miniku found
    else
        _files
    fi
}
if [ "$funcstack[1]" = _miniku ]; then
    _miniku "$@"
else
    compdef _miniku miniku
fi
"#;

const FISH: &str = r#"# Completion of miniku for fish: put it as miniku.fish into ~/.config/fish/completions.
function __miniku_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l found ($words[1] __complete -- $words[2..-1] 2>/dev/null)
    if set -q found[1]
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c miniku -f -a '(__miniku_complete)'
"#;

/// Who pressed Tab waits no longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Prints proposals, one a line, each with what it means behind a tab. An error proposes nothing.
pub fn complete(args: &CompleteArgs, session: &mut Session) -> Result<(), CliError> {
    let (tell, told) = mpsc::channel();
    let words = args.words.clone();
    // Whoever asks a server that does not answer is left behind, and ends with the process.
    thread::spawn(move || tell.send(proposals(&words, &asked)));
    for (word, about) in told.recv_timeout(PATIENCE).unwrap_or_default() {
        match about.is_empty() {
            true => writeln!(session.out, "{word}")?,
            false => writeln!(session.out, "{word}\t{about}")?,
        }
    }
    Ok(session.out.flush()?)
}

/// What a word may name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Named {
    /// Kinds.
    Kinds,
    /// Objects of a kind.
    Objects(String),
    /// Containers of a pod.
    Containers(String),
    Namespaces,
}

type Proposals = Vec<(String, String)>;

/// Asks the server that the words so far name.
fn asked(words: &[String], named: &Named) -> Vec<String> {
    let find = || -> Result<Vec<String>, CliError> {
        let cluster = cluster(words)?;
        Ok(match named {
            Named::Kinds => {
                let listed = cluster
                    .catalog()?
                    .0
                    .iter()
                    .filter(|one| one.verbs.is_empty() || one.verbs.iter().any(|verb| verb == "list"));
                let mut words: Vec<String> = Vec::new();
                for one in listed.filter(|one| !one.other_version).map(|one| one.kind.row().plural) {
                    // What pods use is told under their name, in a group of its own.
                    if !words.iter().any(|word| word == one) {
                        words.push(one.to_owned());
                    }
                }
                words
            }
            Named::Objects(kind) => cluster.names(cluster.kind(kind)?, &cluster.namespace)?,
            Named::Containers(pod) => {
                let pod = cluster.get(&cluster.key(Kind::Pod, pod.strip_prefix("pod/").unwrap_or(pod)))?;
                let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
                containers.map(|one| crate::cli::cluster::text(&one["name"])).collect()
            }
            Named::Namespaces => cluster.names(Kind::Namespace, "")?,
        })
    };
    // Nobody is there to be told.
    find().unwrap_or_default()
}

/// The server and the namespace that a command line names so far.
fn cluster(words: &[String]) -> Result<Cluster, CliError> {
    let mut line = vec!["miniku".to_owned()];
    let wanted = ["-s", "--server", "-n", "--namespace", "--token", "--token-file", "--kubeconfig", "--context"];
    let mut words = words[..words.len().saturating_sub(1)].iter();
    while let Some(word) = words.next() {
        let is = |flag: &&str| word == *flag || word.starts_with(&format!("{flag}="));
        if wanted.iter().any(is) {
            // What is still to be typed says nothing.
            match word.contains('=') {
                true => line.push(word.clone()),
                false => line.extend(words.next().into_iter().flat_map(|value| [word.clone(), value.clone()])),
            }
        }
    }
    line.push("api-versions".into());
    let cli = Cli::try_parse_from(line).map_err(|error| CliError::Plain(error.to_string()))?;
    let target = cli.target.server.target()?;
    let cluster = Cluster::new(target.server, cli.target.namespace.or(target.namespace));
    Ok(cluster.with_credentials(target.credentials))
}

/// What the last word may become. `ask` knows what the server knows.
fn proposals(words: &[String], ask: &dyn Fn(&[String], &Named) -> Vec<String>) -> Proposals {
    let Some((typed, before)) = words.split_last() else { return Vec::new() };
    let mut command = Cli::command();
    command.build();
    let (mut verbs, mut places, mut awaited, mut ended) = (Vec::new(), Vec::new(), None, false);
    for word in before {
        if awaited.take().is_some() {
            continue;
        }
        if ended || !word.starts_with('-') || word == "-" {
            match command.find_subcommand(word).filter(|_| places.is_empty() && !ended) {
                Some(verb) => {
                    let verb = verb.clone();
                    verbs.push(verb.get_name().to_owned());
                    command = verb;
                }
                None => places.push(word.clone()),
            }
        } else if word == "--" {
            ended = true;
        } else {
            awaited = flag(&command, word).filter(|arg| takes_a_word(arg) && !word.contains('=')).cloned();
        }
    }
    let verbs: Vec<&str> = verbs.iter().map(String::as_str).collect();
    let found: Proposals = if let Some(arg) = awaited {
        values(&arg, typed, &verbs, &places, words, ask)
    } else if ended {
        Vec::new()
    } else if typed.starts_with('-') {
        match typed.split_once('=') {
            Some((name, value)) => match flag(&command, name) {
                Some(arg) => {
                    let values = values(arg, value, &verbs, &places, words, ask);
                    values.into_iter().map(|(value, about)| (format!("{name}={value}"), about)).collect()
                }
                None => Vec::new(),
            },
            None => flags(&command),
        }
    } else if command.has_subcommands() && places.is_empty() {
        let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
        verbs.map(|verb| (verb.get_name().to_owned(), first_line(verb.get_about()))).collect()
    } else {
        positional(&command, typed, &verbs, &places, words, ask)
    };
    found.into_iter().filter(|(word, _)| word.starts_with(typed.as_str())).collect()
}

fn first_line(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(|text| text.to_string().lines().next().unwrap_or("").to_owned()).unwrap_or_default()
}

fn takes_a_word(arg: &Arg) -> bool {
    let takes = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    takes && !arg.is_require_equals_set()
}

fn flag<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let name = word.split('=').next().unwrap_or(word);
    command.get_arguments().find(|arg| match name.strip_prefix("--") {
        Some(long) => {
            arg.get_long() == Some(long) || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&long))
        }
        // Of several short flags in one word the last may take a value.
        None => arg.get_short().is_some() && arg.get_short() == name.chars().last(),
    })
}

fn flags(command: &Command) -> Proposals {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    shown.filter_map(|arg| Some((format!("--{}", arg.get_long()?), first_line(arg.get_help())))).collect()
}

/// The values of a flag.
fn values(
    arg: &Arg,
    typed: &str,
    verbs: &[&str],
    places: &[String],
    words: &[String],
    ask: &dyn Fn(&[String], &Named) -> Vec<String>,
) -> Proposals {
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        let shown = possible.iter().filter(|value| !value.is_hide_set());
        return shown.map(|value| (value.get_name().to_owned(), first_line(value.get_help()))).collect();
    }
    let plain = |words: Vec<String>| words.into_iter().map(|word| (word, String::new())).collect();
    let fixed = |words: &[&str]| plain(words.iter().map(|word| (*word).to_owned()).collect());
    match (arg.get_id().as_str(), verbs) {
        ("namespace", _) => plain(ask(words, &Named::Namespaces)),
        ("node", _) => plain(ask(words, &Named::Objects("nodes".into()))),
        ("container", _) => places.first().map_or(Vec::new(), |pod| plain(ask(words, &Named::Containers(pod.clone())))),
        ("output", ["get"]) => fixed(&["custom-columns=", "json", "jsonpath=", "name", "wide", "yaml"]),
        ("output", _) => fixed(&["json", "name", "yaml"]),
        ("wished", _) => fixed(&["condition=", "create", "delete", "jsonpath="]),
        ("strategy", _) => {
            fixed(&["least-allocated", "most-allocated", "random", "requested-to-capacity", "round-robin"])
        }
        ("about", _) => plain(objects("", typed, words, ask)),
        _ => Vec::new(),
    }
}

/// Which kinds a workload's verbs are about.
const WORKLOADS: &[&str] = &["daemonsets", "deployments", "statefulsets"];

fn positional(
    command: &Command,
    typed: &str,
    verbs: &[&str],
    places: &[String],
    words: &[String],
    ask: &dyn Fn(&[String], &Named) -> Vec<String>,
) -> Proposals {
    let plain = |words: Vec<String>| words.into_iter().map(|word| (word, String::new())).collect();
    let first = places.first().map_or("", String::as_str);
    let fixed = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    match verbs {
        ["get" | "describe" | "why" | "delete" | "edit" | "expose" | "label" | "annotate" | "patch" | "wait"] => {
            plain(objects(first, typed, words, ask))
        }
        ["scale"] if places.is_empty() && !typed.contains('/') => {
            plain(fixed(&["deployments", "replicasets", "replicationcontrollers", "statefulsets"]))
        }
        ["rollout", _] | ["set", _] if places.is_empty() && !typed.contains('/') => plain(fixed(WORKLOADS)),
        ["scale"] | ["rollout", _] | ["set", _] => plain(objects(first, typed, words, ask)),
        ["logs" | "attach" | "exec" | "port-forward" | "cp"] if places.is_empty() => plain(match typed.contains('/') {
            true => objects("", typed, words, ask),
            false => ask(words, &Named::Objects("pods".into())),
        }),
        ["logs"] => plain(ask(words, &Named::Containers(first.to_owned()))),
        ["cordon" | "uncordon" | "drain"] => plain(ask(words, &Named::Objects("nodes".into()))),
        ["taint"] if places.is_empty() => plain(fixed(&["nodes"])),
        ["taint"] => plain(ask(words, &Named::Objects("nodes".into()))),
        ["explain"] => plain(ask(words, &Named::Kinds)),
        ["auth", "can-i"] if places.is_empty() => {
            plain(fixed(&["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]))
        }
        ["auth", "can-i"] => plain(ask(words, &Named::Kinds)),
        ["create"] if places.is_empty() => {
            plain(crate::cli::create::MADE.iter().map(|kind| (*kind).to_owned()).collect())
        }
        ["decisions"] => plain(miniku_core::pages::pages().iter().map(|page| page.name.to_owned()).collect()),
        _ => {
            let arg = command.get_positionals().nth(places.len());
            arg.map_or(Vec::new(), |arg| values(arg, typed, verbs, places, words, ask))
        }
    }
}

/// Kinds, then names; or `kind/name`.
fn objects(first: &str, typed: &str, words: &[String], ask: &dyn Fn(&[String], &Named) -> Vec<String>) -> Vec<String> {
    if let Some((kind, _)) = typed.split_once('/') {
        let names = ask(words, &Named::Objects(kind.to_owned()));
        return names.into_iter().map(|name| format!("{kind}/{name}")).collect();
    }
    match first {
        "" => {
            // After a comma another kind may follow.
            let before = typed.rfind(',').map_or("", |at| &typed[..=at]);
            ask(words, &Named::Kinds).into_iter().map(|kind| format!("{before}{kind}")).collect()
        }
        first if first.contains('/') => ask(words, &Named::Kinds).into_iter().map(|kind| format!("{kind}/")).collect(),
        first => ask(words, &Named::Objects(first.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, want: &[&str]) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let ask = |_: &[String], named: &Named| {
            let words: &[&str] = match named {
                Named::Kinds => &["nodes", "pods", "podtemplates", "crontabs"],
                Named::Objects(kind) if kind == "pods" || kind == "pod" => &["web-1", "web-2", "db"],
                Named::Objects(kind) if kind == "nodes" => &["node-1"],
                Named::Objects(_) => &[],
                Named::Containers(pod) if pod == "web-1" => &["main", "sidecar"],
                Named::Containers(_) => &[],
                Named::Namespaces => &["default", "kube-system"],
            };
            words.iter().map(|word| (*word).to_owned()).collect()
        };
        let got: Vec<String> = proposals(&words, &ask).into_iter().map(|(word, _)| word).collect();
        assert_eq!(got, want, "{line}");
    }

    #[test]
    fn words_are_completed() {
        check("ge", &["get"]);
        check("-n x ro", &["rollout"]);
        check("rollout r", &["restart", "resume"]);
        check("get po", &["pods", "podtemplates"]);
        check("get pods,no", &["pods,nodes"]);
        check("get cron", &["crontabs"]);
        check("get pods we", &["web-1", "web-2"]);
        check("get pods web-1 d", &["db"]);
        check("get pod/we", &["pod/web-1", "pod/web-2"]);
        check("get pods -n kube", &["kube-system"]);
        check("get pods --namespace=kube", &["--namespace=kube-system"]);
        check("get pods -o js", &["json", "jsonpath="]);
        check("get --sort", &["--sort-by"]);
        check("logs web-1 -c s", &["sidecar"]);
        check("logs -f w", &["web-1", "web-2"]);
        check("cordon n", &["node-1"]);
        check("delete pod web-1 --cascade=f", &["--cascade=foreground"]);
        check("exec web-1 -- get", &[]);
        check("completion z", &["zsh"]);
        check("create dep", &["deployment"]);
        check("expose pod d", &["db"]);
        check("decisions container_a", &["container_action"]);
        check("up --runtime f", &["fake"]);
        check("__comp", &[]);
        check("no-such-verb x", &[]);
        check(
            "",
            &Cli::command()
                .get_subcommands()
                .filter(|verb| !verb.is_hide_set())
                .map(Command::get_name)
                .collect::<Vec<_>>(),
        );
    }

    #[test]
    fn proposals_say_what_they_mean() {
        let words = ["drai".to_owned()];
        let got = proposals(&words, &|_, _| Vec::new());
        assert_eq!(got, [("drain".to_owned(), "Move the pods away from nodes".to_owned())]);
    }
}
