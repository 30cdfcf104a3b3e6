//! The controller of autoscalers as a whole, against the real API server; what pods use is made up.

use crate::api::autoscaler::{AutoscalerStatus, HorizontalPodAutoscaler};
use crate::api::kinds::Kind;
use crate::api::meta::Time;
use crate::api::object::{Key, Object};
use crate::controllers::horizontal::{HorizontalController, Options};
use crate::controllers::testing::World;
use crate::program::Part;
use crate::time::Duration;
use crate::usage::{Measured, PodUsage, Usage};
use serde_json::{Value, json};

const SEEDS: std::ops::Range<u64> = 0..4;

struct Desk {
    world: World,
    controller: HorizontalController,
}

fn key(kind: Kind, name: &str) -> Key {
    Key::new(kind, "default", name)
}

impl Desk {
    fn new(seed: u64) -> Self {
        Desk { world: World::new(seed), controller: HorizontalController::new(Options::default(), seed) }
    }

    fn run(&mut self, secs: u64) {
        self.world.run(&mut self.controller, secs);
    }

    fn deployment(&mut self, name: &str, replicas: i32) {
        let labels = json!({"app": "web"});
        let template =
            json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}});
        let spec = json!({"replicas": replicas, "selector": {"matchLabels": labels}, "template": template});
        self.world.create(Kind::Deployment, json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec}));
    }

    fn autoscaler(&mut self, name: &str, of: &str, spec: Value) {
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": of});
        let mut all = json!({"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 10});
        crate::patch::merge::merge(&mut all, &spec);
        self.world.create(
            Kind::HorizontalPodAutoscaler,
            json!({"metadata": {"name": name, "namespace": "default"}, "spec": all}),
        );
    }

    /// A pod that has long been ready, requests 100 thousandths of a processor, and uses so many.
    fn pod(&mut self, name: &str, milli: u64) {
        let containers = json!([{"name": "c", "image": "busybox", "resources": {"requests": {"cpu": "100m"}}}]);
        let meta = json!({"name": name, "namespace": "default", "labels": {"app": "web"}});
        let pod = json!({"metadata": meta, "spec": {"nodeName": "n1", "containers": containers}});
        self.world.create(Kind::Pod, pod);
        let long_ago = Time::of(self.world.now.wall - Duration::from_secs(1000));
        let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": long_ago});
        let status = json!({"phase": "Running", "startTime": long_ago, "conditions": [ready]});
        self.world.merge(key(Kind::Pod, name), json!({"status": status}), Part::Status);
        self.uses(name, milli);
    }

    fn uses(&mut self, name: &str, milli: u64) {
        let used = vec![("c".to_owned(), Usage { cpu_nanos: milli * 1_000_000, memory_bytes: 32 << 20 })];
        let measured = Measured { at: self.world.now.wall, window: Duration::from_secs(15), used };
        self.world.usage.insert(name.into(), PodUsage { namespace: "default".into(), name: name.into(), measured });
    }

    fn replicas(&self, name: &str) -> i64 {
        self.world.get(Kind::Deployment, "default", name).unwrap().at(&["spec", "replicas"]).unwrap().as_i64().unwrap()
    }

    fn status(&self, name: &str) -> AutoscalerStatus {
        let object: &Object = self.world.get(Kind::HorizontalPodAutoscaler, "default", name).unwrap();
        object.read::<HorizontalPodAutoscaler>().unwrap().status
    }

    /// `AbleToScale True ReadyForNewScale, …`.
    fn conditions(&self, name: &str) -> String {
        let all = self.status(name).conditions;
        all.iter().map(|one| format!("{} {} {}", one.kind, one.status, one.reason)).collect::<Vec<_>>().join(", ")
    }
}

#[test]
fn a_deployment_is_scaled_up_and_down() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.deployment("web", 2);
        (0..2).for_each(|nth| desk.pod(&format!("p{nth}"), 160));
        desk.autoscaler("web", "web", json!({}));
        desk.run(2);
        // 160 % of what is requested, where 80 % are wished.
        assert_eq!(desk.replicas("web"), 4);
        let status = desk.status("web");
        assert_eq!((status.current_replicas, status.desired_replicas), (Some(2), 4));
        let current = status.current_metrics[0].resource.as_ref().unwrap();
        assert_eq!(current.current.average_utilization, Some(160));
        assert_eq!(current.current.average_value.as_ref().unwrap().to_string(), "160m");
        assert_eq!(
            desk.conditions("web"),
            "AbleToScale True SucceededRescale, ScalingActive True ValidMetricFound, \
             ScalingLimited False DesiredWithinRange"
        );
        assert_eq!(desk.world.told_about("web"), ["SuccessfulRescale"]);
        // The others come, and there is less to do: not before five minutes have passed.
        (2..4).for_each(|nth| desk.pod(&format!("p{nth}"), 40));
        (0..2).for_each(|nth| desk.uses(&format!("p{nth}"), 40));
        desk.run(285);
        assert_eq!(desk.replicas("web"), 4);
        assert!(
            desk.conditions("web").starts_with("AbleToScale True ScaleDownStabilized"),
            "{}",
            desk.conditions("web")
        );
        desk.run(45);
        assert_eq!(desk.replicas("web"), 2);
        // Nobody wishes any: nothing is scaled.
        desk.world.merge(key(Kind::Deployment, "web"), json!({"spec": {"replicas": 0}}), Part::Main);
        desk.run(30);
        assert_eq!(desk.replicas("web"), 0);
        assert!(desk.conditions("web").contains("ScalingActive False ScalingDisabled"), "{}", desk.conditions("web"));
        desk.world.merge(key(Kind::Deployment, "web"), json!({"spec": {"replicas": 12}}), Part::Main);
        let then = (0..16).map(|_| {
            desk.run(1);
            desk.replicas("web")
        });
        assert_eq!(then.collect::<Vec<_>>().iter().find(|now| **now != 12), Some(&10), "the most, whatever they do");
    }
}

