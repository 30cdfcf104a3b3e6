//! How pods that are alike stand with all nodes: what each node says to them, kept while they come one after the other.
//!
//! The first pod costs a look at each node. For the next one only those nodes are looked at that changed since, and what
//! is left is a walk over an array. Where pods are counted by place, the sums of the places are kept here in the same
//! way, since which nodes count depends on the pod: so nothing costs more because there are more pods.
//!
//! A standing that was kept says the same as one that is made anew; a test holds it to that.

use super::facts::{PodFacts, Spread};
use super::filters::{FILTERS, Looks, Refusal};
use super::neighbours::{KeyId, NOWHERE, OwnedId, Stance, TallyId};
use super::nodes::{NodeFacts, NodeIndex, Nodes, Nominated};
use super::scores;
use super::strategy::Strategy;
use crate::api::taint::{KEEP_AWAY, untolerated};
use std::sync::Arc;

/// How pods with the same facts stand with all nodes.
#[derive(Clone, Debug)]
pub struct Standing {
    /// What they have in common.
    pub facts: Arc<PodFacts>,
    strategy: Strategy,
    seen: u64,
    terms_seen: u32,
    rows: Vec<Row>,
    watches: Vec<Watch>,
    /// The watch of each constraint of [`PodFacts::spread`].
    spreads: Vec<usize>,
    /// Of each of them, how many pods the emptiest place has.
    least: Vec<i64>,
    /// How often a sum of a place changed.
    moved: u64,
    /// How many nodes have something that counts for or against them beside their load.
    singular: u32,
}

/// What one node says by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The filter that refuses, by its place in [`FILTERS`]; [`TAKES`] if none does.
    pub refused: u8,
    /// What its load counts.
    pub load: i64,
    /// How many pods it has.
    pub pods: u32,
    /// Taints that the pod had rather not.
    pub taints: i32,
    /// The weights of preferred node affinity.
    pub affinity: i32,
    /// What its images count.
    pub images: i32,
}

/// In the place of a filter that refuses.
pub const TAKES: u8 = u8::MAX;

const NOT_HERE: Row = Row { refused: 0, load: 0, pods: 0, taints: 0, affinity: 0, images: 0 };

/// What pods count for where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// One must be in the place.
    Near,
    /// None may be.
    Away,
    /// None of those may be who refuse the pod.
    Refused,
    /// Each counts for the place, or against it.
    Likes(i64),
    /// They are spread over the places.
    Spread(usize),
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Tally(TallyId),
    Owned(OwnedId),
}

/// Pods that are counted by place.
#[derive(Clone, Debug)]
struct Watch {
    role: Role,
    source: Source,
    key: KeyId,
    /// Of each node its place, if it counts, and what is counted there.
    here: Vec<(u32, i64)>,
    /// Of each place what is counted there, and how many nodes it has.
    sums: Vec<(i64, u32)>,
}

impl Watch {
    fn new(role: Role, source: Source, key: KeyId) -> Self {
        Watch { role, source, key, here: Vec::new(), sums: Vec::new() }
    }

    /// Takes in what a node has now. Returns whether a sum changed.
    fn look(&mut self, nodes: &Nodes, at: u32, counts: bool) -> bool {
        let neighbours = nodes.neighbours();
        let domain = if counts { neighbours.domain(self.key, at) } else { NOWHERE };
        let count = match self.source {
            _ if domain == NOWHERE => 0,
            Source::Tally(tally) => neighbours.counted(tally, at),
            Source::Owned(owned) => neighbours.owned_on(owned, at),
        };
        if self.here.len() <= at as usize {
            self.here.resize(at as usize + 1, (NOWHERE, 0));
        }
        let old = std::mem::replace(&mut self.here[at as usize], (domain, count));
        if old == (domain, count) {
            return false;
        }
        if let Some(sum) = self.sums.get_mut(old.0 as usize) {
            *sum = (sum.0 - old.1, sum.1 - 1);
        }
        if domain != NOWHERE {
            if self.sums.len() <= domain as usize {
                self.sums.resize(domain as usize + 1, (0, 0));
            }
            let sum = &mut self.sums[domain as usize];
            *sum = (sum.0 + count, sum.1 + 1);
        }
        true
    }

    /// What is counted in the place of a node; absent if it has none.
    fn around(&self, at: NodeIndex) -> Option<i64> {
        let (domain, _) = *self.here.get(at.0 as usize)?;
        self.sums.get(domain as usize).map(|sum| sum.0)
    }

