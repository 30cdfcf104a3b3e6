//! Pods that have to go for a more important one: who they are, that they are told why, and that they are asked to.
//!
//! [`preempt`] decides who. Each is first told by a condition, then deleted in its own grace period. Until the view shows
//! that they are gone, the pod that they go for waits.

use super::news::counts;
use super::waking::looks_around;
use super::{Ask, Counted, Going, RETRY, Scheduler, Stage};
use crate::api::by_key::ByKey;
use crate::api::meta::Time;
use crate::api::object::Key;
use crate::api::pod::{Pod, PodCondition};
use crate::api::text::Text;
use crate::client::events::Tone;
use crate::decision::Decision;
use crate::program::{Answer, DeleteOptions, Effects, Level, Part, Verb};
use crate::reasons::VICTIM;
use crate::scheduler::filters::{Unschedulable, refusal_by_node};
use crate::scheduler::nodes::NodeIndex;
use crate::scheduler::preemption::{Preemption, Victim, preempt};
use crate::scheduler::wake_ups::Gain;
use crate::time::Now;

impl Scheduler {
    /// Looks for pods that could go for one that no node takes, asks them to, and keeps their room for it.
    pub(super) fn preempt_for(&mut self, now: Now, key: &Key, why: &mut Unschedulable, out: &mut Effects) {
        let pod = &self.pending[key];
        let facts = pod.facts.clone();
        if !facts.preempts && !planted!(NeverPreempts) {
            why.preemption = "preemption: not eligible due to preemptionPolicy=Never.".into();
            return;
        }
        let (kin, nominated, uid) = (pod.kin(), pod.nominated.clone(), pod.uid.clone());
        // Some are on their way out already, or were asked to go. Who has ended gave its room back, perhaps to somebody
        // else: nothing comes of waiting for it.
        let there = |(victim, uid): (&Key, &Text)| {
            self.pods.object(victim).is_some_and(|one| *one.meta().uid == **uid && counts(one).is_some())
        };
        // Nor where the node takes the pod no more, whoever goes: from one that is silent nobody may ever be seen to go.
        //
        // Source: Kubernetes, `plugins/defaultpreemption`, `PodEligibleToPreemptOthers`.
        let waits = nominated.as_ref().is_some_and(|node| {
            let helps = self.nodes.find(node).is_some_and(|at| {
                refusal_by_node(&facts, self.nodes.facts(at)).is_none_or(|refusal| refusal.ends_with_pods())
            });
            let leaving = |one: &Victim| one.leaving && one.facts.priority < facts.priority;
            helps && (pod.victims.iter().any(there) || self.on_node(node).iter().any(leaving))
        });
        if waits {
            why.preemption = "preemption: not eligible due to a terminating pod on the nominated node.".into();
            return;
        }
        // What was kept for the pod itself does not stand in its way.
        self.give_up_nomination(key);
        self.stand(kin);
        let mut standing = self.kin.get_mut(&kin).and_then(|kin| kin.standing.take()).expect("it was made just now");
        let pods = |at: NodeIndex| self.on_node(self.nodes.name(at));
        let found = preempt(&mut standing, &self.nodes, &pods, &self.budgets);
        if let Some(kin) = self.kin.get_mut(&kin) {
            kin.standing = Some(standing);
        }
        match found {
            Ok(Preemption { node, victims }) => {
                sometimes!(Preempted);
                let node = self.nodes.name(node).clone();
                self.make_way(&node, &facts);
                self.nodes.nominate(&node, key, &uid, &facts);
                if let Some(pod) = self.pending.get_mut(key) {
                    pod.nominated = Some(node.clone());
                }
                for victim in victims {
                    self.condemn(now, key, victim, out);
                }
            }
            Err(told) => {
                why.preemption = told;
                // It may be for where others are that nobody can make room.
                if self.kin.get(&kin).is_some_and(|kin| looks_around(kin, &self.nodes)) {
                    why.obstacles.extend(Gain::PodsMoved.removes());
                }
            }
        }
    }
    /// Who is on a node, as the view shows it.
    fn on_node(&self, node: &str) -> Vec<Victim> {
        let all = self.on.get(node).into_iter().flat_map(ByKey::iter);
        let victim = |(key, (facts, leaving)): (Key, &Counted)| {
            let pod = self.pods.get::<Pod>(&key)?;
            Some(Victim {
                key,
                uid: pod.metadata.uid.clone(),
                labels: pod.metadata.labels.clone(),
                started: pod.status.start_time,
                leaving: *leaving,
                facts: facts.clone(),
            })
        };
        all.filter_map(victim).collect()
    }

