//! `wait`: until objects are as they are wished, or time is up.

use crate::cli::Session;
use crate::cli::cluster::{name, text};
use crate::cli::error::CliError;
use crate::cli::resource::full_name;
use crate::cli::select::{self, SelectArgs};
use crate::cli::template::{Path, shown};
use crate::client::wire;
use clap::Args;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Key;
use miniku_core::durations;
use serde_json::Value;
use std::io::Write;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku wait --for=condition=Ready pod/web-1\n  \
    miniku wait --for=delete pod -l app=web --timeout=1m\n  \
    miniku wait --for=jsonpath='{.status.phase}'=Running pod web-1";

/// On what, and for what.
#[derive(Args, Debug)]
pub struct WaitArgs {
    /// TYPE NAME..., or TYPE/NAME...
    #[arg(value_name = "WHAT")]
    pub what: Vec<String>,
    /// Which objects.
    #[command(flatten)]
    pub select: SelectArgs,
    /// condition=NAME[=VALUE], jsonpath=PATH[=VALUE], create or delete
    #[arg(long = "for", value_name = "WHAT", required = true)]
    pub wished: Wished,
    /// How long to wait; 0 looks once, less than 0 waits a week
    #[arg(long, default_value = "30s", value_parser = span, value_name = "DURATION", allow_hyphen_values = true)]
    pub timeout: Duration,
}

fn span(text: &str) -> Result<Duration, String> {
    // Source: kubectl, `pkg/cmd/wait/wait.go`.
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
    if text.starts_with('-') { Ok(WEEK) } else { durations::parse(text) }
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq)]
pub enum Wished {
    /// The object is there.
    Created,
    /// It is not.
    Deleted,
    /// A condition of it has a value.
    Condition(String, String),
    /// A path leads to a value, or to any if none is named.
    Value(Path, Option<String>),
}

impl FromStr for Wished {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=').unwrap_or((text, "")) {
            ("create", "") => Ok(Wished::Created),
            ("delete", "") => Ok(Wished::Deleted),
            ("condition", condition) if !condition.is_empty() => {
                let (name, value) = condition.split_once('=').unwrap_or((condition, "True"));
                Ok(Wished::Condition(name.into(), value.into()))
            }
            ("jsonpath", given) if !given.is_empty() => {
                // A path may hold a comparison; the value follows the closing brace.
                let end = given.starts_with('{').then(|| given.rfind('}')).flatten().map_or(0, |at| at + 1);
                let (path, value) = match given[end..].split_once('=') {
                    Some((rest, value)) => (&given[..end + rest.len()], Some(value.to_owned())),
                    None => (given, None),
                };
                Ok(Wished::Value(Path::parse(path)?, value))
            }
            _ => Err(format!("unrecognized condition: {text:?}")),
        }
    }
}

impl Wished {
    /// Whether an object is as it is wished.
    fn is_met(&self, object: Option<&Value>) -> bool {
        match (self, object) {
            (Wished::Deleted, object) => object.is_none(),
            (_, None) => false,
            (Wished::Created, Some(_)) => true,
            (Wished::Condition(name, value), Some(object)) => {
                let is = |one: &Value| {
                    text(&one["type"]).eq_ignore_ascii_case(name) && text(&one["status"]).eq_ignore_ascii_case(value)
                };
                // What was told of an older wish does not count.
                let (generation, seen) = (&object["metadata"]["generation"], &object["status"]["observedGeneration"]);
                let fresh = seen.as_i64().is_none_or(|seen| seen >= generation.as_i64().unwrap_or(0));
                fresh && object["status"]["conditions"].as_array().into_iter().flatten().any(is)
            }
            (Wished::Value(path, wanted), Some(object)) => match path.find(object).as_slice() {
                [one] => wanted.as_ref().is_none_or(|wanted| shown(one) == *wanted),
                _ => false,
            },
        }
    }
}

