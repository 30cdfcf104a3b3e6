//! S-daemon: A daemon set's pod puts up with nodes that are silent or cordoned, is made only for a node that takes it, as far as its controller was told, and beside another one only where it surges; and in an update no more serving pods are ended than may be away; where it surges, one that serves is ended only when another on its node does, and gets another beside it only where no more nodes have two than may. With OnDelete none is ended that serves, or will, alone on a node that takes it.
//!
//! Catches: two pods that want the same port; a node without its agent for longer than need be, or all of them at once; room
//! for two on all nodes at a time; agents that are replaced though somebody is to choose the moment.

use super::ordinal::{age, serves};
use super::{Broken, Checker};
use crate::told::{Told, Turn};
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::daemonset::DaemonSet;
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::statefulset::{REVISION_HASH, UpdateStrategyType};
use miniku_core::api::taint::{KEEP_AWAY, NO_EXECUTE, NO_SCHEDULE, Taint, UNREACHABLE, UNSCHEDULABLE, untolerated};
use miniku_core::api::text::Text;
use miniku_core::program::{Answer, RequestId, Verb};
use miniku_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Each controller, of which there may be two, by what it was told itself.
#[derive(Default)]
pub struct Daemon {
    by: BTreeMap<Arc<str>, Observer>,
    /// Uids of daemon sets that may have surged: a controller may act on an older wish.
    surges: BTreeSet<Text>,
}

/// What one life of a controller has done.
#[derive(Default)]
struct Observer {
    turn: Turn,
    /// Uids of pods whose end it asked for, and was not refused.
    ended: BTreeSet<Text>,
    open: BTreeMap<RequestId, Text>,
    /// When it asked last for pods beside others that serve; and for which sets, by uid, on which nodes.
    beside: (Instant, BTreeSet<(Text, Text)>),
}

/// The uid of the daemon set that controls an object.
fn set_of(object: &Object) -> Option<&str> {
    object.meta().controller().filter(|by| by.kind == "DaemonSet").map(|by| by.uid.as_str())
}

fn node_of<'a>(told: Told<'a>, name: &str) -> Option<&'a Node> {
    told.object(&Key::new(Kind::Node, "", name))?.get()
}

/// The pods of a set that a controller was told of.
fn pods_of<'a>(told: Told<'a>, set: &'a str) -> impl Iterator<Item = &'a Pod> {
    let own = told.of_kind(Kind::Pod).filter(move |one| set_of(one) == Some(set));
    own.filter_map(|one| one.get::<Pod>())
}

/// The name of a set's newest revision.
fn newest(told: Told<'_>, set: &str) -> Text {
    let revisions = told.of_kind(Kind::ControllerRevision).filter(|one| set_of(one) == Some(set));
    let all = revisions.filter_map(|one| Some((age(one)?, one.meta().name.clone())));
    all.max().map(|(_, name)| name).unwrap_or_default()
}

/// Whether a pod is of the revision of this name.
fn is_of(pod: &Pod, revision: &str) -> bool {
    pod.metadata.labels.get(REVISION_HASH).is_some_and(|hash| revision.ends_with(&format!("-{hash}")))
}

/// Whether a pod may only be replaced by hand: its set says OnDelete, it lives, and nothing but its template can be wrong
/// with it, as far as its controller was told.
///
/// Source: Kubernetes documentation, "Perform a Rolling Update on a DaemonSet", update strategy.
fn is_left(truth: &Truth, told: Told<'_>, set: &DaemonSet, node: &Node, pod: &Pod) -> bool {
    let new_ones = &set.spec.template.spec.tolerations;
    let is_alone = |by: &str| pods_of(told, by).filter(|one| one.target_node() == pod.target_node()).count() == 1;
    set.spec.update_strategy.kind == UpdateStrategyType::OnDelete
        && pod.is_active()
        && takes(set, node, pod)
        && untolerated(&node.spec.taints, new_ones, KEEP_AWAY).next().is_none()
        // A node that vanished in a gap may be known here for longer than to the controller.
        && truth.still(node).is_some()
        // Who is gone already is asked to go again by who has heard of neither that nor an answer.
        && truth.has_pod(&pod.metadata.uid)
        && pod.metadata.controller().is_some_and(|by| is_alone(by.uid.as_str()))
}

