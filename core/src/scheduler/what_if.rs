//! Where pods would go, if they were made now: asked of the same rows, and told before anything is done.

use super::explain::{Said, said};
use super::facts::preempts;
use super::filters::Unschedulable;
use super::nodes::{NodeIndex, Nodes};
use super::preemption::{Budget, Preemption, Victim, preempt};
use super::standing::Standing;
use super::strategy::{Strategy, Turn, pick};
use super::volumes::reach;
use crate::api::kinds::Kind;
use crate::api::namespace::Namespace;
use crate::api::node::Node;
use crate::api::object::{Key, Object};
use crate::api::plain::label_selector;
use crate::api::pod::{Pod, PodTemplateSpec};
use crate::api::selector::LabelSelector;
use crate::api::text::Text;
use crate::controllers::daemonset::plan as daemonset;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Kinds of objects that decide where a pod goes.
pub const LOOKED_AT: &[Kind] = &[
    Kind::Namespace,
    Kind::Node,
    Kind::Pod,
    Kind::PodDisruptionBudget,
    Kind::PersistentVolume,
    Kind::PersistentVolumeClaim,
];

/// So many pods of one object are thought of at most.
pub const MOST: usize = 10_000;

/// A cluster as it is, to which pods are added in thought.
pub struct WhatIf {
    strategy: Strategy,
    nodes: Nodes,
    objects: BTreeMap<Key, Object>,
    /// What is bound to each node.
    on: BTreeMap<Arc<str>, Vec<Victim>>,
    budgets: BTreeMap<Text, Vec<Budget>>,
    /// The node chosen last.
    last: Option<Arc<str>>,
    placed: u64,
}

/// Where a pod would go.
#[derive(Debug)]
pub struct Placed {
    /// The node, or why there is none.
    pub node: Result<Arc<str>, Unschedulable>,
    /// What each node says, in the order of their names.
    pub said: Vec<Said>,
    /// On which node others would have to go for it, and who.
    pub instead_of: Option<(Arc<str>, Vec<Key>)>,
}

impl WhatIf {
    /// A cluster that consists of these objects, among them those of the kinds that are [`LOOKED_AT`].
    pub fn of(objects: impl IntoIterator<Item = Object>, strategy: Strategy) -> Self {
        let objects: BTreeMap<Key, Object> = objects.into_iter().map(|object| (object.key(), object)).collect();
        let mut nodes = Nodes::default();
        for namespace in objects.values().filter_map(Object::get::<Namespace>) {
            nodes.set_namespace(&namespace.metadata.name, Some(&namespace.metadata.labels));
        }
        for node in objects.values().filter_map(Object::get::<Node>) {
            nodes.set(node);
        }
        let mut on: BTreeMap<Arc<str>, Vec<Victim>> = BTreeMap::new();
        for pod in objects.values().filter_map(Object::get::<Pod>).filter(|pod| !pod.status.phase.is_final()) {
            if let Some(node) = pod.node() {
                let facts = nodes.pod_facts(pod, &[]);
                nodes.charge(node, &facts, pod.metadata.is_deleting());
                on.entry(node.into()).or_default().push(Victim::of(pod, facts));
            }
        }
        let mut budgets: BTreeMap<Text, Vec<Budget>> = BTreeMap::new();
        for (namespace, budget) in objects.values().filter_map(|one| Some((&one.meta().namespace, Budget::of(one)?))) {
            budgets.entry(namespace.clone()).or_default().push(budget);
        }
        WhatIf { strategy, nodes, objects, on, budgets, last: None, placed: 0 }
    }

    /// The pods that an object is or makes, as far as they are not there yet: a pod itself, the replicas of a set, the
    /// parallel pods of a job, a daemon for each node that takes it. At most [`MOST`].
    pub fn pods_of(&self, object: &Object) -> Vec<Pod> {
        if let Some(pod) = object.get::<Pod>() {
            return vec![pod.clone()];
        }
        let value: Value = serde_json::from_slice(&object.json()).unwrap_or_default();
        let spec = match object.kind() {
            Kind::CronJob => &value["spec"]["jobTemplate"]["spec"],
            _ => &value["spec"],
        };
        if object.kind() == Kind::DaemonSet {
            let nodes = self.objects.values().filter_map(Object::get::<Node>);
            return object.read().map(|set| daemonset::pods(&set, nodes)).unwrap_or_default();
        }
        let Ok(template) = PodTemplateSpec::deserialize(&spec["template"]) else { return Vec::new() };
        let count = match object.kind() {
            Kind::Job | Kind::CronJob => spec["parallelism"].as_u64().unwrap_or(1),
            Kind::Deployment | Kind::ReplicaSet | Kind::ReplicationController | Kind::StatefulSet => {
                spec["replicas"].as_u64().unwrap_or(1)
            }
            _ => return Vec::new(),
        };
        let there = label_selector(Some(&spec["selector"])).map_or(0, |selector| self.active(object, &selector));
        let missing = usize::try_from(count).unwrap_or(MOST).saturating_sub(there).min(MOST);
        let pod = |nth: usize| {
            let mut pod = template.pod();
            pod.metadata.name = format!("{}-{}", object.meta().name, there + nth).into();
            pod.metadata.namespace.clone_from(&object.meta().namespace);
            pod
        };
        (0..missing).map(pod).collect()
    }