#[test]
fn what_is_wrong_is_told() {
    let wrong = |make: &dyn Fn(&mut Desk), conditions: &str, events: &[&str]| {
        let mut desk = Desk::new(1);
        make(&mut desk);
        desk.run(20);
        assert_eq!(desk.conditions("a"), conditions);
        for event in events {
            assert!(desk.world.told_about("a").iter().any(|told| told == event), "{:?}", desk.world.told_about("a"));
        }
    };
    wrong(&|desk| desk.autoscaler("a", "web", json!({})), "AbleToScale False FailedGetScale", &["FailedGetScale"]);
    let set = json!({"scaleTargetRef": {"kind": "DaemonSet", "name": "x"}});
    wrong(&|desk| desk.autoscaler("a", "web", set.clone()), "AbleToScale False FailedGetScale", &["FailedGetScale"]);
    let unmeasured = |desk: &mut Desk| {
        desk.deployment("web", 1);
        desk.pod("p", 10);
        desk.autoscaler("a", "web", json!({}));
    };
    wrong(
        &|desk| {
            unmeasured(desk);
            desk.world.usage_fails = true;
        },
        "AbleToScale True SucceededGetScale, ScalingActive False FailedGetResourceMetric",
        &["FailedGetResourceMetric", "FailedComputeMetricsReplicas"],
    );
    let metric = |kind: &str, field: &str| {
        let target = json!({"type": "AverageValue", "averageValue": "5"});
        let object = json!({"kind": "Ingress", "name": "main"});
        let mut source = json!({"metric": {"name": "requests"}, "target": target});
        if kind == "Object" {
            source["describedObject"] = object;
        }
        json!({"metrics": [{"type": kind, field: source}]})
    };
    for (kind, field, reason) in [
        ("Pods", "pods", "FailedGetPodsMetric"),
        ("Object", "object", "FailedGetObjectMetric"),
        ("External", "external", "FailedGetExternalMetric"),
    ] {
        wrong(
            &|desk| {
                desk.deployment("web", 1);
                desk.pod("p", 10);
                desk.autoscaler("a", "web", metric(kind, field));
            },
            &format!("AbleToScale True SucceededGetScale, ScalingActive False {reason}"),
            &[reason],
        );
    }
    wrong(
        &|desk| {
            unmeasured(desk);
            desk.autoscaler("b", "web", json!({}));
        },
        "AbleToScale True SucceededGetScale, ScalingActive False AmbiguousSelector",
        &["AmbiguousSelector"],
    );
}

