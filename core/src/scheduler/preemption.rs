//! Which pods have to go so that a more important one finds room.
//!
//! Only less important pods go, and only where that makes the node take the pod. On each such node all of them are
//! thought away, and then given back one by one as long as the pod still fits, the most important first, those whose
//! budget forbids to miss them before the others. Among the nodes the one wins where the least is lost. Pods that are
//! being deleted already cost nothing: where they are enough, nobody has to go.
//!
//! Source: Kubernetes documentation, "Pod Priority and Preemption"; `plugins/defaultpreemption` (`SelectVictimsOnNode`).

use super::facts::PodFacts;
use super::filters::{refusal_by_node, told};
use super::nodes::{NodeFacts, NodeIndex, Nodes};
use super::standing::{Standing, affinity, spread};
use crate::api::budget::PodDisruptionBudget;
use crate::api::kinds::Kind;
use crate::api::meta::{Labels, Time};
use crate::api::object::{Key, Object};
use crate::api::pod::Pod;
use crate::api::selector::LabelSelector;
use crate::api::text::Text;
use crate::pages::Page;
use crate::time::Wall;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A pod that may have to go.
#[derive(Clone, Debug)]
pub struct Victim {
    /// Which.
    pub key: Key,
    /// Its identity.
    pub uid: Text,
    /// Its labels, by which budgets know it.
    pub labels: Labels,
    /// Since when it runs; absent if it does not yet.
    pub started: Option<Time>,
    /// Whether it is being deleted already.
    pub leaving: bool,
    /// What its node gets back.
    pub facts: Arc<PodFacts>,
}

/// How many pods may be missing.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Of which pods of its namespace.
    pub selector: LabelSelector,
    /// So many more.
    pub allowed: i32,
    /// These are counted as missing already.
    pub missing: BTreeSet<Text>,
}

/// Who goes for a pod.
#[derive(Clone, Debug)]
pub struct Preemption {
    /// Where the pod will fit.
    pub node: NodeIndex,
    /// Who has to go, the most important first. Nobody, where it is enough to wait.
    pub victims: Vec<Victim>,
}

/// One thing that is lost if pods go.
pub struct Loss {
    /// What.
    pub name: &'static str,
    /// How much, if these go and so many of them against their budgets.
    pub of: fn(&[Victim], usize) -> i64,
    /// In words.
    pub says: &'static str,
}

/// What decides between nodes: the first row in which they differ, where less is better.
///
/// Source: Kubernetes, `framework/preemption/preemption.go` (`pickOneNodeForPreemption`).
pub const LOSSES: &[Loss] = &[
    Loss {
        name: "budgets",
        of: |_, against| if planted!(BudgetsNotSpared) { 0 } else { against as i64 },
        says: "how many pods go though their PodDisruptionBudget does not allow it",
    },
    Loss { name: "highest", of: |victims, _| highest(victims), says: "the priority of the most important of them" },
    Loss {
        name: "sum",
        // Shifted, so that one more pod is always more.
        of: |victims, _| victims.iter().map(|one| i64::from(one.facts.priority) - i64::from(i32::MIN) + 1).sum(),
        says: "the priorities of all of them, each counted from the lowest there can be",
    },
    Loss { name: "pods", of: |victims, _| victims.len() as i64, says: "how many they are" },
    Loss {
        name: "since",
        of: |victims, _| {
            let most = victims.iter().filter(|one| i64::from(one.facts.priority) == highest(victims));
            most.filter_map(|one| one.started)
                .min()
                .map_or(i64::MIN, |since| -since.wall().since(Wall::default()).as_secs().cast_signed())
        },
        says: "how long the most important of them have run",
    },
];

fn highest(victims: &[Victim]) -> i64 {
    victims.iter().map(|one| i64::from(one.facts.priority)).max().unwrap_or(i64::MIN)
}

/// So many nodes are looked at in detail at least, and a tenth of all.
///
/// Source: Kubernetes, `DefaultPreemptionArgs.minCandidateNodesAbsolute` and `minCandidateNodesPercentage`. Here these are
/// the nodes with the least important pods.
const CANDIDATES_MIN: usize = 100;

impl Victim {
    /// A pod, with its facts.
    pub fn of(pod: &Pod, facts: Arc<PodFacts>) -> Self {
        let meta = &pod.metadata;
        Victim {
            key: Key::new(Kind::Pod, &meta.namespace, &meta.name),
            uid: meta.uid.as_str().into(),
            labels: meta.labels.clone(),
            started: pod.status.start_time,
            leaving: meta.is_deleting(),
            facts,
        }
    }
}

