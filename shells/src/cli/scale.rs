//! `scale`: how many pods are wished.

use crate::cli::Session;
use crate::cli::cluster::text;
use crate::cli::error::CliError;
use crate::cli::resource::{self, full_name};
use crate::client::paths;
use crate::client::wire::{HttpRequest, MERGE_PATCH};
use clap::Args;
use miniku_core::api::object::Key;
use miniku_core::api::status::Reason;
use serde_json::json;
use std::io::Write;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku scale rs/web --replicas=3\n  \
    miniku scale replicaset web --replicas=5 --current-replicas=3";

/// What to scale.
#[derive(Args, Debug)]
pub struct ScaleArgs {
    /// TYPE NAME..., or TYPE/NAME...
    #[arg(required = true, value_name = "WHAT")]
    pub what: Vec<String>,
    /// How many pods are wished
    #[arg(long, value_name = "N")]
    pub replicas: u32,
    /// Only if so many are wished now
    #[arg(long, value_name = "N")]
    pub current_replicas: Option<u32>,
    /// Only if the object is at this revision
    #[arg(long, value_name = "REVISION")]
    pub resource_version: Option<String>,
}

/// Scales objects.
pub fn run(args: &ScaleArgs, session: &mut Session) -> Result<(), CliError> {
    let mut errors = Vec::new();
    for key in resource::named(&args.what, &session.cluster)? {
        match scale(args, &key, session) {
            Ok(()) => writeln!(session.out, "{} scaled", full_name(key.kind, &key.name))?,
            Err(error) => errors.push(error),
        }
    }
    session.out.flush()?;
    CliError::all(errors)
}

/// How many there are to be is a part of its own, which custom kinds keep wherever they like.
fn scale(args: &ScaleArgs, key: &Key, session: &Session) -> Result<(), CliError> {
    let row = key.kind.row();
    if !row.has_scale() {
        return Err(CliError::Usage(format!("a {} cannot be scaled: it has no scale", row.singular)));
    }
    loop {
        let live = session.cluster.ask(&HttpRequest::get(paths::object(key, Some("scale"))))?;
        let now = live["spec"]["replicas"].as_u64().unwrap_or(0);
        let version = text(&live["metadata"]["resourceVersion"]);
        if let Some(want) = args.current_replicas.filter(|want| u64::from(*want) != now) {
            return Err(CliError::Usage(format!("Expected replicas to be {want}, was {now}")));
        }
        if let Some(want) = args.resource_version.as_ref().filter(|want| **want != version) {
            return Err(CliError::Usage(format!("Expected resource version to be {want}, was {version}")));
        }
        let mut patch = json!({"spec": {"replicas": args.replicas}});
        let conditional = args.current_replicas.is_some() || args.resource_version.is_some();
        if conditional {
            patch["metadata"] = json!({"resourceVersion": version});
        }
        match session.cluster.patch(key, Some("scale"), MERGE_PATCH, &patch, Vec::new()) {
            // Something else changed meanwhile: whether the condition holds is to be seen again.
            Err(error) if conditional && error.has_reason(Reason::Conflict) => {}
            other => return other.map(drop),
        }
    }
}
