//! Clusters: which programs there are, by their own constructors, on how many nodes.

use crate::noise::Delay;
use crate::operator::Operator;
use crate::plan::Plan;
use crate::trace;
use crate::truth::Role;
use crate::units;
use crate::world::{Birth, Maker, Part, ServerMaker, Setup, World};
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::ContainerImage;
use miniku_core::api::object::Object;
use miniku_core::api::selector::LabelSelector;
use miniku_core::api::text::Text;
use miniku_core::apiserver::{self, ApiServer};
use miniku_core::client::{Informer, informer, leader};
use miniku_core::controllers::{disruption, endpoints, garbage, horizontal, namespaces, node_lifecycle, workload};
use miniku_core::kubelet::node::Facts;
use miniku_core::kubelet::{Kubelet, Options as KubeletOptions};
use miniku_core::program::{Answer, Effect, Effects, Input, Program, Query, Request, RequestId, Revision, Verb};
use miniku_core::record;
use miniku_core::rng::Draw;
use miniku_core::scheduler::program::DEFAULT_SCHEDULER;
use miniku_core::scheduler::{SchedulerOptions, Strategy};
use miniku_core::sometimes;
use miniku_core::store::Store;
use miniku_core::time::{Duration, Now};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::rc::Rc;

/// What one node has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeShape {
    /// Its name.
    pub name: String,
    /// Thousandths of a processor.
    pub cpu_milli: u64,
    /// Bytes.
    pub memory_bytes: u64,
    /// How many pods it takes.
    pub pods: u64,
    /// Images that it has already, by their names with the tag: how many bytes each has.
    pub images: BTreeMap<String, u64>,
}

impl NodeShape {
    /// Four processors, 8 GiB, 110 pods; no image.
    pub fn named(name: impl Into<String>) -> Self {
        NodeShape { name: name.into(), cpu_milli: 4_000, memory_bytes: 8 << 30, pods: 110, images: BTreeMap::new() }
    }

    fn facts(&self, nth: usize) -> Facts {
        let image = |(name, size): (&String, &u64)| ContainerImage {
            names: vec![name.into()],
            size_bytes: i64::try_from(*size).ok(),
            ..Default::default()
        };
        Facts {
            addresses: vec![("InternalIP".into(), format!("10.{}.{}.1", nth >> 8 & 0xff, nth & 0xff))],
            cpu_milli: self.cpu_milli,
            memory_bytes: self.memory_bytes,
            pods: self.pods,
            images: self.images.iter().map(image).collect(),
            ..Facts::default()
        }
    }
}

/// How the programs of a cluster are set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// How the scheduler chooses nodes for pods that name no scheduler: `least-allocated`, as `--strategy` spells it.
    #[serde(with = "units::spelled")]
    pub strategy: Strategy,
    /// The scheduler's other profiles, each a strategy: of pods with its name as `spec.schedulerName`.
    #[serde(with = "units::spelled_each", skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles: BTreeMap<Text, Strategy>,
    /// So long without a heartbeat, and a node is not ready.
    #[serde(with = "units::duration")]
    pub node_grace: Duration,
    /// So long after that, and its pods are evicted.
    #[serde(with = "units::duration")]
    pub eviction_after: Duration,
    /// How many changes the API server remembers for watches; as many as it likes if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<usize>,
    /// Lists are asked for in pages of so many objects; whole if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pages: Option<usize>,
    /// The scheduler and the controllers are elected, and so many more of each stand by; if absent there is one of each,
    /// which nobody elects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standbys: Option<u32>,
    /// How many pods that have ended the collector keeps; 12,500 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished: Option<usize>,
}

impl Default for Settings {
    fn default() -> Self {
        let strategy = Strategy::default();
        Settings {
            strategy,
            profiles: BTreeMap::new(),
            node_grace: node_lifecycle::NODE_GRACE,
            eviction_after: node_lifecycle::EVICTION_AFTER,
            history: None,
            pages: None,
            standbys: None,
            finished: None,
        }
    }
}

/// A stand-by starts so much later than who stands by before it.
const STANDBY_LATER: Duration = Duration::from_secs(1);

