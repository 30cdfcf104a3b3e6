//! The endpoints controller as a whole, against the real API server. Pods are as the tests say: no kubelet speaks for them.

use crate::api::endpoints::{EndpointSlice, Endpoints};
use crate::api::kinds::Kind;
use crate::api::object::{Key, Object};
use crate::controllers::endpoints::{EndpointsController, Options};
use crate::controllers::testing::{World, owned_by};
use crate::program::Part;
use serde_json::{Value, json};

const SEEDS: std::ops::Range<u64> = 0..8;

struct Desk {
    world: World,
    controller: EndpointsController,
}

fn service() -> Key {
    Key::new(Kind::Service, "default", "web")
}

impl Desk {
    fn new(seed: u64) -> Self {
        Desk { world: World::new(seed), controller: EndpointsController::new(Options::default(), seed) }
    }

    fn run(&mut self, secs: u64) {
        self.world.run(&mut self.controller, secs);
    }

    fn service(&mut self, spec: Value) -> Object {
        let mut all =
            json!({"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http", "protocol": "TCP"}]});
        crate::patch::merge::merge(&mut all, &spec);
        let meta = json!({"name": "web", "namespace": "default", "labels": {"team": "a"}});
        self.world.create(Kind::Service, json!({"metadata": meta, "spec": all}))
    }

    fn pod(&mut self, nth: usize, ready: bool) -> Key {
        let name = format!("web-{nth}");
        let container = json!({"name": "c", "image": "busybox", "ports": [{"name": "http", "containerPort": 8080}]});
        let meta = json!({"name": name, "namespace": "default", "labels": {"app": "web"}});
        let spec = json!({"nodeName": "n1", "containers": [container]});
        self.world.create(Kind::Pod, json!({"metadata": meta, "spec": spec}));
        let key = Key::new(Kind::Pod, "default", &name);
        let address = format!("10.0.{}.{}", nth / 250, nth % 250 + 1);
        let ready = if ready { "True" } else { "False" };
        let conditions = json!([{"type": "Ready", "status": ready}]);
        self.status(&key, json!({"podIP": address, "phase": "Running", "conditions": conditions}));
        key
    }

    fn status(&mut self, pod: &Key, status: Value) {
        self.world.merge(pod.clone(), json!({"status": status}), Part::Status);
    }

    fn ready(&mut self, pod: &Key, ready: bool) {
        let ready = if ready { "True" } else { "False" };
        self.status(pod, json!({"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}));
    }

    fn slices(&self) -> Vec<EndpointSlice> {
        self.world.objects(Kind::EndpointSlice).iter().map(|slice| slice.read().unwrap()).collect()
    }

    /// Each slice: `8080: web-0 web-1(serving,terminating)`, what is ready without a word.
    fn shown(&self) -> String {
        let slice = |slice: &EndpointSlice| {
            let ports: Vec<String> = slice.ports.iter().map(|port| port.port.to_string()).collect();
            let one = |one: &crate::api::endpoints::Endpoint| {
                let is = |what: Option<bool>, word| what.filter(|is| *is).map(|_| word);
                let words = [is(one.conditions.serving, "serving"), is(one.conditions.terminating, "terminating")];
                let name = &one.target_ref.as_ref().unwrap().name;
                let words: Vec<&str> = words.into_iter().flatten().collect();
                if one.conditions.ready == Some(true) {
                    name.to_string()
                } else {
                    format!("{name}({})", words.join(","))
                }
            };
            let mut all: Vec<String> = slice.endpoints.iter().map(one).collect();
            all.sort();
            format!("{}: {}", ports.join(","), all.join(" "))
        };
        let mut slices: Vec<String> = self.slices().iter().map(slice).collect();
        slices.sort();
        slices.join(" | ")
    }

    /// `10.0.0.1 / 10.0.0.2 : 8080`, those that are not ready after the stroke.
    fn old_form(&self) -> String {
        let Some(object) = self.world.get(Kind::Endpoints, "default", "web") else { return "none".into() };
        let ips = |all: &[crate::api::endpoints::EndpointAddress]| {
            all.iter().map(|one| one.ip.clone()).collect::<Vec<_>>().join(" ")
        };
        let subset = |subset: &crate::api::endpoints::EndpointSubset| {
            let ports: Vec<String> = subset.ports.iter().map(|port| port.port.to_string()).collect();
            format!("{} / {} : {}", ips(&subset.addresses), ips(&subset.not_ready_addresses), ports.join(","))
        };
        object.read::<Endpoints>().unwrap().subsets.iter().map(subset).collect::<Vec<_>>().join(" | ")
    }
}

#[test]
fn pods_are_shown_as_they_become_ready_and_go() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.service(json!({}));
        desk.run(1);
        assert_eq!((desk.shown().as_str(), desk.old_form().as_str()), (": ", ""), "it is known that there is nothing");
        let (a, b) = (desk.pod(0, true), desk.pod(1, false));
        desk.run(1);
        assert_eq!(desk.shown(), "8080: web-0 web-1()");
        assert_eq!(desk.old_form(), "10.0.0.1 / 10.0.0.2 : 8080");
        let object = &desk.world.objects(Kind::EndpointSlice)[0];
        let labels = serde_json::to_value(&object.meta().labels).unwrap();
        let want = json!({"team": "a", "kubernetes.io/service-name": "web",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"});
        assert_eq!(labels, want);
        assert!(object.meta().name.starts_with("web-") && object.meta().name.len() == 9, "{}", object.meta().name);
        let owner = object.meta().controller().unwrap();
        assert_eq!((owner.kind.as_str(), owner.name.as_str()), ("Service", "web"));
        let one = &desk.slices()[0].endpoints[0];
        assert_eq!((one.node_name.as_str(), one.addresses.as_slice()), ("n1", &["10.0.0.1".into()][..]));
        desk.ready(&b, true);
        desk.run(1);
        assert_eq!(desk.old_form(), "10.0.0.1 10.0.0.2 /  : 8080");
        desk.world.delete(a.clone(), None);
        desk.run(1);
        assert_eq!(desk.shown(), "8080: web-0(serving,terminating) web-1");
        assert_eq!(desk.old_form(), "10.0.0.2 /  : 8080");
        desk.world.delete_at_once(a);
        desk.status(&b, json!({"phase": "Succeeded"}));
        desk.run(1);
        assert_eq!((desk.shown().as_str(), desk.old_form().as_str()), (": ", ""));
        desk.world.take_writes();
        desk.run(2000);
        assert_eq!((desk.world.take_writes(), desk.controller.remembered()), (Vec::new(), 0), "and then it is silent");
    }
}

#[test]
fn a_change_is_one_write_of_each_form() {
    let mut desk = Desk::new(1);
    let pods: Vec<Key> = (0..250).map(|nth| desk.pod(nth, true)).collect();
    desk.service(json!({}));
    desk.run(1);
    assert_eq!(desk.world.take_writes().len(), 4, "three slices, and the Endpoints");
    let sizes = |desk: &Desk| {
        let mut sizes: Vec<usize> = desk.slices().iter().map(|slice| slice.endpoints.len()).collect();
        sizes.sort_unstable();
        sizes
    };
    assert_eq!(sizes(&desk), [50, 100, 100]);
    desk.ready(&pods[17], false);
    desk.run(1);
    assert_eq!(desk.world.take_writes().len(), 2);
    desk.pod(251, true);
    desk.run(1);
    assert_eq!((sizes(&desk), desk.world.take_writes().len()), (vec![51, 100, 100], 2));
    let label = json!({"metadata": {"annotations": {"x": "y"}}});
    desk.world.merge(pods[3].clone(), label, Part::Main);
    desk.run(1);
    assert_eq!(desk.world.take_writes(), [""; 0], "nothing about it is told");
    for pod in &pods[..249] {
        desk.world.delete_at_once(pod.clone());
    }
    desk.run(1);
    assert_eq!(desk.shown(), "8080: web-249 | 8080: web-251", "none is moved only to save a slice");
}

#[test]
fn ports_and_labels_follow_the_service() {
    let mut desk = Desk::new(2);
    desk.service(json!({}));
    desk.pod(0, true);
    desk.run(1);
    let before = desk.world.names(Kind::EndpointSlice, "default");
    let ports = json!([{"port": 80, "targetPort": 9090, "name": "a"}, {"port": 81, "name": "b"}, {"port": 82, "targetPort": "none", "name": "c"}]);
    desk.world.merge(service(), json!({"spec": {"ports": ports}}), Part::Main);
    desk.run(1);
    assert_eq!((desk.shown().as_str(), desk.old_form().as_str()), ("9090,81: web-0", "10.0.0.1 /  : 9090,81"));
    assert_eq!(desk.world.names(Kind::EndpointSlice, "default"), before, "the slice is another, in its place");
    desk.world.merge(service(), json!({"metadata": {"labels": {"team": "b"}}}), Part::Main);
    desk.run(1);
    assert_eq!(desk.world.objects(Kind::EndpointSlice)[0].meta().labels["team"], "b");
    assert_eq!(desk.world.get(Kind::Endpoints, "default", "web").unwrap().meta().labels["team"], "b");
    desk.world.merge(service(), json!({"spec": {"selector": {"app": "db"}}}), Part::Main);
    desk.run(1);
    assert_eq!((desk.shown().as_str(), desk.old_form().as_str()), (": ", ""));
    desk.world.merge(
        Key::new(Kind::Pod, "default", "web-0"),
        json!({"metadata": {"labels": {"app": "db"}}}),
        Part::Main,
    );
    desk.run(1);
    assert_eq!(desk.shown(), "9090,81: web-0");
}

#[test]
fn what_is_published_before_it_is_ready() {
    let mut desk = Desk::new(3);
    desk.service(json!({"clusterIP": "None", "publishNotReadyAddresses": true, "ports": null}));
    let (a, _) = (desk.pod(0, false), desk.pod(1, true));
    desk.world.delete(a, None);
    desk.run(1);
    assert_eq!((desk.shown().as_str(), desk.old_form().as_str()), (": web-0 web-1", "10.0.0.1 10.0.0.2 /  : "));
    for kind in [Kind::EndpointSlice, Kind::Endpoints] {
        assert!(desk.world.objects(kind)[0].meta().labels.contains_key("service.kubernetes.io/headless"));
    }
}

#[test]
fn what_people_made_is_left_alone() {
    let mut desk = Desk::new(4);
    desk.service(json!({"selector": null}));
    let meta = |name: &str| json!({"name": name, "namespace": "default"});
    let subsets = json!([{"addresses": [{"ip": "1.2.3.4"}], "ports": [{"port": 5, "protocol": "TCP"}]}]);
    for name in ["web", "nobody"] {
        desk.world.create(Kind::Endpoints, json!({"metadata": meta(name), "subsets": subsets}));
    }
    let labels = json!({"kubernetes.io/service-name": "web"});
    let slice = json!({"metadata": {"name": "own", "namespace": "default", "labels": labels}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["1.2.3.4"]}], "ports": []});
    desk.world.create(Kind::EndpointSlice, slice);
    let external = json!({"metadata": meta("out"), "spec": {"type": "ExternalName", "externalName": "a.b", "selector": {"app": "web"}}});
    desk.world.create(Kind::Service, external);
    desk.run(60);
    assert_eq!(desk.world.take_writes(), [""; 0]);
    // With a selector, the Endpoints are the controller's; a slice that somebody else keeps is not.
    desk.world.merge(service(), json!({"spec": {"selector": {"app": "web"}}}), Part::Main);
    desk.run(1);
    assert_eq!(desk.old_form(), "");
    assert_eq!(desk.world.names(Kind::EndpointSlice, "default").split(' ').count(), 2);
    desk.world.delete(service(), None);
    desk.run(1);
    assert_eq!(desk.world.names(Kind::Endpoints, "default"), "nobody");
}

