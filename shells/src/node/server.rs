//! The kubelet's own HTTP server: logs, exec, attach, port-forward, health, metrics, [usage](super::usage). Who may ask is
//! for [`gate`](super::gate) to say.
//!
//! Source of the paths: Kubernetes' kubelet serves `/containerLogs/{namespace}/{pod}/{container}` and the like; here the
//! pod's uid and the attempt name exactly one log, or one process. What pods use is told under Kubernetes' own paths,
//! `/stats/summary` and `/metrics/resource`; where several nodes are served for, `?node=NAME` says which one is meant.

use crate::api::{programs_page, refuse};
use crate::driver::Seen;
use crate::http::{self, Asked, Exchange, Serving, Upgrade};
use crate::node::gate::{Gate, Part};
use crate::node::streams::{self, Which};
use crate::node::usage::{Meter, PodsOn, resource_page};
use miniku_core::api::meta::{parse_rfc3339, rfc3339_nanos};
use miniku_core::api::status::{Reason, Status};
use miniku_core::kubelet::runtime::{ContainerReport, ContainerState};
use miniku_core::time::{Duration, Wall};
use miniku_core::usage::Summary;
use miniku_runtime::Runtime;
use miniku_runtime::logs::{Entry, LogReader};
use miniku_runtime::records::PodDir;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Serves for the nodes of one process.
pub struct NodeServer {
    nodes: Mutex<Nodes>,
    opened: Condvar,
    programs: Mutex<Vec<Arc<Mutex<Seen>>>>,
    /// Absent where only counts are served.
    gate: Option<Gate>,
    /// Which pods nodes have that only pretend.
    pods: Option<PodsOn>,
}

/// The nodes that are served for.
struct Nodes {
    /// Those that are open.
    open: Vec<Node>,
    /// How many are still to be opened.
    opening: u32,
}

/// A node that is open.
struct Node {
    name: String,
    /// What keeps its logs. Absent if it keeps none: what it runs is pretended, and says nothing.
    runtime: Option<Arc<Runtime>>,
    meter: Arc<Meter>,
}

impl Nodes {
    fn runtimes(&self) -> impl Iterator<Item = &Arc<Runtime>> {
        self.open.iter().filter_map(|node| node.runtime.as_ref())
    }
}

/// So long a log is waited for that a node may have which is still being opened. Finding the pods of an earlier life
/// takes milliseconds.
const OPENING_MAX: std::time::Duration = std::time::Duration::from_secs(10);

impl NodeServer {
    /// A server for so many nodes, each of which will be told of as [`NodeServer::opened`]. Without a gate, everybody may
    /// ask.
    /// `pods` is asked what runs on a node that only pretends to run it.
    pub fn new(nodes: u32, gate: Option<Gate>, pods: Option<PodsOn>) -> Arc<Self> {
        let nodes = Mutex::new(Nodes { open: Vec::new(), opening: nodes });
        Arc::new(NodeServer { nodes, opened: Condvar::new(), programs: Mutex::default(), gate, pods })
    }

    /// A node is open, and its logs are served from now on if it keeps any.
    pub fn opened(&self, name: &str, runtime: Option<Arc<Runtime>>) {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.open.push(Node { name: name.into(), runtime, meter: Arc::default() });
        nodes.opening = nodes.opening.saturating_sub(1);
        self.opened.notify_all();
    }

