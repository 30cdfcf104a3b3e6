//! S-evict: The node lifecycle controller calls a node silent only if it has heard no renewal of its lease for the whole grace period, and the API server has confirmed that since. It deletes a pod only for a taint that it has seen for as long as the pod tolerates it, and only once the pod says that it was made to go; for the node's silence only if nothing was heard of the node for all that time, which the API server has confirmed, too. The taints that it puts on a node for being unwell are for what the node's condition says.
//!
//! What it heard is what was delivered to it, by its own clock. Pods of nodes that are gone from the store may go.
//! Catches: eviction of everything after the API server was away; a deadline that fires though the node came back; a taint
//! that stays when its reason has become another one; a pod that goes without a word, whose end counts as its own failure.

use super::{Broken, Checker, by_its_clock};
use crate::told::Turn;
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::object::Object;
use miniku_core::api::pod::Pod;
use miniku_core::api::taint::{KEEP_AWAY, NO_EXECUTE, NOT_READY, Taint, UNREACHABLE};
use miniku_core::api::text::Text;
use miniku_core::program::{Answer, Input, Part, Revision, Verb, WatchEvent};
use miniku_core::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::sync::Arc;

/// For how long a pod puts up with a taint; for ever if absent.
pub(super) fn puts_up_with(truth: &Truth, pod: &Pod, taint: &Taint) -> Option<Duration> {
    match pod.spec.tolerations.iter().find(|one| one.tolerates(taint)) {
        None => Some(Duration::ZERO),
        Some(one) if one.is_usual() => Some(truth.settings.eviction_after),
        Some(one) => one.toleration_seconds.map(|secs| Duration::from_secs(u64::try_from(secs).unwrap_or(0))),
    }
}

/// What the taints of a node say of its being unwell, if its condition says otherwise.
fn says_otherwise(node: &Node) -> Option<String> {
    let ready = node.ready().map(|ready| ready.status.as_str());
    let fits = |taint: &&Taint| match &*taint.key {
        NOT_READY => ready == Some("False"),
        UNREACHABLE => ready == Some("Unknown"),
        _ => true,
    };
    let of_ours = |taint: &&Taint| KEEP_AWAY.contains(&&*taint.effect);
    let wrong = node.spec.taints.iter().filter(of_ours).find(|taint| !fits(taint))?;
    Some(format!("{wrong}, and its condition Ready is {}", ready.unwrap_or("not there")))
}

/// When each controller, of which there may be two, last heard of which renewal.
#[derive(Default)]
pub struct Evict {
    by: BTreeMap<Arc<str>, Observer>,
}

#[derive(Default)]
struct Observer {
    turn: Turn,
    since: Instant,
    heard: BTreeMap<Text, (Revision, Instant)>,
    /// When the API server said last that it knows of no newer renewal.
    confirmed: BTreeMap<Text, Instant>,
    /// The taints that send pods away, by node, and since when it knows of them.
    taints: BTreeMap<Text, (Revision, Vec<(Taint, Instant)>)>,
    /// Since when it knows of pods on their nodes, by uid.
    pods: BTreeMap<Text, Instant>,
}

impl Observer {
    fn hears(&mut self, now: Instant, object: &Object) {
        if object.kind() == Kind::Lease {
            let last = self.heard.entry(object.key().name).or_insert((Revision(0), now));
            if object.revision() > last.0 {
                *last = (object.revision(), now);
            }
        }
        if object.kind() == Kind::Pod && object.get::<Pod>().is_some_and(|pod| pod.node().is_some()) {
            self.pods.entry(object.meta().uid.clone()).or_insert(now);
        }
        if let Some(node) = object.get::<Node>() {
            let (revision, known) = self.taints.entry(object.key().name).or_default();
            if object.revision() > *revision {
                let same = |one: &Taint, other: &Taint| (&one.key, &one.value) == (&other.key, &other.value);
                let since =
                    |taint: &Taint| known.iter().find(|(one, _)| same(one, taint)).map_or(now, |(_, since)| *since);
                let sends_away = node.spec.taints.iter().filter(|taint| taint.effect == NO_EXECUTE);
                (*revision, *known) =
                    (object.revision(), sends_away.map(|taint| (taint.clone(), since(taint))).collect());
            }
        }
    }

