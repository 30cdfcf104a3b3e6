//! What counts for a node, and against it, among those that take a pod.
//!
//! The rows of [`SCORES`] are Kubernetes' score plugins of the same names, with its weights. Integers only: each row
//! gives up to [`WHOLE`], which is finer than Kubernetes' hundred and so ties less often.

use super::facts::PodFacts;
use super::nodes::{NodeFacts, NodeIndex, Nodes};
use super::standing::Standing;
use super::strategy::Strategy;
use crate::api::taint::{PREFER_NO_SCHEDULE, untolerated};
use crate::api::text::Text;
use crate::pages::Page;

/// All that a row can give, and all of a resource, where shares of it are counted.
pub const WHOLE: i64 = 1 << 14;

/// One thing that counts.
pub struct Score {
    /// The Kubernetes plugin that counts this there.
    pub name: &'static str,
    /// How often it counts.
    pub weight: i64,
    /// What is counted on a node; absent if it has nothing of the kind.
    pub raw: fn(&Standing, NodeIndex) -> Option<i64>,
    /// What becomes of that.
    pub scale: Scale,
    /// What it prefers.
    pub prefers: &'static str,
}

/// How what was counted on the nodes that take a pod becomes a score from 0 to [`WHOLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// It is one already.
    Score,
    /// As a part of the highest.
    Highest,
    /// The same, and none is best.
    LeastOfHighest,
    /// From the lowest to the highest.
    Between,
    /// The lowest is best: what is missing to the sum of highest and lowest, as a part of the highest.
    Crowd,
}

/// All that counts, in the order of their names.
///
/// Source: Kubernetes, `pkg/scheduler/apis/config/v1/default_plugins.go`; `plugins/*/` of these names.
pub const SCORES: &[Score] = &[
    Score {
        name: "ImageLocality",
        weight: 1,
        raw: |standing, at| Some(standing.row(at).images.into()),
        scale: Scale::Score,
        prefers: "the pod's images that are there already, by their size from 23 to 1000 MiB for each container; one that \
                  few nodes have counts less, so that not all pods go there",
    },
    Score {
        name: "InterPodAffinity",
        weight: 2,
        raw: |standing, at| Some(standing.liked(at)),
        scale: Scale::Between,
        prefers: "preferred pod affinity and anti-affinity, of the pod and of those that are there; required affinity \
                  of those that are there counts 1",
    },
    Score {
        name: "NodeAffinity",
        weight: 2,
        raw: |standing, at| Some(standing.row(at).affinity.into()),
        scale: Scale::Highest,
        prefers: "the weights of the preferred terms that select the node",
    },
    Score {
        name: "NodeResourcesFit",
        weight: 1,
        raw: |standing, at| Some(standing.row(at).load),
        scale: Scale::Score,
        prefers: "what `--strategy` says of cpu and memory, and with it NodeResourcesBalancedAllocation: that the share \
                  of both in use is about the same",
    },
    Score {
        name: "PodTopologySpread",
        weight: 2,
        raw: |standing, at| standing.crowd(at),
        scale: Scale::Crowd,
        prefers: "constraints with `ScheduleAnyway`: few of the pods that they count in the node's place",
    },
    Score {
        name: "TaintToleration",
        weight: 3,
        raw: |standing, at| Some(standing.row(at).taints.into()),
        scale: Scale::LeastOfHighest,
        prefers: "few taints with `PreferNoSchedule` that the pod does not tolerate",
    },
];

/// How many rows there are.
pub const ROWS: usize = SCORES.len();

/// What was counted on a node, by the rows of [`SCORES`].
pub fn raws(standing: &Standing, at: NodeIndex) -> [Option<i64>; ROWS] {
    std::array::from_fn(|nth| (SCORES[nth].raw)(standing, at))
}

/// Makes scores, already weighted, of what was counted on all nodes that take a pod.
pub fn scaled<T>(all: Vec<(T, [Option<i64>; ROWS])>) -> Vec<(T, [i64; ROWS])> {
    let bounds: [(i64, i64); ROWS] = std::array::from_fn(|nth| {
        let counted = || all.iter().filter_map(|(_, raws)| raws[nth]);
        (counted().min().unwrap_or(0), counted().max().unwrap_or(0))
    });
    let score = |nth: usize, raw: Option<i64>| {
        let (Score { scale, weight, .. }, (lowest, highest)) = (&SCORES[nth], bounds[nth]);
        let part = |of: i64, whole: i64| if whole == 0 { 0 } else { of * WHOLE / whole };
        let Some(raw) = raw else { return 0 };
        weight
            * match scale {
                Scale::Score => raw,
                Scale::Highest => part(raw, highest),
                Scale::LeastOfHighest => WHOLE - part(raw, highest),
                Scale::Between => part(raw - lowest, highest - lowest),
                Scale::Crowd if highest == 0 => WHOLE,
                Scale::Crowd => part(highest + lowest - raw, highest),
            }
    };
    all.into_iter().map(|(at, raws)| (at, std::array::from_fn(|nth| score(nth, raws[nth])))).collect()
}