#[test]
fn endpoints_go_with_their_service_and_come_back_with_it() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        let first = desk.service(json!({}));
        desk.pod(0, true);
        desk.run(1);
        desk.world.delete(service(), None);
        desk.run(1);
        assert_eq!(desk.old_form(), "none");
        // Slices are collected; here nobody does, and a service of the same name finds them.
        assert_eq!(desk.world.objects(Kind::EndpointSlice).len(), 1);
        let again = desk.service(json!({}));
        assert_ne!(first.meta().uid, again.meta().uid);
        desk.run(1);
        assert_eq!((desk.shown().as_str(), desk.old_form().as_str()), ("8080: web-0", "10.0.0.1 /  : 8080"));
        let owners = |desk: &Desk| json!(desk.world.objects(Kind::EndpointSlice)[0].meta().owner_references);
        assert_eq!(owners(&desk), owned_by(&again));
        // What somebody deletes is made again, and what somebody writes into it is taken out.
        desk.world.delete(Key::new(Kind::Endpoints, "default", "web"), None);
        let slice = desk.world.objects(Kind::EndpointSlice)[0].key();
        desk.world.merge(slice, json!({"endpoints": []}), Part::Main);
        desk.run(1);
        assert_eq!((desk.shown().as_str(), desk.old_form().as_str()), ("8080: web-0", "10.0.0.1 /  : 8080"));
    }
}

