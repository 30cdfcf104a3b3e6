//! S-brake: Nothing is evicted for its node's silence while, as far as the node lifecycle controller was told, no node is ready. Nodes are tainted with NoExecute for their silence one after the other, ten seconds apart. None is tainted in a small cluster of which most nodes are not ready; nor, once a node is ready again after none was, before the others had the whole grace period; nor before its turn has come again, if somebody took its taint away.
//!
//! With nobody heard the fault is most likely its own. A node is chosen when its lease is asked for the last time before
//! it is tainted with the effect `NoExecute`. Catches: mass eviction after everything was cut off; silence that was the
//! controller's own and is counted; a taint that is put back past the brake.

use super::{Broken, Checker, by_its_clock};
use crate::told::{Told, Turn};
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::taint::{NO_EXECUTE, NOT_READY, Taint, UNREACHABLE};
use miniku_core::api::text::Text;
use miniku_core::program::{Answer, DeleteOptions, Input, Part, Verb, WatchEvent};
use miniku_core::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// At `--node-eviction-rate` 0.1, by a clock that may run 5 % too fast.
const EVERY: Duration = Duration::from_millis(10_000 * 100 / 105);

/// None was ready only if that was told for so long: what is told while a watch is opened again may never be seen together.
const LASTS: Duration = Duration::from_secs(10);

/// Each controller, of which there may be two, by what it was told itself.
#[derive(Default)]
pub struct Brake {
    by: BTreeMap<Arc<str>, Observer>,
}

/// What one life of a controller has done.
#[derive(Default)]
struct Observer {
    turn: Turn,
    /// When each node's lease was asked for last, and whether further nodes were to be left alone then.
    asked: BTreeMap<Text, (Instant, bool)>,
    /// When the node was chosen that was tainted last.
    chosen: Option<(Text, Instant)>,
    /// When each node was chosen that was tainted.
    tainted: BTreeMap<Text, Instant>,
    /// The nodes whose taint it was told of since.
    shown: BTreeSet<Text>,
    /// Since when it is told of nodes, and that none of them is ready, without having listed them anew.
    none_ready: Option<Instant>,
    /// When one was ready again after that had been so for long.
    ready_again: Option<Instant>,
}

/// Whether a node sends its pods away since it is silent.
fn is_silent(object: &Object) -> bool {
    let is = |taint: &Taint| taint.effect == NO_EXECUTE && taint.key == UNREACHABLE;
    object.get::<Node>().is_some_and(|node| node.spec.taints.iter().any(is))
}

/// Whether more than two nodes, and 55 % of all, are not ready, of up to 50. Source: Kubernetes, `ComputeZoneState`.
fn holds<'a>(nodes: impl Iterator<Item = &'a Node>) -> bool {
    let (mut all, mut not_ready) = (0, 0);
    for node in nodes {
        all += 1;
        not_ready += usize::from(!node.is_ready());
    }
    all <= 50 && not_ready > 2 && not_ready * 100 >= all * 55
}

impl Observer {
    fn asks(&mut self, truth: &Truth, told: Told<'_>, name: Text) {
        // A node that has gone unseen may be one that it does not count; so both have to say the same.
        let nodes = || told.of_kind(Kind::Node).filter_map(Object::get::<Node>);
        let hold = holds(nodes()) && holds(nodes().filter(|node| truth.still(node).is_some()));
        self.asked.insert(name, (truth.now, hold));
    }

    fn evicts(truth: &Truth, told: Told<'_>, key: &Key, options: &DeleteOptions) -> Result<(), Broken> {
        let meant = truth.meant(key, options).and_then(Object::get::<Pod>);
        let Some(node) = meant.and_then(Pod::node) else { return Ok(()) };
        // Who sends pods away by another taint need not be asked.
        let by_others = |taint: &Taint| taint.effect == NO_EXECUTE && !matches!(&*taint.key, NOT_READY | UNREACHABLE);
        let node = told.object(&Key::new(Kind::Node, "", node)).and_then(Object::get::<Node>);
        if node.is_some_and(|node| node.spec.taints.iter().any(by_others)) {
            return Ok(());
        }
        let mut nodes = told.of_kind(Kind::Node).filter_map(Object::get::<Node>).peekable();
        if nodes.peek().is_some() && !nodes.any(Node::is_ready) {
            let nodes = told.of_kind(Kind::Node).count();
            return Err(Broken::by(format!("{key} is evicted, and none of {nodes} nodes is ready")));
        }
        Ok(())
    }

    /// It is told of a node.
    fn hears(&mut self, now: Instant, told: Told<'_>, node: &Object) {
        if is_silent(node) {
            self.shown.insert(node.key().name);
        }
        match told.of_kind(Kind::Node).filter_map(Object::get::<Node>).any(Node::is_ready) {
            false => self.none_ready = self.none_ready.or(Some(now)),
            true => {
                let since = self.none_ready.take().filter(|since| now.since(*since) >= LASTS);
                self.ready_again = since.map(|_| now).or(self.ready_again);
            }
        }
    }

