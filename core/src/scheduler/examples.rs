//! Nodes and pods for tests: each says only what differs.

use crate::api::node::{ContainerImage, Node, NodeCondition};
use crate::api::pod::{Container, Pod};
use std::ops::Deref;
use std::sync::Arc;

/// A ready node that offers 4 processors, 8 GiB and 110 pods.
pub struct NodeExample(pub Node);
/// A pod in `default` with one container that requests nothing; its uid is `uid-NAME`.
pub struct PodExample(pub Pod);

pub fn node(name: &str) -> NodeExample {
    let mut node = Node::default();
    node.metadata.name = name.into();
    node.metadata.uid = format!("uid-{name}").into();
    NodeExample(node).ready("True").offers("cpu", "4").offers("memory", "8Gi").offers("pods", "110")
}

impl NodeExample {
    pub fn offers(mut self, resource: &str, amount: &str) -> Self {
        self.0.status.allocatable.insert(resource, amount.parse().unwrap());
        self
    }
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.0.metadata.labels.insert(name, value.into());
        self
    }
    pub fn ready(mut self, status: &str) -> Self {
        self.0.status.conditions =
            vec![NodeCondition { kind: "Ready".into(), status: status.into(), ..Default::default() }];
        self
    }
    pub fn taint(mut self, key: &str, effect: &str) -> Self {
        self.0.spec.taints.push(crate::api::taint::Taint::new(key, effect));
        self
    }
    pub fn has_image(mut self, name: &str, mib: i64) -> Self {
        let image = ContainerImage { names: vec![name.into()], size_bytes: Some(mib << 20), ..Default::default() };
        self.0.status.images.push(image);
        self
    }
    pub fn cordoned(mut self) -> Self {
        self.0.spec.unschedulable = true;
        self
    }
    pub fn deleting(mut self) -> Self {
        self.0.metadata.deletion_timestamp = Some(Default::default());
        self
    }
}

pub fn pod(name: &str) -> PodExample {
    let mut pod = Pod::default();
    pod.metadata.name = name.into();
    pod.metadata.namespace = "default".into();
    pod.metadata.uid = format!("uid-{name}").into();
    pod.metadata.creation_timestamp = Some(Default::default());
    Arc::make_mut(&mut pod.spec).containers =
        Arc::new(vec![Container { name: "c".into(), image: "i".into(), ..Default::default() }]);
    PodExample(pod)
}

impl PodExample {
    pub fn requests(mut self, resource: &str, amount: &str) -> Self {
        let requests = &mut Arc::make_mut(&mut Arc::make_mut(&mut self.0.spec).containers)[0].resources.requests;
        requests.insert(resource, amount.parse().unwrap());
        self
    }
    pub fn selects(mut self, name: &str, value: &str) -> Self {
        Arc::make_mut(&mut self.0.spec).node_selector.insert(name, value.into());
        self
    }
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.0.metadata.labels.insert(name, value.into());
        self
    }
    /// With these fields in its spec.
    pub fn spec(mut self, fields: serde_json::Value) -> Self {
        let mut spec = serde_json::to_value(&*self.0.spec).unwrap();
        spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.0.spec = Arc::new(serde_json::from_value(spec).unwrap());
        self
    }
    pub fn priority(mut self, priority: i32) -> Self {
        Arc::make_mut(&mut self.0.spec).priority = Some(priority);
        self
    }
    pub fn on(mut self, node: &str) -> Self {
        Arc::make_mut(&mut self.0.spec).node_name = node.into();
        self
    }
}

impl Deref for NodeExample {
    type Target = Node;
    fn deref(&self) -> &Node {
        &self.0
    }
}
impl Deref for PodExample {
    type Target = Pod;
    fn deref(&self) -> &Pod {
        &self.0
    }
}