#[test]
fn nothing_is_asked_while_there_is_no_autoscaler() {
    let mut desk = Desk::new(3);
    desk.deployment("web", 1);
    desk.pod("p", 500);
    desk.run(60);
    let before = (desk.world.gets, desk.world.lists);
    assert_eq!(before, (0, 2), "only autoscalers are looked for");
    desk.autoscaler("web", "web", json!({}));
    desk.run(60);
    assert_eq!(desk.replicas("web"), 7);
    desk.world.delete_at_once(key(Kind::HorizontalPodAutoscaler, "web"));
    desk.run(1);
    let gets = desk.world.gets;
    desk.run(120);
    assert_eq!(desk.world.gets, gets);
}

#[test]
fn lost_answers_keep_it_from_nothing() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.deployment("web", 2);
        (0..2).for_each(|nth| desk.pod(&format!("p{nth}"), 160));
        desk.world.lost_percent = 30;
        desk.autoscaler("web", "web", json!({}));
        desk.run(300);
        desk.world.lost_percent = 0;
        desk.run(60);
        assert_eq!(desk.replicas("web"), 4);
    }
}

#[test]
fn what_was_refused_does_not_count() {
    let mut desk = Desk::new(0);
    desk.deployment("web", 2);
    (0..2).for_each(|nth| desk.pod(&format!("p{nth}"), 400));
    let policy = json!({"type": "Pods", "value": 2, "periodSeconds": 600});
    desk.autoscaler("web", "web", json!({"behavior": {"scaleUp": {"policies": [policy]}}}));
    desk.world.hold_writes = true;
    desk.run(1);
    // Somebody else writes meanwhile: the revision that was read is the newest no more.
    desk.world.merge(key(Kind::Deployment, "web"), json!({"metadata": {"labels": {"x": "y"}}}), Part::Main);
    desk.world.release();
    desk.run(1);
    assert!(desk.conditions("web").contains("FailedUpdateScale"), "{}", desk.conditions("web"));
    desk.run(60);
    assert_eq!(desk.replicas("web"), 4);
}

#[test]
fn minik8s_makes_one_step_at_a_time() {
    for seed in SEEDS {
        let mut desk = Desk::new(seed);
        desk.pod("p", 50);
        let target = json!({"kind": "Pod", "metadata": {"name": "p"}});
        let spec = json!({"minReplicas": 2, "maxReplicas": 4, "scaleTargetRef": target, "interval": 10,
            "selector": {"matchLabels": {"app": "web"}}, "metrics": {"cpuPercent": 60, "memPercent": 40}});
        desk.world.create(Kind::Hpa, json!({"metadata": {"name": "h", "namespace": "default"}, "spec": spec}));
        let count =
            |desk: &Desk| desk.world.names(Kind::Pod, "default").split(' ').filter(|one| !one.starts_with('-')).count();
        desk.run(5);
        assert_eq!(count(&desk), 2, "the least");
        // The first uses half of what it may; then all of it.
        desk.run(20);
        assert_eq!(count(&desk), 2);
        desk.uses("p", 100);
        desk.run(11);
        assert_eq!(count(&desk), 3);
        desk.run(11);
        assert_eq!(count(&desk), 4);
        desk.run(30);
        assert_eq!(count(&desk), 4, "the most");
        desk.uses("p", 1);
        desk.run(60);
        assert_eq!(count(&desk), 2);
        assert!(desk.world.get(Kind::Pod, "default", "p").is_some(), "the one that is copied stays");
        let hpa = desk.world.get(Kind::Hpa, "default", "h").unwrap();
        assert_eq!(hpa.at(&["status", "currentReplicas"]), Some(&json!(2)));
        assert_eq!(hpa.at(&["status", "currentCPUPercent"]), Some(&json!(1)));
    }
}
