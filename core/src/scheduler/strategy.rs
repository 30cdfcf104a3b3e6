//! Which of the nodes that take a pod gets it.
//!
//! Integers only, and every rank ends in the node's name: equal inputs give equal answers, in whatever order the nodes
//! arrived.

use super::filters::Unschedulable;
use super::nodes::{NodeIndex, Nodes};
use super::scores::{self, ROWS};
use super::standing::{Standing, TAKES};
use crate::pages::Page;
use crate::rng::Draw;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::fmt;

/// How a node is chosen among those that take a pod. Set once, at start-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Strategy {
    /// The node with the most left.
    #[default]
    LeastAllocated,
    /// The node with the least left.
    MostAllocated,
    /// The node whose shares in use are worth most.
    RequestedToCapacity(Shape),
    /// The next node by name.
    RoundRobin,
    /// Any node.
    Random,
}

/// What the share of a resource in use is worth: points between which lie straight lines.
///
/// Source: Kubernetes, kube-scheduler `RequestedToCapacityRatioParam.shape`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shape {
    /// Percent in use, rising, and what that is worth, from 0 to 10.
    points: [(u8, u8); SHAPE_MAX],
    count: u8,
}

/// So many points a shape can have.
const SHAPE_MAX: usize = 8;

impl Shape {
    /// The fuller the better.
    const RISING: Shape =
        Shape { points: [(0, 0), (100, 10), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)], count: 2 };

    fn points(&self) -> &[(u8, u8)] {
        &self.points[..usize::from(self.count)]
    }

    /// What a share in use, of [`scores::WHOLE`], is worth: at most the same.
    pub fn worth(&self, used: i64) -> i64 {
        let points = self.points().iter().map(|(percent, worth)| {
            (i64::from(*percent) * scores::WHOLE / 100, i64::from(*worth) * scores::WHOLE / 10)
        });
        let mut before: Option<(i64, i64)> = None;
        for (at, worth) in points {
            match before {
                _ if used > at => before = Some((at, worth)),
                None => return worth,
                Some((from, was)) => return was + (worth - was) * (used - from) / (at - from),
            }
        }
        before.map_or(0, |(_, worth)| worth)
    }
}

/// As `0:0,100:10`.
impl std::str::FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no shape: expected PERCENT:WORTH,... with rising percents up to 100 and worths up to 10"
            )
        };
        let mut shape = Shape { points: [(0, 0); SHAPE_MAX], count: 0 };
        for point in text.split(',') {
            let (percent, worth) = point.split_once(':').ok_or_else(wrong)?;
            let (percent, worth): (u8, u8) =
                (percent.parse().map_err(|_| wrong())?, worth.parse().map_err(|_| wrong())?);
            let rises = shape.points().last().is_none_or(|(before, _)| *before < percent);
            if !rises || percent > 100 || worth > 10 || usize::from(shape.count) == SHAPE_MAX {
                return Err(wrong());
            }
            shape.points[usize::from(shape.count)] = (percent, worth);
            shape.count += 1;
        }
        Ok(shape)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let points: Vec<String> = self.points().iter().map(|(percent, worth)| format!("{percent}:{worth}")).collect();
        f.write_str(&points.join(","))
    }
}

/// One strategy, for people.
pub struct StrategyRow {
    /// Which.
    pub strategy: Strategy,
    /// What `--strategy` takes. Case does not matter, nor do dashes.
    pub name: &'static str,
    /// What it prefers, and how ties are broken.
    pub prefers: &'static str,
    /// What it is good for.
    pub why: &'static str,
}

