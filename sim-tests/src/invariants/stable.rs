//! L-stable: Once faults are over, the desired state is reached within a bound, and then kept in silence: no write but of leases and of what is told once more, no process that starts or stops.
//!
//! What is desired is reckoned from the stored wishes and the machines that live, not asked of any controller. Looked
//! at by [`crate::scenario`] at the end of a run, since it speaks of a time span and not of a fact.
//! Catches: whatever waits for ever for something that will not come; two programs that never agree.

mod autoscalers;
mod daemons;
mod replica_sets;
mod services;
mod workloads;

pub(super) use workloads::is_made_of;

use super::budget::healthy;
use super::demand;
use super::quota;
use crate::runtime::Behaviour;
use crate::truth::Truth;
use crate::world::World;
use miniku_core::api::budget::{PodDisruptionBudget, SYNC_FAILED};
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::OwnerReference;
use miniku_core::api::namespace::{DEFAULT_ACCOUNT, Namespace};
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Pod, PodSpec, RestartPolicy};
use miniku_core::api::quantity::Quantity;
use miniku_core::api::taint::{NO_EXECUTE, NOT_READY, Taint, UNREACHABLE, UNSCHEDULABLE};
use miniku_core::kubelet::runtime::{ContainerSpec, Limits};
use miniku_core::time::{Duration, Instant};
use serde::Deserialize;

/// How long the silence must last: ten times what a controller that looks at everything now and then would wait.
pub const SILENCE: Duration = Duration::from_secs(300);

/// How long it may take to get there.
///
/// Twice the sum of: a request's time-out and the longest delay between two tries of a list-watch (40 s), a node's
/// grace and the time to eviction (45 s), the longest delay of a work queue (60 s), a stop that needs SIGKILL (30 s),
/// and a few lists and starts.
pub const BOUND: Duration = Duration::from_secs(400);

/// Whose pods must not outlive them.
const WORKLOADS: [Kind; 4] = [Kind::ReplicaSet, Kind::ReplicationController, Kind::StatefulSet, Kind::Job];

/// Whether a container, once started, runs for ever, as far as is known.
pub fn lasts(spec: &PodSpec, any_image: bool) -> bool {
    spec.containers.iter().all(|container| {
        let spec = ContainerSpec {
            name: container.name.to_string(),
            attempt: 0,
            image: container.image.to_string(),
            command: container.command.iter().map(String::from).collect(),
            args: container.args.iter().map(String::from).collect(),
            env: Default::default(),
            working_dir: None,
            stdio: Default::default(),
            limits: Limits::default(),
        };
        Behaviour::of(&spec).ends.is_none()
    }) && starts(spec, any_image)
}

/// Whether all containers of a pod can be started: whatever the restart policy, an image is waited for.
fn starts(spec: &PodSpec, any_image: bool) -> bool {
    any_image || spec.containers.iter().all(|container| crate::runtime::can_be_had(&container.image))
}

/// What is not as it should be, if anything.
pub fn missing(truth: &Truth) -> Option<String> {
    type Look = fn(&Truth) -> Option<String>;
    let looks: [Look; 13] = [
        nodes,
        pods,
        replica_sets::missing,
        daemons::missing,
        workloads::missing,
        autoscalers::missing,
        processes,
        budgets,
        quotas,
        services::missing,
        namespaces,
        leftovers,
        finished,
    ];
    looks.iter().find_map(|look| look(truth))
}

fn namespaces(truth: &Truth) -> Option<String> {
    let ending = |namespace: &&Namespace| {
        let name = &namespace.metadata.name;
        namespace.metadata.is_deleting() && !is_held(truth, |pod| pod.metadata.namespace == *name)
    };
    if let Some(ending) = truth.all::<Namespace>().find(ending) {
        return Some(format!("namespace {} is still there", ending.metadata.name));
    }
    let lacks = |namespace: &&Namespace| {
        let meta = &namespace.metadata;
        let account = Key::new(Kind::ServiceAccount, &meta.name, DEFAULT_ACCOUNT);
        !meta.is_deleting() && truth.object(&account).is_none()
    };
    let lacking = truth.all::<Namespace>().find(lacks)?;
    Some(format!("namespace {} has no service account {DEFAULT_ACCOUNT}", lacking.metadata.name))
}