/// Whether a node is one for a set's pods, and its taints let this one stay.
fn takes(set: &DaemonSet, node: &Node, pod: &Pod) -> bool {
    let template = &set.spec.template.spec;
    let named = template.node_name.is_empty() || template.node_name == node.metadata.name;
    named
        && template.allows_node(&node.metadata.name, &node.metadata.labels)
        && untolerated(&node.spec.taints, &pod.spec.tolerations, KEEP_AWAY).next().is_none()
}

impl Observer {
    fn makes(truth: &Truth, told: Told<'_>, new: &Object, surges: bool) -> Result<(), Broken> {
        let (Some(set), Some(pod)) = (set_of(new), new.get::<Pod>()) else { return Ok(()) };
        let Some(name) = pod.target_node() else { return Ok(()) };
        if let Some(node) = node_of(told, name)
            && let Some(taint) = untolerated(&node.spec.taints, &pod.spec.tolerations, KEEP_AWAY).next()
        {
            return Err(Broken::by(format!("{} is made for {name} with the taint {taint}", new.key())).with([new]));
        }
        let unwell = [Taint::new(UNREACHABLE, NO_EXECUTE), Taint::new(UNSCHEDULABLE, NO_SCHEDULE)];
        if let Some(taint) = untolerated(&unwell, &pod.spec.tolerations, KEEP_AWAY).next() {
            return Err(Broken::by(format!("{} does not put up with the taint {taint}", new.key())).with([new]));
        }
        let lives = |other: &&Pod| {
            let stored = truth.has_pod(&other.metadata.uid);
            stored && other.target_node() == Some(name) && !other.status.phase.is_final()
        };
        match pods_of(told, set).find(lives) {
            Some(other) if !surges => {
                let what = format!("{} is made for {name}, and {} is there", new.key(), other.metadata.name);
                Err(Broken::by(what).with([new]))
            }
            _ => Ok(()),
        }
    }

    /// Whether a pod beside one that serves makes two of them on more nodes than may have two. Where the old one does not
    /// serve, or the new one does, nobody has to wait, and nothing is counted.
    fn surges(&mut self, truth: &Truth, told: Told<'_>, new: &Object) -> Result<(), Broken> {
        let by = new.meta().controller().filter(|by| by.kind == "DaemonSet");
        let (Some(by), Some(pod)) = (by, new.get::<Pod>()) else { return Ok(()) };
        let set = told.object(&Key::new(Kind::DaemonSet, &new.meta().namespace, &by.name));
        let set = set.filter(|set| set.meta().uid == by.uid).and_then(Object::read::<DaemonSet>);
        let (Some(set), Some(name)) = (set, pod.target_node()) else { return Ok(()) };
        let most = set.max_surge(told.of_kind(Kind::Node).count() as i64);
        // Who has to be ready for a while serves or not by clocks, which may be wrong.
        if most == 0 || set.spec.min_ready_seconds.is_some_and(|secs| secs > 0) {
            return Ok(());
        }
        let mut homes: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
        for one in pods_of(told, &by.uid) {
            // What vanished in a gap of the controller's view stays in what it was told.
            let stored = truth.has_pod(&one.metadata.uid);
            if let Some(node) = one.target_node().filter(|_| stored && !one.metadata.is_deleting()) {
                homes.entry(node).or_default().push(one);
            }
        }
        let is_old = |one: &Pod| one.metadata.labels.get(REVISION_HASH) != pod.metadata.labels.get(REVISION_HASH);
        let is_beside = match homes.get(name).map(Vec::as_slice) {
            Some([old]) => is_old(old) && serves(old),
            _ => false,
        };
        if !is_beside {
            return Ok(());
        }
        if self.beside.0 != truth.now {
            self.beside = (truth.now, BTreeSet::new());
        }
        self.beside.1.insert((by.uid.as_str().into(), name.into()));
        // One that has ended, or is too much, goes first.
        let has_two = |pods: &[&Pod]| match pods {
            [one, other] => {
                let (old, new) = if is_old(one) { (one, other) } else { (other, one) };
                is_old(old) && serves(old) && !is_old(new) && !new.is_ready() && new.is_active()
            }
            _ => false,
        };
        let takes_it = |node: &Node| takes(&set, node, pod);
        let two = homes.iter().filter(|(node, pods)| has_two(pods) && node_of(told, node).is_some_and(takes_it));
        let mut two: BTreeSet<&str> = two.map(|(node, _)| *node).collect();
        two.extend(self.beside.1.iter().filter(|(of, _)| *of == by.uid).map(|(_, node)| node.as_str()));
        if two.len() > most {
            let (key, many) = (new.key(), two.len());
            let what = format!("{key} is made beside one that serves, and {many} nodes have two then; {most} may");
            return Err(Broken::by(what).with([new]));
        }
        Ok(())
    }

