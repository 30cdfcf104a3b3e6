//! Which objects a selector selects, found without asking each of them. The other way round:
//! [`selecting`](super::workload::selecting).

use crate::api::by_key::Keys;
use crate::api::meta::ObjectMeta;
use crate::api::object::{Key, Object};
use crate::api::selector::LabelSelector;
use crate::api::text::Text;
use crate::client::Change;
use std::collections::BTreeMap;

/// Objects by each of their labels; finding costs what has one of the labels that are demanded.
#[derive(Clone, Debug, Default)]
pub struct Labelled {
    by_label: BTreeMap<Label, Keys>,
}

/// A namespace, and a label; no label for all that is in the namespace.
type Label = (Text, Option<(Text, Text)>);

impl Labelled {
    /// Takes in a change of an object.
    pub fn changed(&mut self, change: &Change) {
        let (old, new) = change.sides();
        if let (Some(old), Some(new)) = (old, new)
            && old.meta().labels == new.meta().labels
        {
            return;
        }
        if let Some(old) = old {
            self.remove(old);
        }
        if let Some(new) = new {
            self.add(new);
        }
    }

    fn add(&mut self, object: &Object) {
        for label in labels(object.meta()) {
            self.by_label.entry(label).or_default().add(object.key());
        }
    }

    fn remove(&mut self, object: &Object) {
        let key = object.key();
        for label in labels(object.meta()) {
            if let Some(objects) = self.by_label.get_mut(&label) {
                objects.remove(&key);
                if objects.is_empty() {
                    self.by_label.remove(&label);
                }
            }
        }
    }

    /// The objects of a namespace that may be selected, in the order of their keys: all that are are among them.
    pub fn candidates(&self, namespace: &str, selector: &LabelSelector) -> impl Iterator<Item = Key> {
        let of = |label: Option<(Text, Text)>| self.by_label.get(&(namespace.into(), label));
        let demanded = selector.match_labels.iter().map(|(name, value)| of(Some((name.clone(), value.clone()))));
        let fewest = demanded.min_by_key(|objects| objects.map_or(0, Keys::len));
        fewest.unwrap_or_else(|| of(None)).into_iter().flat_map(Keys::keys)
    }
}

fn labels(meta: &ObjectMeta) -> impl Iterator<Item = Label> {
    let labels = meta.labels.iter().map(|(name, value)| Some((name.clone(), value.clone())));
    labels.chain([None]).map(|label| (meta.namespace.clone(), label))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::Kind;
    use serde_json::{Value, json};

    #[test]
    fn whatever_is_selected_is_a_candidate() {
        let pod = |name: &str, namespace: &str, labels: Value| {
            let meta = json!({"name": name, "namespace": namespace, "labels": labels});
            Object::from_value(Kind::Pod, json!({"metadata": meta})).unwrap()
        };
        let pods = [
            pod("a", "x", json!({"app": "web", "tier": "1"})),
            pod("b", "x", json!({"app": "web"})),
            pod("c", "x", json!({})),
            pod("d", "y", json!({"app": "web"})),
        ];
        let mut labelled = Labelled::default();
        pods.iter().for_each(|pod| labelled.changed(&Change::Added(pod.clone())));
        let found = |labelled: &Labelled, selector: Value| {
            let selector: LabelSelector = serde_json::from_value(selector).unwrap();
            labelled.candidates("x", &selector).map(|key| key.name.to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found(&labelled, json!({"matchLabels": {"app": "web"}})), "a b");
        assert_eq!(found(&labelled, json!({"matchLabels": {"app": "web", "tier": "1"}})), "a", "the rarer label");
        assert_eq!(found(&labelled, json!({"matchLabels": {"app": "none", "tier": "1"}})), "");
        assert_eq!(found(&labelled, json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]})), "a b c");
        let moved = pods[1].with_meta(|meta| meta.labels.insert("app", "db".into()));
        labelled.changed(&Change::Modified { old: pods[1].clone(), new: moved.clone() });
        assert_eq!(found(&labelled, json!({"matchLabels": {"app": "web"}})), "a");
        for pod in [&pods[0], &moved, &pods[2], &pods[3]] {
            labelled.changed(&Change::Deleted(pod.clone()));
        }
        assert_eq!(labelled.by_label.len(), 0);
    }
}
