//! The collector against the real API server.

use super::{GarbageCollector, Options};
use crate::api::custom::CustomResourceDefinition;
use crate::api::kinds::Kind;
use crate::api::object::{Key, Object};
use crate::controllers::testing::World;
use serde_json::{Value, json};

pub(super) fn world(seed: u64) -> (World, GarbageCollector) {
    let mut world = World::new(seed);
    world.node("n1");
    (world, GarbageCollector::new(Options::default(), seed))
}

pub(super) fn key(kind: Kind, name: &str) -> Key {
    Key::new(kind, "default", name)
}

pub(super) fn pods(world: &World) -> String {
    world.names(Kind::Pod, "default")
}

pub(super) fn config(world: &mut World, name: &str, owners: Value) -> Object {
    let meta = json!({"name": name, "namespace": "default", "ownerReferences": owners});
    world.create(Kind::ConfigMap, json!({"metadata": meta}))
}

pub(super) fn define(world: &mut World, group: &str, served: bool) -> Object {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let version = json!({"name": "v1", "served": served, "storage": true, "schema": schema});
    let names = json!({"plural": "widgets", "kind": "Widget"});
    let spec = json!({"group": group, "scope": "Namespaced", "names": names, "versions": [version]});
    let meta = json!({"name": format!("widgets.{group}")});
    world.create(Kind::CustomResourceDefinition, json!({"metadata": meta, "spec": spec}))
}

pub(super) fn widget(world: &mut World, of: &Object, name: &str, owners: Value) -> Object {
    let meta = json!({"name": name, "namespace": "default", "ownerReferences": owners});
    world.create(of.get::<CustomResourceDefinition>().unwrap().kind(), json!({"metadata": meta}))
}
