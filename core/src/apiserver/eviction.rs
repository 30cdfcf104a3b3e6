//! Whether a pod may be evicted: a deletion that respects the budget of those who need it.
//!
//! A pod that is granted an eviction is written into its budget first, and deleted when that is durable. So no two
//! evictions can spend the same disruption, and one that is asked for again spends none.
//!
//! Source: Kubernetes documentation, "API-initiated Eviction" and "Specifying a Disruption Budget for your Application";
//! `pkg/registry/core/pod/storage/eviction.go`.

use crate::api::budget::{BudgetStatus, DISRUPTION_ALLOWED, INSUFFICIENT_PODS};
use crate::api::condition::Condition;
use crate::api::kinds::Kind;
use crate::api::meta::{Time, parse_rfc3339};
use crate::api::object::Object;
use crate::api::plain::{count, label_selector, number, text};
use crate::api::pod::{Pod, PodPhase};
use crate::api::status::{Reason, Status};
use crate::decision::Because;
use crate::store::Store;
use crate::time::Now;
use crate::{decision_enum, decision_table};
use serde_json::Value;

decision_enum! {
    /// What would be lost with the pod.
    pub enum Loss {
        /// Nothing: it has not started, has ended, or is leaving.
        Nothing,
        /// What was granted before, for this pod and no earlier one of its name.
        Granted,
        /// Little: it is not ready, and its budget lets such pods go.
        Unready,
        /// A pod that counts.
        Counted,
    }
}

decision_enum! {
    /// What the budgets that select the pod allow.
    pub enum Budgets {
        /// No budget selects it.
        None,
        /// Several do.
        Several,
        /// One does, whose latest wish has not been looked at.
        Unseen,
        /// One does, in which too many evictions wait to be confirmed.
        Crowded,
        /// One does, and allows no disruption now.
        Spent,
        /// One does, and allows another disruption.
        Left,
    }
}

decision_enum! {
    /// What is done.
    pub enum Action {
        /// The pod is deleted.
        Delete,
        /// The budget is charged, and the pod deleted after that.
        Charge,
        /// It is refused: nobody says which budget is to be charged.
        Unclear,
        /// It is refused for now: the budget has to be looked at.
        Unseen,
        /// It is refused for now: too much is under way.
        Crowded,
        /// It is refused for now: the budget is spent.
        Spent,
    }
}

decision_table! {
    /// Whether a pod may be evicted. Pure and total. Page: `docs/decisions/eviction.md`.
    pub fn eviction(loss: Loss, budgets: Budgets) -> Action, EVICTION;
    idle:    (Nothing, _)                                    => Delete,  "nobody is served by it";
    free:    (Granted | Unready | Counted, None)             => Delete,  "nobody has set a limit";
    unclear: (Granted | Unready | Counted, Several)          => Unclear, "a pod has one budget";
    granted: (Granted, Unseen | Crowded | Spent | Left)      => Delete,  "it is charged already";
    unready: (Unready, Unseen | Crowded | Spent | Left)      => Delete,  "who waits for it has enough others, or never wants to";
    unseen:  (Counted, Unseen)                               => Unseen,  "what it allows was counted for another wish";
    crowded: (Counted, Crowded)                              => Crowded, "its object would grow without end";
    spent:   (Counted, Spent)                                => Spent,   "those who need the pods would have too few";
    charge:  (Counted, Left)                                 => Charge,  "one disruption less is left for others";
}

/// So many evictions may wait for the budget's controller. Source: `MaxDisruptedPodSize`.
const CROWD: usize = 2000;

/// What becomes of a wish to evict a pod.
#[derive(Debug)]
pub enum Outcome {
    /// The pod is deleted.
    Delete,
    /// This budget is stored first.
    Charge(Object),
}

/// Decides an eviction of the stored pod.
pub fn evict(now: Now, store: &Store, stored: &Object) -> Result<Outcome, Status> {
    let Some(pod) = stored.get::<Pod>() else { return Err(Status::not_found(Kind::Pod, &stored.meta().name)) };
    let budgets = budgets(store, stored);
    let budget = budgets.first().copied();
    let row = eviction(loss(pod, budget), allowed(&budgets));
    match (row.then, budget) {
        (Action::Charge, _) if planted!(EvictionNotCharged) => Ok(Outcome::Delete),
        (Action::Delete, _) | (_, None) => Ok(Outcome::Delete),
        (Action::Charge, Some(budget)) => Ok(Outcome::Charge(charged(now, budget, &pod.metadata.name))),
        (Action::Unclear, _) => {
            let message =
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            Err(Status::failure(Reason::InternalError, message))
        }
        (Action::Crowded, Some(budget)) => {
            let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
            Err(Status::forbidden(Kind::PodDisruptionBudget, &budget.meta().name, why))
        }
        (Action::Unseen, Some(budget)) => {
            let why = format!("The disruption budget {} is still being processed by the server.", budget.meta().name);
            Err(too_many(why, 10))
        }
        (Action::Spent, Some(budget)) => {
            let (needs, has) = (status(budget, "desiredHealthy"), status(budget, "currentHealthy"));
            let name = &budget.meta().name;
            let why = format!("The disruption budget {name} needs {needs} healthy pods and has {has} currently");
            Err(too_many(why, 0))
        }
    }
}

