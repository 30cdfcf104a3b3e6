//! What daemons are put together from.

use crate::api::Api as HttpApi;
use crate::cli::daemons::{
    AccessArgs, ElectionArgs, ListenArgs, RecordArgs, Runtime, ServiceArgs, StateArgs, Store, WatchArgs,
};
use crate::clock::{self, Clock};
use crate::daemons::{DaemonError, access};
use crate::driver::{Api, Daemon, Hands, Letterbox};
use crate::engine::Engine;
use crate::engine::lock::{DirectoryLock, UP, lock_in};
use crate::engine::memory::Memory;
use crate::engine::redb::Redb;
use crate::host::ApiHost;
use crate::http::{self, Serving};
use crate::node::{Fake, Namespaces, NodeServer, Share, facts};
use crate::recording::Recorder;
use miniku_core::apiserver::{self, services};
use miniku_core::client::{Backoff, informer, leader};
use miniku_core::controllers::{disruption, endpoints, garbage, horizontal, namespaces, node_lifecycle, workload};
use miniku_core::kubelet;
use miniku_core::record::Birth;
use miniku_core::rng::Draw;
use miniku_core::scheduler::{SchedulerOptions, Strategy};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Opens the store that the flags name.
pub fn engine(state: &StateArgs) -> Result<Box<dyn Engine>, DaemonError> {
    match state.store {
        Store::Memory => Ok(Box::new(Memory::default())),
        Store::Redb => {
            let directory = store_directory(state);
            Redb::open(&directory)
                .map(|redb| Box::new(redb) as Box<dyn Engine>)
                .map_err(|error| DaemonError(error.to_string()))
        }
    }
}

/// Takes the data directory, wherever the store is: pods are kept there too, and `miniku down` asks who uses it.
pub fn hold(state: &StateArgs, runtime: Runtime) -> Result<Option<DirectoryLock>, DaemonError> {
    let lock = (runtime == Runtime::Namespaces).then(|| lock_in(&state.data_dir, UP)).transpose();
    lock.map_err(|error| DaemonError(error.to_string()))
}

/// Where the stored objects are: MiniKu's `-db` names a file, here the directory that holds one.
pub fn store_directory(state: &StateArgs) -> PathBuf {
    state.db.clone().unwrap_or_else(|| state.data_dir.join("store"))
}

/// Where programs are recorded, if the flags say so.
pub fn recorder(record: &RecordArgs) -> Result<Option<Recorder>, DaemonError> {
    let open = |directory: &PathBuf| Recorder::open(directory, record.record_limit.0);
    let recorder = record.record.as_ref().map(open).transpose();
    recorder.map_err(|error| DaemonError(format!("recording: {error}")))
}

/// Starts an API server and serves it over HTTP.
pub fn serve(
    clock: Clock,
    state: &StateArgs,
    listen: &ListenArgs,
    services: &ServiceArgs,
    access: &AccessArgs,
    recorder: Option<&Recorder>,
) -> Result<(Arc<ApiHost>, Arc<HttpApi>, Serving), DaemonError> {
    let address = resolve(listen.host_and_port())?;
    let services = services::Options {
        cluster_ips: services.service_cluster_ip_range,
        node_ports: services.service_node_port_range,
    };
    let engine = engine(state)?;
    let access = access::access(access, state)?;
    let advertise = match address {
        // A port that is chosen by the system is not known yet.
        SocketAddr::V4(at) if at.port() != 0 => Some(at),
        SocketAddr::V4(_) | SocketAddr::V6(_) => None,
    };
    let (rbac, usual) = (access.rbac, apiserver::Options::with_seed(clock::seed()));
    let options = apiserver::Options { services, advertise, rbac, metrics: true, ..usual };
    let host = ApiHost::start(clock, options, engine, recorder).map_err(|error| DaemonError(error.to_string()))?;
    let api = HttpApi::new(host.clone(), access);
    let allowed_hosts = listen.allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
    let (handler, at_once, upgrade) = (api.clone(), api.clone(), api.clone());
    let at_once: http::AtOnce = Arc::new(move |asked, reply| at_once.at_once(asked, reply));
    let upgrade: http::UpgradeHandler = Arc::new(move |connection| upgrade.upgrade(connection));
    let config = http::Config {
        listen: address,
        allowed_hosts,
        at_once: Some(at_once),
        upgrade: Some(upgrade),
        ..http::Config::default()
    };
    let serving = http::serve(config, Arc::new(move |exchange| handler.handle(exchange)))
        .map_err(|error| DaemonError(format!("listening on {address}: {error}")))?;
    api.show_http(serving.metrics().clone());
    Ok((host, api, serving))
}

/// The socket address of a host and a port.
pub fn resolve((host, port): (&str, u16)) -> Result<SocketAddr, DaemonError> {
    let found = (host, port).to_socket_addrs().map_err(|error| DaemonError(format!("{host}:{port}: {error}")))?;
    found.into_iter().next().ok_or_else(|| DaemonError(format!("{host} has no address")))
}

/// How list-watches behave, by the flags.
pub fn informer_options(watch: Option<&WatchArgs>, resync: Option<Duration>) -> informer::Options {
    let usual = informer::Options::default();
    let backoff = match watch {
        Some(watch) => Backoff { initial: watch.watch_initial_delay, max: watch.watch_max_delay },
        None => usual.backoff,
    };
    informer::Options { backoff, resync: resync.filter(|every| !every.is_zero()), ..usual }
}

