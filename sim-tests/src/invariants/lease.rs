//! S-lease: Of several that do the same one leads. Its writes name its lease, and are stored only while the lease is as it took it. A lease that is held is taken by another only after it has not changed for as long as it is good, and in a new term. Nobody asks for a write whose lease has run out, who has not renewed it within the renew deadline, or who was told that it is not held any more. Nobody writes the lease again on a version that it was told is stale. Who renews in time what it holds does not take it anew. Who leads and is told to end gives back its lease, which nobody else does.
//!
//! How long a lease is good counts from when a change of its spec was stored: nobody can have seen it earlier. Clocks
//! may run 5 % too fast, or too slowly. The deadline counts from when the renewal was sent that was stored last: a slow
//! answer gives no more time. Whoever has written under a lease leads, until he may have been told of no renewal for as
//! long as the deadline is, or of its end. Leases of nodes have no terms, and are nobody else's.
//! Catches: an API server that lets a former leader write; a stand-by without patience; a leader that does not notice, or
//! leaves others to wait, or takes what is said of a former time of leading for the present one.

use super::{Broken, Checker, by_its_clock};
use crate::truth::{Fact, Role, Sight, Truth, Who};
use miniku_core::api::kinds::Kind;
use miniku_core::api::lease::{Fence, Lease};
use miniku_core::api::object::{Key, Object};
use miniku_core::api::status::{Reason, Status};
use miniku_core::client::leader;
use miniku_core::program::{Answer, Input, Request, RequestId, Revision, Verb};
use miniku_core::store::Change;
use miniku_core::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The leases, and what is asked under them.
#[derive(Default)]
pub struct Leases {
    /// By whom each lease was held, and from which revision on.
    held: BTreeMap<Key, Vec<(Revision, Option<Fence>)>>,
    /// When each time of leading was renewed last, and for how long.
    renewed: BTreeMap<Fence, (Instant, Duration)>,
    /// What was asked under a lease, and after which revision.
    sent: BTreeMap<RequestId, (Arc<Fence>, Revision)>,
    /// Who wants to lead, and in which life.
    candidates: BTreeSet<(Arc<str>, u32)>,
    /// When each wish for a lease was sent, and for which.
    wishes: BTreeMap<RequestId, (Key, Instant)>,
    /// When the last wish was sent that was granted, by the time of leading that it made or prolonged.
    granted: BTreeMap<Fence, Instant>,
    /// Which times of leading who leads was told of.
    told: BTreeSet<Fence>,
    /// Which were given back.
    given_back: BTreeSet<Fence>,
    /// Who was told to end.
    ends: Option<(Arc<str>, u32)>,
    /// Under which lease each candidate wrote last, and whether it was told that it is not held.
    under: BTreeMap<Arc<str>, (Arc<Fence>, bool)>,
    /// On which revision each candidate wrote its lease last, in which life, and whether it was told that this is not the
    /// newest.
    upon: BTreeMap<Arc<str>, (u32, Revision, bool)>,
    /// For which wish for its lease each candidate waits, if it has not looked at the lease since.
    awaited: BTreeMap<Arc<str>, RequestId>,
    /// At which revision each wish was granted, and when that was sent.
    answers: BTreeMap<RequestId, (Revision, Instant)>,
    /// When the last wish was sent of which its candidate was told that it is granted, by the time of leading.
    heard: BTreeMap<Fence, Instant>,
    /// Times of leading that may be over for who leads: somebody was told so, or of a renewal as late as that.
    over: BTreeSet<Fence>,
}

/// Source: Kubernetes, kube-scheduler and kube-controller-manager, `--leader-elect-renew-deadline`.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);

/// Requests whose answers are lost never close; so many are remembered.
const REMEMBERED: usize = 65_536;

fn is_election(key: &Key) -> bool {
    key.kind == Kind::Lease && key.namespace == leader::NAMESPACE
}

