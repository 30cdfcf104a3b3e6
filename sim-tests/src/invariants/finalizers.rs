//! S-final: An object with finalizers stays until somebody takes them away; a pod that a node may still run stays until its end at once is asked for, and one that none can run any more is given no time; who is to wait for what becomes of its dependents does not go at once, and what a deletion has decided about them stands until somebody asks for something else; and the collector takes foregroundDeletion away only if, as far as it was told, no child blocks.
//!
//! Catches: a deletion that does not look at finalizers; one that is over with the last of them, though the pod still
//! ends; a pod that has ended and waits for a node that is gone; a foreground deletion that does not wait, or is taken for
//! one that need not; a later one that says nothing of dependents, and takes away what the earlier one waits for.

use super::{Broken, Checker, number};
use crate::told::Told;
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::namespace::Namespace;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::text::Text;
use miniku_core::apiserver::deletion::{FOREGROUND, ORPHAN};
use miniku_core::program::{Answer, DeleteOptions, Part, Propagation, RequestId, Verb};
use miniku_core::store::Change;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Objects of which somebody asked to take finalizers away.
#[derive(Default)]
pub struct Final {
    /// By their [`number`].
    released: BTreeSet<u64>,
    /// By uid: pods whose end at once was asked for.
    at_once: BTreeSet<Text>,
    /// By their [`number`]: the same of whatever has that name.
    at_once_by_name: BTreeSet<u64>,
    /// By their [`number`] and uid, which is empty if none was meant: objects of which somebody asked to take away what a
    /// deletion has decided about dependents, or decided anew.
    undecided: BTreeSet<(u64, Text)>,
    /// By the [`number`] of what is to go: deletions of all but pods that may be carried out just now, or later.
    open: BTreeMap<(u64, RequestId), Asked>,
    /// What each of them is about.
    about: BTreeMap<RequestId, u64>,
}

/// Somebody asks for the end of an object.
struct Asked {
    /// Which of that name; whichever there is, if absent.
    uid: Option<Text>,
    /// Whether it is to wait for what becomes of its dependents: in the foreground, or without them.
    waits: bool,
}

/// Whether a pod may have processes, and has time to end them.
fn may_run(object: &Object) -> bool {
    let meta = object.meta();
    let has_time = meta.deletion_grace_period_seconds != Some(0);
    object
        .get::<Pod>()
        .is_some_and(|pod| pod.node().is_some() && !pod.status.phase.is_final() && pod.grace_seconds() > 0 && has_time)
}

/// Whether a pod is given time that no node runs, or none any more.
fn waits_for_nobody(change: &Change) -> bool {
    let (Some(old), Some(new)) = (&change.old, &change.new) else { return false };
    let begins = new.meta().is_deleting() && !old.meta().is_deleting();
    let idle = |pod: &Pod| pod.node().is_none() || pod.status.phase.is_final();
    begins && old.get::<Pod>().is_some_and(idle) && new.meta().deletion_grace_period_seconds.unwrap_or(0) > 0
}

fn held(object: &Object) -> bool {
    let namespace = object.get::<Namespace>();
    !object.meta().finalizers.is_empty() || namespace.is_some_and(|namespace| !namespace.spec.finalizers.is_empty())
}

/// What becomes of the dependents of what is deleted stands in one of these.
const DECISIONS: [&str; 2] = [FOREGROUND, ORPHAN];

fn has(object: &Object, finalizer: &str) -> bool {
    object.meta().finalizers.iter().any(|one| **one == *finalizer)
}

impl Final {
    /// A deletion that is under way is written on.
    fn overruled(&self, change: &Change) -> Result<(), Broken> {
        let Some(old) = change.old.as_ref().filter(|old| old.meta().is_deleting()) else { return Ok(()) };
        let gone = |decision: &&&str| has(old, decision) && !change.new.as_ref().is_some_and(|new| has(new, decision));
        let Some(decision) = DECISIONS.iter().find(gone) else { return Ok(()) };
        if self.is_undecided(old) {
            return Ok(());
        }
        let what = format!("{} lost {decision} while it was being deleted, and nobody asked for that", change.key);
        Err(Broken::by(what).with([old]))
    }

