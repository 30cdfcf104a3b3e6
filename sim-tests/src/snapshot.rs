//! Snapshots: a real cluster as `kubectl get -o json` shows it, to begin a run with.
//!
//! Its nodes become simulated ones of the same size, its pods that ran run again from the beginning, under their own
//! names and uids. What miniku does not act on is named, never dropped in silence.

use crate::scenario::{NodeGroup, Nodes, Scenario};
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::ObjectMeta;
use miniku_core::api::node::Node;
use miniku_core::api::object::Object;
use miniku_core::api::pod::Pod;
use miniku_core::api::quantity::Quantity;
use miniku_core::api::text::Text;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What was seen of a cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The objects of kinds that act.
    pub objects: Vec<Object>,
    /// What will not act as it did, for people.
    pub notes: Vec<String>,
}

/// Why a text is no snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSnapshot(String);

impl fmt::Display for NoSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoSnapshot {}

/// Kinds that are taken over. Leases, events and endpoints come by themselves; namespaces that are missing are made.
const TAKEN: &[Kind] = &[
    Kind::Namespace,
    Kind::Node,
    Kind::Pod,
    Kind::ReplicaSet,
    Kind::ReplicationController,
    Kind::Deployment,
    Kind::DaemonSet,
    Kind::StatefulSet,
    Kind::ControllerRevision,
    Kind::Job,
    Kind::CronJob,
    Kind::Service,
    Kind::PodDisruptionBudget,
    Kind::PriorityClass,
    Kind::PersistentVolume,
    Kind::PersistentVolumeClaim,
];

impl Snapshot {
    /// Reads a list of objects, or one object, as JSON.
    pub fn read(text: &str) -> Result<Self, NoSnapshot> {
        let value: Value = serde_json::from_str(text).map_err(|error| NoSnapshot(format!("no JSON: {error}")))?;
        let items = match value {
            Value::Object(mut list) if list.contains_key("items") => match list.remove("items") {
                Some(Value::Array(items)) => items,
                _ => return Err(NoSnapshot("items: a list was expected".into())),
            },
            value @ Value::Object(_) => vec![value],
            _ => return Err(NoSnapshot("a List was expected, as kubectl get -o json prints it".into())),
        };
        let mut snapshot = Snapshot::default();
        let mut ignored: BTreeMap<Text, usize> = BTreeMap::new();
        for (at, item) in items.into_iter().enumerate() {
            let name = item["kind"].as_str().ok_or_else(|| NoSnapshot(format!("items[{at}].kind is missing")))?;
            let kind = Kind::meant(name).filter(|kind| kind.row().name == name && TAKEN.contains(kind));
            match kind {
                None => *ignored.entry(name.into()).or_default() += 1,
                Some(kind) => {
                    let object = Object::from_value(kind, item)
                        .map_err(|error| NoSnapshot(format!("items[{at}], a {}: {error}", kind.row().name)))?;
                    // kubectl get always names one; who writes a file may not, as for kubectl apply.
                    let unnamed = kind.row().namespaced && object.meta().namespace.is_empty();
                    let here = |meta: &mut ObjectMeta| meta.namespace = "default".into();
                    snapshot.objects.push(if unnamed { object.with_meta(here) } else { object });
                }
            }
        }
        for (kind, many) in ignored {
            snapshot.notes.push(format!("{many} of kind {kind} left out: it does not act here"));
        }
        if !snapshot.objects.iter().any(|object| object.kind() == Kind::Node) {
            return Err(NoSnapshot("there is no Node in it: kubectl get nodes,pods,replicasets -A -o json".into()));
        }
        snapshot.make_namespaces();
        snapshot.leave_out_lost();
        snapshot.let_go();
        snapshot.without_effect();
        Ok(snapshot)
    }

    /// Namespaces are often not asked for; without them nothing could be made there.
    fn make_namespaces(&mut self) {
        let mut names: BTreeSet<Text> = self.objects.iter().map(|object| object.meta().namespace.clone()).collect();
        names.remove("");
        for object in self.objects.iter().filter(|object| object.kind() == Kind::Namespace) {
            names.remove(&object.meta().name);
        }
        let made = names.into_iter().map(|name| Object::empty(Kind::Namespace).with_meta(|meta| meta.name = name));
        self.objects.extend(made);
    }