fn subject(verb: &Verb) -> Option<Key> {
    match verb {
        Verb::Create { object } | Verb::Update { object, .. } => Some(object.key()),
        Verb::Merge { key, .. } | Verb::Patch { key, .. } | Verb::Bind { key, .. } | Verb::Delete { key, .. } => {
            Some(key.clone())
        }
        Verb::Get { .. } | Verb::List(_) | Verb::Watch { .. } => None,
    }
}

/// What a program writes into its leases.
fn identity(who: &Who) -> String {
    format!("{}_{}", who.name, who.life)
}

impl Leases {
    /// A program asks for something.
    fn asks(&mut self, truth: &Truth, who: &Who, id: RequestId, request: &Request) -> Result<(), Broken> {
        if matches!(&request.verb, Verb::Get { key } if is_election(key)) {
            self.awaited.remove(&who.name);
        }
        let Some(subject) = subject(&request.verb) else { return Ok(()) };
        if is_election(&subject) {
            // An intruder only meddles with what somebody else writes.
            return match who.role {
                Role::Other | Role::Operator => Ok(()),
                _ => self.asks_for_lease(truth, who, id, subject, &request.verb),
            };
        }
        if let Some(fence) = &request.fence {
            return self.asks_under(truth, who, id, &subject, fence);
        }
        // What it tells of its election is no doing of a leader.
        let tells = subject.kind == Kind::Event;
        match self.candidates.contains(&(who.name.clone(), who.life)) && !tells {
            true => Err(Broken::by(format!("{who} writes {subject} and does not say by which lease"))),
            false => Ok(()),
        }
    }

    /// A candidate asks for its lease, or for its end.
    fn asks_for_lease(
        &mut self,
        truth: &Truth,
        who: &Who,
        id: RequestId,
        lease: Key,
        verb: &Verb,
    ) -> Result<(), Broken> {
        self.writes_lease(truth, who, verb)?;
        self.candidates.insert((who.name.clone(), who.life));
        // Of what something on the way asks twice, who knows which answer is heard?
        let last = self.awaited.get(&who.name).and_then(|id| self.wishes.get(id));
        match last.is_some_and(|(_, at)| *at == truth.now) {
            true => drop(self.awaited.remove(&who.name)),
            false => drop(self.awaited.insert(who.name.clone(), id)),
        }
        self.wishes.insert(id, (lease, truth.now));
        if self.wishes.len() > REMEMBERED {
            self.wishes.pop_first();
        }
        Ok(())
    }

    /// A leader asks for a write under its lease: whether it may think that it leads.
    fn asks_under(
        &mut self,
        truth: &Truth,
        who: &Who,
        id: RequestId,
        subject: &Key,
        fence: &Arc<Fence>,
    ) -> Result<(), Broken> {
        if let Some((at, good)) = self.renewed.get(fence.as_ref())
            && truth.now.since(*at) > *good
        {
            let secs = truth.now.since(*at).as_secs_f64();
            let what = format!("{who} asks to write {subject} {secs:.1} s after its lease was renewed");
            return Err(Broken::by(what));
        }
        if let Some(at) = self.granted.get(fence.as_ref())
            && truth.now.since(*at) > RENEW_DEADLINE * 100 / 95
        {
            let secs = truth.now.since(*at).as_secs_f64();
            return Err(Broken::by(format!("{who} asks to write {subject} {secs:.1} s after it sent a renewal")));
        }
        if let Some((last, true)) = self.under.insert(who.name.clone(), (fence.clone(), false))
            && last == *fence
        {
            return Err(Broken::by(format!("{who} asks to write {subject} and was told that it leads no more")));
        }
        self.sent.insert(id, (fence.clone(), truth.disk.revision()));
        if self.sent.len() > REMEMBERED {
            self.sent.pop_first();
        }
        Ok(())
    }

