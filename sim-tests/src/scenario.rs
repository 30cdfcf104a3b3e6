//! Scenarios: stories as data, from files and to files.
//!
//! A scenario says what cluster there is, what is done to it and when, and what is expected. It holds nothing that is
//! drawn, so that the same file and the same seed are the same run. `miniku sim shrink` writes them, people too:
//!
//! ```
//! use miniku_sim::scenario::Scenario;
//!
//! let text = "
//! name: three
//! about: Three pods run.
//! cluster: {nodes: 2}
//! timeline:
//!   - at: 1s
//!     create:
//!       apiVersion: apps/v1
//!       kind: ReplicaSet
//!       metadata: {name: web}
//!       spec:
//!         replicas: 3
//!         selector: {matchLabels: {app: web}}
//!         template:
//!           metadata: {labels: {app: web}}
//!           spec: {containers: [{name: main, image: busybox}]}
//! expect:
//!   - {from: 1s, within: 5s, that: three run, pods: {of: web, running: 3}}
//! ";
//! let scenario = Scenario::read(text).unwrap();
//! assert_eq!(scenario.run(7).unwrap().truth().active("web").count(), 3);
//! assert_eq!(Scenario::read(&scenario.text()).unwrap(), scenario);
//! ```

mod check;

use crate::cluster::{Cluster, NodeShape, Settings};
use crate::invariants::stable;
use crate::link::Quality;
use crate::noise::Delay;
use crate::plan::{Entry, Plan};
use crate::runtime::Speeds;
use crate::story::{self, Failure, Story};
use crate::trace::Mode;
use crate::truth::Truth;
use crate::units;
use crate::world::World;
use miniku_core::api::job::Job;
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::ObjectMeta;
use miniku_core::api::names::{NOT_A_SUBDOMAIN, is_dns_subdomain};
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Pod, PodPhase};
use miniku_core::api::quantity::Quantity;
use miniku_core::api::selector::parse_label_selector;
use miniku_core::time::Duration;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::BTreeMap;
use std::fmt;

fn unnamed() -> String {
    "scenario".into()
}

/// A cluster, what is done to it, and what is expected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scenario {
    /// Its name: words with dashes. A file need not say it.
    #[serde(default = "unnamed")]
    pub name: String,
    /// What one learns from it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// The seed it is meant for, if for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The cluster.
    #[serde(default)]
    pub cluster: Spec,
    /// What is done, in any order; the times decide.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Entry>,
    /// What must become true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<Expect>,
    /// How it ends.
    #[serde(default, skip_serializing_if = "Ending::is_default")]
    pub end: Ending,
}

/// What a cluster is made of. What is left out is as in a cluster of good machines in one place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Spec {
    /// The nodes.
    pub nodes: Nodes,
    /// The ways between programs and the API server.
    #[serde(skip_serializing_if = "is_default")]
    pub network: Quality,
    /// How long a sync of the API server's disk takes.
    #[serde(skip_serializing_if = "is_default")]
    pub sync: Sync,
    /// How fast the nodes' container runtimes are.
    #[serde(skip_serializing_if = "is_default")]
    pub runtime: Speeds,
    /// How the programs are set.
    #[serde(skip_serializing_if = "is_default")]
    pub settings: Settings,
    /// People who watch the pods with these labels: `app=web`, as `kubectl get --watch -l` takes them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub watchers: Vec<String>,
    /// Whether every image can be had; busybox and alpine alone if not.
    #[serde(skip_serializing_if = "is_default")]
    pub any_image: bool,
    /// What is stored at the beginning. Pods that run on a node do so from the beginning.
    #[serde(skip_serializing_if = "Vec::is_empty", with = "objects")]
    pub objects: Vec<Object>,
}

/// Objects as manifests.
mod objects {
    use crate::plan::try_object;
    use miniku_core::api::object::Object;
    use serde::{Deserialize, Deserializer, Serializer, de};
    use serde_json::Value;

