//! What daemons are put together from.

use crate::api::Api as HttpApi;
use crate::cli::daemons::{ListenArgs, Runtime, StateArgs, Store, WatchArgs};
use crate::clock::{self, Clock};
use crate::daemons::DaemonError;
use crate::driver::{Api, Daemon, Hands, Letterbox};
use crate::engine::Engine;
use crate::engine::lock::{DirectoryLock, lock_directory};
use crate::engine::memory::Memory;
use crate::engine::redb::Redb;
use crate::host::ApiHost;
use crate::http::{self, Serving};
use crate::node::{Fake, Namespaces, NodeServer, Share, facts};
use miniku_core::client::{Backoff, informer};
use miniku_core::controllers::garbage::GarbageCollector;
use miniku_core::controllers::namespaces::NamespaceController;
use miniku_core::controllers::node_lifecycle::NodeLifecycle;
use miniku_core::controllers::replicaset::ReplicaSetController;
use miniku_core::controllers::{garbage, namespaces, node_lifecycle, replicaset};
use miniku_core::kubelet::{self, Kubelet};
use miniku_core::program::Program;
use miniku_core::scheduler::{Scheduler, SchedulerOptions, Strategy};
use std::io;
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

/// Takes the data directory where no store does: pods are kept there too, and `miniku down` asks who uses it.
pub fn hold(state: &StateArgs, runtime: Runtime) -> Result<Option<DirectoryLock>, DaemonError> {
    let kept = state.store == Store::Memory && runtime == Runtime::Namespaces;
    let lock = kept.then(|| lock_directory(&store_directory(state))).transpose();
    lock.map_err(|error| DaemonError(error.to_string()))
}

/// Where the stored objects are: MiniKu's `-db` names a file, here the directory that holds one.
pub fn store_directory(state: &StateArgs) -> PathBuf {
    state.db.clone().unwrap_or_else(|| state.data_dir.join("store"))
}

/// Starts an API server and serves it over HTTP.
pub fn serve(
    clock: Clock,
    state: &StateArgs,
    listen: &ListenArgs,
) -> Result<(Arc<ApiHost>, Arc<HttpApi>, Serving), DaemonError> {
    let address = resolve(listen.host_and_port())?;
    let host = ApiHost::start(clock, clock::seed(), engine(state)?).map_err(|error| DaemonError(error.to_string()))?;
    let api = HttpApi::new(host.clone());
    let allowed_hosts = listen.allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
    let (handler, at_once) = (api.clone(), api.clone());
    let at_once: http::AtOnce = Arc::new(move |asked, reply| at_once.at_once(asked, reply));
    let config = http::Config { listen: address, allowed_hosts, at_once: Some(at_once), ..http::Config::default() };
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

/// A program and its name.
pub type Named = (&'static str, Box<dyn Program>);

/// The scheduler.
pub fn scheduler(strategy: Strategy, informer: informer::Options) -> Named {
    let options = SchedulerOptions { strategy, seed: clock::seed(), informer, ..SchedulerOptions::default() };
    ("scheduler", Box::new(Scheduler::new(options)))
}

/// All controllers.
pub fn controllers(eviction_after: Duration, informer: informer::Options) -> Vec<Named> {
    let lifecycle = node_lifecycle::Options { eviction_after, informer, ..Default::default() };
    vec![
        ("replicaset", Box::new(ReplicaSetController::new(replicaset::Options { seed: clock::seed(), informer }))),
        ("node-lifecycle", Box::new(NodeLifecycle::new(lifecycle, clock::seed()))),
        (
            "garbage",
            Box::new(GarbageCollector::new(garbage::Options { informer, ..Default::default() }, clock::seed())),
        ),
        (
            "namespaces",
            Box::new(NamespaceController::new(namespaces::Options { informer, ..Default::default() }, clock::seed())),
        ),
    ]
}

/// Starts a program.
pub fn start((name, program): Named, clock: Clock, api: Box<dyn Api>) -> io::Result<Daemon> {
    Letterbox::new().run(name, clock, program, api, None)
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
}

/// Starts a kubelet.
pub fn kubelet(parts: &NodeParts<'_>, clock: Clock, api: Box<dyn Api>) -> Result<Daemon, DaemonError> {
    let letterbox = Letterbox::new();
    let inbox = letterbox.inbox();
    let (hands, runtime): (Box<dyn Hands>, &str) = match parts.runtime {
        Runtime::Fake => {
            parts.server.opened(None);
            (Box::new(Fake::new(parts.name, inbox)), "fake")
        }
        Runtime::Namespaces => {
            let namespaces = Namespaces::open(parts.data, parts.name, inbox)
                .map_err(|error| DaemonError(format!("node {}: {error}", parts.name)))?;
            parts.server.opened(Some(namespaces.runtime()));
            (Box::new(namespaces), "miniku")
        }
    };
    let facts = facts(parts.name, runtime, &parts.address.to_string(), Some(parts.port), parts.share);
    let options = kubelet::Options { node: parts.name.into(), facts, seed: clock::seed(), informer: parts.informer };
    let daemon =
        letterbox.run(&format!("kubelet-{}", parts.name), clock, Box::new(Kubelet::new(options)), api, Some(hands))?;
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
