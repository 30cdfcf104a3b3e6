//! What a world is made of, and how it begins.

use super::agenda::{Agenda, Happening};
use super::alarm::Alarm;
use super::clock::Clock;
use super::faults::ServerTrouble;
use super::{Actor, Counts, Machine, Noise, Server, WALL_START, World};
use crate::cluster::Settings;
use crate::invariants::Judge;
use crate::link::Quality;
use crate::noise::{Counted, Delay};
use crate::plan::{Fault, When};
use crate::runtime::{Results, Runtime, Speeds};
use crate::trace::{self, Trace};
use crate::truth::{NodeFacts, Role, Truth, Who};
use miniku_core::api::meta::Time;
use miniku_core::api::object::Object;
use miniku_core::api::pod::{Pod, PodPhase};
use miniku_core::api::text::Text;
use miniku_core::program::{Effects, Program};
use miniku_core::rng::Draw;
use miniku_core::scheduler::Strategy;
use miniku_core::store::Store;
use miniku_core::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// What a program is made of: who it is, and a seed of its own for each life.
#[derive(Clone, Copy, Debug)]
pub struct Birth<'a> {
    /// `scheduler`, `kubelet/node-1`.
    pub name: &'a str,
    /// For a kubelet, its node.
    pub node: Option<&'a str>,
    /// Differs for each actor and each of its lives.
    pub seed: u64,
    /// 1 for the first.
    pub life: u32,
}