    fn is_undecided(&self, object: &Object) -> bool {
        let number = number(&object.key());
        [Text::default(), object.meta().uid.clone()].into_iter().any(|uid| self.undecided.contains(&(number, uid)))
    }

    /// Whether it waits for somebody, other than by what is not decided any more.
    fn is_held(&self, object: &Object) -> bool {
        let without_decisions =
            || object.with_meta(|meta| meta.finalizers.retain(|one| !DECISIONS.contains(&one.as_str())));
        if self.is_undecided(object) { held(&without_decisions()) } else { held(object) }
    }

    /// Somebody asks for the end of something.
    fn asked_to_delete(&mut self, id: RequestId, key: &Key, options: &DeleteOptions) {
        if options.propagation.is_some() {
            self.undecided.insert((number(key), options.uid.clone().unwrap_or_default()));
        }
        if key.kind != Kind::Pod {
            return self.asks_for_end(id, key, options);
        }
        if options.grace_seconds.is_some_and(|seconds| seconds <= 0) {
            match &options.uid {
                Some(uid) => self.at_once.insert(uid.clone()),
                None => self.at_once_by_name.insert(number(key)),
            };
        }
    }

    /// Somebody asks for the end of something other than a pod.
    fn asks_for_end(&mut self, id: RequestId, key: &Key, options: &DeleteOptions) {
        let waits = match options.propagation {
            Some(Propagation::Foreground | Propagation::Orphan) => true,
            Some(Propagation::Background) | None => false,
        };
        self.open.insert((number(key), id), Asked { uid: options.uid.clone(), waits });
        self.about.insert(id, number(key));
    }

    /// What was answered is done, or is never done.
    fn answered(&mut self, id: RequestId, answer: &Answer) {
        if matches!(answer, Answer::Refused(status) if status.leaves_open()) {
            return;
        }
        if let Some(number) = self.about.remove(&id) {
            self.open.remove(&(number, id));
        }
    }

    /// Whether what is gone was removed by the first deletion, though all that may have been carried out then say that it
    /// has to wait. The objects of a custom kind go with their definition.
    fn went_at_once(&self, old: &Object) -> bool {
        let (key, number) = (old.key(), number(&old.key()));
        let of_that_name = self.open.range((number, RequestId(0))..=(number, RequestId(u64::MAX)));
        let is_meant = |one: &&Asked| one.uid.as_ref().is_none_or(|uid| *uid == old.meta().uid);
        let mut meant = of_that_name.map(|(_, one)| one).filter(is_meant).peekable();
        let waits = meant.peek().is_some() && meant.all(|one| one.waits);
        waits && !old.meta().is_deleting() && Kind::BUILT_IN.contains(&key.kind)
    }

    /// The collector writes the finalizers of an object that it knows.
    fn releases(truth: &Truth, told: Told<'_>, key: &Key, patch: &Value, left: &[Value]) -> Result<(), Broken> {
        let waits = |known: &&Object| known.meta().finalizers.iter().any(|one| one == FOREGROUND);
        let meant = |known: &&Object| patch["metadata"]["uid"] == *known.meta().uid;
        let Some(known) = told.object(key).filter(waits).filter(meant) else { return Ok(()) };
        if left.iter().any(|one| one == FOREGROUND) {
            return Ok(());
        }
        let uid = &known.meta().uid;
        let blocks = |child: &&Object| {
            let mut owners = child.meta().owner_references.iter();
            owners.any(|owner| owner.uid == *uid && owner.block_owner_deletion == Some(true))
        };
        let still = |child: &&Object| truth.stored(child).is_some();
        match told.objects().filter(blocks).find(still) {
            Some(child) => Err(Broken::by(format!("{key} is let go, {} is still there", child.key())).with([child])),
            None => Ok(()),
        }
    }
}