/// By which row the stored pod is not evicted now; nothing if that has another reason.
pub fn refusal(store: &Store, stored: &Object) -> Option<Because> {
    let budgets = budgets(store, stored);
    let row = eviction(loss(stored.get()?, budgets.first().copied()), allowed(&budgets));
    (!matches!(row.then, Action::Delete | Action::Charge)).then(|| Because::of(&EVICTION, row))
}

/// A pod that is about to go by an eviction says so, so that its end is not taken for its failure.
///
/// Source: Kubernetes documentation, "Disruptions", pod disruption conditions.
pub fn told(now: Now, pod: Object) -> Object {
    pod.with(|pod: &mut Pod| {
        pod.say_disrupted(Time::of(now.wall), "EvictionByEvictionAPI", "Eviction API: evicting");
    })
}

/// The budgets that select a pod.
pub fn budgets<'a>(store: &'a Store, pod: &Object) -> Vec<&'a Object> {
    let namespace = pod.meta().namespace.clone();
    let selects = |budget: &&Object| {
        // A budget without a selector has no pods; one with an empty selector has all.
        label_selector(budget.at(&["spec", "selector"])).is_some_and(|selector| selector.matches(&pod.meta().labels))
    };
    store.of_namespace(Kind::PodDisruptionBudget, &namespace).filter(selects).collect()
}

fn loss(pod: &Pod, budget: Option<&Object>) -> Loss {
    let idle = pod.metadata.is_deleting()
        || pod.status.phase != PodPhase::Running && (!planted!(PendingBlocked) || pod.status.phase.is_final());
    let granted = budget.is_some_and(|budget| is_granted(budget, pod));
    match budget {
        _ if idle => Loss::Nothing,
        _ if granted => Loss::Granted,
        Some(budget) if !pod.is_ready() && lets_unready_go(budget) => Loss::Unready,
        _ => Loss::Counted,
    }
}

/// Whether an eviction of this pod was granted. A pod of its name that went before it is none of its business; times are
/// whole seconds, and one that was made in the second of the grant may have followed it.
fn is_granted(budget: &Object, pod: &Pod) -> bool {
    let granted = parse_rfc3339(text(budget, &["status", "disruptedPods", &pod.metadata.name]));
    let followed = |created: Time, at: Time| created >= at && !planted!(GrantInherited);
    granted.is_ok_and(|at| pod.metadata.creation_timestamp.is_none_or(|created| !followed(created, Time::of(at))))
}

