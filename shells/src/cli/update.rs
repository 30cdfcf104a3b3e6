//! `update`: objects are replaced by what files say. Minik8s' verb; kubectl's `replace`.

use crate::cli::Session;
use crate::cli::cluster::text;
use crate::cli::error::CliError;
use crate::cli::manifest::{self, FileArgs};
use crate::cli::print::{self, Format};
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku update -f pod.yaml\n  miniku update pod ./pod.yaml";

/// What to replace.
#[derive(Args, Debug)]
pub struct UpdateArgs {
    /// A kind and a file with objects of it
    #[arg(value_name = "KIND FILE", num_args = 0..=2)]
    pub what: Vec<String>,
    /// Where the objects are.
    #[command(flatten)]
    pub files: FileArgs,
    /// json, yaml, wide or name; a line if absent
    #[arg(short, long, default_value = "table", hide_default_value = true, value_name = "FORMAT")]
    pub output: Format,
}

/// Replaces objects.
pub fn run(args: &UpdateArgs, session: &mut Session) -> Result<(), CliError> {
    let mut files = args.files.clone();
    let only = match args.what.as_slice() {
        [] => None,
        [kind] => Some(session.cluster.kind(kind)?),
        [kind, file, ..] => {
            files.filename.push(PathBuf::from(file));
            Some(session.cluster.kind(kind)?)
        }
    };
    if files.filename.is_empty() {
        return Err(CliError::Usage("must specify one of -f".into()));
    }
    let mut errors = Vec::new();
    for mut manifest in manifest::read(&files, &session.cluster)? {
        if only.is_some_and(|only| only != manifest.kind) {
            let name = manifest.kind.row().name;
            errors.push(CliError::Usage(format!("{}: it holds a {name}", manifest.source)));
            continue;
        }
        let key = manifest.key();
        let replaced = session.cluster.get(&key).and_then(|live| {
            // Without one, whatever is there is replaced: that is what was asked for.
            if text(&manifest.object["metadata"]["resourceVersion"]).is_empty() {
                manifest.object["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
            }
            session.cluster.replace(&key, &manifest.object, false)
        });
        match replaced {
            Ok(object) => print::outcome(&mut session.out, &args.output, manifest.kind, object, "replaced")?,
            Err(error) => errors.push(error.when(format!("replacing {:?}", manifest.source))),
        }
    }
    session.out.flush()?;
    CliError::all(errors)
}
