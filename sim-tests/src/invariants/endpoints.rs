//! S-endpoints: What is shown of a pod behind a service is as the endpoints controller was told of it: at its address and on its node, at those of its ports that the service means, by number or by name, ready only if it is and may stay, or if the service wants all to be shown. No pod is shown that has finished or that the service does not select; no other is left out. No slice is written that belongs to a former service of the name, and Endpoints that somebody else has made are not deleted.
//!
//! Catches: pods that are ending, or not ready yet, to which new connections are sent; addresses of finished pods, which
//! others may have by then; pods of another service; ports at which nobody listens; a slice that will be collected.

use super::{Broken, Checker};
use crate::told::Told;
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::endpoints::{ENDPOINTS_MANAGED_BY, EndpointPort, EndpointSlice, Endpoints, SERVICE_NAME};
use miniku_core::api::event::ObjectReference;
use miniku_core::api::int_or_string::IntOrString;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::service::{Service, ServicePort};
use miniku_core::program::{Part, Verb};
use serde_json::Value;

/// Needs to remember nothing.
#[derive(Default)]
pub struct Shown;

/// What somebody says of a pod.
struct Said<'a> {
    of: &'a ObjectReference,
    ip: &'a str,
    node: &'a str,
    ports: &'a [EndpointPort],
    ready: bool,
    /// Whether it answers, and whether it is ending; where that is said.
    state: Option<(bool, bool)>,
}

/// All that an object shows of pods.
fn said<'a>(slice: Option<&'a EndpointSlice>, endpoints: Option<&'a Endpoints>) -> Vec<Said<'a>> {
    let in_slice = slice.into_iter().flat_map(|slice| slice.endpoints.iter().map(move |one| (&slice.ports, one)));
    let of_slice = in_slice.filter_map(|(ports, one)| {
        let conditions = &one.conditions;
        Some(Said {
            of: one.target_ref.as_ref()?,
            ip: one.addresses.first()?,
            node: &one.node_name,
            ports,
            ready: conditions.ready.unwrap_or(true),
            state: Some((conditions.serving.unwrap_or(true), conditions.terminating.unwrap_or(false))),
        })
    });
    let subsets = endpoints.into_iter().flat_map(|endpoints| &endpoints.subsets);
    let of_subsets = subsets.flat_map(|subset| {
        let [ready, others] = [(true, &subset.addresses), (false, &subset.not_ready_addresses)];
        let each = [ready, others].into_iter().flat_map(|(ready, all)| all.iter().map(move |one| (ready, one)));
        each.map(move |(ready, one)| (&subset.ports, ready, one))
    });
    let of_endpoints = of_subsets.filter_map(|(ports, ready, one)| {
        Some(Said { of: one.target_ref.as_ref()?, ip: &one.ip, node: &one.node_name, ports, ready, state: None })
    });
    of_slice.chain(of_endpoints).collect()
}

/// A container's port that has a name: that, its protocol and its number.
fn named_port(port: &Value) -> Option<(&str, &str, i64)> {
    let protocol = port["protocol"].as_str().unwrap_or("TCP");
    Some((port["name"].as_str()?, protocol, port["containerPort"].as_i64()?))
}

/// The number of a pod's port of this name and protocol, if it has one. Those of containers that run before the others and
/// stay are among them.
fn port_of(pod: &Pod, name: &str, protocol: &str) -> Option<i64> {
    let inits = pod.spec.rest.get("initContainers").and_then(Value::as_array).into_iter().flatten();
    let stay = inits.filter(|one| one["restartPolicy"] == "Always").map(|one| &one["ports"]);
    let all = pod.spec.containers.iter().filter_map(|one| one.rest.get("ports")).chain(stay);
    let mut named = all.filter_map(Value::as_array).flatten().filter_map(named_port);
    named.find(|(one, of, _)| *one == name && *of == protocol).map(|(.., number)| number)
}

/// Where a service means a pod to be reached, in order: how it calls the port, what is spoken there, and its number on the
/// pod. One that it means by a name which the pod has not is left out.
///
/// Source: Kubernetes documentation, "Service", port definitions.
pub(super) fn meant<'a>(service: &'a Service, pod: &Pod) -> Vec<(&'a str, &'a str, i64)> {
    let on_pod = |port: &'a ServicePort| {
        let protocol = if port.protocol.is_empty() { "TCP" } else { port.protocol.as_str() };
        let number = match &port.target_port {
            Some(IntOrString::Int(number)) if *number != 0 => i64::from(*number),
            Some(IntOrString::String(name)) if !name.is_empty() => port_of(pod, name, protocol)?,
            _ => i64::from(port.port),
        };
        Some((port.name.as_str(), protocol, number))
    };
    let mut all: Vec<(&str, &str, i64)> = service.spec.ports.iter().filter_map(on_pod).collect();
    all.sort_unstable();
    all
}