    pub fn serialize<S: Serializer>(objects: &[Object], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(objects)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Object>, D::Error> {
        let manifests = Vec::<Value>::deserialize(from)?;
        manifests.into_iter().map(|manifest| try_object(manifest).map_err(de::Error::custom)).collect()
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// How long a sync of a disk takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sync(pub Delay);

impl Default for Sync {
    fn default() -> Self {
        Sync(Delay::micros(300, 400))
    }
}

/// Nodes, in groups of equal ones. In files a number stands for so many ordinary ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Nodes(pub Vec<NodeGroup>);

/// Nodes that are alike: `node-1`, `node-2` and so on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeGroup {
    /// What their names begin with; the whole name if there is one.
    pub name: String,
    /// How many there are; one, named as the group, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// Processors of each.
    #[serde(default = "four_processors")]
    pub cpu: Quantity,
    /// Memory of each.
    #[serde(default = "eight_gibibytes")]
    pub memory: Quantity,
    /// How many pods each takes.
    #[serde(default = "usual_pods")]
    pub pods: u64,
    /// Images that each has already, by their names with the tag: how large they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, Quantity>,
    /// Their wall clocks are ahead by so much.
    #[serde(default, with = "units::duration", skip_serializing_if = "Duration::is_zero")]
    pub clock_ahead: Duration,
    /// Their wall clocks are behind by so much.
    #[serde(default, with = "units::duration", skip_serializing_if = "Duration::is_zero")]
    pub clock_behind: Duration,
}

impl NodeGroup {
    /// One ordinary node of this name.
    pub fn one(name: impl Into<String>) -> Self {
        let (cpu, memory, pods) = (four_processors(), eight_gibibytes(), usual_pods());
        let (clock_ahead, clock_behind) = (Duration::ZERO, Duration::ZERO);
        let images = BTreeMap::new();
        NodeGroup { name: name.into(), count: None, cpu, memory, pods, images, clock_ahead, clock_behind }
    }

    /// The names of its nodes.
    pub fn names(&self) -> Vec<String> {
        match self.count {
            None => vec![self.name.clone()],
            Some(count) => (1..=count).map(|nth| format!("{}-{nth}", self.name)).collect(),
        }
    }
}

fn four_processors() -> Quantity {
    Quantity::whole(4)
}

fn eight_gibibytes() -> Quantity {
    "8Gi".parse().expect("it is a quantity")
}

fn usual_pods() -> u64 {
    110
}

impl Nodes {
    /// So many ordinary nodes.
    pub fn ordinary(count: usize) -> Self {
        Nodes(vec![NodeGroup { count: Some(count), ..NodeGroup::one("node") }])
    }

    /// Each node.
    pub fn shapes(&self) -> Vec<NodeShape> {
        let groups = self.0.iter().flat_map(|group| {
            let shape = |name: String| NodeShape {
                name,
                cpu_milli: group.cpu.milli_value(),
                memory_bytes: group.memory.value(),
                pods: group.pods,
                images: group.images.iter().map(|(image, size)| (image.clone(), size.value())).collect(),
            };
            group.names().into_iter().map(shape)
        });
        groups.collect()
    }
}

/// No run needs more, and each costs memory.
const NODES_MAX: usize = 20_000;

/// More of a kind than anybody runs.
const STANDBYS_MAX: u32 = 8;

/// Kinds whose pods can be meant by the name of their maker.
const MAKERS: &[Kind] =
    &[Kind::ReplicaSet, Kind::Deployment, Kind::StatefulSet, Kind::DaemonSet, Kind::Job, Kind::CronJob];

/// Nothing happens later than this.
const LATEST: Duration = Duration::from_secs(366 * 24 * 3_600);

impl Nodes {
    /// What is wrong with them by themselves.
    fn check(&self) -> Result<(), String> {
        let all = self.0.iter().fold(0_usize, |all, group| all.saturating_add(group.count.unwrap_or(1)));
        if all > NODES_MAX {
            return Err(format!("{all} nodes are more than {NODES_MAX}"));
        }
        for group in &self.0 {
            if let Some(name) = group.names().iter().find(|name| !is_dns_subdomain(name)) {
                return Err(format!("{name:?} is no name of a node: {NOT_A_SUBDOMAIN}"));
            }
            // A pod's image has one, said or not.
            let is_tag = |tag: &str| !tag.is_empty() && !tag.contains('/');
            let tagged = |image: &str| image.rsplit_once(':').is_some_and(|(_, tag)| is_tag(tag));
            if let Some(image) = group.images.keys().find(|image| !tagged(image)) {
                return Err(format!("{}: images: {image:?} has no tag", group.name));
            }
            let images = group.images.values().map(|size| ("images", size));
            for (what, amount) in [("cpu", &group.cpu), ("memory", &group.memory)].into_iter().chain(images) {
                let amount = amount.to_string();
                if amount.starts_with('-') {
                    return Err(format!("{}: {what}: {amount:?} is less than nothing", group.name));
                }
            }
        }
        Ok(())
    }
}

impl Default for Nodes {
    fn default() -> Self {
        Nodes::ordinary(3)
    }
}

impl Serialize for Nodes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [group] if Nodes::ordinary(group.count.unwrap_or(0)) == *self => {
                to.serialize_u64(group.count.unwrap_or(0) as u64)
            }
            groups => groups.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Nodes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Nodes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of nodes, or a list of them")
            }
            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Nodes, E> {
                usize::try_from(count).map(Nodes::ordinary).map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, count: i64) -> Result<Nodes, E> {
                let count = u64::try_from(count).map_err(|_| E::custom("a cluster has no negative number of nodes"))?;
                self.visit_u64(count)
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Nodes, A::Error> {
                let mut groups = Vec::new();
                while let Some(group) = list.next_element()? {
                    groups.push(group);
                }
                Ok(Nodes(groups))
            }
        }
        from.deserialize_any(Visitor)
    }
}

