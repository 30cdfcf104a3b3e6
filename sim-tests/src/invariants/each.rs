//! One checker for each of several schedulers, of which one leads at a time.
//!
//! What one was told another need not know, and what one was told before it led the last time it has forgotten. So each is
//! judged by what it was told since it leads; one that nobody elects leads always.

use super::{Broken, Checker};
use crate::truth::{Fact, Role, Sight, Truth, Who};
use miniku_core::time::Instant;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who is judged, each by a checker of its own.
#[derive(Default)]
pub struct Each<C> {
    by: BTreeMap<Arc<str>, (Who, i32, C)>,
}

impl<C: Checker + Default> Checker for Each<C> {
    fn sights(&self) -> &'static [Sight] {
        C::default().sights()
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Heard { who, .. } | Fact::Sent { who, .. } => {
                if who.role != Role::Scheduler {
                    return Ok(());
                }
                let Some(term) = truth.leaders.term(who) else {
                    self.by.remove(&who.name);
                    return Ok(());
                };
                let new = || ((*who).clone(), term, C::default());
                let (known, of, checker) = self.by.entry(who.name.clone()).or_insert_with(new);
                if *of != term {
                    (*of, *checker) = (term, C::default());
                }
                known.clone_from(who);
                checker.see(truth, fact)
            }
            _ => {
                self.by.retain(|_, (who, of, _)| truth.leaders.term(who) == Some(*of));
                self.by.values_mut().try_for_each(|(.., checker)| checker.see(truth, fact))
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        self.by.values().filter_map(|(.., checker)| checker.due()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, who};
    use super::*;
    use serde_json::json;

    /// Counts what it sees.
    #[derive(Default)]
    struct Counts(u32);

    impl Checker for Counts {
        fn see(&mut self, _: &Truth, _: &Fact<'_>) -> Result<(), Broken> {
            self.0 += 1;
            Ok(())
        }
    }

    #[test]
    fn each_is_judged_while_it_leads() {
        let mut story = Story::<Each<Counts>>::new();
        let (first, second) = (who(Role::Scheduler, "scheduler"), who(Role::Scheduler, "scheduler-2"));
        let hears = |story: &mut Story<Each<Counts>>, who: &Who| {
            story.steps(who, miniku_core::program::Input::Wake).unwrap();
            story.checker.by.iter().map(|(name, (.., seen))| format!("{name}:{}", seen.0)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(hears(&mut story, &first), "scheduler:1");
        assert_eq!(hears(&mut story, &second), "scheduler:1 scheduler-2:1");
        let lease = |holder: &str, term: i32| {
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": "kube-scheduler", "namespace": "kube-system"},
                "spec": {"holderIdentity": holder, "leaseTransitions": term}})
        };
        story.put(lease("scheduler_1", 0)).unwrap();
        assert_eq!(hears(&mut story, &second), "scheduler:2");
        story.put(lease("scheduler-2_1", 1)).unwrap();
        assert_eq!(hears(&mut story, &second), "scheduler-2:1");
        story.put(lease("scheduler-2_1", 2)).unwrap();
        assert_eq!(hears(&mut story, &second), "scheduler-2:1");
    }
}
