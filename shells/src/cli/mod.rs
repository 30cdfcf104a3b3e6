//! The command line: kubectl's verbs for the cluster, and the daemons' flags.
//!
//! A verb is a file: its arguments, its requests, its printing. What they share is named after what it knows:
//! [`target`] says which server is asked and by whom, [`cluster`] asks it, [`catalog`] knows its kinds, [`resource`] reads
//! `pods`, `po/x` and `all`, [`select`] finds what is meant, [`manifest`] reads files, [`print`] writes objects, [`paint`]
//! colours them, [`error`] holds kubectl's words for what went wrong, and [`similar`] guesses what was meant. All exit with 0 or 1, as kubectl does;
//! [`replay`] has another code for what cannot be replayed.

pub mod api_resources;
pub mod apply;
pub mod argv;
pub mod attach;
pub mod auth;
pub mod autoscale;
pub mod catalog;
pub mod cluster;
pub mod completion;
pub mod cordon;
pub mod cp;
pub mod create;
pub mod daemons;
pub mod decisions;
pub mod delete;
pub mod describe;
pub mod diff;
pub mod drain;
pub mod edit;
pub mod error;
pub mod events;
pub mod exec;
pub mod explain;
pub mod expose;
pub mod get;
pub mod label;
pub mod logs;
pub mod manifest;
pub mod paint;
pub mod patch;
pub mod port_forward;
pub mod print;
pub mod ps;
pub mod register;
pub mod replay;
pub mod resource;
pub mod rollout;
pub mod run;
pub mod scale;
pub mod select;
pub mod set;
pub mod sim;
pub mod similar;
pub mod streams;
pub mod tabular;
pub mod taint;
pub mod tar;
pub mod target;
pub mod template;
pub mod three_way;
pub mod top;
pub mod update;
pub mod version;
pub mod wait;
pub mod why;
pub mod yaml;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand};
use cluster::Cluster;
use error::CliError;
use miniku_core::api::kinds::Kind;
use std::io::{BufWriter, Stdout, Write};
use std::process::ExitCode;

