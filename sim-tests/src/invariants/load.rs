//! S-load: Of the nodes that surely take a pod which minds no other pods, as far as the scheduler was told, none is passed over that the pod prefers, or else its strategy, to the one that the pod gets.
//!
//! What was asked for counts on its node while nothing went wrong since; a node of which more is unknown is neither
//! blamed nor held against another. A bind that is asked for once more goes where the first one went, whatever the
//! nodes are by then. What a pod prefers and what its strategy does is weighed as both count together. Of draws nobody
//! can know what they are to be, but that they do not name one node for ever.
//! Catches: a strategy upside down, or that of another; a turn that does not go on; what counts for a pod without
//! requests; preferred node affinity that is not looked at, or weighs nothing.

use super::each::Each;
use super::neighbours::has_neighbours;
use super::placed::{self, Asks, Bind, There, by_node, ranked, takes};
use super::wants::{offers, wants};
use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::node::Node;
use miniku_core::api::pod::Pod;
use miniku_core::api::taint::{PREFER_NO_SCHEDULE, untolerated};
use miniku_core::api::text::Text;
use miniku_core::scheduler::{Shape, Strategy};
use std::collections::BTreeSet;

/// All of a resource, where shares of it are counted.
pub(super) const WHOLE: i64 = 1 << 14;
/// What may be lost by rounding.
const ROUNDING: i64 = 16;
/// The same where a shape makes much of little.
const ROUNDING_OF_SHAPES: i64 = WHOLE / 50;
/// So often in a row the draws of different pods name no one node where there is another: one of 2^29 times.
const DRAWS: u32 = 30;

/// One for each scheduler.
pub type Loads = Each<Load>;

/// What the scheduler's present life has asked for and said.
#[derive(Default)]
pub struct Load {
    asks: Asks,
    /// The node that was chosen last; several, where that is not known.
    last: BTreeSet<Text>,
    /// The node that was drawn last where there was another, and how often in a row.
    drawn: (Text, u32),
}

/// The strategy by which a pod gets its node, if nothing else counts but its preferred node affinity: no other pods, no
/// volumes, and nothing that is not reckoned here.
fn strategy(truth: &Truth, pod: &Pod) -> Option<Strategy> {
    let is_alone = !has_neighbours(pod) && pod.spec.topology_spread_constraints.is_empty();
    placed::strategy(truth, pod).filter(|_| is_alone)
}

/// Whether something counts for a node or against it beside its load.
pub(super) fn is_singular(node: &Node, pod: &Pod) -> bool {
    let averse = untolerated(&node.spec.taints, &pod.spec.tolerations, &[PREFER_NO_SCHEDULE]).next().is_some();
    averse || !node.status.images.is_empty()
}

/// The weights of the preferred terms that select a node.
pub(super) fn liking(node: &Node, pod: &Pod) -> i64 {
    let terms = pod.spec.preferred_nodes().iter();
    let selecting = terms.filter(|one| one.preference.selects(&node.metadata.name, &node.metadata.labels));
    selecting.map(|one| i64::from(one.weight.clamp(0, 100))).sum()
}

/// How often preferred node affinity counts, where load counts once.
///
/// Source: Kubernetes, `pkg/scheduler/apis/config/v1/default_plugins.go`.
pub(super) const LIKING: i64 = 2;

fn share(used: u64, offered: u64) -> i64 {
    let whole = u128::from(used.min(offered)) * u128::from(WHOLE.unsigned_abs());
    // Nothing offered counts as nothing left.
    whole.checked_div(u128::from(offered)).map_or(WHOLE, |share| i64::try_from(share).unwrap_or(WHOLE))
}

