//! Somebody at a keyboard: asks for what the plan says, and again until there is an answer.

use crate::plan::{Ask, Evict, Relabel};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::client::{Calls, Deadlines};
use miniku_core::program::{Answer, DeleteOptions, Effects, Input, Level, Part, Program, Query, Verb};
use miniku_core::time::{Duration, Instant, Now};
use serde_json::json;

/// An operator, as a program of its own. It counts time from its first step.
#[derive(Debug)]
pub struct Operator {
    asks: Vec<(Duration, Ask)>,
    calls: Calls<Task>,
    due: Deadlines<Task>,
    begun: bool,
}

/// One request of an ask.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    /// The first, and for most the only one.
    First(usize),
    /// Of a drain: which pods are on the node.
    Pods(usize),
    /// Of a drain: this pod goes.
    Remove(Key),
    /// Of a drain that respects budgets: this pod goes if it may.
    Expel(Key),
    /// Of what is asked about a pod that has no name of its own: this one is meant.
    Chosen(usize, Key),
}

/// After a refusal or a loss.
const RETRY: Duration = Duration::from_secs(1);

/// After an eviction that a budget does not allow yet. Source: `kubectl drain`.
const EVICT_AGAIN: Duration = Duration::from_secs(5);

impl Operator {
    /// Asks for these things, each at its time.
    pub fn new(asks: Vec<(Duration, Ask)>) -> Self {
        Operator { asks, calls: Calls::in_space(1), due: Deadlines::default(), begun: false }
    }

    fn begin(&mut self, start: Instant) {
        self.begun = true;
        for (at, (after, _)) in self.asks.iter().enumerate() {
            self.due.set(Task::First(at), start + *after);
        }
    }

    fn verb(&self, task: &Task) -> Verb {
        match task {
            Task::First(ask) => self.asks[*ask].1.verb(),
            Task::Pods(ask) => {
                let (Ask::Drain(node) | Ask::Vacate(node)) = &self.asks[*ask].1 else {
                    unreachable!("only a drain lists pods")
                };
                Verb::List(Query::all(Kind::Pod).with_field("spec.nodeName", node))
            }
            Task::Chosen(ask, key) => match &self.asks[*ask].1 {
                Ask::Relabel(relabel) => {
                    let patch = json!({"metadata": {"labels": relabel.labels}});
                    Verb::Merge { key: key.clone(), patch, part: Part::Main }
                }
                Ask::Evict(Evict { grace_seconds, .. }) => {
                    let options = DeleteOptions { grace_seconds: *grace_seconds, ..DeleteOptions::default() };
                    Verb::Delete { key: key.clone(), options }
                }
                other => unreachable!("{other:?} names what it is about"),
            },
            Task::Remove(key) => Verb::Delete { key: key.clone(), options: DeleteOptions::default() },
            Task::Expel(key) => {
                let options = DeleteOptions { eviction: true, ..DeleteOptions::default() };
                Verb::Delete { key: key.clone(), options }
            }
        }
    }

    fn done(&mut self, now: Now, task: &Task, answer: Answer) {
        match (task, answer) {
            (Task::First(ask), Answer::Object { .. })
                if matches!(self.asks[*ask].1, Ask::Drain(_) | Ask::Vacate(_)) =>
            {
                self.due.set(Task::Pods(*ask), now.mono);
            }
            (Task::First(ask), Answer::List { items, .. }) => {
                let (Ask::Relabel(Relabel { pod, .. }) | Ask::Evict(Evict { pod, .. })) = &self.asks[*ask].1 else {
                    unreachable!("only they begin with a list")
                };
                let chosen = items.iter().map(Object::key).filter(|key| key.name.starts_with(pod.as_str())).min();
                if let Some(key) = chosen {
                    self.due.set(Task::Chosen(*ask, key), now.mono);
                }
            }
            (Task::Pods(ask), Answer::List { items, .. }) => {
                let respects_budgets = matches!(self.asks[*ask].1, Ask::Vacate(_));
                let task = if respects_budgets { Task::Expel } else { Task::Remove };
                for pod in items {
                    self.due.set(task(pod.key()), now.mono);
                }
            }
            _ => {}
        }
    }
}

impl Program for Operator {
    fn step(&mut self, now: Now, input: Input, out: &mut Effects) {
        if !self.begun {
            self.begin(now.mono);
        }
        for (task, answer) in self.calls.ended(now, &input) {
            match answer {
                Answer::Lost(_) => self.due.set(task, now.mono + RETRY),
                Answer::Refused(status) if status.code.is_some_and(|code| code >= 500) => {
                    self.due.set(task, now.mono + RETRY);
                }
                Answer::Refused(status) if status.code == Some(429) && matches!(task, Task::Expel(_)) => {
                    out.log(Level::Info, format!("operator: {status}"));
                    self.due.set(task, now.mono + EVICT_AGAIN);
                }
                Answer::Refused(status) => out.log(Level::Info, format!("operator: {status}")),
                answer => self.done(now, &task, answer),
            }
        }
        while let Some(task) = self.due.pop_due(now.mono) {
            let verb = self.verb(&task);
            self.calls.call(now, task, verb, out);
        }
        out.wake_at(self.due.next());
        out.wake_at(self.calls.next());
    }
}
