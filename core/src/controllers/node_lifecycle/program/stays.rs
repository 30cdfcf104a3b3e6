//! Until when pods stay on tainted nodes: [`stay`] says for how long each puts up with it, here it is counted.

use super::NodeLifecycle;
use crate::api::by_key::ByKey;
use crate::api::object::Key;
use crate::api::pod::Pod;
use crate::api::text::Text;
use crate::controllers::node_lifecycle::node_taints::is_for_being_unwell;
use crate::controllers::node_lifecycle::stay;
use crate::time::{Instant, Now};

impl NodeLifecycle {
    /// Until when a pod puts up with the taints that somebody put on its node, and with its being unwell.
    pub(super) fn stays_until(&self, key: &Key, pod: &Pod) -> [Option<Instant>; 2] {
        let node = Text::from(pod.node().unwrap_or_default());
        let Some(member) = self.members.get(&node).filter(|member| !member.taints.is_empty()) else { return [None; 2] };
        let arrived = self.pods_on.get(&node).and_then(|pods| pods.get(key)).copied().unwrap_or_default();
        [false, true].map(|unwell| {
            let taints = member.taints.iter().filter(|(taint, _)| is_for_being_unwell(taint) == unwell);
            let counts = |since: Instant| if planted!(ArrivalIgnored) { since } else { arrived.max(since) };
            let seen = taints.map(|(taint, since)| (taint, counts(*since)));
            stay::until(seen, &pod.spec.tolerations, self.options.eviction_after)
        })
    }

    /// Sets the deadline of a pod, or says that it has come.
    pub(super) fn look_at_stay(&mut self, now: Now, key: &Key) {
        let Some(pod) = self.pods.get::<Pod>(key) else { return };
        let Some(node) = pod.node().map(Text::from) else { return };
        let until = if pod.is_active() { self.stays_until(key, pod) } else { [None; 2] };
        let [over, outstayed] = until.map(|until| until.is_some_and(|at| at <= now.mono));
        match until.into_iter().flatten().filter(|at| *at > now.mono).min() {
            Some(at) => self.stays.set(key.clone(), at),
            None if planted!(TimeGoesOn) => {}
            None => drop(self.stays.remove(key)),
        }
        if over {
            self.pod_writes.add(key.clone(), now.mono);
        }
        match outstayed {
            true if self.condemned.contains(key) => {}
            true => drop(self.overdue.entry(node).or_default().insert(key.clone())),
            false => {
                let next = self.stays.get(key);
                self.acquit(&node, key);
                next.into_iter().for_each(|at| self.stays.set(key.clone(), at));
            }
        }
    }

    pub(super) fn look_at_stays_on(&mut self, now: Now, name: &Text) {
        let pods: Vec<Key> = self.pods_on.get(name).into_iter().flat_map(ByKey::keys).collect();
        for pod in pods {
            self.look_at_stay(now, &pod);
        }
    }

    /// The pods of a node that have stayed for long enough go.
    pub(super) fn condemn(&mut self, now: Now, name: &Text) {
        for pod in self.overdue.remove(name).unwrap_or_default() {
            self.pod_writes.add(pod.clone(), now.mono);
            self.condemned.insert(pod);
        }
    }