    /// A pod whose node is not there runs nowhere: a machine that is gone, or one that was not asked for.
    fn leave_out_lost(&mut self) {
        let nodes: BTreeSet<Text> =
            self.objects.iter().filter_map(Object::get::<Node>).map(|node| node.metadata.name.clone()).collect();
        let before = self.objects.len();
        let lost = |pod: &Pod| pod.node().is_some_and(|node| !nodes.contains(node));
        self.objects.retain(|object| !object.get::<Pod>().is_some_and(lost));
        let many = before - self.objects.len();
        if many > 0 {
            self.notes.push(format!("{many} of kind Pod left out: they are on nodes that are not here"));
        }
    }

    /// Owners of kinds that do not act cannot be found, and what they own would be collected: it is kept instead.
    fn let_go(&mut self) {
        let uids: BTreeSet<Text> = self.objects.iter().map(|object| object.meta().uid.clone()).collect();
        let mut owners: BTreeMap<Text, usize> = BTreeMap::new();
        for object in &mut self.objects {
            let lost = |uid: &str| !uids.contains(uid);
            for owner in object.meta().owner_references.iter().filter(|owner| lost(&owner.uid)) {
                *owners.entry(owner.kind.clone()).or_default() += 1;
            }
            if object.meta().owner_references.iter().any(|owner| lost(&owner.uid)) {
                *object = object.with_meta(|meta| meta.owner_references.retain(|owner| !lost(&owner.uid)));
            }
        }
        for (kind, many) in owners {
            self.notes.push(format!("{many} objects are owned by a {kind} that is not here: nobody will replace them"));
        }
    }

    /// Names the fields that decide nothing here.
    fn without_effect(&mut self) {
        let mut fields: BTreeMap<Text, usize> = BTreeMap::new();
        for object in &self.objects {
            for path in object.fields_without_effect() {
                // Which of several containers has it does not matter.
                let plain = path.split('{').next().unwrap_or_default().chars();
                let plain: String = plain.filter(|one| !one.is_ascii_digit()).collect();
                let about_deciding = plain.starts_with("spec.") && DECIDING.iter().any(|field| path.contains(field));
                if about_deciding {
                    *fields.entry(format!("{} {plain}", object.kind().row().name).into()).or_default() += 1;
                }
            }
        }
        for (field, many) in fields {
            self.notes.push(format!("{field} decides nothing here, and {many} objects have it"));
        }
    }

    /// Puts the cluster into a scenario, in place of its own.
    pub fn into_scenario(self, scenario: &mut Scenario) {
        let nodes = self.objects.iter().filter_map(Object::get::<Node>).map(|node| {
            let amount = |name: &str| node.status.allocatable.get(name).or_else(|| node.status.capacity.get(name));
            let ordinary = NodeGroup::one(node.metadata.name.clone());
            NodeGroup {
                cpu: amount("cpu").cloned().unwrap_or(ordinary.cpu),
                memory: amount("memory").cloned().unwrap_or(ordinary.memory),
                pods: amount("pods").map_or(ordinary.pods, Quantity::value),
                ..NodeGroup::one(node.metadata.name.clone())
            }
        });
        scenario.cluster.nodes = Nodes(nodes.collect());
        scenario.cluster.objects = self.objects;
        // What could be had there can be had here.
        scenario.cluster.any_image = true;
    }
}