    /// A candidate is told how its lease is.
    fn reads_lease(&mut self, now: Instant, who: &Who, lease: &Object) {
        if let Some((.., told)) = self.upon.get_mut(&who.name) {
            // It has been read again since.
            *told = false;
        }
        let fence = lease.get::<Lease>().and_then(Fence::of);
        if let Some(fence) = fence.filter(|fence| fence.holder == identity(who)) {
            self.is_granted(now, who, lease.revision(), &fence);
            self.told.insert(fence);
        }
    }

    /// A wish for a lease is granted.
    fn grants(&mut self, id: RequestId, lease: &Object) {
        let sent = self.wishes.remove(&id).filter(|(key, _)| lease.key() == *key);
        if let (Some((_, at)), Some(fence)) = (sent, lease.get::<Lease>().and_then(Fence::of)) {
            self.answers.insert(id, (lease.revision(), at));
            if self.answers.len() > REMEMBERED {
                self.answers.pop_first();
            }
            // Of two that overtook each other the later one counts.
            let last = self.granted.entry(fence).or_insert(at);
            *last = at.max(*last);
        }
    }

    /// What was asked under a lease is answered: whether the lease was as it was taken when that was written.
    fn answered(&mut self, truth: &Truth, id: RequestId, answer: &Answer) -> Result<(), Broken> {
        let Some((fence, after)) = self.sent.remove(&id) else { return Ok(()) };
        if matches!(answer, Answer::Refused(status) if status.is_fenced()) {
            self.over.insert(Fence::clone(&fence));
        }
        let Some(change) = Leases::made(truth, answer, after) else { return Ok(()) };
        let held = self.held.get(&fence.lease).into_iter().flatten();
        let then = held.rev().find(|(from, _)| *from < change.revision).and_then(|(_, fence)| fence.as_ref());
        if then == Some(fence.as_ref()) {
            return Ok(());
        }
        let now = then.map_or("is held by nobody".into(), |then| format!("is {}'s, term {}", then.holder, then.term));
        let what = format!(
            "{} was written @{} by {} in term {}, when the lease {now}",
            change.key, change.revision, fence.holder, fence.term
        );
        Err(Broken::by(what).with(change.new.iter().chain(&change.old)))
    }

    /// A candidate is told that a write of its came to nothing.
    fn refused(&mut self, who: &Who, status: &Status) {
        if status.is_fenced()
            && let Some((fence, shut)) = self.under.get_mut(&who.name)
        {
            let held = self.held.get(&fence.lease).and_then(|held| held.last());
            *shut = held.is_some_and(|(_, held)| held.as_ref() != Some(&**fence));
        }
        let of_lease = status.details.as_ref().is_some_and(|of| of.kind == Kind::Lease.row().plural);
        if of_lease
            && status.reason == Some(Reason::Conflict)
            && let Some((.., told)) = self.upon.get_mut(&who.name)
        {
            *told = true;
        }
    }

    /// A candidate writes its lease; perhaps so that nobody holds it.
    fn writes_lease(&mut self, truth: &Truth, who: &Who, verb: &Verb) -> Result<(), Broken> {
        let (Verb::Update { object, .. } | Verb::Create { object }) = verb else { return Ok(()) };
        let upon = (who.life, object.revision());
        if let Some((life, revision, true)) = self.upon.insert(who.name.clone(), (upon.0, upon.1, false))
            && (life, revision) == upon
        {
            return Err(Broken::by(format!("{who} writes its lease on @{} again, which is stale", revision.0)));
        }
        // As it was when it was read.
        let read = truth.change(object.revision()).and_then(|change| change.new.as_ref());
        let Some(read) = read.filter(|read| read.key() == object.key()) else { return Ok(()) };
        let fence = |object: &Object| object.get::<Lease>().and_then(Fence::of);
        let Some(held) = fence(read) else { return Ok(()) };
        if let Some(new) = fence(object) {
            let anew = new.holder == held.holder && new != held;
            return if anew { self.takes_anew(truth, who, &held) } else { Ok(()) };
        }
        if held.holder != identity(who) {
            let what = format!("{who} gives back {}, which is {}'s", held.lease, held.holder);
            return Err(Broken::by(what).with([read]));
        }
        self.given_back.insert(held);
        Ok(())
    }