/// Makes a program, as a daemon would at its start.
pub type Maker = Rc<dyn Fn(Birth<'_>) -> Box<dyn Program>>;
/// Makes an API server on what the disk has, as a daemon would at its start.
pub type ServerMaker = Rc<dyn Fn(Birth<'_>, Store) -> Box<dyn Program>>;

/// An actor of a world to be.
#[derive(Clone)]
pub struct Part {
    /// What it is.
    pub role: Role,
    /// Unique.
    pub name: String,
    /// For a kubelet, its node.
    pub node: Option<String>,
    /// When it starts first; if absent, when it is called for.
    pub starts: Option<Duration>,
    /// Makes its program.
    pub make: Maker,
}

/// What a world is made of.
#[derive(Clone)]
pub struct Setup {
    /// Decides every draw.
    pub seed: u64,
    /// Makes the API server.
    pub server: ServerMaker,
    /// The other actors. Those with a node bring a machine with a runtime.
    pub parts: Vec<Part>,
    /// How good the links are.
    pub link: Quality,
    /// How long a sync of the disk takes.
    pub sync: Delay,
    /// How fast the nodes are.
    pub speeds: Speeds,
    /// Whether every image can be had.
    pub any_image: bool,
    /// How the scheduler chooses nodes, by the `spec.schedulerName` of pods.
    pub strategies: BTreeMap<Text, Strategy>,
    /// How its programs are set, for those who judge them.
    pub settings: Settings,
    /// Parts whose wall clocks are off from the beginning, and by how many nanoseconds. Their programs are made so.
    pub askew: Vec<(String, i64)>,
    /// What is stored at the beginning. Pods that run on a node do so from the beginning.
    pub objects: Vec<Object>,
    /// What goes wrong, and when.
    pub faults: Vec<(Duration, Option<When>, Fault)>,
    /// Which parts are called for by what happens from a time on.
    pub calls: Vec<(Duration, When, String)>,
    /// Whether checkers look on.
    pub checked: bool,
    /// How much of the events is kept.
    pub trace: trace::Mode,
}

impl Server {
    fn new(draw: Draw, make: ServerMaker, sync: Delay) -> Self {
        Server {
            who: Who { role: Role::ApiServer, name: "apiserver".into(), life: 1 },
            make,
            program: None,
            alarm: Alarm::new(draw.key("wake").key("apiserver")),
            clock: Clock::default(),
            wake_at: None,
            told_at: Instant::default(),
            syncs: Counted::of(draw.key("sync")),
            sync,
            starts_at: Instant::default(),
            frozen: Instant::default(),
            trouble: ServerTrouble::new(draw.key("refusals")),
        }
    }
}

impl Machine {
    fn new(name: Arc<str>, runtime: Runtime, kubelet: usize) -> Self {
        let (frozen, commanded_at, told_at) = Default::default();
        Machine { name, runtime, up: true, boot: 1, kubelet, frozen, commanded_at, told_at }
    }
}

impl World {
    /// A world in which nothing has happened yet.
    pub fn new(setup: Setup) -> Self {
        let Setup { seed, server, parts, link, sync, speeds, any_image, strategies, settings, askew, .. } = setup;
        let Setup { objects, faults, calls, checked, trace, .. } = setup;
        let draw = Draw::new(seed);
        let (mut agenda, mut truth) = (Agenda::default(), Truth::default());
        (truth.any_image, truth.strategies, truth.settings) = (any_image, strategies, settings);
        truth.askew = askew.into_iter().map(|(name, off)| (name.into(), off)).collect();
        let (mut actors, mut machines) = (Vec::new(), Vec::new());
        agenda.add(Instant::default(), 0, Happening::StartServer { life: 1 });
        for (actor, part) in parts.into_iter().enumerate() {
            let Part { role, name, node, starts, make } = part;
            let machine = node.map(|node| {
                let runtime = Runtime::new(speeds, any_image, machines.len(), draw.key("runtime").key(&node));
                let machine = Machine::new(node.as_str().into(), runtime, actor);
                truth.nodes.insert(machine.name.clone(), NodeFacts { up: true, in_touch: None });
                machines.push(machine);
                machines.len() - 1
            });
            let tie = draw.key("start").key(&name).u64();
            if let Some(starts) = starts {
                agenda.add(Instant::default() + starts, tie, Happening::Start { actor, life: 1 });
            }
            actors.push(Actor::new(draw, Who { role, name: name.into(), life: 1 }, machine, make, link));
        }
        for (fault, (at, when, _)) in faults.iter().enumerate() {
            let tie = draw.key("strike").count(fault as u64).u64();
            let what = if when.is_some() { Happening::Arm { fault } } else { Happening::Strike { fault } };
            agenda.add(Instant::default() + *at, tie, what);
        }
        for (call, (at, ..)) in calls.iter().enumerate() {
            let tie = draw.key("call").count(call as u64).u64();
            agenda.add(Instant::default() + *at, tie, Happening::ArmCall { call });
        }
        let mut world = World {
            seed,
            agenda,
            truth,
            judge: Judge::new(checked),
            trace: Trace::new(trace),
            journal: None,
            server: Server::new(draw, server, sync),
            actors,
            machines,
            requests: BTreeMap::new(),
            next_request: 0,
            faults,
            calls,
            written: Default::default(),
            frozen: Instant::default(),
            over: Instant::default(),
            counts: Counts::default(),
            out: Effects::default(),
            last_noise: Noise::None,
            onlooker: None,
            halt: Instant::from_nanos(u64::MAX),
        };
        world.preload(objects);
        world
    }

    /// Stores what is there from the beginning, and starts what runs from the beginning.
    fn preload(&mut self, objects: Vec<Object>) {
        let wall = WALL_START;
        for (nth, object) in (0..).zip(objects) {
            let mut object = object.with_meta(|meta| {
                if meta.uid.is_empty() {
                    meta.uid = Draw::new(self.seed).key("uid").count(nth).uuid().into();
                }
                if meta.creation_timestamp.is_none() {
                    meta.creation_timestamp = Some(Time::of(wall));
                }
            });
            (object.kind().row().set_defaults)(&mut object);
            let Some(change) = self.truth.disk.preload(object.clone()) else { continue };
            self.durable(change);
            let Some(pod) = object.get::<Pod>().filter(|pod| pod.status.phase == PodPhase::Running) else { continue };
            let node = pod.node().and_then(|node| self.machines.iter().position(|machine| *machine.name == *node));
            if let Some(node) = node {
                let mut results = Results::default();
                self.machines[node].runtime.preload(wall, pod, &mut results);
                self.results(node, results);
            }
        }
    }
}