/// All strategies, in the order of [`Strategy`].
pub const STRATEGIES: &[StrategyRow] = &[
    StrategyRow {
        strategy: Strategy::LeastAllocated,
        name: "least-allocated",
        prefers: "the largest share of cpu and memory left free, on average; then fewer pods; then the name",
        why: "load is spread, and a lost node takes few pods with it. Kubernetes' default",
    },
    StrategyRow {
        strategy: Strategy::MostAllocated,
        name: "most-allocated",
        prefers: "the smallest share of cpu and memory left free, on average; then more pods; then the name",
        why: "nodes are filled one after the other, so that large pods find room and idle nodes can go",
    },
    StrategyRow {
        strategy: Strategy::RequestedToCapacity(Shape::RISING),
        name: "requested-to-capacity",
        prefers: "what the shares of cpu and memory in use are worth, on average; then fewer pods; then the name. \
                  `requested-to-capacity=0:0,70:10,100:3` says what: at 70 percent most, less when it is full; \
                  `0:0,100:10` if nothing is said",
        why: "nodes are to be used well, and not to the brim",
    },
    StrategyRow {
        strategy: Strategy::RoundRobin,
        name: "round-robin",
        prefers: "the next by name after the node chosen last, from the beginning after the end",
        why: "the simplest that spreads. MiniKu's, Minik8s' and k8s-lite-go's",
    },
    StrategyRow {
        strategy: Strategy::Random,
        name: "random",
        prefers: "the highest draw, made for this pod's uid and the node's name; then the name",
        why: "no node is special. A node more or less moves only the pods that it wins or loses",
    },
];

impl Strategy {
    /// Its row.
    pub fn row(self) -> &'static StrategyRow {
        let nth = match self {
            Strategy::LeastAllocated => 0,
            Strategy::MostAllocated => 1,
            Strategy::RequestedToCapacity(_) => 2,
            Strategy::RoundRobin => 3,
            Strategy::Random => 4,
        };
        &STRATEGIES[nth]
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().name)?;
        match self {
            Strategy::RequestedToCapacity(shape) if *shape != Shape::RISING => write!(f, "={shape}"),
            _ => Ok(()),
        }
    }
}

impl std::str::FromStr for Strategy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |text: &str| text.replace('-', "").to_ascii_lowercase();
        let (name, shape) = text.split_once('=').map_or((text, None), |(name, shape)| (name, Some(shape)));
        let row = STRATEGIES.iter().find(|row| plain(row.name) == plain(name));
        match (row.map(|row| row.strategy), shape) {
            (Some(Strategy::RequestedToCapacity(_)), Some(shape)) => {
                return Ok(Strategy::RequestedToCapacity(shape.parse()?));
            }
            (Some(_), Some(_)) => return Err(format!("{name} takes no shape")),
            _ => {}
        }
        row.map(|row| row.strategy).ok_or_else(|| {
            let names: Vec<&str> = STRATEGIES.iter().map(|row| row.name).collect();
            format!("{text:?} is no strategy: expected one of {}", names.join(", "))
        })
    }
}

/// All that a choice looks at beside the pod and the nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turn<'a> {
    /// How to choose.
    pub strategy: Strategy,
    /// For [`Strategy::Random`].
    pub seed: u64,
    /// The pod's identity, for the same.
    pub uid: &'a str,
    /// The node chosen last, for [`Strategy::RoundRobin`]. It need not exist any more.
    pub last: Option<&'a str>,
}

