//! Which sets select a pod, found without asking each of them.

use crate::api::meta::ObjectMeta;
use crate::api::object::Key;
use crate::api::replicaset::ReplicaSet;
use std::collections::{BTreeMap, BTreeSet};

/// Sets by one of the labels that their pods must have; finding costs what has that label in the pod's namespace.
#[derive(Clone, Debug, Default)]
pub struct Selecting {
    by_label: BTreeMap<Label, BTreeSet<Key>>,
}

/// A namespace, and a label that is demanded in it; no label where a selector demands none by its value.
type Label = (String, Option<(String, String)>);

impl Selecting {
    /// A set is there. Its selector never changes.
    pub fn add(&mut self, key: &Key, set: &ReplicaSet) {
        self.by_label.entry(demanded(set)).or_default().insert(key.clone());
    }

    /// A set is gone.
    pub fn remove(&mut self, key: &Key, set: &ReplicaSet) {
        let label = demanded(set);
        if let Some(sets) = self.by_label.get_mut(&label) {
            sets.remove(key);
            if sets.is_empty() {
                self.by_label.remove(&label);
            }
        }
    }

    /// The sets that may select a pod: all that do are among them.
    pub fn candidates(&self, pod: &ObjectMeta) -> Vec<Key> {
        let labels = pod.labels.iter().map(|(name, value)| Some((name.clone(), value.clone())));
        let demanded = labels.chain([None]).map(|label| (pod.namespace.clone(), label));
        demanded.filter_map(|label| self.by_label.get(&label)).flatten().cloned().collect()
    }
}

fn demanded(set: &ReplicaSet) -> Label {
    let label = set.spec.selector.match_labels.first_key_value();
    (set.metadata.namespace.clone(), label.map(|(name, value)| (name.clone(), value.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::Kind;
    use serde_json::json;

    fn key(set: &ObjectMeta) -> Key {
        Key::new(Kind::ReplicaSet, &set.namespace, &set.name)
    }

    #[test]
    fn whoever_selects_a_pod_is_a_candidate() {
        let set = |name: &str, namespace: &str, selector: serde_json::Value| -> ReplicaSet {
            let meta = json!({"name": name, "namespace": namespace});
            serde_json::from_value(json!({"metadata": meta, "spec": {"selector": selector}})).unwrap()
        };
        let sets = [
            set("a", "x", json!({"matchLabels": {"app": "a", "tier": "1"}})),
            set("b", "x", json!({"matchLabels": {"app": "b"}})),
            set("c", "x", json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]})),
            set("d", "y", json!({"matchLabels": {"app": "a"}})),
        ];
        let mut selecting = Selecting::default();
        for set in &sets {
            selecting.add(&key(&set.metadata), set);
        }
        let candidates = |selecting: &Selecting, app: &str| {
            let labels = [("app".to_owned(), app.to_owned()), ("tier".to_owned(), "1".to_owned())].into();
            let pod = ObjectMeta { namespace: "x".into(), labels, ..Default::default() };
            let keys = selecting.candidates(&pod);
            for set in sets.iter().filter(|set| set.metadata.namespace == "x" && set.spec.selector.matches(&pod.labels))
            {
                assert!(keys.contains(&key(&set.metadata)) || selecting.by_label.is_empty());
            }
            keys.iter().map(|key| key.name.to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!((candidates(&selecting, "a").as_str(), candidates(&selecting, "b").as_str()), ("a c", "b c"));
        for set in &sets {
            selecting.remove(&key(&set.metadata), set);
        }
        assert_eq!((candidates(&selecting, "a").as_str(), selecting.by_label.len()), ("", 0));
    }
}