    /// What a pod counts where it is.
    fn weight(&self, nodes: &Nodes, pod: &PodFacts, leaving: bool) -> i64 {
        match self.source {
            Source::Tally(tally) => i64::from(nodes.neighbours().counts(tally, pod.group, leaving)),
            Source::Owned(owned) => pod.owns.iter().filter(|(id, _)| *id == owned).map(|(_, weight)| weight).sum(),
        }
    }

    /// What those count who are expected on a node and as important as `pod`.
    fn to_come(&self, nodes: &Nodes, pod: &PodFacts, expected: &[Nominated]) -> i64 {
        let before = expected.iter().filter(|one| one.facts.priority >= pod.priority);
        before.map(|one| self.weight(nodes, &one.facts, false)).sum()
    }

    /// What is counted in the place of a node once they have come.
    fn to_be_around(&self, nodes: &Nodes, at: NodeIndex, pod: &PodFacts, expected: &[Nominated]) -> i64 {
        self.around(at).map_or(0, |now| now + self.to_come(nodes, pod, expected))
    }

    /// What is counted in the emptiest place, with so many more in the place of a node; 0 if there are fewer places than
    /// the constraint asks for.
    fn least(&self, constraint: &Spread, at: Option<NodeIndex>, more: i64) -> i64 {
        let place = at.and_then(|at| self.here.get(at.0 as usize)).map_or(NOWHERE, |here| here.0);
        let (mut count, mut least) = (0, i64::MAX);
        for (nth, (sum, _)) in self.sums.iter().enumerate().filter(|(_, (_, nodes))| *nodes > 0) {
            let sum = if nth == place as usize { sum + more } else { *sum };
            (count, least) = (count + 1, least.min(sum));
        }
        if count < constraint.min_domains.max(1) { 0 } else { least }
    }

    fn places(&self) -> impl Iterator<Item = i64> {
        self.sums.iter().filter(|(_, nodes)| *nodes > 0).map(|(sum, _)| *sum)
    }
}

impl Standing {
    /// How pods with these facts stand with the nodes.
    pub fn new(facts: Arc<PodFacts>, strategy: Strategy, nodes: &Nodes) -> Self {
        let mut standing = Standing {
            facts,
            strategy,
            seen: 0,
            terms_seen: 0,
            rows: Vec::new(),
            watches: Vec::new(),
            spreads: Vec::new(),
            least: Vec::new(),
            moved: 0,
            singular: 0,
        };
        standing.begin(nodes);
        standing
    }

    fn begin(&mut self, nodes: &Nodes) {
        let facts = &self.facts;
        self.watches.clear();
        if let Some(near) = &facts.near {
            let near = near.keys.iter().map(|key| Watch::new(Role::Near, Source::Tally(near.tally), *key));
            self.watches.extend(near);
        }
        let away = facts.away.iter().map(|(tally, key)| Watch::new(Role::Away, Source::Tally(*tally), *key));
        self.watches.extend(away);
        let likes = facts.prefers.iter();
        self.watches
            .extend(likes.map(|(tally, key, weight)| Watch::new(Role::Likes(*weight), Source::Tally(*tally), *key)));
        self.spreads = (self.watches.len()..self.watches.len() + facts.spread.len()).collect();
        let spread = facts.spread.iter().enumerate();
        self.watches.extend(spread.map(|(nth, one)| Watch::new(Role::Spread(nth), Source::Tally(one.tally), one.key)));
        (self.rows, self.singular, self.terms_seen) = (vec![NOT_HERE; nodes.places()], 0, 0);
        self.hear_of_terms(nodes);
        for at in 0..nodes.places() as u32 {
            self.look(nodes, at);
        }
        self.moved += 1;
        self.seen = nodes.changes();
        self.find_least();
    }

    /// Takes in what changed. Costs a look at each node that did.
    pub fn follow(&mut self, nodes: &Nodes) {
        let changed = nodes.changed_since(self.seen).filter(|changed| changed.len() <= nodes.places() + 64);
        let Some(changed) = changed else {
            return self.begin(nodes);
        };
        let moved = self.moved;
        self.hear_of_terms(nodes);
        self.rows.resize(nodes.places().max(self.rows.len()), NOT_HERE);
        // Seen from the end, what changed often is looked at again for nothing, but that is cheap.
        for at in changed {
            self.look(nodes, *at);
        }
        self.seen = nodes.changes();
        if self.moved != moved {
            self.find_least();
        }
    }