/// Fields that decide where pods run or when they are replaced in Kubernetes.
const DECIDING: &[&str] = &["priority", "volumes", "Probe", "initContainers"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Act, Entry, Fault};
    use crate::scenario::{Ending, PodsAre};
    use crate::story::secs;
    use serde_json::json;

    fn real() -> Value {
        let node = |name: &str| {
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": format!("{name}-uid")},
                "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "20"},
                    "conditions": [{"type": "Ready", "status": "True"}]}})
        };
        let meta = |name: &str, owner: Value| {
            json!({"name": name, "namespace": "shop", "uid": format!("{name}-uid"),
                "labels": {"app": "web"}, "ownerReferences": [owner]})
        };
        let spec = json!({"containers": [{"name": "nginx", "image": "nginx:1.25"}]});
        let set =
            json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "web-uid", "controller": true});
        let pod = |name: &str, node: &str| {
            let mut spec = spec.clone();
            spec["nodeName"] = node.into();
            spec["containers"][0]["readinessProbe"] = json!({"tcpSocket": {"port": 80}});
            let running = json!({"name": "nginx", "ready": true, "restartCount": 3, "image": "nginx:1.25",
                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}});
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta(name, set.clone()), "spec": spec,
                "status": {"phase": "Running", "containerStatuses": [running]}})
        };
        let rollout =
            json!({"apiVersion": "example.com/v1", "kind": "Rollout", "name": "web", "uid": "d", "controller": true});
        let web = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta("web", rollout),
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": spec}}});
        let items = json!([node("a"), node("b"), web, pod("web-1", "a"), pod("web-2", "a"), pod("web-3", "b"),
            {"apiVersion": "example.com/v1", "kind": "Rollout", "metadata": {"name": "web"}},
            {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"}}]);
        json!({"apiVersion": "v1", "kind": "List", "items": items})
    }

    #[test]
    fn names_what_does_not_act() {
        let notes = Snapshot::read(&real().to_string()).unwrap().notes.join("\n");
        for part in ["1 of kind Rollout", "1 of kind Ingress", "owned by a Rollout", "Pod spec.containers"] {
            assert!(notes.contains(part), "{part} is missing in\n{notes}");
        }
    }

    #[test]
    fn pods_of_nodes_that_are_gone_are_left_out() {
        let mut list = real();
        list["items"].as_array_mut().unwrap().retain(|item| item["metadata"]["name"] != "a");
        let snapshot = Snapshot::read(&list.to_string()).unwrap();
        let pods: Vec<&str> =
            snapshot.objects.iter().filter_map(Object::get::<Pod>).map(|pod| pod.metadata.name.as_str()).collect();
        assert_eq!(pods, ["web-3"]);
        assert!(snapshot.notes.iter().any(|note| note.starts_with("2 of kind Pod left out")), "{:?}", snapshot.notes);
        let mut scenario = Scenario::named("real");
        snapshot.into_scenario(&mut scenario);
        scenario.run(1).unwrap();
    }

    #[test]
    fn says_what_is_wrong() {
        let wrong = |text: &str| Snapshot::read(text).unwrap_err().to_string();
        assert!(wrong("{\"items\": [").contains("no JSON"));
        assert!(wrong("{\"items\": [{}]}").contains("items[0].kind"));
        assert!(wrong("{\"items\": []}").contains("no Node"));
        let bad = json!({"items": [{"kind": "Node", "metadata": {"name": 1}}]});
        assert!(wrong(&bad.to_string()).contains("items[0], a Node: metadata.name"), "{}", wrong(&bad.to_string()));
    }

    /// What happens to these pods if this node dies?
    #[test]
    fn a_real_cluster_goes_on_where_it_was() {
        let mut scenario = Scenario::named("real");
        Snapshot::read(&real().to_string()).unwrap().into_scenario(&mut scenario);
        scenario.end = Ending::RunsUntil(secs(30));
        let world = scenario.run(1).unwrap();
        assert_eq!(world.truth().processes.len(), 3);
        // Nothing was started anew: the pods kept running as they were.
        assert_eq!(world.counts().starts, 3);

        let fault = Fault::NodeCrash { node: "a".into(), down: None };
        scenario.timeline.push(Entry::new(secs(10), Act::Strike(fault)));
        let elsewhere = PodsAre {
            of: Some("web".into()),
            count: Some(3),
            running: Some(3),
            not_on: Some("a".into()),
            ..Default::default()
        };
        let (from, within, that) = (secs(10), secs(200), "three run on b".to_owned());
        scenario.expect.push(crate::scenario::Expect {
            from,
            within,
            that,
            pods: Some(elsewhere),
            nodes: None,
            jobs: None,
            absent: Vec::new(),
            present: Vec::new(),
        });
        scenario.end = Ending::default();
        scenario.run(1).unwrap();
        assert_eq!(Scenario::read(&scenario.text()).as_ref(), Ok(&scenario));
    }
}
