//! S-address: No two services have the same cluster address, or the same port of the nodes.
//!
//! Catches: an address that is free again too early, or taken only when its service is stored, so that two that are made
//! in the same moment get it.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What each service has.
#[derive(Default)]
pub struct Address {
    of: BTreeMap<Key, BTreeSet<String>>,
}

fn given(service: &Object) -> BTreeSet<String> {
    let ip = service.at(&["spec", "clusterIP"]).and_then(Value::as_str);
    let ip = ip.filter(|ip| !ip.is_empty() && *ip != "None").map(str::to_owned);
    let ports = service.at(&["spec", "ports"]).and_then(Value::as_array).into_iter().flatten();
    let ports = ports.filter_map(|port| port.get("nodePort")?.as_u64()).filter(|port| *port > 0);
    ip.into_iter().chain(ports.map(|port| format!("port {port}"))).collect()
}

impl Checker for Address {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable]
    }

    fn see(&mut self, _: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Durable { change } = fact else { return Ok(()) };
        if change.key.kind != Kind::Service {
            return Ok(());
        }
        self.of.remove(&change.key);
        let Some(service) = &change.new else { return Ok(()) };
        let has = given(service);
        let other = self.of.iter().find_map(|(other, theirs)| Some((other, theirs.intersection(&has).next()?)));
        if let Some((other, what)) = other {
            return Err(Broken::by(format!("{} and {other} both have {what}", change.key)).with([service]));
        }
        self.of.insert(change.key.clone(), has);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::Story;
    use super::*;
    use serde_json::json;

    #[test]
    fn fires_on_what_two_services_have() {
        let service = |name: &str, ip: &str, port: u64| {
            json!({"kind": "Service", "metadata": {"name": name},
                "spec": {"clusterIP": ip, "ports": [{"port": 80, "nodePort": port}]}})
        };
        let both = |first: Value, second: Value| {
            let mut story = Story::<Address>::new();
            let first = story.put(first).unwrap().new.unwrap();
            let broken = story.put(second.clone()).is_err();
            story.write(&first, true).unwrap();
            story.put(second).unwrap();
            broken
        };
        assert!(both(service("a", "10.96.0.9", 0), service("b", "10.96.0.9", 0)));
        assert!(both(service("a", "10.96.0.9", 30_001), service("b", "10.96.0.8", 30_001)));
        assert!(!both(service("a", "None", 30_001), service("b", "None", 30_002)));
        assert!(!both(service("a", "10.96.0.9", 0), service("a", "10.96.0.9", 0)));
    }
}
