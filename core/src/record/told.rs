//! What is kept of an effect.

use crate::program::{Answer, Effect, Request, RequestId, Verb, WatchEvent};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::fmt::{self, Write};

/// As much of an effect as tells it from any other: a replay makes it again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Told {
    /// The effect's JSON text.
    Whole(Box<RawValue>),
    /// What it is about, and the length and the SHA-256 of its JSON text. One write becomes an answer and an event
    /// for each watcher, and one list is all objects again; kept whole, they would be most of a recording.
    Digest { what: String, bytes: usize, sha256: String },
    /// An event on another watch, which is the same as the event before it.
    Again { to: RequestId },
}

/// Effects of at most so many bytes are kept whole.
const WHOLE: usize = 512;

impl Told {
    /// What is kept of these effects.
    pub fn all(effects: &[Effect]) -> Vec<Self> {
        let before = std::iter::once(None).chain(effects.iter().map(Some));
        effects
            .iter()
            .zip(before)
            .map(|(effect, before)| Told::again(effect, before).unwrap_or_else(|| Told::of(effect)))
            .collect()
    }

    fn again(effect: &Effect, before: Option<&Effect>) -> Option<Self> {
        match (effect, before) {
            (Effect::Event { to, event }, Some(Effect::Event { event: same, .. })) if event == same => {
                Some(Told::Again { to: *to })
            }
            _ => None,
        }
    }

    /// What is kept of this effect.
    pub fn of(effect: &Effect) -> Self {
        let json = serde_json::value::to_raw_value(effect).expect("effects have string keys and finite numbers");
        if json.get().len() <= WHOLE {
            return Told::Whole(json);
        }
        let mut sha256 = String::with_capacity(64);
        for byte in Sha256::digest(json.get().as_bytes()) {
            write!(sha256, "{byte:02x}").expect("a string takes all that is written");
        }
        Told::Digest { what: what(effect), bytes: json.get().len(), sha256 }
    }
}

impl PartialEq for Told {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Told::Whole(one), Told::Whole(other)) => one.get() == other.get(),
            (Told::Digest { what, bytes, sha256 }, Told::Digest { what: other, bytes: length, sha256: digest }) => {
                (what, bytes, sha256) == (other, length, digest)
            }
            (Told::Again { to }, Told::Again { to: other }) => to == other,
            (Told::Whole(_) | Told::Digest { .. } | Told::Again { .. }, _) => false,
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Told::Whole(json) => f.write_str(json.get()),
            Told::Digest { what, bytes, sha256 } => {
                write!(f, "{what} ({bytes} bytes, SHA-256 {}…)", sha256.get(..16).unwrap_or(sha256))
            }
            Told::Again { to } => write!(f, "the same event to {}", to.0),
        }
    }
}

fn what(effect: &Effect) -> String {
    match effect {
        Effect::Call { call, request } => format!("call {}: {}", call.0, asked(request)),
        Effect::Cancel { call } => format!("cancel {}", call.0),
        Effect::Measure { call, query } => format!("measure {}: {}", call.0, query.labels),
        Effect::Runtime(command) => {
            use crate::kubelet::runtime::Command;
            match command {
                Command::List => "list pods".into(),
                Command::RunPod(spec) => format!("run pod {}", spec.pod.uid),
                Command::StartContainer { pod, container } => {
                    format!("start container {} of {}", container.name, pod.uid)
                }
                Command::Terminate { pod, container, .. } => format!("terminate {container} of {}", pod.uid),
                Command::Kill { pod, container, .. } => format!("kill {container} of {}", pod.uid),
                Command::RemovePod(pod) => format!("remove pod {}", pod.uid),
            }
        }
        Effect::Answer { to, answer } => format!("answer {}: {}", to.0, answered(answer)),
        Effect::Event { to, event } => match event {
            WatchEvent::Added(one) => format!("event to {}: added {}@{}", to.0, one.key(), one.revision()),
            WatchEvent::Modified(one) => format!("event to {}: modified {}@{}", to.0, one.key(), one.revision()),
            WatchEvent::Deleted(one) => format!("event to {}: deleted {}@{}", to.0, one.key(), one.revision()),
            WatchEvent::Bookmark(revision) => format!("event to {}: all up to {revision}", to.0),
            WatchEvent::Expired(status) => format!("event to {}: expired: {}", to.0, status.message),
        },
        Effect::End { to } => format!("end {}", to.0),
        Effect::Commit { commit, write } => {
            let change = if write.object.is_some() { "write" } else { "remove" };
            format!("commit {}: {change} {} after {}", commit.0, write.key, write.expect)
        }
        Effect::Log { line, .. } => format!("say {line}"),
        Effect::Decided { decision, .. } => format!("decide {decision}"),
    }
}

fn asked(request: &Request) -> String {
    match &request.verb {
        Verb::Get { key } => format!("get {key}"),
        Verb::List(query) => format!("list {}", query.kind.row().plural),
        Verb::Watch { query, .. } => format!("watch {}", query.kind.row().plural),
        Verb::Create { object } => format!("create {}", object.key()),
        Verb::Update { object, .. } => format!("update {}", object.key()),
        Verb::Merge { key, .. } | Verb::Patch { key, .. } => format!("merge {key}"),
        Verb::Bind { key, node, .. } => format!("bind {key} to {node}"),
        Verb::Delete { key, .. } => format!("delete {key}"),
    }
}

fn answered(answer: &Answer) -> String {
    match answer {
        Answer::Object { object, created: true } => format!("created {}@{}", object.key(), object.revision()),
        Answer::Object { object, created: false } => format!("{}@{}", object.key(), object.revision()),
        Answer::List { revision, items } => format!("{} items at {revision}", items.len()),
        Answer::Watching => "watching".into(),
        Answer::Removed(status) => format!("removed: {}", status.message),
        Answer::Refused(status) => format!("refused: {}", status.message),
        Answer::Lost(why) => format!("lost: {why}"),
    }
}
