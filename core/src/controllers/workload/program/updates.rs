//! What is written for an owner: objects as they are to be, and its own status.

use super::{Asked, Decided, WorkloadController, fail, said};
use crate::api::object::{Key, Object};
use crate::api::status::Reason;
use crate::controllers::workload::{Changed, Told};
use crate::program::{Answer, Effects, Level, Part, Verb};
use crate::time::Now;

impl WorkloadController {
    /// Changes objects, if none of an earlier time is refused still.
    pub(super) fn change(&mut self, now: Now, key: &Key, changes: Vec<Changed>, out: &mut Effects) {
        let Some(care) = self.care.get_mut(key) else { return };
        if let Some(turn) = care.changing.waits_until(now.mono).filter(|_| !changes.is_empty()) {
            return self.queue.set_if_earlier(key.clone(), turn);
        }
        let mut decided = Decided::default();
        for Changed { object, told, because } in changes {
            because.into_iter().for_each(|because| decided.add(because, object.key()));
            self.changes.expect(key, object.key());
            let owner_uid = care.uid.clone();
            let asked = Asked::Change { owner: key.clone(), owner_uid, object: object.key(), told };
            self.calls.call(now, asked, Verb::Update { object, part: Part::Main }, out);
        }
        decided.tell(key, out);
    }

    /// What came of a change.
    pub(super) fn change_answered(
        &mut self,
        now: Now,
        owner: &Object,
        object: Key,
        told: Option<Told>,
        answer: &Answer,
        out: &mut Effects,
    ) {
        let key = owner.key();
        let Some(care) = self.care.get_mut(&key) else { return };
        let Answer::Object { object: changed, .. } = answer else {
            // Refused on a view that was behind, or lost: then the next try is on a version that is no more.
            out.log(Level::Debug, format!("{key}: change of {object}: {}", said(answer)));
            self.changes.met(&key, &object);
            return fail(&mut care.changing, now);
        };
        care.changing.succeeded();
        let shown = self.views.object(&object).map(Object::revision);
        if shown.is_some_and(|shown| shown >= changed.revision()) {
            self.changes.met(&key, &object);
        } else if self.changes.has(&key, &object) {
            care.changed_at.insert(object, changed.revision());
        }
        if let Some(told) = told {
            self.tell(now, owner, told, out);
        }
    }

    /// Writes the status, unless one is on its way or the view does not show the last one yet.
    pub(super) fn write_status(
        &mut self,
        now: Now,
        key: &Key,
        owner: &Object,
        status: Object,
        tell: Vec<Told>,
        out: &mut Effects,
    ) {
        let Some(care) = self.care.get_mut(key) else { return };
        if care.status_asked || owner.revision() < care.status_at {
            return;
        }
        if let Some(turn) = care.status.waits_until(now.mono) {
            return self.queue.set_if_earlier(key.clone(), turn);
        }
        care.status_asked = true;
        let verb = Verb::Update { object: status, part: Part::Status };
        let asked = Asked::Status { owner: key.clone(), owner_uid: owner.meta().uid.clone(), tell };
        self.calls.call(now, asked, verb, out);
    }

    /// What came of a status.
    pub(super) fn status_answered(
        &mut self,
        now: Now,
        owner: &Object,
        tell: Vec<Told>,
        answer: &Answer,
        out: &mut Effects,
    ) {
        let Some(care) = self.care.get_mut(&owner.key()) else { return };
        care.status_asked = false;
        let Answer::Object { object: written, .. } = answer else {
            // On a conflict the view brings the news that the next try needs.
            if matches!(answer, Answer::Refused(status) if status.reason == Some(Reason::Conflict)) {
                sometimes!(StatusConflict);
            }
            return fail(&mut care.status, now);
        };
        care.status.succeeded();
        care.status_at = written.revision();
        for told in tell {
            self.tell(now, owner, told, out);
        }
    }
}