    /// The pod does not go.
    pub(super) fn acquit(&mut self, node: &Text, pod: &Key) {
        if planted!(TimeGoesOn) {
            return;
        }
        self.stays.remove(pod);
        self.condemned.remove(pod);
        if let Some(pods) = self.overdue.get_mut(node) {
            pods.remove(pod);
            if pods.is_empty() {
                self.overdue.remove(node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::api::kinds::Kind;
    use crate::controllers::node_lifecycle::program::testing::{die, put_on, tolerant, world};
    use serde_json::json;

    #[test]
    fn a_taint_that_somebody_puts_on_a_node_sends_pods_away() {
        let (mut world, mut program) = world(21, 2);
        let once = |seconds| json!([{"key": "work", "operator": "Exists", "tolerationSeconds": seconds, "effect": "NoExecute"}]);
        tolerant(&mut world, "a", once(json!(20)));
        tolerant(&mut world, "b", once(json!(null)));
        tolerant(&mut world, "c", once(json!(60)));
        world.run(&mut program, 10);
        put_on(&mut world, "n1", json!([{"key": "work", "effect": "NoSchedule"}]));
        world.run(&mut program, 10);
        assert_eq!(world.names(Kind::Pod, "default"), "a b c p1 p2");
        put_on(&mut world, "n1", json!([{"key": "work", "effect": "NoExecute"}]));
        world.run(&mut program, 1);
        assert_eq!(world.names(Kind::Pod, "default"), "a b c -p1 p2", "who does not tolerate it goes at once");
        assert_eq!(world.told_about("p1"), ["TaintManagerEviction"]);
        world.run(&mut program, 18);
        assert_eq!(world.names(Kind::Pod, "default"), "a b c -p1 p2");
        world.run(&mut program, 2);
        assert_eq!(world.names(Kind::Pod, "default"), "-a b c -p1 p2");
        // It comes late, and stays for its whole time.
        tolerant(&mut world, "d", once(json!(20)));
        world.run(&mut program, 19);
        assert_eq!(world.names(Kind::Pod, "default"), "-a b c d -p1 p2");
        put_on(&mut world, "n1", json!(null));
        world.run(&mut program, 100);
        assert_eq!(
            world.names(Kind::Pod, "default"),
            "-a b c d -p1 p2",
            "what is taken away in time sends nobody away"
        );
        put_on(&mut world, "n1", json!([{"key": "work", "effect": "NoExecute"}]));
        world.run(&mut program, 61);
        assert_eq!(world.names(Kind::Pod, "default"), "-a b -c -d -p1 p2", "for ever, where no number is said");
        world.take_writes();
        world.run(&mut program, 600);
        assert_eq!(world.take_writes(), [""; 0]);
    }

    #[test]
    fn pods_that_put_up_with_silence_stay_as_long_as_they_say() {
        let (mut world, mut program) = world(22, 2);
        let silence = |seconds: serde_json::Value| {
            let one =
                |key| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
            json!([one("node.kubernetes.io/unreachable"), one("node.kubernetes.io/not-ready")])
        };
        tolerant(&mut world, "a", silence(json!(0)));
        tolerant(&mut world, "b", silence(json!(100)));
        tolerant(&mut world, "c", silence(json!(null)));
        world.run(&mut program, 10);
        die(&mut world, "n1");
        world.run(&mut program, 17);
        assert_eq!(world.names(Kind::Pod, "default"), "-a b c p1 p2");
        world.run(&mut program, 30);
        assert_eq!(world.names(Kind::Pod, "default"), "-a b c -p1 p2");
        world.run(&mut program, 65);
        assert_eq!(world.names(Kind::Pod, "default"), "-a b c -p1 p2");
        world.run(&mut program, 600);
        assert_eq!(world.names(Kind::Pod, "default"), "-a -b c -p1 p2");
    }

    #[test]
    fn a_node_that_returns_in_between_starts_their_time_anew() {
        let (mut world, mut program) = world(23, 2);
        world.run(&mut program, 10);
        die(&mut world, "n1");
        world.run(&mut program, 40);
        world.alive.insert("n1".into());
        world.run(&mut program, 10);
        die(&mut world, "n1");
        world.run(&mut program, 40);
        assert_eq!(world.names(Kind::Pod, "default"), "p1 p2");
        world.run(&mut program, 10);
        assert_eq!(world.names(Kind::Pod, "default"), "-p1 p2");
    }

    #[test]
    fn what_is_bound_to_a_silent_node_later_is_evicted_too() {
        let (mut world, mut program) = world(3, 2);
        die(&mut world, "n1");
        world.run(&mut program, 60);
        world.pod("late", "n1", json!([]));
        world.pod("other", "n2", json!([]));
        world.run(&mut program, 31);
        assert_eq!(world.names(Kind::Pod, "default"), "-late other -p1 p2");
    }
}