/// Ports that are shown, in the same order.
pub(super) fn shown(ports: &[EndpointPort]) -> Vec<(&str, &str, i64)> {
    let mut all: Vec<(&str, &str, i64)> =
        ports.iter().map(|port| (port.name.as_str(), port.protocol.as_str(), i64::from(port.port))).collect();
    all.sort_unstable();
    all
}

/// What is wrong with the ports at which a pod is shown. Of several, Endpoints show some in one place and some in another.
fn at_another_port(service: &Service, pod: &Pod, said: &Said<'_>) -> Option<String> {
    let (meant, shown) = (meant(service, pod), shown(said.ports));
    let is_right = match said.state {
        None if meant.len() > 1 => shown.iter().all(|port| meant.contains(port)),
        _ => shown == meant,
    };
    (!is_right).then(|| format!("{} is shown at ports {shown:?}, and {meant:?} are meant", said.of.name))
}

/// What is wrong with it, by what its author was told.
fn wrong(told: Told<'_>, service: &Object, said: &Said<'_>) -> Option<String> {
    let (shown, name) = (service.read::<Service>()?, &said.of.name);
    let known = told.object(&Key::new(Kind::Pod, &said.of.namespace, name));
    let Some(object) = known.filter(|pod| pod.meta().uid == said.of.uid) else {
        return Some(format!("{name} is shown, and is not there"));
    };
    let (pod, meta): (&Pod, _) = (object.get()?, object.meta());
    let selected = shown.spec.selector.iter().all(|(key, value)| meta.labels.get(key) == Some(value));
    if !selected || meta.namespace != service.meta().namespace {
        return Some(format!("{name} is shown, and not selected"));
    }
    if pod.status.phase.is_final() {
        return Some(format!("{name} is shown, and has finished"));
    }
    if said.ip.is_empty() {
        return Some(format!("{name} is shown, and has no address"));
    }
    if (said.ip, said.node) != (&*pod.status.pod_ip, &*pod.spec.node_name) {
        let (ip, node) = (&pod.status.pod_ip, &pod.spec.node_name);
        return Some(format!("{name} is shown at {} on {}, and is at {ip} on {node}", said.ip, said.node));
    }
    if let Some(wrong) = at_another_port(&shown, pod, said) {
        return Some(wrong);
    }
    let has = |kind: &str| pod.status.conditions.iter().any(|one| one.kind == kind && one.status == "True");
    let (ready, ending) = (has("Ready"), meta.is_deleting());
    let should = shown.spec.publish_not_ready_addresses || (ready && !ending);
    if said.ready != should {
        return Some(format!("{name} is shown as ready: {}, and should be: {should}", said.ready));
    }
    match said.state {
        Some(state) if state != (ready, ending) => {
            Some(format!("{name} serves: {ready}, ends: {ending}; said is {state:?}"))
        }
        None if ending && !shown.spec.publish_not_ready_addresses => Some(format!("{name} is shown, and is ending")),
        _ => None,
    }
}

/// A pod that is shown no more, though it is to be. One that is shown in another slice instead is not looked for.
fn left_out(truth: &Truth, told: Told<'_>, service: &Object, slice: &Object) -> Option<String> {
    let is_other = |one: &&Object| {
        one.meta().labels.get(SERVICE_NAME) == Some(&service.meta().name) && one.meta().name != slice.meta().name
    };
    let before =
        truth.object(&slice.key()).filter(|one| one.meta().resource_version == slice.meta().resource_version)?;
    if truth.disk.objects().within(Kind::EndpointSlice, &slice.meta().namespace).any(|one| is_other(&one)) {
        return None;
    }
    let (before, after, selector) =
        (before.read::<EndpointSlice>()?, slice.read::<EndpointSlice>()?, service.read::<Service>()?.spec.selector);
    let shown = |of: &ObjectReference| {
        after.endpoints.iter().filter_map(|one| one.target_ref.as_ref()).any(|one| one.uid == of.uid)
    };
    let known = before.endpoints.iter().filter_map(|one| one.target_ref.as_ref()).filter(|of| !shown(of));
    let mut pods = known.filter_map(|of| {
        told.object(&Key::new(Kind::Pod, &of.namespace, &of.name)).filter(|pod| pod.meta().uid == of.uid)
    });
    let pod = pods.find(|object| {
        let stays = |pod: &Pod| !pod.status.phase.is_final() && !pod.status.pod_ip.is_empty();
        object.get().is_some_and(stays)
            && selector.iter().all(|(key, value)| object.meta().labels.get(key) == Some(value))
            // It may have gone in a gap of what was told.
            && truth.stored(object).is_some()
    })?;
    Some(format!("{} is shown no more, and is still there", pod.meta().name))
}