/// Makes a program for these settings and a seed.
type Made = fn(&Settings, u64) -> record::Birth;

/// The scheduler and all controllers: what each is, its name, and how it is made.
const PROGRAMS: &[(Role, &str, Made)] = &[
    (Role::Scheduler, "scheduler", |settings, seed| {
        let (strategy, profiles) = (settings.strategy, settings.profiles.clone());
        record::Birth::Scheduler(SchedulerOptions { seed, strategy, profiles, ..Default::default() })
    }),
    (Role::Workloads, "workloads", |_, seed| {
        record::Birth::Workloads(workload::Options { seed, ..Default::default() })
    }),
    (Role::NodeLifecycle, "node-lifecycle", |settings, seed| {
        let Settings { node_grace: grace, eviction_after, .. } = *settings;
        let options = node_lifecycle::Options { grace, eviction_after, ..Default::default() };
        record::Birth::NodeLifecycle { options, seed }
    }),
    (Role::Garbage, "garbage", |settings, seed| {
        let usual = garbage::Options::default();
        let finished_max = settings.finished.unwrap_or(usual.finished_max);
        record::Birth::Garbage { options: garbage::Options { finished_max, ..usual }, seed }
    }),
    (Role::Namespaces, "namespaces", |_, seed| record::Birth::Namespaces {
        options: namespaces::Options::default(),
        seed,
    }),
    (Role::Endpoints, "endpoints", |_, seed| record::Birth::Endpoints { options: endpoints::Options::default(), seed }),
    (Role::Disruption, "disruption", |_, seed| record::Birth::Disruption {
        options: disruption::Options::default(),
        seed,
    }),
    (Role::Horizontal, "horizontal", |_, seed| record::Birth::Horizontal {
        options: horizontal::Options::default(),
        seed,
    }),
];

/// Somebody who looks at the pods with a label, as `kubectl get --watch` does.
struct Watcher(Informer);

impl Program for Watcher {
    fn step(&mut self, now: Now, input: Input, out: &mut Effects) {
        self.0.step(now, &input, out);
    }
}

/// An API server whose clients ask for so many objects of a list at a time. Over HTTP they put the pages together
/// themselves; here that is done at the server's door.
struct Paged {
    server: ApiServer,
    limit: usize,
    open: Vec<Reading>,
}

/// A list of which some pages were read.
struct Reading {
    from: RequestId,
    query: Query,
    items: Vec<Object>,
    /// At which revision all pages are, once there is one.
    at: Option<Revision>,
}

/// From one page to the next.
const PAGE: Duration = Duration::from_millis(2);

impl Reading {
    /// Reads another page; the answer, if it was the last one.
    fn read_on(&mut self, server: &ApiServer, limit: usize) -> Option<Answer> {
        let last = self.items.last().map(|last| (last.meta().namespace.clone(), last.meta().name.clone()));
        let page = match server.page(&self.query, self.at, last.as_ref(), Some(limit)) {
            // What has become too old is read anew, and at once. Source: client-go, `pager.FullListIfExpired`.
            Err(_) if self.at.is_some() => {
                self.items.clear();
                server.page(&self.query, None, None, None)
            }
            page => page,
        };
        match page {
            Err(status) => Some(Answer::Refused(status)),
            Ok(page) => {
                self.at = Some(page.revision);
                self.items.extend(page.items);
                let items = (page.left == 0).then(|| std::mem::take(&mut self.items))?;
                Some(Answer::List { revision: page.revision, items })
            }
        }
    }
}

impl Program for Paged {
    fn step(&mut self, now: Now, input: Input, out: &mut Effects) {
        match input {
            Input::Request { from, request: Request { verb: Verb::List(query), .. } } => {
                self.open.push(Reading { from, query, items: Vec::new(), at: None });
                self.server.step(now, Input::Wake, out);
            }
            input => {
                if let Input::Gone { from } = input {
                    self.open.retain(|one| one.from != from);
                }
                self.server.step(now, input, out);
            }
        }
        let (server, limit) = (&self.server, self.limit);
        self.open.retain_mut(|one| match one.read_on(server, limit) {
            Some(answer) => {
                out.push(Effect::Answer { to: one.from, answer });
                false
            }
            None => true,
        });
        out.wake_at(Some(now.mono + PAGE).filter(|_| !self.open.is_empty()));
    }
}

