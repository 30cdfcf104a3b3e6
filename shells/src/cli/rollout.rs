//! `rollout`: how far the change of a workload has come, and back to what was before.
//!
//! Source: kubectl, `pkg/polymorphichelpers`, for what counts and for the words.

use crate::cli::Session;
use crate::cli::cluster::{name, text};
use crate::cli::error::CliError;
use crate::cli::print::plain_table;
use crate::cli::resource::{self, full_name};
use crate::cli::{wait, yaml};
use crate::client::wire::{JSON_PATCH, STRATEGIC_PATCH};
use clap::{Args, Subcommand};
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::Time;
use miniku_core::api::object::Key;
use miniku_core::durations;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku rollout status deployment/web\n  miniku rollout restart deployment/web\n  \
    miniku rollout history deployment/web\n  miniku rollout undo deployment/web --to-revision=2";

/// Of what, and what.
#[derive(Args, Debug)]
pub struct RolloutArgs {
    /// What is done.
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Follow a change until it has come everywhere
    #[command(after_help = "Example:\n  miniku rollout status deployment/web --timeout=2m")]
    Status {
        /// Which workload.
        #[command(flatten)]
        of: Workload,
        /// Whether to wait until it is done
        #[arg(long, short, default_value_t = true, default_missing_value = "true", num_args = 0..=1, require_equals = true)]
        #[arg(action = clap::ArgAction::Set)]
        watch: bool,
        /// How long to wait; 0 means for ever
        #[arg(long, default_value = "0s", value_parser = durations::parse, value_name = "DURATION")]
        timeout: Duration,
    },
    /// Make all pods anew
    #[command(after_help = "Example:\n  miniku rollout restart deployment/web")]
    Restart(Workload),
    /// Go back to what was before
    #[command(after_help = "Example:\n  miniku rollout undo deployment/web --to-revision=2")]
    Undo {
        /// Which workload.
        #[command(flatten)]
        of: Workload,
        /// To which revision; the one before this if 0
        #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "REVISION")]
        to_revision: i64,
    },
    /// Show what was before
    #[command(after_help = "Example:\n  miniku rollout history deployment/web --revision=2")]
    History {
        /// Which workload.
        #[command(flatten)]
        of: Workload,
        /// Show this revision's template
        #[arg(long, value_name = "REVISION")]
        revision: Option<i64>,
    },
    /// Hold changes back
    #[command(after_help = "Example:\n  miniku rollout pause deployment/web")]
    Pause(Workload),
    /// Let changes go on
    #[command(after_help = "Example:\n  miniku rollout resume deployment/web")]
    Resume(Workload),
}

/// A deployment, daemon set or stateful set.
#[derive(Args, Debug)]
pub struct Workload {
    /// TYPE NAME..., or TYPE/NAME...
    #[arg(required = true, value_name = "WHAT")]
    pub what: Vec<String>,
}

/// Does it.
pub fn run(args: &RolloutArgs, session: &mut Session) -> Result<(), CliError> {
    let keys = |of: &Workload, session: &Session| resource::named(&of.what, &session.cluster);
    match &args.action {
        Action::Status { of, watch, timeout } => {
            keys(of, session)?.iter().try_for_each(|key| status(key, *watch, *timeout, session))
        }
        Action::Restart(of) => keys(of, session)?.iter().try_for_each(|key| {
            rolled(key, &[Kind::Deployment, Kind::DaemonSet, Kind::StatefulSet], "restarting")?;
            if session.cluster.get(key)?["spec"]["paused"] == true {
                return Err(CliError::Usage("can't restart paused deployment (run rollout resume first)".into()));
            }
            let now = Time::of(crate::clock::wall()).to_string();
            let annotations = json!({"kubectl.kubernetes.io/restartedAt": now});
            let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
            done(key, "restarted", STRATEGIC_PATCH, &patch, session)
        }),
        Action::Undo { of, to_revision } => {
            keys(of, session)?.iter().try_for_each(|key| undo(key, *to_revision, session))
        }
        Action::History { of, revision } => {
            keys(of, session)?.iter().try_for_each(|key| history(key, *revision, session))
        }
        Action::Pause(of) => keys(of, session)?.iter().try_for_each(|key| {
            rolled(key, &[Kind::Deployment], "pausing")?;
            pause(key, true, "paused", session)
        }),
        Action::Resume(of) => keys(of, session)?.iter().try_for_each(|key| {
            rolled(key, &[Kind::Deployment], "resuming")?;
            pause(key, false, "resumed", session)
        }),
    }
}

fn rolled(key: &Key, kinds: &[Kind], doing: &str) -> Result<(), CliError> {
    match kinds.contains(&key.kind) {
        true => Ok(()),
        false => Err(CliError::Usage(format!("{} {:?} {doing} is not supported", key.kind.row().plural, &*key.name))),
    }
}

/// Stops a rollout or lets it go on. What was so already is told by the object's wish, and not by its version: its status
/// may be written in between.
fn pause(key: &Key, paused: bool, word: &str, session: &mut Session) -> Result<(), CliError> {
    if (session.cluster.get(key)?["spec"]["paused"] == true) == paused {
        return Err(CliError::Usage(format!("{} {:?} is already {word}", key.kind.row().plural, &*key.name)));
    }
    let patch = json!({"spec": {"paused": paused.then_some(true)}});
    done(key, word, STRATEGIC_PATCH, &patch, session)
}

