//! The real runtime: commands on a few threads, reports to the kubelet.

use crate::driver::{Hands, Inbox};
use crossbeam_channel::{Sender, unbounded};
use miniku_core::kubelet::runtime::{Command, PodRef};
use miniku_core::program::Input;
use miniku_core::rng::Draw;
use miniku_runtime::Runtime;
use miniku_runtime::node::Config;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// How many commands are performed at once. A start costs some milliseconds of mostly kernel time.
const WORKERS: usize = 4;

/// Pods as Linux namespaces.
pub struct Namespaces {
    runtime: Arc<Runtime>,
    /// A pod's commands always go to the same worker, so they are performed in their order.
    workers: Vec<Sender<Command>>,
}

impl Namespaces {
    /// Opens the node's directory below `data`; reports go to `inbox`.
    pub fn open(data: &Path, node: &str, inbox: Inbox) -> io::Result<Self> {
        let exe = std::env::current_exe()?;
        let config = Config { dir: data.to_owned(), node: node.into(), exe };
        let report = move |report| {
            // A kubelet that has stopped wants no reports.
            inbox.deliver(Input::Runtime(report));
        };
        let runtime = Arc::new(Runtime::open(config, report).map_err(|failure| io::Error::other(failure.to_string()))?);
        let workers = (0..WORKERS).map(|_| {
            let (sender, commands) = unbounded();
            let runtime = runtime.clone();
            let work = move || commands.into_iter().for_each(|command| runtime.perform(command));
            std::thread::Builder::new().name("runtime".into()).stack_size(512 << 10).spawn(work)?;
            Ok(sender)
        });
        Ok(Namespaces { runtime: runtime.clone(), workers: workers.collect::<io::Result<_>>()? })
    }

    /// The runtime itself, for logs.
    pub fn runtime(&self) -> Arc<Runtime> {
        self.runtime.clone()
    }
}

impl Hands for Namespaces {
    fn perform(&mut self, command: Command) {
        let worker = match &command {
            Command::List => 0,
            Command::RunPod(spec) => turn(&spec.pod),
            Command::StartContainer { pod, .. }
            | Command::Terminate { pod, .. }
            | Command::Kill { pod, .. }
            | Command::RemovePod(pod) => turn(pod),
        };
        self.workers[worker].send(command).expect("a worker lives as long as its channel");
    }
}

fn turn(pod: &PodRef) -> usize {
    Draw::new(0).key(&pod.uid).below(WORKERS as u64) as usize
}
