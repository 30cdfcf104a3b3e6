//! S-phase: A pod that has Succeeded or Failed stays so; within one uid restart counts never fall, nor the count of failed starts before a start succeeds, which is never larger than the pod allows, and is none while all of its containers run.
//!
//! Catches: a kubelet that forgets over a restart, or forgives nothing; a late status that overwrites a newer one.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::object::Object;
use miniku_core::api::pod::Pod;
use miniku_core::api::text::Text;
use std::collections::BTreeSet;

/// Pods of which a process has started.
#[derive(Default)]
pub struct Phase {
    started: BTreeSet<Text>,
}

impl Checker for Phase {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable, Sight::Started]
    }

    fn see(&mut self, _: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let change = match fact {
            Fact::Started { process, .. } => {
                self.started.insert(process.pod.uid.clone());
                return Ok(());
            }
            Fact::Durable { change } => change,
            _ => return Ok(()),
        };
        let pods =
            change.old.as_ref().and_then(Object::get::<Pod>).zip(change.new.as_ref().and_then(Object::get::<Pod>));
        let Some((old, new)) = pods.filter(|(old, new)| old.metadata.uid == new.metadata.uid) else { return Ok(()) };
        let broken = |what: String| Err(Broken::by(what).with(change.old.iter().chain(&change.new)));
        let (was, is) = (old.status.phase, new.status.phase);
        if was.is_final() && was != is {
            return broken(format!("{} was {was} and is {is}", new.metadata.full_name()));
        }
        if let (Some(was), Some(is)) = (old.status.retry_count, new.status.retry_count)
            && is < was
            && !self.started.contains(&new.metadata.uid)
        {
            return broken(format!("{} had {was} failed starts and has {is}", new.metadata.full_name()));
        }
        if let (Some(is), Some(most)) = (new.status.retry_count, new.start_retries())
            && is > most
            && !new.metadata.is_deleting()
        {
            return broken(format!("{} was tried again {is} times, and wants {most}", new.metadata.full_name()));
        }
        let mut containers = new.status.container_statuses.iter();
        if let Some(is) = new.status.retry_count.filter(|is| *is > 0)
            && !new.status.container_statuses.is_empty()
            && containers.all(|one| one.state.running.is_some())
        {
            return broken(format!("{} runs, and is told to have had {is} failed starts", new.metadata.full_name()));
        }
        for after in &new.status.container_statuses {
            let before = old.status.container_statuses.iter().find(|before| before.name == after.name);
            if let Some(before) = before.filter(|before| before.restart_count > after.restart_count) {
                let (name, was, is) = (&after.name, before.restart_count, after.restart_count);
                return broken(format!("{}/{name} had {was} restarts and has {is}", new.metadata.full_name()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod};
    use super::*;
    use serde_json::json;

    #[test]
    fn fires_on_a_pod_that_rises_again() {
        let mut story = Story::<Phase>::new();
        story.put(pod("a", "n", "Running")).unwrap();
        story.put(pod("a", "n", "Failed")).unwrap();
        assert!(story.put(pod("a", "n", "Running")).unwrap_err().what.contains("was Failed and is Running"));
    }

    #[test]
    fn fires_on_failed_starts_that_are_forgotten() {
        let with = |failed: i32| {
            let mut pod = pod("a", "n", "Pending");
            pod["status"]["retryCount"] = failed.into();
            pod
        };
        let mut story = Story::<Phase>::new();
        story.put(with(0)).unwrap();
        story.put(with(2)).unwrap();
        assert!(story.put(with(1)).unwrap_err().what.contains("2 failed starts"));
    }

    #[test]
    fn fires_on_failed_starts_that_are_not_forgiven() {
        let told = |failed: i32, state: serde_json::Value| {
            let mut story = Story::<Phase>::new();
            let mut pod = pod("a", "n", "Running");
            story.put(pod.clone()).unwrap();
            pod["status"]["retryCount"] = failed.into();
            pod["status"]["containerStatuses"] = json!([{"name": "c", "restartCount": 0, "ready": true, "state": state,
                "lastState": {}, "image": "", "imageID": ""}]);
            story.put(pod).is_ok()
        };
        assert!(told(0, json!({"running": {}})));
        assert!(told(2, json!({"waiting": {"reason": "ErrImagePull"}})));
        assert!(!told(2, json!({"running": {}})));
    }

    #[test]
    fn fires_on_a_count_that_falls() {
        let with = |restarts: i32| {
            let mut pod = pod("a", "n", "Running");
            pod["status"]["containerStatuses"] = json!([{"name": "c", "restartCount": restarts, "ready": true,
                "state": {}, "lastState": {}, "image": "", "imageID": ""}]);
            pod
        };
        let mut story = Story::<Phase>::new();
        story.put(with(0)).unwrap();
        story.put(with(2)).unwrap();
        assert!(story.put(with(1)).unwrap_err().what.contains("had 2 restarts and has 1"));
    }
}
