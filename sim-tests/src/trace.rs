//! The trace: one line for each event, readable without the code, and the same bytes for the same seed and plan.

use miniku_core::api::kinds::Kind;
use miniku_core::api::lease::Lease;
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Pod, shown_status};
use miniku_core::api::replicaset::ReplicaSet;
use miniku_core::kubelet::runtime::{Command, ContainerState, Report};
use miniku_core::program::{
    Answer, Committed, Effect, Input, Level, Part, Query, Request, Verb, WatchEvent, WatchFrom,
};
use miniku_core::time::Instant;
use std::collections::VecDeque;
use std::fmt::Write;

/// Stands above every trace that is kept as a file.
pub const LEGEND: &str = "\
# One line an event: seconds, who (#life), what came in -> what came of it.
# ns/x no/x po/x rs/x le/x ev/x are objects of these kinds, `@7` says at revision 7.
# `ask` is a request on its way, `got` its answer, `+ ~ -` an object is new, changed, gone, `=7` all up to 7 was told.
# `commit` is a write on its way to the disk, `durable` has reached it, `says` is a line for people.
# Left out: heartbeats (leases), and steps that led to nothing.
";

/// What is kept of the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Nothing but a digest of their order, kind and time.
    #[default]
    Off,
    /// All lines.
    Full,
    /// The lines that tell the story: no heartbeats, no steps that led to nothing.
    Story,
    /// The last so many lines.
    Last(usize),
}

/// The events of a run.
#[derive(Debug, Default)]
pub struct Trace {
    mode: Mode,
    lines: VecDeque<String>,
    digest: u64,
}

impl Trace {
    /// A trace that keeps this much.
    pub fn new(mode: Mode) -> Self {
        Trace { mode, ..Trace::default() }
    }

    /// Whether lines are kept, so that they have to be made.
    pub fn wants_lines(&self) -> bool {
        self.mode != Mode::Off
    }

    /// Takes in that something happened: what it was, in numbers. Always; costs next to nothing.
    pub fn mark(&mut self, at: Instant, actor: u64, kind: u64) {
        let event = at.nanos() ^ actor.rotate_left(40) ^ kind.rotate_left(56);
        self.digest = (self.digest.rotate_left(5) ^ event).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    /// Adds a line, if it is wanted. `beat` tells that it is a heartbeat or a step that led to nothing.
    pub fn line(&mut self, at: Instant, who: &str, what: &str, effects: &str, beat: bool) {
        let keep = match self.mode {
            Mode::Off => false,
            Mode::Full | Mode::Last(_) => true,
            Mode::Story => !beat,
        };
        if !keep {
            return;
        }
        let (secs, micros) = (at.nanos() / 1_000_000_000, at.nanos() / 1_000 % 1_000_000);
        let arrow = if effects.is_empty() { "" } else { " -> " };
        self.lines.push_back(format!("{secs:>6}.{micros:06}  {who:<18} {what}{arrow}{effects}"));
        if let Mode::Last(most) = self.mode
            && self.lines.len() > most
        {
            self.lines.pop_front();
        }
    }

    /// The lines that were kept.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// The kept lines as one text, with their legend.
    pub fn text(&self) -> String {
        let mut text = String::from(LEGEND);
        for line in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// A number that two runs have in common only if the same things happened at the same times in the same order.
    pub fn digest(&self) -> u64 {
        self.digest
    }
}

/// Whether an input or effect is about nothing but heartbeats.
pub fn is_beat(input: &Input, effects: &[Effect]) -> bool {
    let effects_beat = effects.iter().all(|effect| match effect {
        Effect::Call { request, .. } => request_beats(request),
        Effect::Answer { answer, .. } => answer_beats(answer),
        Effect::Event { event, .. } => event_beats(event),
        Effect::Commit { write, .. } => write.key.kind == Kind::Lease,
        Effect::Cancel { .. } => false,
        Effect::Runtime(_) | Effect::End { .. } => false,
        Effect::Log { level, .. } => *level == Level::Debug,
    });
    let input_beats = match input {
        Input::Wake | Input::Reply { .. } | Input::Event { .. } | Input::Committed { .. } => true,
        Input::Request { request, .. } => request_beats(request) || effects.is_empty(),
        Input::Ended { .. } | Input::Runtime(_) | Input::Gone { .. } => effects.is_empty(),
    };
    input_beats && effects_beat
}

fn request_beats(request: &Request) -> bool {
    match &request.verb {
        Verb::Get { key } | Verb::Merge { key, .. } | Verb::Bind { key, .. } | Verb::Delete { key, .. } => {
            key.kind == Kind::Lease
        }
        Verb::Update { object, .. } | Verb::Create { object } => object.kind() == Kind::Lease,
        Verb::List(_) | Verb::Watch { .. } => false,
    }
}

fn answer_beats(answer: &Answer) -> bool {
    match answer {
        Answer::Object { object, .. } => object.kind() == Kind::Lease,
        Answer::List { .. } | Answer::Watching | Answer::Removed(_) | Answer::Refused(_) | Answer::Lost(_) => false,
    }
}

fn event_beats(event: &WatchEvent) -> bool {
    match event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) => {
            object.kind() == Kind::Lease
        }
        WatchEvent::Bookmark(_) => true,
        WatchEvent::Expired(_) => false,
    }
}