/// What a share in use is worth by a shape: on the straight lines between its points.
fn worth(shape: Shape, used: i64) -> i64 {
    let point = |point: &str| {
        let (percent, worth) = point.split_once(':')?;
        Some((percent.parse::<i64>().ok()? * WHOLE / 100, worth.parse::<i64>().ok()? * WHOLE / 10))
    };
    let points: Vec<(i64, i64)> = shape.to_string().split(',').filter_map(point).collect();
    match points.iter().position(|(at, _)| *at >= used) {
        Some(0) => points[0].1,
        Some(next) => {
            let ((from, was), (to, then)) = (points[next - 1], points[next]);
            was + (then - was) * (used - from) / (to - from)
        }
        None => points.last().map_or(0, |(_, worth)| *worth),
    }
}

/// What a node with a pod on it is worth by its load: what the strategy says of cpu and memory, on average, and how alike
/// the shares of both are that are requested.
fn value(strategy: Strategy, node: &Node, there: There, pod: &Pod) -> i64 {
    let (offered, ranked, wanted) = (offers(node, 0), ranked(pod), wants(pod));
    let each = |at: usize| {
        let used = share(there.ranked[at].saturating_add(ranked[at]), offered[at]);
        match strategy {
            Strategy::LeastAllocated => WHOLE - used,
            Strategy::MostAllocated => used,
            Strategy::RequestedToCapacity(shape) => worth(shape, used),
            Strategy::RoundRobin | Strategy::Random => 0,
        }
    };
    let requested = |at: usize| match offered[at] {
        0 => 0,
        offered => share(there.used[at].saturating_add(wanted[at]), offered),
    };
    let alike = if wanted[..2] == [0, 0] { 0 } else { WHOLE - (requested(0) - requested(1)).abs() / 2 };
    (each(0) + each(1)) / 2 + alike
}

impl Load {
    /// A node is about to be given to a pod for the first time.
    fn gives(&mut self, truth: &Truth, bind: Bind<'_>, pod: &Pod) -> Result<(), Broken> {
        let Bind { told, key, node, .. } = bind;
        let Some(strategy) = strategy(truth, pod) else { return Ok(()) };
        let Some(nodes) = placed::nodes(told) else { return Ok(()) };
        let here = nodes.iter().find(|one| one.metadata.name == *node).copied();
        let Some(here) = here.filter(|here| !is_singular(here, pod)) else { return Ok(()) };
        // Where pods have a say in where others are, more counts than load.
        let alone = self.asks.placed(truth, told).filter(|all| !all.iter().any(|one| has_neighbours(one.pod)));
        let Some(placed) = alone.map(|all| by_node(&all)) else { return Ok(()) };
        let there = |node: &Node| placed.get(&node.metadata.name).copied().unwrap_or_default();
        let most = nodes.iter().map(|one| liking(one, pod)).max().unwrap_or(0);
        let others = nodes.into_iter().filter(|one| {
            let (is_other, used) = (one.metadata.name != *node && !there(one).unsure, there(one).used);
            let surely = || truth.still(one).is_some_and(|stored| takes(stored, used, pod));
            is_other && !is_singular(one, pod) && takes(one, used, pod) && surely()
        });
        let others: Vec<&Node> = others.collect();
        let likes = liking(here, pod);
        // Each node counts by the one that is liked most of those that take the pod: which that is has to be known.
        if likes != most && others.iter().all(|one| liking(one, pod) != most) {
            return Ok(());
        }
        let goes_by_load = !matches!(strategy, Strategy::RoundRobin | Strategy::Random);
        let mut others = others.into_iter().filter(|one| goes_by_load || liking(one, pod) >= likes);
        let better = match strategy {
            Strategy::RoundRobin | Strategy::Random if likes != most => others.find(|one| liking(one, pod) > likes),
            Strategy::RoundRobin => {
                let others: Vec<&Node> = others.collect();
                self.skipped(here, &others)
            }
            Strategy::Random => self.never_drawn(node, others.next()),
            Strategy::LeastAllocated | Strategy::MostAllocated | Strategy::RequestedToCapacity(_) => {
                let mine = there(here);
                if mine.unsure {
                    return Ok(());
                }
                let by_liking = |one: &Node| LIKING * (liking(one, pod) * WHOLE).checked_div(most).unwrap_or(0);
                others.find(|one| {
                    let more = by_liking(one) - by_liking(here);
                    is_better(strategy, pod, more, (one, there(one)), (here, mine))
                })
            }
        };
        match better.map(|better| &better.metadata.name) {
            Some(better) => {
                let what = format!("{node} is given to {key}, and {better} takes it, which comes first by {strategy}");
                Err(Broken::by(what).with(truth.object(key)))
            }
            None => Ok(()),
        }
    }

