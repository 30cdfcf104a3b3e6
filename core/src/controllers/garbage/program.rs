//! The garbage collector: views of everything that can own or be owned, and what follows from them.
//!
//! A kind's view begins when the kind does: those that every cluster has at once, a custom one with its definition. What
//! changes in a view says which objects are looked at, and each is looked at in three ways (`look_at`): as a pod, as an
//! owner, as a child.
//!
//! Below: `views`, and `news` of them; `as_pod`, `as_owner` and `as_child`, each with what is made of the answers.

mod as_child;
mod as_owner;
mod as_pod;
mod news;
#[cfg(test)]
mod testing;
mod views;

use crate::api::kinds::Kind;
use crate::api::meta::Time;
use crate::api::object::{Key, Object};
use crate::api::status::Reason;
use crate::api::text::Text;
use crate::client::informer;
use crate::client::{Calls, Informer};
use crate::controllers::attempts::Attempts;
use crate::controllers::garbage::owners::Life;
use crate::controllers::garbage::relations::Relations;
use crate::decision::{Because, Decision};
use crate::program::{Answer, DeleteOptions, Effects, Input, Level, Part, Program, Propagation, Verb};
use crate::time::{Duration, Now};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How the controller behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// A node must be missing for so long before its pods are removed: a kubelet whose node object was deleted
    /// registers again, and its pods have done nothing wrong.
    ///
    /// Source: Kubernetes, `pkg/controller/podgc`, `quarantineTime`.
    pub node_quarantine: Duration,
    /// So many pods that have ended are kept; then the oldest go.
    ///
    /// Source: Kubernetes, kube-controller-manager `--terminated-pod-gc-threshold`.
    #[serde(default = "finished_max")]
    pub finished_max: usize,
    /// How its views are kept.
    pub informer: informer::Options,
}

fn finished_max() -> usize {
    12_500
}

impl Default for Options {
    fn default() -> Self {
        let (node_quarantine, informer) = (Duration::from_secs(40), informer::Options::default());
        Options { node_quarantine, finished_max: finished_max(), informer }
    }
}

/// Kinds that are not looked at: there are many of these, and they go by themselves.
///
/// Source: Kubernetes, `pkg/controller/garbagecollector`, `ignoredResources`.
const IGNORED: &[Kind] = &[Kind::Event];

/// Deletes what is left over. Does nothing before its views of the kinds that every cluster has are complete; a step costs
/// what changed.
#[derive(Debug)]
pub struct GarbageCollector {
    options: Options,
    seed: u64,
    views: BTreeMap<Kind, Informer>,
    /// The custom kinds that were defined since the beginning, by name and group, as owners are named.
    custom: BTreeMap<Text, Kind>,
    calls: Calls<Asked>,
    relations: Relations,
    /// Objects to look at: as a child, as an owner, and as a pod.
    objects: Attempts<Key>,
    /// Owners that no view shows, to be asked for.
    owners: Attempts<Owner>,
    /// Owners that the API server knows nothing of, by uid, as long as somebody names them. A uid never comes back.
    gone: BTreeMap<Text, BTreeSet<Key>>,
    /// Nodes that the view does not show, to be asked for.
    nodes: Attempts<Text>,
    /// Uids of pods that were bound to a node when the API server knew nothing of it, until a write about them fails.
    lost: BTreeSet<Text>,
    /// Pods that have ended and are kept, the oldest first.
    finished: BTreeSet<(Option<Time>, Key)>,
    /// Pods that have ended before these, and go.
    surplus: BTreeSet<Key>,
    /// What owners that cannot be found were called, once each.
    unknown: BTreeSet<Text>,
    /// Kinds in which an owner that lets its children go may still have some, by its uid.
    uncounted: BTreeMap<Text, Vec<Kind>>,
}

/// An owner as a child names it: there may be another of that name, or none of that uid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    key: Key,
    uid: Text,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.key, self.uid)
    }
}

/// What a call is for.
#[derive(Debug)]
enum Asked {
    /// Whether there is such an owner.
    Owner(Owner),
    /// Whether there is such a node; the pods that were bound to it then, by uid.
    Node { name: Text, pods: Vec<(Key, Text)> },
    /// Whether there are children of the last of these kinds that the view does not show; then those of the others.
    Children { owner: Owner, of: Vec<Kind> },
    /// A change of this object.
    Write(Key),
}

/// The space of the calls' ids; those of the informers follow it.
const CALLS: u16 = 1;