    /// Others may have terms by now that are about these pods.
    fn hear_of_terms(&mut self, nodes: &Nodes) {
        let (terms, seen) = nodes.neighbours().about(self.facts.group, self.terms_seen);
        self.terms_seen = seen;
        for (id, owned) in terms {
            let role = match owned.stance {
                Stance::Refuses => Role::Refused,
                Stance::Likes => Role::Likes(1),
            };
            let mut watch = Watch::new(role, Source::Owned(id), owned.key);
            for at in 0..self.rows.len() as u32 {
                watch.look(nodes, at, true);
            }
            self.moved += 1;
            self.watches.push(watch);
        }
    }

    fn look(&mut self, nodes: &Nodes, at: u32) {
        let node = nodes.facts(NodeIndex(at));
        let new = if node.here { row(&self.facts, node, nodes, self.strategy) } else { NOT_HERE };
        let old = std::mem::replace(&mut self.rows[at as usize], new);
        let singular = |row: &Row| u32::from(row.taints != 0 || row.affinity != 0 || row.images != 0);
        self.singular = self.singular + singular(&new) - singular(&old);
        if self.watches.is_empty() {
            return;
        }
        let facts = self.facts.clone();
        for watch in &mut self.watches {
            let counts = match watch.role {
                Role::Spread(nth) => node.here && spread_counts(&facts, &facts.spread[nth], nodes, node, at),
                Role::Near | Role::Away | Role::Refused | Role::Likes(_) => node.here,
            };
            if watch.look(nodes, at, counts) {
                self.moved += 1;
            }
        }
    }

    /// As if a pod on a node were gone, or back again: see [`preemption`](super::preemption).
    pub fn imagine(&mut self, nodes: &Nodes, at: NodeIndex, pod: &PodFacts, leaving: bool, back: bool) {
        for watch in &mut self.watches {
            let weight = watch.weight(nodes, pod, leaving);
            let domain = watch.here.get(at.0 as usize).map_or(NOWHERE, |here| here.0);
            if let Some(sum) = watch.sums.get_mut(domain as usize) {
                sum.0 += if back { weight } else { -weight };
            }
        }
        self.find_least();
    }

    /// Whether other pods have a say in which nodes take such a pod.
    pub fn looks_around(&self) -> bool {
        self.watches.iter().any(|watch| !matches!(watch.role, Role::Likes(_)))
    }

    fn find_least(&mut self) {
        let all = self.facts.spread.iter().zip(&self.spreads);
        let least = all.map(|(constraint, watch)| self.watches[*watch].least(constraint, None, 0));
        self.least = least.collect();
    }

    /// How often anything about other pods has changed for these.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// What a node says by itself.
    pub fn row(&self, at: NodeIndex) -> Row {
        self.rows.get(at.0 as usize).copied().unwrap_or(NOT_HERE)
    }

    /// Whether a node takes such a pod.
    pub fn takes(&self, nodes: &Nodes, at: NodeIndex) -> bool {
        self.row(at).refused == TAKES
            && (self.watches.is_empty() || spread(self, nodes, at).or_else(|| affinity(self, nodes, at)).is_none())
    }

    /// Why a node does not take such a pod: the first row of [`FILTERS`] that refuses. Absent if it takes it.
    pub fn refusal(&self, nodes: &Nodes, at: NodeIndex) -> Option<Refusal> {
        let node = nodes.facts(at);
        FILTERS.iter().find_map(|filter| match filter.looks {
            Looks::Node(refuses) => refuses(&self.facts, node),
            Looks::Places(refuses) => refuses(self, nodes, at),
        })
    }

    /// Whether nodes differ in their load alone.
    pub fn is_plain(&self) -> bool {
        let counts = |watch: &Watch| match watch.role {
            Role::Near | Role::Away | Role::Refused => false,
            Role::Likes(_) => true,
            Role::Spread(nth) => !self.facts.spread[nth].hard,
        };
        self.singular == 0 && !self.watches.iter().any(counts)
    }

    /// What other pods count for a node: the sum over all who like it, or do not.
    pub fn liked(&self, at: NodeIndex) -> i64 {
        let likes = self.watches.iter().filter_map(|watch| match watch.role {
            Role::Likes(weight) => Some(watch.around(at).unwrap_or(0) * weight),
            Role::Near | Role::Away | Role::Refused | Role::Spread(_) => None,
        });
        likes.sum()
    }

