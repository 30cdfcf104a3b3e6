//! S-evict: The node lifecycle controller calls a node silent, and deletes its pods, only if it has heard no renewal of its lease for the whole grace period, for its pods' sake for the time to eviction too, and the API server has confirmed it since.
//!
//! What it heard is what was delivered to it, by its own clock. Pods of nodes that are gone from the store may go.
//! Catches: eviction of everything after the API server was away; a deadline that fires though the node came back.

use super::{Broken, Checker};
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::name::Name;
use miniku_core::api::object::Object;
use miniku_core::api::pod::Pod;
use miniku_core::program::{Answer, Input, Part, Revision, Verb, WatchEvent};
use miniku_core::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The controller's own grace period, less what a clock that runs 5 % too fast makes of it: it counts by its own.
const GRACE: Duration = Duration::from_millis(15_000 * 100 / 105);

/// Its grace period and its time to eviction, less the same.
const EVICTION: Duration = Duration::from_millis(45_000 * 100 / 105);

/// When each controller, of which there may be two, last heard of which renewal.
#[derive(Default)]
pub struct Evict {
    by: BTreeMap<Arc<str>, Observer>,
}

#[derive(Default)]
struct Observer {
    life: u32,
    since: Instant,
    heard: BTreeMap<Name, (Revision, Instant)>,
    /// When the API server said last that it knows of no newer renewal.
    confirmed: BTreeMap<Name, Instant>,
}

impl Observer {
    fn hears(&mut self, now: Instant, object: &Object) {
        if object.kind() == Kind::Lease {
            let last = self.heard.entry(object.key().name).or_insert((Revision(0), now));
            if object.revision() > last.0 {
                *last = (object.revision(), now);
            }
        }
    }
}

impl Checker for Evict {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Heard, Sight::Sent]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Heard { who, input } if who.role == Role::NodeLifecycle => {
                let observer = self.by.entry(who.name.clone()).or_default();
                if who.life != observer.life {
                    *observer = Observer { life: who.life, since: truth.now, ..Observer::default() };
                }
                match input {
                    Input::Reply { answer: Answer::List { items, .. }, .. } => {
                        items.iter().for_each(|item| observer.hears(truth.now, item));
                    }
                    Input::Reply { answer: Answer::Object { object, .. }, .. } => {
                        observer.hears(truth.now, object);
                        observer.confirmed.insert(object.key().name, truth.now);
                    }
                    Input::Reply { answer: Answer::Refused(status), .. } => {
                        if let Some(details) = &status.details {
                            observer.confirmed.insert(details.name.as_str().into(), truth.now);
                        }
                    }
                    Input::Event { event: WatchEvent::Added(object) | WatchEvent::Modified(object), .. } => {
                        observer.hears(truth.now, object);
                    }
                    _ => {}
                }
            }
            Fact::Sent { who, request, .. } if who.role == Role::NodeLifecycle => {
                let (node, object, least) = match &request.verb {
                    Verb::Delete { key, .. } => {
                        let Some(object) = truth.object(key).filter(|_| key.kind == Kind::Pod) else { return Ok(()) };
                        let Some(node) = object.get::<Pod>().and_then(Pod::node) else { return Ok(()) };
                        (node, object, EVICTION)
                    }
                    Verb::Update { object, part: Part::Status } if object.kind() == Kind::Node => {
                        (object.meta().name.as_str(), object, GRACE)
                    }
                    _ => return Ok(()),
                };
                let name = Name::from(node);
                let Some(observer) = self.by.get(&who.name) else { return Ok(()) };
                let last = observer.heard.get(&name).map_or(observer.since, |(_, at)| *at);
                let silent = truth.now.since(last);
                let wrong = match observer.confirmed.get(&name).filter(|confirmed| confirmed.since(last) >= least) {
                    _ if silent < least => format!("was heard {} ms ago", silent.as_millis()),
                    None => "was not asked for".to_owned(),
                    Some(_) => return Ok(()),
                };
                if truth.node(node).is_some() {
                    return Err(Broken::by(format!("{} is written off though {node} {wrong}", object.key())).with([object]));
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
            let input = Input::Event { call: CallId(1), event: WatchEvent::Modified(lease.clone()) };
            story.see(Fact::Heard { who: &controller, input: &input }).unwrap();
            story.pass(after).unwrap();
            let sent = Fact::Sent { who: &controller, id: RequestId(1), request: &request };
            assert!(story.see(sent).is_err(), "nobody asked for its lease");
            let answer = Answer::Object { object: lease, created: false };
            let input = Input::Reply { call: CallId(2), answer };
            story.see(Fact::Heard { who: &controller, input: &input }).unwrap();
            story.see(Fact::Sent { who: &controller, id: RequestId(1), request: &request })
        };
        evict(&mut story, 45).unwrap();
        assert!(evict(&mut story, 10).unwrap_err().what.contains("was heard 10000 ms ago"));
        assert!(evict(&mut story, 30).unwrap_err().what.contains("was heard 30000 ms ago"));
    }
}