    /// Whether the end of this pod leaves too few that serve, if it is one that is to be replaced.
    fn ends(&mut self, truth: &Truth, told: Told<'_>, id: RequestId, key: &Key) -> Result<(), Broken> {
        let Some(object) = told.object(key) else { return Ok(()) };
        let (Some(uid), Some(pod)) = (set_of(object), object.get::<Pod>()) else { return Ok(()) };
        self.open.insert(id, pod.metadata.uid.clone());
        // What was asked for once is asked for again until it is answered.
        if !self.ended.insert(pod.metadata.uid.clone()) {
            return Ok(());
        }
        let by = object.meta().controller().map_or("", |by| by.name.as_str());
        let set = told.object(&Key::new(Kind::DaemonSet, &key.namespace, by)).filter(|set| set.meta().uid == *uid);
        let Some((set, node)) =
            set.and_then(Object::read::<DaemonSet>).zip(pod.target_node().and_then(|one| node_of(told, one)))
        else {
            return Ok(());
        };
        if is_left(truth, told, &set, node, pod) {
            let what = format!("{key} is ended, and only who deletes it by hand replaces a pod of {by}");
            return Err(Broken::by(what).with([object]));
        }
        let newest = newest(told, uid);
        // Who has to be ready for a while serves or not by clocks, which may be wrong.
        let by_clocks = set.spec.min_ready_seconds.is_some_and(|secs| secs > 0);
        // It goes for another reason: its node does not take it any more, or it is of the newest revision.
        let other = is_of(pod, &newest) || !takes(&set, node, pod);
        if other || !serves(pod) {
            return Ok(());
        }
        if set.max_surge(100) > 0 {
            let beside = |one: &Pod| serves(one) && one.target_node() == pod.target_node();
            let mut others = pods_of(told, uid).filter(|one| !self.ended.contains(&one.metadata.uid));
            return match others.any(beside) {
                true => Ok(()),
                false => Err(Broken::by(format!("{key} is ended, and no other serves on its node")).with([object])),
            };
        }
        if by_clocks {
            return Ok(());
        }
        let (mut all, mut served) = (BTreeSet::new(), BTreeSet::new());
        for one in pods_of(told, uid) {
            let Some(node) = one.target_node().and_then(|node| node_of(told, node)) else { continue };
            // Where nothing new may come, nobody waits for it: neither for a taint nor for the node's labels. A node that
            // vanished in a gap may be known here for longer than to the controller.
            if !takes(&set, node, one) || truth.still(node).is_none() {
                continue;
            }
            all.insert(&node.metadata.name);
            if serves(one) && !self.ended.contains(&one.metadata.uid) {
                served.insert(&node.metadata.name);
            }
        }
        let nodes = told.of_kind(Kind::Node).count();
        let (away, most) = (all.len() - served.len(), set.max_unavailable(nodes as i64));
        if away > most {
            let what = format!("{key} is ended, and on {away} nodes the pod of {by} is away; {most} are allowed");
            return Err(Broken::by(what).with([object]));
        }
        Ok(())
    }
}

