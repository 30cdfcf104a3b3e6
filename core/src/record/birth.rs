//! What a program is made of.

use crate::api::object::Object;
use crate::apiserver::{self, ApiServer};
use crate::client::elected::Elected;
use crate::client::leader;
use crate::controllers::disruption::{self, DisruptionController};
use crate::controllers::endpoints::{self, EndpointsController};
use crate::controllers::garbage::{self, GarbageCollector};
use crate::controllers::horizontal::{self, HorizontalController};
use crate::controllers::namespaces::{self, NamespaceController};
use crate::controllers::node_lifecycle::{self, NodeLifecycle};
use crate::controllers::workload::{self, WORKLOADS, WorkloadController};
use crate::kubelet::{self, Kubelet};
use crate::program::{Program, Revision};
use crate::rng::Draw;
use crate::scheduler::{Scheduler, SchedulerOptions};
use crate::store::Store;
use serde::{Deserialize, Serialize};

/// All that a program is given before its first input: daemons and replays make their programs of these, and of nothing
/// else.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Birth {
    /// An API server.
    ApiServer(ServerBirth),
    /// A scheduler.
    Scheduler(SchedulerOptions),
    /// The controllers of workloads.
    Workloads(workload::Options),
    /// The controller of nodes that fall silent.
    NodeLifecycle { options: node_lifecycle::Options, seed: u64 },
    /// The garbage collector.
    Garbage { options: garbage::Options, seed: u64 },
    /// The controller of namespaces.
    Namespaces { options: namespaces::Options, seed: u64 },
    /// The controller of endpoints.
    Endpoints { options: endpoints::Options, seed: u64 },
    /// The controller of disruption budgets.
    Disruption { options: disruption::Options, seed: u64 },
    /// The controller of autoscalers.
    Horizontal { options: horizontal::Options, seed: u64 },
    /// A node's kubelet.
    Kubelet(Box<kubelet::Options>),
    /// One of these, while it leads: made anew each time, with a seed of its own.
    Elected { by: leader::Options, program: Box<Birth> },
}

/// What an API server begins with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServerBirth {
    /// How it behaves.
    pub options: apiserver::Options,
    /// The revision of what an engine kept.
    pub revision: Revision,
    /// What the engine kept. Written and read apart, since they may be many.
    #[serde(skip)]
    pub stored: Vec<Object>,
}

impl ServerBirth {
    /// The server itself, as its host needs it.
    pub fn server(self) -> ApiServer {
        ApiServer::new(self.options, Store::load(self.stored, self.revision))
    }
}

impl Birth {
    /// The program's name, which no other program of a cluster has.
    pub fn name(&self) -> String {
        match self {
            Birth::ApiServer(_) => "apiserver".into(),
            Birth::Scheduler(_) => "scheduler".into(),
            Birth::Workloads(_) => "workloads".into(),
            Birth::NodeLifecycle { .. } => "node-lifecycle".into(),
            Birth::Garbage { .. } => "garbage".into(),
            Birth::Namespaces { .. } => "namespaces".into(),
            Birth::Endpoints { .. } => "endpoints".into(),
            Birth::Disruption { .. } => "disruption".into(),
            Birth::Horizontal { .. } => "horizontal".into(),
            Birth::Kubelet(options) => format!("kubelet-{}", options.node),
            Birth::Elected { program, .. } => program.name(),
        }
    }

    /// The program.
    pub fn program(self) -> Box<dyn Program> {
        match self {
            Birth::ApiServer(birth) => Box::new(birth.server()),
            Birth::Scheduler(options) => Box::new(Scheduler::new(options)),
            Birth::Workloads(options) => Box::new(WorkloadController::new(WORKLOADS, options)),
            Birth::NodeLifecycle { options, seed } => Box::new(NodeLifecycle::new(options, seed)),
            Birth::Garbage { options, seed } => Box::new(GarbageCollector::new(options, seed)),
            Birth::Namespaces { options, seed } => Box::new(NamespaceController::new(options, seed)),
            Birth::Endpoints { options, seed } => Box::new(EndpointsController::new(options, seed)),
            Birth::Disruption { options, seed } => Box::new(DisruptionController::new(options, seed)),
            Birth::Horizontal { options, seed } => Box::new(HorizontalController::new(options, seed)),
            Birth::Kubelet(options) => Box::new(Kubelet::new(*options)),
            Birth::Elected { by, program } => {
                let seeds = Draw::new(by.seed).key("life");
                let make = move |nth| program.as_ref().clone().with_seed(seeds.count(nth).u64()).program();
                Box::new(Elected::new(by, Box::new(make)))
            }
        }
    }

    /// The same program with another seed, as another start would have it.
    pub fn with_seed(mut self, to: u64) -> Self {
        match &mut self {
            Birth::ApiServer(birth) => birth.options.seed = to,
            Birth::Scheduler(options) => options.seed = to,
            Birth::Workloads(options) => options.seed = to,
            Birth::Kubelet(options) => options.seed = to,
            Birth::NodeLifecycle { seed, .. }
            | Birth::Garbage { seed, .. }
            | Birth::Namespaces { seed, .. }
            | Birth::Endpoints { seed, .. }
            | Birth::Disruption { seed, .. }
            | Birth::Horizontal { seed, .. } => *seed = to,
            Birth::Elected { by, .. } => by.seed = to,
        }
        self
    }

    /// The lease by which it is elected, where several of it run.
    pub fn lease(&self) -> String {
        match self {
            Birth::Scheduler(_) => "kube-scheduler".into(),
            // Kubernetes' controllers are one program and have one lease. Here each is a program, and can lead alone.
            _ => format!("kube-controller-manager-{}", self.name()),
        }
    }

    /// The same program, elected: it runs while it leads.
    pub fn elected(self, by: leader::Options) -> Self {
        Birth::Elected { by, program: Box::new(self) }
    }

    /// The objects that it begins with: an API server's.
    pub fn stored(&self) -> &[Object] {
        match self {
            Birth::ApiServer(birth) => &birth.stored,
            Birth::Scheduler(_)
            | Birth::Workloads(_)
            | Birth::NodeLifecycle { .. }
            | Birth::Garbage { .. }
            | Birth::Namespaces { .. }
            | Birth::Endpoints { .. }
            | Birth::Disruption { .. }
            | Birth::Horizontal { .. }
            | Birth::Kubelet(_)
            | Birth::Elected { .. } => &[],
        }
    }

    /// The same, beginning with these objects if it is an API server.
    pub fn with_stored(self, stored: Vec<Object>) -> Self {
        match self {
            Birth::ApiServer(birth) => Birth::ApiServer(ServerBirth { stored, ..birth }),
            other => other,
        }
    }
}