impl Checker for Shown {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Sent { who, request, .. } = fact else { return Ok(()) };
        if let (Role::Endpoints, Verb::Delete { key, .. }) = (who.role, &request.verb)
            && key.kind == Kind::Endpoints
            && let Some(object) = truth.object(key)
            && !object.meta().labels.contains_key(ENDPOINTS_MANAGED_BY)
        {
            return Err(Broken::by(format!("{key} is deleted, and was made by somebody else")).with([object]));
        }
        let (Verb::Create { object } | Verb::Update { object, part: Part::Main }) = &request.verb else {
            return Ok(());
        };
        let (meta, told) = (object.meta(), truth.told(who));
        let service = match object.kind() {
            Kind::EndpointSlice => meta.labels.get(SERVICE_NAME),
            Kind::Endpoints => Some(&meta.name),
            _ => None,
        };
        let Some(name) = service.filter(|_| who.role == Role::Endpoints) else { return Ok(()) };
        let Some(service) = told.object(&Key::new(Kind::Service, &meta.namespace, name)) else { return Ok(()) };
        let (slice, endpoints) = (object.read::<EndpointSlice>(), object.read::<Endpoints>());
        let is_slice = object.kind() == Kind::EndpointSlice;
        if is_slice && meta.controller().is_none_or(|by| by.uid != service.meta().uid) {
            let what = format!("{} is written for {name}, and belongs to another one", object.key());
            return Err(Broken::by(what).with([object, service]));
        }
        let said = said(slice.as_ref().filter(|_| is_slice), endpoints.as_ref().filter(|_| !is_slice));
        let wrong = said.iter().find_map(|said| wrong(told, service, said));
        match wrong.or_else(|| left_out(truth, told, service, object).filter(|_| is_slice)) {
            Some(what) => Err(Broken::by(format!("{} of {name}: {what}", object.kind().row().name)).with([object])),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, who};
    use super::*;
    use miniku_core::patch::merge::merge;
    use miniku_core::program::DeleteOptions;
    use serde_json::{Value, json};

    fn told(story: &mut Story<Shown>, manifest: Value) {
        let who = who(Role::Endpoints, "endpoints");
        story.shows(&who, manifest).unwrap();
    }

