//! Children that are made for an owner: under which names, and what is made of the answers.

use super::{Asked, BURST, Decided, WorkloadController, fail};
use crate::api::kinds::Kind;
use crate::api::names;
use crate::api::object::{Key, Object};
use crate::api::status::Reason;
use crate::controllers::workload::claim;
use crate::controllers::workload::{Naming, New, Told};
use crate::decision::Decision;
use crate::program::{Answer, Effects, Level, Verb};
use crate::reasons;
use crate::time::{Instant, Now};
use std::collections::{BTreeMap, BTreeSet};

impl WorkloadController {
    /// Makes children, unless an owner has to wait with that.
    pub(super) fn create(
        &mut self,
        now: Now,
        key: &Key,
        owner: &Object,
        new: Vec<New>,
        after: Option<Instant>,
        out: &mut Effects,
    ) {
        let Some(care) = self.care.get_mut(key) else { return };
        let slowed = after.filter(|at| *at > now.mono);
        // With a stale view of the owner, which may be gone, children would be made and collected in turns: refused
        // statuses tell.
        let stale = care.status.waits_until(now.mono);
        if let Some(at) = care.creation.waits_until(now.mono).max(slowed).max(stale) {
            if planted!(RetryNotArmed) {
                return;
            }
            return self.queue.set_if_earlier(key.clone(), at);
        }
        care.made.retain(|child, _| self.views.object(child).is_none());
        let mut chosen: BTreeSet<Key> = BTreeSet::new();
        // Names that may be in use already, and how far the names drawn for a purpose were tried: of those before, none
        // becomes free here.
        let mut unsure: BTreeMap<Naming, BTreeSet<Key>> = BTreeMap::new();
        for (child, naming) in &care.made {
            unsure.entry(naming.clone()).or_default().insert(child.clone());
        }
        let mut tried: BTreeMap<(Kind, Naming), u64> = BTreeMap::new();
        let mut decided = Decided::default();
        for New { mut object, name, owned, mut told, because } in new.into_iter().take(BURST) {
            if let Naming::Drawn(purpose) | Naming::Unsaid(purpose) = &name {
                // A name that was freed since is not taken before one that may be in use already.
                let child = match unsure.get_mut(&name).and_then(BTreeSet::pop_first) {
                    Some(child) => child,
                    None => {
                        let taken = |child: &Key| {
                            self.views.object(child).is_some()
                                || chosen.contains(child)
                                || care.made.contains_key(child)
                        };
                        let nth = tried.entry((object.kind(), name.clone())).or_default();
                        free_name(now, owner, object.kind(), &name, purpose, nth, taken)
                    }
                };
                object.edit_meta(|meta| meta.name = child.name.clone());
                told = told.or_else(|| {
                    let message = format!("Created {}: {}", child.kind.row().singular, child.name);
                    Some(Told::normal("SuccessfulCreate", message))
                });
            }
            object.edit_meta(|meta| {
                meta.namespace.clone_from(&owner.meta().namespace);
                if owned {
                    meta.owner_references.push(claim::reference(owner));
                }
            });
            let child = object.key();
            // Whoever took it away may go on doing so: with a stale view of the owner, which is gone, it would be made as
            // fast as it is collected. That shows in no status, if the child is not counted in one.
            let turn = care.taken.get(&child).map(|taken| taken.replace_at(1)).filter(|turn| *turn > now.mono);
            if let Some(turn) = turn {
                self.queue.set_if_earlier(key.clone(), turn);
                continue;
            }
            decided.add(because, child.clone());
            chosen.insert(child.clone());
            if care.made.insert(child.clone(), name).is_some() {
                care.again.insert(child.clone(), false);
            }
            self.creations.expect(key, child.clone());
            let asked = Asked::Create { owner: key.clone(), owner_uid: owner.meta().uid.clone(), child, told };
            self.calls.call(now, asked, Verb::Create { object }, out);
        }
        decided.tell(key, out);
    }

