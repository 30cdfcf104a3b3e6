//! Who names whom: children by their owners' uid, objects by uid, pods by node.

use crate::api::by_key::Keys;
use crate::api::object::{Key, Object};
use crate::api::pod::Pod;
use crate::api::text::Text;
use std::collections::BTreeMap;

/// An index over all objects of the views. Every operation costs O(log objects) for each reference.
#[derive(Debug, Default)]
pub struct Relations {
    by_uid: BTreeMap<Text, Key>,
    children: BTreeMap<Text, Keys>,
    pods_on: BTreeMap<Text, Keys>,
}

impl Relations {
    /// An object is in the view.
    pub fn add(&mut self, object: &Object) {
        let (key, meta) = (object.key(), object.meta());
        for owner in &meta.owner_references {
            self.children.entry(owner.uid.clone()).or_default().add(key.clone());
        }
        if let Some(node) = node_of(object) {
            self.pods_on.entry(node.into()).or_default().add(key.clone());
        }
        self.by_uid.insert(meta.uid.clone(), key);
    }

    /// The object, as it was added, is not in the view any more.
    pub fn remove(&mut self, object: &Object) {
        let (key, meta) = (object.key(), object.meta());
        for owner in &meta.owner_references {
            take(&mut self.children, &owner.uid, &key);
        }
        if let Some(node) = node_of(object) {
            take(&mut self.pods_on, node, &key);
        }
        self.by_uid.remove(&meta.uid);
    }

    /// The object of this uid.
    pub fn of_uid(&self, uid: &str) -> Option<&Key> {
        self.by_uid.get(uid)
    }

    /// All that name an owner of this uid.
    pub fn children(&self, uid: &str) -> impl Iterator<Item = Key> {
        self.children.get(uid).into_iter().flat_map(Keys::keys)
    }

    /// Whether any object names an owner of this uid.
    pub fn has_children(&self, uid: &str) -> bool {
        self.children.contains_key(uid)
    }

    /// All pods that are bound to the node.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = Key> {
        self.pods_on.get(node).into_iter().flat_map(Keys::keys)
    }
}

/// The node that an object is bound to, if it is a pod that is.
pub fn node_of(object: &Object) -> Option<&str> {
    object.get::<Pod>()?.node()
}

fn take(index: &mut BTreeMap<Text, Keys>, by: &str, key: &Key) {
    if let Some(keys) = index.get_mut(by) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(by);
        }
    }
}
