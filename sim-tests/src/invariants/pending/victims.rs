//! Who is made to go from a node for a pod: nobody in vain, and nobody where another would do instead.

use super::room::{fits, is_repelled, looks_around, plus, takes};
use super::{Pending, priority};
use crate::invariants::Broken;
use crate::invariants::wants::{Wants as Amounts, wants as amounts};
use crate::told::Told;
use crate::truth::Truth;
use miniku_core::api::budget::PodDisruptionBudget;
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use miniku_core::api::text::Text;
use std::collections::{BTreeMap, BTreeSet};

impl Pending {
    /// Others are made to go from a node, as all of them were told in this step: for this pod, and before for some that
    /// expect the node already, and of which there is nothing new to say.
    pub(super) fn preempts(&mut self, truth: &Truth, told: Told<'_>, key: &Key, node: &str) -> Result<(), Broken> {
        let condemned = std::mem::take(&mut self.condemned);
        let victims: Vec<Key> = condemned.into_iter().filter(|(_, on)| on == node).map(|(victim, _)| victim).collect();
        if victims.is_empty() {
            return Ok(());
        }
        let used = self.used(truth, told);
        let goes_for =
            |of: &Key, some: &[Key]| self.goes_for(truth, told, (of, node), &some.iter().cloned().collect(), &used);
        let judged = goes_for(key, &victims);
        if judged.is_ok() {
            return Ok(());
        }
        let silent: Vec<Key> = self.expects(told, node).map(|(other, _)| other).filter(|other| other != key).collect();
        // Whether the first so many can be those of pods that were silent.
        let mut shared = vec![true];
        for many in 1..=victims.len() {
            let goes = |from: usize| silent.iter().any(|other| goes_for(other, &victims[from..many]).is_ok());
            shared.push((0..many).any(|from| shared[from] && goes(from)));
        }
        let explained = (1..=victims.len())
            .any(|from| shared[from] && (from == victims.len() || goes_for(key, &victims[from..]).is_ok()));
        if explained { Ok(()) } else { judged }
    }

    /// These are made to go from a node for a pod.
    fn goes_for(
        &self,
        truth: &Truth,
        told: Told<'_>,
        (key, node): (&Key, &str),
        victims: &BTreeSet<Key>,
        used: &BTreeMap<Text, Amounts>,
    ) -> Result<(), Broken> {
        let pod = told.object(key).and_then(Object::get::<Pod>);
        let Some(pod) = pod.filter(|pod| !looks_around(pod) && !is_repelled(told, pod)) else { return Ok(()) };
        let Some(here) = told.object(&Key::new(Kind::Node, "", node)).and_then(Object::get::<Node>) else {
            return Ok(());
        };
        Preemption { pending: self, truth, told, used, key, pod, node, here, victims }.judge()
    }
}

/// Pods are made to go from a node for another one, as the scheduler was told of all of them.
struct Preemption<'a> {
    pending: &'a Pending,
    truth: &'a Truth,
    told: Told<'a>,
    /// What is taken up on each node.
    used: &'a BTreeMap<Text, Amounts>,
    /// For whom they go.
    key: &'a Key,
    pod: &'a Pod,
    /// From where.
    node: &'a str,
    here: &'a Node,
    victims: &'a BTreeSet<Key>,
}

impl<'a> Preemption<'a> {
    fn judge(&self) -> Result<(), Broken> {
        let going: Vec<(Key, &Pod)> = self.on(self.node).filter(|(one, _)| self.victims.contains(one)).collect();
        self.is_needed(&going)?;
        let budgets = Budgets::of(self.truth, self.told);
        self.spares_budgets(&going, &budgets)?;
        self.spares_the_old(&going, &budgets)?;
        // With budgets more is asked than who is how important, also if they are gone and it was not told so yet.
        if !budgets.told.is_empty() || self.truth.disk.objects().of_kind(Kind::PodDisruptionBudget).next().is_some() {
            return Ok(());
        }
        self.spares_the_important(&going)?;
        self.spares_the_important_elsewhere(&going)
    }

    /// Whether there is no room without one of them.
    fn is_needed(&self, going: &[(Key, &Pod)]) -> Result<(), Broken> {
        let (key, node) = (self.key, self.node);
        for (victim, _) in going {
            if self.has_room_without(|one, _| self.victims.contains(one) && one != victim) {
                return self.broken(format!("{victim} has to go from {node} for {key}, which has room without that"));
            }
        }
        Ok(())
    }