/// Whoever names owners of which none is there any more goes. Those of kinds that nobody knows are taken to exist.
fn leftovers(truth: &Truth) -> Option<String> {
    let is_looked_at =
        |object: &&Object| !matches!(object.kind(), Kind::Event | Kind::Lease) && !object.meta().is_deleting();
    let is_gone = |object: &Object, owner: &OwnerReference| {
        let kind = Kind::named(&owner.api_version, &owner.kind);
        let Some(kind) = kind.filter(|kind| !matches!(kind, Kind::Custom(_))) else { return false };
        let namespace = match (kind.row().namespaced, object.meta().namespace.as_str()) {
            (false, _) => "",
            // What has no namespace cannot be owned by what has one.
            (true, "") => return false,
            (true, namespace) => namespace,
        };
        let there = truth.object(&Key::new(kind, namespace, &owner.name));
        there.is_none_or(|there| there.meta().uid != owner.uid)
    };
    let left = truth.disk.objects().values().filter(is_looked_at).find(|object| {
        let owners = &object.meta().owner_references;
        !owners.is_empty() && owners.iter().all(|owner| is_gone(object, owner))
    })?;
    Some(format!("{} is left, and none of its owners is there", left.key()))
}

/// Whether a pod that cannot go, since the node is dead that would have to confirm its end, is among these.
fn is_held(truth: &Truth, among: impl Fn(&Pod) -> bool) -> bool {
    let cannot_go = |pod: &Pod| pod.metadata.is_deleting() && pod.node().is_some_and(|node| !is_up(truth, node));
    truth.all::<Pod>().any(|pod| cannot_go(pod) && among(pod))
}

fn is_up(truth: &Truth, node: &str) -> bool {
    truth.nodes.get(node).is_some_and(|node| node.up)
}

fn nodes(truth: &Truth) -> Option<String> {
    for (name, facts) in &truth.nodes {
        let ready = truth.node(name).is_some_and(Node::is_ready);
        if facts.up != ready {
            return Some(format!(
                "{name} is {}, and said to be {}ready",
                updown(facts.up),
                if ready { "" } else { "not " }
            ));
        }
        let Some(node) = truth.node(name).filter(|_| facts.up) else { continue };
        let unwell = |taint: &&Taint| matches!(&*taint.key, NOT_READY | UNREACHABLE);
        if let Some(taint) = node.spec.taints.iter().find(unwell) {
            return Some(format!("{name} is up, and still has the taint {taint}"));
        }
        if node.spec.unschedulable != node.spec.taints.iter().any(|taint| taint.key == UNSCHEDULABLE) {
            return Some(format!("{name} is cordoned or not, and its taints say otherwise"));
        }
    }
    None
}

fn updown(up: bool) -> &'static str {
    if up { "up" } else { "down" }
}

/// Whether a container has ended that is not started again: the others go on without it.
fn is_partly_over(pod: &Pod) -> bool {
    pod.spec.restart_policy == RestartPolicy::Never
        && pod.status.container_statuses.iter().any(|one| one.state.terminated.is_some())
}