fn short(kind: Kind) -> &'static str {
    match kind {
        Kind::Namespace => "ns",
        Kind::Lease => "le",
        _ => kind.row().short.first().copied().unwrap_or(kind.row().singular),
    }
}

/// A key as a trace shows it: `po/web-1`; other namespaces than `default` in front.
pub fn key(key: &Key) -> String {
    match &*key.namespace {
        "" | "default" => format!("{}/{}", short(key.kind), key.name),
        namespace => format!("{namespace}:{}/{}", short(key.kind), key.name),
    }
}

/// An object as a trace shows it: its key, its revision, and what matters of its state.
pub fn object(one: &Object) -> String {
    let mut text = key(&one.key());
    if one.revision().0 > 0 {
        let _ = write!(text, "@{}", one.revision());
    }
    if let Some(pod) = one.get::<Pod>() {
        let ready = if pod.is_ready() { ",ready" } else { "" };
        let node = pod.node().map(|node| format!(" on {node}")).unwrap_or_default();
        let _ = write!(text, "({}{ready}{node})", shown_status(pod));
    } else if let Some(set) = one.get::<ReplicaSet>() {
        let status = &set.status;
        let _ = write!(text, "({}/{} ready {})", status.replicas, set.wanted(), status.ready_replicas.unwrap_or(0));
    } else if let Some(node) = one.get::<Node>() {
        let ready = node.ready().map_or("-", |ready| ready.status.as_str());
        let _ = write!(text, "(ready {ready}{})", if node.spec.unschedulable { ",cordoned" } else { "" });
    } else if let Some(lease) = one.get::<Lease>() {
        let _ = write!(text, "({})", lease.spec.holder_identity.as_deref().unwrap_or("-"));
    } else if let Some(event) = one.get::<miniku_core::api::event::Event>() {
        let _ = write!(text, "({}: {:?})", event.reason, event.message);
    }
    text
}

fn query(query: &Query) -> String {
    let mut text = query.kind.row().plural.to_owned();
    for one in &query.fields.0 {
        let _ = write!(text, " {}{}{}", one.field, if one.equal { "=" } else { "!=" }, one.value);
    }
    text
}

/// A request as a trace shows it.
pub fn request(request: &Request) -> String {
    let part = |part: &Part| match part {
        Part::Main => "",
        Part::Status => " status",
        Part::Finalize => " finalizers",
    };
    let text = match &request.verb {
        Verb::Get { key: of } => format!("get {}", key(of)),
        Verb::List(of) => format!("list {}", query(of)),
        Verb::Watch { query: of, from, .. } => match from {
            WatchFrom::Start => format!("watch {}", query(of)),
            WatchFrom::After(revision) => format!("watch {} after {revision}", query(of)),
        },
        Verb::Create { object: one } => format!("create {}", key(&one.key())),
        Verb::Update { object: one, part: of } => format!("update{} {}", part(of), object(one)),
        Verb::Merge { key: of, patch, part: which } => format!("patch{} {} {patch}", part(which), key(of)),
        Verb::Bind { key: of, node, .. } => format!("bind {} to {node}", key(of)),
        Verb::Delete { key: of, options } => match options.grace_seconds {
            Some(grace) => format!("delete {} in {grace} s", key(of)),
            None => format!("delete {}", key(of)),
        },
    };
    if request.dry_run { format!("dry-run {text}") } else { text }
}

/// An answer as a trace shows it.
pub fn answer(answer: &Answer) -> String {
    match answer {
        Answer::Object { object: one, created: true } => format!("created {}", object(one)),
        Answer::Object { object: one, created: false } => object(one),
        Answer::List { revision, items } => format!("{} items@{revision}", items.len()),
        Answer::Watching => "watching".into(),
        Answer::Removed(_) => "removed".into(),
        Answer::Refused(status) => {
            format!("refused: {}", status.reason.map_or_else(String::new, |reason| format!("{reason:?}")))
        }
        Answer::Lost(why) => format!("lost: {why}"),
    }
}

/// An event of a watch as a trace shows it.
pub fn event(event: &WatchEvent) -> String {
    match event {
        WatchEvent::Added(one) => format!("+{}", object(one)),
        WatchEvent::Modified(one) => format!("~{}", object(one)),
        WatchEvent::Deleted(one) => format!("-{}", object(one)),
        WatchEvent::Bookmark(revision) => format!("={revision}"),
        WatchEvent::Expired(_) => "expired".into(),
    }
}