/// Something that must become true in time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expect {
    /// Looked at from this time on.
    #[serde(with = "units::duration")]
    pub from: Duration,
    /// For so long.
    #[serde(with = "units::duration")]
    pub within: Duration,
    /// Its name, a statement.
    pub that: String,
    /// Which pods there are, and how they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodsAre>,
    /// How nodes are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<NodesAre>,
    /// Which jobs there are, and how far they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<JobsAre>,
    /// Objects that are not there: `ReplicaSet/default/web`, `Node/node-1`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<String>,
    /// Objects that are there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub present: Vec<String>,
}

/// Which pods are meant, and what is true of them. All that is said must be so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PodsAre {
    /// Those that this workload made, or what it made did, and that neither have finished nor are being deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// The one of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// There are so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// So many of them are ready, with processes that really live on their node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<usize>,
    /// One of them at least is on this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// None of them is on this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_on: Option<String>,
    /// All of them are in this phase, and there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<PodPhase>,
    /// One of their containers waits for one of these reasons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<String>,
    /// Their containers were restarted at least so often in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<i32>,
}

/// Which jobs are meant, and what is true of them. All that is said must be so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct JobsAre {
    /// Those that this cron job made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// The one of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// There are so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// So many of them have not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<usize>,
    /// So many of them have ended well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete: Option<usize>,
    /// So many of their pods have succeeded, as they count them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<i64>,
}

/// Which nodes are meant, and what is true of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodesAre {
    /// The one of this name; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The API server knows them as ready, or not.
    pub ready: bool,
}

impl PodsAre {
    /// Whether nothing is said of those that are meant.
    fn says_nothing(&self) -> bool {
        PodsAre { of: None, name: None, ..self.clone() } == PodsAre::default()
    }

    fn so(&self, truth: &Truth) -> bool {
        let made_by = |pod: &Pod, maker: &str| {
            let by = pod.metadata.controller();
            let made = by.and_then(|by| {
                let kind = Kind::named(&by.api_version, &by.kind)?;
                truth.object(&Key::new(kind, &pod.metadata.namespace, &by.name))
            });
            let above = made.and_then(|made| made.meta().controller());
            by.into_iter().chain(above).any(|by| by.name == maker) && pod.is_active()
        };
        let chosen = |&pod: &&Pod| {
            self.of.as_deref().is_none_or(|maker| made_by(pod, maker))
                && self.name.as_ref().is_none_or(|name| pod.metadata.name == *name)
        };
        let pods: Vec<&Pod> = truth.all::<Pod>().filter(chosen).collect();
        let waits = |pod: &&Pod| {
            let waiting = pod.status.container_statuses.iter().filter_map(|one| one.state.waiting.as_ref());
            waiting.into_iter().any(|waiting| self.waiting.iter().any(|reason| waiting.reason == *reason))
        };
        let restarts = |pod: &&Pod| pod.status.container_statuses.iter().map(|one| one.restart_count).sum::<i32>();
        self.count.is_none_or(|count| pods.len() == count)
            && self.running.is_none_or(|many| pods.iter().filter(|pod| truth.really_runs(pod)).count() == many)
            && self.on.as_deref().is_none_or(|node| pods.iter().any(|pod| pod.node() == Some(node)))
            && self.not_on.as_deref().is_none_or(|node| pods.iter().all(|pod| pod.node() != Some(node)))
            && self.phase.is_none_or(|phase| !pods.is_empty() && pods.iter().all(|pod| pod.status.phase == phase))
            && (self.waiting.is_empty() || pods.iter().any(waits))
            && self.restarts.is_none_or(|many| pods.iter().map(restarts).sum::<i32>() >= many)
    }
}