impl Budget {
    /// What an object says, if it is a budget with a selector.
    pub fn of(object: &Object) -> Option<Self> {
        let PodDisruptionBudget { spec, status, .. } = object.read()?;
        let missing = status.disrupted_pods.keys().cloned().collect();
        Some(Budget { selector: spec.selector?, allowed: status.disruptions_allowed, missing })
    }
}

/// Chooses the node, and who goes from it. If there is none, says why not in kube-scheduler's words.
///
/// `pods` tells who is bound to a node, `budgets` what is said of pods of a namespace.
pub fn preempt(
    standing: &mut Standing,
    nodes: &Nodes,
    pods: &dyn Fn(NodeIndex) -> Vec<Victim>,
    budgets: &BTreeMap<Text, Vec<Budget>>,
) -> Result<Preemption, String> {
    let facts = standing.facts.clone();
    let most = if planted!(PreemptsEquals) { facts.priority.saturating_add(1) } else { facts.priority };
    let below = |node: &NodeFacts| node.by_priority.range(..most).next_back().map(|(priority, _)| *priority);
    let (mut candidates, mut reasons) = (Vec::new(), BTreeMap::<Cow<'static, str>, usize>::new());
    let mut count = |reason: &'static str| *reasons.entry(reason.into()).or_insert(0) += 1;
    for (place, at) in nodes.order().iter().enumerate() {
        let node = nodes.facts(*at);
        match (standing.refusal(nodes, *at).is_none_or(|refusal| refusal.ends_with_pods()), below(node)) {
            (false, _) => count("Preemption is not helpful for scheduling"),
            (true, None) => count("No preemption victims found for incoming pod"),
            (true, Some(highest)) if fits_without(&facts, node, most) => candidates.push((highest, place, *at)),
            (true, Some(_)) => count("No preemption victims found for incoming pod"),
        }
    }
    candidates.sort();
    let looked_at = CANDIDATES_MIN.max(nodes.len() / 10);
    let mut best: Option<((Vec<i64>, usize), Preemption)> = None;
    for (nth, (_, place, at)) in candidates.into_iter().enumerate() {
        if nth >= looked_at && best.is_some() {
            break;
        }
        let Some((victims, violating)) = victims(standing, nodes, at, pods(at), budgets) else {
            count("No preemption victims found for incoming pod");
            continue;
        };
        let lost: Vec<i64> = LOSSES.iter().map(|row| (row.of)(&victims, violating)).collect();
        let loss = (lost, place);
        let better = |least: &(Vec<i64>, usize)| if planted!(PreemptsDearest) { loss > *least } else { loss < *least };
        if best.as_ref().is_none_or(|(least, _)| better(least)) {
            best = Some((loss, Preemption { node: at, victims }));
        }
    }
    best.map(|(_, preemption)| preemption).ok_or_else(|| format!("preemption: {}", told(nodes.len(), &reasons)))
}

/// Whether there would be room for a pod on a node if less important ones went, as far as is seen at a glance.
pub fn may_make_room(facts: &PodFacts, node: &NodeFacts) -> bool {
    !planted!(NotWokenByVictims)
        && facts.preempts
        && node.by_priority.range(..facts.priority).next().is_some()
        && fits_without(facts, node, facts.priority)
}

/// Whether the node has enough of everything for the pod if all were gone that are less important than `least`; ports
/// aside.
fn fits_without(facts: &PodFacts, node: &NodeFacts, least: i32) -> bool {
    let (mut cpu, mut memory, mut ephemeral, mut pods) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut add = |one: &super::Amount, count: u64| {
        cpu = cpu.saturating_add(one.cpu_milli);
        memory = memory.saturating_add(one.memory);
        ephemeral = ephemeral.saturating_add(one.ephemeral);
        pods += count;
    };
    for (_, usage) in node.by_priority.range(least..) {
        add(&usage.amount, usage.pods.into());
    }
    let fits = |wanted: u64, used: u64, offered: u64| wanted == 0 || used.saturating_add(wanted) <= offered;
    fits(facts.amount.cpu_milli, cpu, node.allocatable_cpu_milli)
        && fits(facts.amount.memory, memory, node.allocatable_memory)
        && fits(facts.amount.ephemeral, ephemeral, node.allocatable_ephemeral)
        && fits(1, pods, node.allocatable_pods.into())
}

/// Who has to go from a node, and how many of them against a budget. Absent if it does not take the pod whoever goes.
fn victims(
    standing: &mut Standing,
    nodes: &Nodes,
    at: NodeIndex,
    pods: Vec<Victim>,
    budgets: &BTreeMap<Text, Vec<Budget>>,
) -> Option<(Vec<Victim>, usize)> {
    let priority = standing.facts.priority;
    let mut node = nodes.facts(at).clone();
    let mut gone: Vec<Victim> = pods
        .into_iter()
        .filter(|one| one.facts.priority < priority || planted!(PreemptsEquals) && one.facts.priority == priority)
        .collect();
    gone.sort_by_key(|one| (Reverse(one.facts.priority), one.started.is_none(), one.started, one.key.clone()));
    if planted!(LeastGivenBackFirst) {
        gone.reverse();
    }
    for one in &gone {
        move_pod(standing, nodes, at, &mut node, one, false);
    }
    let takes = |standing: &Standing, node: &NodeFacts| {
        refusal_by_node(&standing.facts, node).is_none()
            && spread(standing, nodes, at).or_else(|| affinity(standing, nodes, at)).is_none()
    };
    let helps = takes(standing, &node);
    let mut back = Vec::new();
    if helps {
        let forbidden = against_budgets(&gone, budgets);
        let stays = |nth: &usize| !gone[*nth].leaving;
        let (first, then): (Vec<usize>, Vec<usize>) =
            (0..gone.len()).filter(stays).partition(|nth| forbidden.contains(nth));
        let order: Vec<usize> = first.into_iter().chain(then).collect();
        for nth in order {
            move_pod(standing, nodes, at, &mut node, &gone[nth], true);
            if takes(standing, &node) && !planted!(PreemptsAll) {
                back.push(nth);
            } else {
                move_pod(standing, nodes, at, &mut node, &gone[nth], false);
            }
        }
    }
    // The standing is as it was again: what stayed is back already.
    for (_, one) in gone.iter().enumerate().filter(|(nth, _)| !back.contains(nth)) {
        move_pod(standing, nodes, at, &mut node, one, true);
    }
    if !helps {
        return None;
    }
    let violating =
        against_budgets(&gone, budgets).iter().filter(|nth| !back.contains(*nth) && !gone[**nth].leaving).count();
    let goes = gone.into_iter().enumerate().filter(|(nth, one)| !back.contains(nth) && !one.leaving);
    Some((goes.map(|(_, one)| one).collect(), violating))
}

fn move_pod(standing: &mut Standing, nodes: &Nodes, at: NodeIndex, node: &mut NodeFacts, pod: &Victim, back: bool) {
    let facts = &pod.facts;
    if back {
        node.usage.add(&facts.amount);
    } else {
        node.usage.take(&facts.amount);
    }
    for port in &facts.ports {
        let count = node.ports.entry(port.clone()).or_default();
        *count = if back { *count + 1 } else { count.saturating_sub(1) };
        if *count == 0 {
            node.ports.remove(port);
        }
    }
    standing.imagine(nodes, at, facts, pod.leaving, back);
}

/// Those of the pods that cannot go within their budgets, if they go in this order.
fn against_budgets(pods: &[Victim], budgets: &BTreeMap<Text, Vec<Budget>>) -> BTreeSet<usize> {
    let mut left: BTreeMap<(&str, usize), i32> = BTreeMap::new();
    let mut against = BTreeSet::new();
    for (nth, pod) in pods.iter().enumerate().filter(|(_, pod)| !pod.leaving) {
        let namespace = &*pod.key.namespace;
        for (which, budget) in budgets.get(namespace).into_iter().flatten().enumerate() {
            if !budget.selector.matches(&pod.labels) || budget.missing.contains(&*pod.key.name) {
                continue;
            }
            let left = left.entry((namespace, which)).or_insert(budget.allowed);
            *left -= 1;
            if *left < 0 {
                against.insert(nth);
            }
        }
    }
    against
}

/// The page of who has to go for whom.
pub fn page() -> Page {
    let rows = LOSSES.iter().map(|row| vec![format!("`{}`", row.name), row.says.into()]);
    Page::new("scheduler_preemption", "Who has to go for a more important pod", "the scheduler")
        .says(
            "If no node takes a pod, less important ones may have to go for it, unless its `preemptionPolicy` is `Never`. On \
             each node where pods are the obstacle, all less important ones are thought away. If the node takes the pod \
             then, they are given back one by one as long as it still does: first those whose budget does not allow that \
             they go, then the others, the most important first. The rest would have to go. Pods that are being deleted \
             already cost nothing.",
        )
        .says("The node wins where the least is lost: the first row in which two nodes differ decides, then the name.")
        .lists(file!(), &["loss", "less is better"], rows)
        .says(
            "Those who have to go get the condition `DisruptionTarget` with the reason `PreemptionByScheduler`, and are \
             deleted with the time to end that they ask for. The pod's `status.nominatedNodeName` says where it will go; until \
             then nobody who is not more important gets that room, or comes near it if one of the two minds. Of two that \
             are as important and wait for one node, the first does not wait for the other.",
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::Strategy;
    use crate::scheduler::examples::{PodExample, node, pod};
    use quickcheck::quickcheck;
    use serde_json::json;

    /// Nodes with 4 processors each, and who is on them: `node name priority cpu`, the oldest first.
    struct Cluster {
        nodes: Nodes,
        on: BTreeMap<NodeIndex, Vec<Victim>>,
        budgets: BTreeMap<Text, Vec<Budget>>,
    }

    impl Cluster {
        fn of(names: &[&str], pods: &[(&str, PodExample)]) -> Self {
            let mut cluster = Cluster { nodes: Nodes::default(), on: BTreeMap::new(), budgets: BTreeMap::new() };
            for name in names {
                cluster.nodes.set(&node(name).label("host", name));
            }
            for (nth, (place, pod)) in pods.iter().enumerate() {
                let facts = cluster.nodes.pod_facts(pod, &[]);
                let leaving = pod.metadata.is_deleting();
                let at = cluster.nodes.charge(place, &facts, leaving);
                cluster.on.entry(at).or_default().push(Victim {
                    key: Key::new(crate::api::kinds::Kind::Pod, "default", &pod.metadata.name),
                    uid: pod.metadata.uid.clone(),
                    labels: pod.metadata.labels.clone(),
                    started: Some(Time::of(Wall::from_secs(nth as i64))),
                    leaving,
                    facts,
                });
            }
            cluster
        }

        fn budget(mut self, app: &str, allowed: i32) -> Self {
            let selector = serde_json::from_value(json!({"matchLabels": {"app": app}})).unwrap();
            let budget = Budget { selector, allowed, missing: BTreeSet::new() };
            self.budgets.entry("default".into()).or_default().push(budget);
            self
        }

        /// Where the pod will go, and who has to go for it: `n1: a b`.
        fn preempts(&mut self, pod: &PodExample) -> String {
            let facts = self.nodes.pod_facts(pod, &[]);
            let mut standing = Standing::new(facts, Strategy::default(), &self.nodes);
            let before = format!("{standing:?}");
            let on = |at: NodeIndex| self.on.get(&at).cloned().unwrap_or_default();
            let found = preempt(&mut standing, &self.nodes, &on, &self.budgets);
            assert_eq!(format!("{standing:?}"), before, "what was thought away is back");
            match found {
                Ok(Preemption { node, victims }) => {
                    let names: Vec<&str> = victims.iter().map(|one| &*one.key.name).collect();
                    format!("{}: {}", self.nodes.name(node), names.join(" "))
                }
                Err(told) => told,
            }
        }
    }

    fn sized(name: &str, priority: i32, cpu: &str) -> PodExample {
        pod(name).priority(priority).requests("cpu", cpu)
    }

    #[test]
    fn the_fewest_and_least_important_go() {
        let check = |pods: &[(&str, PodExample)], wants: PodExample, want: &str| {
            assert_eq!(Cluster::of(&["n1", "n2"], pods).preempts(&wants), want);
        };
        let full = |n1: i32, n2: i32| [("n1", sized("a", n1, "4")), ("n2", sized("b", n2, "4"))];
        check(&full(1, 2), sized("p", 9, "1"), "n1: a");
        check(&full(2, 1), sized("p", 9, "1"), "n2: b");
        // The same loss: who has run for less long goes.
        check(&full(1, 1), sized("p", 9, "1"), "n2: b");
        check(&full(9, 2), sized("p", 9, "1"), "n2: b");
        let none = "preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.";
        check(&full(9, 9), sized("p", 9, "1"), none);
        let never = "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.";
        check(&full(1, 1), sized("p", 9, "5"), never);
        // Only as many as it takes, and the less important of them.
        let three = || [("n1", sized("a", 1, "2")), ("n1", sized("b", 2, "2")), ("n2", sized("c", 3, "4"))];
        check(&three(), sized("p", 9, "2"), "n1: a");
        check(&three(), sized("p", 9, "3"), "n1: b a");
        check(&three(), sized("p", 2, "2"), "n1: a");
        // One more important one is worse than several.
        let many = [("n1", sized("a", 1, "2")), ("n1", sized("b", 1, "2")), ("n2", sized("c", 2, "4"))];
        check(&many, sized("p", 9, "4"), "n1: a b");
    }

    #[test]
    fn who_is_leaving_already_costs_nothing() {
        let mut leaving = sized("a", 1, "4");
        leaving.0.metadata.deletion_timestamp = Some(Default::default());
        let pods = [("n1", leaving), ("n2", sized("b", 0, "4"))];
        assert_eq!(Cluster::of(&["n1", "n2"], &pods).preempts(&sized("p", 9, "1")), "n1: ");
    }

    #[test]
    fn budgets_are_respected_as_far_as_can_be() {
        let app = |name: &str, priority, app: &str| sized(name, priority, "4").label("app", app);
        let pods = [("n1", app("a", 1, "web")), ("n2", app("b", 5, "db"))];
        let mut free = Cluster::of(&["n1", "n2"], &pods).budget("web", 1);
        assert_eq!(free.preempts(&sized("p", 9, "1")), "n1: a");
        let mut spent = Cluster::of(&["n1", "n2"], &pods).budget("web", 0);
        assert_eq!(spent.preempts(&sized("p", 9, "1")), "n2: b");
        let mut both = Cluster::of(&["n1", "n2"], &pods).budget("web", 0).budget("db", 0);
        assert_eq!(both.preempts(&sized("p", 9, "1")), "n1: a");
        // On one node those without a budget go first, even if they are more important.
        let small = |name: &str, priority, app: &str| sized(name, priority, "2").label("app", app);
        let pods = [("n1", small("a", 1, "web")), ("n1", small("b", 5, "db"))];
        let mut one = Cluster::of(&["n1"], &pods).budget("web", 0);
        assert_eq!(one.preempts(&sized("p", 9, "2")), "n1: b");
    }

    #[test]
    fn anti_affinity_and_ports_make_pods_go_too() {
        let away = json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            [{"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "host"}]}}});
        let pods = [("n1", sized("a", 1, "1").label("app", "web")), ("n1", sized("b", 1, "1"))];
        assert_eq!(Cluster::of(&["n1"], &pods).preempts(&sized("p", 9, "1").spec(away)), "n1: a");
        let port = json!({"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": 80}]}]});
        let pods = [("n1", pod("a").priority(1).spec(port.clone())), ("n1", pod("b").priority(1))];
        assert_eq!(Cluster::of(&["n1"], &pods).preempts(&pod("p").priority(9).spec(port)), "n1: a");
    }

    quickcheck! {
        /// None of the victims could stay: with any of them back the pod does not fit.
        fn victims_are_no_more_than_needed(there: Vec<(bool, u8, u8)>, cpu: u8) -> bool {
            let there: Vec<(u32, i32, u32)> =
                there.iter().take(20).map(|(on, priority, cpu)| (u32::from(*on), i32::from(priority % 8), u32::from(*cpu) * 8)).collect();
            let pods: Vec<(&str, PodExample)> = there
                .iter()
                .enumerate()
                .map(|(nth, (on, priority, cpu))| (["n1", "n2"][*on as usize], sized(&format!("v{nth}"), *priority, &format!("{cpu}m"))))
                .collect();
            let wanted = u32::from(cpu) * 16;
            let found = Cluster::of(&["n1", "n2"], &pods).preempts(&sized("p", 5, &format!("{wanted}m")));
            let Some((node, victims)) = found.split_once(": ").filter(|(node, _)| node.len() == 2) else { return true };
            let place = if node == "n1" { 0 } else { 1 };
            let used: u32 = there.iter().filter(|(on, ..)| *on == place).map(|(.., cpu)| cpu).sum();
            let gone: Vec<(i32, u32)> = victims
                .split(' ')
                .filter(|name| !name.is_empty())
                .map(|name| there[name[1..].parse::<usize>().unwrap()])
                .map(|(_, priority, cpu)| (priority, cpu))
                .collect();
            let freed: u32 = gone.iter().map(|(_, cpu)| cpu).sum();
            gone.iter().all(|(priority, _)| *priority < 5)
                && (wanted == 0 || used - freed + wanted <= 4000)
                && gone.iter().all(|(_, cpu)| wanted > 0 && used - freed + cpu + wanted > 4000)
        }
    }
}
