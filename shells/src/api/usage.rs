//! metrics.k8s.io: what nodes and pods use, asked of the kubelets when somebody asks here, and at no other time.
//!
//! What is asked again within [`FRESH`] is told from the reading before. A node that nobody has asked lately is read
//! twice, [`FIRST_WINDOW`] apart: processor time is the difference of two readings. A kubelet that does not answer costs
//! [`NODE_MAX`] at most, and the figures of its own pods.
//!
//! Source: metrics-server, its `README`, for what is told of whom: pods that run, of nodes that answer.

use crate::api::logs::kubelet_address;
use crate::api::params::Params;
use crate::api::shown::Shape;
use crate::api::{Api, reply};
use crate::clock;
use crate::http::Exchange;
use miniku_core::api::kinds::Kind;
use miniku_core::api::metrics::{GROUP, Metrics, Of, list, table};
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::status::{Reason, Status};
use miniku_core::program::Query;
use miniku_core::time::{Instant as Mono, Now};
use miniku_core::usage::{self, PodUsage, Summary};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A reading is told again for so long. Shorter than the 15 s between two looks of an autoscaler.
const FRESH: Duration = Duration::from_secs(5);
/// After so long a reading says nothing any more of what is used now.
const STALE: Duration = Duration::from_secs(60);
/// Between two readings of a node that nobody has asked lately.
const FIRST_WINDOW: Duration = Duration::from_secs(1);
/// A kubelet may take so long to answer.
const NODE_MAX: Duration = Duration::from_secs(3);
/// So many kubelets are asked at once.
const AT_ONCE: usize = 16;
/// No summary is longer: a node has some hundred pods.
const SUMMARY_MAX: u64 = 16 << 20;

/// The last readings, by node.
#[derive(Default)]
pub struct Readings(Mutex<BTreeMap<String, Arc<Mutex<Slot>>>>);

/// The last readings of one node. Held while it is asked, so that those who ask at once ask it once.
#[derive(Default)]
struct Slot {
    /// Two nodes of one name, one after the other, have nothing in common.
    uid: String,
    last: Option<(Instant, Arc<Summary>)>,
    pair: Option<Pair>,
}

/// Two readings, the earlier first.
type Pair = (Arc<Summary>, Arc<Summary>);

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Nodes or pods.
    pub of: Of,
    /// In this namespace; in all if absent.
    pub namespace: Option<String>,
    /// This one; all if absent.
    pub name: Option<String>,
}

/// What a path below the group and version asks for.
pub fn asked(segments: &[&str]) -> Option<Asked> {
    let (namespace, rest) = match segments {
        ["namespaces", namespace, rest @ ..] => (Some((*namespace).to_owned()), rest),
        _ => (None, segments),
    };
    let (plural, name) = match rest {
        [plural] => (*plural, None),
        [plural, name] => (*plural, Some((*name).to_owned())),
        _ => return None,
    };
    let of = Of::ALL.into_iter().find(|of| of.plural() == plural)?;
    let fits = match of {
        Of::Nodes => namespace.is_none(),
        Of::Pods => namespace.is_some() || name.is_none(),
    };
    fits.then_some(Asked { of, namespace, name })
}

/// Answers.
pub fn serve(api: &Api, exchange: Exchange, asked: &Asked) {
    match answer(api, &exchange, asked) {
        Ok(text) => reply::send(exchange, 200, reply::JSON, &[], &text),
        Err(status) => reply::status(exchange, &status),
    }
}

fn text(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("metrics have string keys and whole numbers")
}