/// The scheduler.
pub fn scheduler(strategy: Strategy, profiles: &[(String, Strategy)], informer: informer::Options) -> Birth {
    let (profiles, seed) = (profiles.iter().map(|(name, strategy)| (name.into(), *strategy)).collect(), clock::seed());
    Birth::Scheduler(SchedulerOptions { strategy, profiles, seed, informer, ..SchedulerOptions::default() })
}

/// All controllers.
pub fn controllers(eviction_after: Duration, informer: informer::Options) -> Vec<Birth> {
    let lifecycle = node_lifecycle::Options { eviction_after, informer, ..Default::default() };
    let garbage = garbage::Options { informer, ..Default::default() };
    let namespaces = namespaces::Options { informer, ..Default::default() };
    vec![
        Birth::Workloads(workload::Options { seed: clock::seed(), informer }),
        Birth::NodeLifecycle { options: lifecycle, seed: clock::seed() },
        Birth::Garbage { options: garbage, seed: clock::seed() },
        Birth::Namespaces { options: namespaces, seed: clock::seed() },
        Birth::Endpoints { options: endpoints::Options { informer }, seed: clock::seed() },
        Birth::Disruption { options: disruption::Options { informer }, seed: clock::seed() },
        Birth::Horizontal { options: horizontal::Options { informer, ..Default::default() }, seed: clock::seed() },
    ]
}

/// Who this process is among all that may be elected: its machine, and a number of its own.
///
/// Source: kube-scheduler, `cmd/kube-scheduler/app`: host name, `_`, uuid.
pub fn identity() -> Result<String, DaemonError> {
    let host = nix::unistd::gethostname().map_err(|error| DaemonError(format!("the host's name: {error}")))?;
    // It is sent in a header.
    let host = host.to_string_lossy().replace(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-', "-");
    Ok(format!("{host}_{}", Draw::new(clock::seed()).uuid()))
}

/// The program, elected if the flags say so.
pub fn elected(program: Birth, identity: &str, election: &ElectionArgs) -> Result<Birth, DaemonError> {
    if !election.leader_elect {
        return Ok(program);
    }
    let by = leader::Options {
        duration: election.leader_elect_lease_duration,
        renew_deadline: election.leader_elect_renew_deadline,
        retry: election.leader_elect_retry_period,
        ..leader::Options::new(&program.name(), &program.lease(), identity, clock::seed())
    };
    by.check().map_err(|why| DaemonError(format!("leader election: {why}")))?;
    Ok(program.elected(by))
}

/// Starts a program.
pub fn start(
    birth: Birth,
    clock: Clock,
    api: Box<dyn Api>,
    recorder: Option<&Recorder>,
) -> Result<Daemon, DaemonError> {
    start_in(Letterbox::new(), birth, clock, api, None, recorder)
}

fn start_in(
    letterbox: Letterbox,
    birth: Birth,
    clock: Clock,
    api: Box<dyn Api>,
    hands: Option<Box<dyn Hands>>,
    recorder: Option<&Recorder>,
) -> Result<Daemon, DaemonError> {
    let notes = recorder.map(|recorder| recorder.begin(&birth, clock.now().wall)).transpose();
    let notes = notes.map_err(|error| DaemonError(format!("recording: {error}")))?;
    let name = birth.name();
    Ok(letterbox.run(&name, clock, birth.program(), api, hands, notes)?)
}

/// What a node is made of.
pub struct NodeParts<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where its containers and their records are.
    pub data: &'a Path,
    /// What runs its containers.
    pub runtime: Runtime,
    /// Where it is reached.
    pub address: IpAddr,
    /// Where its logs are served, and by whom.
    pub server: &'a Arc<NodeServer>,
    /// The port of that.
    pub port: u16,
    /// How much of the machine it is.
    pub share: Share,
    /// How its list-watches behave.
    pub informer: informer::Options,
    /// Where it is recorded, if it is.
    pub recorder: Option<&'a Recorder>,
}

/// Starts a kubelet.
pub fn kubelet(parts: &NodeParts<'_>, clock: Clock, api: Box<dyn Api>) -> Result<Daemon, DaemonError> {
    let letterbox = Letterbox::new();
    let inbox = letterbox.inbox();
    let (hands, runtime): (Box<dyn Hands>, &str) = match parts.runtime {
        Runtime::Fake => {
            parts.server.opened(parts.name, None);
            (Box::new(Fake::new(parts.name, inbox)), "fake")
        }
        Runtime::Namespaces => {
            let namespaces = Namespaces::open(parts.data, parts.name, inbox)
                .map_err(|error| DaemonError(format!("node {}: {error}", parts.name)))?;
            parts.server.opened(parts.name, Some(namespaces.runtime()));
            (Box::new(namespaces), "miniku")
        }
    };
    let facts = facts(parts.name, runtime, &parts.address.to_string(), Some(parts.port), parts.share);
    let options = kubelet::Options { node: parts.name.into(), facts, seed: clock::seed(), informer: parts.informer };
    let daemon = start_in(letterbox, Birth::Kubelet(Box::new(options)), clock, api, Some(hands), parts.recorder)?;
    parts.server.show(daemon.seen());
    Ok(daemon)
}

/// Containers need root; says so before anything is touched.
pub fn check_privileges(runtime: Runtime, what: &str) -> Result<(), DaemonError> {
    if runtime == Runtime::Namespaces && !nix::unistd::geteuid().is_root() {
        return Err(DaemonError(format!(
            "{what} starts containers, which needs root: run it with sudo, or with --runtime fake"
        )));
    }
    Ok(())
}
