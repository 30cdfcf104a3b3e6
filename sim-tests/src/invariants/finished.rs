//! S-finished: The collector removes a pod that has ended, whose node is there and whose end nobody asked for, only if as many have ended that were made later as are kept.
//!
//! Those that are gone by now count as well: they may have been there when it was decided. That no more are kept is looked at
//! when a cluster is at rest. Catches: the newest that go; one that goes too early.

use super::{Broken, Checker};
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::program::Verb;

/// How many are kept where nothing is said. Source: Kubernetes, kube-controller-manager `--terminated-pod-gc-threshold`.
const USUAL: usize = 12_500;

/// Nothing is remembered.
#[derive(Default)]
pub struct Finished;

impl Checker for Finished {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Sent { who, request, .. } = fact else { return Ok(()) };
        let Verb::Delete { key, options } = &request.verb else { return Ok(()) };
        // Whom it collects for its owners' sake it gives its own time.
        if who.role != Role::Garbage || key.kind != Kind::Pod || options.grace_seconds != Some(0) {
            return Ok(());
        }
        let Some(object) = truth.meant(key, options) else { return Ok(()) };
        let kept = |pod: &&Pod| pod.status.phase.is_final() && !pod.metadata.is_deleting();
        let Some(node) = object.get::<Pod>().filter(kept).and_then(Pod::node) else { return Ok(()) };
        let told = truth.told(who).object(&Key::new(Kind::Node, "", node)).and_then(Object::get::<Node>);
        if told.and_then(|told| truth.still(told)).is_none() {
            return Ok(());
        }
        let place = |object: &Object| (object.meta().creation_timestamp, object.key());
        let this = place(object);
        let ended = truth.pods.values().filter(|facts| facts.pod().status.phase.is_final());
        let later = ended.filter(|facts| place(&facts.last) > this).count();
        let most = truth.settings.finished.unwrap_or(USUAL);
        if later < most {
            let what =
                format!("{key} has ended and is removed, {later} have ended that came later, and {most} are kept");
            return Err(Broken::by(what).with([object]));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, node, pod, who};
    use super::*;
    use miniku_core::program::DeleteOptions;

    #[test]
    fn fires_on_one_that_is_not_too_many() {
        let removes = |name: &str, knows: bool, grace_seconds: Option<i64>| {
            let mut story = Story::<Finished>::new();
            story.truth.settings.finished = Some(1);
            let garbage = who(Role::Garbage, "garbage");
            match knows {
                true => drop(story.shows(&garbage, node("n")).unwrap()),
                false => drop(story.put(node("n")).unwrap()),
            }
            for (name, second, phase) in [("a", 1, "Failed"), ("b", 2, "Succeeded"), ("c", 3, "Running")] {
                let mut pod = pod(name, "n", phase);
                pod["metadata"]["creationTimestamp"] = format!("2026-01-01T00:00:0{second}Z").into();
                story.put(pod).unwrap();
            }
            let options = DeleteOptions { grace_seconds, ..Default::default() };
            let sent = story.sends(&garbage, Verb::Delete { key: Key::new(Kind::Pod, "default", name), options });
            sent.map_err(|broken| broken.what)
        };
        removes("a", true, Some(0)).unwrap();
        let what = "pods/default/b has ended and is removed, 0 have ended that came later, and 1 are kept";
        assert_eq!(removes("b", true, Some(0)), Err(what.into()));
        removes("b", false, Some(0)).expect("its node is not there, as far as it knows");
        removes("b", true, None).expect("its owner may be gone");
        removes("c", true, Some(0)).expect("it has not ended");
    }
}
