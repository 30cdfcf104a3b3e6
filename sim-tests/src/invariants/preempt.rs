//! S-preempt: The scheduler makes a pod go only for a more important one that may make others go and is promised its node; and gives it the time it asks for.
//!
//! Catches: victims that are as important; `preemptionPolicy: Never` that is not looked at; pods that are cut off.

use super::each::Each;
use super::{Broken, Checker};
use crate::told::Told;
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::{Pod, PreemptionPolicy};
use miniku_core::api::text::Text;
use miniku_core::program::{DeleteOptions, Part, Verb};
use std::collections::BTreeMap;

/// One for each scheduler.
pub type Preempts = Each<Preempt>;

/// Which nodes one life of the scheduler has promised.
#[derive(Default)]
pub struct Preempt {
    life: u32,
    promised: BTreeMap<Key, Promise>,
}

/// Of a pod: its node, how important it is, and whether others may have to go for it.
type Promise = (Text, i32, bool);

fn promise(pod: &Pod) -> Promise {
    let may = pod.spec.preemption_policy != Some(PreemptionPolicy::Never);
    (pod.status.nominated_node_name.clone(), pod.spec.priority.unwrap_or(0), may)
}

impl Preempt {
    fn goes(&self, told: Told<'_>, key: &Key, options: &DeleteOptions) -> Result<(), Broken> {
        // Another one may have its name since it was told why it has to go: of that one nothing is asked.
        let meant = |known: &&Object| options.uid.as_ref().is_none_or(|uid| known.meta().uid == *uid);
        let Some(object) = told.object(key).filter(meant) else { return Ok(()) };
        let Some(pod) = object.get::<Pod>() else { return Ok(()) };
        let (node, grace) = (pod.node().unwrap_or_default(), options.grace_seconds);
        let priority = pod.spec.priority.unwrap_or(0);
        let enough = |(of, more, may): &Promise| of == node && *more > priority && *may;
        // What the status of a pod says already is not said again, even if something else was tried in between.
        let shown =
            || told.of_kind(Kind::Pod).filter_map(Object::get::<Pod>).filter(|pod| pod.node().is_none()).map(promise);
        let promised = || self.promised.values().any(enough) || shown().any(|one| enough(&one));
        let wrong = match () {
            () if grace.is_some_and(|grace| grace < pod.grace_seconds()) => {
                format!("{key} has to go within {} s, and asks for {}", grace.unwrap_or(0), pod.grace_seconds())
            }
            () if !promised() => {
                format!("{key} of priority {priority} has to go from {node}, which no more important pod was promised")
            }
            () => return Ok(()),
        };
        Err(Broken::by(wrong).with([object]))
    }
}

impl Checker for Preempt {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Sent { who, request, .. } = fact else { return Ok(()) };
        if who.role != Role::Scheduler {
            return Ok(());
        }
        if self.life != who.life {
            *self = Preempt { life: who.life, ..Preempt::default() };
        }
        match &request.verb {
            Verb::Update { object, part: Part::Status } => {
                if let Some(pod) = object.get::<Pod>().filter(|pod| pod.node().is_none()) {
                    self.promised.insert(object.key(), promise(pod));
                }
            }
            Verb::Delete { key, options } if key.kind == Kind::Pod => {
                return self.goes(truth.told(who), key, options);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod, who};
    use super::*;
    use miniku_core::program::WatchEvent;
    use serde_json::{Value, json};

    /// A pod that waits for the node `n`, as the scheduler says now or as it was told, and one that goes from there.
    fn judge(says: bool, change: &dyn Fn(&mut Value), grace: Option<i64>) -> Result<(), Broken> {
        let mut story = Story::<Preempt>::new();
        let scheduler = who(Role::Scheduler, "scheduler");
        let hears = |story: &mut Story<Preempt>, object: &Object| {
            story.hears(&scheduler, WatchEvent::Added(object.clone())).unwrap();
        };
        let victim = story.put(pod("victim", "n", "Running")).unwrap().new.unwrap();
        hears(&mut story, &victim);
        let mut waits = pod("waits", "", "Pending");
        waits["spec"]["priority"] = 7.into();
        waits["status"]["nominatedNodeName"] = "n".into();
        change(&mut waits);
        let object = story.put(waits).unwrap().new.unwrap();
        if says {
            story.sends(&scheduler, Verb::Update { object, part: Part::Status }).unwrap();
        } else {
            hears(&mut story, &object);
        }
        let options = DeleteOptions { grace_seconds: grace, ..DeleteOptions::default() };
        story.asks(2, &scheduler, Verb::Delete { key: victim.key(), options })
    }

    #[test]
    fn fires_when_nobody_more_important_was_promised_the_node() {
        let check = |change: &dyn Fn(&mut Value), grace: Option<i64>, fires: bool| {
            for says in [true, false] {
                let broken = judge(says, change, grace);
                assert_eq!(broken.is_err(), fires, "{broken:?}");
            }
        };
        check(&|_| {}, None, false);
        check(&|_| {}, Some(0), true);
        check(&|pod| pod["spec"]["priority"] = 0.into(), None, true);
        check(&|pod| pod["spec"]["preemptionPolicy"] = json!("Never"), None, true);
        check(&|pod| pod["status"]["nominatedNodeName"] = json!("m"), None, true);
    }

    #[test]
    fn one_of_the_same_name_is_another() {
        for (uid, fires) in [("victim-uid", true), ("one-before", false)] {
            let mut story = Story::<Preempt>::new();
            let scheduler = who(Role::Scheduler, "scheduler");
            // It was made since, and is on no node yet.
            let object = story.shows(&scheduler, pod("victim", "", "Pending")).unwrap();
            let options = DeleteOptions { uid: Some(uid.into()), ..DeleteOptions::default() };
            let sent = story.sends(&scheduler, Verb::Delete { key: object.key(), options });
            assert_eq!(sent.is_err(), fires, "{uid}: {sent:?}");
        }
    }
}