fn done(key: &Key, word: &str, media: &'static str, patch: &Value, session: &mut Session) -> Result<(), CliError> {
    session.cluster.patch(key, None, media, patch, Vec::new())?;
    writeln!(session.out, "{} {word}", full_name(key.kind, &key.name))?;
    Ok(session.out.flush()?)
}

/// How far a change has come.
#[derive(Debug, PartialEq)]
enum Progress {
    /// It is everywhere.
    Done(String),
    /// It is on its way.
    Waiting(String),
    /// It will not come.
    Failed(String),
}

fn progress(kind: Kind, object: &Value) -> Progress {
    let name = name(object);
    let (spec, status) = (&object["spec"], &object["status"]);
    let count = |field: &str| status[field].as_i64().unwrap_or(0);
    let seen = count("observedGeneration") >= object["metadata"]["generation"].as_i64().unwrap_or(0);
    let wanted = spec["replicas"].as_i64().unwrap_or(1);
    let waiting = |what: String| Progress::Waiting(what);
    match kind {
        Kind::Deployment => {
            if !seen {
                return waiting("Waiting for deployment spec update to be observed...".into());
            }
            let late = |one: &Value| one["type"] == "Progressing" && one["reason"] == "ProgressDeadlineExceeded";
            if status["conditions"].as_array().into_iter().flatten().any(late) {
                return Progress::Failed(format!("deployment {name:?} exceeded its progress deadline"));
            }
            let (updated, all, available) = (count("updatedReplicas"), count("replicas"), count("availableReplicas"));
            let head = format!("Waiting for deployment {name:?} rollout to finish");
            if updated < wanted {
                waiting(format!("{head}: {updated} out of {wanted} new replicas have been updated..."))
            } else if all > updated {
                waiting(format!("{head}: {} old replicas are pending termination...", all - updated))
            } else if available < updated {
                waiting(format!("{head}: {available} of {updated} updated replicas are available..."))
            } else {
                Progress::Done(format!("deployment {name:?} successfully rolled out"))
            }
        }
        Kind::DaemonSet => {
            if !seen {
                return waiting("Waiting for daemon set spec update to be observed...".into());
            }
            let (updated, desired) = (count("updatedNumberScheduled"), count("desiredNumberScheduled"));
            let available = count("numberAvailable");
            let head = format!("Waiting for daemon set {name:?} rollout to finish");
            if updated < desired {
                waiting(format!("{head}: {updated} out of {desired} new pods have been updated..."))
            } else if available < desired {
                waiting(format!("{head}: {available} of {desired} updated pods are available..."))
            } else {
                Progress::Done(format!("daemon set {name:?} successfully rolled out"))
            }
        }
        _ => {
            if !seen {
                return waiting("Waiting for statefulset spec update to be observed...".into());
            }
            let (ready, updated) = (count("readyReplicas"), count("updatedReplicas"));
            if ready < wanted {
                waiting(format!("Waiting for {} pods to be ready...", wanted - ready))
            } else if status["updateRevision"] != status["currentRevision"] {
                waiting(format!(
                    "waiting for statefulset rolling update to complete {updated} pods at revision {}...",
                    text(&status["updateRevision"])
                ))
            } else {
                let current = count("currentReplicas");
                Progress::Done(format!(
                    "statefulset rolling update complete {current} pods at revision {}...",
                    text(&status["currentRevision"])
                ))
            }
        }
    }
}

fn status(key: &Key, watch: bool, timeout: Duration, session: &mut Session) -> Result<(), CliError> {
    rolled(key, &[Kind::Deployment, Kind::DaemonSet, Kind::StatefulSet], "rollout status")?;
    // What is not there is told, and not waited for.
    session.cluster.get(key)?;
    let until = (!timeout.is_zero()).then(|| Instant::now() + timeout);
    let (mut last, mut told) = (Progress::Waiting(String::new()), Vec::new());
    let ended = wait::poll(key, until, session, |object| {
        let now = match object {
            Some(object) => progress(key.kind, object),
            None => Progress::Failed("object has been deleted".into()),
        };
        if now != last {
            match &now {
                Progress::Waiting(text) | Progress::Done(text) => told.push(text.clone()),
                Progress::Failed(_) => {}
            }
            // It is told while it is waited.
            for text in told.drain(..) {
                println!("{text}");
            }
            last = now;
        }
        !watch || !matches!(last, Progress::Waiting(_))
    });
    match last {
        Progress::Failed(why) => Err(CliError::Usage(why)),
        _ => ended,
    }
}

/// A state that a workload was in: what it was made of, and why it became so.
struct Past {
    template: Value,
    cause: String,
}

const REVISION: &str = "deployment.kubernetes.io/revision";
const CAUSE: &str = "kubernetes.io/change-cause";