    /// Whether nobody goes whom a budget cannot miss, where those of whom no budget speaks would do.
    fn spares_budgets(&self, going: &[(Key, &Pod)], budgets: &Budgets) -> Result<(), Broken> {
        let Some((victim, _)) = going.iter().find(|(_, one)| budgets.miss(one)) else { return Ok(()) };
        let free = |_: &Key, one: &Pod| !budgets.select(one) && priority(one) < priority(self.pod);
        let (key, node) = (self.key, self.node);
        let what = format!("{victim} has to go from {node} for {key}, whom its budget cannot miss");
        if self.has_room_without(free) {
            return self.broken(what);
        }
        match self.elsewhere(free) {
            Some(other) => self.broken(format!("{what}; on {other} others would do")),
            None => Ok(()),
        }
    }

    /// Whether nobody goes where another would do that is as important and has run for less time. Of those of whom no
    /// budget speaks.
    fn spares_the_old(&self, going: &[(Key, &Pod)], budgets: &Budgets) -> Result<(), Broken> {
        let (key, node) = (self.key, self.node);
        for (victim, old) in going.iter().filter(|(_, one)| !budgets.select(one)) {
            let is_younger = |one: &Pod| priority(one) == priority(old) && has_run_longer(old, one);
            if let Some((other, _)) = self.instead_of(victim, |one| !budgets.select(one) && is_younger(one)) {
                return self.broken(format!(
                    "{victim} has to go from {node} for {key}, and {other} has run for less time and would do"
                ));
            }
        }
        Ok(())
    }

    /// Whether nobody goes where a less important one of the same node would do.
    fn spares_the_important(&self, going: &[(Key, &Pod)]) -> Result<(), Broken> {
        let (key, node) = (self.key, self.node);
        for (victim, dear) in going {
            if let Some((other, one)) = self.instead_of(victim, |one| priority(one) < priority(dear)) {
                let (dear, cheap) = (priority(dear), priority(one));
                return self.broken(format!(
                    "{victim} of {dear} has to go from {node} for {key}, and {other} of {cheap} would do"
                ));
            }
        }
        Ok(())
    }

    /// Whether nobody goes where on another node less important ones would do.
    fn spares_the_important_elsewhere(&self, going: &[(Key, &Pod)]) -> Result<(), Broken> {
        let Some(highest) = going.iter().map(|(_, one)| priority(one)).max() else { return Ok(()) };
        let (key, node) = (self.key, self.node);
        match self.elsewhere(|_, one| priority(one) < highest) {
            Some(other) => self.broken(format!(
                "one of {highest} has to go from {node} for {key}; on {other} less important ones would do"
            )),
            None => Ok(()),
        }
    }

    fn broken(&self, what: String) -> Result<(), Broken> {
        Err(Broken::by(what).with(self.truth.object(self.key)))
    }

    /// The pods that take up room on a node.
    fn on(&self, node: &str) -> impl Iterator<Item = (Key, &'a Pod)> {
        let node = node.to_owned();
        let pods = self.told.of_kind(Kind::Pod).filter_map(|one| Some((one.key(), one.get::<Pod>()?)));
        pods.filter(move |(_, one)| one.node() == Some(&node) && !one.status.phase.is_final())
    }

    /// What is taken up on a node but for these, and for those that are on their way out already.
    fn without(&self, node: &str, goes: impl Fn(&Key, &Pod) -> bool) -> Amounts {
        let more = priority(self.pod);
        let leaves = |one: &Pod| one.metadata.is_deleting() && priority(one) < more;
        let gone = self.on(node).filter(|(key, one)| leaves(one) || goes(key, one));
        let gone = gone.map(|(_, one)| amounts(one)).fold([0; 4], plus);
        let kept = self.pending.expects(self.told, node);
        let kept = kept.filter(|(other, one)| other != self.key && priority(one) >= more);
        let kept = kept.map(|(_, one)| amounts(one)).fold([0; 4], plus);
        let all = plus(self.used.get(node).copied().unwrap_or_default(), kept);
        std::array::from_fn(|at| all[at].saturating_sub(gone[at]))
    }

    fn has_room_without(&self, goes: impl Fn(&Key, &Pod) -> bool) -> bool {
        fits(self.here, self.without(self.node, goes), self.pod)
    }

