//! Room that is kept on a node for a pod for which others go from there, or have gone.

use super::room::{fits, placed, plus};
use super::{Pending, priority};
use crate::invariants::Broken;
use crate::invariants::wants::{Wants as Amounts, wants as amounts};
use crate::told::Told;
use crate::truth::Truth;
use miniku_core::api::kinds::Kind;
use miniku_core::api::node::Node;
use miniku_core::api::object::{Key, Object};
use miniku_core::api::pod::Pod;
use std::collections::BTreeSet;

impl Pending {
    /// The pods that wait for a node which others leave: as was said of them, or as their status says.
    pub(super) fn expects<'a>(&self, told: Told<'a>, node: &str) -> impl Iterator<Item = (Key, &'a Pod)> {
        let by_word = self.expected.iter().filter(|(_, (_, on))| on == node).map(|(key, _)| key);
        let by_status = self.nominated.iter().filter(|(_, on)| *on == node).map(|(key, _)| key);
        let keys: BTreeSet<Key> =
            by_word.chain(by_status).filter(|key| self.importance.contains_key(key)).cloned().collect();
        keys.into_iter().filter_map(move |key| told.object(&key)?.get::<Pod>().map(|pod| (key, pod)))
    }

    /// What is kept on a node for others that are at least so important, since pods go for them, or have gone: of which a
    /// former life may have said it.
    pub(super) fn kept_from(&self, told: Told<'_>, key: &Key, priority: i32, node: &str) -> Amounts {
        let others = self.expects(told, node).filter(|(other, _)| other != key);
        let others = others.filter(|(other, _)| self.importance.get(other).is_some_and(|other| *other >= priority));
        others.map(|(_, pod)| amounts(pod)).fold([0; 4], plus)
    }

    /// A node is about to be given to a pod: whether there is room beside the one for which others go, or have gone, from
    /// there. Only where that is one alone, and not less important.
    pub(super) fn keeps(&self, truth: &Truth, told: Told<'_>, key: &Key, node: &str) -> Result<(), Broken> {
        let expects: Vec<(Key, &Pod)> = self.expects(told, node).collect();
        let [(other, first)] = &expects[..] else { return Ok(()) };
        let Some(pod) = told.object(key).and_then(Object::get::<Pod>) else { return Ok(()) };
        let taken_in = || self.taken_in.get(other).is_some_and(|on| *on == *node);
        let is_said = self.expected.get(other).map_or_else(taken_in, |(_, on)| on == node);
        let again = self.binds.contains_key(&(key.clone(), node.to_owned()));
        if other == key
            || again
            || !is_said
            || priority(first) < priority(pod)
            || self.idle(truth, told, other).is_none()
        {
            return Ok(());
        }
        // What else was asked for may have been refused, and what vanished in a gap of the view stays in what was told.
        let stays = |pod: &Pod| truth.has_pod(&pod.metadata.uid);
        let there = placed(told).filter(|(on, pod)| *on == node && stays(pod));
        let used = there.map(|(_, pod)| amounts(pod)).fold([0; 4], plus);
        let facts = told.object(&Key::new(Kind::Node, "", node)).and_then(Object::get::<Node>);
        match facts.is_some_and(|facts| fits(facts, used, pod) && !fits(facts, plus(used, amounts(first)), pod)) {
            true => {
                let what = format!("{node} is given to {key}, and others have gone from there for {other}");
                Err(Broken::by(what).with(truth.object(other)))
            }
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::invariants::forged::pod;
    use crate::invariants::pending::forged::{bind, expecting, has_to_go, sized, story, told, waits};

    #[test]
    fn fires_when_room_is_given_away_that_is_kept() {
        // In the end the pod that waits is told of once more, with this uid.
        let judge = |cpu: &str, other: i32, uid: &str| {
            let mut story = story();
            told(&mut story, sized("a", "n", 0, "500m"));
            told(&mut story, sized("waits", "", 7, "800m"));
            told(&mut story, sized("other", "", other, cpu));
            has_to_go(&mut story, &["a"], "waits").unwrap();
            told(&mut story, pod("a", "n", "Succeeded"));
            let mut waits = sized("waits", "", 7, "800m");
            waits["metadata"]["uid"] = uid.into();
            told(&mut story, waits);
            bind(&mut story, "other", "n")
        };
        let broken = judge("500m", 7, "waits-uid").unwrap_err();
        assert_eq!(
            broken.what,
            "n is given to pods/default/other, and others have gone from there for pods/default/waits"
        );
        judge("500m", 8, "waits-uid").unwrap();
        judge("100m", 7, "waits-uid").unwrap();
        // It was made anew in a gap of the view: nobody has gone for this one.
        judge("500m", 7, "another-uid").unwrap();
    }

    #[test]
    fn fires_when_room_is_given_away_that_a_former_life_has_kept() {
        // What the status says when the scheduler hears of the pod for the first time, and what it says then.
        let judge = |first: &str, then: &str, cpu: &str| {
            let mut story = story();
            for expects in [first, then] {
                told(&mut story, expecting(sized("waits", "", 7, "800m"), expects));
            }
            told(&mut story, sized("other", "", 7, cpu));
            bind(&mut story, "other", "n")
        };
        let broken = judge("n", "n", "500m").unwrap_err();
        assert_eq!(
            broken.what,
            "n is given to pods/default/other, and others have gone from there for pods/default/waits"
        );
        judge("n", "n", "100m").unwrap();
        judge("m", "n", "500m").unwrap();
        judge("", "n", "500m").unwrap();
    }

    #[test]
    fn room_that_is_kept_is_taken_also_where_a_former_life_has_said_so() {
        // Who waits expects this node, as its status says; perhaps a pod is about to leave the node.
        let story = |expects: &str, leaves: bool| {
            let mut story = story();
            let mut goes = sized("a", "n", 0, "500m");
            if leaves {
                goes["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            told(&mut story, goes);
            told(&mut story, expecting(sized("waits", "", 7, "800m"), expects));
            story
        };
        for (expects, priority, fires) in [("m", 5, true), ("n", 5, false), ("n", 8, true)] {
            for leaves in [true, false] {
                let mut idle = story(expects, leaves);
                told(&mut idle, sized("small", "", priority, "300m"));
                assert_eq!(waits(&mut idle).is_err(), fires || !leaves, "{expects} {priority} {leaves}");
            }
            let mut given = story(expects, true);
            told(&mut given, sized("small", "", priority, "300m"));
            told(&mut given, sized("tiny", "", 0, "100m"));
            let sent = bind(&mut given, "tiny", "n");
            // If it is not for the one that waits, it is for the room that is kept.
            let of_small = sent.as_ref().unwrap_err().what.contains("small waits");
            assert_eq!(of_small, fires, "{expects} {priority}: {sent:?}");
        }
    }
}
