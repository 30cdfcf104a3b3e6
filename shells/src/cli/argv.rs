//! What people's fingers know: Go's single-dash long flags, made into what clap understands.

/// The subcommands that run daemons. Only they take Go's form: for the others `-name` is `-n ame`, as for kubectl.
const DAEMONS: &[&str] = &["up", "down", "apiserver", "scheduler", "controller", "kubelet"];

/// The flags that the programs before miniku took with one dash.
///
/// Source: Go's package flag, which takes `-flag value`, `-flag=value` and the same with two dashes.
const FLAGS: &[&str] = &[
    "address",
    "api-server",
    "api-server-url",
    "apiserver",
    "data-dir",
    "db",
    "eviction-timeout",
    "interval",
    "name",
    "node-name",
    "nodes",
    "port",
    "root-dir",
    "runtime",
    "scheduling-rate",
    "server",
    "store",
    "strategy",
    "sync-interval",
];

/// The command line with `-port 8080` made `--port 8080`, for daemons. The first word is the program's name.
pub fn with_two_dashes(argv: impl IntoIterator<Item = String>) -> Vec<String> {
    let argv: Vec<String> = argv.into_iter().collect();
    if !argv.iter().skip(1).any(|word| DAEMONS.contains(&word.as_str())) || is_client_verb(&argv) {
        return argv;
    }
    let mut ended = false;
    let rewrite = |word: String| {
        ended |= word == "--";
        let flag = word.strip_prefix('-').map(|rest| rest.split('=').next().unwrap_or(rest));
        let known = flag.is_some_and(|flag| FLAGS.contains(&flag));
        if known && !ended { format!("-{word}") } else { word }
    };
    argv.into_iter().map(rewrite).collect()
}

/// Whether the first word that is no flag, nor may be a flag's value, is not a daemon.
fn is_client_verb(argv: &[String]) -> bool {
    let mut words = argv.iter().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            // The global flags that take a value as a word of its own.
            "-s" | "-n" | "--server" | "--namespace" | "--apiserver" | "--api-server" | "--api-server-url"
            | "-apiserver" | "-api-server" | "-api-server-url" | "-server" => {
                words.next();
            }
            flag if flag.starts_with('-') => {}
            verb => return !DAEMONS.contains(&verb),
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daemons_take_one_dash() {
        let check = |line: &str, want: &str| {
            let got = with_two_dashes(line.split(' ').map(str::to_owned));
            assert_eq!(got.join(" "), want);
        };
        check("m apiserver -port 8080 -db x.db", "m apiserver --port 8080 --db x.db");
        check("m kubelet -name=n1 -api-server http://a", "m kubelet --name=n1 --api-server http://a");
        check("m kubelet --name n1 -root-dir d", "m kubelet --name n1 --root-dir d");
        check("m kubelet -sync-interval 10s -interval 5s", "m kubelet --sync-interval 10s --interval 5s");
        check("m -apiserver http://a scheduler", "m --apiserver http://a scheduler");
        check("m scheduler -s http://a -nx", "m scheduler -s http://a -nx");
        check("m kubelet -- -name", "m kubelet -- -name");
        check("m get pods -name", "m get pods -name");
        check("m -n up get pods -name up", "m -n up get pods -name up");
        check("m", "m");
    }
}