/// What a node's load counts: NodeResourcesFit by the strategy, and NodeResourcesBalancedAllocation.
pub fn load(pod: &PodFacts, node: &NodeFacts, strategy: Strategy) -> i64 {
    let [cpu, memory] = free_shares(pod, node);
    match strategy {
        Strategy::LeastAllocated if planted!(LoadReversed) => WHOLE - (cpu + memory) / 2 + balance(pod, node),
        Strategy::MostAllocated if planted!(MostIsLeast) => (cpu + memory) / 2 + balance(pod, node),
        Strategy::RequestedToCapacity(_) if planted!(ShapeIgnored) => WHOLE - (cpu + memory) / 2 + balance(pod, node),
        Strategy::LeastAllocated => (cpu + memory) / 2 + balance(pod, node),
        Strategy::MostAllocated => WHOLE - (cpu + memory) / 2 + balance(pod, node),
        Strategy::RequestedToCapacity(shape) => {
            (shape.worth(WHOLE - cpu) + shape.worth(WHOLE - memory)) / 2 + balance(pod, node)
        }
        Strategy::RoundRobin | Strategy::Random => 0,
    }
}

/// The shares of cpu and memory that would be left free: of [`WHOLE`].
fn free_shares(pod: &PodFacts, node: &NodeFacts) -> [i64; 2] {
    let share = |offered: u64, used: u64, more: u64| {
        // Nothing offered counts as nothing left.
        (offered.saturating_sub(used.wrapping_add(more)) * WHOLE as u64).checked_div(offered).unwrap_or(0) as i64
    };
    let (used, more) = (&node.usage.amount, &pod.amount);
    [
        share(node.allocatable_cpu_milli, used.ranked_cpu_milli, more.ranked_cpu_milli),
        share(node.allocatable_memory, used.ranked_memory, more.ranked_memory),
    ]
}

/// How alike the shares of cpu and memory in use would be. Nothing for a pod that requests neither.
///
/// Source: Kubernetes, `plugins/noderesources/balanced_allocation.go`: what is missing to the whole is the standard
/// deviation, which of two shares is half their difference.
fn balance(pod: &PodFacts, node: &NodeFacts) -> i64 {
    if pod.amount.cpu_milli == 0 && pod.amount.memory == 0 {
        return 0;
    }
    let share = |offered: u64, used: u64, more: u64| {
        let used = used.wrapping_add(more).min(offered);
        (used * WHOLE as u64).checked_div(offered).unwrap_or(0) as i64
    };
    let (used, more) = (&node.usage.amount, &pod.amount);
    let cpu = share(node.allocatable_cpu_milli, used.cpu_milli, more.cpu_milli);
    WHOLE - (cpu - share(node.allocatable_memory, used.memory, more.memory)).abs() / 2
}

/// What the images of a pod count that a node has: of [`WHOLE`].
///
/// Source: Kubernetes, `plugins/imagelocality`: `minThreshold`, `maxContainerThreshold`, `scaledImageScore`.
pub fn images(pod: &PodFacts, node: &NodeFacts, nodes: &Nodes) -> i32 {
    const MIB: u128 = 1 << 20;
    if planted!(ImagesIgnored) {
        return 0;
    }
    if node.images.is_empty() || pod.images.is_empty() {
        return 0;
    }
    let (least, most) = (23 * MIB, 1000 * MIB * pod.images.len() as u128);
    let there = |image: &Text| {
        let size = node.images.get(image).copied().unwrap_or(0);
        u128::from(size) * nodes.with_image(image) as u128 / (nodes.len() as u128).max(1)
    };
    let sum: u128 = pod.images.iter().map(there).sum();
    let score = (sum.clamp(least, most) - least) * WHOLE as u128 / (most - least);
    i32::try_from(score).unwrap_or(0)
}

/// How many taints a node has that the pod had rather not.
pub fn taints(pod: &PodFacts, node: &NodeFacts) -> i32 {
    untolerated(&node.taints, &pod.spec.tolerations, &[PREFER_NO_SCHEDULE])
        .filter(|_| !planted!(PreferNoScheduleIgnored))
        .count()
        .try_into()
        .unwrap_or(i32::MAX)
}

/// The weights of the terms of preferred node affinity that select a node.
pub fn affinity(pod: &PodFacts, node: &NodeFacts) -> i32 {
    let terms = pod.spec.preferred_nodes().iter().filter(|term| term.preference.selects(&node.name, &node.labels));
    if planted!(PreferredNodesUnseen) {
        return 0;
    }
    if planted!(PreferencesUnweighed) {
        return terms.count().try_into().unwrap_or(i32::MAX);
    }
    terms.fold(0, |sum, term| sum.saturating_add(term.weight.clamp(0, 100)))
}

