//! What becomes durable, and which of it a quiet cluster would not write.

use super::agenda::Happening;
use super::{Noise, TICK, World};
use crate::disk::Outcome;
use crate::trace::What;
use crate::truth::Fact;
use miniku_core::api::event::Event;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Object;
use miniku_core::api::pod::Pod;
use miniku_core::api::text::Text;
use miniku_core::program::{CommitId, Committed, Input};
use miniku_core::store::Change;

impl World {
    pub(super) fn sync(&mut self) {
        let Some(first) = self.truth.disk.first() else { return };
        let draw = self.server.syncs.object(0, first);
        let at = self.truth.now + self.server.sync.of(draw) + self.server.trouble.sync(draw);
        let life = self.server.who.life;
        self.agenda.add(at, draw.count(1).u64(), Happening::Synced { life });
    }

    /// The disk has synced: what it was given is durable, or has failed.
    pub(super) fn synced(&mut self, life: u32) {
        if self.server.who.life != life {
            return;
        }
        let fails = self.server.trouble.fails();
        self.truth.disk.broken = fails;
        for submitted in self.truth.disk.synced() {
            let Outcome { commit, outcome, change, cause } = self.truth.disk.settle(submitted);
            self.agenda.cause = cause;
            if let Some(change) = change {
                self.durable(change);
            }
            let at = self.truth.now.max(self.server.told_at + TICK);
            self.server.told_at = at;
            self.agenda.add(at, commit.0, Happening::Commit { life, commit, outcome });
        }
        self.sync();
    }

    /// The API server is told what became of a write.
    pub(super) fn committed(&mut self, life: u32, commit: CommitId, outcome: Committed) {
        if self.server.who.life != life {
            return;
        }
        if let Committed::At(revision) = outcome
            && let Some(change) = self.truth.change(revision)
        {
            self.judge.see(&self.truth, Fact::Told { change });
        }
        self.step_server(Input::Committed { commit, outcome });
    }

    pub(super) fn durable(&mut self, change: Change) {
        self.counts.writes += 1;
        if !is_beat(&change) {
            self.counts.loud_writes += 1;
            self.last_noise = Noise::Write(change.key.clone(), change.revision);
        }
        self.tell(|| What::Write(change.clone()));
        self.truth.durable(change);
        let change = self.truth.history.back().expect("one was just added");
        self.judge.see(&self.truth, Fact::Durable { change });
        let (kind, revision) = (change.key.kind, change.revision);
        self.wrote(kind, revision);
    }
}

/// Whether a write comes again and again in a cluster at rest, as in Kubernetes. An autoscaler that cannot measure says so
/// each time that it looks; why a pod has no node may be told in other words when the scheduler looks again; and that an
/// image cannot be had is counted at each try.
fn is_beat(change: &Change) -> bool {
    let event = change.new.as_ref().and_then(Object::get::<Event>);
    let again = event.is_some_and(|event| match (&*event.involved_object.kind, &*event.reason) {
        ("HorizontalPodAutoscaler", _) => change.old.is_some(),
        ("Pod", "FailedScheduling") => true,
        ("Pod", "Failed") => change.old.is_some() && event.message.contains("ErrImagePull"),
        _ => false,
    });
    change.key.kind == Kind::Lease || again || waits_on(change)
}

/// Whether nothing has changed but the words in which a pod is told why it has no node.
fn waits_on(change: &Change) -> bool {
    let silent = |object: &Option<Object>| {
        let mut pod = object.as_ref()?.get::<Pod>()?.clone();
        let why = pod.status.conditions.iter_mut().find(|one| one.kind == "PodScheduled" && one.status == "False")?;
        why.message = Text::default();
        pod.metadata.resource_version = Text::default();
        pod.metadata.managed_fields = None;
        Some(pod)
    };
    silent(&change.old).is_some_and(|before| silent(&change.new) == Some(before))
}