    /// A pod has to go from a node for another: first it is told why.
    ///
    /// Source: Kubernetes documentation, "Disruptions", pod disruption conditions.
    fn condemn(&mut self, now: Now, key: &Key, victim: Victim, out: &mut Effects) {
        let Victim { key: of, uid, .. } = victim;
        let Some(object) = self.pods.object(&of).filter(|object| *object.meta().uid == *uid) else { return };
        out.log(Level::Info, format!("scheduler: pod {} has to go for pod {}", of.name, key.name));
        let because = VICTIM.because();
        out.decided(Level::Debug, Decision::about(of.clone(), because).for_sake_of(key.clone()));
        let condition = PodCondition {
            kind: "DisruptionTarget".into(),
            status: "True".into(),
            reason: "PreemptionByScheduler".into(),
            message: format!("{}: preempting to accommodate a higher priority pod", self.options.name).into(),
            ..PodCondition::default()
        };
        let object = object.with(|pod: &mut Pod| {
            // Others may have said so before, for their reason.
            let since = pod.disruption().and_then(|said| said.last_transition_time);
            let last_transition_time = since.or(Some(Time::of(now.wall)));
            pod.status.conditions.retain(|one| one.kind != condition.kind);
            pod.status.conditions.push(PodCondition { last_transition_time, ..condition });
        });
        let Some(pod) = self.pending.get_mut(key) else { return };
        pod.victims.insert(of.clone(), uid.clone());
        let going = Going { victim: of, victim_uid: uid, preemptor: key.clone(), preemptor_uid: pod.uid.clone() };
        self.open += 1;
        self.calls.call(now, Ask::Condemn(going), Verb::Update { object, part: Part::Status }, out);
    }

    /// It was told, or was not: then nothing is asked of it.
    pub(super) fn condemned(&mut self, now: Now, going: Going, answer: &Answer, out: &mut Effects) {
        // The pod that it should go for may be gone or bound.
        if self.pending.get(&going.preemptor).is_none_or(|pod| !pod.waits_for(&going)) {
            return;
        }
        if !matches!(answer, Answer::Object { .. }) {
            return self.evicted(now, &going, answer);
        }
        let victim = &going.victim;
        if let Some(object) = self.pods.object(victim).cloned() {
            let node = self.pods.get::<Pod>(victim).and_then(Pod::node).unwrap_or_default().to_owned();
            let message = format!("Preempted by pod {} on node {node}", going.preemptor_uid);
            self.recorder.tell(now, &object, Tone::Normal, "Preempted", message, out);
        }
        // The pod's own grace period: it may end in order.
        let grace_seconds = if planted!(PreemptsAtOnce) { Some(0) } else { None };
        let options = DeleteOptions { uid: Some(going.victim_uid.clone()), grace_seconds, ..DeleteOptions::default() };
        let verb = Verb::Delete { key: victim.clone(), options };
        self.open += 1;
        self.calls.call(now, Ask::Evict(going), verb, out);
    }

    /// It was asked to go. If that came to nothing, the pod it should go for is decided again after a delay.
    pub(super) fn evicted(&mut self, now: Now, going: &Going, answer: &Answer) {
        let Some(pod) = self.pending.get_mut(&going.preemptor).filter(|pod| pod.waits_for(going)) else { return };
        match answer {
            // The view will show it.
            Answer::Object { .. } | Answer::Removed(_) => {}
            _ if planted!(EvictionNotRetried) => {}
            Answer::Refused(_) | Answer::Lost(_) | Answer::List { .. } | Answer::Watching => {
                pod.victims.remove(&going.victim);
                pod.failures = pod.failures.saturating_add(1);
                if let Stage::Parked = pod.stage {
                    self.due.set_if_earlier(going.preemptor.clone(), now.mono + RETRY.delay(pod.failures));
                }
            }
        }
    }
}