impl JobsAre {
    /// Whether nothing is said of those that are meant.
    fn says_nothing(&self) -> bool {
        JobsAre { of: None, name: None, ..self.clone() } == JobsAre::default()
    }

    fn so(&self, truth: &Truth) -> bool {
        let all = truth.disk.objects().of_kind(Kind::Job);
        let made_by =
            |meta: &ObjectMeta, cron: &str| meta.controller().is_some_and(|by| by.kind == "CronJob" && by.name == cron);
        let chosen = |meta: &ObjectMeta| {
            self.of.as_deref().is_none_or(|cron| made_by(meta, cron))
                && self.name.as_ref().is_none_or(|name| meta.name == *name)
        };
        let jobs: Vec<Job> = all.filter(|object| chosen(object.meta())).filter_map(Object::read).collect();
        let succeeded = || jobs.iter().map(|job| i64::from(job.status.succeeded.unwrap_or(0))).sum::<i64>();
        let is = |wanted: Option<usize>, so: fn(&Job) -> bool| {
            wanted.is_none_or(|wanted| jobs.iter().filter(|job| so(job)).count() == wanted)
        };
        is(self.count, |_| true)
            && is(self.active, |job| !job.is_over())
            && is(self.complete, |job| job.is("Complete"))
            && self.succeeded.is_none_or(|wanted| succeeded() == wanted)
    }
}

impl NodesAre {
    fn so(&self, truth: &Truth) -> bool {
        let named = |node: &&Node| self.name.as_ref().is_none_or(|name| node.metadata.name == *name);
        let mut nodes = truth.all::<Node>().filter(named).peekable();
        nodes.peek().is_some() && nodes.all(|node| node.is_ready() == self.ready)
    }
}

/// How a scenario ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Ending {
    /// After the last fault it reaches what is wished for within this time, and is silent then.
    Settles(#[serde(with = "units::duration")] Duration),
    /// It goes on at least until then: something in it never rests.
    RunsUntil(#[serde(with = "units::duration")] Duration),
}

impl Ending {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
    fn is_default(&self) -> bool {
        *self == Ending::default()
    }
}

impl Default for Ending {
    fn default() -> Self {
        Ending::Settles(stable::BOUND)
    }
}

/// Why a text is no scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoScenario(String);

impl fmt::Display for NoScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoScenario {}

impl Scenario {
    /// A scenario in which nothing happens.
    pub fn named(name: impl Into<String>) -> Self {
        Scenario {
            name: name.into(),
            about: String::new(),
            seed: None,
            cluster: Spec::default(),
            timeline: Vec::new(),
            expect: Vec::new(),
            end: Ending::default(),
        }
    }

    /// Reads YAML. Says which line and field is wrong.
    pub fn read(text: &str) -> Result<Self, NoScenario> {
        Self::read_for(text, |_| {})
    }

    /// Reads YAML of a scenario whose cluster is put in by `put`, so that it can speak of what is there.
    pub fn read_for(text: &str, put: impl FnOnce(&mut Scenario)) -> Result<Self, NoScenario> {
        let options = serde_saphyr::options! { with_snippet: false };
        let mut scenario: Scenario = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| NoScenario(error.without_snippet().to_string()))?;
        put(&mut scenario);
        scenario.check().map_err(|(place, what)| {
            let line = line_of(text, &place).map(|line| format!(" at line {line}")).unwrap_or_default();
            NoScenario(format!("{place}: {what}{line}"))
        })?;
        Ok(scenario)
    }

    /// Says what is wrong with a scenario that was put together.
    pub fn checked(&self) -> Result<(), NoScenario> {
        self.check().map_err(|(place, what)| NoScenario(format!("{place}: {what}")))
    }

    /// Writes YAML.
    pub fn text(&self) -> String {
        let options = serde_saphyr::ser_options! { compact_list_indent: true, folded_wrap_chars: usize::MAX };
        serde_saphyr::to_string_with_options(self, options).expect("scenarios are written without fail")
    }

    /// The plan alone.
    pub fn plan(&self) -> Plan {
        Plan { entries: self.timeline.clone() }
    }

    /// The story for a seed.
    pub fn story(&self, seed: u64) -> Story {
        let mut story = Story::of(self.cluster.cluster(seed));
        story.plan = self.plan();
        for expect in &self.expect {
            let (pods, nodes, jobs) = (expect.pods.clone(), expect.nodes.clone(), expect.jobs.clone());
            let keys = |paths: &[String]| paths.iter().filter_map(|path| key_of(path)).collect::<Vec<Key>>();
            let (absent, present) = (keys(&expect.absent), keys(&expect.present));
            story = story.expect(expect.from, expect.within, expect.that.clone(), move |truth| {
                pods.as_ref().is_none_or(|pods| pods.so(truth))
                    && nodes.as_ref().is_none_or(|nodes| nodes.so(truth))
                    && jobs.as_ref().is_none_or(|jobs| jobs.so(truth))
                    && absent.iter().all(|key| truth.object(key).is_none())
                    && present.iter().all(|key| truth.object(key).is_some())
            });
        }
        story.ending = match self.end {
            Ending::Settles(bound) => story::Ending::Settles(bound),
            Ending::RunsUntil(until) => story::Ending::GoesOn(until),
        };
        story
    }

    /// Runs it for a seed.
    #[allow(clippy::result_large_err, reason = "a failure ends the run, and is moved once")]
    pub fn run(&self, seed: u64) -> Result<World, Failure> {
        story::tell(|| self.story(seed))
    }

    /// Runs it for a seed and keeps the trace.
    pub fn trace(&self, seed: u64, mode: Mode) -> World {
        self.story(seed).tell(mode)
    }
}

