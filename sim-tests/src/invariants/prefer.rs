//! S-prefer: Of the nodes that surely take a pod, as far as the scheduler was told, none is passed over for which surely more counts than for the one that the pod gets: pods that are near by the terms of both, how few there are of those over which it is rather spread, taints, images and nodes that it prefers, and the load.
//!
//! Each counts by its weight. What is seen against all nodes that take the pod counts as little for a node as it may, and
//! as much against it, whichever those are. Nothing is said where anything that counts is unsure; nor of pods that have to
//! mind others, or that others may keep away, or that are promised a node. Where nobody minds others, and nothing but load
//! and nodes that are preferred can count, S-load says more.
//! Catches: preferences of a pod, or of those that are there, that count the wrong way, by another weight or not at all;
//! ScheduleAnyway that is ignored, or counts pods that are going; images and taints that are not looked at.

use super::each::Each;
use super::load::{LIKING, WHOLE, is_singular, liking, surely_more};
use super::neighbours::{has_neighbours, has_to_mind, is_weighed, likes, repels};
use super::placed::{self, Asks, Bind, Placed, There, by_node, strategy, takes};
use super::spread::{counts, is_place};
use super::{Broken, Checker};
use crate::told::Told;
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::object::Object;
use miniku_core::api::pod::Pod;
use miniku_core::api::pod_affinity::WhenUnsatisfiable;
use miniku_core::api::taint::{PREFER_NO_SCHEDULE, untolerated};
use miniku_core::api::text::Text;
use std::collections::BTreeMap;

/// How often each counts, where load and images count once.
///
/// Source: Kubernetes, `pkg/scheduler/apis/config/v1/default_plugins.go`.
const NEAR: i64 = 2;
/// See [`NEAR`].
const SPREAD: i64 = 2;
/// See [`NEAR`].
const TAINTS: i64 = 3;
/// What may be lost by rounding, apart from the load.
const ROUNDING: i64 = 64;

/// One for each scheduler.
pub type Prefers = Each<Prefer>;

/// What the scheduler's present life has asked for and said.
#[derive(Default)]
pub struct Prefer {
    asks: Asks,
}

/// What counts for a node and against it, beside its load.
struct Says {
    /// The weights of the terms that are met there.
    near: i64,
    /// Those of preferred node affinity.
    liked: i64,
    crowd: Crowd,
    /// How many of its taints the pod had rather avoid.
    averse: i64,
    /// What the pod's images count that it has, of [`WHOLE`].
    images: i64,
}

/// How many of those over which a pod is rather spread are in the place of a node.
#[derive(Clone, Copy)]
enum Crowd {
    Of(i64),
    /// The node is no place, or the pod is not spread over any.
    Nowhere,
}

impl Crowd {
    fn many(self) -> i64 {
        match self {
            Crowd::Of(many) => many,
            Crowd::Nowhere => 0,
        }
    }
}

/// Pods that count may be there or not: of what others count, nothing is known then.
struct Unsure;

/// Whether all that a pod says of others is reckoned here: what is preferred, and at most one constraint.
fn is_reckoned(pod: &Pod) -> bool {
    let constraints = &pod.spec.topology_spread_constraints;
    let soft = constraints
        .iter()
        .all(|one| one.when_unsatisfiable == WhenUnsatisfiable::ScheduleAnyway && one.match_label_keys.is_empty());
    soft && constraints.len() < 2 && !has_to_mind(pod) && is_weighed(pod)
}

/// Whether more than load and preferred nodes may count, as far as the scheduler was told.
fn is_anything_preferred(told: Told<'_>, pod: &Pod, nodes: &[&Node]) -> bool {
    let is_particular = has_neighbours(pod) || !pod.spec.topology_spread_constraints.is_empty();
    is_particular
        || nodes.iter().any(|node| is_singular(node, pod))
        || told.of_kind(Kind::Pod).filter_map(Object::get).any(has_neighbours)
}

