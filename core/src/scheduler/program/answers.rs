//! What the scheduler makes of the answers to its calls: [`binding`] decides, here it is carried out.

use super::{Assumed, Bind, LATE_MAX, Pending, RETRY, Reserved, Scheduler, Stage};
use crate::api::object::Key;
use crate::api::pod::Pod;
use crate::api::status::Reason;
use crate::decision::{Because, Decision};
use crate::program::{Answer, Effects, Level};
use crate::scheduler::binding::{self, AFTER_BIND, AfterBind, AfterLook, Earlier, Found};
use crate::scheduler::facts::PodFacts;
use crate::scheduler::standing::Standing;
use crate::scheduler::strategy::Strategy;
use crate::time::Now;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Scheduler {
    pub(super) fn bind_answered(
        &mut self,
        now: Now,
        (key, uid, node): (&Key, &str, &str),
        answer: &Answer,
        out: &mut Effects,
    ) {
        let Some(pod) = assumed(&mut self.pending, key, uid).filter(|pod| *pod.assumed.node == *node) else { return };
        let next = binding::after_bind(binding::heard(answer), *pod.earlier);
        if next.then != AfterBind::Wait {
            out.log(
                Level::Warn,
                format!("scheduler: pod {} to node {node}: {}; {}", key.name, answer.trouble(), next.why),
            );
            let because = Because::of(&AFTER_BIND, next).as_seen(format!("node {node}: {}", answer.trouble()));
            out.decided(Level::Debug, Decision::about(key.clone(), because));
        }
        match next.then {
            AfterBind::Wait => self.bound(now, key, out),
            AfterBind::DecideLater | AfterBind::Look if planted!(BindNotRetried) => {}
            AfterBind::DecideLater => self.delay(now, key),
            AfterBind::Look => {
                sometimes!(BindUnknown);
                pod.assumed.bind = Bind::NotKnown;
                *pod.earlier = Earlier::Unsettled;
                *pod.failures = pod.failures.saturating_add(1);
                self.due.set(key.clone(), now.mono + RETRY.delay(*pod.failures));
            }
        }
    }

    pub(super) fn look_answered(&mut self, now: Now, key: &Key, uid: &str, answer: &Answer, out: &mut Effects) {
        let found = match answer {
            Answer::Object { object, .. } if object.meta().uid != uid => Found::Gone,
            Answer::Object { object, .. } => match object.get::<Pod>() {
                None => Found::NotKnown,
                Some(pod) => match pod.node() {
                    None if self.wants_node(pod).is_some() => Found::Unbound,
                    None => Found::Gone,
                    Some(node) => match assumed(&mut self.pending, key, uid) {
                        Some(pod) if *pod.assumed.node == *node => Found::Here,
                        _ => Found::Elsewhere,
                    },
                },
            },
            Answer::Refused(status) if status.reason == Some(Reason::NotFound) => Found::Gone,
            Answer::Refused(_) | Answer::Lost(_) | Answer::List { .. } | Answer::Watching | Answer::Removed(_) => {
                Found::NotKnown
            }
        };
        let Some(pod) = assumed(&mut self.pending, key, uid) else { return };
        let (name, facts) = (pod.assumed.node.clone(), pod.assumed.facts.clone());
        // As if it were not there.
        self.nodes.release(&name, &facts, false);
        let takes = self.nodes.find(&name).is_some_and(|at| {
            let standing = Standing::new(pod.facts.clone(), Strategy::default(), &self.nodes);
            standing.takes(&self.nodes, at)
        });
        self.nodes.charge(&name, &facts, false);
        let node = if takes { binding::Node::Takes } else { binding::Node::Refuses };
        match binding::after_look(found, node).then {
            AfterLook::Wait => {
                sometimes!(BindFoundDone);
                self.bound(now, key, out);
            }
            AfterLook::BindAgain => {
                pod.assumed.bind = Bind::Asked;
                let node = pod.assumed.node.clone();
                self.ask_bind(now, key, &node, out);
            }
            AfterLook::GiveUp => {
                sometimes!(BindGivenUp);
                let (node, facts, until) = (pod.assumed.node.clone(), pod.assumed.facts.clone(), now.mono + LATE_MAX);
                self.nodes.charge(&node, &facts, false);
                pod.reserved.push(Reserved { node, facts, until });
                self.reserving.insert(key.clone());
                self.delay(now, key);
            }
            AfterLook::DecideLater => self.delay(now, key),
            AfterLook::LookAgain => {
                *pod.failures = pod.failures.saturating_add(1);
                self.due.set(key.clone(), now.mono + RETRY.delay(*pod.failures));
            }
        }
    }

    pub(super) fn report_answered(&mut self, now: Now, key: &Key, uid: &str, answer: &Answer) {
        let Some(pod) = self.pending.get_mut(key).filter(|pod| *pod.uid == *uid) else { return };
        match answer {
            Answer::Object { .. } => {}
            Answer::Refused(_) | Answer::Lost(_) | Answer::List { .. } | Answer::Watching | Answer::Removed(_) => {
                // Decided again after a delay, which tells again.
                pod.reported = None;
                pod.failures = pod.failures.saturating_add(1);
                if let Stage::Parked = pod.stage {
                    self.due.set_if_earlier(key.clone(), now.mono + RETRY.delay(pod.failures));
                }
            }
        }
    }
}

/// A pod for which a bind was asked, with what its answer changes.
struct Doubt<'a> {
    facts: &'a Arc<PodFacts>,
    failures: &'a mut u32,
    earlier: &'a mut Earlier,
    reserved: &'a mut Vec<Reserved>,
    assumed: &'a mut Assumed,
}

/// The pod, if it is still this one and is being bound.
fn assumed<'a>(pending: &'a mut BTreeMap<Key, Pending>, key: &Key, uid: &str) -> Option<Doubt<'a>> {
    let pod = pending.get_mut(key).filter(|pod| *pod.uid == *uid)?;
    match &mut pod.stage {
        Stage::Assumed(assumed) => Some(Doubt {
            facts: &pod.facts,
            failures: &mut pod.failures,
            earlier: &mut pod.earlier,
            reserved: &mut pod.reserved,
            assumed,
        }),
        Stage::Queued | Stage::Parked | Stage::Delayed => None,
    }
}