/// Chooses a node for a pod, or tells why there is none.
///
/// Costs a walk over the nodes, of each of which the [standing](super::standing) has what it says at hand; one more look
/// at each if there is none to choose.
///
/// ```
/// # use miniku_core::{api::{node::*, pod::Pod}, scheduler::*};
/// # let node = |name: &str, cpu: &str| {
/// #     let mut node = Node::default();
/// #     node.metadata.name = name.into();
/// #     node.status.conditions.push(NodeCondition { kind: "Ready".into(), status: "True".into(), ..Default::default() });
/// #     node.status.allocatable =
/// #         [("cpu", cpu), ("memory", "8Gi"), ("pods", "110")].map(|(name, amount)| (name, amount.parse().unwrap())).into();
/// #     node
/// # };
/// let mut nodes = Nodes::default();
/// nodes.set(&node("node-1", "2"));
/// nodes.set(&node("node-2", "4"));
/// let pods = nodes.pod_facts(&Pod::default(), &[]);
/// let standing = Standing::new(pods, Strategy::default(), &nodes);
/// let at = pick(&Turn::default(), &standing, &nodes).unwrap();
/// assert_eq!(&**nodes.name(at), "node-1"); // Equal shares are free, and the name breaks the tie.
/// ```
pub fn pick(turn: &Turn, standing: &Standing, nodes: &Nodes) -> Result<NodeIndex, Unschedulable> {
    let chosen = if standing.is_plain() {
        match turn.strategy {
            Strategy::LeastAllocated | Strategy::MostAllocated | Strategy::RequestedToCapacity(_) => {
                first_that_takes(standing, nodes, |at| (Reverse(standing.row(at).load), crowd(turn, standing, at)))
            }
            Strategy::RoundRobin => nodes.order_after(turn.last).find(|at| standing.takes(nodes, *at)),
            Strategy::Random => first_that_takes(standing, nodes, |at| Reverse(draw(turn, nodes, at))),
        }
    } else {
        among_the_best(turn, standing, nodes, &scored(standing, nodes))
    };
    chosen.ok_or_else(|| Unschedulable::explain(standing, nodes))
}

/// Of the nodes that take a pod the one with the lowest rank. Nodes come in the order of their names, and of equals the
/// first is taken: every rank ends in the name.
fn first_that_takes<R: Ord>(standing: &Standing, nodes: &Nodes, rank: impl Fn(NodeIndex) -> R) -> Option<NodeIndex> {
    let mut best: Option<(R, NodeIndex)> = None;
    for at in nodes.order().iter().copied().filter(|at| standing.row(*at).refused == TAKES) {
        let rank = rank(at);
        // What pods in other places say costs more than a rank, so only those are asked about that would be better.
        if best.as_ref().is_none_or(|(best, _)| rank < *best) && standing.takes(nodes, at) {
            best = Some((rank, at));
        }
    }
    best.map(|(_, at)| at)
}

/// The scores of all nodes that take a pod, in the order of their names.
pub fn scored(standing: &Standing, nodes: &Nodes) -> Vec<(NodeIndex, [i64; ROWS])> {
    let takes = nodes.order().iter().copied().filter(|at| standing.takes(nodes, *at));
    scores::scaled(takes.map(|at| (at, scores::raws(standing, at))).collect())
}

/// The node with the highest score; among several the one that the strategy prefers.
fn among_the_best(
    turn: &Turn,
    standing: &Standing,
    nodes: &Nodes,
    scored: &[(NodeIndex, [i64; ROWS])],
) -> Option<NodeIndex> {
    let sum = |scores: &[i64; ROWS]| scores.iter().sum::<i64>();
    let most = scored.iter().map(|(_, scores)| sum(scores)).max()?;
    let best = || scored.iter().filter(|(_, scores)| sum(scores) == most).map(|(at, _)| *at);
    match turn.strategy {
        Strategy::LeastAllocated | Strategy::MostAllocated | Strategy::RequestedToCapacity(_) => {
            best().min_by_key(|at| crowd(turn, standing, *at))
        }
        Strategy::RoundRobin => {
            let after = |at: &NodeIndex| turn.last.is_none_or(|last| **nodes.name(*at) > *last);
            best().find(after).or_else(|| best().next())
        }
        Strategy::Random => best().min_by_key(|at| Reverse(draw(turn, nodes, *at))),
    }
}

/// What breaks a tie of loads: fewer pods, or more where nodes are filled.
fn crowd(turn: &Turn, standing: &Standing, at: NodeIndex) -> i64 {
    let pods = i64::from(standing.row(at).pods);
    if turn.strategy == Strategy::MostAllocated { -pods } else { pods }
}