/// The states that are still known, by their number.
fn past(key: &Key, session: &Session) -> Result<BTreeMap<i64, Past>, CliError> {
    rolled(key, &[Kind::Deployment, Kind::DaemonSet, Kind::StatefulSet], "history")?;
    let live = session.cluster.get(key)?;
    let by_sets = key.kind == Kind::Deployment;
    let kind = if by_sets { Kind::ReplicaSet } else { Kind::ControllerRevision };
    let owned = |object: &Value| {
        let mut owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        owners.any(|owner| owner["controller"] == true && owner["uid"] == live["metadata"]["uid"])
    };
    let all = session.cluster.list(kind, Some(&key.namespace), &Vec::new())?.items;
    let states = all.into_iter().filter(owned).filter_map(|object| {
        let annotations = &object["metadata"]["annotations"];
        let cause = text(&annotations[CAUSE]);
        let (number, mut template) = match by_sets {
            true => (text(&annotations[REVISION]).parse().ok()?, object["spec"]["template"].clone()),
            false => (object["revision"].as_i64()?, object["data"]["spec"]["template"].clone()),
        };
        // The deployment gives each set one; it is no part of what was wished.
        if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            labels.remove("pod-template-hash");
        }
        Some((number, Past { template, cause }))
    });
    Ok(states.collect())
}

fn history(key: &Key, revision: Option<i64>, session: &mut Session) -> Result<(), CliError> {
    let past = past(key, session)?;
    let shown = full_name(key.kind, &key.name);
    if let Some(revision) = revision {
        let state =
            past.get(&revision).ok_or_else(|| CliError::Usage("unable to find the specified revision".into()))?;
        writeln!(session.out, "{shown} with revision #{revision}\nPod Template:")?;
        for line in yaml::write(&state.template)?.lines() {
            writeln!(session.out, "  {line}")?;
        }
        return Ok(session.out.flush()?);
    }
    writeln!(session.out, "{shown} ")?;
    let head = vec!["REVISION".to_owned(), "CHANGE-CAUSE".into()];
    let line = |(number, state): (&i64, &Past)| {
        vec![number.to_string(), if state.cause.is_empty() { "<none>".into() } else { state.cause.clone() }]
    };
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(past.iter().map(line)).collect();
    plain_table(&mut session.out, &lines)?;
    writeln!(session.out)?;
    Ok(session.out.flush()?)
}

fn undo(key: &Key, to: i64, session: &mut Session) -> Result<(), CliError> {
    let past = past(key, session)?;
    let number = match to {
        // The last is what is now.
        0 => past.keys().rev().nth(1).copied().ok_or_else(|| {
            CliError::Usage(format!("no rollout history found for {} {:?}", key.kind.row().singular, &*key.name))
        })?,
        to => to,
    };
    let state = past
        .get(&number)
        .ok_or_else(|| CliError::Usage(format!("unable to find specified revision {number} in history")))?;
    let live = session.cluster.get(key)?;
    if key.kind == Kind::Deployment && live["spec"]["paused"] == true {
        let message =
            "you cannot rollback a paused deployment; resume it first with 'miniku rollout resume' and try again"
                .into();
        return Err(CliError::Usage(message));
    }
    if live["spec"]["template"] == state.template {
        writeln!(
            session.out,
            "{} skipped rollback (current template already matches revision {number})",
            full_name(key.kind, &key.name)
        )?;
        return Ok(session.out.flush()?);
    }
    let mut patch = vec![json!({"op": "replace", "path": "/spec/template", "value": state.template})];
    if !state.cause.is_empty() {
        let annotations = live["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
        let mut annotations = Value::from(annotations);
        annotations[CAUSE] = state.cause.as_str().into();
        patch.push(json!({"op": "add", "path": "/metadata/annotations", "value": annotations}));
    }
    done(key, "rolled back", JSON_PATCH, &Value::from(patch), session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_kubectls_words() {
        let check = |status: Value, want: &str| {
            let object =
                json!({"metadata": {"name": "web", "generation": 2}, "spec": {"replicas": 3}, "status": status});
            let (Progress::Done(got) | Progress::Waiting(got) | Progress::Failed(got)) =
                progress(Kind::Deployment, &object);
            assert!(got.contains(want), "{got}");
        };
        check(json!({"observedGeneration": 1}), "spec update to be observed");
        check(json!({"observedGeneration": 2, "updatedReplicas": 1}), "1 out of 3 new replicas");
        check(json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 4}), "1 old replicas are pending");
        check(
            json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 2}),
            "2 of 3 updated",
        );
        check(
            json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 3}),
            "successfully rolled out",
        );
        let late = json!([{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]);
        check(json!({"observedGeneration": 2, "conditions": late}), "exceeded its progress deadline");
        let set = json!({"metadata": {"name": "d", "generation": 1}, "status": {"observedGeneration": 1, "desiredNumberScheduled": 2}});
        assert!(matches!(progress(Kind::DaemonSet, &set), Progress::Waiting(_)));
        let set = json!({"metadata": {"name": "s"}, "spec": {"replicas": 1}, "status": {"readyReplicas": 1}});
        assert!(matches!(progress(Kind::StatefulSet, &set), Progress::Done(_)));
    }
}