    /// Shows a program's counts on the metrics page.
    pub fn show(&self, program: Arc<Mutex<Seen>>) {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner).push(program);
    }

    /// Starts to serve at this address.
    pub fn serve(self: &Arc<Self>, listen: SocketAddr) -> io::Result<Serving> {
        let server = self.clone();
        let streams = self.clone();
        let upgrade: http::UpgradeHandler = Arc::new(move |upgrade| streams.stream(upgrade));
        let config = http::Config { listen, upgrade: Some(upgrade), ..http::Config::default() };
        http::serve(config, Arc::new(move |exchange| server.handle(exchange)))
    }

    fn handle(&self, exchange: Exchange) {
        let segments: Vec<String> =
            exchange.segments().unwrap_or_default().into_iter().map(|segment| segment.into_owned()).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let part = match segments.as_slice() {
            // It says no more than that somebody listens.
            ["healthz"] => None,
            ["metrics", ..] => Some(Part::Metrics),
            ["stats", ..] => Some(Part::Stats),
            _ => Some(Part::Proxy),
        };
        if let Err(status) = part.map_or(Ok(()), |part| self.admit(exchange.asked(), part)) {
            return refuse(exchange, &status);
        }
        // An error in answering means that the client has left, and there is nobody to tell.
        let _ = match segments.as_slice() {
            ["healthz"] => exchange.respond(200, "text/plain", &[], b"ok"),
            ["metrics"] => {
                let programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let page = programs_page(&programs);
                exchange.respond(200, "text/plain; version=0.0.4; charset=utf-8", &[], page.as_bytes())
            }
            ["stats", "summary"] => match self.summary(&exchange) {
                Ok(summary) => {
                    let body = serde_json::to_vec(&summary).expect("a summary has string keys and whole numbers");
                    exchange.respond(200, "application/json", &[], &body)
                }
                Err(status) => return refuse(exchange, &status),
            },
            ["metrics", "resource"] => match self.summary(&exchange) {
                Ok(summary) => {
                    let page = resource_page(&summary);
                    exchange.respond(200, "text/plain; version=0.0.4; charset=utf-8", &[], page.as_bytes())
                }
                Err(status) => return refuse(exchange, &status),
            },
            ["containerLogs", uid, container, attempt] => match self.log(uid, container, attempt) {
                Some(path) => return logs(exchange, &path),
                None if self.is_silent() => exchange.respond(200, "text/plain", &[], b""),
                None => exchange.respond(404, "text/plain", &[], b"there is no such log on this node"),
            },
            _ => exchange.respond(404, "text/plain", &[], b"not found"),
        };
    }

    fn admit(&self, asked: Asked, part: Part) -> Result<(), Status> {
        self.gate.as_ref().map_or(Ok(()), |gate| gate.check(asked, part))
    }

    /// Whether there are nodes that say nothing.
    fn is_silent(&self) -> bool {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.open.iter().any(|node| node.runtime.is_none())
    }

    /// What a node has used, read now.
    fn summary(&self, exchange: &Exchange) -> Result<Summary, Status> {
        let asked = exchange.query_pairs().find(|(name, _)| name == "node").map(|(_, node)| node.into_owned());
        let meant = |node: &&Node| asked.as_ref().is_none_or(|asked| *asked == node.name);
        let (name, runtime, meter) = {
            let nodes = self.once_opened(|nodes| nodes.open.iter().any(|node| meant(&node)));
            let node = nodes.open.iter().find(meant);
            let node = node.ok_or_else(|| Status::failure(Reason::NotFound, "no such node is served for here"))?;
            (node.name.clone(), node.runtime.clone(), node.meter.clone())
        };
        let read = match (&runtime, &self.pods) {
            (Some(runtime), _) => Ok(meter.read(runtime)),
            (None, Some(pods)) => pods(&name).map(|pods| meter.pretend(&name, &pods)),
            (None, None) => Err("nobody knows which pods it has".into()),
        };
        read.map_err(|why: String| Status::failure(Reason::ServiceUnavailable, why))
    }

    /// Serves a connection that asks for another protocol, as long as it lasts.
    fn stream(&self, upgrade: Upgrade) {
        let asked = upgrade.asked();
        let segments: Vec<String> =
            asked.segments().unwrap_or_default().into_iter().map(|segment| segment.into_owned()).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let not_found = |message: &str| Status::failure(Reason::NotFound, message);
        if let Err(status) = self.admit(upgrade.asked(), Part::Proxy) {
            return refuse(upgrade, &status);
        }
        match segments.as_slice() {
            [what @ ("exec" | "attach"), namespace, pod, uid, container, attempt] => {
                let Ok(attempt) = attempt.parse() else { return refuse(upgrade, &not_found("no such attempt")) };
                let which = Which { namespace, pod, uid, container, attempt };
                let runtime = self.runtime_of(uid);
                match *what {
                    "exec" => streams::exec(runtime.as_deref(), upgrade, &which),
                    _ => streams::attach(runtime.as_deref(), upgrade, &which),
                }
            }
            ["portForward", uid] => match self.runtime_of(uid) {
                Some(runtime) => streams::port_forward(&runtime, upgrade, uid),
                None => refuse(upgrade, &not_found("there is no such pod on this node")),
            },
            _ => refuse(upgrade, &not_found("there is no such stream")),
        }
    }

    /// The runtime that has this pod.
    fn runtime_of(&self, uid: &str) -> Option<Arc<Runtime>> {
        let find = |nodes: &Nodes| nodes.runtimes().find(|runtime| runtime.has(uid)).cloned();
        find(&self.once_opened(|nodes| find(nodes).is_some()))
    }

    /// The nodes, when what is looked for is there or all have been opened.
    fn once_opened(&self, found: impl Fn(&Nodes) -> bool) -> MutexGuard<'_, Nodes> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let undecided = |nodes: &mut Nodes| nodes.opening > 0 && !found(nodes);
        let waited = self.opened.wait_timeout_while(nodes, OPENING_MAX, undecided);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn log(&self, uid: &str, container: &str, attempt: &str) -> Option<PathBuf> {
        let attempt: u32 = attempt.parse().ok()?;
        let find = |nodes: &Nodes| {
            let path_of = |attempt: u32| {
                let paths = nodes.runtimes().filter_map(|runtime| runtime.log_path(uid, container, attempt));
                paths.into_iter().find(|path| path.exists())
            };
            // One that is still to begin has the log of the one before, as one that waits for its turn has.
            path_of(attempt).or_else(|| path_of(attempt.checked_sub(1)?))
        };
        find(&self.once_opened(|nodes| find(nodes).is_some()))
    }
}

