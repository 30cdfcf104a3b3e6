//! What goes wrong only if several things happen at one moment, which chance seldom makes: some runs make it on purpose.

mod deletions;
mod evictions;
mod jobs;
mod leaders;
mod nodes;
mod places;
mod restarts;
mod services;
mod stored;

pub(super) use leaders::{leads_again, leads_late};

use super::{Dice, is_crowded, merge, room};
use crate::plan::{Fault, Mishap, Plan};
use crate::truth::INTRUDER;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Key;
use miniku_core::time::Duration;
use serde_json::{Value, json};

/// Whether a run has it.
type Has = fn(&Dice) -> bool;
/// Adds it to a plan for so many nodes.
type Draws = fn(&Dice, u64, &mut Plan);

/// All of them, each below what could be wrong only then. What they do at one time is done in this order.
const MOMENTS: &[(Has, Draws)] = &[
    // What was asked for by who led before is refused, though it leads again.
    (leads_again, leaders::led_again),
    // Who is told late that it leads counts from when it asked for that.
    (leads_late, leaders::led_late),
    // News are no reason to try at once what was refused. Of two that are elected, neither would keep its lease.
    (|dice| dice.in_some("harried", 4) && !room::stands_by(dice), nodes::harried),
    // What was listed in a namespace says nothing of its successor. Of two that are elected, one does nothing.
    (|dice| dice.in_some("listed before", 4) && !room::stands_by(dice), deletions::listed_before),
    // A node that is deleted while its kubelet waits for an answer is made again.
    (|dice| dice.has("nodes deleted") && dice.in_some("made again", 3), nodes::made_again),
    // How long a pod has been on a node says nothing of the next one of its name.
    (|dice| dice.in_some("come again", 4), nodes::come_again),
    // What was written is looked at again, though others have written there before the answer comes. Of two that are elected,
    // neither would keep its lease.
    (|dice| dice.in_some("overtaken", 4) && !room::stands_by(dice), nodes::overtaken),
    // News of a node put off nothing that is due there.
    (|dice| dice.in_some("touched", 2), nodes::touched),
    // Each container of a pod has a back-off of its own.
    (|dice| dice.in_some("uneven", 4), restarts::uneven),
    // A set that is to be smaller keeps those that were restarted less often, of those that are alike otherwise.
    (|dice| dice.in_some("weary", 4), restarts::weary),
    // A job that is to have fewer pods lets those go first that have no node.
    (|dice| dice.in_some("too many", 4), jobs::too_many),
    // A job counts no pod as both failed and succeeded, and no number that it does not ask for.
    (|dice| dice.in_some("numbered", 4), jobs::numbered),
    // A job that is gone soon is not made again by a cron job that does not know whether it was made.
    (|dice| dice.in_some("brief", 4), jobs::brief),
    // Nor is one of which none is kept.
    (|dice| dice.in_some("unkept", 6), jobs::unkept),
    // Each of a name is collected, whatever is heard meanwhile of the one before.
    (|dice| dice.in_some("collected again", 4), deletions::collected_again),
    // Nobody comes near a pod that must be kept away from it, when that was said just now.
    (|dice| dice.in_some("moved in", 4), places::moved_in),
    // Who is to be spread, or away from others, minds nobody of other namespaces.
    (|dice| dice.in_some("namesakes", 6), places::namesakes),
    // The last deletion of a set says what becomes of its pods.
    (|dice| dice.in_some("decided twice", 3), deletions::decided_twice),
    // What was given to who is not stored is free again.
    (|dice| dice.in_some("given back", 4), stored::given_back),
    // What comes with a namespace comes later, if it cannot be stored with it.
    (|dice| dice.in_some("half made", 4), stored::half_made),
    // What is removed by force ends soon, however long it was given before.
    (|dice| dice.in_some("forced", 4), deletions::forced),
    // What was seen to be gone does not come back by a late answer, and is not waited for.
    (|dice| dice.in_some("answered late", 4), deletions::answered_late),
    // Failed starts are counted on by the next life, though it reads their number before the last one arrives.
    (|dice| dice.in_some("former words", 4), restarts::former_words),
    // Who is not ready may go while just enough others are healthy.
    (|dice| dice.in_some("lame", 4), evictions::lame),
    // Failed starts are forgiven when a pod runs.
    (|dice| dice.in_some("started at last", 4), restarts::started_at_last),
    // Leases are renewed whatever the clock on the wall shows.
    (|dice| dice.in_some("still clock", 4), nodes::still_clock),
    // What was granted for a pod is not granted for the next one of its name.
    (|dice| dice.in_some("inherited", 4), evictions::inherited),
    // Nothing is made where no namespace is.
    (|dice| dice.in_some("crossed", 4), stored::crossed),
    // Nobody goes in vain for a more important pod, or against a budget where others would do.
    (|dice| is_crowded(dice) && dice.has("priorities") && dice.has("urgent"), places::urgent),
    // Endpoints are written until they are right, though nothing happens any more after a write that failed.
    (|dice| dice.in_some("shown in vain", 4), services::shown_in_vain),
    // Who waits since there is no node at all hears of the first.
    (|dice| dice.in_some("first node", 6), nodes::first_again),
];

