//! What a service's endpoints are to be.

use crate::api::endpoints::{
    ENDPOINTS_CONTROLLER, ENDPOINTS_MANAGED_BY, Endpoint, EndpointAddress, EndpointConditions, EndpointSlice,
    Endpoints, HEADLESS, MANAGED_BY, OVER_CAPACITY, SERVICE_NAME, SLICE_CONTROLLER,
};
use crate::api::event::ObjectReference;
use crate::api::kinds::Kind;
use crate::api::meta::Labels;
use crate::api::object::Object;
use crate::api::pod::Pod;
use crate::api::service::Service;
use crate::api::text::Text;
use crate::controllers::endpoints::membership::{Action, Shows, standing};
use crate::controllers::endpoints::packing::{SLICE_MAX, Slice, pack};
use crate::controllers::endpoints::ports::{Port, ports};
use crate::controllers::endpoints::subsets::{ADDRESSES_MAX, Member, subsets, truncate};
use crate::controllers::workload::claim;
use serde_json::Value;
use std::collections::BTreeMap;

/// Everything that the plan may look at.
#[derive(Debug)]
pub struct View<'a> {
    /// The service; it has a selector.
    pub service: &'a Object,
    /// The pods that it selects, in the order of their names.
    pub pods: Vec<&'a Pod>,
    /// The slices that are kept for a service of its name.
    pub slices: Vec<&'a Object>,
    /// The Endpoints of its name.
    pub endpoints: Option<&'a Object>,
}

/// What is to be written.
#[derive(Debug, Default)]
pub struct Plan {
    /// Objects to make; slices have no name yet.
    pub create: Vec<Object>,
    /// Objects as they are to be, with the version they were.
    pub change: Vec<Object>,
    /// Objects to delete.
    pub delete: Vec<Object>,
}

/// What makes the slices and the Endpoints of a service show its pods. Nothing is made for a service that is going: it
/// would be collected after it.
pub fn plan(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    if let Some(service) = view.service.read::<Service>() {
        slices(view, &service, &mut plan);
        endpoints(view, &service, &mut plan);
    }
    if view.service.meta().is_deleting() {
        plan.create.clear();
    }
    plan
}

fn shows(service: &Service) -> Shows {
    if service.spec.publish_not_ready_addresses { Shows::All } else { Shows::Usable }
}

/// Endpoints with these ports, which they have in common.
type Group = (Vec<Port>, Vec<Endpoint>);

fn slices(view: &View<'_>, service: &Service, plan: &mut Plan) {
    let mut wanted: BTreeMap<Vec<Port>, Vec<Endpoint>> = BTreeMap::new();
    for pod in &view.pods {
        let action = standing(pod, shows(service));
        if action != Action::Omit {
            let mut ports = ports(&service.spec, pod);
            ports.sort();
            wanted.entry(ports).or_default().push(endpoint(view.service, pod, action));
        }
    }
    let labels = slice_labels(view.service, service);
    let mut held: BTreeMap<Vec<Port>, Vec<(&Object, Slice)>> = BTreeMap::new();
    let mut remove: Vec<&Object> = Vec::new();
    for object in &view.slices {
        match owned(view.service, object) {
            Some(slice) => held.entry(ports_of(&slice)).or_default().push((object, named(object, slice))),
            // It goes when nobody holds it any longer.
            None if object.meta().is_deleting() => {}
            None => plan.delete.push((*object).clone()),
        }
    }
    let mut create: Vec<Group> = Vec::new();
    if wanted.is_empty() {
        // So that who looks sees that there is nothing, and not only that nothing is known.
        let empty = held.get_mut(&Vec::new()).and_then(|slices| {
            let at = slices.iter().position(|(_, slice)| slice.endpoints.is_empty())?;
            Some(slices.swap_remove(at))
        });
        match empty {
            Some((object, _)) => relabel(object, &labels, plan),
            None => create.push(Group::default()),
        }
    }
    for (ports, endpoints) in wanted {
        let held = held.remove(&ports).unwrap_or_default();
        let (objects, slices): (Vec<&Object>, Vec<Slice>) = held.into_iter().unzip();
        let packed = pack(&slices, endpoints, SLICE_MAX);
        for object in objects {
            let name = &object.meta().name;
            match packed.change.iter().find(|slice| slice.name == *name) {
                Some(slice) => plan.change.push(filled(object, &labels, (ports.clone(), slice.endpoints.clone()))),
                None if packed.remove.contains(name) => remove.push(object),
                None => relabel(object, &labels, plan),
            }
        }
        create.extend(packed.create.into_iter().map(|endpoints| (ports.clone(), endpoints)));
    }
    remove.extend(held.into_values().flatten().map(|(object, _)| object));
    // A slice that is needed no more becomes one that is missing: one write instead of two.
    let mut remove = remove.into_iter();
    for group in create {
        match remove.next() {
            Some(object) => plan.change.push(filled(object, &labels, group)),
            None => plan.create.push(filled(&new_slice(view.service), &labels, group)),
        }
    }
    plan.delete.extend(remove.cloned());
}