/// What part of a log is wanted, and how.
#[derive(Default)]
struct Wanted {
    follow: bool,
    timestamps: bool,
    tail: Option<usize>,
    since: Option<Wall>,
    limit: Option<u64>,
}

impl Wanted {
    fn of(exchange: &Exchange) -> Result<Wanted, String> {
        let mut wanted = Wanted::default();
        for (name, value) in exchange.query_pairs() {
            let wrong = || format!("{name}: {value:?} is not a number");
            match &*name {
                "follow" => wanted.follow = matches!(&*value, "true" | "True" | "1"),
                "timestamps" => wanted.timestamps = matches!(&*value, "true" | "True" | "1"),
                "tailLines" => wanted.tail = Some(value.parse().map_err(|_| wrong())?),
                "limitBytes" => wanted.limit = Some(value.parse().map_err(|_| wrong())?),
                "sinceSeconds" => {
                    let seconds = value.parse().map_err(|_| wrong())?;
                    wanted.since = Some(crate::clock::wall() - Duration::from_secs(seconds));
                }
                "sinceTime" => wanted.since = Some(parse_rfc3339(&value)?),
                _ => {}
            }
        }
        Ok(wanted)
    }
}

fn logs(exchange: Exchange, path: &std::path::Path) {
    let respond = |exchange: Exchange, code, message: &str| {
        // An error means that the client has left.
        let _ = exchange.respond(code, "text/plain", &[], message.as_bytes());
    };
    let wanted = match Wanted::of(&exchange) {
        Ok(wanted) => wanted,
        Err(message) => return respond(exchange, 400, &message),
    };
    let opened = match wanted.tail {
        Some(count) => LogReader::open_tail(path, count),
        None => LogReader::open(path),
    };
    let mut reader = match opened {
        Ok(reader) => reader,
        Err(error) => return respond(exchange, 500, &format!("the log cannot be read: {error}")),
    };
    let client = exchange.client().clone();
    let Ok(mut stream) = exchange.stream(200, "text/plain", &[]) else { return };
    let follow = wanted.follow;
    let mut shown = Shown::new(wanted);
    let mut lines = Vec::new();
    let mut more = true;
    while more {
        match reader.next_entry() {
            Ok(Some(entry)) => more = shown.put(&mut lines, &entry),
            Ok(None) => break,
            Err(_) => return,
        }
        if lines.len() >= 32 << 10 {
            if stream.send(&lines).is_err() {
                return;
            }
            lines.clear();
        }
    }
    if stream.send(&lines).is_err() || !follow || !more {
        return;
    }
    let on_entry = |entry: Entry| {
        let mut line = Vec::new();
        let more = shown.put(&mut line, &entry);
        if stream.send(&line).is_err() || !more { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    // A log that cannot be read on ends here, as one whose container has ended does.
    let _ = reader.follow(|| client.departed() || has_ended(path), on_entry);
}

/// A log on its way to who asked for it.
struct Shown {
    wanted: Wanted,
    /// So many bytes may follow.
    left: u64,
    /// What came last was a part of a line, which goes on.
    goes_on: bool,
}

impl Shown {
    fn new(wanted: Wanted) -> Self {
        Shown { left: wanted.limit.unwrap_or(u64::MAX), wanted, goes_on: false }
    }

    /// Appends an entry as it is wanted. Whether more may follow.
    ///
    /// Source: Kubernetes, `staging/src/k8s.io/cri-client/pkg/logs`, `ReadLogs` and `logWriter`.
    fn put(&mut self, lines: &mut Vec<u8>, entry: &Entry) -> bool {
        if self.wanted.since.is_some_and(|since| entry.time < since) {
            return self.left > 0;
        }
        let from = lines.len();
        if self.wanted.timestamps && !self.goes_on {
            lines.extend_from_slice(rfc3339_nanos(entry.time).as_bytes());
            lines.push(b' ');
        }
        self.goes_on = !entry.full;
        lines.extend_from_slice(&entry.text);
        if entry.full {
            lines.push(b'\n');
        }
        let length = (lines.len() - from) as u64;
        lines.truncate(from + usize::try_from(length.min(self.left)).unwrap_or(usize::MAX));
        self.left -= length.min(self.left);
        self.left > 0
    }
}

/// Whether the attempt that writes this log, `<pod>/<container>/<attempt>.log`, has ended: it runs if the pod lives and
/// its records say so.
fn has_ended(path: &std::path::Path) -> bool {
    let attempt: Option<u32> = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
    let (Some(attempt), Some(container)) = (attempt, path.parent()) else { return true };
    let Some(pod) = container.parent() else { return true };
    let pod = PodDir(pod.to_owned());
    let containers = pod.read_state().map(|state| state.containers).unwrap_or_default();
    let is_meant = |one: &ContainerReport| pod.container(&one.name) == container && one.attempt == attempt;
    let runs = containers.iter().any(|one| is_meant(one) && matches!(one.state, ContainerState::Running { .. }));
    !(runs && pod.is_locked())
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniku_runtime::logs::Stream;

    /// What is shown of these entries, the full lines of which are ended, and whether more could follow.
    fn shown(wanted: Wanted, entries: &[&str]) -> (String, bool) {
        let (mut shown, mut lines, mut more) = (Shown::new(wanted), Vec::new(), true);
        for entry in entries {
            let text = entry.trim_end_matches('\n');
            let (time, stream, full) = (Wall::from_secs(1), Stream::Stdout, text != *entry);
            more = shown.put(&mut lines, &Entry { time, stream, full, text: text.into() });
        }
        (String::from_utf8(lines).unwrap(), more)
    }

    #[test]
    fn a_limit_ends_a_log() {
        let limited = |limit| Wanted { limit: Some(limit), ..Wanted::default() };
        assert_eq!(shown(limited(9), &["one\n", "two\n"]), ("one\ntwo\n".to_owned(), true));
        assert_eq!(shown(limited(8), &["one\n", "two\n"]), ("one\ntwo\n".to_owned(), false));
        assert_eq!(shown(limited(5), &["one\n", "two\n"]), ("one\nt".to_owned(), false));
    }

    #[test]
    fn a_line_in_parts_has_one_time() {
        let timed = Wanted { timestamps: true, ..Wanted::default() };
        let (text, _) = shown(timed, &["a", "b", "c\n", "d\n"]);
        assert_eq!(text, "1970-01-01T00:00:01.000000000Z abc\n1970-01-01T00:00:01.000000000Z d\n");
    }
}