    /// What came of the creation of a child.
    pub(super) fn creation_answered(
        &mut self,
        now: Now,
        owner: &Object,
        child: Key,
        told: Option<Told>,
        answer: &Answer,
        out: &mut Effects,
    ) {
        let key = owner.key();
        let Some(care) = self.care.get_mut(&key) else { return };
        // Whether it was asked for once more; and if so, whether a view has shown it since. And whether all were listed since.
        let (again, listed) = (care.again.remove(&child), care.listed.remove(&child));
        match answer {
            Answer::Object { object: made, .. } => {
                // Met when the view shows it. What was seen until now may have been made by an earlier call, whose answer
                // was lost, and be gone.
                if self.views.is_as_new_as(child.kind, made) && !planted!(MadeIsAwaited) {
                    self.creations.met(&key, &child);
                    care.made.remove(&child);
                } else {
                    care.made_at.insert(child.clone(), made.revision());
                    self.creations.expect(&key, child);
                }
                care.refused = None;
                care.creation.succeeded();
                if let Some(told) = told {
                    self.tell(now, owner, told, out);
                }
            }
            Answer::Refused(status) if status.reason == Some(Reason::AlreadyExists) => {
                sometimes!(CreateExists);
                // Made by a call whose answer was lost, or by somebody else: in both cases the view shows it.
                if again == Some(true) || self.views.object(&child).is_some() {
                    self.creations.met(&key, &child);
                    care.made.remove(&child);
                } else if listed {
                    // But it may have gone unseen. If it has not, asking for it again, by its name, tells nothing else.
                    self.creations.met(&key, &child);
                }
                fail(&mut care.creation, now);
            }
            Answer::Refused(status) => {
                sometimes!(CreateRefused);
                self.creations.met(&key, &child);
                // Of an earlier call, whose answer was lost, that says nothing: it may make the object still. Nor does it of
                // this one, if it arrives twice and there was no time for it once.
                if again.is_none() && !status.leaves_open() {
                    care.made.remove(&child);
                }
                care.refused = Some(status.message.as_str().into());
                fail(&mut care.creation, now);
                self.tell(now, owner, Told::warning("FailedCreate", format!("Error creating: {status}")), out);
                let refused = reasons::REFUSED.because().as_seen(&*status.message);
                out.decided(Level::Debug, Decision::about(key, refused));
            }
            Answer::Lost(_) | Answer::List { .. } | Answer::Watching | Answer::Removed(_) => {
                sometimes!(CreateLost);
                // Whether it was made is not known. The next try has the same name, so there will be no twin.
                self.creations.met(&key, &child);
                fail(&mut care.creation, now);
            }
        }
    }
}

