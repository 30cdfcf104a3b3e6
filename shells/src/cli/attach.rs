//! `attach`: what a container's main process writes from now on, and what it reads.

use crate::cli::Session;
use crate::cli::error::CliError;
use crate::cli::logs::pod;
use crate::cli::streams::{self, Wish};
use clap::Args;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku attach web-1\n  miniku attach -it shell -c main";

/// To whom.
#[derive(Args, Debug)]
pub struct AttachArgs {
    /// POD, pod/POD or TYPE/NAME
    #[arg(value_name = "POD")]
    pub pod: String,
    /// Which container; the first if none is named
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// Pass standard input on, if the container was made with one
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// Use the container's terminal, if it was made with one
    #[arg(short, long)]
    pub tty: bool,
}

/// Follows a container until it ends.
pub fn run(args: &AttachArgs, session: &mut Session) -> Result<(), CliError> {
    let pod = pod(&args.pod, session)?;
    streams::not_completed(&pod, "attach")?;
    let name = streams::container(&pod, args.container.as_deref());
    let containers = pod["spec"]["containers"].as_array().map_or(&[][..], Vec::as_slice);
    let has = |field: &str| containers.iter().any(|one| one["name"] == name.as_str() && one[field] == true);
    let wish = Wish { stdin: args.stdin && has("stdin"), tty: args.tty && has("tty") && streams::is_terminal() };
    if args.tty && !has("tty") {
        eprintln!("error: Unable to use a TTY - container {name} did not allocate one");
    }
    let target = streams::target(session, &pod, "attach", Some(&name), &wish, Vec::new());
    streams::run(session, &target, &wish).map(drop)
}
