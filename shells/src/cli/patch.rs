//! `patch`: fields of an object, changed as a patch says.

use crate::cli::Session;
use crate::cli::cluster::Parameters;
use crate::cli::create::{Dry, DryArgs};
use crate::cli::error::CliError;
use crate::cli::print::{self, Format};
use crate::cli::{resource, yaml};
use crate::client::wire;
use clap::{Args, ValueEnum};
use miniku_core::api::kinds::Kind;
use std::io::Read;
use std::path::PathBuf;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku patch node node-1 -p '{\"spec\":{\"unschedulable\":true}}'\n  \
    miniku patch rs/web --type=json -p '[{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":3}]'\n  \
    miniku patch pod web-1 --patch-file change.yaml";

/// What to change, and how.
#[derive(Args, Debug)]
pub struct PatchArgs {
    /// TYPE NAME..., or TYPE/NAME...
    #[arg(required = true, value_name = "WHAT")]
    pub what: Vec<String>,
    /// The patch, as JSON or YAML
    #[arg(short, long, required_unless_present = "patch_file", value_name = "PATCH")]
    pub patch: Option<String>,
    /// A file with the patch; - for standard input
    #[arg(long, conflicts_with = "patch", value_name = "FILE")]
    pub patch_file: Option<PathBuf>,
    /// How the patch is meant; custom kinds know no strategic ones
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    pub kind: Option<Type>,
    /// A part of the object instead: status or scale
    #[arg(long, value_name = "PART")]
    pub subresource: Option<String>,
    /// json, yaml, wide or name; a line if absent
    #[arg(short, long, default_value = "table", hide_default_value = true, value_name = "FORMAT")]
    pub output: Format,
    /// How the writing is done.
    #[command(flatten)]
    pub dry: DryArgs,
}

/// How a patch is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Type {
    /// Items of lists are matched by their keys
    Strategic,
    /// Lists are replaced, null removes. RFC 7386
    Merge,
    /// A list of operations. RFC 6902
    Json,
}

/// Patches objects.
pub fn run(args: &PatchArgs, session: &mut Session) -> Result<(), CliError> {
    let (text, source) = match (&args.patch, &args.patch_file) {
        (Some(text), _) => (text.clone(), "the patch".to_owned()),
        (None, Some(file)) if file.as_os_str() == "-" => {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(|source| CliError::Io { what: "read".into(), path: "standard input".into(), source })?;
            (text, "standard input".to_owned())
        }
        (None, file) => {
            let path = file.clone().unwrap_or_default();
            let read = std::fs::read_to_string(&path);
            let text = read.map_err(|source| CliError::Io { what: "read".into(), path: path.clone(), source })?;
            (text, path.display().to_string())
        }
    };
    let mut documents = yaml::documents(&text, &source)?;
    if documents.len() != 1 {
        return Err(CliError::Usage(format!("{source}: it must be one patch")));
    }
    let patch = documents.remove(0);
    let mut more = Parameters::new();
    if args.dry.dry_run == Dry::Server {
        more.push(("dryRun", "All".into()));
    }
    let mut errors = Vec::new();
    for key in resource::named(&args.what, &session.cluster)? {
        let meant = match (args.kind, key.kind) {
            (Some(meant), _) => meant,
            (None, Kind::Custom(_)) => Type::Merge,
            (None, _) => Type::Strategic,
        };
        let content_type = match meant {
            Type::Strategic => wire::STRATEGIC_PATCH,
            Type::Merge => wire::MERGE_PATCH,
            Type::Json => wire::JSON_PATCH,
        };
        let patched = session.cluster.get(&key).and_then(|before| {
            if args.dry.dry_run == Dry::Client {
                return Err(CliError::Usage(
                    "what a patch makes of an object only the server knows: --dry-run=server".into(),
                ));
            }
            let after = session.cluster.patch(&key, args.subresource.as_deref(), content_type, &patch, more.clone())?;
            let same = before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"];
            Ok((after, if same && args.dry.dry_run == Dry::None { "patched (no change)" } else { "patched" }))
        });
        match patched {
            Ok((object, done)) => {
                let done = format!("{done}{}", args.dry.dry_run.note());
                print::outcome(&mut session.out, &args.output, key.kind, object, &done)?;
            }
            Err(error) => errors.push(error),
        }
    }
    CliError::all(errors)
}