    /// A candidate takes the lease that it holds, for another time of leading.
    fn takes_anew(&self, truth: &Truth, who: &Who, held: &Fence) -> Result<(), Broken> {
        let leads = self.under.get(&who.name).is_some_and(|(fence, _)| **fence == *held) && !self.over.contains(held);
        match self.heard.get(held).map(|at| truth.now.since(*at)).filter(|_| leads) {
            Some(since) if since < RENEW_DEADLINE * 95 / 100 => {
                let (lease, secs) = (&held.lease, since.as_secs_f64());
                let what = format!("{who} takes {lease} anew, which it holds and asked to renew {secs:.1} s ago");
                Err(Broken::by(what).with(truth.object(lease)))
            }
            _ => Ok(()),
        }
    }

    /// A candidate is told that it holds its lease, as of this revision; perhaps since it wished for that.
    fn is_granted(&mut self, now: Instant, who: &Who, at: Revision, fence: &Fence) {
        let answer = self.awaited.get(&who.name).and_then(|id| self.answers.get(id));
        let Some((_, sent)) = answer.filter(|(revision, _)| *revision == at).copied() else { return };
        let before = self.heard.insert(fence.clone(), sent);
        if before.is_some_and(|before| now.since(before) >= RENEW_DEADLINE * 95 / 100) {
            self.over.insert(fence.clone());
        }
    }

    /// Who was told to end, and knew that it leads, has ended.
    fn ended(&self, truth: &Truth, who: &Who) -> Result<(), Broken> {
        for (lease, held) in &self.held {
            let Some(fence) = held.last().and_then(|(_, fence)| fence.as_ref()) else { continue };
            let leads = |at: &Instant| truth.now.since(*at) < RENEW_DEADLINE * 95 / 100;
            if fence.holder == identity(who)
                && self.told.contains(fence)
                && self.granted.get(fence).is_some_and(leads)
                && !self.given_back.contains(fence)
            {
                return Err(
                    Broken::by(format!("{who} has ended in good order and keeps {lease}")).with(truth.object(lease))
                );
            }
        }
        Ok(())
    }

    fn changed(&mut self, now: Instant, change: &Change) -> Result<(), Broken> {
        let lease = |object: &Option<Object>| object.as_ref().and_then(Object::get::<Lease>).cloned();
        let (old, new) = (lease(&change.old), lease(&change.new));
        let (was, is) = (old.as_ref().and_then(Fence::of), new.as_ref().and_then(Fence::of));
        if let (Some(was), Some(is)) = (&was, &is)
            && (&was.holder, &was.uid) != (&is.holder, &is.uid)
        {
            let objects = change.old.iter().chain(&change.new);
            if was.term == is.term && was.uid == is.uid {
                return Err(Broken::by(format!("{} takes {} and leaves its term at {}", is.holder, is.lease, is.term))
                    .with(objects));
            }
            if let Some((at, good)) = self.renewed.get(was)
                && now.since(*at) < by_its_clock(*good)
            {
                let secs = now.since(*at).as_secs_f64();
                return Err(Broken::by(format!(
                    "{} takes {} {secs:.1} s after {} renewed it",
                    is.holder, is.lease, was.holder
                ))
                .with(objects));
            }
        }
        // Whoever labels a lease has not renewed it.
        let is_renewed = |new: &&Lease| old.as_ref().is_none_or(|old| old.spec != new.spec);
        if let (Some(is), Some(new)) = (&is, new.as_ref().filter(is_renewed)) {
            let good = u64::try_from(new.spec.lease_duration_seconds.unwrap_or(0)).unwrap_or(0);
            self.renewed.insert(is.clone(), (now, Duration::from_secs(good)));
        }
        let held = self.held.entry(change.key.clone()).or_default();
        if held.last().map(|(_, fence)| fence) != Some(&is) {
            held.push((change.revision, is));
        }
        Ok(())
    }

