//! `run`: one pod from flags, and what it writes if that is wished.

use crate::cli::Session;
use crate::cli::create::{self, CreateArgs, DryArgs};
use crate::cli::error::CliError;
use crate::cli::print::Format;
use clap::Args;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku run web --image=busybox -- sh -c 'while true; do sleep 1; done'\n  \
    miniku run once --image=busybox --restart=Never -- echo hello";

/// What to run.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The pod's name
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What the container runs from
    #[arg(long, required = true)]
    pub image: String,
    /// Labels: a=b,c=d
    #[arg(short, long, value_name = "LABELS")]
    pub labels: Option<String>,
    /// An environment variable of the container; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// When ended containers are started again
    #[arg(long, value_name = "POLICY", value_parser = ["Always", "OnFailure", "Never"])]
    pub restart: Option<String>,
    /// json, yaml, wide or name; a line if absent
    #[arg(short, long, default_value = "table", hide_default_value = true, value_name = "FORMAT")]
    pub output: Format,
    /// How the writing is done.
    #[command(flatten)]
    pub dry: DryArgs,
    /// What the container runs instead of its image's command
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Makes the pod.
pub fn run(args: &RunArgs, session: &mut Session) -> Result<(), CliError> {
    // kubectl labels what it runs.
    let labels = args.labels.clone().unwrap_or_else(|| format!("run={}", args.name));
    let create = CreateArgs {
        what: vec!["pod".into(), args.name.clone()],
        image: Some(args.image.clone()),
        labels: Some(labels),
        env: args.env.clone(),
        restart: args.restart.clone(),
        output: args.output.clone(),
        dry: args.dry,
        command: args.command.clone(),
        ..CreateArgs::default()
    };
    create::run(&create, session)
}
