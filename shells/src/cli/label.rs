//! `label` and `annotate`: what is written on objects, set and removed.

use crate::cli::Session;
use crate::cli::cluster::{Parameters, name, text};
use crate::cli::create::{Dry, DryArgs};
use crate::cli::error::CliError;
use crate::cli::print::Format;
use crate::cli::resource::full_name;
use crate::cli::select::{self, SelectArgs};
use clap::Args;
use miniku_core::api::kinds::Kind;
use serde_json::{Map, Value, json};
use std::io::Write;

/// The end of `label --help`.
pub const LABEL_EXAMPLE: &str = "Examples:\n  miniku label pod web-1 tier=front\n  miniku label pods --all tier-\n  \
    miniku label node/node-1 disk=ssd --overwrite";
/// The end of `annotate --help`.
pub const ANNOTATE_EXAMPLE: &str = "Examples:\n  miniku annotate pod web-1 note='made by hand'\n  \
    miniku annotate pods -l app=web note-";

/// On what, and what.
#[derive(Args, Debug)]
pub struct LabelArgs {
    /// TYPE NAME... or TYPE/NAME..., then KEY=VALUE to set and KEY- to remove
    #[arg(required = true, value_name = "WHAT KEY=VALUE")]
    pub words: Vec<String>,
    /// Which objects.
    #[command(flatten)]
    pub select: SelectArgs,
    /// Change what has another value
    #[arg(long)]
    pub overwrite: bool,
    /// Show what there is
    #[arg(long)]
    pub list: bool,
    /// Only if the object is at this revision
    #[arg(long, value_name = "REVISION")]
    pub resource_version: Option<String>,
    /// json, yaml or name; a line if absent
    #[arg(short, long, default_value = "table", hide_default_value = true, value_name = "FORMAT")]
    pub output: Format,
    /// How the writing is done.
    #[command(flatten)]
    pub dry: DryArgs,
}

/// Which of the two is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Labels, which select.
    Labels,
    /// Annotations, which do not.
    Annotations,
}

impl Written {
    fn field(self) -> &'static str {
        match self {
            Written::Labels => "labels",
            Written::Annotations => "annotations",
        }
    }
}

/// Writes on objects.
pub fn run(args: &LabelArgs, written: Written, session: &mut Session) -> Result<(), CliError> {
    // No name of an object ends in a dash.
    let is_change = |word: &String| word.contains('=') || word.ends_with('-');
    let at = args.words.iter().position(is_change).unwrap_or(args.words.len());
    let (words, changes) = args.words.split_at(at);
    let changes = self::changes(changes)?;
    if changes.is_empty() && !args.list {
        return Err(CliError::Usage(format!(
            "at least one {} update is required",
            written.field().trim_end_matches('s')
        )));
    }
    let mut errors = Vec::new();
    for (kind, object) in select::objects(words, &args.select, session)? {
        if args.list {
            let on = object["metadata"][written.field()].as_object().into_iter().flatten();
            for (key, value) in on {
                writeln!(session.out, "{key}={}", text(value))?;
            }
        }
        if !changes.is_empty() {
            errors.extend(change(args, written, kind, object, &changes, session).err());
        }
    }
    session.out.flush()?;
    CliError::all(errors)
}

/// What to set, and what to remove.
fn changes(words: &[String]) -> Result<Map<String, Value>, CliError> {
    let mut changes = Map::new();
    for word in words {
        let (key, value) = match (word.split_once('='), word.strip_suffix('-')) {
            (Some((key, value)), _) => (key, Value::from(value)),
            (None, Some(key)) => (key, Value::Null),
            (None, None) => {
                return Err(CliError::Usage(format!("unknown update: {word:?}; expected KEY=VALUE or KEY-")));
            }
        };
        if key.is_empty() {
            return Err(CliError::Usage(format!("{word:?}: the key is missing")));
        }
        if changes.get(key).is_some_and(|before| *before != value) {
            return Err(CliError::Usage(format!("can not both modify and remove {key:?} in the same command")));
        }
        changes.insert(key.into(), value);
    }
    Ok(changes)
}

fn change(
    args: &LabelArgs,
    written: Written,
    kind: Kind,
    mut object: Value,
    changes: &Map<String, Value>,
    session: &mut Session,
) -> Result<(), CliError> {
    let field = written.field();
    let on = object["metadata"][field].as_object().cloned().unwrap_or_default();
    for (key, value) in changes {
        let now = on.get(key).map(text);
        match (now, value.as_str()) {
            (None, None) => eprintln!("{} {key:?} not found.", field.trim_end_matches('s')),
            (Some(now), Some(wanted)) if now != wanted && !args.overwrite => {
                let message = format!("error: '{key}' already has a value ({now}), and --overwrite is false");
                return Err(CliError::Plain(message));
            }
            _ => {}
        }
    }
    let removed = changes.values().all(Value::is_null);
    let changed = changes.iter().any(|(key, value)| on.get(key).unwrap_or(&Value::Null) != value);
    let verb = match (changed, written, removed) {
        (false, Written::Labels, _) => "not labeled",
        (false, Written::Annotations, _) | (true, Written::Annotations, _) => "annotated",
        (true, Written::Labels, true) => "unlabeled",
        (true, Written::Labels, false) => "labeled",
    };
    if changed && args.dry.dry_run != Dry::Client {
        let mut patch = json!({"metadata": {field: changes}});
        if let Some(version) = &args.resource_version {
            patch["metadata"]["resourceVersion"] = version.as_str().into();
        }
        let mut more = Parameters::new();
        if args.dry.dry_run == Dry::Server {
            more.push(("dryRun", "All".into()));
        }
        let namespace = text(&object["metadata"]["namespace"]);
        let key = crate::client::wire::key(kind, &namespace, name(&object));
        object = session.cluster.patch(&key, None, crate::client::wire::MERGE_PATCH, &patch, more)?;
    }
    match &args.output {
        Format::Table => {
            writeln!(session.out, "{} {verb}{}", full_name(kind, name(&object)), args.dry.dry_run.note())?;
            Ok(())
        }
        other => crate::cli::print::outcome(&mut session.out, other, kind, object, verb),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read() {
        let read = |words: &[&str]| {
            changes(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).map_err(|error| error.to_string())
        };
        assert_eq!(
            Value::from(read(&["a=1", "b-", "c=x=y", "d="]).unwrap()),
            json!({"a": "1", "b": null, "c": "x=y", "d": ""})
        );
        for wrong in [&["a"][..], &["=1"], &["-"], &["a=1", "a-"], &["a=1", "a=2"]] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