/// A state of a container as a trace shows it.
fn state(state: &ContainerState) -> String {
    match state {
        ContainerState::Absent => "absent".into(),
        ContainerState::Running { pid, .. } => format!("running as {pid}"),
        ContainerState::Exited { code, .. } => format!("exited {code}"),
        ContainerState::NotStarted { reason, .. } => format!("{reason:?}"),
        ContainerState::Unknown => "unknown".into(),
    }
}

/// A report of a runtime as a trace shows it.
pub fn report(report: &Report) -> String {
    match report {
        Report::Listed(pods) => {
            let pods = pods.iter().map(|pod| {
                let containers = pod.containers.iter().map(|one| format!("{} {}", one.name, state(&one.state)));
                format!("{}[{}]", pod.pod.name, containers.collect::<Vec<_>>().join(", "))
            });
            format!("runtime has {}", list(pods))
        }
        Report::Container { pod, container, attempt, state: is } => {
            format!("runtime: {}/{container}.{attempt} {}", pod.name, state(is))
        }
        Report::SandboxGone { pod } => format!("runtime: {} sandbox gone", pod.name),
        Report::Removed { pod } => format!("runtime: {} removed", pod.name),
        Report::RemoveFailed { pod, message } => format!("runtime: {} not removed: {message}", pod.name),
    }
}

/// A command to a runtime as a trace shows it.
pub fn command(command: &Command) -> String {
    match command {
        Command::List => "runtime list".into(),
        Command::RunPod(spec) => {
            let containers = spec.containers.iter().map(|one| format!("{}.{}", one.name, one.attempt));
            format!("run {}[{}]", spec.pod.name, containers.collect::<Vec<_>>().join(", "))
        }
        Command::StartContainer { pod, container } => {
            format!("start {}/{}.{}", pod.name, container.name, container.attempt)
        }
        Command::Terminate { pod, container, attempt } => format!("term {}/{container}.{attempt}", pod.name),
        Command::Kill { pod, container, attempt } => format!("kill {}/{container}.{attempt}", pod.name),
        Command::RemovePod(pod) => format!("remove {}", pod.name),
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { "nothing".into() } else { items.join(", ") }
}

/// An input of a program as a trace shows it; `from` is who sent a request.
pub fn input(input: &Input, from: &str) -> String {
    match input {
        Input::Wake => "wakes".into(),
        Input::Reply { answer: of, .. } => format!("got {}", answer(of)),
        Input::Event { event: of, .. } => format!("sees {}", event(of)),
        Input::Ended { .. } => "watch ended".into(),
        Input::Runtime(of) => report(of),
        Input::Request { request: of, .. } => format!("{from}: {}", request(of)),
        Input::Gone { .. } => format!("{from} has gone"),
        Input::Committed { outcome, .. } => match outcome {
            Committed::At(revision) => format!("durable @{revision}"),
            Committed::Conflict => "write conflicts".into(),
            Committed::Failed(why) => format!("write failed: {why}"),
        },
    }
}

/// The effects of a step as a trace shows them: what many watchers are told stands once. `name` tells who asked.
pub fn effects(effects: &[Effect], mut name: impl FnMut(u64) -> String) -> String {
    let mut told: Vec<(String, String)> = Vec::new();
    let mut last: Option<&WatchEvent> = None;
    for effect in effects {
        if let Effect::Event { to, event: of } = effect {
            match told.last_mut() {
                Some((who, _)) if last == Some(of) => {
                    who.push(',');
                    who.push_str(&name(to.0));
                }
                _ => told.push((name(to.0), event(of))),
            }
            last = Some(of);
            continue;
        }
        last = None;
        let (who, what) = match effect {
            Effect::Answer { to, answer: of } => (name(to.0), answer(of)),
            Effect::End { to } => (name(to.0), "end".into()),
            Effect::Call { request: of, .. } => (String::new(), format!("ask {}", request(of))),
            Effect::Cancel { .. } => (String::new(), "cancel".into()),
            Effect::Runtime(of) => (String::new(), command(of)),
            Effect::Commit { write, .. } => match &write.object {
                Some(one) => (String::new(), format!("commit {}", object(one))),
                None => (String::new(), format!("commit -{}", key(&write.key))),
            },
            Effect::Event { .. } | Effect::Log { level: Level::Debug, .. } => continue,
            Effect::Log { line, .. } => (String::new(), format!("says {line:?}")),
        };
        told.push((who, what));
    }
    let told = told.into_iter().map(|(who, what)| if who.is_empty() { what } else { format!("{who}: {what}") });
    told.collect::<Vec<_>>().join("; ")
}
