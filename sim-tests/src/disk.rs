//! The durable store behind a simulated API server: what was synced stays, whatever crashes.
//!
//! Writes that arrive while a sync is under way wait for the next one and share it (group commit). Revisions are
//! given when a sync is done, in the order of arrival.

use crate::trace::Seq;
use miniku_core::api::by_key::ByKey;
use miniku_core::api::object::{Key, Object};
use miniku_core::program::{CommitId, Committed, Revision, Write};
use miniku_core::sometimes;
use miniku_core::store::{Change, Store};

/// What becomes of the batch that is being synced when the API server crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unsynced {
    /// It is lost. So is, always, what waited for the next sync.
    Lost,
    /// It is on the disk, but nobody was told.
    Kept,
    /// The disk has so many of its writes, the first ones; it is torn after them.
    First(usize),
}

impl std::fmt::Display for Unsynced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unsynced::Lost => f.write_str("lost"),
            Unsynced::Kept => f.write_str("kept"),
            Unsynced::First(many) => write!(f, "kept up to the first {many}"),
        }
    }
}

/// A disk with an engine on it.
#[derive(Debug, Default)]
pub struct Disk {
    objects: ByKey<Object>,
    revision: Revision,
    waiting: Vec<Submitted>,
    syncing: Vec<Submitted>,
    /// While it is set, every sync fails with this message.
    pub broken: Option<String>,
}

/// A write on its way, and what led to it.
#[derive(Debug)]
pub struct Submitted {
    commit: CommitId,
    write: Write,
    cause: Seq,
}

/// What became of one write.
#[derive(Debug)]
pub struct Outcome {
    /// The write's name.
    pub commit: CommitId,
    /// What its writer is told.
    pub outcome: Committed,
    /// The change it made.
    pub change: Option<Change>,
    /// What led to the write.
    pub cause: Seq,
}

impl Disk {
    /// All durable objects.
    pub fn objects(&self) -> &ByKey<Object> {
        &self.objects
    }

    /// The revision of the last durable write.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Stores an object that is there from the beginning; nothing if one of its name is there already.
    pub fn preload(&mut self, object: Object) -> Option<Change> {
        self.apply(Write { key: object.key(), expect: Revision(0), object: Some(object) })
    }

    /// Takes in a write. Tells whether a sync has to be started for it now.
    pub fn submit(&mut self, commit: CommitId, write: Write, cause: Seq) -> bool {
        let idle = self.syncing.is_empty();
        let queue = if idle { &mut self.syncing } else { &mut self.waiting };
        queue.push(Submitted { commit, write, cause });
        idle
    }

    /// The writes on their way, in their order: what each object becomes; nothing, if it is removed.
    pub fn on_their_way(&self) -> impl Iterator<Item = (&Key, Option<&Object>)> {
        self.syncing.iter().chain(&self.waiting).map(|one| (&one.write.key, one.write.object.as_ref()))
    }

    /// The first write of the batch that is being synced; a batch is drawn a delay by it.
    pub fn first(&self) -> Option<&Key> {
        self.syncing.first().map(|one| &one.write.key)
    }

    /// The sync under way is done. The next one, if writes wait, has begun. Gives the writes of the batch, for
    /// [`Disk::settle`].
    pub fn synced(&mut self) -> Vec<Submitted> {
        std::mem::replace(&mut self.syncing, std::mem::take(&mut self.waiting))
    }

    /// A write that was synced becomes durable, or fails. One after the other, though one sync is all that it took: who
    /// looks at a change finds no later one on the disk.
    pub fn settle(&mut self, submitted: Submitted) -> Outcome {
        let Submitted { commit, write, cause } = submitted;
        let (outcome, change) = match &self.broken {
            Some(why) => (Committed::Failed(why.clone()), None),
            None => match self.apply(write) {
                Some(change) => (Committed::At(change.revision), Some(change)),
                None => (Committed::Conflict, None),
            },
        };
        Outcome { commit, outcome, change, cause }
    }