impl Checker for Daemon {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Durable, Sight::Answered]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Durable { change } if change.key.kind == Kind::DaemonSet => {
                for object in change.old.iter().chain(&change.new) {
                    if object.read::<DaemonSet>().is_some_and(|set| set.max_surge(100) > 0) {
                        self.surges.insert(object.meta().uid.clone());
                    }
                }
            }
            Fact::Answered { id, answer } => {
                for observer in self.by.values_mut() {
                    if let Some(uid) = observer.open.remove(id)
                        && matches!(answer, Answer::Refused(status) if !status.leaves_open())
                    {
                        observer.ended.remove(&uid);
                    }
                }
            }
            Fact::Sent { who, id, request } if who.role == Role::Workloads => {
                let (told, observer) = (truth.told(who), self.by.entry(who.name.clone()).or_default());
                let turn = truth.turn(who);
                if observer.turn != turn {
                    *observer = Observer { turn, ..Observer::default() };
                }
                match &request.verb {
                    Verb::Create { object } if object.kind() == Kind::Pod => {
                        let surges = set_of(object).is_some_and(|set| self.surges.contains(set));
                        Observer::makes(truth, told, object, surges)?;
                        return if surges { observer.surges(truth, told, object) } else { Ok(()) };
                    }
                    Verb::Delete { key, .. } if key.kind == Kind::Pod => return observer.ends(truth, told, *id, key),
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, node, who};
    use super::*;
    use miniku_core::api::status::{Reason, Status};
    use miniku_core::program::{DeleteOptions, WatchEvent};
    use serde_json::{Value, json};

    fn set(image: &str) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent", "uid": "d", "namespace": "default"},
            "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "c", "image": image}]}}}})
    }

    fn owned(mut object: Value) -> Value {
        object["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": "d", "controller": true}]);
        object["metadata"]["namespace"] = "default".into();
        object
    }

    fn pod(name: &str, node: &str, hash: &str) -> Value {
        owned(
            json!({"kind": "Pod", "metadata": {"name": name, "uid": name, "labels": {"controller-revision-hash": hash}},
            "spec": {"nodeName": node, "containers": [], "tolerations": [
                {"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute"},
                {"key": UNSCHEDULABLE, "operator": "Exists", "effect": "NoSchedule"}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}),
        )
    }

    fn revision(hash: &str, number: i64) -> Value {
        owned(
            json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": format!("agent-{hash}")},
            "data": {}, "revision": number}),
        )
    }

    struct Desk(Story<Daemon>);

    impl Desk {
        fn tell(&mut self, objects: &[Value]) {
            for object in objects {
                let event = WatchEvent::Modified(self.0.put(object.clone()).unwrap().new.unwrap());
                let controller = who(Role::Workloads, "workloads");
                self.0.hears(&controller, event).unwrap();
            }
        }

        fn asks(&mut self, verb: Verb) -> Result<(), Broken> {
            let controller = who(Role::Workloads, "workloads");
            self.0.sends(&controller, verb)
        }

        fn makes(&mut self, pod: Value) -> Result<(), Broken> {
            self.asks(Verb::Create { object: crate::plan::object(pod) })
        }

        fn ends(&mut self, pod: &str) -> Result<(), Broken> {
            self.asks(Verb::Delete { key: Key::new(Kind::Pod, "default", pod), options: DeleteOptions::default() })
        }
    }

    #[test]
    fn fires_on_a_second_pod_and_on_a_node_that_takes_none() {
        let mut desk = Desk(Story::new());
        let mut tainted = node("m");
        tainted["spec"] = json!({"taints": [{"key": "a", "effect": "NoSchedule"}]});
        desk.tell(&[set("one"), node("n"), tainted]);
        desk.makes(pod("a", "n", "1")).unwrap();
        assert!(desk.makes(pod("b", "m", "1")).unwrap_err().what.contains("with the taint {a: }"));
        desk.tell(&[pod("a", "n", "1")]);
        assert!(desk.makes(pod("c", "n", "1")).unwrap_err().what.contains("and a is there"));
    }

    #[test]
    fn fires_when_too_many_are_replaced_at_once() {
        let mut desk = Desk(Story::new());
        desk.tell(&[set("two"), node("n"), node("m"), revision("1", 1)]);
        desk.tell(&[pod("a", "n", "1"), pod("b", "m", "1")]);
        desk.ends("a").unwrap();
        desk.ends("b").unwrap();
        let mut desk = Desk(Story::new());
        desk.tell(&[set("two"), node("n"), node("m"), revision("1", 1), revision("2", 2)]);
        desk.tell(&[pod("a", "n", "1"), pod("b", "m", "1")]);
        desk.ends("a").unwrap();
        assert!(desk.ends("b").unwrap_err().what.contains("on 2 nodes the pod of agent is away; 1 are allowed"));
    }

    #[test]
    fn who_was_refused_still_serves() {
        let mut desk = Desk(Story::new());
        desk.tell(&[set("two"), node("n"), node("m"), revision("1", 1), revision("2", 2)]);
        desk.tell(&[pod("a", "n", "1"), pod("b", "m", "1")]);
        desk.ends("a").unwrap();
        desk.ends("a").unwrap();
        let answer = Answer::Refused(Status::failure(Reason::Conflict, "another version"));
        desk.0.answers(1, &answer).unwrap();
        desk.ends("b").unwrap();
    }

    /// The collector calls it failed, and says nothing else of it; then its node is there again.
    #[test]
    fn who_has_ended_serves_no_more() {
        for strategy in [json!({}), json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})] {
            let (mut updated, mut starting, mut failed) = (set("two"), pod("a", "n", "2"), pod("b", "m", "1"));
            updated["spec"]["updateStrategy"] = strategy;
            starting["status"]["conditions"] = json!([]);
            failed["status"]["phase"] = "Failed".into();
            let mut desk = Desk(Story::new());
            desk.tell(&[updated, node("n"), node("m"), revision("1", 1), revision("2", 2), starting, failed]);
            desk.ends("b").unwrap();
        }
    }

    #[test]
    fn a_node_that_takes_none_misses_none() {
        let in_zone = |name: &str, zone: &str| {
            let mut node = node(name);
            node["metadata"]["labels"] = json!({"zone": zone});
            node
        };
        let leaving = |name: &str, node: &str| {
            let mut pod = pod(name, node, "1");
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            pod
        };
        let mut zoned = set("two");
        zoned["spec"]["template"]["spec"]["nodeSelector"] = json!({"zone": "a"});
        let mut desk = Desk(Story::new());
        desk.tell(&[zoned, in_zone("n", "a"), in_zone("m", "b"), in_zone("k", "a")]);
        desk.tell(&[revision("1", 1), revision("2", 2), pod("a", "n", "1"), leaving("b", "m"), leaving("c", "k")]);
        // Its watch was cut when this node went.
        desk.0.write(&crate::plan::object(in_zone("k", "a")), true).unwrap();
        desk.ends("a").unwrap();
        desk.tell(&[in_zone("m", "a"), pod("e", "n", "1")]);
        assert!(desk.ends("e").unwrap_err().what.contains("on 2 nodes"), "on a node that takes it, it is missed");
    }

    #[test]
    fn fires_on_who_is_replaced_though_somebody_does_that_by_hand() {
        let ended = |strategy: &str, phase: &str, zone: &str, more: &[Value]| {
            let (mut updated, mut home, mut old) = (set("two"), node("n"), pod("a", "n", "1"));
            updated["spec"]["updateStrategy"] = json!({"type": strategy});
            updated["spec"]["template"]["spec"]["nodeSelector"] = json!({"zone": "a"});
            home["metadata"]["labels"] = json!({"zone": zone});
            old["status"]["phase"] = phase.into();
            let mut desk = Desk(Story::new());
            desk.tell(&[updated, home, revision("1", 1), revision("2", 2), old]);
            desk.tell(more);
            desk.ends("a").err().map(|broken| broken.what).unwrap_or_default()
        };
        assert!(ended("OnDelete", "Running", "a", &[]).contains("only who deletes it by hand replaces a pod of agent"));
        assert_eq!(ended("RollingUpdate", "Running", "a", &[]), "");
        assert_eq!(ended("OnDelete", "Failed", "a", &[]), "", "it has ended");
        assert_eq!(ended("OnDelete", "Running", "b", &[]), "", "it does not belong there");
        assert_eq!(ended("OnDelete", "Running", "a", &[pod("b", "n", "2")]), "", "two are too many");
    }

    #[test]
    fn who_belongs_elsewhere_or_is_gone_may_be_ended() {
        let judge = |home: &str, is_gone: bool| {
            let (mut by_hand, old) = (set("two"), pod("a", "n", "1"));
            by_hand["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
            by_hand["spec"]["template"]["spec"]["nodeName"] = home.into();
            let mut desk = Desk(Story::new());
            desk.tell(&[by_hand, node("n"), revision("1", 1), revision("2", 2), old.clone()]);
            if is_gone {
                desk.0.write(&crate::plan::object(old), true).unwrap();
            }
            desk.ends("a").is_ok()
        };
        assert!(!judge("", false) && !judge("n", false));
        assert!(judge("m", false), "the set is for another node now");
        assert!(judge("", true), "nobody has told so yet");
    }

    #[test]
    fn fires_on_who_ends_before_another_serves() {
        let mut surging = set("two");
        surging["spec"]["updateStrategy"] = json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
        let unready = |name: &str, node: &str| {
            let mut pod = pod(name, node, "2");
            pod["status"]["conditions"] = json!([]);
            pod
        };
        let mut desk = Desk(Story::new());
        desk.tell(&[surging, node("n"), node("m"), revision("1", 1), revision("2", 2)]);
        desk.tell(&[pod("a", "n", "1"), pod("b", "m", "1")]);
        desk.tell(&[unready("c", "n")]);
        assert!(desk.ends("a").unwrap_err().what.contains("no other serves on its node"));
        desk.tell(&[pod("c", "n", "2")]);
        desk.ends("a").unwrap();
    }

    #[test]
    fn fires_when_too_many_nodes_have_two() {
        let made = |told: bool, more: &[Value]| {
            let mut surging = set("two");
            surging["spec"]["updateStrategy"] = json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
            let mut desk = Desk(Story::new());
            desk.tell(&[surging, node("n"), node("m"), revision("1", 1), revision("2", 2)]);
            desk.tell(&[pod("a", "n", "1"), pod("b", "m", "1")]);
            desk.makes(pod("c", "n", "2")).unwrap();
            if told {
                desk.0.pass(1).unwrap();
                let mut starting = pod("c", "n", "2");
                starting["status"]["conditions"] = json!([]);
                desk.tell(&[starting]);
            }
            desk.tell(more);
            desk.makes(pod("d", "m", "2"))
        };
        let unready = |mut pod: Value| {
            pod["status"]["conditions"] = json!([]);
            pod
        };
        for told in [true, false] {
            let broken = made(told, &[]).unwrap_err();
            assert!(broken.what.contains("and 2 nodes have two then; 1 may"), "{}", broken.what);
            made(told, &[unready(pod("b", "m", "1"))]).unwrap();
        }
        made(true, &[pod("c", "n", "2")]).unwrap();
        made(true, &[unready(pod("a", "n", "1"))]).unwrap();
    }

    #[test]
    fn fires_on_a_pod_that_would_leave_a_silent_node() {
        let mut desk = Desk(Story::new());
        desk.tell(&[set("one"), node("n")]);
        let mut impatient = pod("a", "n", "1");
        impatient["spec"]["tolerations"].as_array_mut().unwrap().remove(0);
        assert!(desk.makes(impatient).unwrap_err().what.contains("does not put up with the taint"));
    }
}
