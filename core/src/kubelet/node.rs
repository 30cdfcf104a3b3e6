//! The node itself: it is registered, its lease renewed, its status kept true.
//!
//! Source: Kubernetes documentation, "Nodes", heartbeats.

use crate::api::by_name::ByName;
use crate::api::kinds::Kind;
use crate::api::lease::{Lease, LeaseSpec};
use crate::api::meta::{MicroTime, Time};
use crate::api::namespace::NODE_LEASES;
use crate::api::node::{ContainerImage, Node, NodeAddress, NodeCondition, NodeInfo, NodeStatus};
use crate::api::object::{Key, Object, Resource};
use crate::api::quantity::{Amounts, Quantity};
use crate::api::text::Text;
use crate::client::{Calls, Informer, informer};
use crate::kubelet::admission::{Amount, Offer};
use crate::program::{Answer, Effects, Input, Level, Part, Query, Verb};
use crate::time::{Duration, Instant, Now, Wall};
use serde::{Deserialize, Serialize};

/// How often a node says that it lives. Source: MiniKu's heartbeat; Kubernetes renews every 10 s.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long a lease is good for. The node lifecycle controller counts by itself; this is for readers.
const LEASE_SECONDS: i32 = 15;

/// What a node is, as its shell found it.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// Where it is reached: type and address.
    pub addresses: Vec<(String, String)>,
    /// Where its kubelet serves logs, if it does.
    pub kubelet_port: Option<u16>,
    /// Thousandths of a processor.
    pub cpu_milli: u64,
    /// Bytes.
    pub memory_bytes: u64,
    /// How many pods it takes.
    pub pods: u64,
    /// Kernel, operating system, runtime.
    pub info: NodeInfo,
    /// Labels it is registered with.
    pub labels: ByName<Text>,
    /// Images that it has.
    #[serde(default)]
    pub images: Vec<ContainerImage>,
}

/// Registers a node and keeps it alive in the eyes of the cluster.
#[derive(Debug)]
pub struct NodeAgent {
    name: Text,
    facts: Facts,
    view: Informer,
    calls: Calls<Asked>,
    beat_at: Instant,
    /// The last renewal's time. The next one's is later, even while the node's clock stands still or goes back: a lease
    /// that does not change is no sign of life.
    renewed: Wall,
    /// Whether the stored node must be looked at again, and not before when.
    check_at: Option<Instant>,
    /// A call about the node itself is on its way.
    asked: bool,
    /// The node changed in the meantime.
    changed_meanwhile: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Node,
    Lease,
}

/// After a refusal the node tries again this much later.
const RETRY: Duration = Duration::from_secs(1);

impl NodeAgent {
    /// The agent of a node of this name; its ids come from `space` and the next one.
    pub fn new(name: &str, facts: Facts, seed: u64, options: informer::Options, space: u16) -> Self {
        let query = Query::all(Kind::Node).with_field("metadata.name", name);
        NodeAgent {
            name: name.into(),
            facts,
            view: Informer::new(query, space, seed, options),
            calls: Calls::in_space(space + 1),
            beat_at: Instant::default(),
            renewed: Wall::default(),
            check_at: Some(Instant::default()),
            asked: false,
            changed_meanwhile: false,
        }
    }

    /// The view of the node.
    pub fn informer(&self) -> &Informer {
        &self.view
    }

    /// The node's address for its pods' statuses.
    pub fn host_ip(&self) -> &str {
        self.facts.addresses.iter().find(|(kind, _)| kind == "InternalIP").map_or("", |(_, address)| address)
    }

    /// What it has for its pods.
    pub fn offer(&self) -> Offer {
        let amount = Amount { cpu_milli: self.facts.cpu_milli, memory: self.facts.memory_bytes };
        Offer { amount, pods: self.facts.pods }
    }

    /// The stored node, or what will be stored: what events about the node refer to.
    pub fn object(&self) -> Object {
        let key = Key::new(Kind::Node, "", &self.name);
        self.view.object(&key).cloned().unwrap_or_else(|| self.wanted(Now::default(), None).into_object())
    }

    /// Takes in an input, meant for it or not. To be called at every step.
    pub fn step(&mut self, now: Now, input: &Input, out: &mut Effects) {
        if !self.view.step(now, input, out).is_empty() {
            self.check_at = Some(now.mono);
            self.changed_meanwhile |= self.asked;
        }
        for (asked, answer) in self.calls.ended(now, input) {
            if asked == Asked::Lease {
                // The next beat says the same, and sooner than this one could be said again.
                if matches!(answer, Answer::Lost(_)) {
                    sometimes!(LeaseAnswerLost);
                }
                if planted!(HeartbeatStops) && matches!(answer, Answer::Lost(_)) {
                    self.beat_at = now.mono + Duration::from_secs(1_000_000);
                }
                continue;
            }
            self.asked = false;
            let changed = std::mem::take(&mut self.changed_meanwhile);
            match answer {
                // What it did is still to be shown, or was already, and may have been undone since.
                Answer::Object { .. } => {
                    self.check_at = Some(now.mono).filter(|_| changed && !planted!(ChangedMeanwhileMissed));
                }
                answer => {
                    if let Answer::Refused(status) = &answer {
                        out.log(Level::Debug, format!("kubelet: node {}: {status}", self.name));
                    }
                    self.check_at = Some(now.mono + RETRY);
                }
            }
        }
        if self.view.is_synced() {
            if !self.asked && self.check_at.is_some_and(|at| at <= now.mono) {
                self.check_at = None;
                self.check(now, out);
            }
            if self.beat_at <= now.mono {
                self.beat(now, out);
            }
            out.wake_at(self.check_at.filter(|_| !self.asked));
            out.wake_at(self.beat_at);
        }
        out.wake_at(self.calls.next());
    }