#[test]
fn a_service_that_the_view_lacks_keeps_its_endpoints() {
    let mut desk = Desk::new(5);
    desk.run(1);
    desk.world.deaf_to.insert(Kind::Service);
    desk.service(json!({}));
    // Another controller, which hears better, has made them.
    let labels = json!({"endpoints.kubernetes.io/managed-by": "endpoint-controller"});
    let meta = json!({"name": "web", "namespace": "default", "labels": labels});
    desk.world.create(Kind::Endpoints, json!({"metadata": meta}));
    desk.run(60);
    assert_eq!((desk.world.take_writes(), desk.world.gets > 0), (Vec::new(), true));
    desk.world.deaf_to.clear();
    desk.run(60);
    assert_eq!(desk.world.objects(Kind::EndpointSlice).len(), 1);
}

#[test]
fn nothing_is_made_for_a_service_that_may_be_gone() {
    let mut desk = Desk::new(5);
    let pod = desk.pod(0, true);
    desk.service(json!({}));
    desk.run(5);
    desk.world.cut(Kind::Service);
    desk.run(1);
    desk.world.delete(service(), None);
    desk.run(1);
    desk.world.take_writes();
    for _ in 0..10 {
        // What the collector does.
        for slice in desk.world.objects(Kind::EndpointSlice) {
            desk.world.delete(slice.key(), None);
        }
        desk.run(1);
    }
    assert_eq!(desk.world.take_writes(), [""; 0]);
    // What is shown already follows the pods all the same.
    let mut desk = Desk::new(5);
    desk.pod(0, true);
    desk.service(json!({}));
    desk.run(60);
    desk.world.cut(Kind::Service);
    desk.run(1);
    desk.ready(&pod, false);
    desk.run(1);
    assert_eq!(desk.shown(), "8080: web-0()");
    // And when it is sure again, what is missing is made.
    desk.world.unlisted.clear();
    let slice = desk.world.objects(Kind::EndpointSlice).remove(0);
    desk.world.delete(slice.key(), None);
    desk.run(60);
    assert_eq!(desk.world.objects(Kind::EndpointSlice).len(), 1);
}