fn answer(api: &Api, exchange: &Exchange, asked: &Asked) -> Result<Vec<u8>, Status> {
    if !matches!(exchange.method(), "GET" | "HEAD") {
        return Err(Status::no_such_method());
    }
    let params = Params::of(exchange.asked())?;
    let shape = Shape::of(exchange.asked().headers.accept, &params.include)?;
    let kind = match asked.of {
        Of::Nodes => Kind::Node,
        Of::Pods => Kind::Pod,
    };
    let mut query = params.query(kind, asked.namespace.as_deref())?;
    if let Some(field) = query.unknown_field() {
        let message = format!("field label not supported: {field}");
        return Err(Status::failure(Reason::BadRequest, message));
    }
    if let Some(name) = &asked.name {
        query = query.with_field("metadata.name", name);
    }
    let items = match asked.of {
        Of::Nodes => nodes(api, &query),
        Of::Pods => pods(api, &query),
    };
    let is_table = matches!(shape, Shape::Row(_));
    match (&asked.name, items.as_slice()) {
        (None, items) if is_table => Ok(text(&table(items))),
        (None, items) => Ok(text(&list(asked.of, items))),
        (Some(_), [one, ..]) if is_table => Ok(text(&table(std::slice::from_ref(one)))),
        (Some(_), [one, ..]) => Ok(text(&one.object(asked.of))),
        (Some(name), []) => Err(not_found(asked, name)),
    }
}

fn not_found(asked: &Asked, name: &str) -> Status {
    let resource = format!("{}.{GROUP}", asked.of.kind().to_lowercase());
    let name = asked.namespace.as_ref().map_or(name.to_owned(), |namespace| format!("{namespace}/{name}"));
    Status::failure(Reason::NotFound, format!("{resource} {name:?} not found"))
}

fn now() -> Now {
    Now { mono: Mono::default(), wall: clock::wall() }
}

fn nodes(api: &Api, query: &Query) -> Vec<Metrics> {
    let found: Vec<Object> = api.host.look(|server| server.store().list(query).cloned().collect());
    let pairs = read(api, &found);
    let of = |node: &Object| {
        let (before, after) = pairs.get(node.meta().name.as_str())?;
        Some(Metrics::of_node(node, now(), &usage::of_node(before, after)?))
    };
    found.iter().filter_map(of).collect()
}

fn pods(api: &Api, query: &Query) -> Vec<Metrics> {
    measured(api, query).iter().map(|(pod, used)| Metrics::of_pod(pod, now(), &used.measured)).collect()
}

/// What the pods use that match, as far as their nodes say.
pub fn of_pods(api: &Api, query: &Query) -> Vec<PodUsage> {
    measured(api, query).into_iter().map(|(_, used)| used).collect()
}

fn measured(api: &Api, query: &Query) -> Vec<(Object, PodUsage)> {
    let (pods, nodes) = api.host.look(|server| {
        let pods: Vec<Object> = server.store().list(query).filter(|pod| usage::is_told_of(pod)).cloned().collect();
        let names: BTreeSet<&str> = pods.iter().filter_map(|pod| pod.get::<Pod>()?.node()).collect();
        let node = |name: &&str| server.store().get(&Key::new(Kind::Node, "", name)).cloned();
        let nodes: Vec<Object> = names.iter().filter_map(node).collect();
        (pods, nodes)
    });
    let pairs = read(api, &nodes);
    let mut used: BTreeMap<String, PodUsage> = BTreeMap::new();
    for (before, after) in pairs.values() {
        used.extend(usage::between(before, after));
    }
    let of = |pod: Object| {
        let used = used.remove(pod.meta().uid.as_str())?;
        Some((pod, used))
    };
    pods.into_iter().filter_map(of).collect()
}