    fn taints(&mut self, truth: &Truth, told: Told<'_>, new: &Object) -> Result<(), Broken> {
        let name = new.key().name;
        // Whoever sends its pods away already goes on doing so, be it for another reason.
        let is_emptied = |object: &Object| {
            let is = |taint: &Taint| taint.effect == NO_EXECUTE && matches!(&*taint.key, NOT_READY | UNREACHABLE);
            object.get::<Node>().is_some_and(|node| node.spec.taints.iter().any(is))
        };
        if !is_silent(new) || told.object(&new.key()).is_some_and(is_emptied) {
            return Ok(());
        }
        let Some((asked, hold)) = self.asked.get(&name).copied() else { return Ok(()) };
        if self.tainted.insert(name.clone(), asked) == Some(asked) {
            return match self.shown.contains(&name) {
                true => Err(Broken::by(format!("{name} is tainted again, and its turn has not come again"))),
                false => Ok(()),
            };
        }
        self.shown.remove(&name);
        let grace = by_its_clock(truth.settings.node_grace);
        if let Some(at) = self.ready_again.filter(|at| asked >= *at && truth.now.since(*at) < grace) {
            let ago = truth.now.since(at).as_millis();
            return Err(Broken::by(format!("{name} is tainted, and none at all was ready {ago} ms ago")));
        }
        if hold {
            return Err(Broken::by(format!("{name} is tainted, and most nodes are not ready")));
        }
        match self.chosen.replace((name.clone(), asked)) {
            Some((before, at)) if before != name && asked.since(at).max(at.since(asked)) < EVERY => {
                let apart = asked.since(at).max(at.since(asked)).as_millis();
                Err(Broken::by(format!("{before} and {name} are tainted, chosen {apart} ms apart")))
            }
            _ => Ok(()),
        }
    }
}

