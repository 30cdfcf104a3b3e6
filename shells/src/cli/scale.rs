//! `scale`: how many pods are wished.

use crate::cli::Session;
use crate::cli::cluster::text;
use crate::cli::error::CliError;
use crate::cli::resource::{self, full_name};
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
    for selection in resource::parse(&args.what)?.list {
        if selection.names.is_empty() {
            return Err(CliError::Usage("resource(s) were provided, but no name was specified".into()));
        }
        for name in &selection.names {
            let key = session.cluster.key(selection.kind, name);
            match scale(args, &key, session) {
                Ok(()) => writeln!(session.out, "{} scaled", full_name(selection.kind, name))?,
                Err(error) => errors.push(error),
            }
        }
    }
    session.out.flush()?;
    CliError::all(errors)
}

fn scale(args: &ScaleArgs, key: &Key, session: &Session) -> Result<(), CliError> {
    loop {
        let live = session.cluster.get(key)?;
        let Some(now) = live["spec"]["replicas"].as_u64() else {
            let row = key.kind.row();
            return Err(CliError::Usage(format!("a {} cannot be scaled: it has no spec.replicas", row.singular)));
        };
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
        match session.cluster.merge(key, &patch, false) {
            // Something else changed meanwhile: whether the condition holds is to be seen again.
            Err(error) if conditional && error.has_reason(Reason::Conflict) => {}
            other => return other.map(drop),
        }
    }
}
