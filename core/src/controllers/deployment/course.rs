//! What is done about a deployment's replica sets.
//!
//! Source: Kubernetes, `pkg/controller/deployment`, `syncDeployment`.

use crate::api::deployment::{DESIRED_REPLICAS, Deployment, StrategyType};
use crate::controllers::deployment::sets::Set;
use crate::table::Row;
use crate::{decision_enum, decision_table};

decision_enum! {
    /// Whether something new may be rolled out.
    pub enum Pause {
        /// It may.
        Running,
        /// Its author wants to look first.
        Paused,
    }
}

decision_enum! {
    /// Whether the number of wanted pods is the one for which the sets were sized.
    pub enum Number {
        /// It is.
        Same,
        /// It was changed.
        Changed,
    }
}

decision_enum! {
    /// How old pods are replaced by new ones.
    pub enum Strategy {
        /// Little by little.
        Rolling,
        /// The old ones end before new ones are made.
        Recreate,
    }
}

decision_enum! {
    /// What is done.
    pub enum Action {
        /// The sets that have pods share the wanted number; none is made.
        Resize,
        /// The newest set grows and the others shrink.
        Roll,
        /// The others are emptied, and then the newest is filled.
        Replace,
    }
}

decision_table! {
    /// What is done about the replica sets. Pure and total. Page: `docs/decisions/course.md`.
    pub fn course(pause: Pause, number: Number, strategy: Strategy) -> Action, COURSE;
    paused:   (Paused,  _,       _)        => Resize,  "a paused deployment is scaled, and nothing else";
    resized:  (Running, Changed, Rolling)  => Resize,  "a rollout that is under way is to be as far as it was";
    rolling:  (Running, Same,    Rolling)  => Roll,    "some pods serve at every moment";
    replaced: (Running, _,       Recreate) => Replace, "pods of two templates must not run together";
}

/// Reduces a deployment and its sets to what [`course`] decides on.
pub fn standing(deployment: &Deployment, new: Option<&Set<'_>>, old: &[Set<'_>]) -> &'static Row<Action> {
    let pause = if deployment.spec.paused { Pause::Paused } else { Pause::Running };
    let active = old.iter().chain(new).filter(|one| one.wanted() > 0);
    let sized_for = |one: &Set<'_>| one.set.metadata.annotations.get(DESIRED_REPLICAS)?.parse::<i64>().ok();
    let changed = active.filter_map(sized_for).any(|number| number != deployment.wanted());
    let number = if changed { Number::Changed } else { Number::Same };
    let strategy = match deployment.spec.strategy.kind {
        StrategyType::RollingUpdate => Strategy::Rolling,
        StrategyType::Recreate => Strategy::Recreate,
    };
    course(pause, number, strategy)
}