    /// A pod that stays, is less important than the one for which others go, and would do instead of one of these.
    fn instead_of(&self, victim: &Key, so: impl Fn(&Pod) -> bool) -> Option<(Key, &'a Pod)> {
        self.on(self.node).find(|(other, one)| {
            let stays = !self.victims.contains(other) && !one.metadata.is_deleting();
            let goes = |at: &Key, _: &Pod| at == other || self.victims.contains(at) && at != victim;
            stays && priority(one) < priority(self.pod) && so(one) && self.has_room_without(goes)
        })
    }

    /// Another node that would take the pod without these, as the scheduler was told and as it is.
    fn elsewhere(&self, goes: impl Fn(&Key, &Pod) -> bool) -> Option<&'a Text> {
        let nodes = self.told.of_kind(Kind::Node).filter_map(Object::get::<Node>);
        let mut others = nodes.filter(|one| one.metadata.name != self.node);
        let other = others.find(|one| {
            let left = self.without(&one.metadata.name, &goes);
            takes(one, left, self.pod) && self.truth.still(one).is_some_and(|stored| takes(stored, left, self.pod))
        });
        other.map(|other| &other.metadata.name)
    }
}

/// A budget, with its namespace.
type OfNamespace = (Text, PodDisruptionBudget);

/// What was told of budgets, and what is.
struct Budgets {
    told: Vec<OfNamespace>,
    stored: Vec<OfNamespace>,
}

impl Budgets {
    fn of(truth: &Truth, told: Told<'_>) -> Self {
        let read = |object: &Object| -> Option<OfNamespace> { Some((object.meta().namespace.clone(), object.read()?)) };
        let told = told.of_kind(Kind::PodDisruptionBudget).filter_map(read).collect();
        let stored = truth.disk.objects().of_kind(Kind::PodDisruptionBudget).filter_map(read).collect();
        Budgets { told, stored }
    }

    /// Whether one of them speaks of a pod, by what was told or by what is.
    fn select(&self, pod: &Pod) -> bool {
        self.told.iter().chain(&self.stored).any(|budget| selects(budget, pod))
    }

    /// Whether one of them cannot miss a pod, by what was told and by what is.
    fn miss(&self, pod: &Pod) -> bool {
        let misses = |budget: &OfNamespace| {
            let status = &budget.1.status;
            let is_counted = !status.disrupted_pods.contains_key(&pod.metadata.name);
            selects(budget, pod) && status.disruptions_allowed <= 0 && is_counted
        };
        self.told.iter().any(misses) && self.stored.iter().any(misses)
    }
}

fn selects((namespace, budget): &OfNamespace, pod: &Pod) -> bool {
    let selector = budget.spec.selector.as_ref();
    pod.metadata.namespace == *namespace && selector.is_some_and(|wants| wants.matches(&pod.metadata.labels))
}

/// Whether a pod has run for longer than another, as both say.
fn has_run_longer(one: &Pod, other: &Pod) -> bool {
    let started = one.status.start_time.zip(other.status.start_time);
    started.is_some_and(|(one, other)| one < other)
}

#[cfg(test)]
mod tests {
    use crate::invariants::Broken;
    use crate::invariants::pending::forged::{
        budget, expecting, has_to_go, node, of_app, scheduler, sized, story, told,
    };
    use miniku_core::api::kinds::Kind;
    use miniku_core::api::object::Key;
    use miniku_core::program::Query;

    #[test]
    fn fires_on_victims_in_vain_and_on_the_wrong_ones() {
        // On one node two pods of these priorities, each of half of it, and on the other one more.
        let judge = |priorities: [i32; 3], victims: &[&str], cpu: &str| {
            let mut story = story();
            told(&mut story, node("m", "600m"));
            for (name, node, priority) in [("a", "n", 0), ("b", "n", 1), ("c", "m", 2)] {
                told(&mut story, sized(name, node, priorities[priority], "500m"));
            }
            told(&mut story, sized("waits", "", 7, cpu));
            has_to_go(&mut story, victims, "waits")
        };
        judge([0, 0, 0], &["a"], "500m").unwrap();
        judge([0, 0, 0], &["a", "b"], "1").unwrap();
        let fires = |judged: Result<(), Broken>, what: &str| {
            assert!(judged.as_ref().unwrap_err().what.contains(what), "{judged:?}")
        };
        fires(judge([0, 0, 0], &["a", "b"], "500m"), "which has room without that");
        fires(judge([3, 0, 3], &["a"], "500m"), "pods/default/b of 0 would do");
        fires(judge([3, 3, 0], &["a"], "500m"), "on m less important ones would do");
    }