fn pods(truth: &Truth) -> Option<String> {
    for pod in truth.all::<Pod>() {
        let name = pod.metadata.full_name();
        let node = pod.node().unwrap_or_default();
        let living = truth.processes_of(&pod.metadata.uid).count();
        let wrong = match () {
            _ if pod.is_active() && pod.disruption().is_some() => Some("was made to go, and lives on with that word"),
            _ if pod.is_ready() && !node.is_empty() && !is_up(truth, node) => {
                Some("is called ready, and its node is dead")
            }
            _ if pod.metadata.is_deleting() => {
                let is_over = is_up(truth, node) || node.is_empty();
                (is_over && !workloads::is_remembered(truth, pod)).then_some("is still being deleted")
            }
            _ if pod.status.phase.is_final() => (living > 0).then_some("is finished, but has processes"),
            _ if node.is_empty() => {
                let told = pod.status.conditions.iter().any(|one| one.kind == "PodScheduled" && one.status == "False");
                (!told).then_some("is bound to no node, and nobody says why")
            }
            _ if !truth.nodes.contains_key(node) => Some("is bound to a node that does not exist"),
            _ if !is_up(truth, node) => (!stays_for_ever(pod)).then_some("is bound to a dead node"),
            _ if lasts(&pod.spec, truth.any_image) && !is_partly_over(pod) => {
                (!truth.really_runs(pod)).then_some("does not run")
            }
            _ if pod.spec.restart_policy == RestartPolicy::Never && living == 0 => {
                starts(&pod.spec, truth.any_image).then_some("has ended, but is not finished")
            }
            _ => None,
        };
        if let Some(wrong) = wrong {
            return Some(format!("pod {name} on {node:?} {wrong}"));
        }
        let controller = pod.metadata.controller().filter(|_| !pod.metadata.is_deleting());
        let kind = |owner: &OwnerReference| WORKLOADS.iter().copied().find(|kind| kind.row().name == owner.kind);
        if let Some((owner, kind)) = controller.and_then(|owner| Some((owner, kind(owner)?))) {
            let is_there = truth.object(&Key::new(kind, &pod.metadata.namespace, &owner.name));
            if is_there.is_none_or(|object| object.meta().uid != owner.uid) {
                return Some(format!("pod {name} outlives its owner {}", owner.name));
            }
        }
    }
    None
}

/// Whether a pod puts up with the silence of its node for ever.
fn stays_for_ever(pod: &Pod) -> bool {
    let silent = Taint::new(UNREACHABLE, NO_EXECUTE);
    pod.spec.tolerations.iter().any(|one| one.tolerates(&silent) && one.toleration_seconds.is_none())
}

fn of_kind(truth: &Truth, kind: Kind) -> impl Iterator<Item = &Object> {
    truth.disk.objects().of_kind(kind)
}

fn budgets(truth: &Truth) -> Option<String> {
    for object in of_kind(truth, Kind::PodDisruptionBudget).filter(|object| !object.meta().is_deleting()) {
        let (name, budget) = (&object.meta().name, object.read::<PodDisruptionBudget>()?);
        let status = &budget.status;
        // What it could not be counted from is somebody's wish too.
        if status.conditions.iter().any(|one| one.reason == SYNC_FAILED) {
            continue;
        }
        let has = healthy(truth, &object.meta().namespace, &budget);
        let allowed = if status.expected_pods > 0 { (has - status.desired_healthy).max(0) } else { 0 };
        if (status.current_healthy, status.disruptions_allowed) != (has, allowed) {
            let (told, may) = (status.current_healthy, status.disruptions_allowed);
            return Some(format!("budget {name} says {told} healthy pods, {may} may go; they are {has}, {allowed}"));
        }
        let expected = demand::expected_at_rest(truth, &object.meta().namespace, &budget);
        if let Some(expected) = expected.filter(|expected| i64::from(status.expected_pods) != *expected) {
            return Some(format!("budget {name} expects {} pods, {expected} are wanted", status.expected_pods));
        }
        if !status.disrupted_pods.is_empty() || status.observed_generation != object.meta().generation {
            return Some(format!("budget {name} was not looked at since it changed"));
        }
    }
    None
}

/// What a quota says is allowed and used.
fn quotas(truth: &Truth) -> Option<String> {
    for object in of_kind(truth, Kind::ResourceQuota) {
        let said = |what: &str, of: &str| Quantity::deserialize(object.at(&["status", what, of])?).ok();
        for resource in ["pods", "requests.cpu"] {
            let Some(hard) = quota::hard(object, resource) else { continue };
            let told = said("hard", resource).as_ref().map(Quantity::milli_value);
            if told != Some(hard) {
                let name = &object.meta().name;
                return Some(format!(
                    "quota {name} allows {hard} thousandths of {resource}, and says that it allows {told:?}"
                ));
            }
            let used = quota::used(truth, &object.meta().namespace, resource);
            let said = said("used", resource);
            if said.as_ref().map(Quantity::milli_value) != Some(used) {
                let (name, said) = (&object.meta().name, said.unwrap_or_default());
                return Some(format!("quota {name} says that {said} of {resource} are used, {used} thousandths are"));
            }
        }
    }
    None
}

