//! S-ordinal: Two pods of one number of a stateful set never run at once, unless the first was given up, by hand or, when its node is gone, by the collector. As far as its controller was told, where pods wait for one another, one is made only when those before it serve, and of those that are too many the highest goes first, alone. An update replaces pods only from its partition on, and no more of those that serve than may be away. Each pod is made of the revision that its number is to have, says its name and number, by name and service is found by its peers, and has the claims of its number. An update is said to be over only when all wanted pods are of the newest revision and serve.
//!
//! Given up by hand is what an operator removes without a grace period, as Kubernetes' documentation warns of ("Force Delete
//! StatefulSet Pods"). The collector gives a pod up when it removes it, or before that with the write that calls it failed:
//! from then on it counts as ended, and its set's controller may be the first to see that, and remove it. Whether its node
//! is gone, S-lost judges. Source: `pkg/controller/podgc`, `markFailedAndDeletePodWithCondition`;
//! `pkg/controller/statefulset`, `processReplica`.
//! Catches: a successor for a pod that is only out of reach; one that does not wait for its turn; a partition that is not
//! looked at, or counted from 0 where numbers begin later; numbers that go in the wrong order; pods whose names in DNS nobody
//! knows, or that have the data of others.

use super::{Broken, Checker};
use crate::told::{Told, Turn};
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::Time;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Pod, PodPhase};
use miniku_core::api::statefulset::{
    ControllerRevision, POD_INDEX, POD_NAME, PodManagementPolicy, REVISION_HASH, StatefulSet, UpdateStrategyType,
};
use miniku_core::api::text::Text;
use miniku_core::controllers::statefulset::plan::number_of;
use miniku_core::program::{Part, Revision, Verb};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Each controller by what it was told, and whom somebody gave up.
#[derive(Default)]
pub struct Ordinal {
    /// Uids of pods that were removed, or called failed, whether or not they still run.
    given_up: BTreeSet<Text>,
    /// The newest state of each pod, by uid, that the collector has asked to be called failed. What is refused gives up
    /// nobody.
    writing_off: BTreeMap<Text, Revision>,
    /// By controller: its turn, and the uids of pods whose end it asked for.
    ended: BTreeMap<Arc<str>, (Turn, BTreeSet<Text>)>,
}

/// The name and uid of the stateful set that controls an object.
fn set_of(object: &Object) -> Option<(&str, &str)> {
    object.meta().controller().filter(|by| by.kind == "StatefulSet").map(|by| (by.name.as_str(), by.uid.as_str()))
}

/// A pod that is stored, or is to be, as failed.
fn is_failed(object: &Object) -> bool {
    object.get::<Pod>().is_some_and(|pod| pod.status.phase == PodPhase::Failed)
}

/// The set of a pod, its name, its uid, and the pod's number, as somebody was told of them.
fn belongs<'a>(told: Told<'_>, pod: &'a Object) -> Option<(StatefulSet, &'a str, &'a str, i64)> {
    let (name, uid) = set_of(pod)?;
    let object = told.object(&Key::new(Kind::StatefulSet, &pod.meta().namespace, name))?;
    let set = object.read::<StatefulSet>().filter(|_| object.meta().uid == *uid)?;
    Some((set, name, uid, number_of(name, &pod.meta().name)?))
}

/// The pod of a number, if it is of this very set.
fn member<'a>(told: Told<'a>, namespace: &str, (set, uid): (&str, &str), number: i64) -> Option<&'a Pod> {
    let pod = told.object(&Key::new(Kind::Pod, namespace, &format!("{set}-{number}")))?;
    pod.get::<Pod>().filter(|_| set_of(pod).is_some_and(|(_, of)| of == uid))
}

/// Who has ended serves nobody, even if it still says that it is ready: who gives it up leaves that as it is.
pub(super) fn serves(pod: &Pod) -> bool {
    pod.is_ready() && pod.is_active()
}

/// Where a revision stands among those of its owner: by its number; of two that were made at once, by its time.
pub(super) fn age(revision: &Object) -> Option<(i64, Option<Time>)> {
    Some((revision.read::<ControllerRevision>()?.revision, revision.meta().creation_timestamp))
}