    /// The change that an answer tells of, if the request made one.
    fn made<'a>(truth: &'a Truth, answer: &Answer, after: Revision) -> Option<&'a Change> {
        match answer {
            Answer::Object { object, .. } if object.revision() > after => {
                truth.change(object.revision()).filter(|change| change.key == object.key())
            }
            Answer::Removed(status) => {
                let uid = &status.details.as_ref()?.uid;
                let removed = |change: &&Change| {
                    change.new.is_none() && change.old.as_ref().is_some_and(|old| old.meta().uid == *uid)
                };
                truth.history.iter().rev().take_while(|change| change.revision > after).find(removed)
            }
            _ => None,
        }
    }
}

impl Checker for Leases {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable, Sight::Sent, Sight::Answered, Sight::Heard, Sight::Died]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Durable { change } if is_election(&change.key) => self.changed(truth.now, change),
            Fact::Sent { who, id, request } => self.asks(truth, who, *id, request),
            Fact::Heard { who, input: Input::Reply { answer: Answer::Object { object, .. }, .. } }
                if is_election(&object.key()) =>
            {
                self.reads_lease(truth.now, who, object);
                Ok(())
            }
            Fact::Heard { who, input: Input::Reply { answer: Answer::Refused(status), .. } } => {
                self.refused(who, status);
                Ok(())
            }
            Fact::Heard { who, input: Input::Stop } => {
                self.ends = Some((who.name.clone(), who.life));
                Ok(())
            }
            Fact::Died { who } => match self.ends.take() {
                Some((name, life)) if name == who.name && life == who.life => self.ended(truth, who),
                _ => Ok(()),
            },
            Fact::Answered { id, answer: Answer::Object { object, .. } } if self.wishes.contains_key(id) => {
                self.grants(*id, object);
                Ok(())
            }
            Fact::Answered { id, answer } => self.answered(truth, *id, answer),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod, who};
    use super::*;
    use miniku_core::program::{CallId, Part};
    use serde_json::{Value, json};

    fn lease(holder: &str, term: i32, renewed: u32) -> Value {
        json!({"kind": "Lease", "metadata": {"name": "kube-scheduler", "namespace": "kube-system", "uid": "u"},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": term,
                "renewTime": format!("2026-01-01T00:00:{renewed:02}.000000Z")}})
    }

    fn under(change: &Change) -> Arc<Fence> {
        Arc::new(Fence::of(change.new.as_ref().unwrap().get().unwrap()).unwrap())
    }

    fn create() -> Request {
        Verb::Create { object: crate::plan::object(pod("a", "", "Pending")) }.into()
    }

    #[test]
    fn fires_on_a_lease_that_is_taken_early_or_in_the_same_term() {
        let mut story = Story::<Leases>::new();
        story.put(lease("a", 0, 0)).unwrap();
        story.pass(10).unwrap();
        story.put(lease("a", 0, 10)).unwrap();
        story.pass(14).unwrap();
        assert!(story.put(lease("b", 1, 24)).unwrap_err().what.contains("14.0 s after a renewed it"));
        // Nor does who writes on it without renewing it.
        let mut story = Story::<Leases>::new();
        story.put(lease("a", 0, 0)).unwrap();
        story.pass(14).unwrap();
        let mut labelled = lease("a", 0, 0);
        labelled["metadata"]["annotations"] = json!({"by": "an intruder"});
        story.put(labelled).unwrap();
        story.pass(2).unwrap();
        story.put(lease("b", 1, 16)).unwrap();
        let mut story = Story::<Leases>::new();
        story.put(lease("a", 0, 0)).unwrap();
        story.pass(16).unwrap();
        story.put(lease("b", 1, 16)).unwrap();
        story.pass(16).unwrap();
        assert!(story.put(lease("a", 1, 32)).unwrap_err().what.contains("leaves its term at 1"));
    }

    #[test]
    fn fires_on_a_write_under_a_lease_that_was_taken() {
        let mut story = Story::<Leases>::new();
        let fence = under(&story.put(lease("a", 0, 0)).unwrap());
        let (leader, request) = (who(Role::Scheduler, "scheduler"), Request { fence: Some(fence), ..create() });
        story.asks(1, &leader, request.clone()).unwrap();
        story.asks(2, &leader, request).unwrap();
        let made = story.put(pod("a", "", "Pending")).unwrap().new.unwrap();
        story.answers(1, &Answer::Object { object: made, created: true }).unwrap();
        story.pass(16).unwrap();
        story.put(lease("b", 1, 16)).unwrap();
        let made = story.put(pod("b", "", "Pending")).unwrap().new.unwrap();
        let broken = story.answers(2, &Answer::Object { object: made, created: true }).unwrap_err();
        assert!(broken.what.ends_with("by a in term 0, when the lease is b's, term 1"), "{}", broken.what);
    }

    #[test]
    fn fires_on_a_leader_that_asks_too_late_or_names_no_lease() {
        let mut story = Story::<Leases>::new();
        let change = story.put(lease("a", 0, 0)).unwrap();
        let (leader, object) = (who(Role::Scheduler, "scheduler"), change.new.clone().unwrap());
        story.sends(&leader, Verb::Create { object }).unwrap();
        let broken = story.asks(2, &leader, create()).unwrap_err();
        assert!(broken.what.ends_with("does not say by which lease"));
        let request = Request { fence: Some(under(&change)), ..create() };
        story.pass(15).unwrap();
        story.asks(3, &leader, request.clone()).unwrap();
        story.pass(1).unwrap();
        let broken = story.asks(4, &leader, request).unwrap_err();
        assert!(broken.what.contains("16.0 s after its lease was renewed"), "{}", broken.what);
    }

    #[test]
    fn fires_on_a_leader_that_ends_and_keeps_its_lease_and_on_who_gives_back_anothers() {
        for gives_back in [true, false] {
            let mut story = Story::<Leases>::new();
            let leader = who(Role::Scheduler, "scheduler");
            story.asks(1, &leader, wish(crate::plan::object(lease("scheduler_1", 0, 0)))).unwrap();
            let object = story.put(lease("scheduler_1", 0, 0)).unwrap().new.unwrap();
            let answer = Answer::Object { object: object.clone(), created: false };
            story.answers(1, &answer).unwrap();
            story.steps(&leader, Input::Reply { call: CallId(1), answer }).unwrap();
            let free = wish(object.with(|lease: &mut Lease| lease.spec.holder_identity = None));
            let other = who(Role::Scheduler, "scheduler-2");
            let broken = story.asks(2, &other, free.clone()).unwrap_err();
            assert!(broken.what.contains("which is scheduler_1's"), "{}", broken.what);
            story.steps(&leader, Input::Stop).unwrap();
            if gives_back {
                story.asks(3, &leader, free).unwrap();
            }
            assert_eq!(story.see(Fact::Died { who: &leader }).is_ok(), gives_back);
        }
    }

    fn asks(story: &mut Story<Leases>, id: u64, request: Request) -> Result<(), Broken> {
        story.asks(id, &who(Role::Scheduler, "scheduler"), request)
    }

    fn wish(lease: Object) -> Request {
        Verb::Update { object: lease, part: Part::Main }.into()
    }

    /// The leader writes on a lease, and hears so long after that it is granted: the lease, and under which it leads.
    fn renews(story: &mut Story<Leases>, id: u64, from: Object, after: u64) -> (Object, Arc<Fence>) {
        asks(story, id, wish(from)).unwrap();
        let change = story.put(lease("scheduler_1", 0, id as u32)).unwrap();
        let (object, fence) = (change.new.clone().unwrap(), under(&change));
        let answer = Answer::Object { object: object.clone(), created: false };
        story.answers(id, &answer).unwrap();
        story.pass(after).unwrap();
        let input = Input::Reply { call: CallId(id), answer };
        story.steps(&who(Role::Scheduler, "scheduler"), input).unwrap();
        (object, fence)
    }

    #[test]
    fn fires_on_who_takes_anew_what_it_holds() {
        // It hears so late that its renewal is granted. Perhaps the server has said that this time of leading is over, or it is
        // not known whether the leader heard of the renewal.
        let cases = [(1, "", true), (4, "", true), (5, "", false), (1, "refused", false), (4, "twice", false)];
        for (late, what, fires) in cases {
            let mut story = Story::<Leases>::new();
            let free = story.put(lease("", 0, 0)).unwrap().new.unwrap();
            let (held, fence) = renews(&mut story, 1, free, 0);
            asks(&mut story, 2, Request { fence: Some(fence), ..create() }).unwrap();
            story.pass(5).unwrap();
            if what == "twice" {
                // Something on the way asks for the next renewal twice.
                asks(&mut story, 5, wish(held.clone())).unwrap();
            }
            let (held, _) = renews(&mut story, 3, held, late);
            if what == "refused" {
                let answer = Answer::Refused(Status::fenced(Kind::Pod, "a", "it is over"));
                story.answers(2, &answer).unwrap();
            }
            story.pass(2).unwrap();
            let anew = held.with(|lease: &mut Lease| lease.spec.lease_transitions = Some(1));
            assert_eq!(asks(&mut story, 4, wish(anew)).is_err(), fires, "{late} {what}");
        }
    }

    #[test]
    fn fires_on_who_does_not_take_no_for_an_answer() {
        let (mut story, leader) = (Story::<Leases>::new(), who(Role::Scheduler, "scheduler"));
        let first = story.put(lease("scheduler_1", 0, 0)).unwrap();
        let (fence, object) = (under(&first), first.new.clone().unwrap());
        let renewal = wish(object);
        let request = Request { fence: Some(fence), ..create() };
        let refused = |status: Status| Input::Reply { call: CallId(1), answer: Answer::Refused(status) };
        let mut free = lease("", 0, 5);
        free["spec"]["holderIdentity"] = Value::Null;
        story.put(free).unwrap();
        for (request, says) in [
            (renewal, Status::stale(Kind::Lease, "kube-scheduler")),
            (request, Status::fenced(Kind::Pod, "a", "it is another's")),
        ] {
            story.asks(1, &leader, request.clone()).unwrap();
            story.asks(1, &leader, request.clone()).unwrap();
            story.steps(&leader, refused(says)).unwrap();
            assert!(story.asks(1, &leader, request).is_err());
        }
    }

    #[test]
    fn fires_on_a_leader_that_counts_from_a_late_answer() {
        let mut story = Story::<Leases>::new();
        let change = story.put(lease("a", 0, 0)).unwrap();
        let (leader, object) = (who(Role::Scheduler, "scheduler"), change.new.clone().unwrap());
        story.asks(1, &leader, wish(object)).unwrap();
        story.pass(4).unwrap();
        let change = story.put(lease("a", 0, 4)).unwrap();
        let answer = Answer::Object { object: change.new.clone().unwrap(), created: false };
        story.answers(1, &answer).unwrap();
        let request = Request { fence: Some(under(&change)), ..create() };
        story.pass(6).unwrap();
        story.asks(2, &leader, request.clone()).unwrap();
        story.pass(3).unwrap();
        let broken = story.asks(3, &leader, request).unwrap_err();
        assert!(broken.what.ends_with("13.0 s after it sent a renewal"), "{}", broken.what);
    }
}