    /// Which of the others would have been next, whichever node was chosen last.
    fn skipped<'a>(&self, here: &Node, others: &[&'a Node]) -> Option<&'a Node> {
        let turn = |last: &str, one: &Node| (one.metadata.name.as_str() <= last, one.metadata.name.clone());
        let skipped = |last: &str| others.iter().copied().find(|one| turn(last, one) < turn(last, here));
        let lasts = self.last.iter().map(Text::as_str);
        // Before the first choice it begins with the first, which comes after no name.
        let lasts = lasts.chain(Some("").filter(|_| self.last.is_empty()));
        lasts.map(skipped).collect::<Option<Vec<&Node>>>().and_then(|skipped| skipped.first().copied())
    }

    /// A node is drawn, where there may be another: that one, if this was drawn too often in a row.
    fn never_drawn<'a>(&mut self, node: &Text, other: Option<&'a Node>) -> Option<&'a Node> {
        if other.is_some() {
            let (last, often) = &mut self.drawn;
            *often = if *last == *node { *often + 1 } else { 1 };
            *last = node.clone();
        }
        other.filter(|_| self.drawn.1 >= DRAWS)
    }
}

/// Whether a strategy that looks at the load surely prefers one node to another, which the pod likes so much more: by
/// their worth; where all is alike, by the number of pods, and then by the name.
fn is_better(
    strategy: Strategy,
    pod: &Pod,
    liked: i64,
    (one, there): (&Node, There),
    (here, mine): (&Node, There),
) -> bool {
    let more = liked + value(strategy, one, there, pod) - value(strategy, here, mine, pod);
    let rank = |node: &Node, there: There| {
        let pods = there.used[2].cast_signed();
        (if strategy == Strategy::MostAllocated { -pods } else { pods }, node.metadata.name.clone())
    };
    more > rounding(strategy)
        || liked == 0 && looks_at(one, there) == looks_at(here, mine) && rank(one, there) < rank(here, mine)
}

/// What may be lost by rounding where a node's load is valued by a strategy.
fn rounding(strategy: Strategy) -> i64 {
    if matches!(strategy, Strategy::RequestedToCapacity(_)) { ROUNDING_OF_SHAPES } else { ROUNDING }
}

/// What is looked at of a node's load, in processors and memory: what there is, what is used, and by what it is ranked.
fn looks_at(node: &Node, there: There) -> [[u64; 2]; 3] {
    let [cpu, memory, ..] = offers(node, 0);
    [[cpu, memory], [there.used[0], there.used[1]], there.ranked]
}

/// How much more a node surely is worth for a pod by its load than another; less, if it may be less.
pub(super) fn surely_more(
    strategy: Strategy,
    pod: &Pod,
    (one, there): (&Node, There),
    (here, mine): (&Node, There),
) -> i64 {
    let looks_at_load = !matches!(strategy, Strategy::RoundRobin | Strategy::Random);
    if !looks_at_load || looks_at(one, there) == looks_at(here, mine) {
        return 0;
    }
    value(strategy, one, there, pod) - value(strategy, here, mine, pod) - rounding(strategy)
}