/// What is wrong with a pod of this number, of what makes it that one beside its labels.
///
/// Source: Kubernetes documentation, "StatefulSets", stable network ID and stable storage.
fn unlike(set: &StatefulSet, name: &str, number: i64, new: &Object) -> Option<String> {
    let (pod, service) = (new.get::<Pod>()?, &set.spec.service_name);
    let under = pod.spec.rest.get("subdomain").and_then(Value::as_str).unwrap_or_default();
    if !service.is_empty() && *service != under {
        return Some(format!("is made, and is to be found under {service:?}, and not under {under:?}"));
    }
    if pod.spec.hostname != new.meta().name {
        return Some(format!("is made, and would call itself {:?}", pod.spec.hostname));
    }
    let volumes = pod.spec.rest.get("volumes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let claims = set.spec.volume_claim_templates.iter().map(|one| &one.metadata.name);
    claims.map(|claim| (claim, format!("{claim}-{name}-{number}"))).find_map(|(volume, claim)| {
        let named = volumes.iter().find(|one| one.get("name").and_then(Value::as_str) == Some(&**volume));
        let of = named.and_then(|one| one.pointer("/persistentVolumeClaim/claimName")).and_then(Value::as_str);
        (of != Some(&*claim)).then(|| format!("is made, and its volume {volume} is {of:?} instead of {claim}"))
    })
}

/// Why a pod should not be made yet, or not like this.
fn early(told: Told<'_>, new: &Object) -> Option<String> {
    let (set, name, uid, number) = belongs(told, new)?;
    let namespace = &new.meta().namespace;
    let revisions = told.of_kind(Kind::ControllerRevision);
    let revisions = revisions.filter(|one| set_of(one).is_some_and(|(_, of)| of == uid));
    let revisions: Vec<((i64, Option<Time>), &Text)> =
        revisions.filter_map(|one| Some((age(one)?, &one.meta().name))).collect();
    let newest = revisions.iter().max().map(|(_, name)| *name);
    let current = Some(&set.status.current_revision).filter(|name| revisions.iter().any(|(_, one)| one == name));
    let is_old = set.spec.update_strategy.kind == UpdateStrategyType::RollingUpdate
        && number < set.wanted().start + set.partition();
    let labels = &new.meta().labels;
    let (is_named, is_numbered) = (labels.get(POD_NAME), labels.get(POD_INDEX));
    if is_named != Some(&new.meta().name) || is_numbered.map(Text::as_str) != Some(&number.to_string()) {
        return Some("is made, and its labels do not say its name and number".into());
    }
    if let Some(unlike) = unlike(&set, name, number, new) {
        return Some(unlike);
    }
    let (of, should) = (new.meta().labels.get(REVISION_HASH), if is_old { current.or(newest) } else { newest });
    if let (Some(of), Some(should)) = (of, should)
        && of != should
    {
        return Some(format!("is made of {of}, and should be of {should}"));
    }
    if set.spec.pod_management_policy != PodManagementPolicy::OrderedReady {
        return None;
    }
    let lacks = |before: &i64| !member(told, namespace, (name, uid), *before).is_some_and(serves);
    let before = set.wanted().take_while(|before| *before < number).find(lacks)?;
    Some(format!("is made, and {name}-{before} does not serve"))
}

/// Why a pod should not be made to end.
fn wrong(truth: &Truth, told: Told<'_>, object: &Object, ended: &BTreeSet<Text>) -> Option<String> {
    let (set, name, uid, number) = belongs(told, object)?;
    let (namespace, wanted, pod) = (&object.meta().namespace, set.wanted(), object.get::<Pod>()?);
    if !wanted.contains(&number) {
        // What vanished in a gap of the controller's view stays in what it was told.
        let stays = |one: &&Object| truth.stored(one).is_some() && set_of(one).is_some_and(|(_, of)| of == uid);
        let others = told.of_kind(Kind::Pod).filter(|one| one.meta().namespace == *namespace);
        let numbers = others.filter(stays).filter_map(|one| number_of(name, &one.meta().name));
        let higher = numbers.filter(|other| *other > number && !wanted.contains(other)).max()?;
        let in_order = set.spec.pod_management_policy == PodManagementPolicy::OrderedReady;
        return in_order.then(|| format!("goes, and {name}-{higher} is there"));
    }
    if pod.status.phase.is_final() {
        return None;
    }
    match set.spec.update_strategy.kind {
        UpdateStrategyType::OnDelete => return Some("is replaced, and nobody has deleted it".into()),
        UpdateStrategyType::RollingUpdate if number < wanted.start + set.partition() => {
            return Some(format!("is replaced, and the update begins at {}", wanted.start + set.partition()));
        }
        UpdateStrategyType::RollingUpdate => {}
    }
    // Who has to be ready for a while serves or not by clocks, which may be wrong.
    if set.spec.min_ready_seconds.is_some_and(|secs| secs > 0) || !serves(pod) {
        return None;
    }
    let is_away = |other: &i64| {
        let there = member(told, namespace, (name, uid), *other);
        *other != number && !there.is_some_and(|pod| serves(pod) && !ended.contains(&pod.metadata.uid))
    };
    let (away, most) = (wanted.filter(is_away).count(), set.max_unavailable());
    (away >= most).then(|| format!("is replaced, {away} others do not serve, and {most} may be away"))
}

/// Why the newest revision should not be said to be the current one.
///
/// Source: Kubernetes, `pkg/controller/statefulset`, `completeRollingUpdate`.
fn unfinished(truth: &Truth, told: Told<'_>, new: &Object) -> Option<String> {
    let (meta, set) = (new.meta(), new.read::<StatefulSet>()?);
    let object = told.object(&new.key()).filter(|one| one.meta().uid == meta.uid)?;
    let (before, now) = (object.read::<StatefulSet>()?.status.current_revision, &set.status.current_revision);
    // One that is gone, or was let go, is current no more.
    let revision = told.object(&Key::new(Kind::ControllerRevision, &meta.namespace, &before));
    // What vanished in a gap of the controller's view stays in what it was told.
    let revision = revision.filter(|one| truth.stored(one).is_some());
    let is_own = revision.and_then(set_of).is_some_and(|(_, of)| of == meta.uid);
    if before == *now || !is_own {
        return None;
    }
    let is_new = |pod: &Pod| pod.metadata.labels.get(REVISION_HASH) == Some(now) && pod.is_ready();
    let lacks = |number: &i64| !member(told, &meta.namespace, (&meta.name, &meta.uid), *number).is_some_and(&is_new);
    let number = set.wanted().find(lacks)?;
    Some(format!("says that it is of {now}, and {}-{number} is not, or does not serve", meta.name))
}

impl Checker for Ordinal {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Durable, Sight::Started]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Sent { who, request, .. } => match &request.verb {
                Verb::Create { object } if who.role == Role::Workloads && object.kind() == Kind::Pod => {
                    if let Some(early) = early(truth.told(who), object) {
                        return Err(Broken::by(format!("{} {early}", object.key())).with([object]));
                    }
                }
                Verb::Delete { key, options } if who.role == Role::Workloads && key.kind == Kind::Pod => {
                    let told = truth.told(who);
                    let known = told.object(key).filter(|known| options.uid.as_ref() == Some(&known.meta().uid));
                    let (turn, ended) = self.ended.entry(who.name.clone()).or_default();
                    if *turn != truth.turn(who) {
                        (*turn, *ended) = (truth.turn(who), BTreeSet::new());
                    }
                    // What was asked for once is asked for again until it is answered.
                    let Some(known) = known.filter(|known| ended.insert(known.meta().uid.clone())) else {
                        return Ok(());
                    };
                    if let Some(wrong) = wrong(truth, told, known, ended) {
                        return Err(Broken::by(format!("{key} {wrong}")).with([known]));
                    }
                }
                Verb::Delete { key, options }
                    if options.grace_seconds == Some(0) && matches!(who.role, Role::Operator | Role::Garbage) =>
                {
                    let known = truth.meant(key, options).filter(|object| object.kind() == Kind::Pod);
                    self.given_up.extend(known.map(|object| object.meta().uid.clone()));
                }
                Verb::Update { object, part: Part::Status }
                    if who.role == Role::Workloads && object.kind() == Kind::StatefulSet =>
                {
                    if let Some(unfinished) = unfinished(truth, truth.told(who), object) {
                        return Err(Broken::by(format!("{} {unfinished}", object.key())).with([object]));
                    }
                }
                Verb::Update { object, part: Part::Status } if who.role == Role::Garbage && is_failed(object) => {
                    let newest = self.writing_off.entry(object.meta().uid.clone()).or_insert(object.revision());
                    *newest = object.revision().max(*newest);
                }
                _ => {}
            },
            Fact::Durable { change } => {
                // Of two writes to one state the API server takes one.
                let failed =
                    change.old.as_ref().zip(change.new.as_ref()).filter(|(old, new)| !is_failed(old) && is_failed(new));
                if let Some((old, new)) = failed
                    && self.writing_off.remove(&new.meta().uid) == Some(old.revision())
                {
                    self.given_up.insert(new.meta().uid.clone());
                }
            }
            Fact::Started { node, process } => {
                let new = truth.pods.get(&process.pod.uid).map(|facts| &facts.last).filter(|new| set_of(new).is_some());
                let Some(new) = new else { return Ok(()) };
                let twin = |(uid, _): &&(Text, Text)| {
                    let other = truth.pods.get(uid).map(|facts| &facts.last);
                    *uid != process.pod.uid
                        && !self.given_up.contains(uid)
                        && other.is_some_and(|other| other.key() == new.key() && set_of(other).is_some())
                };
                if let Some(old) = truth.processes.keys().find(twin) {
                    let facts = truth.pods.get(&old.0).map(|facts| &facts.last);
                    let on: Vec<String> = truth.processes_of(&old.0).map(|(on, _)| on.to_string()).collect();
                    let what = format!("{} runs on {node}, and an earlier one still on {}", new.key(), on.join(", "));
                    return Err(Broken::by(what).with(facts).with([new]));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, who};
    use super::*;
    use crate::runtime::Process;
    use miniku_core::kubelet::runtime::PodRef;
    use miniku_core::program::DeleteOptions;
    use serde_json::{Value, json};

    fn pod(name: &str, uid: &str, ready: &str) -> Value {
        let number = name.rsplit('-').next();
        json!({"kind": "Pod", "metadata": {"name": name, "uid": uid, "namespace": "default",
                "labels": {"statefulset.kubernetes.io/pod-name": name, "apps.kubernetes.io/pod-index": number},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "s", "controller": true}]},
            "spec": {"nodeName": "n", "hostname": name, "containers": []},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}})
    }

    /// What becomes of the first before a second of its number runs.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum First {
        OutOfReach,
        ForcedByHand,
        /// Somebody has forced one that had the second's number before it.
        OtherForced,
        /// The collector has asked that it be called failed, and it is.
        WrittenOff,
        /// It has asked, and was refused: somebody else has written first.
        NotWrittenOff,
        /// It is called failed, and not by the collector.
        SaidToHaveFailed,
    }

    #[test]
    fn fires_on_two_of_one_number() {
        use First::{ForcedByHand, NotWrittenOff, OtherForced, OutOfReach, SaidToHaveFailed, WrittenOff};
        for what in [OutOfReach, ForcedByHand, OtherForced, WrittenOff, NotWrittenOff, SaidToHaveFailed] {
            let mut story = Story::<Ordinal>::new();
            let start = |story: &mut Story<Ordinal>, node: &str, uid: &str| {
                let pod = PodRef { uid: uid.into(), namespace: "default".into(), name: "db-0".into() };
                let process = Process { pod, container: "c".into(), attempt: 0, pid: 7 };
                story.truth.started(&node.into(), &process);
                story.see(Fact::Started { node, process: &process })
            };
            let ask = |story: &mut Story<Ordinal>, role: Role, verb: Verb| {
                story.sends(&who(role, "x"), verb).unwrap();
            };
            let mut first = story.put(pod("db-0", "one", "True")).unwrap().new.unwrap();
            start(&mut story, "n", "one").unwrap();
            let failed = first.with(|pod: &mut Pod| pod.status.phase = PodPhase::Failed);
            if matches!(what, ForcedByHand | OtherForced) {
                let uid = (what == OtherForced).then(|| "zero".into());
                let options = DeleteOptions { grace_seconds: Some(0), uid, ..DeleteOptions::default() };
                ask(&mut story, Role::Operator, Verb::Delete { key: first.key(), options });
            }
            if matches!(what, WrittenOff | NotWrittenOff) {
                ask(&mut story, Role::Garbage, Verb::Update { object: failed.clone(), part: Part::Status });
            }
            if what == NotWrittenOff {
                story.put(pod("db-0", "one", "False")).unwrap();
            }
            if matches!(what, WrittenOff | NotWrittenOff | SaidToHaveFailed) {
                first = story.write(&failed, false).unwrap().new.unwrap();
            }
            story.write(&first, true).unwrap();
            story.put(pod("db-0", "two", "False")).unwrap();
            let fires = !matches!(what, ForcedByHand | WrittenOff);
            assert_eq!(start(&mut story, "m", "two").is_err(), fires, "{what:?}");
        }
    }

    #[test]
    fn fires_on_one_that_does_not_wait_for_its_turn() {
        for (policy, ready, fires) in
            [("OrderedReady", "False", true), ("OrderedReady", "True", false), ("Parallel", "False", false)]
        {
            let mut story = Story::<Ordinal>::new();
            let controller = who(Role::Workloads, "workloads");
            let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
                "metadata": {"name": "db", "uid": "s", "namespace": "default"},
                "spec": {"replicas": 2, "podManagementPolicy": policy, "selector": {}, "template": {}}});
            for object in [set, pod("db-0", "one", ready)] {
                story.shows(&controller, object).unwrap();
            }
            let sent =
                story.sends(&controller, Verb::Create { object: crate::plan::object(pod("db-1", "two", "False")) });
            assert_eq!(sent.is_err(), fires, "{policy} {ready}");
        }
    }

    /// Tells a controller of a set with these fields and of its pods from 5 on, each with its revision.
    fn told_of(spec: &Value, pods: &[(&str, &str)]) -> Story<Ordinal> {
        let mut story = Story::<Ordinal>::new();
        let mut set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "db", "uid": "s", "namespace": "default"},
            "spec": {"replicas": 2, "ordinals": {"start": 5}, "selector": {}, "template": {}},
            "status": {"currentRevision": "db-old"}});
        set["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let revision = |name: &str, number: i64| {
            let mut object =
                json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "data": {}, "revision": number});
            object["metadata"] = pod(name, name, "True")["metadata"].clone();
            object
        };
        let mut manifests = vec![set, revision("db-old", 1), revision("db-new", 2)];
        manifests.extend(pods.iter().map(|(name, ready)| pod(name, name, ready)));
        for object in manifests {
            let who = &who(Role::Workloads, "workloads");
            story.shows(who, object).unwrap();
        }
        story
    }

    fn asks(story: &mut Story<Ordinal>, verb: Verb) -> Result<(), Broken> {
        story.sends(&who(Role::Workloads, "workloads"), verb)
    }

    #[test]
    fn fires_on_the_wrong_end() {
        let check = |spec: Value, ends: &[&str], fires: Option<&str>| {
            let pods = [("db-5", "True"), ("db-6", "True"), ("db-7", "True"), ("db-8", "True")];
            let mut story = told_of(&spec, &pods);
            let end = |name: &&str| {
                let options = DeleteOptions { uid: Some((*name).into()), ..Default::default() };
                asks(&mut story, Verb::Delete { key: Key::new(Kind::Pod, "default", name), options })
            };
            let all: Result<Vec<()>, Broken> = ends.iter().map(end).collect();
            let what = all.err().map(|broken| broken.what).unwrap_or_default();
            assert!(fires.map_or(what.is_empty(), |fires| what.ends_with(fires)), "{spec} {ends:?}: {what}");
        };
        check(json!({}), &["db-8", "db-8"], None);
        check(json!({}), &["db-7"], Some("db-7 goes, and db-8 is there"));
        check(json!({}), &["db-8", "db-7"], Some("db-7 goes, and db-8 is there"));
        check(json!({"podManagementPolicy": "Parallel"}), &["db-7", "db-8"], None);
        check(json!({}), &["db-6"], None);
        check(json!({}), &["db-6", "db-5"], Some("1 others do not serve, and 1 may be away"));
        let from = |partition: i64| json!({"updateStrategy": {"rollingUpdate": {"partition": partition}}});
        check(from(1), &["db-6"], None);
        check(from(1), &["db-5"], Some("the update begins at 6"));
        check(json!({"updateStrategy": {"type": "OnDelete"}}), &["db-5"], Some("nobody has deleted it"));
    }

    #[test]
    fn fires_on_one_that_does_not_say_its_number() {
        let mut new = pod("db-5", "new", "False");
        new["metadata"]["labels"]["apps.kubernetes.io/pod-index"] = "0".into();
        let made = asks(&mut told_of(&json!({}), &[]), Verb::Create { object: crate::plan::object(new) });
        assert!(made.unwrap_err().what.contains("do not say its name and number"));
    }

    #[test]
    fn fires_on_one_that_its_peers_do_not_find_or_that_has_the_data_of_another() {
        let made = |field: &str, value: Value| {
            let spec = json!({"serviceName": "peers", "volumeClaimTemplates": [{"metadata": {"name": "data"}}]});
            let mut new = pod("db-5", "new", "False");
            let volume = json!({"name": "data", "persistentVolumeClaim": {"claimName": "data-db-5"}});
            (new["spec"]["subdomain"], new["spec"]["volumes"]) = ("peers".into(), json!([volume]));
            if !field.is_empty() {
                new["spec"][field] = value;
            }
            let made = asks(&mut told_of(&spec, &[]), Verb::Create { object: crate::plan::object(new) });
            made.err().map(|broken| broken.what).unwrap_or_default()
        };
        assert_eq!(made("", json!(null)), "");
        assert!(made("subdomain", json!(null)).ends_with("is to be found under \"peers\", and not under \"\""));
        assert!(made("hostname", "db".into()).ends_with("would call itself \"db\""));
        let others = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-6"}}]);
        assert!(made("volumes", others).ends_with("its volume data is Some(\"data-db-6\") instead of data-db-5"));
        assert!(made("volumes", json!([])).ends_with("its volume data is None instead of data-db-5"));
    }

    #[test]
    fn fires_on_the_wrong_revision() {
        for (partition, number, revision, fires) in
            [(1, 5, "db-old", false), (1, 5, "db-new", true), (1, 6, "db-old", true), (1, 6, "db-new", false)]
        {
            let spec = json!({"podManagementPolicy": "Parallel",
                "updateStrategy": {"rollingUpdate": {"partition": partition}}});
            let mut new = pod(&format!("db-{number}"), "new", "False");
            new["metadata"]["labels"]["controller-revision-hash"] = revision.into();
            let made = asks(&mut told_of(&spec, &[]), Verb::Create { object: crate::plan::object(new) });
            assert_eq!(made.is_err(), fires, "{number} of {revision}: {made:?}");
        }
    }

    #[test]
    fn fires_on_an_update_that_is_not_over() {
        for (second, ready, current, fires) in [
            ("db-new", "True", "db-new", false),
            ("db-old", "True", "db-new", true),
            ("db-new", "False", "db-new", true),
            ("db-old", "True", "db-old", false),
        ] {
            let mut story = told_of(&json!({}), &[]);
            for (name, revision, ready) in [("db-5", "db-new", "True"), ("db-6", second, ready)] {
                let mut pod = pod(name, name, ready);
                pod["metadata"]["labels"] = json!({"controller-revision-hash": revision});
                let who = &who(Role::Workloads, "workloads");
                story.shows(who, pod).unwrap();
            }
            let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
                "metadata": {"name": "db", "uid": "s", "namespace": "default"},
                "spec": {"replicas": 2, "ordinals": {"start": 5}, "selector": {}, "template": {}},
                "status": {"currentRevision": current}});
            let verb = Verb::Update { object: crate::plan::object(set), part: Part::Status };
            assert_eq!(asks(&mut story, verb).is_err(), fires, "{second} {ready} {current}");
        }
    }
}
