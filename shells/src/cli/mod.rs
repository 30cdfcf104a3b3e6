//! The command line: kubectl's verbs for the cluster, and the daemons' flags.
//!
//! A verb is a file: its arguments, its requests, its printing. What they share is named after what it knows:
//! [`cluster`] asks the server, [`resource`] reads `pods`, `po/x` and `all`, [`manifest`] reads files, [`print`]
//! writes objects, [`error`] holds kubectl's words for what went wrong. All exit with 0 or 1, as kubectl does;
//! [`replay`] has another code for what cannot be replayed.

pub mod apply;
pub mod argv;
pub mod attach;
pub mod cluster;
pub mod create;
pub mod daemons;
pub mod decisions;
pub mod delete;
pub mod describe;
pub mod edit;
pub mod error;
pub mod exec;
pub mod get;
pub mod logs;
pub mod manifest;
pub mod port_forward;
pub mod print;
pub mod ps;
pub mod register;
pub mod replay;
pub mod resource;
pub mod scale;
pub mod sim;
pub mod streams;
pub mod tabular;
pub mod three_way;
pub mod update;
pub mod version;
pub mod yaml;

use crate::client::connection::ServerUrl;
use clap::{Args, Parser, Subcommand};
use cluster::Cluster;
use error::CliError;
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
    /// The API server
    #[arg(short, long, global = true, env = "MINIKU_SERVER", default_value = DEFAULT_SERVER, value_name = "URL")]
    #[arg(aliases = ["apiserver", "api-server", "api-server-url"])]
    pub server: ServerUrl,
    /// The namespace; `default` if none is given
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
}

/// Where `miniku up` listens.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

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
    /// Make objects what files say: create them, or change what differs
    #[command(after_help = apply::EXAMPLE)]
    Apply(apply::ApplyArgs),
    /// Replace objects by what files say
    #[command(visible_alias = "replace", after_help = update::EXAMPLE)]
    Update(update::UpdateArgs),
    /// Change an object in an editor
    #[command(after_help = edit::EXAMPLE)]
    Edit(edit::EditArgs),
    /// Delete objects, and wait until they are gone
    #[command(after_help = delete::EXAMPLE)]
    Delete(delete::DeleteArgs),
    /// Change how many pods are wished
    #[command(after_help = scale::EXAMPLE)]
    Scale(scale::ScaleArgs),
    /// Print what a container wrote
    #[command(after_help = logs::EXAMPLE)]
    Logs(logs::LogsArgs),
    /// Run a command in a container
    #[command(after_help = exec::EXAMPLE)]
    Exec(exec::ExecArgs),
    /// Follow the main process of a container, and type to it
    #[command(after_help = attach::EXAMPLE)]
    Attach(attach::AttachArgs),
    /// Make ports of a pod ports of this machine
    #[command(after_help = port_forward::EXAMPLE)]
    PortForward(port_forward::PortForwardArgs),
    /// List the containers of the cluster
    #[command(after_help = ps::EXAMPLE)]
    Ps(ps::PsArgs),
    /// Make a node known by hand
    #[command(after_help = register::EXAMPLE)]
    Register(register::RegisterArgs),
    /// Print the versions of client and server
    #[command(after_help = version::EXAMPLE)]
    Version(version::VersionArgs),
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
            return if usage.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    if let Command::Sim(args) = cli.command {
        return sim::main(args);
    }
    match run(cli) {
        Ok(()) | Err(CliError::OutputClosed) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            error.exit_code()
        }
    }
}

/// Does what a command line says.
pub fn run(cli: Cli) -> Result<(), CliError> {
    let Target { server, namespace } = cli.target;
    let mut session = Session { cluster: Cluster::new(server, namespace), out: BufWriter::new(std::io::stdout()) };
    let done = match cli.command {
        Command::Get(args) => get::run(&args, &mut session),
        Command::Describe(args) => describe::run(&args, &mut session),
        Command::Create(args) => create::run(&args, &mut session),
        Command::Apply(args) => apply::run(&args, &mut session),
        Command::Update(args) => update::run(&args, &mut session),
        Command::Edit(args) => edit::run(&args, &mut session),
        Command::Delete(args) => delete::run(&args, &mut session),
        Command::Scale(args) => scale::run(&args, &mut session),
        Command::Logs(args) => logs::run(&args, &mut session),
        Command::Exec(args) => exec::run(&args, &mut session),
        Command::Attach(args) => attach::run(&args, &mut session),
        Command::PortForward(args) => port_forward::run(&args, &mut session),
        Command::Ps(args) => ps::run(&args, &mut session),
        Command::Register(args) => register::run(&args, &mut session),
        Command::Version(args) => version::run(&args, &mut session),
        Command::Replay(args) => replay::run(&args, &mut session),
        Command::Decisions(args) => decisions::run(&args, &mut session),
        // It has exit codes of its own.
        Command::Sim(_) => unreachable!("main runs it"),
        Command::Daemon(daemon) => {
            drop(session);
            return daemons::run(daemon);
        }
    };
    // What was printed before an error is printed before its message.
    session.out.flush()?;
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_ends_with_an_example() {
        for verb in Cli::command().get_subcommands() {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let line = help.lines().last().unwrap_or_default();
            assert!(help.starts_with("Example") && line.contains("miniku "), "{}: {help:?}", verb.get_name());
        }
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
            assert_eq!(cli.target.server.to_string(), "http://x:1", "{line}");
        }
    }
}