    fn pod(name: &str, ready: &str, more: Value) -> Value {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "uid": name, "namespace": "default", "labels": {"app": "web"}},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "busybox"}]},
            "status": {"phase": "Running", "podIP": "10.1.0.1", "conditions": [{"type": "Ready", "status": ready}]}});
        merge(&mut pod, &more);
        pod
    }

    /// What the checker says when a slice shows the pod `a` like this.
    fn says(pod: Value, endpoint: Value) -> String {
        shows(pod, endpoint, json!({"port": 80}), json!({}))
    }

    /// The same where the service has another port, or there is more to the slice.
    fn shows(pod: Value, endpoint: Value, port: Value, more: Value) -> String {
        let mut story = Story::<Shown>::new();
        let service = json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "front", "namespace": "default", "uid": "front"},
            "spec": {"selector": {"app": "web"}, "ports": [port]}});
        told(&mut story, service);
        told(&mut story, pod);
        let mut shown = json!({"addresses": ["10.1.0.1"], "nodeName": "n",
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "targetRef": {"kind": "Pod", "namespace": "default", "name": "a", "uid": "a"}});
        merge(&mut shown, &endpoint);
        let owner = json!({"apiVersion": "v1", "kind": "Service", "name": "front", "uid": "front", "controller": true});
        let mut slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "front-1", "namespace": "default", "labels": {SERVICE_NAME: "front"},
                "ownerReferences": [owner]},
            "ports": [{"port": 80, "protocol": "TCP"}], "endpoints": [shown]});
        merge(&mut slice, &more);
        let creation = Verb::Create { object: crate::plan::object(slice) };
        let seen = story.sends(&who(Role::Endpoints, "endpoints"), creation);
        seen.err().map(|broken| broken.what).unwrap_or_default()
    }

    #[test]
    fn fires_when_what_others_have_made_is_deleted() {
        let judge = |labels: Value| {
            let mut story = Story::<Shown>::new();
            let made = story.put(
                json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "by-hand", "labels": labels}}),
            );
            let deletion = Verb::Delete { key: made.unwrap().new.unwrap().key(), options: DeleteOptions::default() };
            story.sends(&who(Role::Endpoints, "endpoints"), deletion)
        };
        assert_eq!(
            judge(json!({})).unwrap_err().what,
            "endpoints/default/by-hand is deleted, and was made by somebody else"
        );
        judge(json!({ENDPOINTS_MANAGED_BY: "endpoint-controller"})).unwrap();
    }

    #[test]
    fn fires_on_a_slice_of_a_former_service() {
        let of = |uid: &str| {
            let owner = json!({"apiVersion": "v1", "kind": "Service", "name": "front", "uid": uid, "controller": true});
            let more = json!({"metadata": {"ownerReferences": [owner]}});
            shows(pod("a", "True", json!({})), json!({}), json!({"port": 80}), more)
        };
        assert_eq!(of("front"), "");
        assert!(of("before").contains("is written for front, and belongs to another one"));
    }

    #[test]
    fn fires_on_a_port_that_a_pod_has_not() {
        let with = |ports: Value| {
            let containers = json!([{"name": "c", "image": "busybox", "ports": ports}]);
            pod("a", "True", json!({"spec": {"containers": containers}}))
        };
        let at = |pod: Value, ports: Value| {
            shows(pod, json!({}), json!({"port": 80, "targetPort": "http"}), json!({"ports": ports}))
        };
        let http = || with(json!([{"name": "http", "containerPort": 8080}]));
        assert_eq!(at(http(), json!([{"port": 8080, "protocol": "TCP"}])), "");
        let wrong = json!([{"port": 80, "protocol": "TCP"}]);
        assert!(at(http(), wrong.clone()).contains(r#"[("", "TCP", 80)], and [("", "TCP", 8080)] are meant"#));
        // It has none of that name.
        assert_eq!(at(with(json!([])), json!([])), "");
        assert!(at(with(json!([])), wrong).contains("and [] are meant"));
    }

    #[test]
    fn fires_on_a_port_that_is_not_meant_by_its_number() {
        let at = |port: Value, shown: i32| {
            let shown = json!({"ports": [{"port": shown, "protocol": "TCP"}]});
            shows(pod("a", "True", json!({})), json!({}), port, shown)
        };
        let http = || json!({"port": 80, "targetPort": 8080});
        assert_eq!((at(http(), 8080), at(json!({"port": 80, "targetPort": 0}), 80)), (String::new(), String::new()));
        assert!(at(http(), 80).contains(r#"a is shown at ports [("", "TCP", 80)], and [("", "TCP", 8080)] are meant"#));
    }

    /// Endpoints show a port that some pods have not apart from those that all have; a slice shows all of a pod's.
    #[test]
    fn several_ports_are_in_one_slice() {
        let service: Service = serde_json::from_value(json!({"spec": {"ports": [
            {"name": "web", "port": 80, "targetPort": 8080}, {"name": "admin", "port": 81}]}}))
        .unwrap();
        let of = ObjectReference { name: "a".into(), ..ObjectReference::default() };
        let (pod, web) = (Pod::default(), EndpointPort { name: "web".into(), port: 8080, ..EndpointPort::default() });
        let web = EndpointPort { protocol: "TCP".into(), ..web };
        let other = EndpointPort { name: "web".into(), port: 80, protocol: "TCP".into(), ..EndpointPort::default() };
        for (port, state, fires) in [
            (&web, None, false),
            (&web, Some((true, false)), true),
            (&other, None, true),
            (&other, Some((true, false)), true),
        ] {
            let ports = std::slice::from_ref(port);
            let said = Said { of: &of, ip: "10.1.0.1", node: "n", ports, ready: true, state };
            assert_eq!(at_another_port(&service, &pod, &said).is_some(), fires, "{port:?} {state:?}");
        }
    }

    #[test]
    fn a_slice_says_what_its_author_was_told() {
        let not_ready = json!({"conditions": {"ready": false, "serving": false}});
        let ending = || json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b"]}});
        let draining = json!({"conditions": {"ready": false, "terminating": true}});
        let plain = || pod("a", "True", json!({}));
        for (pod, endpoint, wrong) in [
            (plain(), json!({}), ""),
            (plain(), json!({"addresses": ["10.1.0.2"]}), "is shown at 10.1.0.2"),
            (plain(), json!({"targetRef": {"uid": "b"}}), "is not there"),
            (plain(), not_ready.clone(), "should be: true"),
            (pod("a", "False", json!({})), json!({}), "should be: false"),
            (pod("a", "False", json!({})), not_ready, ""),
            (pod("a", "True", json!({"metadata": {"labels": {"app": "db"}}})), json!({}), "not selected"),
            (pod("a", "True", json!({"status": {"phase": "Failed"}})), json!({}), "has finished"),
            (pod("a", "True", ending()), json!({}), "should be: false"),
            (pod("a", "True", ending()), json!({"conditions": {"ready": false}}), "ends: true"),
            (pod("a", "True", ending()), draining, ""),
        ] {
            let says = says(pod, endpoint);
            assert!(if wrong.is_empty() { says.is_empty() } else { says.contains(wrong) }, "{says:?} for {wrong:?}");
        }
    }
}
