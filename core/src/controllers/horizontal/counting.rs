//! Which pods an autoscaler counts, and what it takes them to use.
//!
//! Source: Kubernetes documentation, "Horizontal Pod Autoscaling", algorithm details; `groupPods` of
//! `pkg/controller/podautoscaler`.

use crate::api::pod::{Pod, PodPhase};
use crate::time::{Duration, Wall};
use crate::{decision_enum, decision_table};

/// So long after its start a pod's processor time counts only when it is ready, and only of a whole window since it became
/// so: starting takes much. Source: `--horizontal-pod-autoscaler-cpu-initialization-period`.
pub const CPU_INITIALIZATION_PERIOD: Duration = Duration::from_secs(300);
/// A pod that became not ready within this time of its start has never been ready. Source:
/// `--horizontal-pod-autoscaler-initial-readiness-delay`.
pub const INITIAL_READINESS_DELAY: Duration = Duration::from_secs(30);

/// So long a measurement is in other clusters, at least. Here it may be shorter; a start is not over sooner for that.
/// Source: metrics-server, `--metric-resolution`.
pub const USUAL_WINDOW: Duration = Duration::from_secs(15);

decision_enum! {
    /// Where a pod is in its life.
    pub enum Life {
        /// It is being deleted, or has failed.
        Ended,
        /// Not all of its containers have run yet.
        Pending,
        /// It runs, or has run to its end.
        Running,
    }
}

decision_enum! {
    /// Whether it was measured.
    pub enum Sample {
        /// It was.
        Measured,
        /// Nobody said what it uses.
        Missing,
    }
}

decision_enum! {
    /// Whether what was measured says what the pod will use.
    pub enum Trust {
        /// It does.
        Steady,
        /// It is of a pod that is getting ready.
        Warming,
    }
}

decision_enum! {
    /// As what the pod counts.
    pub enum Part {
        /// With what was measured.
        Counted,
        /// As one that is not ready: with nothing if there are to be more, and not at all if fewer.
        Unready,
        /// As one that nobody has measured: with nothing if there are to be more, with all it may use if fewer.
        Missing,
        /// Not at all.
        Ignored,
    }
}

decision_table! {
    /// As what a pod counts. Pure and total. Page: `docs/decisions/autoscaling.md`.
    pub fn part(pod: Life, sample: Sample, trust: Trust) -> Part, PARTS;
    ended:    (Ended, _, _)                   => Ignored, "its work is done by others already";
    pending:  (Pending, _, _)                 => Unready, "it will work, and does not yet";
    missing:  (Running, Missing, _)           => Missing, "whatever is assumed of it must not decide";
    warming:  (Running, Measured, Warming)    => Unready, "what it uses while it starts says nothing of its work";
    counted:  (Running, Measured, Steady)     => Counted, "it works, and is known";
}

decision_enum! {
    /// What is measured.
    pub enum Resource {
        /// Processor time.
        Cpu,
        /// Anything else.
        Other,
    }
}

decision_enum! {
    /// How old the pod is.
    pub enum Age {
        /// It does not say when it started, or whether it is ready.
        Untold,
        /// It is within the time that a start may take.
        Young,
        /// It is older.
        Grown,
    }
}

decision_enum! {
    /// Whether it is ready.
    pub enum Readiness {
        /// It is, as far as anybody says.
        Ready,
        /// It is not, and was.
        Unready,
        /// It is not, and never was: it has not changed since it started.
        NeverReady,
    }
}

decision_enum! {
    /// When the measurement was.
    pub enum Window {
        /// A whole window has passed since its readiness last changed.
        Whole,
        /// Partly before that.
        Across,
    }
}

decision_table! {
    /// Whether a measurement says what the pod will use. Pure and total. Page: `docs/decisions/autoscaling.md`.
    pub fn trust(of: Resource, age: Age, is: Readiness, window: Window) -> Trust, TRUST;
    no_cpu:    (Other, _, _, _)                          => Steady,  "only processor time is taken by starting";
    untold:    (Cpu, Untold, _, _)                       => Warming, "the kubelet has not said yet how it is";
    starting:  (Cpu, Young, Unready | NeverReady, _)     => Warming, "it is on its way";
    fresh:     (Cpu, Young, Ready, Across)               => Warming, "the window has some of the start in it";
    started:   (Cpu, Young, Ready, Whole)                => Steady,  "a whole window of work";
    never:     (Cpu, Grown, NeverReady, _)               => Warming, "it takes longer than others to start";
    grown:     (Cpu, Grown, Ready | Unready, _)          => Steady,  "it works, or did";
}