    #[test]
    fn those_of_other_profiles_have_room_kept_for_them() {
        // One goes for a pod of a profile; is what goes for the next one needed, if it is more than its own?
        let judge = |profile: bool| {
            let mut story = story();
            if profile {
                story.truth.settings.profiles.insert("turns".into(), Default::default());
            }
            for name in ["a", "b"] {
                told(&mut story, sized(name, "n", 0, "500m"));
            }
            for name in ["first", "second"] {
                let mut pod = sized(name, "", 7, "500m");
                pod["spec"]["schedulerName"] = "turns".into();
                told(&mut story, pod);
            }
            has_to_go(&mut story, &["a"], "first").unwrap();
            has_to_go(&mut story, &["b", "a"], "second")
        };
        judge(true).unwrap();
        assert!(judge(false).unwrap_err().what.contains("which has room without that"));
    }

    #[test]
    fn fires_when_the_older_one_has_to_go() {
        // Two who are alike, and a budget that speaks of those of this app.
        let judge = |started: [u32; 2], app: &str| {
            let mut story = story();
            for (name, at) in [("a", started[0]), ("b", started[1])] {
                let mut pod = of_app(sized(name, "n", 0, "500m"), name);
                pod["status"]["startTime"] = format!("2026-01-01T00:00:0{at}Z").into();
                told(&mut story, pod);
            }
            told(&mut story, budget(app, 1));
            told(&mut story, sized("waits", "", 7, "500m"));
            has_to_go(&mut story, &["a"], "waits")
        };
        let broken = judge([1, 2], "nobody").unwrap_err();
        assert!(broken.what.contains("pods/default/b has run for less time and would do"), "{broken:?}");
        judge([1, 1], "nobody").unwrap();
        judge([2, 1], "nobody").unwrap();
        judge([1, 2], "b").unwrap();
    }

    #[test]
    fn a_budget_that_is_gone_counts_until_that_is_told() {
        for hears in [true, false] {
            let mut story = story();
            told(&mut story, node("m", "600m"));
            for (name, node, priority) in [("a", "n", 3), ("b", "m", 0)] {
                told(&mut story, of_app(sized(name, node, priority, "600m"), name));
            }
            // Without it, the less important one would have to go.
            told(&mut story, budget("b", 0));
            let key = Key::new(Kind::PodDisruptionBudget, "default", "b");
            let budget = story.truth.object(&key).unwrap().clone();
            let gone = story.write(&budget, true).unwrap();
            if hears {
                let event = gone.seen_by(&Query::all(Kind::PodDisruptionBudget)).unwrap();
                story.hears(&scheduler(), event).unwrap();
            }
            told(&mut story, sized("waits", "", 7, "600m"));
            assert_eq!(has_to_go(&mut story, &["a"], "waits").is_err(), hears);
        }
    }

    #[test]
    fn fires_on_victims_that_their_budgets_cannot_miss() {
        // On one node two pods, of which a budget speaks of the first, on the other one more; each node is full.
        let judge = |allowed: i32, third: i32, victim: &str| {
            let mut story = story();
            told(&mut story, node("m", "600m"));
            for (name, node, priority) in [("a", "n", 0), ("b", "n", 9), ("c", "m", third)] {
                told(&mut story, of_app(sized(name, node, priority, "500m"), name));
            }
            told(&mut story, budget("a", allowed));
            told(&mut story, sized("waits", "", 7, "500m"));
            has_to_go(&mut story, &[victim], "waits")
        };
        judge(1, 0, "a").unwrap();
        judge(0, 8, "a").unwrap();
        let broken = judge(0, 0, "a").unwrap_err();
        assert!(broken.what.contains("whom its budget cannot miss; on m others would do"), "{broken:?}");
    }

    #[test]
    fn knows_that_nothing_new_may_be_said_of_whom_they_go_for() {
        let judge = |expects: &str| {
            let mut story = story();
            ["a", "b"].into_iter().for_each(|name| told(&mut story, sized(name, "n", 0, "500m")));
            told(&mut story, expecting(sized("silent", "", 5, "500m"), expects));
            told(&mut story, sized("waits", "", 7, "500m"));
            has_to_go(&mut story, &["a", "b"], "waits")
        };
        judge("n").unwrap();
        let broken = judge("m").unwrap_err();
        assert!(broken.what.contains("for pods/default/waits, which has room without that"), "{broken:?}");
    }
}