/// Waits for objects, one after the other; all have the same time.
pub fn run(args: &WaitArgs, session: &mut Session) -> Result<(), CliError> {
    let until = Instant::now() + args.timeout;
    let keys: Vec<(Key, String)> = match args.wished {
        // They may be missing: that is the point.
        Wished::Created | Wished::Deleted
            if args.select.selector.is_none() && !args.select.all && args.select.files.filename.is_empty() =>
        {
            let named = crate::cli::resource::named(&args.what, &session.cluster)?;
            named.into_iter().map(|key| (key, String::new())).collect()
        }
        _ => {
            let objects = select::objects(&args.what, &args.select, session)?;
            objects.iter().map(|(kind, object)| (key(*kind, object), text(&object["metadata"]["uid"]))).collect()
        }
    };
    if keys.is_empty() && args.wished != Wished::Deleted {
        return Err(CliError::Plain("error: no matching resources found".into()));
    }
    let done = match args.wished {
        Wished::Deleted => "deleted",
        _ => "condition met",
    };
    let mut errors = Vec::new();
    for (key, uid) in keys {
        let met = poll(&key, Some(until), session, |object| {
            // Another one of that name is not the one that was waited for.
            let same = object
                .filter(|object| uid.is_empty() || args.wished != Wished::Deleted || object["metadata"]["uid"] == *uid);
            args.wished.is_met(same)
        });
        match met {
            Ok(()) => writeln!(session.out, "{} {done}", full_name(key.kind, &key.name))?,
            Err(error) => errors.push(error),
        }
        session.out.flush()?;
    }
    CliError::all(errors)
}

fn key(kind: Kind, object: &Value) -> Key {
    wire::key(kind, &text(&object["metadata"]["namespace"]), name(object))
}

/// Waits until an object is gone, or another of its name is in its place.
pub fn gone(key: &Key, uid: &str, until: Option<Instant>, session: &Session) -> Result<(), CliError> {
    poll(key, until, session, |object| object.is_none_or(|object| text(&object["metadata"]["uid"]) != uid))
}

/// Looks at an object until it is as wished. What happens quickly is noticed quickly, and what does not costs two requests
/// a second.
pub fn poll(
    key: &Key,
    until: Option<Instant>,
    session: &Session,
    mut met: impl FnMut(Option<&Value>) -> bool,
) -> Result<(), CliError> {
    let mut pause = Duration::from_millis(10);
    while !met(session.cluster.find(key)?.as_ref()) {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(CliError::TimedOut(format!("{}/{}", key.kind.row().plural, key.name)));
        }
        thread::sleep(left.map_or(pause, |left| left.min(pause)));
        pause = (pause * 2).min(Duration::from_millis(500));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn wishes_are_read_and_met() {
        let pod = json!({"metadata": {"generation": 2}, "status": {"phase": "Running", "observedGeneration": 2,
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "Idle", "status": "False"}], "l": [{"n": "x", "v": 1}]}});
        let check = |text: &str, want: bool| {
            let wished: Wished = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(wished.is_met(Some(&pod)), want, "{text}");
        };
        check("condition=Ready", true);
        check("condition=ready=true", true);
        check("condition=Idle", false);
        check("condition=Idle=False", true);
        check("condition=None", false);
        check("jsonpath={.status.phase}=Running", true);
        check("jsonpath=.status.phase=Running", true);
        check("jsonpath={.status.phase}", true);
        check("jsonpath={.status.l[?(@.n==\"x\")].v}=1", true);
        check("jsonpath={.status.none}", false);
        check("create", true);
        check("delete", false);
        let older = json!({"metadata": {"generation": 3}, "status": {"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "True"}]}});
        assert!(!"condition=Ready".parse::<Wished>().unwrap().is_met(Some(&older)));
        assert!("delete".parse::<Wished>().unwrap().is_met(None));
        for wrong in ["", "condition", "condition=", "jsonpath=", "ready", "create=x"] {
            assert!(wrong.parse::<Wished>().is_err(), "{wrong}");
        }
    }
}