/// No more pods are kept that have ended than there may be.
fn finished(truth: &Truth) -> Option<String> {
    let most = truth.settings.finished?;
    let ended = |pod: &&Pod| pod.status.phase.is_final() && !pod.metadata.is_deleting();
    let kept = truth.all::<Pod>().filter(ended).count();
    (kept > most).then(|| format!("{kept} pods are kept that have ended, and {most} may be"))
}

fn processes(truth: &Truth) -> Option<String> {
    for (node, process) in truth.processes.values().flatten() {
        let gone = truth.pods.get(&process.pod.uid).is_none_or(|facts| facts.removed.is_some());
        if gone {
            return Some(format!("process {} of {} lives on {node}, its pod is gone", process.pid, process.pod.name));
        }
    }
    None
}

/// Runs a world whose faults are over until it is as desired and has been silent, or says what is wrong.
pub fn settle(world: &mut World, from: Instant, bound: Duration) -> Result<(), String> {
    world.run_until(from);
    let deadline = from + bound;
    let loud = |world: &World| (world.counts().loud_writes, world.counts().starts, world.counts().ends);
    loop {
        if !world.run_until_so(deadline, |truth| missing(truth).is_none()) {
            if world.is_over() {
                return Ok(());
            }
            let what = missing(world.truth()).unwrap_or_else(|| "nothing".into());
            return Err(format!("{} s after the last fault: {what}", bound.as_secs()));
        }
        let before = loud(world);
        let until = world.now() + SILENCE;
        // Looked at after each durable write and process: the first look is before anything else happened.
        let mut looks = 0;
        let noisy = world.run_until_so(until, |_| {
            looks += 1;
            looks > 1
        });
        if world.is_over() {
            return Ok(());
        }
        if !noisy {
            // What has to be done when some time is over is due by now.
            return match missing(world.truth()) {
                None => Ok(()),
                Some(what) => Err(format!("silent for {} s, and {what}", SILENCE.as_secs())),
            };
        }
        assert_ne!(loud(world), before, "something was loud");
        if world.now() > deadline {
            let secs = world.now().since(from).as_secs();
            return Err(format!("no silence: {secs} s after the last fault, {}", world.last_noise()));
        }
    }
}

/// What the tests of this and its parts need.
#[cfg(test)]
mod forged {
    use super::super::{Broken, Checker};
    use super::*;
    use crate::truth::Fact;

    /// Sees nothing: what is desired is looked at in the truth alone.
    #[derive(Default)]
    pub(super) struct Nobody;

