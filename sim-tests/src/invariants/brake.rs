//! S-brake: Nothing is evicted while, as far as the node lifecycle controller was told, no node is ready.
//!
//! With nobody heard the fault is most likely its own. Catches: mass eviction after everything was cut off.

use super::told::Told;
use super::{Broken, Checker};
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::object::Object;
use miniku_core::program::Verb;

/// What the controller was told.
#[derive(Default)]
pub struct Brake {
    told: Told,
}

impl Checker for Brake {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Heard]
    }

    fn see(&mut self, _: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Heard { who, input } if who.role == Role::NodeLifecycle => {
                self.told.hear(who, input);
            }
            Fact::Sent { who, request, .. } if who.role == Role::NodeLifecycle => {
                let Verb::Delete { key, .. } = &request.verb else { return Ok(()) };
                let nodes: Vec<&Node> = self.told.objects().filter_map(Object::get).collect();
                if key.kind == Kind::Pod && !nodes.is_empty() && !nodes.iter().any(|node| node.is_ready()) {
                    return Err(Broken::by(format!("{key} is evicted, and none of {} nodes is ready", nodes.len())));
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
    use miniku_core::program::{CallId, DeleteOptions, Input, RequestId, WatchEvent};
    use serde_json::json;

    #[test]
    fn fires_when_nobody_is_left() {
        let mut story = Story::<Brake>::new();
        let controller = who(Role::NodeLifecycle, "node-lifecycle");
        let key = story.put(pod("a", "n", "Running")).unwrap().key;
        let request = Verb::Delete { key, options: DeleteOptions::default() }.into();
        let mut evict = |status: &str| {
            let mut node = node("m");
            node["status"]["conditions"] = json!([{"type": "Ready", "status": status}]);
            let event = WatchEvent::Modified(story.put(node).unwrap().new.unwrap());
            let input = Input::Event { call: CallId(1), event };
            story.see(Fact::Heard { who: &controller, input: &input }).unwrap();
            story.see(Fact::Sent { who: &controller, id: RequestId(1), request: &request })
        };
        evict("True").unwrap();
        assert!(evict("Unknown").is_err());
    }
}