    /// Whether objects of a kind are pods or make some.
    pub fn makes_pods(kind: Kind) -> bool {
        matches!(
            kind,
            Kind::Pod
                | Kind::Deployment
                | Kind::ReplicaSet
                | Kind::ReplicationController
                | Kind::StatefulSet
                | Kind::DaemonSet
                | Kind::Job
                | Kind::CronJob
        )
    }

    /// How many pods a selector finds that are not at their end.
    fn active(&self, owner: &Object, selector: &LabelSelector) -> usize {
        let pods = self.objects.values().filter_map(Object::get::<Pod>).filter(|pod| pod.is_active());
        let own = pods.filter(|pod| pod.metadata.namespace == owner.meta().namespace);
        own.filter(|pod| selector.matches(&pod.metadata.labels)).count()
    }

    /// Where a pod would go, after those that were asked for before. What it asks for is taken from its node.
    pub fn place(&mut self, pod: &Pod) -> Placed {
        let volumes = reach(pod, |key| self.objects.get(key));
        let facts = self.nodes.pod_facts(pod, &volumes);
        let mut standing = Standing::new(facts.clone(), self.strategy, &self.nodes);
        self.placed += 1;
        // A pod that is not there has no uid; each draws another number all the same.
        let uid = format!("{}/{}", pod.metadata.name, self.placed);
        let turn = Turn { strategy: self.strategy, seed: 0, uid: &uid, last: self.last.as_deref() };
        let picked = pick(&turn, &standing, &self.nodes);
        let said: Vec<Said> = said(&standing, &self.nodes).collect();
        let (node, instead_of) = match picked {
            Ok(at) => {
                let node = self.nodes.name(at).clone();
                self.nodes.charge(&node, &facts, false);
                self.last = Some(node.clone());
                (Ok(node), None)
            }
            Err(why) => {
                let victims = if preempts(pod) { self.victims(&mut standing) } else { None };
                (Err(why), victims)
            }
        };
        Placed { node, said, instead_of }
    }

    fn victims(&self, standing: &mut Standing) -> Option<(Arc<str>, Vec<Key>)> {
        let pods = |at: NodeIndex| self.on.get(self.nodes.name(at)).cloned().unwrap_or_default();
        let Preemption { node, victims } = preempt(standing, &self.nodes, &pods, &self.budgets).ok()?;
        Some((self.nodes.name(node).clone(), victims.into_iter().map(|one| one.key).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::object::Resource;
    use crate::scheduler::examples::{node, pod};
    use serde_json::json;

    fn nodes(placed: &[Placed]) -> Vec<String> {
        placed.iter().map(|one| one.node.as_ref().map_or_else(ToString::to_string, ToString::to_string)).collect()
    }

    #[test]
    fn each_takes_the_place_of_the_one_before() {
        let objects =
            [node("a").offers("cpu", "2"), node("b").offers("cpu", "1")].map(|one| (*one).clone().into_object());
        let mut what_if = WhatIf::of(objects, Strategy::default());
        let placed: Vec<Placed> = (0..4).map(|_| what_if.place(&pod("p").requests("cpu", "1"))).collect();
        assert_eq!(nodes(&placed), ["a", "b", "a", "0/2 nodes are available: 2 Insufficient cpu."]);
        assert!(placed[3].said.iter().all(|said| said.what.score().is_none()) && placed[3].instead_of.is_none());
    }

    #[test]
    fn what_is_there_already_is_not_made_again() {
        let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c"}]}});
        let spec = json!({"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template});
        let metadata = json!({"name": "web", "namespace": "default"});
        let set = |kind| Object::from_value(kind, json!({"metadata": metadata, "spec": spec})).unwrap();
        let mut running = (*pod("r").on("a")).clone();
        (running.metadata.namespace, running.metadata.labels) = ("default".into(), [("app", "web".into())].into());
        let objects = [(*node("a")).clone().into_object(), (*node("b")).clone().into_object(), running.into_object()];
        let what_if = WhatIf::of(objects, Strategy::default());
        let names = |kind| what_if.pods_of(&set(kind)).into_iter().map(|pod| pod.metadata.name).collect::<Vec<_>>();
        assert_eq!(names(Kind::ReplicaSet), ["web-1", "web-2"]);
        assert_eq!(names(Kind::Deployment), ["web-1", "web-2"]);
        assert_eq!(names(Kind::DaemonSet).len(), 2);
        assert!(names(Kind::ConfigMap).is_empty());
    }

    #[test]
    fn others_may_have_to_go() {
        let running = pod("r").requests("cpu", "1").on("a");
        let objects = [node("a").offers("cpu", "1")].map(|one| (*one).clone().into_object());
        let objects = objects.into_iter().chain([(*running).clone().into_object()]);
        let mut what_if = WhatIf::of(objects, Strategy::default());
        let mut important = (*pod("p").requests("cpu", "1")).clone();
        assert!(what_if.place(&important).instead_of.is_none());
        Arc::make_mut(&mut important.spec).priority = Some(1000);
        let (node, victims) = what_if.place(&important).instead_of.unwrap();
        assert_eq!((&*node, &*victims[0].name), ("a", "r"));
    }
}