/// Two readings of each of these nodes, by name. A node that does not answer is left out.
fn read(api: &Api, nodes: &[Object]) -> BTreeMap<String, Pair> {
    let slots: Vec<Arc<Mutex<Slot>>> = {
        let mut readings = api.readings.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Nodes that are gone are forgotten.
        readings
            .retain(|name, _| api.host.look(|server| server.store().get(&Key::new(Kind::Node, "", name)).is_some()));
        nodes.iter().map(|node| readings.entry(node.meta().name.to_string()).or_default().clone()).collect()
    };
    let both: Vec<(&Object, Arc<Mutex<Slot>>)> = nodes.iter().zip(slots).collect();
    let mut pairs = BTreeMap::new();
    for some in both.chunks(AT_ONCE) {
        // All of them together take as long as the slowest.
        let found: Vec<Option<Pair>> = std::thread::scope(|scope| {
            let one = |(node, slot): &(&Object, Arc<Mutex<Slot>>)| {
                pair(api, node, &mut slot.lock().unwrap_or_else(PoisonError::into_inner))
            };
            match some {
                [only] => vec![one(only)],
                some => {
                    let asking: Vec<_> = some.iter().map(|some| scope.spawn(move || one(some))).collect();
                    // One that panicked has said so, and has no figures.
                    asking.into_iter().map(|asked| asked.join().ok().flatten()).collect()
                }
            }
        });
        for ((node, _), pair) in some.iter().zip(found) {
            pairs.extend(pair.map(|pair| (node.meta().name.to_string(), pair)));
        }
    }
    pairs
}

fn pair(api: &Api, node: &Object, slot: &mut Slot) -> Option<Pair> {
    if slot.uid != node.meta().uid {
        *slot = Slot { uid: node.meta().uid.to_string(), ..Slot::default() };
    }
    let age = slot.last.as_ref().map(|(at, _)| at.elapsed());
    if age.is_some_and(|age| age < FRESH)
        && let Some(pair) = &slot.pair
    {
        return Some(pair.clone());
    }
    let ask = || match fetch(api, node) {
        Ok(summary) => Some(Arc::new(summary)),
        Err(why) => {
            log::debug!("usage of node {}: {why}", node.meta().name);
            None
        }
    };
    let last = slot.last.take().filter(|_| age.is_some_and(|age| age < STALE));
    let before = match last {
        Some((_, last)) => last,
        None => {
            let first = ask()?;
            std::thread::sleep(FIRST_WINDOW);
            first
        }
    };
    let after = ask()?;
    slot.last = Some((Instant::now(), after.clone()));
    slot.pair = Some((before.clone(), after.clone()));
    Some((before, after))
}

fn fetch(api: &Api, node: &Object) -> Result<Summary, String> {
    let name = &node.meta().name;
    let address = kubelet_address(node).filter(|_| node.get::<Node>().is_some()).ok_or("it serves nothing")?;
    let asked = api.nodes.get(format!("http://{address}/stats/summary?node={name}"));
    let asked = asked.header("Authorization", api.access.to_node(name));
    let answer = asked.config().timeout_global(Some(NODE_MAX)).build().call().map_err(|error| error.to_string())?;
    let code = answer.status().as_u16();
    let text = answer.into_body().into_with_config().limit(SUMMARY_MAX).read_to_vec();
    let text = text.map_err(|error| error.to_string())?;
    match code {
        200 => serde_json::from_slice(&text).map_err(|error| error.to_string()),
        _ => Err(format!("{code}: {}", String::from_utf8_lossy(&text).chars().take(300).collect::<String>())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_say_what_is_asked() {
        let check = |path: &str, want: Option<(Of, Option<&str>, Option<&str>)>| {
            let segments: Vec<&str> = path.split('/').collect();
            let want = want.map(|(of, namespace, name)| Asked {
                of,
                namespace: namespace.map(str::to_owned),
                name: name.map(str::to_owned),
            });
            assert_eq!(asked(&segments), want, "{path}");
        };
        check("nodes", Some((Of::Nodes, None, None)));
        check("nodes/a", Some((Of::Nodes, None, Some("a"))));
        check("pods", Some((Of::Pods, None, None)));
        check("namespaces/x/pods", Some((Of::Pods, Some("x"), None)));
        check("namespaces/x/pods/a", Some((Of::Pods, Some("x"), Some("a"))));
        check("namespaces/x/nodes", None);
        check("pods/a", None);
        check("namespaces/x", None);
        check("services", None);
        check("namespaces/x/pods/a/status", None);
    }
}
