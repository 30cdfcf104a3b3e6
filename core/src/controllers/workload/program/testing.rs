//! The program by itself: what it asks for, answered by the tests of its parts.

use super::{Options, WorkloadController};
use crate::api::kinds::Kind;
use crate::api::names;
use crate::api::object::Object;
use crate::api::status::Status;
use crate::controllers::replicaset::ReplicaSets;
use crate::controllers::workload::{Workload, claim};
use crate::program::{Answer, CallId, Effect, Effects, Input, Program, Request, Revision, Verb};
use crate::time::{Now, Wall};
use serde_json::{Value, json};

/// A controller, its open calls, and a clock.
pub(super) struct Desk {
    controller: WorkloadController,
    pub(super) now: Now,
    pub(super) calls: Vec<(CallId, Request)>,
}

impl Desk {
    pub(super) fn step(&mut self, input: Input) {
        let mut out = Effects::default();
        self.controller.step(self.now, input, &mut out);
        self.calls.extend(out.list.into_iter().filter_map(|effect| match effect {
            Effect::Call { call, request } => Some((call, request)),
            _ => None,
        }));
    }

    /// Takes out the first open call of a kind that is asked like this.
    pub(super) fn take(&mut self, kind: Kind, verb: fn(&Verb) -> bool) -> Option<(CallId, Verb)> {
        let of = |verb: &Verb| match verb {
            Verb::List(query) | Verb::Watch { query, .. } => query.kind,
            Verb::Create { object } | Verb::Update { object, .. } => object.kind(),
            Verb::Get { key }
            | Verb::Merge { key, .. }
            | Verb::Patch { key, .. }
            | Verb::Bind { key, .. }
            | Verb::Delete { key, .. } => key.kind,
        };
        let at = self.calls.iter().position(|(_, request)| of(&request.verb) == kind && verb(&request.verb))?;
        let (call, request) = self.calls.remove(at);
        Some((call, request.verb))
    }

    pub(super) fn answer(&mut self, call: CallId, answer: Answer) {
        self.step(Input::Reply { call, answer });
    }

    /// Answers the list of a kind, and opens its watch.
    pub(super) fn list(&mut self, kind: Kind, items: Vec<Object>) -> CallId {
        let (call, _) = self.take(kind, |verb| matches!(verb, Verb::List(_))).unwrap();
        self.answer(call, Answer::List { revision: Revision(9), items });
        let (call, _) = self.take(kind, |verb| matches!(verb, Verb::Watch { .. })).unwrap();
        self.answer(call, Answer::Watching);
        call
    }

    pub(super) fn created(&mut self) -> Option<(CallId, String)> {
        match self.take(Kind::Pod, |verb| matches!(verb, Verb::Create { .. }))? {
            (call, Verb::Create { object }) => Some((call, object.meta().name.to_string())),
            _ => None,
        }
    }
}

pub(super) fn object(kind: Kind, value: Value) -> Object {
    Object::from_value(kind, value).unwrap()
}

pub(super) fn set(replicas: u64) -> Object {
    object(
        Kind::ReplicaSet,
        json!({"metadata": {"name": "web", "namespace": "default", "uid": "u", "resourceVersion": "1"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}}}),
    )
}

/// The first pod of the set.
pub(super) fn first_pod(set: &Object) -> Object {
    object(
        Kind::Pod,
        json!({"metadata": {"name": names::child("web", "u", 0), "namespace": "default", "uid": "p",
            "resourceVersion": "2", "labels": {"a": "b"}, "ownerReferences": [claim::reference(set)]},
            "spec": {"containers": []}}),
    )
}

pub(super) fn desk() -> Desk {
    desk_of(&[&ReplicaSets])
}

/// One that cares for these.
pub(super) fn desk_of(workloads: &'static [&'static dyn Workload]) -> Desk {
    let now = Now { wall: Wall::from_secs(1), ..Now::default() };
    let mut desk = Desk { controller: WorkloadController::new(workloads, Options::default()), now, calls: Vec::new() };
    desk.step(Input::Wake);
    desk
}

/// There was no time for it once; if it arrives twice, there may be the other time.
pub(super) fn turned_away() -> Answer {
    Answer::Refused(Status::too_many_requests("later", 1))
}