    /// Whether nothing was heard of a node for so long, and the API server has confirmed that.
    fn is_silent(&self, now: Instant, node: &Text, least: Duration) -> Result<(), String> {
        let last = self.heard.get(node).map_or(self.since, |(_, at)| *at);
        let silent = now.since(last);
        match self.confirmed.get(node).filter(|confirmed| confirmed.since(last) >= least) {
            _ if silent < least => Err(format!("was heard {} ms ago", silent.as_millis())),
            None => Err("was not asked for".to_owned()),
            Some(_) => Ok(()),
        }
    }

    /// Whether a pod may be deleted for a taint of its node.
    fn may_go(&self, truth: &Truth, node: &Text, pod: &Pod) -> Result<(), String> {
        let mut why = "has no taint that it has not tolerated for long enough".to_owned();
        let Some((_, taints)) = self.taints.get(node) else { return Err(why) };
        let arrived = self.pods.get(&pod.metadata.uid).copied().unwrap_or(self.since);
        for (taint, since) in taints {
            let Some(stays) = puts_up_with(truth, pod, taint) else { continue };
            if truth.now.since(arrived.max(*since)) < by_its_clock(stays) {
                continue;
            }
            if taint.key != UNREACHABLE {
                return Ok(());
            }
            match self.is_silent(truth.now, node, by_its_clock(truth.settings.node_grace + stays)) {
                Ok(()) => return Ok(()),
                Err(heard) => why = heard,
            }
        }
        Err(why)
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
                let turn = truth.turn(who);
                if observer.turn != turn {
                    *observer = Observer { turn, since: truth.now, ..Observer::default() };
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
                    Input::Event { event: WatchEvent::Deleted(object), .. } => {
                        observer.pods.remove(&object.meta().uid);
                    }
                    _ => {}
                }
            }
            Fact::Sent { who, request, .. } if who.role == Role::NodeLifecycle => {
                if let Verb::Update { object, part: Part::Main } = &request.verb
                    && let Some(otherwise) = object.get::<Node>().and_then(says_otherwise)
                {
                    return Err(Broken::by(format!("{} is tainted {otherwise}", object.key())).with([object]));
                }
                if let Verb::Delete { key, options } = &request.verb
                    && let Some(object) = truth.meant(key, options)
                    // What it was decided on is what is stored.
                    && options.resource_version.as_ref() == Some(&object.meta().resource_version)
                    && object.get::<Pod>().is_some_and(|pod| pod.disruption().is_none())
                {
                    return Err(Broken::by(format!("{key} is deleted, and does not say why it goes")).with([object]));
                }
                let Some(observer) = self.by.get(&who.name) else { return Ok(()) };
                let (node, object, wrong) = match &request.verb {
                    Verb::Delete { key, options } => {
                        let meant = truth.meant(key, options).filter(|_| key.kind == Kind::Pod);
                        let Some(object) = meant else { return Ok(()) };
                        let Some(pod) = object.get::<Pod>() else { return Ok(()) };
                        let Some(node) = pod.node() else { return Ok(()) };
                        (node, object, observer.may_go(truth, &Text::from(node), pod))
                    }
                    Verb::Update { object, part: Part::Status } if object.kind() == Kind::Node => {
                        let node = object.meta().name.as_str();
                        let grace = by_its_clock(truth.settings.node_grace);
                        (node, object, observer.is_silent(truth.now, &Text::from(node), grace))
                    }
                    _ => return Ok(()),
                };
                let Err(wrong) = wrong else { return Ok(()) };
                if truth.node(node).is_some() {
                    return Err(
                        Broken::by(format!("{} is written off though {node} {wrong}", object.key())).with([object])
                    );
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
    use miniku_core::program::{CallId, DeleteOptions};
    use serde_json::json;

    #[test]
    fn fires_on_a_taint_for_what_the_node_is_not() {
        let (mut story, controller) = (Story::<Evict>::new(), who(Role::NodeLifecycle, "node-lifecycle"));
        let mut taints = |ready: &str, taints: serde_json::Value| {
            let mut node = node("n");
            node["spec"] = json!({"taints": taints});
            node["status"]["conditions"] = json!([{"type": "Ready", "status": ready}]);
            story.sends(&controller, Verb::Update { object: crate::plan::object(node), part: Part::Main })
        };
        let taint = |key: &str, effect: &str| json!({"key": key, "effect": effect});
        taints("Unknown", json!([taint(UNREACHABLE, "NoSchedule"), taint(UNREACHABLE, "NoExecute")])).unwrap();
        taints("False", json!([taint(NOT_READY, "NoExecute"), taint("mine", "NoExecute")])).unwrap();
        taints("True", json!([taint(NOT_READY, "PreferNoSchedule")])).unwrap();
        let both = json!([taint(NOT_READY, "NoExecute"), taint(UNREACHABLE, "NoExecute")]);
        let broken = taints("Unknown", both).unwrap_err();
        assert!(broken.what.ends_with("and its condition Ready is Unknown"), "{}", broken.what);
        assert!(taints("True", json!([taint(UNREACHABLE, "NoSchedule")])).is_err());
    }

    #[test]
    fn fires_on_a_pod_that_does_not_say_why_it_goes() {
        let goes = |says: &str, as_read: bool| {
            let mut story = Story::<Evict>::new();
            let mut usual = pod("a", "n", "Running");
            usual["status"]["conditions"] = json!([{"type": says, "status": "True"}]);
            let read = story.put(usual.clone()).unwrap().new.unwrap();
            if !as_read {
                usual["metadata"]["resourceVersion"] = "77".into();
                story.put(usual).unwrap();
            }
            let revision = Some(read.meta().resource_version.clone());
            let options = DeleteOptions { resource_version: revision, ..DeleteOptions::default() };
            story.sends(&who(Role::NodeLifecycle, "node-lifecycle"), Verb::Delete { key: read.key(), options })
        };
        goes("DisruptionTarget", true).unwrap();
        assert!(goes("Ready", true).unwrap_err().what.ends_with("is deleted, and does not say why it goes"));
        // It will be refused.
        goes("Ready", false).unwrap();
    }

    /// So long without a heartbeat, and a node is not ready; so long after that, and pods go that say nothing of their own.
    const GRACE: Duration = Duration::from_secs(5);
    const AFTER: Duration = Duration::from_secs(3);

    #[test]
    fn fires_on_an_eviction_from_a_node_that_was_heard() {
        let mut story = Story::<Evict>::new();
        (story.truth.settings.node_grace, story.truth.settings.eviction_after) = (GRACE, AFTER);
        let controller = who(Role::NodeLifecycle, "node-lifecycle");
        let mut tainted = node("n");
        tainted["spec"] = json!({"taints": [{"key": UNREACHABLE, "effect": "NoExecute"}]});
        let tainted = story.put(tainted).unwrap().new.unwrap();
        let mut usual = pod("a", "n", "Running");
        usual["spec"]["tolerations"] =
            json!([{"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]);
        let pod = story.put(usual).unwrap();
        for object in [&tainted, pod.new.as_ref().unwrap()] {
            story.hears(&controller, WatchEvent::Modified(object.clone())).unwrap();
        }
        let lease = json!({"kind": "Lease", "metadata": {"name": "n", "namespace": "kube-node-lease"}});
        let deletion = Verb::Delete { key: pod.key, options: DeleteOptions::default() };
        let evict = |story: &mut Story<Evict>, after| {
            let lease = story.put(lease.clone()).unwrap().new.unwrap();
            story.hears(&controller, WatchEvent::Modified(lease.clone())).unwrap();
            story.pass(after).unwrap();
            assert!(story.sends(&controller, deletion.clone()).is_err(), "nobody asked for its lease");
            let answer = Answer::Object { object: lease, created: false };
            story.steps(&controller, Input::Reply { call: CallId(2), answer }).unwrap();
            story.sends(&controller, deletion.clone())
        };
        evict(&mut story, 8).unwrap();
        assert!(evict(&mut story, 3).unwrap_err().what.contains("was heard 3000 ms ago"));
        assert!(evict(&mut story, 7).unwrap_err().what.contains("was heard 7000 ms ago"));
    }
}