#[test]
fn a_service_that_is_going_gets_nothing_new() {
    let mut desk = Desk::new(6);
    desk.service(json!({}));
    desk.world.merge(service(), json!({"metadata": {"finalizers": ["x/y"]}}), Part::Main);
    desk.world.delete(service(), None);
    desk.run(60);
    assert_eq!(desk.world.take_writes(), [""; 0]);
}

#[test]
fn a_name_that_is_taken_is_no_end() {
    let mut desk = Desk::new(7);
    desk.service(json!({}));
    desk.run(1);
    let slice = desk.world.objects(Kind::EndpointSlice)[0].key();
    desk.world.merge(
        slice,
        json!({"metadata": {"labels": {"endpointslice.kubernetes.io/managed-by": "me"}}}),
        Part::Main,
    );
    desk.run(60);
    assert_eq!(desk.world.objects(Kind::EndpointSlice).len(), 2, "what is not kept here any more is not touched");
}

#[test]
fn what_is_gone_before_its_answer_comes_is_made_anew() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.service(json!({}));
        desk.run(1);
        desk.world.answers_are_late = true;
        desk.pod(0, true);
        desk.run(1);
        assert_eq!(desk.shown(), "8080: web-0");
        let slice = desk.world.objects(Kind::EndpointSlice)[0].key();
        desk.world.delete_at_once(slice);
        desk.run(1);
        desk.world.answers_are_late = false;
        desk.run(1);
        assert_eq!(desk.shown(), "8080: web-0", "seed {seed}");
    }
}

