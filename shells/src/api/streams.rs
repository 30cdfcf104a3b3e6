//! Exec, attach and port-forward: which node has the pod; then bytes are passed on, both ways.
//!
//! The kubelet speaks the protocols, see `node/streams.rs`. What it answers, be it a refusal, is passed on as it is.

use crate::api::logs::{RESTART_MAX, get, kubelet_address};
use crate::api::{Api, reply, route::Target};
use crate::http::{Asked, Exchange, Upgrade};
use crate::streams::splice::splice;
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::object::Key;
use miniku_core::api::pod::{Pod, PodPhase};
use miniku_core::api::status::{Reason, Status};
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The parts of a pod that are streams.
pub const PARTS: &[&str] = &["exec", "attach", "portforward"];

/// A node that does not answer is given up after this time.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Serves a connection that asks for another protocol, as long as it lasts.
pub fn serve(api: &Api, mut upgrade: Upgrade) {
    let (key, part) = match meant(api, &upgrade) {
        Ok(meant) => meant,
        Err(status) => return reply::status(upgrade, &status),
    };
    let deadline = Instant::now() + RESTART_MAX;
    let (mut kubelet, found) = loop {
        let found = match find(api, upgrade.asked(), &key, part) {
            Ok(found) => found,
            Err(status) => return reply::status(upgrade, &status),
        };
        match TcpStream::connect_timeout(&found.address, CONNECT_MAX) {
            Ok(stream) => break (stream, found),
            // It is being started again, then perhaps at another port.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused && found.ready && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => {
                let message = format!("error dialing backend: dial tcp {}: {error}", found.address);
                return reply::status(upgrade, &Status::failure(Reason::InternalError, message));
            }
        }
    };
    let mut request = format!(
        "{} {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nAuthorization: {}\r\n",
        upgrade.head.method(),
        found.target,
        found.address,
        api.access.to_node(&found.node)
    );
    for (name, value) in upgrade.head.headers() {
        let name = name.to_ascii_lowercase();
        if name == "upgrade" || name.starts_with("sec-websocket-") && name != "sec-websocket-extensions" {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    request.push_str("\r\n");
    let sent = kubelet
        .set_nodelay(true)
        .and_then(|()| kubelet.write_all(request.as_bytes()))
        .and_then(|()| kubelet.write_all(&upgrade.early));
    if let Err(error) = sent {
        let message = format!("error dialing backend: {error}");
        return reply::status(upgrade, &Status::failure(Reason::InternalError, message));
    }
    if let Err(error) = splice(&mut upgrade.stream, &mut kubelet) {
        log::debug!("{part} of {key}: {error}");
    }
}

/// Answers one that does not ask for another protocol, or not for one that is spoken here: with what is wrong with its
/// request otherwise, if anything is. kubectl asks so when it was refused, and shows the answer.
pub fn refuse(api: &Api, exchange: Exchange, key: &Key, part: &str) {
    let wrong = find(api, exchange.asked(), key, part).err();
    let otherwise = || Status::failure(Reason::BadRequest, "Upgrade request required: only WebSocket is spoken here");
    reply::status(exchange, &wrong.unwrap_or_else(otherwise));
}

fn meant(api: &Api, upgrade: &Upgrade) -> Result<(Key, &'static str), Status> {
    let asked = upgrade.asked();
    let segments = asked.segments().unwrap_or_default();
    let segments: Vec<&str> = segments.iter().map(|segment| &**segment).collect();
    let target = api.target(&segments);
    api.access.admit(&api.host, asked, target.as_ref(), upgrade.head.headers())?;
    let Some(Target::Resource(resource)) = target else { return Err(Status::no_such_path()) };
    let part = PARTS.iter().find(|part| resource.part.as_deref() == Some(**part));
    match (part, &resource.name) {
        (Some(part), Some(name)) if resource.kind() == Kind::Pod => {
            Ok((Key::new(Kind::Pod, resource.namespace.as_deref().unwrap_or(""), name), part))
        }
        _ => Err(Status::failure(Reason::BadRequest, "this path is not one where the protocol can be changed")),
    }
}

/// Where a request is to be passed on to.
struct Found {
    /// The node that has the pod.
    node: String,
    address: SocketAddr,
    target: String,
    /// Whether the node is Ready.
    ready: bool,
}

fn find(api: &Api, asked: Asked, key: &Key, part: &str) -> Result<Found, Status> {
    let wrong = |message: String| Status::failure(Reason::BadRequest, message);
    let object = get(api, key.clone())?;
    let pod: &Pod = object.get().ok_or_else(|| Status::not_found(Kind::Pod, &key.name))?;
    let uid = &pod.metadata.uid;
    let path = match part {
        "portforward" => format!("portForward/{uid}"),
        _ => {
            let asked = asked.query_pairs().find(|(name, _)| name == "container").map(|(_, value)| value);
            let container = container(pod, asked.as_deref()).map_err(wrong)?;
            let status = pod.status.container_statuses.iter().find(|status| status.name == container);
            // Whether it runs is for the kubelet to say.
            let attempt = status.map_or(0, |status| status.restart_count);
            format!("{part}/{}/{}/{uid}/{container}/{attempt}", key.namespace, key.name)
        }
    };
    let node = pod.node().ok_or_else(|| wrong(format!("pod {} does not have a host assigned", key.name)))?.to_owned();
    if part == "portforward" && pod.status.phase != PodPhase::Running {
        return Err(wrong(format!("pod {} is not running; current phase is {}", key.name, pod.status.phase)));
    }
    let object = get(api, Key::new(Kind::Node, "", &node))?;
    let address = kubelet_address(&object).and_then(|address| address.parse().ok());
    let address = address.ok_or_else(|| wrong(format!("node {node} serves no streams")))?;
    let ready = object.get().is_some_and(Node::is_ready);
    Ok(Found { node, address, target: format!("/{path}?{}", asked.query()), ready })
}

/// The container that is asked for, or the only one. An empty name asks for none.
pub fn container(pod: &Pod, asked: Option<&str>) -> Result<String, String> {
    let name = &pod.metadata.name;
    let names: Vec<&str> = pod.spec.containers.iter().map(|container| container.name.as_str()).collect();
    match (asked.filter(|asked| !asked.is_empty()), names.as_slice()) {
        (Some(asked), _) if names.contains(&asked) => Ok(asked.to_owned()),
        (Some(asked), _) => Err(format!("container {asked} is not valid for pod {name}")),
        (None, [only]) => Ok((*only).to_owned()),
        (None, several) => {
            let choice = several.join(" ");
            Err(format!("a container name must be specified for pod {name}, choose one of: [{choice}]"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn the_only_container_need_not_be_named() {
        let check = |names: &[&str], asked: Option<&str>, want: Option<&str>| {
            let containers: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
            let pod: Pod = serde_json::from_value(json!({"spec": {"containers": containers}})).unwrap();
            assert_eq!(container(&pod, asked).ok().as_deref(), want, "{names:?} {asked:?}");
        };
        check(&["a"], None, Some("a"));
        check(&["a"], Some(""), Some("a"));
        check(&["a"], Some("b"), None);
        check(&["a", "b"], Some("b"), Some("b"));
        check(&["a", "b"], Some(""), None);
    }
}
