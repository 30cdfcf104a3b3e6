//! Recordings as traces: what daemons did, told as the simulator tells what its programs do.
//!
//! A recording has each program by itself. What led to what is found again by what they have in common: a request by
//! who asked for just that last, a durable write by its commit, news by its revision, a report by whose pod it is about.

use crate::runtime::Process;
use crate::trace::{self, ActorOp, Entry, Seq, What, step_told};
use crate::truth::{Role, Who};
use miniku_core::api::object::{Key, Object};
use miniku_core::api::text::Text;
use miniku_core::kubelet::runtime::{Command, ContainerState, PodRef, Report};
use miniku_core::program::{
    Answer, CommitId, Committed, Effect, Input, Request, RequestId, Revision, WatchEvent, Write,
};
use miniku_core::record::{Ending, Event, Played, Replayed};
use miniku_core::store::Change;
use miniku_core::time::{Instant, Wall};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The numbers of the entries that one played event becomes begin with ten times its own.
pub const ENTRIES_MAX: Seq = 10;

/// Turns what is played into entries of a trace.
#[derive(Default)]
pub struct Teller {
    began: Wall,
    last: Instant,
    /// Requests on their way, by their text: who sent each, and in which entry.
    sent: BTreeMap<Text, Vec<(Arc<str>, Seq)>>,
    askers: BTreeMap<RequestId, Arc<str>>,
    commits: BTreeMap<CommitId, (Write, Seq)>,
    stored: BTreeMap<Key, Object>,
    written: BTreeMap<Revision, Seq>,
    /// The last command about each pod.
    commanded: BTreeMap<Text, Seq>,
    processes: BTreeMap<(Arc<str>, Text, String, u32), Process>,
}

impl Teller {
    /// Times are counted from here.
    pub fn new(began: Wall) -> Self {
        Teller { began, ..Teller::default() }
    }

    /// The entries of one event, in order.
    pub fn tell(&mut self, played: &Played) -> Vec<Entry> {
        let life = u32::try_from(played.life).unwrap_or(u32::MAX);
        let who = Who { role: Role::Other, name: played.program.clone(), life };
        let seq = played.seq * ENTRIES_MAX;
        match &played.event {
            Event::Born => vec![self.entry(seq, 0, What::Actor { op: ActorOp::Start, who })],
            Event::Ended(Ending::Killed { .. }) => {
                vec![self.entry(seq, 0, What::Actor { op: ActorOp::Crash, who })]
            }
            Event::Ended(Ending::Stopped | Ending::Full) => Vec::new(),
            Event::Step(step) => {
                let at = Instant::default() + step.at.wall.since(self.began);
                // Clocks of several daemons may disagree by a little; a trace goes one way.
                self.last = self.last.max(at);
                self.step(seq, who, step)
            }
        }
    }

    fn entry(&self, seq: Seq, cause: Seq, what: What) -> Entry {
        Entry { seq, at: self.last, cause, what }
    }

