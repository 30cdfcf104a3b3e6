//! What is done where a view is behind an owner: the API server is asked for what it may not show yet.

use super::{Asked, Confirmed, WorkloadController, fail};
use crate::api::kinds::Kind;
use crate::api::object::{Key, Object};
use crate::controllers::workload::{Views, Workload};
use crate::program::{Answer, Effects, Query, Revision, Verb};
use crate::time::{Duration, Now};

/// So long a view may be behind before the API server is asked: as a rule the news are on their way.
const BEHIND: Duration = Duration::from_secs(1);

impl WorkloadController {
    /// Whether these children are as the views show them. Where a view is older than the owner, the API server is asked.
    pub(super) fn confirm(
        &mut self,
        now: Now,
        key: &Key,
        owner: &Object,
        children: Vec<Key>,
        out: &mut Effects,
    ) -> bool {
        let Some(care) = self.care.get_mut(key) else { return false };
        care.confirmed.retain(|child, known| known.owner == owner.revision() && children.contains(child));
        let mut all = true;
        for child in children {
            let is_fresh = self.views.is_as_new_as(child.kind, owner);
            let Some(shown) = self.views.object(&child).filter(|_| !is_fresh) else { continue };
            let seen = Confirmed { child: shown.revision(), owner: owner.revision(), said: false };
            let known = care.confirmed.get(&child).filter(|known| known.child == seen.child);
            all &= known.is_some_and(|known| known.said);
            if known.is_some() {
                continue;
            }
            if let Some(turn) = care.status.waits_until(now.mono) {
                self.queue.set_if_earlier(key.clone(), turn);
                continue;
            }
            sometimes!(ChildConfirmed);
            care.confirmed.insert(child.clone(), seen);
            let asked = Asked::Confirm { owner: key.clone(), child: child.clone(), seen };
            self.calls.call(now, asked, Verb::Get { key: child }, out);
        }
        all
    }

    /// The answer to whether a child is as the view showed it.
    pub(super) fn confirmation_answered(
        &mut self,
        now: Now,
        owner: &Object,
        child: &Key,
        seen: Confirmed,
        answer: &Answer,
    ) {
        let Some(care) = self.care.get_mut(&owner.key()) else { return };
        let same = matches!(answer, Answer::Object { object, .. } if object.revision() == seen.child);
        match care.confirmed.get_mut(child).filter(|known| **known == seen) {
            Some(known) if same => known.said = true,
            // The view will show what it is; of a lost answer nothing is concluded.
            Some(_) => {
                care.confirmed.remove(child);
                fail(&mut care.status, now);
            }
            None => {}
        }
    }

    /// Asks for an owner's children, if the view of them stays behind.
    pub(super) fn compare(
        &mut self,
        now: Now,
        workload: &dyn Workload,
        owner: &Object,
        kind: Option<Kind>,
        out: &mut Effects,
    ) {
        let key = owner.key();
        let Some(care) = self.care.get_mut(&key) else { return };
        let (Some(kind), Some(labels)) = (kind, workload.selector(owner)) else { return care.behind = None };
        let since = match care.behind {
            Some((at, since)) if at == owner.revision() => since,
            _ => now.mono,
        };
        care.behind = Some((owner.revision(), since));
        let turn = care.comparison.waits_until(now.mono).unwrap_or_default().max(since + BEHIND);
        if care.comparing {
            return;
        }
        if turn > now.mono {
            return self.queue.set_if_earlier(key, turn);
        }
        care.comparing = true;
        let namespace = Some(key.namespace.clone());
        let query = Query { namespace, labels: labels.into_owned(), ..Query::all(kind) };
        let asked = Asked::Compare { owner: key, owner_uid: owner.meta().uid.clone(), kind };
        self.calls.call(now, asked, Verb::List(query), out);
    }

    /// The answer to which children of a kind there are.
    pub(super) fn comparison_answered(&mut self, now: Now, owner: &Object, kind: Kind, answer: &Answer) {
        let Some(care) = self.care.get_mut(&owner.key()) else { return };
        care.comparing = false;
        match answer {
            Answer::List { revision, items } if agrees(&self.views, owner, kind, *revision, items) => {
                sometimes!(ChildrenCompared);
                care.compared = *revision;
                care.comparison.succeeded();
            }
            // The view will show it, or the list is older than the view.
            _ => fail(&mut care.comparison, now),
        }
    }
}

/// Whether a view shows an owner's children as they were at this revision, or newer.
fn agrees(views: &Views, owner: &Object, kind: Kind, at: Revision, items: &[Object]) -> bool {
    let uid = &owner.meta().uid;
    let own = |object: &&Object| object.meta().controller().is_some_and(|by| by.uid == *uid);
    let is_shown = |item: &Object| views.object(&item.key()).is_some_and(|shown| shown.revision() >= item.revision());
    let is_there = |shown: &Object| shown.revision() > at || items.iter().any(|item| item.key() == shown.key());
    items.iter().filter(own).all(is_shown) && views.owned_by(uid).filter(|child| child.kind() == kind).all(is_there)
}