fn draw(turn: &Turn, nodes: &Nodes, at: NodeIndex) -> u64 {
    let node = if planted!(DrawsForPods) { 0 } else { nodes.facts(at).draw };
    Draw::new(turn.seed).key("node").key(turn.uid).count(node).u64()
}

/// The page of the strategies.
pub fn page() -> Page {
    let rows = STRATEGIES.iter().map(|row| vec![format!("`{}`", row.name), row.prefers.into(), row.why.into()]);
    Page::new("scheduler_strategies", "Which of the nodes that take a pod gets it", "the scheduler")
        .says(
            "Among the nodes that take a pod, `--strategy` chooses. A container that requests nothing is ranked as if \
             it asked for 100m of cpu and 200Mi of memory, as in Kubernetes, so that such pods spread too.",
        )
        .lists(file!(), &["strategy", "prefers", "why"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::examples::{NodeExample, PodExample, node, pod};
    use quickcheck::quickcheck;

    #[test]
    fn reads_strategies_as_everybody_spells_them() {
        let check = |text: &str, want| assert_eq!(text.parse::<Strategy>().ok(), want, "{text}");
        check("least-allocated", Some(Strategy::LeastAllocated));
        check("MostAllocated", Some(Strategy::MostAllocated));
        check("RoundRobin", Some(Strategy::RoundRobin));
        check("roundrobin", Some(Strategy::RoundRobin));
        check("round-robin", Some(Strategy::RoundRobin));
        check("Random", Some(Strategy::Random));
        check("best", None);
        check("", None);
        check("random=0:0", None);
        let shape = "requested-to-capacity=0:0,70:10,100:3";
        assert_eq!(shape.parse::<Strategy>().unwrap().to_string(), shape);
        for wrong in ["", "0", "0:11", "50:1,50:2", "101:1", "a:b", "0:0,1:1,2:2,3:3,4:4,5:5,6:6,7:7,8:8"] {
            check(&format!("requested-to-capacity={wrong}"), None);
        }
        for row in STRATEGIES {
            assert_eq!(row.strategy.to_string().parse(), Ok(row.strategy));
        }
        assert_eq!(
            "best".parse::<Strategy>().unwrap_err(),
            r#""best" is no strategy: expected one of least-allocated, most-allocated, requested-to-capacity, round-robin, random"#
        );
    }

    /// The nodes that the pods get, one after the other.
    fn places(strategy: Strategy, nodes: &[NodeExample], pods: &[PodExample]) -> String {
        let mut all = Nodes::default();
        for node in nodes {
            all.set(node);
        }
        let (mut last, mut places) = (None, Vec::new());
        for pod in pods {
            let facts = all.pod_facts(pod, &[]);
            let turn = Turn { strategy, seed: 7, uid: &pod.metadata.uid, last: last.as_deref() };
            let standing = Standing::new(facts.clone(), strategy, &all);
            let place = pick(&turn, &standing, &all).map(|at| all.name(at).to_string());
            if let Ok(node) = &place {
                all.charge(node, &facts, false);
                last = Some(node.clone());
            }
            places.push(place.unwrap_or("-".into()));
        }
        places.join(" ")
    }

    #[test]
    fn chooses() {
        let four = || [pod("1"), pod("2"), pod("3"), pod("4")];
        let check = |strategy, nodes: &[NodeExample], pods: &[PodExample], want: &str| {
            assert_eq!(places(strategy, nodes, pods), want, "{strategy}");
        };
        check(Strategy::LeastAllocated, &[node("b"), node("a")], &four(), "a b a b");
        check(Strategy::MostAllocated, &[node("b"), node("a")], &four(), "a a a a");
        check(Strategy::RoundRobin, &[node("b"), node("c"), node("a")], &four(), "a b c a");
        check(Strategy::RoundRobin, &[node("b").cordoned(), node("c"), node("a")], &four(), "a c a c");
        check(Strategy::MostAllocated, &[node("a").offers("pods", "2"), node("b")], &four(), "a a b b");
        // Two of eight fill a quarter of a node; half of it is worth most here.
        let half = "requested-to-capacity=0:0,50:10,100:0".parse().unwrap();
        let quarter = || ["1", "2", "3", "4"].map(|name| pod(name).requests("cpu", "1").requests("memory", "2Gi"));
        check(half, &[node("a"), node("b")], &quarter(), "a a b b");
        // Nodes that tell of no cpu and memory still take what requests none, and share it by number.
        let bare = |name| node(name).offers("cpu", "0").offers("memory", "0");
        check(Strategy::LeastAllocated, &[bare("a"), bare("b")], &four(), "a b a b");
        // A node twice as large gets twice as much.
        let large = || node("b").offers("cpu", "8").offers("memory", "16Gi");
        let six = ["1", "2", "3", "4", "5", "6"].map(|name| pod(name).requests("cpu", "500m"));
        check(Strategy::LeastAllocated, &[node("a"), large()], &six, "b a b b a b");
        check(Strategy::LeastAllocated, &[node("a")], &[pod("1").requests("cpu", "5")], "-");
    }

    #[test]
    fn random_moves_only_the_pods_it_has_to() {
        let pods: Vec<PodExample> = (0..300).map(|nth| pod(&format!("p{nth}"))).collect();
        let names = ["a", "b", "c"].map(|name| node(name).offers("pods", "1000"));
        let three = places(Strategy::Random, &names, &pods);
        let two = places(Strategy::Random, &names[..2], &pods);
        for name in ["a", "b", "c"] {
            let count = three.split(' ').filter(|place| *place == name).count();
            assert!((70..130).contains(&count), "{name} {count}");
        }
        assert!(three.split(' ').zip(two.split(' ')).all(|(before, after)| before == "c" || before == after));
    }

    fn sizes(nodes: &[(u8, u8)], pods: &[(u8, u8)]) -> (Vec<NodeExample>, Vec<PodExample>) {
        let nodes = nodes.iter().enumerate().map(|(nth, (cpu, memory))| {
            node(&format!("n{nth}")).offers("cpu", &format!("{cpu}m")).offers("memory", &memory.to_string())
        });
        let pods = pods.iter().enumerate().map(|(nth, (cpu, memory))| {
            pod(&format!("p{nth}"))
                .requests("cpu", &format!("{}m", cpu / 4))
                .requests("memory", &(memory / 4).to_string())
        });
        (nodes.collect(), pods.collect())
    }

    const ALL: [Strategy; 4] =
        [Strategy::LeastAllocated, Strategy::MostAllocated, Strategy::RoundRobin, Strategy::Random];

    quickcheck! {
        fn never_more_than_a_node_has(nodes: Vec<(u8, u8)>, pods: Vec<(u8, u8)>) -> bool {
            let (examples, pods) = sizes(&nodes, &pods);
            ALL.iter().all(|strategy| {
                let places = places(*strategy, &examples, &pods);
                examples.iter().zip(&nodes).all(|(node, (cpu, memory))| {
                    let here = || places.split(' ').zip(&pods).filter(|(at, _)| *at == node.metadata.name);
                    let used = here().fold((0, 0), |(cpu, memory), (_, pod)| {
                        let (more_cpu, more_memory) = pod.spec.requests();
                        (cpu + more_cpu, memory + more_memory)
                    });
                    used.0 <= u64::from(*cpu) && used.1 <= u64::from(*memory) && here().count() <= 110
                })
            })
        }

        fn the_order_of_nodes_does_not_matter(nodes: Vec<(u8, u8)>, pods: Vec<(u8, u8)>, turn: usize) -> bool {
            let (examples, pods) = sizes(&nodes, &pods);
            let (mut other, _) = sizes(&nodes, &[]);
            other.reverse();
            let len = other.len().max(1);
            other.rotate_left(turn % len);
            ALL.iter().all(|strategy| places(*strategy, &examples, &pods) == places(*strategy, &other, &pods))
        }
    }
}