/// A program on a machine whose wall clock is wrong.
struct Askew {
    inner: Box<dyn Program>,
    ahead: Duration,
    behind: Duration,
}

impl Program for Askew {
    fn step(&mut self, now: Now, input: Input, out: &mut Effects) {
        let wall = now.wall + self.ahead - self.behind;
        self.inner.step(Now { wall, ..now }, input, out);
    }
}

/// A cluster to be, with everything that decides its runs.
#[derive(Clone)]
pub struct Cluster {
    setup: Setup,
    draw: Draw,
}

impl Cluster {
    /// An API server and nothing else.
    pub fn bare(seed: u64) -> Self {
        let server: ServerMaker = Rc::new(|birth: Birth<'_>, store: Store| -> Box<dyn Program> {
            Box::new(ApiServer::new(apiserver::Options::with_seed(birth.seed), store))
        });
        let setup = Setup {
            seed,
            server,
            parts: Vec::new(),
            link: Default::default(),
            sync: Delay::micros(300, 400),
            speeds: Default::default(),
            any_image: false,
            strategies: BTreeMap::new(),
            settings: Settings::default(),
            askew: Vec::new(),
            objects: Vec::new(),
            faults: Vec::new(),
            calls: Vec::new(),
            checked: true,
            trace: trace::Mode::Off,
        };
        Cluster { setup, draw: Draw::new(seed).key("cluster") }
    }

    /// The whole control plane and nodes `node-1`, `node-2` and so on.
    pub fn whole(seed: u64, nodes: usize) -> Self {
        let mut cluster = Cluster::bare(seed).control_plane();
        for nth in 1..=nodes {
            cluster = cluster.node(NodeShape::named(format!("node-{nth}")));
        }
        cluster
    }

    /// Adds the scheduler and all controllers.
    pub fn control_plane(self) -> Self {
        self.control_plane_with(Settings::default())
    }

    /// Adds the scheduler and all controllers, set like this.
    pub fn control_plane_with(mut self, settings: Settings) -> Self {
        self.setup.settings = settings.clone();
        let cluster = match (settings.history, settings.pages) {
            (None, None) => self,
            (history, pages) => self.server(move |birth, store| {
                let store = match history {
                    Some(history) => store.remembering(history),
                    None => store,
                };
                let server = ApiServer::new(apiserver::Options::with_seed(birth.seed), store);
                match pages {
                    Some(limit) => Box::new(Paged { server, limit: limit.max(1), open: Vec::new() }),
                    None => Box::new(server),
                }
            }),
        };
        let mut cluster = PROGRAMS.iter().fold(cluster, |cluster, (role, name, made)| {
            let Some(standbys) = settings.standbys else {
                let settings = settings.clone();
                return cluster.program(*role, name, move |birth| made(&settings, birth.seed).program());
            };
            (0..=standbys).fold(cluster, |cluster, nth| {
                let settings = settings.clone();
                let named = if nth == 0 { (*name).to_owned() } else { format!("{name}-{}", nth + 1) };
                let mut cluster = cluster.program(*role, &named, move |birth| {
                    let program = made(&settings, birth.seed);
                    let identity = format!("{}_{}", birth.name, birth.life);
                    let by = leader::Options::new(&program.name(), &program.lease(), &identity, birth.seed);
                    program.elected(by).program()
                });
                // The first of each leads at first.
                let part = cluster.setup.parts.iter_mut().find(|part| part.name == named).expect("it was just added");
                part.starts = part.starts.map(|at| at + STANDBY_LATER * nth);
                cluster
            })
        });
        cluster.setup.strategies = settings.profiles;
        cluster.setup.strategies.insert(DEFAULT_SCHEDULER.into(), settings.strategy);
        cluster
    }

    /// Adds a program, or replaces the one of this name: a wrong one, to see whether it is caught.
    pub fn program(mut self, role: Role, name: &str, make: impl Fn(Birth<'_>) -> Box<dyn Program> + 'static) -> Self {
        if role == Role::Scheduler {
            // One of somebody's own chooses as it likes.
            self.setup.strategies.clear();
        }
        self.part(role, name, None, Rc::new(make));
        self
    }

    /// Replaces the API server.
    pub fn server(mut self, make: impl Fn(Birth<'_>, Store) -> Box<dyn Program> + 'static) -> Self {
        self.setup.server = Rc::new(make);
        self
    }

    /// Adds a node with its kubelet.
    pub fn node(self, shape: NodeShape) -> Self {
        let facts = shape.facts(self.setup.parts.len());
        self.node_with(&shape.name, move |birth| {
            let node = birth.node.expect("a kubelet has a node").to_owned();
            Box::new(Kubelet::new(KubeletOptions {
                node,
                facts: facts.clone(),
                seed: birth.seed,
                ..Default::default()
            }))
        })
    }

    /// Adds a node with another kubelet.
    pub fn node_with(mut self, node: &str, make: impl Fn(Birth<'_>) -> Box<dyn Program> + 'static) -> Self {
        self.part(Role::Kubelet, &format!("kubelet/{node}"), Some(node.to_owned()), Rc::new(make));
        self
    }

    fn part(&mut self, role: Role, name: &str, node: Option<String>, make: Maker) {
        let starts = Duration::from_micros(self.draw.key("start").key(name).below(200_000));
        let part = Part { role, name: name.to_owned(), node, starts: Some(starts), make };
        match self.setup.parts.iter_mut().find(|one| one.name == name) {
            Some(one) => *one = part,
            None => self.setup.parts.push(part),
        }
    }

    /// The names of all programs but the API server.
    pub fn actors(&self) -> impl Iterator<Item = &str> {
        self.setup.parts.iter().map(|part| part.name.as_str())
    }

    /// Adds somebody who watches the pods with these labels.
    pub fn watcher(self, name: &str, labels: LabelSelector) -> Self {
        self.program(Role::Other, name, move |birth| {
            let query = Query { labels: labels.clone(), ..Query::all(Kind::Pod) };
            Box::new(Watcher(Informer::new(query, 1, birth.seed, informer::Options::default())))
        })
    }

    /// Sets a node's wall clock wrong.
    pub fn askew(mut self, node: &str, ahead: Duration, behind: Duration) -> Self {
        sometimes!(ClockAskew);
        let name = format!("kubelet/{node}");
        let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        self.setup.askew.push((name.clone(), nanos(ahead) - nanos(behind)));
        self.wrap(&name, move |inner| Box::new(Askew { inner, ahead, behind }))
    }

    /// Puts something between a program and the world, in all of its lives.
    pub fn wrap(mut self, name: &str, around: impl Fn(Box<dyn Program>) -> Box<dyn Program> + 'static) -> Self {
        if let Some(part) = self.setup.parts.iter_mut().find(|part| part.name == name) {
            let make = part.make.clone();
            part.make = Rc::new(move |birth: Birth<'_>| around(make(birth)));
        }
        self
    }

    /// Changes links, disk, runtimes.
    pub fn with(mut self, change: impl FnOnce(&mut Setup)) -> Self {
        change(&mut self.setup);
        self
    }

    /// How much of the events is kept.
    pub fn trace(self, mode: trace::Mode) -> Self {
        self.with(|setup| setup.trace = mode)
    }

    /// Begins: the cluster, and what will be done to it.
    pub fn begin(mut self, plan: &Plan) -> World {
        self.setup.faults = plan.faults();
        let asks = plan.asks();
        if !asks.is_empty() {
            self = self.program(Role::Operator, "operator", move |_| Box::new(Operator::new(asks.clone())));
            let operator = self.setup.parts.last_mut().expect("it was just added");
            operator.starts = Some(Duration::ZERO);
        }
        for (nth, (at, when, ask)) in (1..).zip(plan.asks_when()) {
            let name = format!("operator/{nth}");
            self = self
                .program(Role::Operator, &name, move |_| Box::new(Operator::new(vec![(Duration::ZERO, ask.clone())])));
            self.setup.parts.last_mut().expect("it was just added").starts = None;
            self.setup.calls.push((at, when, name));
        }
        World::new(self.setup)
    }
}
