//! `exec`: a command in a running container, as if it ran here.

use crate::cli::Session;
use crate::cli::cluster::Parameters;
use crate::cli::error::CliError;
use crate::cli::logs::pod;
use crate::cli::streams::{self, Wish};
use clap::Args;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku exec web-1 -- ls /\n  tar cf - . | miniku exec -i web-1 -- tar xf - -C /tmp\n  \
    miniku exec -it web-1 -c sidecar -- sh";

/// Where, and what.
#[derive(Args, Debug)]
pub struct ExecArgs {
    /// POD, pod/POD or TYPE/NAME
    #[arg(value_name = "POD")]
    pub pod: String,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
    /// Which container; the first if none is named
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// Pass standard input on
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    pub tty: bool,
}

/// Runs a command in a container; ends as it ends.
pub fn run(args: &ExecArgs, session: &mut Session) -> Result<(), CliError> {
    let pod = pod(&args.pod, session)?;
    streams::not_completed(&pod, "exec into")?;
    let wish = Wish { stdin: args.stdin, tty: args.tty && streams::is_terminal() };
    if args.tty && !wish.tty {
        eprintln!("Unable to use a TTY - input is not a terminal");
    }
    let command: Parameters = args.command.iter().map(|word| ("command", word.clone())).collect();
    let target = streams::target(session, &pod, "exec", args.container.as_deref(), &wish, command);
    match streams::run(session, &target, &wish)? {
        0 => Ok(()),
        code => Err(CliError::Ended(code)),
    }
}