/// The first name that is free, of those drawn for an owner's child with this purpose, from the `nth`; `nth` is the next
/// one then.
fn free_name(
    now: Now,
    owner: &Object,
    kind: Kind,
    naming: &Naming,
    purpose: &str,
    nth: &mut u64,
    taken: impl Fn(&Key) -> bool,
) -> Key {
    let meta = owner.meta();
    let with = |of: &str, mark: &str| if purpose.is_empty() { of.to_owned() } else { format!("{of}{mark}{purpose}") };
    let is_said = matches!(naming, Naming::Drawn(_));
    let name = if is_said { with(&meta.name, "-") } else { meta.name.to_string() };
    let seed = with(&meta.uid, "/");
    let first = if planted!(RandomNames) { now.mono.nanos() } else { 0 };
    loop {
        let key = Key::new(kind, &meta.namespace, &names::child(&name, &seed, first + *nth));
        *nth += 1;
        if !taken(&key) {
            return key;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::api::kinds::Kind;
    use crate::api::meta::Time;
    use crate::api::names;
    use crate::api::object::Object;
    use crate::api::status::{Reason, Status};
    use crate::controllers::workload::program::testing::{Desk, desk, first_pod, set, turned_away};
    use crate::program::{Answer, CallId, Input, Verb, WatchEvent};
    use crate::time::Duration;

    #[test]
    fn with_a_stale_view_of_its_set_it_slows_down() {
        let mut desk = desk();
        desk.list(Kind::ReplicaSet, vec![set(1)]);
        let watch = desk.list(Kind::Pod, Vec::new());
        let conflict = Answer::Refused(Status::stale(Kind::ReplicaSet, "web"));
        let mut made = 0;
        for revision in 10..10_000 {
            while let Some((call, _)) = desk.take(Kind::ReplicaSet, |verb| matches!(verb, Verb::Update { .. })) {
                desk.answer(call, conflict.clone());
            }
            if let Some((call, name)) = desk.created() {
                made += 1;
                let at = |revision: u64| {
                    first_pod(&set(1)).with_meta(|meta| {
                        meta.name = name.as_str().into();
                        meta.uid = format!("p{revision}").into();
                        meta.resource_version = revision.to_string().into();
                    })
                };
                desk.answer(call, Answer::Object { object: at(revision), created: true });
                // The garbage collector knows that the set is gone.
                desk.step(Input::Event { call: watch, event: WatchEvent::Added(at(revision)) });
                desk.step(Input::Event { call: watch, event: WatchEvent::Deleted(at(revision)) });
            }
            desk.now.mono = desk.now.mono + Duration::from_millis(1);
            desk.step(Input::Wake);
        }
        assert!((2..40).contains(&made), "{made} pods in ten seconds");
    }

    #[test]
    fn a_pod_that_may_have_been_made_is_asked_for_by_its_name() {
        made_unsaid(Answer::Lost("nobody answers".into()));
        made_unsaid(turned_away());
    }

    fn made_unsaid(answer: Answer) {
        let mut desk = desk();
        let set = set(1);
        let leaving = first_pod(&set).with_meta(|meta| meta.deletion_timestamp = Some(Time::default()));
        desk.list(Kind::ReplicaSet, vec![set]);
        let watch = desk.list(Kind::Pod, vec![leaving.clone()]);
        let (call, first) = desk.created().unwrap();
        assert_eq!(first, names::child("web", "u", 1), "the first name is in use");
        desk.answer(call, answer);
        let event = WatchEvent::Deleted(leaving.with_meta(|meta| meta.resource_version = "10".into()));
        desk.step(Input::Event { call: watch, event });
        for refusals in 0..3 {
            desk.now.mono = desk.now.mono + Duration::from_secs(1);
            desk.step(Input::Wake);
            let (call, name) = desk.created().unwrap();
            assert_eq!(name, first, "though the first name is free now, and after {refusals} refusals");
            assert_eq!(desk.created(), None);
            let full = Status::forbidden(Kind::Pod, &name, "exceeded quota");
            desk.answer(call, Answer::Refused(full));
        }
    }

    /// A set whose pod was asked for twice, since nothing was heard of the first call: the watch of pods, the second call,
    /// and the pod as one of them may make it.
    fn asked_twice() -> (Desk, CallId, CallId, impl Fn(&str, u64) -> Object) {
        let mut desk = desk();
        desk.list(Kind::ReplicaSet, vec![set(1)]);
        let watch = desk.list(Kind::Pod, Vec::new());
        let (call, name) = desk.created().unwrap();
        desk.answer(call, Answer::Lost("nobody answers".into()));
        desk.now.mono = desk.now.mono + Duration::from_secs(1);
        desk.step(Input::Wake);
        let (call, again) = desk.created().unwrap();
        assert_eq!(name, again);
        let pod = move |uid: &str, revision: u64| {
            first_pod(&set(1)).with_meta(|meta| {
                (meta.name, meta.uid) = (name.as_str().into(), uid.into());
                meta.resource_version = revision.to_string().into();
            })
        };
        (desk, watch, call, pod)
    }

    #[test]
    fn a_pod_that_was_made_once_more_is_waited_for() {
        let (mut desk, watch, call, pod) = asked_twice();
        // Both calls have come to their ends, and somebody took the first pod away between them.
        desk.step(Input::Event { call: watch, event: WatchEvent::Added(pod("first", 20)) });
        desk.answer(call, Answer::Object { object: pod("second", 40), created: true });
        desk.step(Input::Event { call: watch, event: WatchEvent::Deleted(pod("first", 30)) });
        assert_eq!(desk.created(), None, "the second one is there");
        desk.step(Input::Event { call: watch, event: WatchEvent::Added(pod("second", 40)) });
        assert_eq!(desk.created(), None);
        desk.step(Input::Event { call: watch, event: WatchEvent::Deleted(pod("second", 50)) });
        desk.now.mono = desk.now.mono + Duration::from_secs(1);
        desk.step(Input::Wake);
        assert!(desk.created().is_some());
    }

    #[test]
    fn a_pod_that_is_asked_for_once_more_is_waited_for() {
        let (mut desk, watch, call, pod) = asked_twice();
        // The first call has made it after all, and somebody took it away. What the second one does is not known yet.
        let made = pod("first", 20);
        desk.step(Input::Event { call: watch, event: WatchEvent::Added(made.clone()) });
        desk.step(Input::Event { call: watch, event: WatchEvent::Deleted(made.clone()) });
        assert_eq!(desk.created(), None);
        let there = Status::already_exists(Kind::Pod, &made.meta().name);
        desk.answer(call, Answer::Refused(there));
        desk.now.mono = desk.now.mono + Duration::from_secs(10);
        desk.step(Input::Wake);
        assert!(desk.created().is_some());
    }

    #[test]
    fn a_pod_that_may_have_come_and_gone_unseen_is_asked_for_again() {
        let mut desk = desk();
        desk.list(Kind::ReplicaSet, vec![set(1)]);
        let watch = desk.list(Kind::Pod, Vec::new());
        let (call, name) = desk.created().unwrap();
        // The watch cannot go on, and by the time of the next list the pod that had the name is gone.
        let gap = Status::failure(Reason::Expired, "too old resource version");
        desk.step(Input::Event { call: watch, event: WatchEvent::Expired(gap) });
        let watch = desk.list(Kind::Pod, Vec::new());
        let there = Status::already_exists(Kind::Pod, &name);
        desk.answer(call, Answer::Refused(there.clone()));
        desk.now.mono = desk.now.mono + Duration::from_secs(1);
        desk.step(Input::Wake);
        let (call, again) = desk.created().expect("nothing else will come of it");
        assert_eq!((again.as_str(), desk.created()), (name.as_str(), None), "under the same name, and no other");
        // What there is now, the view will show.
        desk.answer(call, Answer::Refused(there));
        desk.now.mono = desk.now.mono + Duration::from_secs(10);
        desk.step(Input::Wake);
        assert_eq!(desk.created(), None);
        let pod = first_pod(&set(1)).with_meta(|meta| meta.resource_version = "20".into());
        desk.step(Input::Event { call: watch, event: WatchEvent::Added(pod.clone()) });
        assert_eq!(desk.created(), None);
        let gone = pod.with_meta(|meta| meta.resource_version = "30".into());
        desk.step(Input::Event { call: watch, event: WatchEvent::Deleted(gone) });
        desk.now.mono = desk.now.mono + Duration::from_secs(60);
        desk.step(Input::Wake);
        assert!(desk.created().is_some());
    }
}