impl Checker for Load {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Heard, Sight::Sent]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let (Fact::Heard { who, .. } | Fact::Sent { who, .. }) = fact else { return Ok(()) };
        if !self.asks.are_of(who) {
            *self = Load::default();
        }
        let Some(bind) = self.asks.see(truth, who, fact) else { return Ok(()) };
        let judged = bind.first_of.map_or(Ok(()), |pod| self.gives(truth, bind, pod));
        if bind.first_of.is_some() {
            self.last.clear();
        }
        self.last.insert(bind.node.clone());
        self.asks.ask(truth, bind);
        judged
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, node, pod, who};
    use super::*;
    use crate::truth::Role;
    use miniku_core::api::kinds::Kind;
    use miniku_core::api::object::Key;
    use miniku_core::program::{Answer, CallId, Input, Verb};
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    fn tell(story: &mut Story<Load>, object: Value) {
        story.shows(&who(Role::Scheduler, "scheduler"), object).unwrap();
    }

    fn bind(story: &mut Story<Load>, pod: &str, node: &str) -> Result<(), Broken> {
        let key = Key::new(Kind::Pod, "default", pod);
        let bind = Verb::Bind { key, uid: format!("{pod}-uid").into(), node: node.into() };
        story.sends(&who(Role::Scheduler, "scheduler"), bind)
    }

    fn machine(name: &str) -> Value {
        let mut node = node(name);
        node["status"]["allocatable"] = json!({"cpu": "8", "memory": "8Gi", "pods": "99"});
        node["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
        node
    }

    /// Three nodes that are alike.
    fn story(strategy: &str) -> Story<Load> {
        let mut story = Story::<Load>::new();
        story.truth.strategies = BTreeMap::from([("default-scheduler".into(), strategy.parse().unwrap())]);
        ["a", "b", "c"].into_iter().for_each(|name| tell(&mut story, machine(name)));
        story
    }

    fn wants(name: &str, cpu: &str, memory: &str) -> Value {
        let mut pod = pod(name, "", "Pending");
        pod["spec"]["containers"][0]["resources"]["requests"] = json!({"cpu": cpu, "memory": memory});
        pod
    }

    /// Pods get these nodes, one after the other: how many of them rightly.
    fn rightly(strategy: &str, nodes: &str) -> usize {
        let mut story = story(strategy);
        let mut binds = nodes.chars().enumerate().map(|(nth, node)| {
            let name = format!("p{nth}");
            tell(&mut story, wants(&name, "1", "1Gi"));
            bind(&mut story, &name, &node.to_string())
        });
        binds.position(|bound| bound.is_err()).unwrap_or(nodes.len())
    }

    #[test]
    fn fires_when_another_node_is_preferred() {
        let check = |strategy: &str, nodes: &str, want: usize| assert_eq!(rightly(strategy, nodes), want, "{strategy}");
        check("least-allocated", "abcabc", 6);
        check("least-allocated", "aa", 1);
        check("least-allocated", "b", 0);
        check("least-allocated", "acb", 1);
        check("most-allocated", "aaaaaaaab", 9);
        check("most-allocated", "aab", 2);
        check("requested-to-capacity=0:0,25:10,30:0", "aabbcc", 6);
        check("requested-to-capacity=0:0,25:10,30:0", "aaa", 2);
        check("requested-to-capacity", "aab", 2);
        check("round-robin", "abcabca", 7);
        check("round-robin", "aa", 1);
        check("round-robin", "ac", 1);
        check("round-robin", "abca", 4);
        check("round-robin", "b", 0);
    }

    #[test]
    fn draws_do_not_name_one_node_for_ever() {
        let mut story = story("random");
        let mut draw = |nth: u32, node: &str| {
            let name = format!("p{nth}");
            tell(&mut story, wants(&name, "10m", "1Mi"));
            bind(&mut story, &name, node)
        };
        (0..DRAWS - 1).for_each(|nth| draw(nth, "b").unwrap());
        draw(50, "c").unwrap();
        (60..60 + DRAWS - 1).for_each(|nth| draw(nth, "c").unwrap_or_else(|broken| assert_eq!(nth, 88, "{broken:?}")));
        assert!(draw(99, "c").is_err());
    }

    #[test]
    fn what_is_not_known_is_not_held_against_anybody() {
        let judge = |spoil: &dyn Fn(&mut Story<Load>)| {
            let mut story = story("least-allocated");
            tell(&mut story, wants("first", "1", "1Gi"));
            bind(&mut story, "first", "a").unwrap();
            tell(&mut story, wants("second", "1", "1Gi"));
            spoil(&mut story);
            bind(&mut story, "second", "a").is_err()
        };
        assert!(judge(&|_| {}));
        assert!(judge(&|story| tell(story, pod("first", "a", "Running"))));
        let lost = |story: &mut Story<Load>| {
            let input = Input::Reply { call: CallId(2), answer: Answer::Lost("no answer".into()) };
            story.steps(&who(Role::Scheduler, "scheduler"), input).unwrap();
        };
        assert!(!judge(&lost));
        assert!(!judge(&|story| story.pass(61).unwrap()));
        // It was asked for there already.
        assert!(!judge(&|story| drop(bind(story, "second", "a"))));
        // Other nodes have something against it, or are kept for somebody.
        let taint = |story: &mut Story<Load>| {
            for name in ["b", "c"] {
                let mut node = machine(name);
                node["spec"]["taints"] = json!([{"key": "slow", "effect": "PreferNoSchedule"}]);
                tell(story, node);
            }
        };
        assert!(!judge(&taint));
        let kept = |story: &mut Story<Load>| {
            let mut waits = wants("third", "1", "1Gi");
            waits["status"]["nominatedNodeName"] = "b".into();
            tell(story, waits);
        };
        assert!(!judge(&kept));
    }

    #[test]
    fn fires_when_a_node_is_preferred_that_takes_the_pod() {
        let judge = |strategy: &str, node: &str, likes: [(&str, i32); 2]| {
            let mut story = story(strategy);
            tell(&mut story, wants("first", "2", "2Gi"));
            bind(&mut story, "first", "a").unwrap();
            let term = |(node, weight): (&str, i32)| {
                let fields = json!([{"key": "metadata.name", "operator": "In", "values": [node]}]);
                json!({"weight": weight, "preference": {"matchFields": fields}})
            };
            let mut pod = wants("second", "10m", "1Mi");
            pod["spec"]["affinity"] =
                json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": likes.map(term)}});
            tell(&mut story, pod);
            bind(&mut story, "second", node).is_err()
        };
        for strategy in ["least-allocated", "most-allocated", "round-robin", "random"] {
            assert!(!judge(strategy, "c", [("b", 1), ("c", 100)]), "{strategy}");
            assert!(judge(strategy, "a", [("b", 1), ("c", 100)]), "{strategy}");
            assert!(judge(strategy, "b", [("b", 1), ("c", 100)]), "{strategy}");
            assert!(judge(strategy, "c", [("b", 100), ("c", 1)]), "{strategy}");
        }
        // What it likes a little less has much less on it; what it likes much less has not.
        assert!(judge("least-allocated", "a", [("a", 100), ("b", 95)]));
        assert!(!judge("least-allocated", "b", [("a", 100), ("b", 95)]));
        assert!(judge("least-allocated", "b", [("a", 100), ("b", 50)]));
    }

    #[test]
    fn what_requests_nothing_counts_nevertheless() {
        let mut story = story("least-allocated");
        let mut silent = |name: &str, node: &str| {
            let mut pod = pod(name, "", "Pending");
            pod["spec"]["containers"][0]["resources"] = json!({});
            tell(&mut story, pod);
            bind(&mut story, name, node)
        };
        silent("p", "a").unwrap();
        assert!(silent("q", "a").is_err());
        assert_eq!(ranked(crate::plan::object(wants("r", "1", "1Gi")).get().unwrap()), [1_000, 1 << 30]);
    }
}
