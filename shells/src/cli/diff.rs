//! `diff`: what `apply` would change, as the program `diff` shows it. It ends with 1 if anything differs.

use crate::cli::Session;
use crate::cli::cluster::{Parameters, name};
use crate::cli::error::CliError;
use crate::cli::manifest::{self, FileArgs};
use crate::cli::yaml;
use crate::client::wire::APPLY_PATCH;
use clap::Args;
use miniku_core::api::status::Reason;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// The end of `--help`.
pub const EXAMPLE: &str = "Example:\n  miniku diff -f web.yaml";

/// What to compare.
#[derive(Args, Debug)]
pub struct DiffArgs {
    /// Where the objects are.
    #[command(flatten)]
    pub files: FileArgs,
    /// As whom to wish
    #[arg(long, default_value = "miniku", value_name = "NAME")]
    pub field_manager: String,
}

/// Compares what is there with what would be, if the server made it so.
pub fn run(args: &DiffArgs, session: &mut Session) -> Result<(), CliError> {
    if args.files.filename.is_empty() {
        return Err(CliError::Usage("must specify one of -f".into()));
    }
    let place = Place::new()?;
    for manifest in manifest::read(&args.files, &session.cluster)? {
        let key = manifest.key();
        let live = session.cluster.find(&key)?;
        // Who else manages a field is no matter: nothing is written.
        let more: Parameters =
            vec![("fieldManager", args.field_manager.clone()), ("force", "true".into()), ("dryRun", "All".into())];
        let merged = match session.cluster.patch(&key, None, APPLY_PATCH, &manifest.object, more) {
            Err(error) if error.has_reason(Reason::NotFound) => {
                return Err(error.when(format!("comparing {:?}", manifest.source)));
            }
            merged => merged?,
        };
        let row = key.kind.row();
        let file = format!("{}.{}.{}.{}", row.api_version().replace('/', "."), row.name, key.namespace, name(&merged));
        if let Some(live) = live {
            place.write("LIVE", &file, live)?;
        }
        place.write("MERGED", &file, merged)?;
    }
    session.out.flush()?;
    let program = std::env::var("KUBECTL_EXTERNAL_DIFF").ok().filter(|program| !program.trim().is_empty());
    let program = program.unwrap_or_else(|| "diff -u -N -r".into());
    let status = Command::new("sh").arg("-c").arg(format!("{program} LIVE MERGED")).current_dir(&place.0).status();
    match status.map(|status| status.code().unwrap_or(2)) {
        Ok(0) => Ok(()),
        Ok(code) => Err(CliError::Told(u8::try_from(code).unwrap_or(2))),
        Err(source) => Err(CliError::Io { what: "run".into(), path: program.into(), source }),
    }
}

/// A directory of our own, gone afterwards.
struct Place(PathBuf);

impl Place {
    fn new() -> Result<Self, CliError> {
        let place = Place(std::env::temp_dir().join(format!("miniku-diff-{}", std::process::id())));
        // Never into a directory that somebody else made.
        for path in [place.0.clone(), place.0.join("LIVE"), place.0.join("MERGED")] {
            fs::create_dir(&path).map_err(|source| CliError::Io { what: "create".into(), path, source })?;
        }
        Ok(place)
    }

    fn write(&self, side: &str, file: &str, mut object: Value) -> Result<(), CliError> {
        // What every write changes is no difference.
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        let path = self.0.join(side).join(file);
        fs::write(&path, yaml::write(&object)?).map_err(|source| CliError::Io { what: "write".into(), path, source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Left behind it would only be litter.
        let _ = fs::remove_dir_all(&self.0);
    }
}