impl Checker for Brake {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Heard]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let (who, node) = match fact {
            Fact::Sent { who, .. } => (who, None),
            Fact::Heard {
                who,
                input: Input::Event { event: WatchEvent::Added(node) | WatchEvent::Modified(node), .. },
            } if node.kind() == Kind::Node => (who, Some(node)),
            // It may be this that shows one ready again, and nothing comes after it.
            Fact::Heard { who, input: Input::Reply { answer: Answer::List { items, .. }, .. } }
                if items.first().is_some_and(|one| one.kind() == Kind::Node) =>
            {
                if let Some(observer) = self.by.get_mut(&who.name) {
                    observer.none_ready = None;
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        if who.role != Role::NodeLifecycle {
            return Ok(());
        }
        let (told, observer) = (truth.told(who), self.by.entry(who.name.clone()).or_default());
        let turn = truth.turn(who);
        if observer.turn != turn {
            *observer = Observer { turn, ..Observer::default() };
        }
        if let Some(node) = node {
            observer.hears(truth.now, told, node);
        }
        let Fact::Sent { request, .. } = fact else { return Ok(()) };
        match &request.verb {
            Verb::Get { key } if key.kind == Kind::Lease => observer.asks(truth, told, key.name.clone()),
            Verb::Delete { key, options } if key.kind == Kind::Pod => {
                return Observer::evicts(truth, told, key, options);
            }
            Verb::Update { object, part: Part::Main } if object.kind() == Kind::Node => {
                return observer.taints(truth, told, object);
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
    use miniku_core::program::CallId;
    use serde_json::json;

    #[test]
    fn fires_when_nobody_is_left() {
        let mut story = Story::<Brake>::new();
        let controller = who(Role::NodeLifecycle, "node-lifecycle");
        let key = story.put(pod("a", "n", "Running")).unwrap().key;
        let mut evict = |status: &str, uid: &str| {
            let mut node = node("m");
            node["status"]["conditions"] = json!([{"type": "Ready", "status": status}]);
            story.shows(&controller, node).unwrap();
            let options = DeleteOptions { uid: Some(uid.into()), ..DeleteOptions::default() };
            story.sends(&controller, Verb::Delete { key: key.clone(), options })
        };
        evict("True", "a-uid").unwrap();
        assert!(evict("Unknown", "a-uid").is_err());
        // Where the one was that is meant, nobody knows any more.
        evict("Unknown", "one-before").unwrap();
    }

    /// What a controller is told of nodes, and that each of these is tainted after its lease was asked for. Those that say
    /// that they are not ready are tainted for that.
    fn taints(nodes: &[(&str, &str)], from: &[(&str, u64)]) -> Result<(), Broken> {
        let mut story = Story::<Brake>::new();
        let controller = who(Role::NodeLifecycle, "node-lifecycle");
        for (name, status) in nodes {
            let mut node = node(name);
            node["status"]["conditions"] = json!([{"type": "Ready", "status": status}]);
            if *status == "False" {
                node["spec"] = json!({"taints": [{"key": NOT_READY, "effect": "NoExecute"}]});
            }
            story.shows(&controller, node)?;
        }
        for (name, wait) in from {
            story.pass(*wait)?;
            story.sends(&controller, Verb::Get { key: Key::new(Kind::Lease, "kube-node-lease", name) })?;
            let mut tainted = node(name);
            tainted["spec"] = json!({"taints": [{"key": UNREACHABLE, "effect": "NoExecute"}]});
            story.asks(2, &controller, Verb::Update { object: crate::plan::object(tainted), part: Part::Main })?;
        }
        Ok(())
    }

    #[test]
    fn fires_when_most_nodes_are_silent_and_when_two_go_at_once() {
        let nodes = [("a", "True"), ("b", "True"), ("c", "Unknown"), ("d", "Unknown")];
        taints(&nodes, &[("c", 60), ("d", 10)]).unwrap();
        let broken = taints(&nodes, &[("c", 60), ("d", 5)]).unwrap_err();
        assert_eq!(broken.what, "c and d are tainted, chosen 5000 ms apart");
        let most = [("a", "True"), ("b", "Unknown"), ("c", "Unknown"), ("d", "Unknown")];
        let broken = taints(&most, &[("c", 60)]).unwrap_err();
        assert_eq!(broken.what, "c is tainted, and most nodes are not ready");
        // It is tainted already, since it said itself that it is not ready.
        taints(&[("a", "True"), ("b", "Unknown"), ("c", "False"), ("d", "Unknown")], &[("c", 60)]).unwrap();
    }

    fn hears(story: &mut Story<Brake>, node: serde_json::Value) {
        let controller = who(Role::NodeLifecycle, "node-lifecycle");
        story.shows(&controller, node).unwrap();
    }

    fn says(name: &str, status: &str, taints: serde_json::Value) -> serde_json::Value {
        let mut node = node(name);
        node["spec"] = json!({"taints": taints});
        node["status"]["conditions"] = json!([{"type": "Ready", "status": status}]);
        node
    }

    /// A node's lease is asked for, if it is, and then it is tainted.
    fn taint(story: &mut Story<Brake>, name: &str, asks: bool) -> Result<(), Broken> {
        let controller = who(Role::NodeLifecycle, "node-lifecycle");
        if asks {
            story.sends(&controller, Verb::Get { key: Key::new(Kind::Lease, "kube-node-lease", name) })?;
        }
        let tainted = says(name, "Unknown", unreachable());
        story.asks(2, &controller, Verb::Update { object: crate::plan::object(tainted), part: Part::Main })
    }

    fn unreachable() -> serde_json::Value {
        json!([{"key": UNREACHABLE, "effect": "NoExecute"}])
    }

    #[test]
    fn fires_when_the_others_get_no_time_after_nobody_was_ready() {
        let tainted_after = |dark: u64, secs: u64| {
            let mut story = Story::<Brake>::new();
            hears(&mut story, says("a", "Unknown", json!([])));
            hears(&mut story, says("b", "Unknown", json!([])));
            story.pass(dark).unwrap();
            hears(&mut story, says("a", "True", json!([])));
            story.pass(secs).unwrap();
            taint(&mut story, "b", true).map_err(|broken| broken.what)
        };
        assert_eq!(tainted_after(30, 2), Err("b is tainted, and none at all was ready 2000 ms ago".into()));
        tainted_after(30, 15).unwrap();
        tainted_after(3, 2).unwrap();
    }

    #[test]
    fn when_one_is_ready_again_in_a_list_the_others_have_had_their_time() {
        let tainted = |lists: bool| {
            let mut story = Story::<Brake>::new();
            hears(&mut story, says("a", "Unknown", json!([])));
            hears(&mut story, says("b", "Unknown", json!([])));
            story.pass(30).unwrap();
            let ready = story.put(says("a", "True", json!([]))).unwrap();
            if lists {
                let answer = Answer::List { revision: ready.revision, items: ready.new.into_iter().collect() };
                let controller = who(Role::NodeLifecycle, "node-lifecycle");
                story.steps(&controller, Input::Reply { call: CallId(2), answer }).unwrap();
            }
            story.pass(30).unwrap();
            hears(&mut story, says("a", "True", json!([])));
            taint(&mut story, "b", true).is_ok()
        };
        assert!(tainted(true));
        assert!(!tainted(false));
    }

    #[test]
    fn fires_on_a_taint_that_is_put_back_at_once() {
        let put_back = |shown: bool, asks: bool| {
            let mut story = Story::<Brake>::new();
            hears(&mut story, says("a", "True", json!([])));
            hears(&mut story, says("b", "Unknown", json!([])));
            taint(&mut story, "b", true)?;
            if shown {
                hears(&mut story, says("b", "Unknown", unreachable()));
                hears(&mut story, says("b", "Unknown", json!([])));
            }
            story.pass(20)?;
            taint(&mut story, "b", asks)
        };
        let broken = put_back(true, false).unwrap_err();
        assert_eq!(broken.what, "b is tainted again, and its turn has not come again");
        put_back(true, true).unwrap();
        // The first time it was refused.
        put_back(false, false).unwrap();
    }
}
