//! From where a pod's volumes can be reached.

use crate::api::kinds::Kind;
use crate::api::node_affinity::NodeSelector;
use crate::api::object::{Key, Object};
use crate::api::pod::Pod;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// The nodes from which a pod's volumes can be reached, as far as its claims are bound. `object` knows claims and volumes.
pub fn reach<'a>(pod: &Pod, object: impl Fn(&Key) -> Option<&'a Object>) -> Vec<Arc<NodeSelector>> {
    let volumes = pod.spec.rest.get("volumes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut reach = Vec::new();
    for volume in volumes {
        let text = |at: &str| volume.pointer(at).and_then(Value::as_str);
        let claim = match (text("/persistentVolumeClaim/claimName"), text("/name"), volume.get("ephemeral")) {
            (Some(claim), ..) => claim.to_owned(),
            (None, Some(name), Some(_)) => format!("{}-{name}", pod.metadata.name),
            _ => continue,
        };
        let claim = Key::new(Kind::PersistentVolumeClaim, &pod.metadata.namespace, &claim);
        let bound = object(&claim).and_then(|claim| claim.at(&["spec", "volumeName"])?.as_str());
        let Some(bound) = bound.filter(|name| !name.is_empty()) else { continue };
        let volume = object(&Key::new(Kind::PersistentVolume, "", bound));
        let nodes = volume.and_then(|volume| volume.at(&["spec", "nodeAffinity", "required"]));
        reach.extend(nodes.and_then(|nodes| NodeSelector::deserialize(nodes).ok()).map(Arc::new));
    }
    reach
}