    /// How crowded the places of a node are for those that are rather spread; absent if it has not all the labels.
    ///
    /// Source: Kubernetes, `plugins/podtopologyspread/scoring.go`: what is counted, times the logarithm of the number of
    /// places, so that a constraint over few places does not weigh less.
    pub fn crowd(&self, at: NodeIndex) -> Option<i64> {
        if planted!(ScheduleAnywayIgnored) {
            return Some(0);
        }
        let mut crowd = 0;
        for (constraint, watch) in self.facts.spread.iter().zip(&self.spreads).filter(|(one, _)| !one.hard) {
            let watch = &self.watches[*watch];
            let places = watch.places().count() as u64;
            crowd += watch.around(at)? * scores::logarithm(places + 2) + ((constraint.max_skew - 1) << 10);
        }
        Some(crowd)
    }
}

/// What a node says by itself.
fn row(facts: &PodFacts, node: &NodeFacts, nodes: &Nodes, strategy: Strategy) -> Row {
    let refused = FILTERS.iter().position(|filter| match filter.looks {
        Looks::Node(refuses) => refuses(facts, node).is_some(),
        Looks::Places(_) => false,
    });
    match refused {
        Some(nth) => Row { refused: nth as u8, ..NOT_HERE },
        None => Row {
            refused: TAKES,
            load: scores::load(facts, node, strategy),
            pods: node.usage.pods,
            taints: scores::taints(facts, node),
            affinity: scores::affinity(facts, node),
            images: scores::images(facts, node, nodes),
        },
    }
}

/// Whether a node counts among the places of a constraint: it has the labels of all such constraints, and what the
/// policies ask for.
///
/// Source: Kubernetes documentation, "Pod Topology Spread Constraints", `nodeAffinityPolicy`, `nodeTaintsPolicy`.
fn spread_counts(facts: &PodFacts, one: &Spread, nodes: &Nodes, node: &NodeFacts, at: u32) -> bool {
    facts
        .spread
        .iter()
        .filter(|other| other.hard == one.hard)
        .all(|other| nodes.neighbours().domain(other.key, at) != NOWHERE)
        && (!one.honors_affinity || facts.spec.allows_node(&node.name, &node.labels))
        && (!one.honors_taints || untolerated(&node.taints, &facts.spec.tolerations, KEEP_AWAY).next().is_none())
}

/// The filter PodTopologySpread.
///
/// Source: Kubernetes documentation, "Pod Topology Spread Constraints"; `plugins/podtopologyspread/filtering.go`.
pub fn spread(standing: &Standing, nodes: &Nodes, at: NodeIndex) -> Option<Refusal> {
    spread_beside(standing, nodes, at, &nodes.facts(at).nominated)
}

/// The same, if these are expected on the node.
pub fn spread_beside(standing: &Standing, nodes: &Nodes, at: NodeIndex, expected: &[Nominated]) -> Option<Refusal> {
    let constraints = standing.facts.spread.iter().zip(&standing.spreads).zip(&standing.least);
    for ((constraint, watch), least) in constraints.filter(|((one, _), _)| one.hard) {
        if nodes.neighbours().domain(constraint.key, at.0) == NOWHERE && !planted!(SpreadNowhere) {
            return Some(Refusal::NoTopology);
        }
        let watch = &standing.watches[*watch];
        let there = watch.to_be_around(nodes, at, &standing.facts, expected);
        // Where others are expected, the emptiest place may be another one once they have come.
        let least = match watch.to_come(nodes, &standing.facts, expected) {
            0 => *least,
            more => watch.least(constraint, Some(at), more),
        };
        let own = if planted!(SkewWithoutItself) { 0 } else { constraint.own };
        if there + own - least > constraint.max_skew && !planted!(IgnoresSkew) {
            return Some(Refusal::Uneven);
        }
    }
    None
}

/// The filter InterPodAffinity.
///
/// Source: Kubernetes documentation, "Assigning Pods to Nodes", inter-pod affinity and anti-affinity;
/// `plugins/interpodaffinity/filtering.go`.
pub fn affinity(standing: &Standing, nodes: &Nodes, at: NodeIndex) -> Option<Refusal> {
    affinity_beside(standing, nodes, at, &nodes.facts(at).nominated)
}