#[test]
fn what_is_lost_is_done_again() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.world.lost_percent = 40;
        desk.service(json!({}));
        for nth in 0..6 {
            let pod = desk.pod(nth, true);
            desk.run(20);
            if nth % 3 == 0 {
                desk.world.delete_at_once(pod);
            }
            if nth == 3 {
                desk.world.disconnect();
                desk.run(5);
                desk.world.connect();
            }
        }
        desk.run(200);
        desk.world.lost_percent = 0;
        desk.run(300);
        assert_eq!(desk.shown(), "8080: web-1 web-2 web-4 web-5", "seed {seed}");
        assert_eq!(desk.old_form(), "10.0.0.2 10.0.0.3 10.0.0.5 10.0.0.6 /  : 8080");
        desk.world.take_writes();
        desk.run(300);
        assert_eq!(desk.world.take_writes(), [""; 0]);
    }
}

#[test]
fn another_program_goes_on_where_the_first_left() {
    let mut desk = Desk::new(8);
    desk.service(json!({}));
    desk.run(1);
    for nth in 0..20 {
        desk.pod(nth, true);
        desk.world.hold_writes = true;
        desk.run(1);
        desk.world.forget_program();
        desk.controller = EndpointsController::new(Options::default(), nth as u64);
        desk.world.release();
        desk.run(1);
    }
    assert_eq!((desk.slices().len(), desk.slices()[0].endpoints.len()), (1, 20));
    desk.world.delete(service(), None);
    desk.world.forget_program();
    desk.controller = EndpointsController::new(Options::default(), 99);
    desk.run(1);
    assert_eq!(desk.old_form(), "none", "what was missed while it was down");
}

#[test]
fn slices_that_are_taken_away_again_and_again_are_made_later_each_time() {
    let mut desk = Desk::new(9);
    desk.service(json!({}));
    desk.run(1);
    // It does not hear that the service is gone, and its slices are collected.
    desk.world.deaf_to.insert(Kind::Service);
    desk.world.delete(service(), None);
    let mut made = 0;
    for _ in 0..120 {
        for slice in desk.world.objects(Kind::EndpointSlice) {
            made += 1;
            desk.world.delete_at_once(slice.key());
        }
        desk.run(1);
    }
    assert!((3..20).contains(&made), "{made} slices in two minutes");
    desk.world.deaf_to.clear();
    desk.run(1);
    desk.service(json!({}));
    desk.run(1);
    assert_eq!(desk.shown(), ": ", "another one of its name does not wait for that");
}

#[test]
fn a_slice_that_somebody_holds_is_not_asked_to_go_again_and_again() {
    let mut desk = Desk::new(10);
    desk.service(json!({}));
    desk.pod(0, true);
    desk.run(1);
    let slice = desk.world.objects(Kind::EndpointSlice)[0].key();
    desk.world.merge(slice.clone(), json!({"metadata": {"finalizers": ["x/y"]}}), Part::Main);
    desk.run(1);
    desk.world.take_writes();
    desk.world.delete(slice, None);
    desk.run(60);
    assert_eq!((desk.world.take_writes().len(), desk.slices().len()), (1, 2), "another one takes its place");
}