    /// Who wrote is gone. Gives the writes that were synced all the same, for [`Disk::settle`].
    pub fn crash(&mut self, unsynced: Unsynced) -> Vec<Submitted> {
        self.waiting.clear();
        let mut batch = std::mem::take(&mut self.syncing);
        let kept = match unsynced {
            _ if self.broken.is_some() => 0,
            Unsynced::Lost => 0,
            Unsynced::Kept => batch.len(),
            Unsynced::First(many) => many.min(batch.len()),
        };
        if kept < batch.len() {
            sometimes!(UnsyncedLost);
        }
        if kept > 0 {
            sometimes!(UnsyncedKept);
        }
        batch.truncate(kept);
        batch
    }

    /// Keeps this copy of an object that is equal to the stored one.
    pub fn share(&mut self, object: &Object) {
        if let Some(stored) = self.objects.get_mut(&object.key())
            && stored.revision() == object.revision()
        {
            *stored = object.clone();
        }
    }

    /// What an API server starts from, as every engine gives it.
    pub fn load(&self) -> Store {
        Store::load(self.objects.values().cloned(), self.revision)
    }

    fn apply(&mut self, write: Write) -> Option<Change> {
        let Write { key, expect, object } = write;
        let stored = self.objects.get_mut(&key);
        if stored.as_ref().map_or(Revision(0), |stored| stored.revision()) != expect {
            return None;
        }
        let revision = Revision(self.revision.0 + 1);
        self.revision = revision;
        let new = object.map(|object| object.with_meta(|meta| meta.resource_version = revision.into()));
        let old = match (stored, new.clone()) {
            (Some(stored), Some(new)) => Some(std::mem::replace(stored, new)),
            (Some(_), None) => self.objects.remove(&key),
            (None, Some(new)) => self.objects.insert(key.clone(), new),
            (None, None) => None,
        };
        Some(Change { revision, key, old, new })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniku_core::api::kinds::Kind;

    fn write(name: &str, expect: u64) -> Write {
        let object = Object::empty(Kind::Lease).with_meta(|meta| meta.name = name.into());
        Write { key: object.key(), expect: Revision(expect), object: Some(object) }
    }

    #[test]
    fn writes_share_syncs_and_get_revisions_in_order() {
        let mut disk = Disk::default();
        assert!(disk.submit(CommitId(1), write("a", 0), 0));
        assert!(!disk.submit(CommitId(2), write("b", 0), 0), "the second waits for the next sync");
        assert!(!disk.submit(CommitId(3), write("a", 0), 0));
        let names: Vec<&str> = disk.on_their_way().map(|(key, _)| key.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "a"]);
        let told = |disk: &mut Disk| -> Vec<_> {
            let batch = disk.synced();
            batch.into_iter().map(|one| disk.settle(one)).map(|one| (one.commit.0, one.outcome)).collect()
        };
        assert_eq!(told(&mut disk), [(1, Committed::At(Revision(1)))]);
        assert_eq!(told(&mut disk), [(2, Committed::At(Revision(2))), (3, Committed::Conflict)]);
        assert!(told(&mut disk).is_empty());
    }

    #[test]
    fn the_writes_of_a_batch_become_durable_one_after_the_other() {
        let mut disk = Disk::default();
        for (nth, name) in (1..).zip(["a", "b", "c"]) {
            disk.submit(CommitId(nth), write(name, 0), 0);
        }
        disk.synced().into_iter().for_each(|one| drop(disk.settle(one)));
        let durable: Vec<usize> = disk
            .synced()
            .into_iter()
            .map(|one| {
                disk.settle(one);
                disk.objects().len()
            })
            .collect();
        assert_eq!(durable, [2, 3]);
    }

    #[test]
    fn a_crash_keeps_what_was_synced() {
        let checks = [(Unsynced::Lost, 1), (Unsynced::First(1), 2), (Unsynced::First(9), 4), (Unsynced::Kept, 4)];
        for (unsynced, kept) in checks {
            let mut disk = Disk::default();
            for (nth, name) in (1..).zip(["a", "b", "c", "d"]) {
                disk.submit(CommitId(nth), write(name, 0), 0);
            }
            disk.synced().into_iter().for_each(|one| drop(disk.settle(one)));
            // b, c and d are being synced; e waits.
            disk.submit(CommitId(5), write("e", 0), 0);
            disk.crash(unsynced).into_iter().for_each(|one| drop(disk.settle(one)));
            assert_eq!((disk.load().len(), disk.load().revision()), (kept, Revision(kept as u64)));
        }
    }
}