impl GarbageCollector {
    /// Knows nothing yet. `seed` decides the jitter of its retries.
    pub fn new(options: Options, seed: u64) -> Self {
        let mut collector = GarbageCollector {
            options,
            seed,
            views: BTreeMap::new(),
            custom: BTreeMap::new(),
            calls: Calls::in_space(CALLS),
            relations: Relations::default(),
            objects: Attempts::default(),
            owners: Attempts::default(),
            gone: BTreeMap::new(),
            nodes: Attempts::default(),
            lost: BTreeSet::new(),
            finished: BTreeSet::new(),
            surplus: BTreeSet::new(),
            unknown: BTreeSet::new(),
            uncounted: BTreeMap::new(),
        };
        for kind in Kind::BUILT_IN.iter().copied().filter(|kind| !IGNORED.contains(kind)) {
            collector.view(kind);
        }
        collector
    }
}

impl Program for GarbageCollector {
    fn step(&mut self, now: Now, input: Input, out: &mut Effects) {
        let mut changes = Vec::new();
        for view in self.views.values_mut() {
            changes.extend(view.step(now, &input, out));
        }
        for change in changes {
            self.changed(now, change, out);
        }
        for (asked, answer) in self.calls.ended(now, &input) {
            self.answered(now, asked, &answer, out);
        }
        out.wake_at(self.calls.next());
        // Absence from a view that was never complete means nothing.
        if !self.is_ready() {
            return;
        }
        while let Some(key) = self.objects.pop_due(now.mono) {
            self.look_at(now, key, out);
        }
        while let Some(owner) = self.owners.pop_due(now.mono) {
            self.ask_for_owner(now, owner, out);
        }
        while let Some(name) = self.nodes.pop_due(now.mono) {
            self.ask_for_node(now, name, out);
        }
        out.wake_at(self.objects.next());
        out.wake_at(self.owners.next());
        out.wake_at(self.nodes.next());
        // `calls` may have grown.
        out.wake_at(self.calls.next());
    }
}

impl GarbageCollector {
    fn look_at(&mut self, now: Now, key: Key, out: &mut Effects) {
        let Some(object) = self.object(&key).cloned() else { return self.objects.settled(&key) };
        let done =
            self.as_pod(now, &object, out) || self.as_owner(now, &object, out) || self.as_child(now, &object, out);
        if !done {
            self.objects.settled(&key);
        }
    }

    fn write(&mut self, now: Now, object: &Object, verb: Verb, out: &mut Effects) {
        self.objects.begun(object.key(), object.revision());
        self.calls.call(now, Asked::Write(object.key()), verb, out);
    }

    fn answered(&mut self, now: Now, asked: Asked, answer: &Answer, out: &mut Effects) {
        match asked {
            Asked::Owner(owner) => self.owner_answered(now, owner, answer),
            Asked::Node { name, pods } => self.node_answered(now, &name, pods, answer),
            Asked::Children { owner, of } => self.children_answered(now, owner, of, answer, out),
            Asked::Write(key) => self.write_answered(now, &key, answer, out),
        }
    }

    fn write_answered(&mut self, now: Now, key: &Key, answer: &Answer, out: &mut Effects) {
        if !matches!(answer, Answer::Object { .. } | Answer::Removed(_)) {
            self.ask_anew(key);
        }
        let view = self.revision(key);
        self.objects.answered(key, answer, view, now, out);
    }
}

/// What a `Get` found.
enum Found {
    /// An object of this uid.
    Object(String),
    Nothing,
    /// Nobody serves objects of this kind there.
    NoSuchKind,
    NoAnswer,
}

impl Found {
    fn of(answer: &Answer) -> Found {
        match answer {
            Answer::Object { object, .. } => Found::Object(object.meta().uid.to_string()),
            Answer::Refused(status) if status.reason == Some(Reason::NotFound) => {
                let named = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
                if named { Found::Nothing } else { Found::NoSuchKind }
            }
            Answer::Refused(_) | Answer::Lost(_) | Answer::Removed(_) | Answer::List { .. } | Answer::Watching => {
                Found::NoAnswer
            }
        }
    }
}

fn life(object: &Object) -> Life {
    if object.meta().is_deleting() { Life::Deleting } else { Life::Living }
}

fn deletion(object: &Object, grace_seconds: Option<i64>, propagation: Option<Propagation>) -> Verb {
    let options = DeleteOptions {
        grace_seconds,
        uid: Some(object.meta().uid.clone()),
        // Whoever gives it another owner, or a finalizer, in the meantime must win.
        resource_version: Some(object.meta().resource_version.clone()),
        propagation,
        eviction: false,
        granted: false,
    };
    Verb::Delete { key: object.key(), options }
}

/// Replaces one list in an object's metadata.
fn patch(object: &Object, list: &str, by: Value) -> Verb {
    let meta = object.meta();
    // Whoever changes the object in the meantime must win.
    let patch = json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, list: by}});
    Verb::Merge { key: object.key(), patch, part: Part::Main }
}

