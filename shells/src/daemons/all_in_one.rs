//! `miniku up`: a whole cluster in one process.

use crate::cli::daemons::{Runtime, UpArgs};
use crate::clock::Clock;
use crate::daemons::ready::ReadyFile;
use crate::daemons::signals::Signals;
use crate::daemons::{DaemonError, logging, parts};
use crate::driver::Daemon;
use crate::local::Local;
use crate::node::{Gate, NodeServer, Share, pods_asked_of};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How long running requests are given to finish.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Runs until it is told to stop. Containers go on.
pub fn up(args: &UpArgs) -> Result<(), DaemonError> {
    logging::start();
    let ready = ReadyFile::new(args.listen.ready_file.as_deref())?;
    parts::check_privileges(args.runtime, "miniku up")?;
    let signals = Signals::block()?;
    let _in_use = parts::hold(&args.state, args.runtime)?;
    let clock = Clock::start();
    // The limit is inherited by nobody: pod-inits set their own.
    if let Err(error) = crate::http::raise_open_files() {
        log::warn!("the limit on open files stays as it is: {error}");
    }
    let recorder = parts::recorder(&args.record)?;
    let recorder = recorder.as_ref();
    let (host, api, serving) = parts::serve(clock, &args.state, &args.listen, &args.services, &args.access, recorder)?;
    let informer = parts::informer_options(None, args.sync.sync_interval);

    let mut daemons: Vec<Daemon> = Vec::new();
    let mut programs = parts::controllers(args.eviction_timeout, informer);
    programs.push(parts::scheduler(args.strategy, &args.profile, informer));
    for program in programs {
        let way = Local::new(host.clone()).measuring(api.clone());
        daemons.push(parts::start(program, clock, Box::new(way), recorder)?);
    }

    let names = (1..=args.nodes).map(|number| format!("node-{number}")).collect();
    let store = host.clone();
    let pods = pods_asked_of(move |request| store.ask(request));
    let server = NodeServer::new(args.nodes, Some(Gate::local(names, api.clone())), Some(pods));
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let logs = server.serve(SocketAddr::new(address, 0))?;
    for number in 1..=args.nodes {
        let node = parts::NodeParts {
            name: &format!("node-{number}"),
            data: &args.state.data_dir,
            runtime: args.runtime,
            address,
            server: &server,
            port: logs.local_addr().port(),
            share: Share { of: args.nodes },
            informer,
            recorder,
        };
        daemons.push(parts::kubelet(&node, clock, Box::new(Local::new(host.clone())))?);
    }
    for daemon in &daemons {
        api.show(daemon.seen());
    }

    log::info!("miniku: ready at http://{} with {} nodes", serving.local_addr(), args.nodes);
    let _ready = ready.write(serving.local_addr())?;
    let signal = signals.wait()?;
    let and = if args.runtime == Runtime::Namespaces { "; containers go on" } else { "" };
    log::info!("miniku: {signal}: stopping{and}");
    serving.stop(STOP_GRACE);
    logs.stop(Duration::ZERO);
    daemons.iter_mut().for_each(Daemon::stop);
    host.close_recording();
    Ok(())
}