/// 1024 times the natural logarithm, rounded down.
pub fn logarithm(number: u64) -> i64 {
    let number = number.max(1);
    let whole = number.ilog2();
    // What is left of the binary logarithm, bit by bit: squaring doubles it.
    let (mut rest, mut binary) = ((u128::from(number) << 32) >> whole, i64::from(whole) << 10);
    for bit in (0..10).rev() {
        rest = (rest * rest) >> 32;
        if rest >> 33 > 0 {
            rest >>= 1;
            binary |= 1 << bit;
        }
    }
    // The natural logarithm of 2, times 1024.
    (binary * 710) >> 10
}

/// The page of the scores.
pub fn page() -> Page {
    let rows = SCORES.iter().map(|row| vec![format!("`{}`", row.name), row.weight.to_string(), row.prefers.into()]);
    Page::new("scheduler_scores", "What counts for a node among those that take a pod", "the scheduler")
        .says(
            "Each row gives a node up to as much as any other row, times its weight: what is counted on it, seen against \
             the nodes that take the pod as well. The node with the most gets the pod. If several have the most, one with \
             fewer pods, or with more where the [strategy](scheduler_strategies.md) fills nodes; then the first by name. \
             With the strategies that do not look at the load, theirs decides among the nodes with the most.",
        )
        .lists(file!(), &["score", "weight", "prefers"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::examples::{node, pod};

    #[test]
    fn images_that_are_there_count() {
        let mut nodes = Nodes::default();
        for one in [node("a"), node("b").has_image("i:latest", 1000), node("c").has_image("i:latest", 20)] {
            nodes.set(&one);
        }
        let facts = nodes.pod_facts(&pod("p"), &[]);
        let mut standing = Standing::new(facts, Strategy::default(), &nodes);
        let counts = |standing: &Standing, nodes: &Nodes| {
            nodes.order().iter().map(|at| standing.row(*at).images).collect::<Vec<_>>()
        };
        // Two of three nodes have it: b counts 666 MiB of 1000, and what is less than 23 counts nothing.
        let two_thirds = (1000 * 2 / 3 - 23) * WHOLE as i32 / (1000 - 23);
        let [a, b, c] = counts(&standing, &nodes)[..] else { panic!() };
        assert!((b - two_thirds).abs() < 20, "{b} is not {two_thirds}");
        assert_eq!((a, c), (0, 0));
        // All of them have it when the first one is gone: it counts more.
        nodes.remove("a");
        standing.follow(&nodes);
        assert_eq!(counts(&standing, &nodes), [WHOLE as i32, 0]);
        assert!(!standing.is_plain());
    }

    #[test]
    fn images_are_known_by_their_full_names() {
        for (image, want) in
            [("i", "i:latest"), ("i:1", "i:1"), ("host:5000/i", "host:5000/i:latest"), ("i@sha256:0", "i@sha256:0")]
        {
            assert_eq!(&*crate::scheduler::facts::full_name(image), want);
        }
    }

    #[test]
    fn logarithms_are_near_enough() {
        for number in [1_u64, 2, 3, 7, 10, 100, 5000, 1 << 40] {
            let exact = (number as f64).ln() * 1024.0;
            assert!((logarithm(number) as f64 - exact).abs() <= 2.0 + exact * 0.001, "{number}");
        }
    }

    #[test]
    fn what_was_counted_is_seen_against_the_others() {
        let nth = |name: &str| SCORES.iter().position(|row| row.name == name).unwrap();
        let check = |name: &str, counted: &[i64], want: &[i64]| {
            let all = counted.iter().map(|raw| ((), [Some(0); ROWS].map(|_| Some(*raw)))).collect();
            let got: Vec<i64> = scaled(all).iter().map(|(_, scores)| scores[nth(name)]).collect();
            let want: Vec<i64> = want.iter().map(|percent| percent * WHOLE * SCORES[nth(name)].weight / 100).collect();
            assert_eq!(got, want, "{name} {counted:?}");
        };
        check("NodeAffinity", &[0, 25, 50], &[0, 50, 100]);
        check("NodeAffinity", &[0, 0], &[0, 0]);
        check("TaintToleration", &[0, 1, 2], &[100, 50, 0]);
        check("TaintToleration", &[0, 0], &[100, 100]);
        check("InterPodAffinity", &[-50, 0, 50], &[0, 50, 100]);
        check("InterPodAffinity", &[7, 7], &[0, 0]);
        check("PodTopologySpread", &[4, 2], &[50, 100]);
        check("PodTopologySpread", &[0, 0], &[100, 100]);
    }
}