    impl Checker for Nobody {
        fn see(&mut self, _: &Truth, _: &Fact<'_>) -> Result<(), Broken> {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, node, pod};
    use super::forged::Nobody;
    use super::*;
    use crate::truth::NodeFacts;

    #[test]
    fn says_what_is_missing() {
        let mut story = Story::<Nobody>::new();
        assert_eq!(missing(&story.truth), None);
        story.truth.nodes.insert("n".into(), NodeFacts { up: true, in_touch: None });
        let says = |story: &Story<Nobody>, what: &str| {
            let missing = missing(&story.truth).unwrap_or_default();
            assert!(missing.contains(what), "{missing}");
        };
        says(&story, "n is up, and said to be not ready");
        let mut ready = node("n");
        ready["status"]["conditions"] = serde_json::json!([{"type": "Ready", "status": "True"}]);
        story.put(ready).unwrap();
        assert_eq!(missing(&story.truth), None);
        story.put(crate::plan::replica_set("web", 1, "")).unwrap();
        says(&story, "has 0 of 1 pods");
        story.put(pod("a", "", "Pending")).unwrap();
        says(&story, "nobody says why");
        story.put(pod("a", "n", "Running")).unwrap();
        says(&story, "does not run");
        story.put(pod("a", "m", "Running")).unwrap();
        says(&story, "a node that does not exist");
    }

    #[test]
    fn says_who_was_made_to_go_and_lives_on() {
        let judge = |goes: &str| {
            let mut story = Story::<Nobody>::new();
            let mut waits = pod("a", "", "Pending");
            waits["status"]["conditions"] = serde_json::json!([{"type": "PodScheduled", "status": "False"},
                {"type": "DisruptionTarget", "status": goes}]);
            story.put(waits).unwrap();
            missing(&story.truth)
        };
        assert_eq!(judge("False"), None);
        assert!(judge("True").unwrap().contains("was made to go"));
    }

    #[test]
    fn says_which_budget_expects_what_is_wanted_no_more() {
        let judge = |wanted: usize| {
            let mut story = Story::<Nobody>::new();
            let mut set = crate::plan::replica_set("web", wanted, "");
            set["metadata"]["uid"] = "web".into();
            story.put(set).unwrap();
            let mut pod = pod("a", "n", "Pending");
            pod["metadata"]["labels"] = serde_json::json!({"app": "web"});
            pod["metadata"]["ownerReferences"] = serde_json::json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet",
                "name": "web", "uid": "web", "controller": true}]);
            story.put(pod).unwrap();
            let spec = serde_json::json!({"maxUnavailable": "50%", "selector": {"matchLabels": {"app": "web"}}});
            let budget = serde_json::json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
                "metadata": {"name": "web"}, "spec": spec, "status": {"expectedPods": 4, "desiredHealthy": 2}});
            story.put(budget).unwrap();
            budgets(&story.truth)
        };
        assert_eq!(judge(4), None);
        assert_eq!(judge(1).unwrap(), "budget web expects 4 pods, 1 are wanted");
    }

    #[test]
    fn says_how_many_are_kept_too_many() {
        for (most, says) in [(None, false), (Some(2), false), (Some(1), true)] {
            let mut story = Story::<Nobody>::new();
            story.truth.settings.finished = most;
            for (name, phase) in [("a", "Failed"), ("b", "Running"), ("c", "Succeeded")] {
                story.put(pod(name, "n", phase)).unwrap();
            }
            assert_eq!(finished(&story.truth).is_some(), says, "{most:?}");
        }
    }

    #[test]
    fn says_what_a_quota_has_not_heard() {
        let judge = |allows: &str, told: &str, used: &str| {
            let mut story = Story::<Nobody>::new();
            let quota = serde_json::json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"},
                "spec": {"hard": {"pods": allows}}, "status": {"hard": {"pods": told}, "used": {"pods": used}}});
            story.put(quota).unwrap();
            quotas(&story.truth).unwrap_or_default()
        };
        assert_eq!(judge("2k", "2000", "0"), "");
        assert!(judge("2", "5", "0").contains("says that it allows Some(5000)"));
        assert!(judge("2", "2", "1").contains("says that 1 of pods are used"));
    }

    #[test]
    fn says_which_namespace_lacks_its_service_account() {
        let mut story = Story::<Nobody>::new();
        let namespace = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}});
        story.put(namespace).unwrap();
        for (within, says) in [("default", Some("namespace team has no service account default")), ("team", None)] {
            let meta = serde_json::json!({"name": "default", "namespace": within});
            story.put(serde_json::json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})).unwrap();
            assert_eq!(missing(&story.truth).as_deref(), says);
        }
    }

    #[test]
    fn says_what_is_left_of_owners_that_are_gone() {
        let judge = |owners: &[(&str, &str)], going: bool| {
            let mut story = Story::<Nobody>::new();
            let mut set = crate::plan::replica_set("web", 0, "");
            set["metadata"]["uid"] = "here".into();
            story.put(set).unwrap();
            let owner = |(kind, uid): &(&str, &str)| serde_json::json!({"apiVersion": "apps/v1", "kind": kind, "name": "web", "uid": uid});
            let owners: Vec<serde_json::Value> = owners.iter().map(owner).collect();
            let mut meta = serde_json::json!({"name": "left", "namespace": "default", "ownerReferences": owners});
            if going {
                meta["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            story.put(serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})).unwrap();
            leftovers(&story.truth)
        };
        let says = judge(&[("ReplicaSet", "gone"), ("Deployment", "gone")], false);
        assert_eq!(says.as_deref(), Some("configmaps/default/left is left, and none of its owners is there"));
        assert_eq!(judge(&[("ReplicaSet", "gone")], true), None);
        assert_eq!(judge(&[], false), None);
        assert_eq!(judge(&[("ReplicaSet", "gone"), ("ReplicaSet", "here")], false), None);
        assert_eq!(judge(&[("ReplicaSet", "gone"), ("Widget", "gone")], false), None);
    }
}