/// How a kind is known here: `Widget.example.com`.
fn named(group: &str, kind: &str) -> String {
    format!("{kind}.{group}")
}

fn tell(object: &Object, sake: Option<Key>, because: Because, out: &mut Effects) {
    out.decided(Level::Info, Decision { sake, ..Decision::about(object.key(), because) });
}

#[cfg(test)]
mod tests {
    use super::testing::{config, key, pods, world};
    use crate::api::kinds::Kind;
    use crate::controllers::testing::{owned_by, owner_reference};
    use crate::program::{Part, Propagation};
    use serde_json::json;

    #[test]
    fn nothing_is_concluded_from_views_that_are_not_complete() {
        let (mut world, mut program) = world(3);
        let set = world.set("web", json!([]));
        world.pod("a", "n1", owned_by(&set));
        world.disconnect();
        world.run(&mut program, 100);
        world.lost_percent = 60;
        world.connect();
        world.run(&mut program, 600);
        world.lost_percent = 0;
        world.run(&mut program, 600);
        assert_eq!(world.take_writes(), [""; 0]);
    }

    #[test]
    fn objects_of_every_kind_own_and_are_owned() {
        let (mut world, mut program) = world(11);
        let top = config(&mut world, "top", json!([]));
        let set = world.set("web", owned_by(&top));
        config(&mut world, "of-web", owned_by(&set));
        let node = world.get(Kind::Node, "", "n1").unwrap().clone();
        world.create(Kind::ClusterRole, json!({"metadata": {"name": "of-node", "ownerReferences": owned_by(&node)}}));
        let lease = json!({"name": "of-node", "namespace": "default", "ownerReferences": owned_by(&node)});
        world.create(Kind::Lease, json!({"metadata": lease}));
        let mut scaler = json!({"metadata": {"name": "hpa", "namespace": "default"}});
        scaler["spec"] =
            json!({"maxReplicas": 1, "scaleTargetRef": {"kind": "ReplicaSet", "name": "web", "apiVersion": "apps/v1"}});
        let scaler = world.create(Kind::HorizontalPodAutoscaler, scaler);
        let mut old_version = owner_reference(&scaler);
        old_version["apiVersion"] = json!("autoscaling/v1");
        config(&mut world, "of-hpa", json!([old_version]));
        world.run(&mut program, 60);
        assert_eq!(world.take_writes(), [""; 0], "nothing is missing");
        world.delete(top.key(), None);
        world.delete(scaler.key(), None);
        world.alive.remove("n1");
        world.delete(node.key(), None);
        world.run(&mut program, 60);
        for kind in [Kind::ConfigMap, Kind::ReplicaSet, Kind::Lease] {
            assert_eq!(world.names(kind, "default"), "", "{kind:?}");
        }
        assert_eq!(world.names(Kind::ClusterRole, ""), "");
    }

    #[test]
    fn losses_delay_but_change_nothing() {
        for seed in 0..30 {
            let (mut world, mut program) = world(seed);
            let (set, orphaning) = (world.set("web", json!([])), world.set("orphaning", json!([])));
            let keep = world.set("keep", json!([]));
            world.pod("a", "", owned_by(&set));
            world.pod("b", "", owned_by(&orphaning));
            world.pod("c", "", owned_by(&keep));
            world.lost_percent = 40;
            world.delete(set.key(), Some(Propagation::Foreground));
            world.delete(orphaning.key(), Some(Propagation::Orphan));
            world.run(&mut program, 600);
            world.lost_percent = 0;
            world.run(&mut program, 200);
            let sets = world.names(Kind::ReplicaSet, "default");
            assert_eq!((sets.as_str(), pods(&world).as_str()), ("keep", "b c"), "seed {seed}");
            world.take_writes();
            world.run(&mut program, 600);
            assert_eq!(world.take_writes(), [""; 0], "seed {seed}");
        }
    }

    #[test]
    fn a_conflict_is_decided_again() {
        let (mut world, mut program) = world(6);
        let set = world.set("web", json!([]));
        world.pod("a", "n1", owned_by(&set));
        world.run(&mut program, 1);
        world.deaf_to.insert(Kind::Pod);
        // Somebody takes the pod over, and the view does not show it yet.
        let other = world.set("other", json!([]));
        world.merge(key(Kind::Pod, "a"), json!({"metadata": {"ownerReferences": owned_by(&other)}}), Part::Main);
        world.delete(set.key(), None);
        world.run(&mut program, 60);
        let tries = world.take_writes().len();
        assert!((1..20).contains(&tries), "{tries} tries");
        world.deaf_to.clear();
        world.run(&mut program, 100);
        assert_eq!((pods(&world).as_str(), world.take_writes().len()), ("a", 0));
    }
}