/// Adds those that a run has to its plan for so many nodes.
pub(super) fn draw(dice: &Dice, nodes: u64, plan: &mut Plan) {
    for (_, draws) in MOMENTS.iter().filter(|(has, _)| has(dice)) {
        draws(dice, nodes, plan);
    }
}

/// The only container of a pod: it runs for ever, and requests so much of a processor.
fn idle(cpu: &str) -> Value {
    json!({"name": "main", "image": "busybox", "resources": {"requests": {"cpu": cpu}}})
}

/// The spec of a pod with this container that is to run on a node, and ends as soon as it is told to.
fn on(node: &str, container: Value) -> Value {
    json!({"nodeSelector": {"kubernetes.io/hostname": node}, "terminationGracePeriodSeconds": 1,
        "containers": [container]})
}

/// Somebody writes on a node so many times, at this pace, which says nothing of how it is; and is no quarrel of two programs.
fn touch(node: &str, from: Duration, every: Duration, times: u32, plan: &mut Plan) {
    for at in (0..times).map(|nth| from + every * nth) {
        let touched = json!({"metadata": {"annotations": {INTRUDER: at.as_micros().to_string()}}});
        plan.ask(at, merge(&Key::new(Kind::Node, "", node), touched));
    }
}

/// This happens to each of the next so many messages of an actor that it can happen to.
fn befall(actor: &str, messages: u64, mishap: Mishap, at: Duration, plan: &mut Plan) {
    for nth in 1..=messages {
        plan.strike(at, Fault::Message { actor: actor.to_owned(), nth, mishap });
    }
}

/// Plans for the tests of moments.
#[cfg(test)]
mod planned {
    use super::{Dice, Draws, Duration, Fault, Kind, Mishap, Plan};
    use crate::plan::{Act, Ask, Entry};
    use miniku_core::rng::Draw;

    /// What one of them adds in the run of a seed, for three nodes.
    pub fn planned(seed: u64, draws: Draws) -> Plan {
        let mut plan = Plan::default();
        draws(&Dice(Draw::new(seed)), 3, &mut plan);
        plan
    }

    /// Whether a pod is made.
    pub fn makes_pod(entry: &Entry) -> bool {
        matches!(&entry.act, Act::Ask(Ask::Create(object)) if object.kind() == Kind::Pod)
    }

    /// When the first such entry comes.
    pub fn first_at(plan: &Plan, is_such: impl Fn(&Entry) -> bool) -> Duration {
        plan.entries.iter().find(|one| is_such(one)).unwrap().at
    }

    /// By how much the first answer is late that is late.
    pub fn answered_late_by(plan: &Plan) -> Duration {
        let late = plan.entries.iter().find_map(|one| match &one.act {
            Act::Strike(Fault::Message { mishap: Mishap::ReplyLate(by), .. }) => Some(*by),
            _ => None,
        });
        late.unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::planned::planned;
    use super::*;
    use miniku_core::rng::Draw;

    #[test]
    fn each_is_in_some_runs_and_does_something_there() {
        for (nth, (has, draws)) in MOMENTS.iter().enumerate() {
            let runs: Vec<u64> = (0..500).filter(|seed| has(&Dice(Draw::new(*seed)))).collect();
            assert!((1..250).contains(&runs.len()), "moment {nth} is in {} of 500 runs", runs.len());
            assert!(runs.iter().all(|seed| !planned(*seed, *draws).entries.is_empty()), "moment {nth}");
        }
    }
}