/// A small Kubernetes: read it, run it, simulate it.
#[derive(Debug, Parser)]
#[command(name = "miniku", version, disable_help_subcommand = true, subcommand_required = true)]
#[command(after_help = "Example:\n  sudo miniku up &\n  miniku get pods -A")]
pub struct Cli {
    /// Where, and in which namespace.
    #[command(flatten)]
    pub target: Target,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where a command goes to. Every verb takes these, before or after its name.
#[derive(Args, Clone, Debug)]
pub struct Target {
    /// Which server, and who asks.
    #[command(flatten)]
    pub server: target::ServerArgs,
    /// The namespace; the kubeconfig's or `default` if none is given
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, and it lives as long as the program")]
pub enum Command {
    /// Show objects as a table, JSON or YAML, and watch them change
    #[command(after_help = get::EXAMPLE)]
    Get(get::GetArgs),
    /// Show everything about objects, with their events
    #[command(after_help = describe::EXAMPLE)]
    Describe(describe::DescribeArgs),
    /// Create objects from files, or a pod, replica set or namespace from flags
    #[command(after_help = create::EXAMPLE)]
    Create(create::CreateArgs),
    /// Run a pod
    #[command(after_help = run::EXAMPLE)]
    Run(run::RunArgs),
    /// Make objects what files say: create them, or change what differs
    #[command(after_help = apply::EXAMPLE)]
    Apply(apply::ApplyArgs),
    /// Show what apply would change
    #[command(after_help = diff::EXAMPLE)]
    Diff(diff::DiffArgs),
    /// Replace objects by what files say
    #[command(visible_alias = "replace", after_help = update::EXAMPLE)]
    Update(update::UpdateArgs),
    /// Change an object in an editor
    #[command(after_help = edit::EXAMPLE)]
    Edit(edit::EditArgs),
    /// Change fields of objects as a patch says
    #[command(after_help = patch::EXAMPLE)]
    Patch(patch::PatchArgs),
    /// Set and remove labels of objects
    #[command(after_help = label::LABEL_EXAMPLE)]
    Label(label::LabelArgs),
    /// Set and remove annotations of objects
    #[command(after_help = label::ANNOTATE_EXAMPLE)]
    Annotate(label::LabelArgs),
    /// Make a service for the pods of something
    #[command(after_help = expose::EXAMPLE)]
    Expose(expose::ExposeArgs),
    /// Change what containers run from
    #[command(after_help = set::EXAMPLE)]
    Set(set::SetArgs),
    /// Follow changes of workloads, and take them back
    #[command(after_help = rollout::EXAMPLE)]
    Rollout(rollout::RolloutArgs),
    /// Wait until objects are as they are wished
    #[command(after_help = wait::EXAMPLE)]
    Wait(wait::WaitArgs),
    /// Give nodes no further pods
    #[command(after_help = cordon::CORDON_EXAMPLE)]
    Cordon(cordon::CordonArgs),
    /// Give nodes pods again
    #[command(after_help = cordon::UNCORDON_EXAMPLE)]
    Uncordon(cordon::CordonArgs),
    /// Move the pods away from nodes
    #[command(after_help = drain::EXAMPLE)]
    Drain(drain::DrainArgs),
    /// Keep pods from nodes, or drive them away
    #[command(after_help = taint::EXAMPLE)]
    Taint(taint::TaintArgs),
    /// Delete objects, and wait until they are gone
    #[command(after_help = delete::EXAMPLE)]
    Delete(delete::DeleteArgs),
    /// Change how many pods are wished
    #[command(after_help = scale::EXAMPLE)]
    Scale(scale::ScaleArgs),
    /// Let the number of pods follow what they do
    #[command(after_help = autoscale::EXAMPLE)]
    Autoscale(autoscale::AutoscaleArgs),
    /// Show what nodes and pods use
    #[command(after_help = top::EXAMPLE)]
    Top(top::TopArgs),
    /// Print what a container wrote
    #[command(after_help = logs::EXAMPLE)]
    Logs(logs::LogsArgs),
    /// Run a command in a container
    #[command(after_help = exec::EXAMPLE)]
    Exec(exec::ExecArgs),
    /// Follow the main process of a container, and type to it
    #[command(after_help = attach::EXAMPLE)]
    Attach(attach::AttachArgs),
    /// Copy files to and from containers
    #[command(after_help = cp::EXAMPLE)]
    Cp(cp::CpArgs),
    /// Make ports of a pod ports of this machine
    #[command(after_help = port_forward::EXAMPLE)]
    PortForward(port_forward::PortForwardArgs),
    /// Show what happened
    #[command(after_help = events::EXAMPLE)]
    Events(events::EventsArgs),
    /// Describe the fields of a kind
    #[command(after_help = explain::EXAMPLE)]
    Explain(explain::ExplainArgs),
    /// List the kinds that the server has
    #[command(after_help = api_resources::RESOURCES_EXAMPLE)]
    ApiResources(api_resources::ResourcesArgs),
    /// List the versions of the API that the server has
    #[command(after_help = api_resources::VERSIONS_EXAMPLE)]
    ApiVersions,
    /// Ask who one is, and what one may do
    #[command(after_help = auth::EXAMPLE)]
    Auth(auth::AuthArgs),
    /// List the containers of the cluster
    #[command(after_help = ps::EXAMPLE)]
    Ps(ps::PsArgs),
    /// Make a node known by hand
    #[command(after_help = register::EXAMPLE)]
    Register(register::RegisterArgs),
    /// Print what makes a shell complete words
    #[command(after_help = completion::EXAMPLE)]
    Completion(completion::CompletionArgs),
    /// What the scripts of `completion` ask
    #[command(name = "__complete", hide = true, after_help = "Example:\n  miniku __complete -- get po")]
    Complete(completion::CompleteArgs),
    /// Print the versions of client and server
    #[command(after_help = version::EXAMPLE)]
    Version(version::VersionArgs),
    /// Tell which decisions led to an object, or where pods would go
    #[command(after_help = why::EXAMPLE)]
    Why(why::WhyArgs),
    /// Do again what daemons with --record did, and compare
    ///
    /// It ends with 0 if everything came out as it was recorded, with 1 if something did not, and with 2 if a recording
    /// is damaged.
    #[command(after_help = replay::EXAMPLE)]
    Replay(replay::ReplayArgs),
    /// Print what miniku decides, when and why
    #[command(after_help = decisions::EXAMPLE)]
    Decisions(decisions::DecisionsArgs),
    /// Simulate clusters: run them, hurt them, judge them, draw them
    #[command(after_help = sim::EXAMPLE)]
    Sim(sim::SimArgs),
    /// The daemons.
    #[command(flatten)]
    Daemon(daemons::Daemon),
}

/// One command's cluster and output.
pub struct Session {
    /// Whom it asks.
    pub cluster: Cluster,
    /// Where it prints. Errors and warnings go to standard error.
    pub out: BufWriter<Stdout>,
}

/// The program: reads the command line, does it, prints what went wrong.
pub fn main() -> ExitCode {
    let argv = argv::with_two_dashes(std::env::args_os().map(|word| word.to_string_lossy().into_owned()));
    let cli = match Cli::try_parse_from(argv) {
        Ok(cli) => cli,
        Err(usage) => {
            // Whether anybody reads it cannot be helped here.
            let _ = usage.print();
            if let Some(hint) = meant_verb(&usage) {
                eprintln!("{hint}");
            }
            return if usage.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    if let Command::Sim(args) = cli.command {
        return sim::main(args);
    }
    match run(cli) {
        Ok(()) | Err(CliError::OutputClosed) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            error.exit_code()
        }
    }
}

/// Does what a command line says.
pub fn run(cli: Cli) -> Result<(), CliError> {
    let command = match cli.command {
        Command::Daemon(daemon) => return daemons::run(daemon),
        command => command,
    };
    let alone = matches!(
        command,
        Command::Completion(_) | Command::Complete(_) | Command::Decisions(_) | Command::Replay(_) | Command::Sim(_)
    );
    // What asks nobody does not mind a file that is missing.
    let server = if alone { target::ServerArgs::default() } else { cli.target.server };
    let target = server.target()?;
    let cluster = Cluster::new(target.server, cli.target.namespace.or(target.namespace));
    let cluster = cluster.with_credentials(target.credentials);
    let mut session = Session { cluster, out: BufWriter::new(std::io::stdout()) };
    let done = match command {
        Command::Get(args) => get::run(&args, &mut session),
        Command::Describe(args) => describe::run(&args, &mut session),
        Command::Create(args) => create::run(&args, &mut session),
        Command::Run(args) => run::run(&args, &mut session),
        Command::Apply(args) => apply::run(&args, &mut session),
        Command::Diff(args) => diff::run(&args, &mut session),
        Command::Update(args) => update::run(&args, &mut session),
        Command::Edit(args) => edit::run(&args, &mut session),
        Command::Patch(args) => patch::run(&args, &mut session),
        Command::Label(args) => label::run(&args, label::Written::Labels, &mut session),
        Command::Annotate(args) => label::run(&args, label::Written::Annotations, &mut session),
        Command::Expose(args) => expose::run(&args, &mut session),
        Command::Set(args) => set::run(&args, &mut session),
        Command::Rollout(args) => rollout::run(&args, &mut session),
        Command::Wait(args) => wait::run(&args, &mut session),
        Command::Cordon(args) => cordon::run(&args, true, &mut session),
        Command::Uncordon(args) => cordon::run(&args, false, &mut session),
        Command::Drain(args) => drain::run(&args, &mut session),
        Command::Taint(args) => taint::run(&args, &mut session),
        Command::Delete(args) => delete::run(&args, &mut session),
        Command::Scale(args) => scale::run(&args, &mut session),
        Command::Autoscale(args) => autoscale::run(&args, &mut session),
        Command::Top(args) => top::run(&args, &mut session),
        Command::Logs(args) => logs::run(&args, &mut session),
        Command::Exec(args) => exec::run(&args, &mut session),
        Command::Attach(args) => attach::run(&args, &mut session),
        Command::Cp(args) => cp::run(&args, &mut session),
        Command::PortForward(args) => port_forward::run(&args, &mut session),
        Command::Events(args) => events::run(&args, &mut session),
        Command::Explain(args) => explain::run(&args, &mut session),
        Command::ApiResources(args) => api_resources::resources(&args, &mut session),
        Command::ApiVersions => api_resources::versions(&mut session),
        Command::Auth(args) => auth::run(&args, &mut session),
        Command::Ps(args) => ps::run(&args, &mut session),
        Command::Register(args) => register::run(&args, &mut session),
        Command::Completion(args) => completion::script(&args, &mut session),
        Command::Complete(args) => completion::complete(&args, &mut session),
        Command::Version(args) => version::run(&args, &mut session),
        Command::Why(args) => why::run(&args, &mut session),
        Command::Replay(args) => replay::run(&args, &mut session),
        Command::Decisions(args) => decisions::run(&args, &mut session),
        // It has exit codes of its own.
        Command::Sim(_) => unreachable!("main runs it"),
        Command::Daemon(_) => unreachable!("it was run before"),
    };
    // What was printed before an error is printed before its message.
    session.out.flush()?;
    if let Err(error) = &done {
        // The message comes first, however long it takes to find out.
        if let Some(hint) = meant(error, &session.cluster) {
            complain(error);
            eprintln!("{hint}");
            return Err(CliError::Told(error.exit_status()));
        }
    }
    done
}

/// Says on standard error what went wrong.
fn complain(error: &CliError) {
    let text = error.to_string();
    if text.is_empty() {
        return;
    }
    // `Error from server (NotFound):`, `error:`.
    let head =
        if text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("error")) { text.find(':') } else { None };
    let (head, rest) = text.split_at(head.map_or(0, |at| at + 1));
    eprintln!("{}{rest}", if head.is_empty() { head.into() } else { paint::error(head) });
}

/// Which verb may be meant, where clap has no idea: it looks for likeness, and not for slips of the fingers.
fn meant_verb(usage: &clap::Error) -> Option<String> {
    if usage.kind() != ErrorKind::InvalidSubcommand || usage.get(ContextKind::SuggestedSubcommand).is_some() {
        return None;
    }
    let Some(ContextValue::String(word)) = usage.get(ContextKind::InvalidSubcommand) else { return None };
    let cli = Cli::command();
    let verbs = cli.get_subcommands().filter(|verb| !verb.is_hide_set()).map(clap::Command::get_name);
    similar::nearest(word, verbs).map(|verb| similar::hint(Some(verb)))
}

/// Which object may be meant, where the server knows none of a name.
fn meant(error: &CliError, cluster: &Cluster) -> Option<String> {
    let CliError::Server { status, .. } = error else { return None };
    let details = status.details.as_ref().filter(|details| error.is_not_found() && !details.name.is_empty())?;
    let resource = match details.group.as_str() {
        "" => details.kind.clone(),
        group => format!("{}.{group}", details.kind),
    };
    // It is a courtesy: if it cannot be found out, nothing is said.
    let kind = Kind::of_resource(&resource).map_or_else(|| cluster.kind(&resource), Ok).ok()?;
    let names = cluster.names(kind, &cluster.namespace).ok()?;
    let nearest = similar::nearest(&details.name, names.iter().map(String::as_str))?;
    Some(similar::hint(Some(nearest)).trim_start().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_ends_with_an_example() {
        fn check(verb: &clap::Command) {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let line = help.lines().last().unwrap_or_default();
            assert!(help.starts_with("Example") && line.contains("miniku "), "{}: {help:?}", verb.get_name());
            verb.get_subcommands().for_each(check);
        }
        Cli::command().get_subcommands().for_each(check);
    }

    #[test]
    fn the_server_may_be_named_before_or_after_the_verb() {
        for line in [
            "miniku -s http://x:1 get pods",
            "miniku get pods --server=http://x:1",
            "miniku --apiserver http://x:1 get pods",
            "miniku get pods --api-server http://x:1",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(cli.target.server.target().unwrap().server.to_string(), "http://x:1", "{line}");
        }
    }
}