impl Spec {
    /// The cluster for a seed.
    pub fn cluster(&self, seed: u64) -> Cluster {
        let Spec { nodes, network, sync, runtime, settings, watchers, any_image, objects } = self;
        let mut cluster = Cluster::bare(seed).control_plane_with(settings.clone());
        for shape in nodes.shapes() {
            cluster = cluster.node(shape);
        }
        for (nth, labels) in watchers.iter().enumerate() {
            // What is no selector was refused when the scenario was read.
            if let Ok(labels) = parse_label_selector(labels) {
                cluster = cluster.watcher(&format!("watcher-{}", nth + 1), labels);
            }
        }
        for group in nodes.0.iter().filter(|group| !group.clock_ahead.is_zero() || !group.clock_behind.is_zero()) {
            for node in group.names() {
                cluster = cluster.askew(&node, group.clock_ahead, group.clock_behind);
            }
        }
        cluster.with(|setup| {
            setup.link = *network;
            setup.sync = sync.0;
            setup.speeds = *runtime;
            setup.any_image = *any_image;
            setup.objects.clone_from(objects);
        })
    }

    /// What is not as in an ordinary cluster, a line each.
    pub fn lines(&self) -> Vec<String> {
        let options = serde_saphyr::ser_options! { compact_list_indent: true, folded_wrap_chars: usize::MAX };
        let text = serde_saphyr::to_string_with_options(self, options).expect("clusters are written without fail");
        text.lines().map(str::to_owned).collect()
    }
}

/// The object of a path as [`crate::trace::path`] writes it.
fn key_of(path: &str) -> Option<Key> {
    let parts: Vec<&str> = path.split('/').collect();
    let kind = Kind::meant(parts[0])?;
    match (kind.row().namespaced, parts.as_slice()) {
        (true, [_, namespace, name]) => Some(Key::new(kind, namespace, name)),
        (false, [_, name]) => Some(Key::new(kind, "", name)),
        _ => None,
    }
}

/// The line of a list's entry in a text: `timeline[2]` is the third dash below `timeline:`.
fn line_of(text: &str, place: &str) -> Option<usize> {
    let (list, nth) = place.strip_suffix(']')?.split_once('[')?;
    let nth: usize = nth.parse().ok()?;
    let mut lines = text.lines().enumerate().skip_while(|(_, line)| !line.starts_with(&format!("{list}:")));
    lines.next()?;
    let is_dash = |line: &str| line.trim_start().starts_with("- ");
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut first = None;
    let dashes = lines
        .take_while(|(_, line)| line.is_empty() || line.starts_with([' ', '-', '#']))
        .filter(|(_, line)| is_dash(line) && *first.get_or_insert(indent(line)) == indent(line));
    dashes.map(|(at, _)| at + 1).nth(nth)
}