/// Source: `spec.unhealthyPodEvictionPolicy`, by default `IfHealthyBudget`.
fn lets_unready_go(budget: &Object) -> bool {
    let (needs, has) = (status(budget, "desiredHealthy"), status(budget, "currentHealthy"));
    text(budget, &["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow"
        || planted!(UnreadyGoFreely)
        || (needs > 0 && if planted!(UnreadyHeld) { has > needs } else { has >= needs })
}

fn allowed(budgets: &[&Object]) -> Budgets {
    let budgets = if planted!(FirstBudgetCounts) { &budgets[..budgets.len().min(1)] } else { budgets };
    let [budget] = budgets else {
        return if budgets.is_empty() { Budgets::None } else { Budgets::Several };
    };
    let seen = number(budget, &["status", "observedGeneration"]).unwrap_or(0);
    let granted = budget.at(&["status", "disruptedPods"]).and_then(Value::as_object).map_or(0, |pods| pods.len());
    match () {
        () if !planted!(EvictionUnseen) && seen < budget.meta().generation.unwrap_or(0) => Budgets::Unseen,
        () if granted > CROWD => Budgets::Crowded,
        () if status(budget, "disruptionsAllowed") <= 0 => Budgets::Spent,
        () => Budgets::Left,
    }
}

fn status(budget: &Object, field: &str) -> i64 {
    count(budget, &["status", field])
}

/// The budget with one disruption less, which this pod has got.
fn charged(now: Now, budget: &Object, pod: &str) -> Object {
    let status = budget.at(&["status"]).cloned();
    // One that cannot be read allows nothing, so that none is charged.
    let Some(mut status) = status.and_then(|status| serde_json::from_value::<BudgetStatus>(status).ok()) else {
        return budget.clone();
    };
    status.disruptions_allowed -= 1;
    status.disrupted_pods.insert(pod, Time::of(now.wall));
    if status.disruptions_allowed == 0 {
        let condition = Condition {
            kind: DISRUPTION_ALLOWED.into(),
            status: "False".into(),
            observed_generation: status.observed_generation,
            reason: INSUFFICIENT_PODS.into(),
            ..Default::default()
        };
        Condition::put(now, &mut status.conditions, condition);
    }
    budget.with_status(&status)
}

fn too_many(why: String, retry_after: u32) -> Status {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    Status::too_many_requests(message, retry_after).because("DisruptionBudget", why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Revision;
    use crate::time::Wall;
    use serde_json::json;

    fn store(objects: &[Object]) -> Store {
        let mut store = Store::default();
        for (nth, object) in objects.iter().enumerate() {
            store.apply(&object.key(), Some(object.clone()), Revision(nth as u64 + 1));
        }
        store
    }

    fn pod(phase: &str, ready: bool) -> Object {
        let ready = if ready { "True" } else { "False" };
        let pod = json!({"metadata": {"name": "p", "namespace": "n", "labels": {"app": "web"}},
            "spec": {"containers": []},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}});
        Object::from_value(Kind::Pod, pod).unwrap()
    }

    fn budget(name: &str, spec: Value, status: Value) -> Object {
        let budget = json!({"metadata": {"name": name, "namespace": "n", "generation": 1},
            "spec": spec, "status": status});
        Object::from_value(Kind::PodDisruptionBudget, budget).unwrap()
    }

    fn told(pod: &Object, budgets: &[Object]) -> String {
        match evict(Now::default(), &store(budgets), pod) {
            Ok(Outcome::Delete) => "delete".into(),
            Ok(Outcome::Charge(budget)) => format!("charge {}", budget.at(&["status"]).unwrap()),
            Err(status) => {
                let cause = status.details.as_ref().and_then(|details| details.causes.first());
                let why = cause.map_or(&status.message, |cause| &cause.message);
                format!("{}: {why}", status.http_code())
            }
        }
    }

    #[test]
    fn budgets_decide() {
        let web = || json!({"selector": {"matchLabels": {"app": "web"}}});
        let left = json!({"observedGeneration": 1, "disruptionsAllowed": 1, "desiredHealthy": 2, "currentHealthy": 3});
        let spent = json!({"observedGeneration": 1, "disruptionsAllowed": 0, "desiredHealthy": 2, "currentHealthy": 1});
        let one = |status: &Value| [budget("b", web(), status.clone())];
        let running = pod("Running", true);
        assert_eq!(told(&running, &[]), "delete");
        assert_eq!(told(&running, &[budget("b", json!({}), spent.clone())]), "delete", "no selector, no pods");
        assert_eq!(
            told(&running, &one(&left)),
            concat!(
                r#"charge {"conditions":[{"lastTransitionTime":"1970-01-01T00:00:00Z","message":"","observedGeneration":1,"#,
                r#""reason":"InsufficientPods","status":"False","type":"DisruptionAllowed"}],"currentHealthy":3,"#,
                r#""desiredHealthy":2,"disruptedPods":{"p":"1970-01-01T00:00:00Z"},"disruptionsAllowed":0,"#,
                r#""expectedPods":0,"observedGeneration":1}"#
            )
        );
        assert_eq!(
            told(&running, &one(&spent)),
            "429: The disruption budget b needs 2 healthy pods and has 1 currently"
        );
        assert_eq!(
            told(&running, &one(&json!({}))),
            "429: The disruption budget b is still being processed by the server."
        );
        assert_eq!(told(&pod("Pending", false), &one(&spent)), "delete");
        assert_eq!(told(&pod("Running", false), &one(&left)), "delete");
        assert!(told(&pod("Running", false), &one(&spent)).starts_with("429"));
        let always = json!({"selector": {}, "unhealthyPodEvictionPolicy": "AlwaysAllow"});
        assert_eq!(told(&pod("Running", false), &[budget("b", always, spent.clone())]), "delete");
        let two = [budget("a", web(), left.clone()), budget("b", web(), left.clone())];
        assert!(told(&running, &two).starts_with("500: This pod has more than one"));
        let mut granted = spent.clone();
        granted["disruptedPods"] = json!({"p": "1970-01-01T00:00:10Z"});
        assert_eq!(told(&running, &one(&granted)), "delete", "asked for again");
        let made =
            |second: i64| running.with_meta(|meta| meta.creation_timestamp = Some(Time::of(Wall::from_secs(second))));
        assert_eq!(told(&made(9), &one(&granted)), "delete");
        assert!(told(&made(10), &one(&granted)).starts_with("429"), "it may be another");
        assert!(told(&made(11), &one(&granted)).starts_with("429"), "it is another of that name");
    }
}
