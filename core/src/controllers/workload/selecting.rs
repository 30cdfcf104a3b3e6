//! Which owners select an object, found without asking each of them.

use crate::api::meta::ObjectMeta;
use crate::api::object::Key;
use crate::api::selector::LabelSelector;
use crate::api::text::Text;
use std::collections::{BTreeMap, BTreeSet};

/// Owners by one of the labels that what is theirs must have; finding costs what has that label in the object's
/// namespace.
#[derive(Clone, Debug, Default)]
pub struct Selecting {
    by_label: BTreeMap<Label, BTreeSet<Key>>,
}

/// A namespace, and a label that is demanded in it; no label where a selector demands none by its value.
type Label = (Text, Option<(Text, Text)>);

impl Selecting {
    /// An owner is there. If its selector may change, it is removed with the old one and added with the new.
    pub fn add(&mut self, key: &Key, selector: &LabelSelector) {
        self.by_label.entry(demanded(key, selector)).or_default().insert(key.clone());
    }

    /// An owner is gone.
    pub fn remove(&mut self, key: &Key, selector: &LabelSelector) {
        let label = demanded(key, selector);
        if let Some(sets) = self.by_label.get_mut(&label) {
            sets.remove(key);
            if sets.is_empty() {
                self.by_label.remove(&label);
            }
        }
    }

    /// The owners that may select an object: all that do are among them.
    pub fn candidates(&self, object: &ObjectMeta) -> Vec<Key> {
        let labels = object.labels.iter().map(|(name, value)| Some((name.clone(), value.clone())));
        let demanded = labels
            .chain((!planted!(ExpressionsUnheard)).then_some(None))
            .map(|label| (object.namespace.clone(), label));
        demanded.filter_map(|label| self.by_label.get(&label)).flatten().cloned().collect()
    }
}

fn demanded(key: &Key, selector: &LabelSelector) -> Label {
    let label = selector.match_labels.iter().next();
    (key.namespace.clone(), label.map(|(name, value)| (name.clone(), value.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::Kind;
    use serde_json::json;

    #[test]
    fn whoever_selects_a_pod_is_a_candidate() {
        let owner = |name: &str, namespace: &str, selector: serde_json::Value| -> (Key, LabelSelector) {
            (Key::new(Kind::ReplicaSet, namespace, name), serde_json::from_value(selector).unwrap())
        };
        let owners = [
            owner("a", "x", json!({"matchLabels": {"app": "a", "tier": "1"}})),
            owner("b", "x", json!({"matchLabels": {"app": "b"}})),
            owner("c", "x", json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]})),
            owner("d", "y", json!({"matchLabels": {"app": "a"}})),
        ];
        let mut selecting = Selecting::default();
        for (key, selector) in &owners {
            selecting.add(key, selector);
        }
        let candidates = |selecting: &Selecting, app: &str| {
            let labels = [("app", app.into()), ("tier", "1".into())].into();
            let pod = ObjectMeta { namespace: "x".into(), labels, ..Default::default() };
            let keys = selecting.candidates(&pod);
            for (key, selector) in &owners {
                let selects = &*key.namespace == "x" && selector.matches(&pod.labels);
                assert!(!selects || keys.contains(key) || selecting.by_label.is_empty());
            }
            keys.iter().map(|key| key.name.to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!((candidates(&selecting, "a").as_str(), candidates(&selecting, "b").as_str()), ("a c", "b c"));
        for (key, selector) in &owners {
            selecting.remove(key, selector);
        }
        assert_eq!((candidates(&selecting, "a").as_str(), selecting.by_label.len()), ("", 0));
    }
}