/// What a slice says, if it is this service's and not that of a former one of its name.
fn owned(service: &Object, object: &Object) -> Option<EndpointSlice> {
    let is_ours = object.meta().controller().is_some_and(|by| by.uid == service.meta().uid);
    let slice = object.read::<EndpointSlice>().filter(|slice| is_ours && slice.address_type == "IPv4")?;
    Some(slice).filter(|_| !object.meta().is_deleting())
}

fn ports_of(slice: &EndpointSlice) -> Vec<Port> {
    let port = |port: &crate::api::endpoints::EndpointPort| Port {
        name: port.name.to_string(),
        protocol: port.protocol.to_string(),
        number: port.port,
        app_protocol: port.app_protocol.to_string(),
    };
    let mut ports: Vec<Port> = slice.ports.iter().map(port).collect();
    ports.sort();
    ports
}

fn named(object: &Object, slice: EndpointSlice) -> Slice {
    Slice { name: object.meta().name.to_string(), endpoints: slice.endpoints }
}

fn new_slice(service: &Object) -> Object {
    Object::empty(Kind::EndpointSlice).with_meta(|meta| {
        meta.namespace.clone_from(&service.meta().namespace);
        meta.owner_references.push(claim::reference(service));
    })
}

/// A slice with this in it.
fn filled(object: &Object, labels: &Labels, (ports, endpoints): Group) -> Object {
    let ports = ports.iter().map(Port::shown).collect();
    let slice = EndpointSlice { address_type: "IPv4".into(), endpoints, ports, ..Default::default() };
    object.with_fields(&slice).with_meta(|meta| meta.labels.clone_from(labels))
}

fn relabel(object: &Object, labels: &Labels, plan: &mut Plan) {
    if object.meta().labels != *labels && !planted!(SliceLabelsKept) {
        plan.change.push(object.with_meta(|meta| meta.labels.clone_from(labels)));
    }
}

/// A service's own labels, and those by which its slices are found.
fn slice_labels(object: &Object, service: &Service) -> Labels {
    let mut labels = common_labels(object, service);
    labels.insert(SERVICE_NAME, object.meta().name.clone());
    labels.insert(MANAGED_BY, SLICE_CONTROLLER.into());
    labels
}

fn common_labels(object: &Object, service: &Service) -> Labels {
    let mut labels = object.meta().labels.clone();
    labels.remove(HEADLESS);
    if service.spec.is_headless() {
        labels.insert(HEADLESS, Text::default());
    }
    labels
}

fn endpoint(service: &Object, pod: &Pod, action: Action) -> Endpoint {
    let address = address(service, pod);
    let conditions = EndpointConditions {
        ready: Some(action == Action::Ready),
        serving: Some(pod.is_ready()),
        terminating: Some(pod.metadata.is_deleting()),
        ..Default::default()
    };
    Endpoint {
        addresses: vec![address.ip],
        conditions,
        hostname: address.hostname,
        node_name: address.node_name,
        target_ref: address.target_ref,
        ..Default::default()
    }
}

fn address(service: &Object, pod: &Pod) -> EndpointAddress {
    let meta = &pod.metadata;
    // Source: Kubernetes documentation, "DNS for Services and Pods", pod's hostname and subdomain.
    let subdomain = pod.spec.rest.get("subdomain").and_then(Value::as_str).unwrap_or("");
    let is_named = subdomain == service.meta().name;
    EndpointAddress {
        ip: pod.status.pod_ip.clone(),
        hostname: if is_named { pod.spec.hostname.clone() } else { Text::default() },
        node_name: pod.spec.node_name.clone(),
        target_ref: Some(ObjectReference {
            kind: "Pod".into(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn endpoints(view: &View<'_>, service: &Service, plan: &mut Plan) {
    let member = |pod: &&Pod| {
        let ready = match standing(pod, shows(service)) {
            Action::Ready => true,
            Action::NotReady => false,
            Action::Draining | Action::Omit => return None,
        };
        let ports = ports(&service.spec, pod);
        let is_portless = service.spec.ports.is_empty() && service.spec.is_headless();
        (is_portless || !ports.is_empty()).then(|| Member { ready, address: address(view.service, pod), ports })
    };
    let mut subsets = subsets(view.pods.iter().filter_map(member).collect());
    let is_cut = truncate(&mut subsets, ADDRESSES_MAX);
    let wanted = Endpoints { subsets, ..Default::default() };
    let mut labels = common_labels(view.service, service);
    labels.insert(ENDPOINTS_MANAGED_BY, ENDPOINTS_CONTROLLER.into());
    let meta = view.service.meta();
    let new = || {
        Object::empty(Kind::Endpoints)
            .with_meta(|of| (of.namespace, of.name) = (meta.namespace.clone(), meta.name.clone()))
    };
    let object = view.endpoints.cloned().unwrap_or_else(new).with_meta(|meta| {
        meta.labels = labels;
        meta.annotations.remove(OVER_CAPACITY);
        if is_cut {
            meta.annotations.insert(OVER_CAPACITY, "truncated".into());
        }
    });
    match view.endpoints {
        None => plan.create.push(object.with_fields(&wanted)),
        // What says the same is not written in other words.
        Some(held) if held.read::<Endpoints>().as_ref() == Some(&wanted) && held.meta() == object.meta() => {}
        Some(_) => plan.change.push(object.with_fields(&wanted)),
    }
}
