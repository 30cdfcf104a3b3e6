//! What each node says to one pod: why it refuses, or what counts for it.
//!
//! For people who ask why a pod is where it is, or where it would go. The same rows are asked as for a decision.

use super::filters::{FILTERS, Looks, Refusal};
use super::nodes::Nodes;
use super::scores::SCORES;
use super::standing::Standing;
use super::strategy::{Strategy, scored};
use crate::api::namespace::Namespace;
use crate::api::node::Node;
use crate::api::node_affinity::NodeSelector;
use crate::api::pod::Pod;
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
    /// It takes it. By the rows of [`SCORES`], what each gives, its weight included; the strategy decides where the sums
    /// are equal.
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

/// The nodes and what is bound to them, from objects as they are stored.
pub fn view<'a>(
    nodes: impl Iterator<Item = &'a Node>,
    pods: impl Iterator<Item = &'a Pod>,
    namespaces: impl Iterator<Item = &'a Namespace>,
) -> Nodes {
    let mut all = Nodes::default();
    for namespace in namespaces {
        all.set_namespace(&namespace.metadata.name, Some(&namespace.metadata.labels));
    }
    for node in nodes {
        all.set(node);
    }
    for pod in pods.filter(|pod| !pod.status.phase.is_final()) {
        if let Some(node) = pod.node() {
            let facts = all.pod_facts(pod, &[]);
            all.charge(node, &facts, pod.metadata.is_deleting());
        }
    }
    all
}

/// What each node says to a pod, in the order of their names. `volumes` are the nodes from which its volumes can be
/// reached.
pub fn explain(pod: &Pod, volumes: &[Arc<NodeSelector>], strategy: Strategy, nodes: &mut Nodes) -> Vec<Said> {
    let standing = Standing::new(nodes.pod_facts(pod, volumes), strategy, nodes);
    let mut takers = scored(&standing, nodes).into_iter().peekable();
    let said = nodes.order().iter().map(|at| {
        let node = nodes.name(*at).clone();
        let what = match takers.next_if(|(taker, _)| taker == at) {
            Some((_, scores)) => Saying::Takes(SCORES.iter().map(|row| row.name).zip(scores).collect()),
            None => refuses(&standing, nodes, *at),
        };
        Said { node, what }
    });
    said.collect()
}

fn refuses(standing: &Standing, nodes: &Nodes, at: super::NodeIndex) -> Saying {
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
        let nodes =
            [node("a"), node("b").cordoned(), node("c").offers("cpu", "1"), node("d").taint("x", "PreferNoSchedule")];
        let running = [pod("r").requests("cpu", "3").on("d")];
        let mut all = view(nodes.iter().map(|one| &**one), running.iter().map(|one| &**one), std::iter::empty());
        let said =
            explain(&pod("p").requests("cpu", "1").requests("memory", "1Gi"), &[], Strategy::default(), &mut all);
        let lines: Vec<String> = said
            .iter()
            .map(|one| match &one.what {
                Saying::Refuses { filter, refusal } => format!("{} {filter}: {refusal}", one.node),
                Saying::Takes(_) => format!("{} takes it", one.node),
            })
            .collect();
        assert_eq!(
            lines,
            ["a takes it", "b NodeUnschedulable: node(s) were unschedulable", "c takes it", "d takes it"]
        );
        let score = |nth: usize| said[nth].what.score().unwrap();
        assert!(score(0) > score(2) && score(2) > score(3), "{said:?}");
        let Saying::Takes(rows) = &said[3].what else { panic!() };
        assert_eq!(rows.last(), Some(&("TaintToleration", 0)));
    }
}
