//! Logs: fetched from the kubelet of the pod's node, and passed on as they come.

use crate::api::streams::container;
use crate::api::{Api, reply};
use crate::http::Exchange;
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{ContainerState, ContainerStatus, Pod};
use miniku_core::api::status::{Reason, Status};
use miniku_core::program::{Answer, Verb};
use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

/// Calls kubelets. Without a bound on the whole call, since a followed log has none.
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(5)))
        .timeout_recv_response(Some(Duration::from_secs(30)))
        .http_status_as_error(false)
        .build()
        .into()
}

/// A kubelet of a Ready node that refuses connections is given this time to come back.
pub const RESTART_MAX: Duration = Duration::from_secs(5);

/// Answers a request for a container's log.
pub fn serve(api: &Api, exchange: Exchange, key: &Key) {
    let deadline = Instant::now() + RESTART_MAX;
    let answer = loop {
        let (node, url, ready) = match where_it_is(api, &exchange, key) {
            Ok(found) => found,
            Err(status) => return reply::status(exchange, &status),
        };
        match api.nodes.get(&url).header("Authorization", api.access.to_node(&node)).call() {
            Ok(answer) => break answer,
            // It is being started again, then perhaps at another port.
            Err(ureq::Error::Io(error))
                if error.kind() == ErrorKind::ConnectionRefused && ready && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => {
                let message = format!("the node's kubelet cannot be reached: {error}");
                return reply::status(exchange, &Status::failure(Reason::InternalError, message));
            }
        }
    };
    let code = answer.status().as_u16();
    let mut body = answer.into_body().into_reader();
    let mut chunk = [0; 16 << 10];
    if code != 200 {
        let mut message = String::new();
        // What cannot be read of an error message is left out.
        let _ = body.by_ref().take(4096).read_to_string(&mut message);
        return reply::status(exchange, &Status::failure(Reason::BadRequest, message.trim_end()));
    }
    let Ok(mut stream) = exchange.stream(200, "text/plain", &[]) else { return };
    loop {
        match body.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(length) if stream.send(&chunk[..length]).is_err() => return,
            Ok(_) => {}
        }
    }
}

/// The node that has the log, its URL there, and whether the node is Ready.
fn where_it_is(api: &Api, exchange: &Exchange, key: &Key) -> Result<(String, String, bool), Status> {
    let wrong = |message: String| Status::failure(Reason::BadRequest, message);
    let object = get(api, key.clone())?;
    let pod: &Pod = object.get().ok_or_else(|| Status::not_found(Kind::Pod, &key.name))?;
    let asked = exchange.query_pairs().find(|(name, _)| name == "container").map(|(_, value)| value);
    let container = container(pod, asked.as_deref()).map_err(wrong)?;
    let status = pod.status.container_statuses.iter().find(|status| status.name == container);
    if !status.is_some_and(has_begun) {
        let reason = status
            .and_then(|status| status.state.waiting.as_ref())
            .map_or("ContainerCreating", |waiting| &waiting.reason);
        return Err(wrong(format!("container {container:?} in pod {:?} is waiting to start: {reason}", &*key.name)));
    }
    let node = pod.node().unwrap_or("").to_owned();
    let object = get(api, Key::new(Kind::Node, "", &node))?;
    let address = kubelet_address(&object).ok_or_else(|| wrong(format!("node {node} serves no logs")))?;
    // The attempt that runs, or that ran last: a container that waits for its restart has the log of the one before.
    let current = status.map_or(0, |status| status.restart_count);
    let previous =
        exchange.query_pairs().any(|(name, value)| name == "previous" && matches!(&*value, "true" | "True" | "1"));
    let attempt = match previous {
        false => current,
        true if current > 0 => current - 1,
        true => {
            let name = &*key.name;
            return Err(wrong(format!("previous terminated container {container:?} in pod {name:?} not found")));
        }
    };
    let query = exchange.query();
    let ready = object.get().is_some_and(Node::is_ready);
    let url = format!("http://{address}/containerLogs/{}/{container}/{attempt}?{query}", pod.metadata.uid);
    Ok((node, url, ready))
}

/// Whether a container has run before, so that it may have a log. One of which nobody knows how it ended has no id any more.
fn has_begun(status: &ContainerStatus) -> bool {
    let ended = |state: &ContainerState| state.terminated.is_some();
    !status.container_id.is_empty() || ended(&status.state) || ended(&status.last_state)
}

/// An object, asked of the server.
pub fn get(api: &Api, key: Key) -> Result<Object, Status> {
    match api.host.ask(Verb::Get { key }) {
        Answer::Object { object, .. } => Ok(object),
        Answer::Refused(status) => Err(status),
        _ => Err(Status::failure(Reason::InternalError, "the server gave no answer")),
    }
}

/// Where a node's kubelet serves: address and port.
pub fn kubelet_address(object: &Object) -> Option<String> {
    let node: &Node = object.get()?;
    let port = node.status.daemon_endpoints.kubelet_endpoint.as_ref()?.port;
    let address = node.address("InternalIP")?;
    Some(if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_has_run_may_have_a_log() {
        let check = |status: Value, want| {
            let read: ContainerStatus = serde_json::from_value(status.clone()).unwrap();
            assert_eq!(has_begun(&read), want, "{status}");
        };
        check(json!({"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}}), false);
        check(json!({"name": "c", "containerID": "miniku://1", "state": {"running": {}}}), true);
        let unknown = json!({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}});
        check(json!({"name": "c", "state": unknown}), true);
        check(json!({"name": "c", "state": {"waiting": {}}, "lastState": unknown}), true);
    }
}
