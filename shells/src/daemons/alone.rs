//! Daemons that run alone and meet over HTTP.

use crate::cli::daemons::{Address, ApiserverArgs, ControllerArgs, KubeletArgs, SchedulerArgs, WatchArgs};
use crate::cli::target::{ServerArgs, Target};
use crate::client::remote::Remote;
use crate::clock::Clock;
use crate::daemons::ready::ReadyFile;
use crate::daemons::signals::Signals;
use crate::daemons::{DaemonError, logging, parts};
use crate::driver::{Api, Daemon};
use crate::http::Serving;
use crate::node::{Gate, NodeServer, Share, pods_asked_of};
use crate::remote::OverHttp;
use std::time::Duration;

/// How long running requests are given to finish.
const STOP_GRACE: Duration = Duration::from_secs(2);

fn target(server: &ServerArgs) -> Result<Target, DaemonError> {
    server.target().map_err(|error| DaemonError(error.to_string().trim_start_matches("error: ").to_owned()))
}

fn over_http(target: &Target, watch: &WatchArgs) -> Box<dyn Api> {
    let way = OverHttp::new(target.server.clone(), watch.watch_timeout);
    Box::new(way.with_credentials(target.credentials.clone()))
}

/// Waits for a signal, then stops the programs.
fn run(name: &str, signals: &Signals, mut daemons: Vec<Daemon>) -> Result<(), DaemonError> {
    let signal = signals.wait()?;
    log::info!("{name}: {signal}: stopping");
    daemons.iter().for_each(Daemon::tell_to_stop);
    daemons.iter_mut().for_each(Daemon::stop);
    Ok(())
}

/// The API server alone.
pub fn apiserver(args: &ApiserverArgs) -> Result<(), DaemonError> {
    logging::start();
    let ready = ReadyFile::new(args.listen.ready_file.as_deref())?;
    let signals = Signals::block()?;
    if let Err(error) = crate::http::raise_open_files() {
        log::warn!("the limit on open files stays as it is: {error}");
    }
    let recorder = parts::recorder(&args.record)?;
    let (host, _api, serving) =
        parts::serve(Clock::start(), &args.state, &args.listen, &args.services, &args.access, recorder.as_ref())?;
    log::info!("apiserver: ready at http://{}", serving.local_addr());
    let _ready = ready.write(serving.local_addr())?;
    let signal = signals.wait()?;
    log::info!("apiserver: {signal}: stopping");
    serving.stop(STOP_GRACE);
    host.close_recording();
    Ok(())
}

/// The scheduler alone.
pub fn scheduler(args: &SchedulerArgs) -> Result<(), DaemonError> {
    logging::start();
    let signals = Signals::block()?;
    let informer = parts::informer_options(Some(&args.watch), args.sync.sync_interval);
    let program = parts::scheduler(args.strategy, &args.profile, informer);
    let program = parts::elected(program, &parts::identity()?, &args.election)?;
    let recorder = parts::recorder(&args.record)?;
    let target = target(&args.server)?;
    log::info!("scheduler: asking {}", target.server);
    let daemon = parts::start(program, Clock::start(), over_http(&target, &args.watch), recorder.as_ref())?;
    let daemons = vec![daemon];
    let _metrics = metrics(args.metrics_address.as_ref(), &daemons)?;
    run("scheduler", &signals, daemons)
}

/// Serves health and metrics of programs, where that is asked for.
fn metrics(address: Option<&Address>, daemons: &[Daemon]) -> Result<Option<Serving>, DaemonError> {
    let Some(address) = address else { return Ok(None) };
    let listen = parts::resolve((&address.host, address.port.unwrap_or(0)))?;
    let server = NodeServer::new(0, None, None);
    daemons.iter().for_each(|daemon| server.show(daemon.seen()));
    let serving = server.serve(listen).map_err(|error| DaemonError(format!("listening on {listen}: {error}")))?;
    log::info!("metrics: http://{}/metrics", serving.local_addr());
    Ok(Some(serving))
}

/// All controllers, and nothing else.
pub fn controller(args: &ControllerArgs) -> Result<(), DaemonError> {
    logging::start();
    let signals = Signals::block()?;
    let clock = Clock::start();
    let informer = parts::informer_options(Some(&args.watch), args.sync.sync_interval);
    let recorder = parts::recorder(&args.record)?;
    let target = target(&args.server)?;
    log::info!("controller: asking {}", target.server);
    let identity = parts::identity()?;
    let start = |program| {
        let program = parts::elected(program, &identity, &args.election)?;
        parts::start(program, clock, over_http(&target, &args.watch), recorder.as_ref())
    };
    let daemons = parts::controllers(args.eviction_timeout, informer).into_iter().map(start);
    let daemons = daemons.collect::<Result<Vec<_>, _>>()?;
    let _metrics = metrics(args.metrics_address.as_ref(), &daemons)?;
    run("controller", &signals, daemons)
}

/// One node.
pub fn kubelet(args: &KubeletArgs) -> Result<(), DaemonError> {
    logging::start();
    parts::check_privileges(args.runtime, "miniku kubelet")?;
    let signals = Signals::block()?;
    let target = target(&args.server)?;
    let address = parts::resolve(args.host_and_port())?;
    let recorder = parts::recorder(&args.record)?;
    let gate = Gate::remote(args.name.clone(), target.server.clone(), target.credentials.clone());
    let remote = Remote::new(target.server.clone()).with_credentials(target.credentials.clone());
    let server = NodeServer::new(1, Some(gate), Some(pods_asked_of(move |request| remote.call(&request))));
    let logs = server.serve(address).map_err(|error| DaemonError(format!("listening on {address}: {error}")))?;
    let node = parts::NodeParts {
        name: &args.name,
        data: &args.data_dir,
        runtime: args.runtime,
        address: address.ip(),
        server: &server,
        port: logs.local_addr().port(),
        share: Share { of: 1 },
        informer: parts::informer_options(Some(&args.watch), args.sync.sync_interval),
        recorder: recorder.as_ref(),
    };
    log::info!("kubelet {}: asking {}", args.name, target.server);
    let daemon = parts::kubelet(&node, Clock::start(), over_http(&target, &args.watch))?;
    let ended = run("kubelet", &signals, vec![daemon]);
    logs.stop(Duration::ZERO);
    ended
}
