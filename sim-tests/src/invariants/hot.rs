//! L-hot: No object is written, no container started, no pod made for one owner, and nothing asked for by one program, or by a controller that is refused each time, more often than a bound allows within a minute.
//!
//! The bound of a workload, of a quota, and of a disruption budget grows with its pods, wanted or there, each of which
//! may change its counts. Leases have their own rhythm. Pods are made for as many as their owner ever wanted: who makes
//! them may see it as it was, also when it is gone and another has its name. Whoever is refused again and again waits
//! twice as long each time; but who is overtaken each time by somebody who is only in the way may try again at once,
//! for the object is another one then.
//! Catches: two programs that undo each other's writes; a start that is tried again without a pause; pods that are made as
//! fast as somebody takes them away; what failed tried again at each news.

use super::{Broken, Checker, number};
use crate::link::subject;
use crate::truth::{Fact, INTRUDER, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::quantity::Quantity;
use miniku_core::api::replicaset::ReplicaSet;
use miniku_core::program::{Answer, RequestId};
use miniku_core::rng::Draw;
use miniku_core::store::Change;
use miniku_core::time::{Duration, Instant};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::mem::take;

const WINDOW: Duration = Duration::from_secs(60);
/// Writes of one object.
const WRITES: u64 = 90;
/// More writes of a workload, for each pod it wants.
const WRITES_A_POD: u64 = 8;
/// Starts of one container: back-off allows far fewer.
const STARTS: u64 = 12;

/// Pods made for one owner.
const MADE: u64 = 20;
/// More of them, for each pod it ever wanted.
const MADE_A_POD: u64 = 8;

/// Requests of one program about one object.
const REQUESTS: u64 = 600;

/// Writes of one object that are refused to a controller one after the other. From 5 ms on and doubled each time, its delays
/// allow 14 in a minute, of which each may arrive twice.
const REFUSED: u64 = 30;

/// Counts since the current minute began, and what workloads ever wanted. By numbers that stand for what is counted: it
/// is very much, and hardly any of it comes twice.
#[derive(Default)]
pub struct Hot {
    since: Instant,
    writes: BTreeMap<u64, u32>,
    /// The most pods that a workload had or wanted meanwhile.
    pods: BTreeMap<u64, u64>,
    /// The most that one of a uid ever had or wanted.
    ever: BTreeMap<u64, u64>,
    starts: BTreeMap<u64, u32>,
    made: BTreeMap<u64, u32>,
    requests: BTreeMap<u64, u32>,
    /// How often somebody wrote an object who only wants to be in the way.
    meddled: BTreeMap<u64, u32>,
    /// The writes of controllers that are on their way: of what, and a number for that and for whose they are.
    asked: BTreeMap<RequestId, (Key, u64)>,
    /// How often in a row each was refused what it wrote of an object.
    refused: BTreeMap<u64, u32>,
}

/// Who has one queue for what it writes of an object, and waits for its turn there whatever is new.
fn queues(role: Role) -> bool {
    matches!(role, Role::NodeLifecycle | Role::Garbage | Role::Disruption)
}

/// How many pods a workload has or wants, whichever is more.
fn most_pods(object: &Object) -> u64 {
    if let Some(set) = object.get::<ReplicaSet>() {
        return set.wanted().max(usize::try_from(set.status.replicas).unwrap_or(0)) as u64;
    }
    // What is used changes with each pod of its namespace.
    if let Some(used) = object.at(&["status", "used", "pods"]).filter(|_| object.kind() == Kind::ResourceQuota) {
        return Quantity::deserialize(used).map_or(0, |used| used.value());
    }
    let len = |list: Option<&Value>| list.and_then(Value::as_array).map_or(0, |list| list.len() as u64);
    if object.kind() == Kind::EndpointSlice {
        return len(object.at(&["endpoints"]));
    }
    if object.kind() == Kind::Endpoints {
        let subsets = object.at(&["subsets"]).and_then(Value::as_array).into_iter().flatten();
        return subsets.map(|one| len(one.get("addresses")) + len(one.get("notReadyAddresses"))).sum();
    }
    let numbers = [
        ["spec", "replicas"],
        ["status", "replicas"],
        ["spec", "parallelism"],
        ["spec", "completions"],
        ["status", "desiredNumberScheduled"],
        ["status", "currentNumberScheduled"],
        // A budget counts all pods that it selects, or what their controllers want; and those that are ready in any case.
        ["status", "expectedPods"],
        ["status", "currentHealthy"],
    ];
    numbers.iter().filter_map(|path| object.at(path)?.as_u64()).max().unwrap_or(0)
}

impl Hot {
    /// How many more writes of an object its pods explain.
    fn more(&self, number: u64) -> u64 {
        self.pods.get(&number).map_or(0, |most| most * WRITES_A_POD)
    }

    /// How many more requests about an object those explain who overtook its writers: news of that, and an answer.
    fn tries_anew(&self, number: u64) -> u64 {
        2 * u64::from(self.meddled.get(&number).copied().unwrap_or(0))
    }

    /// A pod is new.
    fn makes(&mut self, truth: &Truth, pod: &Object) -> Result<(), Broken> {
        let Some(by) = pod.meta().controller() else { return Ok(()) };
        let owner = uid_number(&by.uid);
        let times = count(&mut self.made, owner);
        if times <= MADE {
            return Ok(());
        }
        let key = Kind::named(&by.api_version, &by.kind).map(|kind| Key::new(kind, &pod.meta().namespace, &by.name));
        let stored = key.as_ref().and_then(|key| truth.object(key)).filter(|stored| stored.meta().uid == by.uid);
        let wants = stored.map_or(0, most_pods);
        let ever = self.ever.get(&owner).copied().unwrap_or(0);
        // A daemon set does not say yet how many it wants.
        let nodes = match &key {
            Some(key) if key.kind == Kind::DaemonSet => truth.disk.objects().of_kind(Kind::Node).count() as u64,
            _ => 0,
        };
        if times > MADE + wants.max(ever).max(nodes) * MADE_A_POD {
            return Err(Broken::by(format!("{times} pods are made for {} in a minute", by.name)).with([pod]));
        }
        Ok(())
    }
}

/// Whether somebody wrote who only wants to be in the way: it is no quarrel of two programs.
fn is_intruders(change: &Change) -> bool {
    let mark = |object: &Option<Object>| object.as_ref()?.meta().annotations.get(INTRUDER).cloned();
    change.old.is_some() && change.new.is_some() && mark(&change.old) != mark(&change.new)
}

/// The controller of an object.
fn owner(object: &Object) -> Option<Key> {
    let by = object.meta().controller()?;
    Some(Key::new(Kind::named(&by.api_version, &by.kind)?, &object.meta().namespace, &by.name))
}

/// A number that stands for an owner: names come back, uids do not.
fn uid_number(uid: &str) -> u64 {
    Draw::new(1).key(uid).u64()
}

fn count(map: &mut BTreeMap<u64, u32>, number: u64) -> u64 {
    let times = map.entry(number).or_insert(0);
    *times += 1;
    u64::from(*times)
}

impl Checker for Hot {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent, Sight::Answered, Sight::Durable, Sight::Started]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        if truth.now.since(self.since) >= WINDOW {
            *self = Hot { since: truth.now, ever: take(&mut self.ever), ..Hot::default() };
        }
        match fact {
            Fact::Durable { change } if change.key.kind != Kind::Lease && !is_intruders(change) => {
                if let (None, Some(pod), Kind::Pod) = (&change.old, &change.new, change.key.kind) {
                    self.makes(truth, pod)?;
                }
                let number = number(&change.key);
                let times = count(&mut self.writes, number);
                for object in change.old.iter().chain(&change.new) {
                    let pods = most_pods(object);
                    if pods > 0 {
                        let most = self.pods.entry(number).or_default();
                        *most = pods.max(*most);
                        let ever = self.ever.entry(uid_number(&object.meta().uid)).or_default();
                        *ever = pods.max(*ever);
                    }
                }
                if times > WRITES && times > WRITES + self.more(number) {
                    let what = format!("{} is written {times} times in a minute", change.key);
                    return Err(Broken::by(what).with(change.old.iter().chain(&change.new)));
                }
            }
            Fact::Durable { change } if is_intruders(change) => drop(count(&mut self.meddled, number(&change.key))),
            // Whoever sits at a keyboard asks again until there is an answer, for each of many things.
            Fact::Sent { who, id, request } if who.role != Role::Operator => {
                let key = subject(request);
                if queues(who.role) && !request.verb.is_read() && !matches!(key.kind, Kind::Lease | Kind::Event) {
                    // A new life, or a new time of leading, has not been refused anything yet.
                    let (life, term) = truth.turn(who);
                    let turn = Draw::new(number(&key)).key(&who.name).count(life.into());
                    let turn = turn.count(term.unsigned_abs().into()).u64();
                    self.asked.insert(*id, (key.clone(), turn));
                }
                let times = count(&mut self.requests, Draw::new(number(&key)).key(&who.name).u64());
                // Who is overtaken at an owner reads its children once more.
                let tries_anew = |key: &Key| self.tries_anew(number(key));
                let most = || {
                    // Who has not heard that it is gone asks about it still.
                    let about = truth.object(&key).or_else(|| truth.told(who).object(&key));
                    let of_owner = about.and_then(owner).map_or(0, |owner| tries_anew(&owner));
                    REQUESTS + self.more(number(&key)) + tries_anew(&key) + of_owner
                };
                if times > REQUESTS && times > most() {
                    return Err(Broken::by(format!("{who} asks {times} times in a minute about {key}")));
                }
            }
            Fact::Answered { id, answer } => {
                let Some((key, turn)) = self.asked.remove(id) else { return Ok(()) };
                let Answer::Refused(status) = answer else {
                    self.refused.remove(&turn);
                    return Ok(());
                };
                let times = count(&mut self.refused, turn);
                if times > REFUSED {
                    return Err(Broken::by(format!("a write of {key} is refused {times} times in a row: {status}")));
                }
            }
            Fact::Started { process, .. } => {
                let number = Draw::new(0).key(&process.pod.uid).key(&process.container).u64();
                let times = count(&mut self.starts, number);
                if times > STARTS {
                    let (pod, name) = (&process.pod.name, &process.container);
                    return Err(Broken::by(format!("{pod}/{name} is started {times} times in a minute")));
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
    use crate::truth::Who;
    use miniku_core::api::status::Status;
    use miniku_core::program::{Part, Verb};
    use serde_json::json;

    #[test]
    fn fires_on_somebody_who_asks_and_asks() {
        let (mut story, client) = (Story::<Hot>::new(), who(Role::Other, "client"));
        let get = Verb::Get { key: Key::new(Kind::Node, "", "n") };
        let mut ask = |times: u64| (0..times).try_for_each(|_| story.sends(&client, get.clone()));
        ask(REQUESTS).unwrap();
        assert!(ask(1).unwrap_err().what.contains("601 times"));
    }

    #[test]
    fn who_is_overtaken_each_time_may_try_again_at_once() {
        let judge = |about: Key| {
            let (mut story, client) = (Story::<Hot>::new(), who(Role::Workloads, "workloads"));
            make(&mut story, "w", 0, 1).unwrap();
            for nth in 0..100 {
                let mut touched = set("w", 0);
                touched["metadata"]["annotations"] = json!({INTRUDER: nth.to_string()});
                story.put(touched).unwrap();
            }
            let get = Verb::Get { key: about };
            let mut ask = |times: u64| (0..times).try_for_each(|_| story.sends(&client, get.clone()));
            ask(REQUESTS + 198).unwrap();
            assert!(ask(1).unwrap_err().what.contains("799 times"));
        };
        judge(Key::new(Kind::ReplicaSet, "default", "web"));
        judge(Key::new(Kind::Pod, "default", "w-0"));
    }

    #[test]
    fn fires_on_who_does_not_wait_for_its_turn() {
        let pod = crate::plan::object(pod("a", "", "Pending"));
        let refused = Answer::Refused(Status::stale(Kind::Pod, "a"));
        let done = Answer::Object { object: pod.clone(), created: false };
        let update = Verb::Update { object: pod, part: Part::Status };
        // So many times in a row, and perhaps once with success in between.
        let judge = |role: Role, times: u64, answer: &Answer, life: u32| {
            let mut story = Story::<Hot>::new();
            (0..times).try_for_each(|nth| {
                let who = Who { life: if nth < times / 2 { 1 } else { life }, ..who(role, "client") };
                story.asks(nth, &who, update.clone())?;
                story.answers(nth, if nth == times / 2 { answer } else { &refused })
            })
        };
        judge(Role::NodeLifecycle, REFUSED, &refused, 1).unwrap();
        let broken = judge(Role::NodeLifecycle, REFUSED + 1, &refused, 1).unwrap_err();
        assert!(broken.what.contains("31 times in a row"), "{}", broken.what);
        judge(Role::NodeLifecycle, REFUSED + 1, &done, 1).unwrap();
        judge(Role::NodeLifecycle, REFUSED + 1, &refused, 2).unwrap();
        judge(Role::Workloads, REFUSED + 1, &refused, 1).unwrap();
    }

    #[test]
    fn fires_on_a_quarrel_but_not_on_a_slow_talk() {
        let mut story = Story::<Hot>::new();
        let mut write = |pause: u64| {
            (0..100).try_for_each(|_| {
                story.pass(pause)?;
                story.put(node("n")).map(|_| ())
            })
        };
        write(1).unwrap();
        assert!(write(0).unwrap_err().what.contains("times in a minute"));
    }

    fn set(uid: &str, replicas: usize) -> Value {
        let mut set = crate::plan::replica_set("web", replicas, "");
        set["metadata"]["uid"] = uid.into();
        set
    }

    /// Pods are made for the set of this uid.
    fn make(story: &mut Story<Hot>, uid: &str, from: u64, times: u64) -> Result<(), Broken> {
        (from..from + times).try_for_each(|nth| {
            let mut pod = pod(&format!("{uid}-{nth}"), "", "Pending");
            pod["metadata"]["ownerReferences"] =
                json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": uid, "controller": true}]);
            story.put(pod).map(|_| ())
        })
    }

    #[test]
    fn fires_on_pods_that_are_made_as_fast_as_they_are_taken_away() {
        let mut story = Story::<Hot>::new();
        story.put(set("w", 1)).unwrap();
        make(&mut story, "w", 0, MADE + MADE_A_POD).unwrap();
        assert_eq!(make(&mut story, "w", 100, 1).unwrap_err().what, "29 pods are made for web in a minute");
    }

    #[test]
    fn a_set_that_is_gone_makes_what_it_wanted_and_not_what_another_of_its_name_wants() {
        let mut story = Story::<Hot>::new();
        story.put(set("old", 5)).unwrap();
        let scaled = story.put(set("old", 2)).unwrap().new.unwrap();
        story.write(&scaled, true).unwrap();
        story.put(set("new", 1)).unwrap();
        // Whoever makes pods hears of none of that, for more than a minute.
        story.pass(100).unwrap();
        make(&mut story, "old", 0, MADE + 5 * MADE_A_POD).unwrap();
        assert_eq!(make(&mut story, "old", 100, 1).unwrap_err().what, "61 pods are made for web in a minute");
        make(&mut story, "new", 0, MADE + MADE_A_POD).unwrap();
        assert_eq!(make(&mut story, "new", 100, 1).unwrap_err().what, "29 pods are made for web in a minute");
    }

    #[test]
    fn a_daemon_set_makes_a_pod_for_each_node_at_once() {
        let makes = |nodes: u64| {
            let mut story = Story::<Hot>::new();
            (0..nodes).for_each(|nth| drop(story.put(node(&format!("n{nth}"))).unwrap()));
            (0..60).try_for_each(|nth| {
                let mut pod = pod(&format!("p{nth}"), "", "Pending");
                pod["metadata"]["ownerReferences"] =
                    json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "ds", "uid": "d", "controller": true}]);
                story.put(pod).map(|_| ())
            })
        };
        makes(60).unwrap();
        assert_eq!(makes(1).unwrap_err().what, "29 pods are made for ds in a minute");
    }

    #[test]
    fn a_budget_may_change_with_each_of_its_pods() {
        let most = |pods: u64| {
            let mut story = Story::<Hot>::new();
            let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
                "metadata": {"name": "b", "namespace": "default", "uid": "b"}, "spec": {"minAvailable": 1},
                "status": {"expectedPods": pods, "currentHealthy": 0}});
            (0..1000).take_while(|_| story.put(budget.clone()).is_ok()).count() as u64
        };
        assert_eq!((most(0), most(20)), (WRITES, WRITES + 20 * WRITES_A_POD));
    }
}