/// When a pod was measured, and over how long.
pub type When = (Wall, Duration);

/// As what a pod counts.
pub fn part_of(pod: &Pod, resource: &str, measured: Option<When>, now: Wall) -> Part {
    let life = match pod.status.phase {
        _ if pod.metadata.is_deleting() => Life::Ended,
        PodPhase::Failed => Life::Ended,
        PodPhase::Pending => Life::Pending,
        PodPhase::Running | PodPhase::Succeeded => Life::Running,
    };
    let Some(when) = measured else { return part(life, Sample::Missing, Trust::Warming).then };
    let of = if resource == "cpu" { Resource::Cpu } else { Resource::Other };
    let (age, is, window) = facts(pod, when, now);
    part(life, Sample::Measured, trust(of, age, is, window).then).then
}

fn facts(pod: &Pod, (at, window): When, now: Wall) -> (Age, Readiness, Window) {
    let ready = pod.status.conditions.iter().find(|one| one.kind == "Ready");
    let (Some(ready), Some(started)) = (ready, pod.status.start_time.map(|time| time.wall())) else {
        return (Age::Untold, Readiness::NeverReady, Window::Across);
    };
    let changed = ready.last_transition_time.map_or(started, |time| time.wall());
    let age = if started + CPU_INITIALIZATION_PERIOD > now { Age::Young } else { Age::Grown };
    let is = match ready.status == "False" {
        false => Readiness::Ready,
        true if started + INITIAL_READINESS_DELAY > changed => Readiness::NeverReady,
        true => Readiness::Unready,
    };
    (age, is, if at < changed + window.max(USUAL_WINDOW) { Window::Across } else { Window::Whole })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn time(secs: i64) -> String {
        crate::api::meta::Time::of(Wall::from_secs(secs)).to_string()
    }

    #[test]
    fn pods_count_as_what_they_are() {
        // Started at 1000, its readiness changed then and to this; now it is so late; measured over 15 s, then.
        let check = |phase: &str, (changed, ready): (i64, &str), measured: Option<i64>, now: i64, want: Part| {
            let condition = json!({"type": "Ready", "status": ready, "lastTransitionTime": time(changed)});
            let status = json!({"phase": phase, "startTime": time(1000), "conditions": [condition]});
            let pod: Pod = serde_json::from_value(json!({"status": status})).unwrap();
            let when = measured.map(|at| (Wall::from_secs(at), Duration::from_secs(15)));
            let got = part_of(&pod, "cpu", when, Wall::from_secs(now));
            assert_eq!(got, want, "{phase} {ready}@{changed} measured {measured:?} at {now}");
            if phase == "Running" && when.is_some() {
                assert_eq!(part_of(&pod, "memory", when, Wall::from_secs(now)), Part::Counted);
            }
        };
        check("Running", (1010, "True"), Some(1030), 1030, Part::Counted);
        check("Running", (1010, "True"), Some(1020), 1030, Part::Unready);
        check("Running", (1010, "True"), None, 1030, Part::Missing);
        check("Running", (1010, "False"), Some(1100), 1100, Part::Unready);
        check("Running", (1010, "False"), Some(1400), 1400, Part::Unready);
        // It was ready, and fails now: it counts.
        check("Running", (1200, "False"), Some(1400), 1400, Part::Counted);
        check("Running", (1390, "True"), Some(1400), 1400, Part::Counted);
        check("Pending", (1000, "False"), Some(1400), 1400, Part::Unready);
        check("Failed", (1010, "True"), Some(1400), 1400, Part::Ignored);
        check("Succeeded", (1010, "False"), None, 1400, Part::Missing);
        let untold: Pod = serde_json::from_value(json!({"status": {"phase": "Running"}})).unwrap();
        let when = Some((Wall::from_secs(2000), Duration::from_secs(15)));
        assert_eq!(part_of(&untold, "cpu", when, Wall::from_secs(2000)), Part::Unready);
        let going = json!({"metadata": {"deletionTimestamp": time(1000)}, "status": {"phase": "Running"}});
        let going: Pod = serde_json::from_value(going).unwrap();
        assert_eq!(part_of(&going, "cpu", when, Wall::from_secs(2000)), Part::Ignored);
    }
}
