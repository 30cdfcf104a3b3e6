//! What each node says to one pod: why it refuses, or what counts for it.
//!
//! For people who ask why a pod is where it is, or where it would go. The same rows are asked as for a decision.

use super::filters::{FILTERS, Looks, Refusal};
use super::nodes::{NodeIndex, Nodes};
use super::scores::{SCORES, WHOLE};
use super::standing::Standing;
use super::strategy::{Strategy, scored};
use crate::decision::Because;
use crate::reasons::NOWHERE;
use std::fmt;
use std::sync::Arc;

/// What one node says.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The node.
    pub node: Arc<str>,
    /// What it says.
    pub what: Saying,
}

/// What a node says to a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Saying {
    /// It does not take it, by this row of [`FILTERS`].
    Refuses {
        /// The row.
        filter: &'static str,
        /// Why.
        refusal: Refusal,
    },
    /// It takes it. By the rows of [`SCORES`], what each gives: up to a hundred times its weight, as in Kubernetes. What
    /// is decided is finer, and the strategy decides where the sums are equal.
    Takes(Vec<(&'static str, i64)>),
}

impl Saying {
    /// What counts for the node altogether; nothing if it refuses.
    pub fn score(&self) -> Option<i64> {
        match self {
            Saying::Refuses { .. } => None,
            Saying::Takes(rows) => Some(rows.iter().map(|(_, score)| score).sum()),
        }
    }
}

/// `node-1: NodeUnschedulable: node(s) were unschedulable`, or `node-1: 187 (NodeResources 87, TaintToleration 100)`.
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            Saying::Refuses { filter, refusal } => write!(f, "{}: {filter}: {refusal}", self.node),
            Saying::Takes(rows) => {
                let scores: Vec<String> = rows
                    .iter()
                    .filter(|(_, score)| *score != 0)
                    .map(|(name, score)| format!("{name} {score}"))
                    .collect();
                write!(f, "{}: {}", self.node, self.what.score().unwrap_or(0))?;
                if scores.is_empty() { Ok(()) } else { write!(f, " ({})", scores.join(", ")) }
            }
        }
    }
}

/// Of so many nodes each is named in what is told of a decision. With more, what is told would cost more than what is
/// decided; `miniku why --what-if` tells what each of them says.
const NAMED: usize = 8;

/// What is told of a pod that gets a node.
pub fn placed(standing: &Standing, nodes: &Nodes, at: NodeIndex, strategy: Strategy) -> Because {
    let row = strategy.row();
    let because = Because::new("scheduler_strategies", row.name, row.why);
    named(because.as_seen(format!("{} of {} node(s)", nodes.name(at), nodes.order().len())), standing, nodes)
}

/// What is told of a pod for which there is no node, and why.
pub fn nowhere(standing: Option<&Standing>, nodes: &Nodes, why: &str) -> Because {
    let because = NOWHERE.because().as_seen(why);
    match standing {
        Some(standing) => named(because, standing, nodes),
        None => because,
    }
}

fn named(mut because: Because, standing: &Standing, nodes: &Nodes) -> Because {
    if nodes.order().len() <= NAMED {
        because.facts.extend(said(standing, nodes).map(|said| said.to_string()));
    }
    because
}

/// What each node says to a pod, in the order of their names.
pub fn said<'a>(standing: &'a Standing, nodes: &'a Nodes) -> impl Iterator<Item = Said> + 'a {
    let mut takers = scored(standing, nodes).into_iter().peekable();
    nodes.order().iter().map(move |at| {
        let node = nodes.name(*at).clone();
        let what = match takers.next_if(|(taker, _)| taker == at) {
            Some((_, scores)) => Saying::Takes(SCORES.iter().map(|row| row.name).zip(scores.map(percent)).collect()),
            None => refuses(standing, nodes, *at),
        };
        Said { node, what }
    })
}

/// Rounded to the nearest.
fn percent(score: i64) -> i64 {
    (score * 100 + WHOLE / 2).div_euclid(WHOLE)
}

fn refuses(standing: &Standing, nodes: &Nodes, at: NodeIndex) -> Saying {
    let node = nodes.facts(at);
    let first = FILTERS.iter().find_map(|filter| {
        let refusal = match filter.looks {
            Looks::Node(refuses) => refuses(&standing.facts, node),
            Looks::Places(refuses) => refuses(standing, nodes, at),
        };
        refusal.map(|refusal| Saying::Refuses { filter: filter.name, refusal })
    });
    first.expect("who takes a pod has scores")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::examples::{node, pod};

    #[test]
    fn each_node_says_why_or_how_much() {
        let mut nodes = Nodes::default();
        for one in
            [node("a"), node("b").cordoned(), node("c").offers("cpu", "1"), node("d").taint("x", "PreferNoSchedule")]
        {
            nodes.set(&one);
        }
        let running = nodes.pod_facts(&pod("r").requests("cpu", "3"), &[]);
        nodes.charge("d", &running, false);
        let facts = nodes.pod_facts(&pod("p").requests("cpu", "1").requests("memory", "1Gi"), &[]);
        let standing = Standing::new(facts, Strategy::default(), &nodes);
        let said: Vec<Said> = said(&standing, &nodes).collect();
        assert_eq!(said[1].to_string(), "b: NodeUnschedulable: node(s) were unschedulable");
        let score = |nth: usize| said[nth].what.score().unwrap();
        assert!(score(0) > score(2) && score(2) > score(3), "{said:?}");
        let Saying::Takes(rows) = &said[3].what else { panic!() };
        assert_eq!(rows.last(), Some(&("TaintToleration", 0)));
        let told = placed(&standing, &nodes, nodes.find("a").unwrap(), Strategy::default());
        assert_eq!((told.facts.len(), &*told.facts[0]), (5, "a of 4 node(s)"));
        assert!(told.facts[1].starts_with("a: "), "{told}");
    }

    #[test]
    fn of_many_nodes_only_the_chosen_one_is_named() {
        let mut nodes = Nodes::default();
        (0..=NAMED).for_each(|nth| drop(nodes.set(&node(&format!("n{nth}")))));
        let facts = nodes.pod_facts(&pod("p"), &[]);
        let standing = Standing::new(facts, Strategy::default(), &nodes);
        let told = placed(&standing, &nodes, nodes.find("n3").unwrap(), Strategy::default());
        assert_eq!(told.facts, ["n3 of 9 node(s)"]);
        assert_eq!(nowhere(Some(&standing), &nodes, "0/9 nodes are available").facts, ["0/9 nodes are available"]);
    }
}