impl Checker for Final {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Answered, Sight::Durable]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Sent { who, id, request } => match &request.verb {
                Verb::Update { object, part } => {
                    let key = object.key();
                    if !held(object) {
                        self.released.insert(number(&key));
                    }
                    let decided = |stored: &Object| DECISIONS.iter().any(|one| has(stored, one) && !has(object, one));
                    if *part == Part::Main && truth.object(&key).is_some_and(decided) {
                        self.undecided.insert((number(&key), object.meta().uid.clone()));
                    }
                }
                Verb::Merge { key, patch, .. } => {
                    let Some(left) = patch.pointer("/metadata/finalizers") else { return Ok(()) };
                    let left = left.as_array().map_or(&[][..], Vec::as_slice);
                    if left.is_empty() {
                        self.released.insert(number(key));
                    }
                    if !left.iter().filter_map(Value::as_str).any(|one| DECISIONS.contains(&one)) {
                        let uid = patch.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or("");
                        self.undecided.insert((number(key), uid.into()));
                    }
                    if who.role == Role::Garbage {
                        return Final::releases(truth, truth.told(who), key, patch, left);
                    }
                }
                Verb::Delete { key, options } => self.asked_to_delete(*id, key, options),
                _ => {}
            },
            Fact::Answered { id, answer } => self.answered(*id, answer),
            Fact::Durable { change } => {
                self.overruled(change)?;
                if waits_for_nobody(change) {
                    let what = format!("{} is given time to end, and no node runs it", change.key);
                    return Err(Broken::by(what).with(change.old.iter().chain(&change.new)));
                }
                let Some(old) = change.old.as_ref().filter(|_| change.new.is_none()) else { return Ok(()) };
                if self.went_at_once(old) {
                    let what = format!("{} is gone at once, and was to wait for its dependents", change.key);
                    return Err(Broken::by(what).with([old]));
                }
                let at_once =
                    self.at_once.remove(&old.meta().uid) || self.at_once_by_name.contains(&number(&change.key));
                if may_run(old) && !at_once {
                    let what = format!("{} is gone, and nobody asked for its end at once", change.key);
                    return Err(Broken::by(what).with([old]));
                }
                if self.is_held(old) && !self.released.contains(&number(&change.key)) {
                    return Err(Broken::by(format!("{} is gone, and nobody let it go", change.key)).with([old]));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, node, pod, who};
    use super::*;
    use miniku_core::api::status::{Reason, Status};
    use serde_json::json;

    fn with(mut pod: Value, field: &str, value: Value) -> Value {
        pod["metadata"][field] = value;
        pod
    }

    #[test]
    fn fires_on_an_object_that_nobody_let_go() {
        let mut story = Story::<Final>::new();
        let held = story.put(with(pod("a", "", "Pending"), "finalizers", json!(["x/y"]))).unwrap().new.unwrap();
        assert!(story.write(&held, true).is_err());
        let again = story.put(with(pod("a", "", "Pending"), "finalizers", json!(["x/y"]))).unwrap().new.unwrap();
        let object = again.with_meta(|meta| meta.finalizers.clear());
        story.sends(&who(Role::Other, "client"), Verb::Update { object, part: Part::Main }).unwrap();
        story.write(&again, true).unwrap();
    }

    #[test]
    fn fires_on_a_pod_that_is_gone_before_its_end() {
        let gone = |node: &str, phase: &str, options: Option<DeleteOptions>| {
            let mut story = Story::<Final>::new();
            let object = story.put(pod("a", node, phase)).unwrap().new.unwrap();
            if let Some(options) = options {
                story.sends(&who(Role::Kubelet, "n"), Verb::Delete { key: object.key(), options }).unwrap();
            }
            story.write(&object, true).err().map_or(String::new(), |broken| broken.what)
        };
        let within = |secs: i64, uid: Option<&str>| {
            Some(DeleteOptions { grace_seconds: Some(secs), uid: uid.map(Text::from), ..Default::default() })
        };
        let nobody = "pods/default/a is gone, and nobody asked for its end at once";
        assert_eq!(gone("n", "Running", None), nobody);
        assert_eq!(gone("n", "Running", within(3, None)), nobody);
        assert_eq!(gone("n", "Running", within(0, Some("another"))), nobody);
        assert_eq!(gone("n", "Running", within(0, Some("a-uid"))), "");
        assert_eq!(gone("n", "Running", within(0, None)), "");
        assert_eq!(gone("n", "Failed", None), "");
        assert_eq!(gone("", "Pending", None), "");
    }

    #[test]
    fn fires_on_time_for_a_pod_that_has_ended() {
        let given = |node: &str, phase: &str, secs: i64| {
            let mut story = Story::<Final>::new();
            story.put(pod("a", node, phase)).unwrap();
            let deleted = with(pod("a", node, phase), "deletionTimestamp", json!("2026-01-01T00:00:00Z"));
            story.put(with(deleted, "deletionGracePeriodSeconds", json!(secs))).is_ok()
        };
        assert!(given("n", "Running", 30));
        assert!(given("n", "Failed", 0));
        assert!(!given("n", "Failed", 30));
        assert!(!given("", "Pending", 30));
    }

    #[test]
    fn fires_on_a_second_deletion_that_decides_otherwise_and_says_nothing() {
        // Of a status nobody takes what it says of finalizers, and of another object's nothing.
        let cases =
            [("", false), ("status", false), ("other", false), ("merge", true), ("update", true), ("delete", true)];
        for (by, right) in cases {
            let mut story = Story::<Final>::new();
            let deleted = with(pod("a", "", "Pending"), "deletionTimestamp", json!("2026-01-01T00:00:00Z"));
            let decided = story.put(with(deleted, "finalizers", json!([ORPHAN, "x/y"]))).unwrap().new.unwrap();
            let other = decided.with_meta(|meta| meta.finalizers = vec!["x/y".into(), FOREGROUND.into()]);
            let patch = |uid: &str| json!({"metadata": {"uid": uid, "finalizers": ["x/y"]}});
            let merge = |uid: &str| Verb::Merge { key: decided.key(), patch: patch(uid), part: Part::Main };
            let verb = match by {
                "status" => Verb::Update { object: other.clone(), part: Part::Status },
                "other" => merge("another"),
                "merge" => merge("a-uid"),
                "update" => Verb::Update { object: other.clone(), part: Part::Main },
                "delete" => {
                    let propagation = Some(Propagation::Foreground);
                    let options = DeleteOptions { propagation, ..DeleteOptions::default() };
                    Verb::Delete { key: decided.key(), options }
                }
                _ => Verb::Delete { key: decided.key(), options: DeleteOptions::default() },
            };
            story.sends(&who(Role::Other, "client"), verb).unwrap();
            assert_eq!(story.write(&other, false).is_ok(), right, "{by:?}");
        }
        // The first deletion decides.
        let mut story = Story::<Final>::new();
        let object = story.put(with(pod("a", "", "Pending"), "finalizers", json!([ORPHAN]))).unwrap().new.unwrap();
        story.write(&object.with_meta(|meta| meta.finalizers = vec![FOREGROUND.into()]), false).unwrap();
    }

    #[test]
    fn what_was_to_wait_goes_if_somebody_wants_that_no_more() {
        let gone = |finalizers: Value, then: Option<Propagation>| {
            let mut story = Story::<Final>::new();
            let deleted = with(pod("a", "", "Pending"), "deletionTimestamp", json!("2026-01-01T00:00:00Z"));
            let object = story.put(with(deleted, "finalizers", finalizers)).unwrap().new.unwrap();
            let options = DeleteOptions { propagation: then, ..DeleteOptions::default() };
            story.sends(&who(Role::Operator, "kubectl"), Verb::Delete { key: object.key(), options }).unwrap();
            story.write(&object, true).is_ok()
        };
        assert!(gone(json!([FOREGROUND]), Some(Propagation::Background)));
        assert!(!gone(json!([FOREGROUND]), None));
        assert!(!gone(json!([FOREGROUND, "x/y"]), Some(Propagation::Background)));
    }

    #[test]
    fn fires_on_an_object_that_goes_at_once_though_it_is_to_wait() {
        let breaks = |asked: &[Option<Propagation>], marked: bool| {
            let mut story = Story::<Final>::new();
            let mut manifest = node("n");
            if marked {
                manifest["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            let object = story.put(manifest).unwrap().new.unwrap();
            for (id, propagation) in (1..).zip(asked) {
                let options = DeleteOptions { propagation: *propagation, ..DeleteOptions::default() };
                story.asks(id, &who(Role::Operator, "kubectl"), Verb::Delete { key: object.key(), options }).unwrap();
            }
            story.write(&object, true).is_err()
        };
        for waits in [Propagation::Foreground, Propagation::Orphan] {
            assert!(breaks(&[Some(waits)], false));
            assert!(!breaks(&[Some(waits)], true), "it was marked before");
            assert!(!breaks(&[Some(waits), None], false), "somebody else asked for its end");
        }
        assert!(!breaks(&[Some(Propagation::Background)], false));
    }

    #[test]
    fn only_what_may_be_carried_out_yet_excuses_who_does_not_wait() {
        // Somebody asks for the end of what has this name, and is perhaps answered; then another one to be waited for.
        let breaks = |meant: Option<&str>, answer: Option<Answer>| {
            let (mut story, kubectl) = (Story::<Final>::new(), who(Role::Operator, "kubectl"));
            let object = story.put(node("n")).unwrap().new.unwrap();
            let delete = |uid: Option<&str>, propagation| {
                let options = DeleteOptions { uid: uid.map(Text::from), propagation, ..DeleteOptions::default() };
                Verb::Delete { key: object.key(), options }
            };
            story.asks(1, &kubectl, delete(meant, Some(Propagation::Background))).unwrap();
            if let Some(answer) = answer {
                story.answers(1, &answer).unwrap();
            }
            story.asks(2, &kubectl, delete(None, Some(Propagation::Foreground))).unwrap();
            story.write(&object, true).is_err()
        };
        let refused = |reason: Reason| Some(Answer::Refused(Status::failure(reason, "")));
        assert!(!breaks(None, None));
        assert!(!breaks(Some("n"), None));
        assert!(breaks(Some("another"), None));
        assert!(breaks(None, refused(Reason::NotFound)));
        assert!(!breaks(None, refused(Reason::InternalError)), "it may be done all the same");
    }

    #[test]
    fn fires_on_a_foreground_deletion_that_does_not_wait() {
        let mut story = Story::<Final>::new();
        let collector = who(Role::Garbage, "garbage");
        let owner = with(pod("a", "", "Pending"), "finalizers", json!([FOREGROUND]));
        let reference =
            json!([{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "a-uid", "blockOwnerDeletion": true}]);
        let child = with(pod("b", "", "Pending"), "ownerReferences", reference);
        let mut told = Vec::new();
        for manifest in [owner, child] {
            told.push(story.shows(&collector, manifest).unwrap());
        }
        let patch = json!({"metadata": {"uid": "a-uid", "finalizers": []}});
        let request = Verb::Merge { key: told[0].key(), patch, part: Part::Main }.into();
        let sent = Fact::Sent { who: &collector, id: RequestId(1), request: &request };
        assert!(story.see(sent).unwrap_err().what.contains("still there"));
        story.write(&told[1], true).unwrap();
        story.see(sent).unwrap();
    }
}