/// The same, if these are expected on the node: they may be in the way, and nobody relies on them.
///
/// Source: Kubernetes, `pkg/scheduler/framework/runtime`, `RunFilterPluginsWithNominatedPods`.
pub fn affinity_beside(standing: &Standing, nodes: &Nodes, at: NodeIndex, expected: &[Nominated]) -> Option<Refusal> {
    let watches = || standing.watches.iter();
    if let Some(near) = &standing.facts.near {
        let mut wanted = watches().filter(|watch| watch.role == Role::Near);
        if wanted.any(|watch| watch.around(at).is_none()) {
            return Some(Refusal::NotNear);
        }
        let missing = watches().filter(|watch| watch.role == Role::Near).any(|watch| watch.around(at) == Some(0));
        // The first of those that want to be near each other may go anywhere.
        let nowhere =
            || watches().filter(|watch| watch.role == Role::Near).all(|watch| watch.places().all(|sum| sum == 0));
        if missing && !(near.first && nowhere()) && !planted!(PodAffinityIgnored) {
            return Some(Refusal::NotNear);
        }
    }
    let is_met = |watch: &Watch| watch.to_be_around(nodes, at, &standing.facts, expected) > 0;
    let meets = |role: Role| watches().filter(|watch| watch.role == role).any(is_met);
    if meets(Role::Away) && !planted!(IgnoresAntiAffinity) {
        return Some(Refusal::TooNear);
    }
    (meets(Role::Refused) && !planted!(AntiAffinityOneSided)).then_some(Refusal::Unwelcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::Kind;
    use crate::api::object::Key;
    use crate::scheduler::examples::{NodeExample, PodExample, node, pod};
    use crate::scheduler::strategy::{Turn, pick, scored};
    use quickcheck::{Arbitrary, Gen, quickcheck};
    use serde_json::{Value, json};

    /// A cluster in which pods are placed one after the other.
    #[derive(Default)]
    struct Cluster {
        nodes: Nodes,
    }

    impl Cluster {
        fn of(all: impl IntoIterator<Item = NodeExample>) -> Self {
            let mut cluster = Cluster::default();
            for node in all {
                cluster.nodes.set(&node);
            }
            cluster
        }
        fn on(mut self, place: &str, pod: PodExample) -> Self {
            let facts = self.nodes.pod_facts(&pod, &[]);
            self.nodes.charge(place, &facts, pod.metadata.is_deleting());
            self
        }
        fn standing(&mut self, pod: &PodExample) -> Standing {
            Standing::new(self.nodes.pod_facts(pod, &[]), Strategy::default(), &self.nodes)
        }
        /// What the nodes say, in the order of their names.
        fn says(&mut self, pod: &PodExample) -> String {
            let standing = self.standing(pod);
            let say = |at: &NodeIndex| standing.refusal(&self.nodes, *at).map_or("takes".into(), |one| one.to_string());
            self.nodes.order().iter().map(say).collect::<Vec<_>>().join("; ")
        }
        /// The node that a pod gets.
        fn gets(&mut self, pod: &PodExample) -> String {
            let standing = self.standing(pod);
            let at = pick(&Turn::default(), &standing, &self.nodes);
            at.map_or("-".into(), |at| self.nodes.name(at).to_string())
        }
    }

    fn zones() -> Cluster {
        let zone = |name: &str, zone: &str| node(name).label("zone", zone).label("host", name);
        Cluster::of([zone("a1", "a"), zone("a2", "a"), zone("b1", "b"), node("c1").label("host", "c1")])
    }

    fn web(name: &str) -> PodExample {
        pod(name).label("app", "web")
    }

    fn term(app: &str, key: &str) -> Value {
        json!({"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key})
    }

    fn wants(side: &str, terms: Value) -> Value {
        json!({"affinity": {side: {"requiredDuringSchedulingIgnoredDuringExecution": terms}}})
    }

    const NOT_NEAR: &str = "node(s) didn't match pod affinity rules";
    const TOO_NEAR: &str = "node(s) didn't match pod anti-affinity rules";
    const UNWELCOME: &str = "node(s) didn't satisfy existing pods anti-affinity rules";
    const UNEVEN: &str = "node(s) didn't match pod topology spread constraints";

    #[test]
    fn pods_go_where_the_pods_are_that_they_want() {
        let near = |app: &str, key: &str| pod("p").spec(wants("podAffinity", json!([term(app, key)])));
        let all = format!("{NOT_NEAR}; {NOT_NEAR}; {NOT_NEAR}; {NOT_NEAR}");
        assert_eq!(zones().says(&near("web", "zone")), all);
        let says = zones().on("a1", web("w")).says(&near("web", "zone"));
        assert_eq!(says, format!("takes; takes; {NOT_NEAR}; {NOT_NEAR}"));
        // The first of those that want to be together goes anywhere, where the places have names.
        let first = web("p").spec(wants("podAffinity", json!([term("web", "zone")])));
        assert_eq!(zones().says(&first), format!("takes; takes; takes; {NOT_NEAR}"));
        assert_eq!(zones().on("b1", web("w")).says(&first), format!("{NOT_NEAR}; {NOT_NEAR}; takes; {NOT_NEAR}"));
        // All terms have to hold, for the same pods.
        let both = pod("p").spec(wants("podAffinity", json!([term("web", "zone"), term("web", "host")])));
        let says = zones().on("a1", web("w")).says(&both);
        assert_eq!(says, format!("takes; {NOT_NEAR}; {NOT_NEAR}; {NOT_NEAR}"));
    }

    #[test]
    fn anti_affinity_holds_in_both_directions() {
        let away = |name: &str| pod(name).spec(wants("podAntiAffinity", json!([term("web", "zone")])));
        assert_eq!(zones().on("a1", web("w")).says(&away("p")), format!("{TOO_NEAR}; {TOO_NEAR}; takes; takes"));
        assert_eq!(zones().on("a1", away("q")).says(&web("w")), format!("{UNWELCOME}; {UNWELCOME}; takes; takes"));
        assert_eq!(zones().on("a1", away("q")).says(&pod("other")), "takes; takes; takes; takes");
        // A node without the label is no place.
        assert_eq!(zones().on("c1", web("w")).says(&away("p")), "takes; takes; takes; takes");
    }

    #[test]
    fn terms_are_about_their_namespaces_and_own_labels() {
        let mut other = web("w");
        other.0.metadata.namespace = "other".into();
        let away = |more: Value| {
            let mut term = term("web", "host");
            term.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            pod("p").label("version", "2").spec(wants("podAntiAffinity", json!([term])))
        };
        let check = |there: PodExample, more: Value, refused: bool| {
            let mut cluster = Cluster::of([node("n").label("host", "n")]);
            let team = [("team", "x".into())].into();
            cluster.nodes.set_namespace("other", Some(&team));
            let says = cluster.on("n", there).says(&away(more.clone()));
            assert_eq!(says, if refused { TOO_NEAR } else { "takes" }, "{more}");
        };
        check(PodExample(other.0.clone()), json!({}), false);
        check(PodExample(other.0.clone()), json!({"namespaces": ["other"]}), true);
        check(PodExample(other.0.clone()), json!({"namespaceSelector": {}}), true);
        check(PodExample(other.0.clone()), json!({"namespaceSelector": {"matchLabels": {"team": "x"}}}), true);
        check(PodExample(other.0.clone()), json!({"namespaceSelector": {"matchLabels": {"team": "y"}}}), false);
        check(web("w").label("version", "2"), json!({"matchLabelKeys": ["version"]}), true);
        check(web("w").label("version", "1"), json!({"matchLabelKeys": ["version"]}), false);
        check(web("w").label("version", "2"), json!({"mismatchLabelKeys": ["version"]}), false);
        check(web("w").label("version", "1"), json!({"matchLabelKeys": ["unknown"]}), true);
    }

    fn spread(more: Value) -> PodExample {
        let mut constraint = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "web"}}});
        constraint.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        web("p").spec(json!({"topologySpreadConstraints": [constraint]}))
    }

    #[test]
    fn pods_are_spread_over_places() {
        let check = |there: &[&str], pod: PodExample, want: &[&str]| {
            let cluster = there.iter().fold(zones(), |cluster, place| cluster.on(place, web("w")));
            let mut cluster = cluster;
            assert_eq!(cluster.says(&pod), want.join("; "), "{there:?}");
        };
        let label = "node(s) didn't match pod topology spread constraints (missing required label)";
        check(&[], spread(json!({})), &["takes", "takes", "takes", label]);
        check(&["a1"], spread(json!({})), &[UNEVEN, UNEVEN, "takes", label]);
        check(&["a1"], spread(json!({"maxSkew": 2})), &["takes", "takes", "takes", label]);
        check(&["a1", "b1"], spread(json!({})), &["takes", "takes", "takes", label]);
        // Too few places: the least counts as 0.
        check(&["a1", "b1"], spread(json!({"minDomains": 3})), &[UNEVEN, UNEVEN, UNEVEN, label]);
        // Where the pod cannot go, places do not count, unless it says that they do.
        let only_a = |more: Value| {
            let mut pod = spread(more);
            std::sync::Arc::make_mut(&mut pod.0.spec).node_selector.insert("zone", "a".into());
            pod
        };
        let other = "node(s) didn't match Pod's node affinity/selector";
        check(&["a1"], only_a(json!({})), &["takes", "takes", other, other]);
        check(&["a1"], only_a(json!({"nodeAffinityPolicy": "Ignore"})), &[UNEVEN, UNEVEN, other, other]);
        // Who is expected on a node counts there, also if that makes another place the emptiest.
        let expects = |there: &[&str], expected: &[&str]| {
            let mut cluster = there.iter().fold(zones(), |cluster, place| cluster.on(place, web("w")));
            for place in expected {
                let (one, facts) = (web("e"), cluster.nodes.pod_facts(&web("e"), &[]));
                let key = Key::new(Kind::Pod, "default", &one.metadata.name);
                cluster.nodes.nominate(place, &key, &one.metadata.uid, &facts);
            }
            cluster.says(&spread(json!({})))
        };
        assert_eq!(expects(&["b1", "b1"], &["a1"]), ["takes", "takes", UNEVEN, label].join("; "));
        assert_eq!(expects(&["b1"], &["a1"]), ["takes", "takes", UNEVEN, label].join("; "));
        assert_eq!(expects(&[], &["a1"]), [UNEVEN, "takes", "takes", label].join("; "));
        // What is being deleted does not count.
        let mut leaving = web("w");
        leaving.0.metadata.deletion_timestamp = Some(Default::default());
        let mut cluster = zones().on("a1", leaving);
        assert_eq!(cluster.says(&spread(json!({}))), ["takes", "takes", "takes", label].join("; "));
    }

    #[test]
    fn taints_count_among_places_if_that_is_asked() {
        let tainted = || node("b1").label("zone", "b").taint("x", "NoSchedule");
        let cluster = || Cluster::of([node("a1").label("zone", "a"), tainted()]).on("a1", web("w"));
        let taint = "node(s) had untolerated taint {x: }";
        assert_eq!(cluster().says(&spread(json!({}))), format!("{UNEVEN}; {taint}"));
        assert_eq!(cluster().says(&spread(json!({"nodeTaintsPolicy": "Honor"}))), format!("takes; {taint}"));
    }

    #[test]
    fn what_is_preferred_decides_among_those_that_take_a_pod() {
        let prefers = |side: &str, weight: i32| {
            json!({"affinity": {side: {"preferredDuringSchedulingIgnoredDuringExecution":
                [{"weight": weight, "podAffinityTerm": term("web", "zone")}]}}})
        };
        assert_eq!(zones().on("b1", web("w")).gets(&pod("p").spec(prefers("podAffinity", 50))), "b1");
        assert_eq!(zones().on("a1", web("w")).gets(&pod("p").spec(prefers("podAntiAffinity", 50))), "b1");
        // Who is there may prefer it, too.
        let fond = pod("q").spec(prefers("podAffinity", 50));
        assert_eq!(zones().on("b1", fond).gets(&web("w")), "b1");
        assert_eq!(zones().on("a1", web("w")).gets(&spread(json!({"whenUnsatisfiable": "ScheduleAnyway"}))), "b1");
        let mut tainted = Cluster::of([node("a").taint("x", "PreferNoSchedule"), node("b")]);
        assert_eq!(tainted.gets(&pod("p")), "b");
        let by_label = json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
            [{"weight": 1, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]}}]}}});
        assert_eq!(zones().gets(&pod("p").spec(by_label)), "b1");
    }

    /// Something that happens to nodes and pods; the numbers choose which.
    #[derive(Clone, Debug)]
    enum Happens {
        Node { name: u8, zone: u8, taint: bool },
        NodeGone(u8),
        Comes { pod: u8, node: u8, leaving: bool },
        Goes(u8),
        Looks(u8),
    }

    impl Arbitrary for Happens {
        fn arbitrary(g: &mut Gen) -> Self {
            let [a, b, c, d] = [u8::arbitrary(g), u8::arbitrary(g), u8::arbitrary(g), u8::arbitrary(g)];
            match a % 12 {
                0..=2 => Happens::Node { name: b % 6, zone: c % 4, taint: d % 4 == 0 },
                3 => Happens::NodeGone(b % 6),
                4..=7 => Happens::Comes { pod: b % KINDS, node: c % 7, leaving: d % 5 == 0 },
                8 => Happens::Goes(b),
                _ => Happens::Looks(b % KINDS),
            }
        }
    }

    const KINDS: u8 = 8;

    fn kind(nth: u8) -> PodExample {
        let pod = pod(&format!("k{nth}")).requests("cpu", "500m");
        match nth {
            0 => web("k0"),
            1 => pod.spec(wants("podAntiAffinity", json!([term("web", "zone")]))),
            2 => web("k2").spec(wants("podAntiAffinity", json!([term("web", "host")]))),
            3 => pod.spec(wants("podAffinity", json!([term("web", "zone")]))),
            4 => spread(json!({})),
            5 => spread(json!({"topologyKey": "host", "whenUnsatisfiable": "ScheduleAnyway"})),
            6 => pod.spec(json!({"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": 80}]}]})),
            _ => pod.label("app", "db").spec(json!({"affinity": {"podAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 10, "podAffinityTerm": term("web", "zone")},
                    {"weight": 3, "podAffinityTerm": term("db", "host")}]}}})),
        }
    }

    quickcheck! {
        /// What was kept says the same as what is made anew, whatever happened in between.
        fn a_standing_that_was_kept_is_as_good_as_new(story: Vec<Happens>) -> bool {
            let (mut nodes, mut kept, mut there) = (Nodes::default(), std::collections::BTreeMap::new(), Vec::new());
            for what in story {
                match what {
                    Happens::Node { name, zone, taint } => {
                        let one = node(&format!("n{name}")).label("host", &format!("n{name}"));
                        let one = if zone > 0 { one.label("zone", &format!("z{zone}")) } else { one };
                        let one = if taint { one.taint("x", "NoSchedule") } else { one };
                        nodes.set(&one);
                    }
                    Happens::NodeGone(name) => nodes.remove(&format!("n{name}")),
                    Happens::Comes { pod, node, leaving } => {
                        let facts = nodes.pod_facts(&kind(pod), &[]);
                        let node = format!("n{node}");
                        nodes.charge(&node, &facts, leaving);
                        there.push((node, facts, leaving));
                    }
                    Happens::Goes(nth) if !there.is_empty() => {
                        let (node, facts, leaving) = there.swap_remove(usize::from(nth) % there.len());
                        nodes.release(&node, &facts, leaving);
                    }
                    Happens::Goes(_) => {}
                    Happens::Looks(pod) => {
                        let facts = nodes.pod_facts(&kind(pod), &[]);
                        let kept: &mut Standing = kept
                            .entry(facts.class)
                            .or_insert_with(|| Standing::new(facts.clone(), Strategy::default(), &nodes));
                        kept.follow(&nodes);
                        let new = Standing::new(facts, Strategy::default(), &nodes);
                        let says = |one: &Standing| {
                            nodes.order().iter().map(|at| one.refusal(&nodes, *at)).collect::<Vec<_>>()
                        };
                        let turn = Turn::default();
                        if says(kept) != says(&new)
                            || scored(kept, &nodes) != scored(&new, &nodes)
                            || pick(&turn, kept, &nodes) != pick(&turn, &new, &nodes)
                        {
                            return false;
                        }
                    }
                }
            }
            true
        }

        /// Whoever comes in whatever order: nobody is where somebody does not want to be, or is not wanted.
        fn no_anti_affinity_is_ever_violated(pods: Vec<u8>) -> bool {
            let zone = |nth: usize| node(&format!("n{nth}")).label("host", &format!("n{nth}")).label("zone", &format!("z{}", nth % 3));
            let mut cluster = Cluster::of((0..6).map(zone));
            let mut there: Vec<(usize, u8)> = Vec::new();
            for nth in pods {
                let pod = kind(nth % KINDS);
                let place = cluster.gets(&pod);
                if place != "-" {
                    there.push((place[1..].parse().unwrap(), nth % KINDS));
                    cluster = cluster.on(&place, pod);
                }
            }
            let is_web = |kind: u8| matches!(kind, 0 | 2 | 4 | 5);
            there.iter().enumerate().all(|(one, (node, kind))| {
                there.iter().enumerate().filter(|(other, _)| *other != one).all(|(_, (at, other))| {
                    !is_web(*other) || !(*kind == 1 && node % 3 == at % 3 || *kind == 2 && node == at)
                })
            })
        }
    }
}
