//! S-evict: The node lifecycle controller deletes a pod only if it has heard no renewal of its node's lease for the whole grace period.
//!
//! What it heard is what was delivered to it, by its own clock. Pods of nodes that are gone from the store may go.
//! Catches: eviction of everything after the API server was away; a deadline that fires though the node came back.

use super::{Broken, Checker};
use crate::truth::{Fact, Role, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Object;
use miniku_core::api::pod::Pod;
use miniku_core::program::{Answer, Input, Revision, Verb, WatchEvent};
use miniku_core::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Source: the controller's own grace period.
const GRACE: Duration = Duration::from_secs(15);

/// When each controller, of which there may be two, last heard of which renewal.
#[derive(Default)]
pub struct Evict {
    by: BTreeMap<Arc<str>, Observer>,
}

#[derive(Default)]
struct Observer {
    life: u32,
    since: Instant,
    heard: BTreeMap<String, (Revision, Instant)>,
}

impl Observer {
    fn hears(&mut self, now: Instant, object: &Object) {
        if object.kind() == Kind::Lease {
            let last = self.heard.entry(object.meta().name.clone()).or_insert((Revision(0), now));
            if object.revision() > last.0 {
                *last = (object.revision(), now);
            }
        }
    }
}

impl Checker for Evict {
    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Heard { who, input } if who.role == Role::NodeLifecycle => {
                let observer = self.by.entry(who.name.clone()).or_default();
                if who.life != observer.life {
                    *observer = Observer { life: who.life, since: truth.now, heard: BTreeMap::new() };
                }
                match input {
                    Input::Reply { answer: Answer::List { items, .. }, .. } => {
                        items.iter().for_each(|item| observer.hears(truth.now, item));
                    }
                    Input::Reply { answer: Answer::Object { object, .. }, .. }
                    | Input::Event { event: WatchEvent::Added(object) | WatchEvent::Modified(object), .. } => {
                        observer.hears(truth.now, object);
                    }
                    _ => {}
                }
            }
            Fact::Sent { who, request, .. } if who.role == Role::NodeLifecycle => {
                let Verb::Delete { key, .. } = &request.verb else { return Ok(()) };
                let Some(object) = truth.object(key).filter(|_| key.kind == Kind::Pod) else { return Ok(()) };
                let Some(node) = object.get::<Pod>().and_then(Pod::node) else { return Ok(()) };
                let Some(observer) = self.by.get(&who.name) else { return Ok(()) };
                let last = observer.heard.get(node).map_or(observer.since, |(_, at)| *at);
                let silent = truth.now.since(last);
                if truth.node(node).is_some() && silent < GRACE {
                    let what = format!("{key} is deleted though {node} was heard {} ms ago", silent.as_millis());
                    return Err(Broken::by(what).with([object]));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, node, pod, who};
    use super::*;
    use miniku_core::program::{CallId, DeleteOptions, RequestId};
    use serde_json::json;

    #[test]
    fn fires_on_an_eviction_from_a_node_that_was_heard() {
        let mut story = Story::<Evict>::new();
        let controller = who(Role::NodeLifecycle, "node-lifecycle");
        story.put(node("n")).unwrap();
        let pod = story.put(pod("a", "n", "Running")).unwrap();
        let lease = json!({"kind": "Lease", "metadata": {"name": "n", "namespace": "kube-node-lease"}});
        let request = Verb::Delete { key: pod.key, options: DeleteOptions::default() }.into();
        let evict = |story: &mut Story<Evict>, after| {
            let lease = story.put(lease.clone()).unwrap().new.unwrap();
            let input = Input::Event { call: CallId(1), event: WatchEvent::Modified(lease) };
            story.see(Fact::Heard { who: &controller, input: &input }).unwrap();
            story.pass(after).unwrap();
            story.see(Fact::Sent { who: &controller, id: RequestId(1), request: &request })
        };
        evict(&mut story, 20).unwrap();
        assert!(evict(&mut story, 10).unwrap_err().what.contains("was heard 10000 ms ago"));
    }
}