    fn step(&mut self, seq: Seq, who: Who, step: &Replayed) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut cause = self.cause(&step.input);
        if let Input::Committed { commit, outcome } = &step.input
            && let Some((write, asked)) = self.commits.remove(commit)
            && let Committed::At(revision) = outcome
        {
            self.written.insert(*revision, seq);
            let change = self.change(*revision, write);
            entries.push(self.entry(seq, asked, What::Write(change)));
            cause = seq;
        }
        if let Input::Runtime(report) = &step.input {
            for (nth, (began, process)) in (0..).zip(self.lives(&who.name, report)).take(ENTRIES_MAX as usize - 2) {
                let node = node_of(&who.name).unwrap_or_else(|| who.name.clone());
                entries.push(self.entry(seq + nth, cause, What::Process { began, node, process }));
                cause = seq + nth;
            }
        }
        let own = seq + ENTRIES_MAX - 1;
        let from = match &step.input {
            Input::Request { from, .. } | Input::Gone { from } => self.asker(*from),
            _ => String::new(),
        };
        let asker = |id: u64| self.asker(RequestId(id));
        let what = step_told(who.clone(), &step.input, &from, &step.effects, asker);
        entries.push(self.entry(own, cause, what));
        for effect in &step.effects {
            self.sent_out(own, &who, effect);
        }
        entries
    }

    fn asker(&self, id: RequestId) -> String {
        self.askers.get(&id).map_or_else(|| "somebody".into(), ToString::to_string)
    }

    fn sent_out(&mut self, seq: Seq, who: &Who, effect: &Effect) {
        match effect {
            Effect::Call { request, .. } => {
                self.sent.entry(words(request).into()).or_default().push((who.name.clone(), seq));
            }
            Effect::Commit { commit, write } => {
                self.commits.insert(*commit, (write.clone(), seq));
            }
            Effect::Runtime(command) => {
                if let Some(pod) = pod_of(command) {
                    self.commanded.insert(pod.uid.clone(), seq);
                }
            }
            _ => {}
        }
    }

    fn cause(&mut self, input: &Input) -> Seq {
        let at = |revision: Revision| self.written.get(&revision).copied().unwrap_or(0);
        match input {
            Input::Request { from, request } => {
                let waiting = self.sent.get_mut(words(request).as_str()).filter(|waiting| !waiting.is_empty());
                let Some((who, seq)) = waiting.map(|waiting| waiting.remove(0)) else { return 0 };
                self.askers.insert(*from, who);
                seq
            }
            Input::Reply { answer: Answer::Object { object, .. }, .. } => at(object.revision()),
            Input::Event { event, .. } => match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) => {
                    at(object.revision())
                }
                WatchEvent::Bookmark(_) | WatchEvent::Expired(_) => 0,
            },
            Input::Committed { commit, .. } => self.commits.get(commit).map_or(0, |(_, seq)| *seq),
            Input::Runtime(Report::Container { pod, .. } | Report::Removed { pod }) => {
                self.commanded.get(&pod.uid).copied().unwrap_or(0)
            }
            _ => 0,
        }
    }

    fn change(&mut self, revision: Revision, write: Write) -> Change {
        let Write { key, object, .. } = write;
        let new = object.map(|object| object.with_meta(|meta| meta.resource_version = revision.to_string().into()));
        let old = match &new {
            Some(object) => self.stored.insert(key.clone(), object.clone()),
            None => self.stored.remove(&key),
        };
        Change { revision, key, old, new }
    }

    /// Which processes began and ended, as a kubelet is told.
    fn lives(&mut self, kubelet: &Arc<str>, report: &Report) -> Vec<(bool, Process)> {
        let mut lives = Vec::new();
        let mut is = |pod: &PodRef, container: &str, attempt: u32, state: &ContainerState| {
            let key = (kubelet.clone(), pod.uid.clone(), container.to_owned(), attempt);
            match state {
                ContainerState::Running { pid, .. } => {
                    let process = Process { pod: pod.clone(), container: container.into(), attempt, pid: *pid };
                    if self.processes.insert(key, process.clone()).is_none() {
                        lives.push((true, process));
                    }
                }
                _ => lives.extend(self.processes.remove(&key).map(|process| (false, process))),
            }
        };
        match report {
            Report::Container { pod, container, attempt, state } => is(pod, container, *attempt, state),
            Report::Listed(pods) => {
                for pod in pods {
                    for container in &pod.containers {
                        is(&pod.pod, &container.name, container.attempt, &container.state);
                    }
                }
            }
            Report::Sandbox { .. }
            | Report::SandboxGone { .. }
            | Report::Removed { .. }
            | Report::RemoveFailed { .. } => {}
        }
        lives
    }
}

/// Equal for the request that was sent and the one that arrived, as far as that can be told.
fn words(request: &Request) -> String {
    trace::request(request)
}

/// A kubelet's node: `node-1` of `kubelet-node-1`, as recordings call it.
pub fn node_of(program: &str) -> Option<Arc<str>> {
    program.strip_prefix("kubelet-").map(Into::into)
}

fn pod_of(command: &Command) -> Option<&PodRef> {
    match command {
        Command::List => None,
        Command::RunPod(spec) => Some(&spec.pod),
        Command::StartContainer { pod, .. }
        | Command::Terminate { pod, .. }
        | Command::Kill { pod, .. }
        | Command::RemovePod(pod) => Some(pod),
    }
}