/// What the pods that are there count for each node.
fn near(pod: &Pod, nodes: &[&Node], placed: &[Placed<'_>]) -> Result<Vec<i64>, Unsure> {
    let mut sums = vec![0; nodes.len()];
    for one in placed {
        let likes = likes(pod, one.pod);
        if !likes.is_empty() && !one.is_sure {
            return Err(Unsure);
        }
        let Some(there) = nodes.iter().find(|node| node.metadata.name == one.node) else { continue };
        for (label, weight) in likes {
            let place = there.metadata.labels.get(label);
            let shares = |node: &Node| place.is_some() && node.metadata.labels.get(label) == place;
            sums.iter_mut().zip(nodes).filter(|(_, node)| shares(node)).for_each(|(sum, _)| *sum += weight);
        }
    }
    Ok(sums)
}

/// What is in the place of each node.
fn crowds(pod: &Pod, nodes: &[&Node], placed: &[Placed<'_>]) -> Result<Vec<Crowd>, Unsure> {
    let Some(one) = pod.spec.topology_spread_constraints.first() else {
        return Ok(vec![Crowd::Nowhere; nodes.len()]);
    };
    let place =
        |node: &&Node| node.metadata.labels.get(&one.topology_key).filter(|_| is_place(pod, one, node)).cloned();
    let places: Vec<Option<Text>> = nodes.iter().map(place).collect();
    let mut many: BTreeMap<&Text, i64> = places.iter().flatten().map(|place| (place, 0)).collect();
    for other in placed.iter().filter(|other| counts(pod, one, other.pod)) {
        if !other.is_sure {
            return Err(Unsure);
        }
        let at = nodes.iter().position(|node| node.metadata.name == other.node);
        if let Some(place) = at.and_then(|at| places[at].as_ref()) {
            *many.entry(place).or_default() += 1;
        }
    }
    let crowd = |place: &Option<Text>| place.as_ref().map_or(Crowd::Nowhere, |place| Crowd::Of(many[place]));
    Ok(places.iter().map(crowd).collect())
}

/// What the images of a pod count that a node has: by their sizes, from 23 to 1000 MiB for each container, and by the share
/// of nodes that have them.
///
/// Source: Kubernetes, `plugins/imagelocality`.
fn images(pod: &Pod, node: &Node, nodes: &[&Node]) -> i64 {
    const MIB: i128 = 1 << 20;
    let has = |node: &Node, image: &str| {
        // A colon before the last slash belongs to a port.
        let is_tagged = image.rfind(':') > image.rfind('/');
        let is_it = |name: &Text| if is_tagged { *name == *image } else { name.strip_suffix(":latest") == Some(image) };
        let all = node.status.images.iter();
        all.rev().find(|one| one.names.iter().any(is_it)).map(|one| i128::from(one.size_bytes.unwrap_or(0)))
    };
    let each = pod.spec.containers.iter().map(|one| {
        let many = nodes.iter().filter(|node| has(node, &one.image).is_some()).count();
        has(node, &one.image).unwrap_or(0).max(0) * many as i128 / nodes.len().max(1) as i128
    });
    let (least, most) = (23 * MIB, 1000 * MIB * pod.spec.containers.len().max(1) as i128);
    let part = (each.sum::<i128>().clamp(least, most) - least) * i128::from(WHOLE) / (most - least);
    i64::try_from(part).unwrap_or(WHOLE)
}

/// What all nodes say to a pod.
fn says(pod: &Pod, nodes: &[&Node], placed: &[Placed<'_>]) -> Result<Vec<Says>, Unsure> {
    let all = nodes.iter().zip(near(pod, nodes, placed)?).zip(crowds(pod, nodes, placed)?);
    let says = all.map(|((node, near), crowd)| Says {
        near,
        liked: liking(node, pod),
        crowd,
        averse: untolerated(&node.spec.taints, &pod.spec.tolerations, &[PREFER_NO_SCHEDULE]).count() as i64,
        images: images(pod, node, nodes),
    });
    Ok(says.collect())
}

/// The nodes against which a node is seen: those that take the pod.
struct Against<'a> {
    /// Those that surely do, with the one that it gets.
    surely: Vec<&'a Says>,
    /// All that may.
    perhaps: Vec<&'a Says>,
}

fn most(all: &[&Says], of: impl Fn(&Says) -> i64) -> i64 {
    all.iter().map(|one| of(one)).max().unwrap_or(0)
}

impl Against<'_> {
    /// Which part of the whole a difference is. The whole depends on the nodes: the more of them take the pod, the smaller
    /// the part.
    fn part(&self, more: i64, whole: impl Fn(&[&Says]) -> i64) -> i64 {
        let whole = whole(if more > 0 { &self.perhaps } else { &self.surely });
        (more * WHOLE).checked_div(whole).unwrap_or(0)
    }

    /// How much more surely counts for one node than for another, beside the load; less than nothing, if it may be less.
    fn more(&self, one: &Says, here: &Says, pod: &Pod) -> i64 {
        let near = |all: &[&Says]| most(all, |one| one.near) + most(all, |one| -one.near);
        let near = self.part(one.near - here.near, near);
        let liked = self.part(one.liked - here.liked, |all| most(all, |one| one.liked));
        let averse = self.part(here.averse - one.averse, |all| most(all, |one| one.averse));
        let crowd = match (one.crowd, here.crowd) {
            (Crowd::Of(one), Crowd::Of(here)) => self.part(here - one, |all| {
                // The skew that is put up with is part of the whole, and counts less than as many pods.
                let skew = pod.spec.topology_spread_constraints.first().map_or(1, |one| i64::from(one.max_skew.max(1)));
                most(all, |one| one.crowd.many()) + if here > one { skew - 1 } else { 0 }
            }),
            // No place at all is the worst.
            (Crowd::Nowhere, Crowd::Of(_)) => -WHOLE,
            (_, Crowd::Nowhere) => 0,
        };
        let images = one.images - here.images;
        NEAR * near + LIKING * liked + SPREAD * crowd + TAINTS * averse + images
    }
}

impl Prefer {
    /// A node is about to be given to a pod for the first time.
    fn gives(&self, truth: &Truth, bind: Bind<'_>, pod: &Pod) -> Result<(), Broken> {
        let Bind { told, key, node, .. } = bind;
        let Some(strategy) = strategy(truth, pod).filter(|_| is_reckoned(pod)) else { return Ok(()) };
        let Some(nodes) = placed::nodes(told) else { return Ok(()) };
        let Some(here) = nodes.iter().position(|one| one.metadata.name == *node) else { return Ok(()) };
        // Which nodes there are decides what others count.
        let is_known = nodes.iter().all(|one| truth.still(one).is_some());
        if !is_known || !is_anything_preferred(told, pod, &nodes) {
            return Ok(());
        }
        let Some(placed) = self.asks.placed(truth, told) else { return Ok(()) };
        if !placed.iter().all(|one| is_weighed(one.pod) && !repels(one.pod, pod)) {
            return Ok(());
        }
        let Ok(says) = says(pod, &nodes, &placed) else { return Ok(()) };
        let loads = by_node(&placed);
        let there = |at: usize| loads.get(&nodes[at].metadata.name).copied().unwrap_or_default();
        if there(here).unsure {
            return Ok(());
        }
        let surely_takes = |at: &usize| {
            let (There { used, unsure, .. }, one) = (there(*at), nodes[*at]);
            !unsure && takes(one, used, pod) && truth.still(one).is_some_and(|stored| takes(stored, used, pod))
        };
        let takers: Vec<usize> = (0..nodes.len()).filter(|at| *at == here || surely_takes(at)).collect();
        let against = Against { surely: takers.iter().map(|at| &says[*at]).collect(), perhaps: says.iter().collect() };
        let better = takers.into_iter().filter(|at| *at != here).find(|at| {
            let load = surely_more(strategy, pod, (nodes[*at], there(*at)), (nodes[here], there(here)));
            against.more(&says[*at], &says[here], pod) + load > ROUNDING
        });
        match better.map(|at| &nodes[at].metadata.name) {
            Some(better) => {
                let what = format!("{node} is given to {key}, and {better} takes it, for which more counts");
                Err(Broken::by(what).with(truth.object(key)))
            }
            None => Ok(()),
        }
    }
}

impl Checker for Prefer {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Heard, Sight::Sent]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let (Fact::Heard { who, .. } | Fact::Sent { who, .. }) = fact else { return Ok(()) };
        let Some(bind) = self.asks.see(truth, who, fact) else { return Ok(()) };
        let judged = bind.first_of.map_or(Ok(()), |pod| self.gives(truth, bind, pod));
        self.asks.ask(truth, bind);
        judged
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, node, pod, who};
    use super::*;
    use crate::truth::Role;
    use miniku_core::api::object::Key;
    use miniku_core::program::{Answer, CallId, Input, Verb};
    use serde_json::{Value, json};

    fn tell(story: &mut Story<Prefer>, object: Value) -> Object {
        story.shows(&who(Role::Scheduler, "scheduler"), object).unwrap()
    }

    fn bind(story: &mut Story<Prefer>, pod: &str, node: &str) -> Result<(), Broken> {
        let key = Key::new(Kind::Pod, "default", pod);
        let bind = Verb::Bind { key, uid: format!("{pod}-uid").into(), node: node.into() };
        story.sends(&who(Role::Scheduler, "scheduler"), bind)
    }

    fn machine(name: &str) -> Value {
        let mut node = node(name);
        node["metadata"]["labels"] = json!({"host": name});
        node["status"]["allocatable"] = json!({"cpu": "8", "memory": "8Gi", "pods": "99"});
        node["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
        node
    }

    /// A pod of an app, of its name, with these fields in its spec.
    fn of(app: &str, node: &str, spec: &Value) -> Value {
        let mut pod = pod(app, node, if node.is_empty() { "Pending" } else { "Running" });
        pod["metadata"]["labels"] = json!({"app": app});
        pod["spec"]["containers"][0]["resources"]["requests"] = json!({"cpu": "100m", "memory": "100Mi"});
        spec.as_object().into_iter().flatten().for_each(|(field, value)| pod["spec"][field] = value.clone());
        pod
    }

    fn term(app: &str) -> Value {
        json!({"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": "host"})
    }

    /// The affinity of a pod that prefers these apps, by these weights.
    fn prefers(side: &str, apps: &[(&str, i32)]) -> Value {
        let terms = apps.iter().map(|(app, weight)| json!({"weight": weight, "podAffinityTerm": term(app)}));
        let terms: Vec<Value> = terms.collect();
        json!({"affinity": {side: {"preferredDuringSchedulingIgnoredDuringExecution": terms}}})
    }

    /// Three nodes that are alike; a loud pod is on the first one, and a mute one, which says this, on the second.
    fn story(strategy: &str, mute: &Value) -> Story<Prefer> {
        let mut story = Story::<Prefer>::new();
        story.truth.strategies = BTreeMap::from([("default-scheduler".into(), strategy.parse().unwrap())]);
        ["a", "b", "c"].into_iter().for_each(|name| drop(tell(&mut story, machine(name))));
        tell(&mut story, of("loud", "a", &json!({})));
        tell(&mut story, of("mute", "b", mute));
        story
    }

    /// The nodes that a pod which says this may not get.
    fn wrong(story: impl Fn() -> Story<Prefer>, spec: &Value) -> String {
        let is_wrong = |node: &&str| {
            let mut story = story();
            tell(&mut story, of("guest", "", spec));
            bind(&mut story, "guest", node).is_err()
        };
        ["a", "b", "c"].into_iter().filter(is_wrong).collect()
    }

    #[test]
    fn fires_when_pods_are_nearer_that_are_liked_or_farther() {
        let check = |strategy: &str, mute: &Value, spec: &Value, want: &str| {
            assert_eq!(wrong(|| story(strategy, mute), spec), want, "{mute} {spec}");
        };
        let nothing = json!({});
        check("round-robin", &nothing, &nothing, "");
        check("round-robin", &nothing, &prefers("podAffinity", &[("loud", 1)]), "bc");
        check("least-allocated", &nothing, &prefers("podAffinity", &[("loud", 1)]), "bc");
        check("random", &nothing, &prefers("podAntiAffinity", &[("loud", 1)]), "a");
        check("most-allocated", &nothing, &prefers("podAffinity", &[("loud", 10), ("mute", 90)]), "ac");
        check("round-robin", &nothing, &prefers("podAntiAffinity", &[("loud", 10), ("mute", 90)]), "ab");
        // Who is there says something, too; and what it requires counts a little.
        check("round-robin", &prefers("podAffinity", &[("guest", 1)]), &nothing, "ac");
        check("round-robin", &prefers("podAntiAffinity", &[("guest", 50)]), &nothing, "b");
        let required = |side: &str| json!({"affinity": {side: {"requiredDuringSchedulingIgnoredDuringExecution": [term("guest")]}}});
        check("round-robin", &required("podAffinity"), &nothing, "ac");
        // What has to hold is judged elsewhere.
        check("round-robin", &required("podAntiAffinity"), &prefers("podAffinity", &[("loud", 1)]), "");
        check("round-robin", &nothing, &required("podAffinity"), "");
    }

    #[test]
    fn what_is_liked_is_weighed_against_the_load() {
        let loaded = || {
            let mut story = story("least-allocated", &json!({}));
            let mut large = of("large", "a", &json!({}));
            large["spec"]["containers"][0]["resources"]["requests"] = json!({"cpu": "2", "memory": "2Gi"});
            tell(&mut story, large);
            story
        };
        assert_eq!(wrong(loaded, &prefers("podAffinity", &[("loud", 100), ("mute", 95)])), "ac");
        assert_eq!(wrong(loaded, &prefers("podAffinity", &[("loud", 100), ("mute", 50)])), "bc");
    }

    #[test]
    fn fires_when_another_place_is_less_crowded() {
        let spread = |when: &str| {
            json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "host", "whenUnsatisfiable": when,
                "labelSelector": {"matchLabels": {"app": "loud"}}}]})
        };
        let usual = || story("round-robin", &json!({}));
        assert_eq!(wrong(usual, &spread("ScheduleAnyway")), "a");
        assert_eq!(wrong(usual, &spread("DoNotSchedule")), "");
        // Who is going does not count; and a node without the label is no place, of which nothing is known.
        let leaving = || {
            let mut story = usual();
            let mut loud = of("loud", "a", &json!({}));
            loud["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            tell(&mut story, loud);
            story
        };
        assert_eq!(wrong(leaving, &spread("ScheduleAnyway")), "");
        let unlabelled = || {
            let mut story = usual();
            let mut third = machine("c");
            third["metadata"]["labels"] = json!({});
            tell(&mut story, third);
            story
        };
        assert_eq!(wrong(unlabelled, &spread("ScheduleAnyway")), "a");
    }

    #[test]
    fn fires_when_taints_are_not_avoided_or_images_are_not_used() {
        let with = |part: &'static str, field: &'static str, value: Value| {
            move || {
                let mut story = story("round-robin", &json!({}));
                let mut third = machine("c");
                third[part][field] = value.clone();
                tell(&mut story, third);
                story
            }
        };
        let tainted = with("spec", "taints", json!([{"key": "slow", "effect": "PreferNoSchedule"}]));
        assert_eq!(wrong(&tainted, &json!({})), "c");
        assert_eq!(wrong(&tainted, &json!({"tolerations": [{"operator": "Exists"}]})), "");
        let image = |name: &str, mib: i64| json!([{"names": [name], "sizeBytes": mib << 20}]);
        assert_eq!(wrong(with("status", "images", image("busybox:latest", 600)), &json!({})), "ab");
        // It is too small to count, since only one of three nodes has it; or it is another one.
        assert_eq!(wrong(with("status", "images", image("busybox:latest", 60)), &json!({})), "");
        assert_eq!(wrong(with("status", "images", image("busybox:2", 600)), &json!({})), "");
    }

    #[test]
    fn what_is_not_known_is_not_held_against_anybody() {
        let judge = |spoil: &dyn Fn(&mut Story<Prefer>)| {
            let mut story = story("round-robin", &json!({}));
            tell(&mut story, of("first", "", &json!({})));
            bind(&mut story, "first", "b").unwrap();
            tell(&mut story, of("guest", "", &prefers("podAffinity", &[("first", 1)])));
            spoil(&mut story);
            bind(&mut story, "guest", "a").is_err()
        };
        assert!(judge(&|_| {}));
        assert!(judge(&|story| drop(tell(story, of("first", "b", &json!({}))))));
        let lost = |story: &mut Story<Prefer>| {
            let input = Input::Reply { call: CallId(2), answer: Answer::Lost("no answer".into()) };
            story.steps(&who(Role::Scheduler, "scheduler"), input).unwrap();
        };
        assert!(!judge(&lost));
        assert!(!judge(&|story| story.pass(61).unwrap()));
        // It was asked for already.
        assert!(!judge(&|story| drop(bind(story, "guest", "a"))));
        // A node, or the pod that is liked, is gone, of which nothing was told.
        let gone = |kind: Kind, namespace: &'static str, name: &'static str| {
            move |story: &mut Story<Prefer>| {
                let object = story.truth.object(&Key::new(kind, namespace, name)).unwrap().clone();
                story.write(&object, true).unwrap();
            }
        };
        assert!(!judge(&gone(Kind::Node, "", "c")));
        assert!(!judge(&gone(Kind::Pod, "default", "first")));
        // Somebody waits for a node from which others go; or the one that is liked does not take more.
        let kept = |story: &mut Story<Prefer>| {
            let mut waits = of("third", "", &json!({}));
            waits["status"]["nominatedNodeName"] = "b".into();
            tell(story, waits);
        };
        assert!(!judge(&kept));
        let cordoned = |story: &mut Story<Prefer>| {
            let mut second = machine("b");
            second["spec"]["unschedulable"] = true.into();
            tell(story, second);
        };
        assert!(!judge(&cordoned));
    }
}
