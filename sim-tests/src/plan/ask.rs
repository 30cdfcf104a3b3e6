//! What operators ask for.

use super::manifest::object;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::program::{DeleteOptions, Part, Propagation, Query, Verb};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What an operator asks for. Namespaces that are left out are `default`.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// `kubectl create -f`.
    Create(Object),
    /// `kubectl scale rs`.
    Scale(Scale),
    /// `kubectl patch --type=merge`.
    Patch(Patch),
    /// `kubectl replace`: whatever others have written since is overwritten.
    Replace(Object),
    /// Other labels for a pod that has no name of its own: in or out of somebody's selector.
    Relabel(Relabel),
    /// A pod that has no name of its own goes.
    Evict(Evict),
    /// `kubectl delete`.
    Delete(Delete),
    /// `kubectl cordon`: no new pods for a node.
    Cordon(String),
    /// `kubectl uncordon`.
    Uncordon(String),
    /// `kubectl drain --force --disable-eviction`: cordon, then delete the node's pods.
    Drain(String),
    /// `kubectl drain --force`: cordon, then evict the node's pods, each as soon as its disruption budget allows it.
    Vacate(String),
}

/// Another number of pods for a replica set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scale {
    /// The replica set.
    pub replica_set: String,
    /// Its namespace.
    #[serde(default = "default_namespace", skip_serializing_if = "is_default")]
    pub namespace: String,
    /// How many pods are wished.
    pub replicas: u32,
}

/// Other fields for an object, as RFC 7386 merges them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Patch {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its namespace.
    #[serde(default = "default_namespace", skip_serializing_if = "is_default")]
    pub namespace: String,
    /// What is merged into it.
    pub merge: Value,
    /// Which part of it is written, if not all but the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Piece>,
}

/// A part of an object that is written by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Piece {
    /// `status`: what nobody else says of a node.
    Status,
    /// The wished number, as `kubectl scale` writes it.
    Scale,
}

/// Other labels for one pod: the first, by name, that starts like this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Relabel {
    /// The beginning of its name.
    pub pod: String,
    /// Its namespace.
    #[serde(default = "default_namespace", skip_serializing_if = "is_default")]
    pub namespace: String,
    /// The labels; null takes one away.
    pub labels: BTreeMap<String, Option<String>>,
}

/// The end of one pod: the first, by name, that starts like this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Evict {
    /// The beginning of its name.
    pub pod: String,
    /// Its namespace.
    #[serde(default = "default_namespace", skip_serializing_if = "is_default")]
    pub namespace: String,
    /// Seconds until it is gone by force, 0 for at once; its own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<i64>,
}

/// The end of an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delete {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its namespace.
    #[serde(default = "default_namespace", skip_serializing_if = "is_default")]
    pub namespace: String,
    /// Seconds until it is gone by force; its own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<i64>,
    /// What becomes of what it owns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagation: Option<Propagation>,
}

fn default_namespace() -> String {
    "default".into()
}

fn is_default(namespace: &str) -> bool {
    namespace == "default"
}

fn key(kind: Kind, namespace: &str, name: &str) -> Key {
    Key::new(kind, if kind.row().namespaced { namespace } else { "" }, name)
}

impl Ask {
    /// The first request that asks for it.
    pub fn verb(&self) -> Verb {
        let cordon = |node: &str, on: bool| {
            let patch = json!({"spec": {"unschedulable": on}});
            Verb::Merge { key: Key::new(Kind::Node, "", node), patch, part: Part::Main }
        };
        match self {
            Ask::Create(object) => Verb::Create { object: object.clone() },
            Ask::Scale(Scale { replica_set, namespace, replicas }) => {
                let patch = json!({"spec": {"replicas": replicas}});
                Verb::Merge { key: Key::new(Kind::ReplicaSet, namespace, replica_set), patch, part: Part::Main }
            }
            Ask::Patch(Patch { kind, name, namespace, merge, of }) => {
                let part = match of {
                    None => Part::Main,
                    Some(Piece::Status) => Part::Status,
                    Some(Piece::Scale) => Part::Scale,
                };
                Verb::Merge { key: key(*kind, namespace, name), patch: merge.clone(), part }
            }
            Ask::Replace(object) => Verb::Update { object: object.clone(), part: Part::Main },
            Ask::Relabel(Relabel { namespace, .. }) | Ask::Evict(Evict { namespace, .. }) => {
                Verb::List(Query { namespace: Some(namespace.as_str().into()), ..Query::all(Kind::Pod) })
            }
            Ask::Delete(Delete { kind, name, namespace, grace_seconds, propagation }) => {
                // As kubectl, which leaves no dependents to what the server takes for granted: of these it keeps them.
                let takes_along = matches!(kind, Kind::Job | Kind::ReplicationController);
                let propagation = propagation.or(takes_along.then_some(Propagation::Background));
                let grace_seconds = *grace_seconds;
                let options = DeleteOptions { grace_seconds, propagation, ..Default::default() };
                Verb::Delete { key: key(*kind, namespace, name), options }
            }
            Ask::Cordon(node) | Ask::Drain(node) | Ask::Vacate(node) => cordon(node, true),
            Ask::Uncordon(node) => cordon(node, false),
        }
    }
}

/// `kubectl create -f`.
pub fn create(manifest: Value) -> Ask {
    Ask::Create(object(manifest))
}

/// `kubectl scale rs NAME --replicas=N`.
pub fn scale(set: &str, replicas: u32) -> Ask {
    Ask::Scale(Scale { replica_set: set.to_owned(), namespace: default_namespace(), replicas })
}

/// `kubectl delete KIND NAME`, in `default` or without a namespace.
pub fn delete(kind: Kind, name: &str) -> Ask {
    let (name, namespace) = (name.to_owned(), default_namespace());
    Ask::Delete(Delete { kind, name, namespace, grace_seconds: None, propagation: None })
}