    /// Registers the node if it is not there; writes its status if it is not as it should be.
    fn check(&mut self, now: Now, out: &mut Effects) {
        match self.view.get::<Node>(&Key::new(Kind::Node, "", &self.name)) {
            None if planted!(NodeNotMadeAgain) && self.renewed != Wall::default() => {}
            None => {
                if self.renewed != Wall::default() {
                    sometimes!(NodeMadeAgain);
                }
                let object = self.wanted(now, None).into_object();
                self.asked = true;
                self.calls.call(now, Asked::Node, Verb::Create { object }, out);
                // The first lease does not wait for the node: nobody counts before the node is there.
                self.beat(now, out);
            }
            Some(stored) => {
                let wanted = self.wanted(now, Some(stored));
                if wanted.status != stored.status {
                    let object = wanted.into_object();
                    self.asked = true;
                    self.calls.call(now, Asked::Node, Verb::Update { object, part: Part::Status }, out);
                }
            }
        }
    }

    /// Renews the lease, whatever became of the renewal before: one lost answer must not make a silent node.
    fn beat(&mut self, now: Now, out: &mut Effects) {
        self.beat_at = now.mono + HEARTBEAT;
        let least = if planted!(RenewalByClock) { now.wall } else { self.renewed + Duration::from_micros(1) };
        self.renewed = now.wall.max(least);
        let mut lease = Lease {
            spec: LeaseSpec {
                holder_identity: Some(self.name.clone()),
                lease_duration_seconds: Some(LEASE_SECONDS),
                renew_time: Some(MicroTime::of(self.renewed)),
                ..Default::default()
            },
            ..Default::default()
        };
        lease.metadata.name.clone_from(&self.name);
        lease.metadata.namespace = NODE_LEASES.into();
        self.calls.call(now, Asked::Lease, Verb::Update { object: lease.into_object(), part: Part::Main }, out);
    }

    /// What pods select nodes by everywhere.
    ///
    /// Source: Kubernetes documentation, "Well-Known Labels, Annotations and Taints".
    fn well_known_labels(&self) -> ByName<Text> {
        let info = &self.facts.info;
        let all: [(&str, &Text); 3] = [
            ("kubernetes.io/hostname", &self.name),
            ("kubernetes.io/os", &info.operating_system),
            ("kubernetes.io/arch", &info.architecture),
        ];
        let known = all.into_iter().filter(|(_, value)| !value.is_empty());
        known.map(|(label, value)| (label, value.clone())).collect()
    }

    fn wanted(&self, now: Now, stored: Option<&Node>) -> Node {
        let mut node = stored.cloned().unwrap_or_default();
        if stored.is_none() {
            node.metadata.name.clone_from(&self.name);
            node.metadata.labels = self.well_known_labels();
            node.metadata.labels.extend(self.facts.labels.clone());
        }
        let facts = &self.facts;
        let mut amounts: Amounts = [
            ("cpu", Quantity::milli(facts.cpu_milli)),
            ("memory", Quantity::whole(facts.memory_bytes)),
            ("pods", Quantity::whole(facts.pods)),
        ]
        .into();
        let status: &mut NodeStatus = &mut node.status;
        // What somebody else says that the node has, such as `example.com/gpu`, stays.
        let others = status.capacity.iter().filter(|(name, _)| name.contains('/') && !planted!(AddedAmountsDropped));
        for (name, amount) in others.map(|(name, amount)| (name, amount.clone())).collect::<Vec<_>>() {
            amounts.insert(name, amount);
        }
        status.capacity.clone_from(&amounts);
        status.allocatable = amounts;
        status.addresses = facts
            .addresses
            .iter()
            .map(|(kind, address)| NodeAddress {
                kind: kind.as_str().into(),
                address: address.as_str().into(),
                ..Default::default()
            })
            .collect();
        status.daemon_endpoints.kubelet_endpoint = facts
            .kubelet_port
            .map(|port| crate::api::node::DaemonEndpoint { port: i32::from(port), ..Default::default() });
        status.node_info.clone_from(&facts.info);
        status.images.clone_from(&facts.images);
        let ready = status.conditions.iter().find(|one| one.kind == "Ready" && one.status == "True");
        if ready.is_none_or(|one| one.reason != "KubeletReady") {
            let since = ready.and_then(|one| one.last_transition_time);
            status.conditions.retain(|one| one.kind != "Ready");
            status.conditions.push(NodeCondition {
                kind: "Ready".into(),
                status: "True".into(),
                last_heartbeat_time: Some(Time::of(now.wall)),
                last_transition_time: since.or(Some(Time::of(now.wall))),
                reason: "KubeletReady".into(),
                message: "kubelet is posting ready status".into(),
                ..Default::default()
            });
        }
        node
    }
}
