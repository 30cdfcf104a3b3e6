//! What a stateful set wants, and what its status says.

use crate::api::kinds::Kind;
use crate::api::meta::ObjectMeta;
use crate::api::object::{Key, Object, Resource};
use crate::api::pod::{Pod, PodTemplateSpec};
use crate::api::statefulset::{
    ClaimTemplate, GOES_WITH_POD, POD_INDEX, POD_NAME, PodManagementPolicy, REVISION_HASH, StatefulSet,
    StatefulSetStatus, UpdateStrategyType,
};
use crate::api::text::Text;
use crate::controllers::statefulset::ordinal::{Action, ORDINAL, Wish, ordinal, state};
use crate::controllers::workload::revisions::Revisions;
use crate::controllers::workload::{BURST, Changed, New, Plan, Scene, Told, Victim};
use crate::decision::Because;
use crate::reasons::{CLAIM, CLAIM_KEPT, CLAIM_LEFT, CLAIM_WANTED, OUTDATED};
use crate::time::{Duration, Instant};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A pod of the set.
struct Member<'a> {
    pod: &'a Pod,
    /// Whether it has been ready long enough.
    available: bool,
}

impl Member<'_> {
    fn revision(&self) -> &str {
        self.pod.metadata.labels.get(REVISION_HASH).map_or("", Text::as_str)
    }
}

/// What a set wants: a pod for each number, of the right revision, one after the other.
pub fn plan(scene: &Scene<'_>) -> Plan {
    let Some(set) = scene.owner.read::<StatefulSet>() else { return Plan::default() };
    let mut plan = Plan::default();
    let revisions = Revisions::of(scene, &set.spec.template, set.status.collision_count, &mut plan);
    let members = members(scene, &set, &mut plan);
    let current = match &*set.status.current_revision {
        "" => revisions.newest.clone(),
        name if revisions.template(name).is_none() => revisions.newest.clone(),
        name => name.into(),
    };
    let status = counted(&set, scene.owner.meta(), &members, &revisions, &current);
    let claims = claims(scene, &set);
    // Before the newest revision is there, nothing is made of it.
    if revisions.is_settled {
        // One that could not be made together with its pod, or is gone since.
        let staffed = members.range(set.wanted()).filter(|_| !planted!(ClaimsMadeOnce));
        plan.create.extend(staffed.flat_map(|(number, _)| missing_claims(scene, &set, *number)));
        let unmarked = unmarked(&set, &claims);
        let is_through = staff(scene, &set, &members, &revisions, &current, &unmarked, &mut plan);
        if is_through {
            replace(scene, &set, &members, &revisions.newest, &mut plan);
        }
        drop_claims(&set, &claims, &members, &mut plan);
    }
    keep_claims(scene, &set, &mut plan);
    mark_claims(&set, &claims, &members, &mut plan);
    let is_kept = |name: &str| name == current && !planted!(CurrentRevisionGoes);
    let used = |name: &str| is_kept(name) || members.values().any(|one| one.revision() == name);
    revisions.clean_up(set.spec.revision_history_limit, used, &mut plan);
    if status != set.status {
        plan.status = Some(scene.owner.with_status(&status));
    }
    plan
}

/// The number of a pod of this set; none if its name is not of the set.
pub fn number_of(set: &str, pod: &str) -> Option<i64> {
    let number = pod.strip_prefix(set)?.strip_prefix('-')?;
    number.parse().ok().filter(|parsed: &i64| *parsed >= 0 && parsed.to_string() == number)
}

fn members<'a>(scene: &Scene<'a>, set: &StatefulSet, plan: &mut Plan) -> BTreeMap<i64, Member<'a>> {
    let min_ready = Duration::from_secs(u64::try_from(set.spec.min_ready_seconds.unwrap_or(0)).unwrap_or(0));
    let name = &scene.owner.meta().name;
    let mut members = BTreeMap::new();
    for pod in scene.children.iter().filter_map(|one| one.get::<Pod>()) {
        let Some(number) = number_of(name, &pod.metadata.name) else { continue };
        let left = scene.readiness.ready_for(scene.now, pod).map(|ready| min_ready.saturating_sub(ready));
        plan.look_at(left.filter(|left| !left.is_zero()).map(|left| scene.now.mono + left));
        members.insert(number, Member { pod, available: left.is_some_and(|left| left.is_zero()) });
    }
    members
}

/// Makes what is missing and ends what is too much, one after the other if pods wait for one another. Whether there was
/// nothing to wait for.
fn staff(
    scene: &Scene<'_>,
    set: &StatefulSet,
    members: &BTreeMap<i64, Member<'_>>,
    revisions: &Revisions<'_>,
    current: &str,
    unmarked: &BTreeSet<i64>,
    plan: &mut Plan,
) -> bool {
    let in_order = set.spec.pod_management_policy == PodManagementPolicy::OrderedReady;
    let wanted = set.wanted();
    let surplus = members.keys().copied().filter(|number| !wanted.contains(number)).rev();
    // No more are made at a time than these hold, whoever of them is there or has to wait; so many may be wanted that it
    // would take minutes to ask for all.
    let near = BURST + members.len() + scene.places.len();
    let near = wanted.start..wanted.end.min(wanted.start + i64::try_from(near).unwrap_or(i64::MAX - wanted.start));
    let far = members.range(near.end..wanted.end).map(|(number, _)| *number);
    let all = near.chain(far).map(|number| (Wish::Wanted, number));
    let all = all.chain(surplus.map(|number| (Wish::Unwanted, number)));
    let mut is_through = true;
    for (wish, number) in all {
        let member = members.get(&number);
        let row = ordinal(wish, state(member.map(|one| one.pod), member.is_some_and(|one| one.available)));
        match row.then {
            Action::Go => continue,
            Action::Wait => {}
            Action::Make => match turn(scene, number) {
                Some(turn) => {
                    sometimes!(ReplacedLater);
                    plan.look_at(turn);
                }
                None => {
                    let rolling = set.spec.update_strategy.kind == UpdateStrategyType::RollingUpdate;
                    // What an update does not reach is made as it was.
                    let old = rolling && number < wanted.start + set.partition();
                    let revision = if old { current } else { &revisions.newest };
                    let template = revisions.template(revision).unwrap_or_else(|| set.spec.template.clone());
                    plan.create.extend(missing_claims(scene, set, number));
                    plan.create.push(pod_of(scene, set, &template, revision, number, Because::of(&ORDINAL, row)));
                }
            },
            // First its claims say that they go with it: once it is gone nobody knows that it was there.
            Action::Delete if wish == Wish::Unwanted && unmarked.contains(&number) => {}
            Action::Delete => plan.delete.extend(member.map(|one| leave(scene, one.pod, Because::of(&ORDINAL, row)))),
        }
        is_through = false;
        if in_order && !planted!(OrdinalsAtOnce) {
            return false;
        }
    }
    is_through || !in_order
}

/// When the next pod of a number may be made, if those before failed or were taken away too often lately to make it now.
fn turn(scene: &Scene<'_>, number: i64) -> Option<Instant> {
    let name = format!("{}-{number}", scene.owner.meta().name);
    let turn = scene.places.get(name.as_str()).map(|failures| failures.replace_at(1));
    turn.filter(|turn| *turn > scene.now.mono)
}

fn leave(scene: &Scene<'_>, pod: &Pod, because: Because) -> Victim {
    let (pod_name, name) = (&pod.metadata.name, &scene.owner.meta().name);
    let message = format!("delete Pod {pod_name} in StatefulSet {name} successful");
    let told = Some(Told::normal("SuccessfulDelete", message));
    Victim { told, ..Victim::of_pod(&pod.metadata, because) }.or_another()
}

/// Ends old pods, from the highest number down, as many as may be away at a time.
fn replace(scene: &Scene<'_>, set: &StatefulSet, members: &BTreeMap<i64, Member<'_>>, newest: &str, plan: &mut Plan) {
    if set.spec.update_strategy.kind == UpdateStrategyType::OnDelete {
        return;
    }
    let wanted = set.wanted();
    let serve = members.range(wanted.clone()).filter(|(_, one)| one.available && !one.pod.metadata.is_deleting());
    let away = usize::try_from(wanted.end - wanted.start).unwrap_or(usize::MAX) - serve.count();
    let mut spare = set.max_unavailable().saturating_sub(away);
    let first = if planted!(PartitionIgnored) { wanted.start } else { wanted.start + set.partition() };
    for (_, member) in members.range(first.min(wanted.end)..wanted.end).rev() {
        if member.revision() == newest || member.pod.metadata.is_deleting() {
            continue;
        }
        // One that does not serve costs nothing.
        if member.available {
            if spare == 0 {
                return;
            }
            spare -= usize::from(!planted!(ReplacesTogether));
        }
        plan.delete.push(leave(scene, member.pod, OUTDATED.because()));
    }
}

fn counted(
    set: &StatefulSet,
    meta: &ObjectMeta,
    members: &BTreeMap<i64, Member<'_>>,
    revisions: &Revisions<'_>,
    current: &str,
) -> StatefulSetStatus {
    let there = || members.values().filter(|one| !one.pod.status.phase.is_final());
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let some = |count: usize| Some(number(count)).filter(|count| *count != 0);
    let of = |name: &str| there().filter(|one| !one.pod.metadata.is_deleting() && one.revision() == name).count();
    let (updated, ready) = (of(&revisions.newest), there().filter(|one| one.pod.is_ready()).count());
    let mut status = StatefulSetStatus {
        observed_generation: meta.generation,
        replicas: number(there().count()),
        ready_replicas: some(ready),
        current_replicas: some(of(current)),
        updated_replicas: some(updated),
        current_revision: current.into(),
        update_revision: revisions.newest.clone(),
        collision_count: revisions.collisions,
        available_replicas: number(there().filter(|one| one.available).count()),
        ..set.status.clone()
    };
    let mut wanted = set.wanted();
    let all = usize::try_from(wanted.end - wanted.start).unwrap_or(0);
    let is_new = |one: &Member<'_>| one.revision() == &*revisions.newest && one.pod.is_ready() && one.pod.is_active();
    // Each by its number: one that is to go is no substitute.
    let is_complete = there().count() == all && wanted.all(|number| members.get(&number).is_some_and(is_new))
        || planted!(CurrentTooEarly) && updated > 0;
    if set.spec.update_strategy.kind == UpdateStrategyType::RollingUpdate && is_complete {
        status.current_revision.clone_from(&revisions.newest);
        status.current_replicas = status.updated_replicas;
    }
    status
}

/// The pod of a number: with its name, its place among the others, and its claims.
///
/// Source: Kubernetes documentation, "StatefulSets", pod identity.
fn pod_of(
    scene: &Scene<'_>,
    set: &StatefulSet,
    template: &PodTemplateSpec,
    revision: &str,
    number: i64,
    because: Because,
) -> New {
    let owner = &scene.owner.meta().name;
    let mut pod = template.pod();
    let name = Text::from(format!("{owner}-{number}"));
    let labels = &mut pod.metadata.labels;
    labels.insert(REVISION_HASH, revision.into());
    labels.insert(POD_NAME, name.clone());
    labels.insert(POD_INDEX, number.to_string().into());
    pod.metadata.name.clone_from(&name);
    let spec = Arc::make_mut(&mut pod.spec);
    spec.hostname.clone_from(&name);
    spec.rest.edit(|fields| {
        if !set.spec.service_name.is_empty() && !planted!(SubdomainNotGiven) {
            fields.insert("subdomain".into(), set.spec.service_name.as_str().into());
        }
        if !set.spec.volume_claim_templates.is_empty() {
            let volumes = fields.entry("volumes").or_insert_with(|| Value::Array(Vec::new()));
            if let Some(volumes) = volumes.as_array_mut() {
                let names = set.spec.volume_claim_templates.iter().map(|one| &one.metadata.name);
                for template in names {
                    // A claim takes the place of the template's volume of that name.
                    volumes.retain(|volume| volume.get("name").and_then(Value::as_str) != Some(template));
                    let claim = json!({"claimName": claim_name(template, owner, number)});
                    volumes.push(json!({"name": template, "persistentVolumeClaim": claim}));
                }
            }
        }
    });
    let told = Told::normal("SuccessfulCreate", format!("create Pod {name} in StatefulSet {owner} successful"));
    New { told: Some(told), ..New::given(pod.into_object(), because) }
}

fn claim_name(template: &str, set: &str, number: i64) -> String {
    format!("{template}-{set}-{number}")
}

/// Whether a claim of this name is one of the set's.
fn is_claim_of(set: &StatefulSet, name: &str, claim: &str) -> bool {
    number_of_claim(set, name, claim).is_some()
}

/// The number of a claim of the set's; none if its name is of none.
fn number_of_claim(set: &StatefulSet, name: &str, claim: &str) -> Option<i64> {
    let mut own = set.spec.volume_claim_templates.iter().map(|one| format!("{}-{name}", one.metadata.name));
    own.find_map(|own| number_of(&own, claim))
}

/// The set's claims, each with its number. What is somebody else's is none.
fn claims<'a>(scene: &Scene<'a>, set: &StatefulSet) -> Vec<(i64, &'a Object)> {
    if set.spec.volume_claim_templates.is_empty() {
        return Vec::new();
    }
    let (views, owner) = (scene.views, scene.owner.meta());
    let is_own = |claim: &&Object| {
        let meta = claim.meta();
        let is_free = meta.controller().is_none_or(|by| by.uid == owner.uid);
        let is_here = meta.namespace == owner.namespace && !meta.is_deleting();
        is_here && is_free && set.spec.selector.matches(&meta.labels)
    };
    let own = views.all(Kind::PersistentVolumeClaim).filter(is_own);
    own.filter_map(|claim| Some((number_of_claim(set, &owner.name, &claim.meta().name)?, claim))).collect()
}

/// Whether claims go with their set.
pub fn claims_go(set: &Object) -> bool {
    let policy = set.at(&["spec", "persistentVolumeClaimRetentionPolicy", "whenDeleted"]);
    policy.is_some_and(|policy| policy == "Delete")
}

/// Whether this is a claim of the set's that goes with it.
///
/// Claims that were made when they were to stay are adopted like pods, which asks first whether the set is going itself:
/// one that has let them go must not be given them once more.
pub fn takes_along(set: &Object, claim: &Object) -> bool {
    let (name, claim) = (&set.meta().name, &claim.meta().name);
    let is_own = |set: StatefulSet| is_claim_of(&set, name, claim);
    claims_go(set) && !planted!(ClaimsAsMade) && set.read::<StatefulSet>().is_some_and(is_own)
}

/// The claims of a number that are not there yet. They outlive their pod and, unless it is said otherwise, their set.
fn missing_claims(scene: &Scene<'_>, set: &StatefulSet, number: i64) -> Vec<New> {
    let meta = scene.owner.meta();
    let claim = |template: &ClaimTemplate| {
        let name = claim_name(&template.metadata.name, &meta.name, number);
        let key = Key::new(Kind::PersistentVolumeClaim, &meta.namespace, &name);
        if scene.views.object(&key).is_some() {
            return None;
        }
        let mut labels = template.metadata.labels.clone();
        labels.extend(set.spec.selector.match_labels.clone());
        let metadata = json!({"name": name, "labels": labels, "annotations": template.metadata.annotations});
        let claim = json!({"metadata": metadata, "spec": template.spec});
        let object = Object::from_value(Kind::PersistentVolumeClaim, claim).ok()?;
        let told =
            Told::normal("SuccessfulCreate", format!("create Claim {name} in StatefulSet {} successful", meta.name));
        Some(New {
            owned: set.spec.retention.when_deleted == "Delete" || planted!(ClaimsGoWithSet),
            told: Some(told),
            ..New::given(object, CLAIM.because())
        })
    };
    set.spec.volume_claim_templates.iter().filter_map(claim).collect()
}

/// Whether a claim goes when its pod is not wanted any more.
fn goes_with_pod(set: &StatefulSet, number: i64) -> bool {
    let goes = set.spec.retention.when_scaled == "Delete" || planted!(ClaimsNotRetained);
    goes && !set.wanted().contains(&number)
}

fn is_marked(claim: &Object) -> bool {
    claim.meta().annotations.contains_key(GOES_WITH_POD)
}

/// The numbers that are not wanted any more, and have claims that are to say so before their pod is ended.
fn unmarked(set: &StatefulSet, claims: &[(i64, &Object)]) -> BTreeSet<i64> {
    let unmarked = claims.iter().filter(|(number, claim)| goes_with_pod(set, *number) && !is_marked(claim));
    unmarked.map(|(number, _)| *number).collect()
}

/// Deletes the claims that went with their pods, once these are gone.
fn drop_claims(set: &StatefulSet, claims: &[(i64, &Object)], members: &BTreeMap<i64, Member<'_>>, plan: &mut Plan) {
    for (number, claim) in claims {
        if goes_with_pod(set, *number) && is_marked(claim) && !members.contains_key(number) {
            plan.delete.push(Victim::of(claim, CLAIM_LEFT.because()));
        }
    }
}

/// Has claims say that they go with their pod, if it is there and not wanted any more; and that they do not, if it is wanted
/// again, or claims are to stay by now. What is left of a number that had no pod then, such as by a set that kept its
/// claims, goes with nobody: it may be all that there is of somebody's data.
///
/// Source: Kubernetes documentation, "StatefulSets", PersistentVolumeClaim retention; there the pod becomes the claim's owner.
fn mark_claims(set: &StatefulSet, claims: &[(i64, &Object)], members: &BTreeMap<i64, Member<'_>>, plan: &mut Plan) {
    for (number, claim) in claims {
        let (object, reason) = match (is_marked(claim), goes_with_pod(set, *number)) {
            (false, true) if members.contains_key(number) => {
                (claim.with_meta(|meta| meta.annotations.insert(GOES_WITH_POD, "true".into())), CLAIM_LEFT)
            }
            (true, false) => {
                let unmarked = claim.with_meta(|meta| {
                    meta.annotations.remove(GOES_WITH_POD);
                });
                (unmarked, CLAIM_WANTED)
            }
            (true, true) | (false, _) => continue,
        };
        // One that changes in another way, too, is looked at again then.
        if !plan.change.iter().any(|one| one.object.key() == claim.key()) {
            plan.change.push(Changed { object, told: None, because: Some(reason.because()) });
        }
    }
}

/// Lets go of the claims, of whatever number, that were made to go with the set, and are to outlive it by now.
///
/// Source: KEP-1847, "Auto delete PVCs created by StatefulSet", volume reclaim policy updates.
fn keep_claims(scene: &Scene<'_>, set: &StatefulSet, plan: &mut Plan) {
    if set.spec.retention.when_deleted == "Delete" || planted!(ClaimsAsMade) {
        return;
    }
    let owner = scene.owner.meta();
    let claims = scene.children.iter().filter(|child| child.kind() == Kind::PersistentVolumeClaim);
    for claim in claims.filter(|claim| is_claim_of(set, &owner.name, &claim.meta().name)) {
        let goes = claim.meta().is_deleting() || plan.delete.iter().any(|victim| victim.uid == claim.meta().uid);
        if !goes {
            let object = claim.with_meta(|meta| meta.owner_references.retain(|one| one.uid != owner.uid));
            plan.change.push(Changed { object, told: None, because: Some(CLAIM_KEPT.because()) });
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_read_from_names() {
        for (pod, want) in [
            ("web-0", Some(0)),
            ("web-12", Some(12)),
            ("web-01", None),
            ("web--1", None),
            ("web-", None),
            ("webx-1", None),
        ] {
            assert_eq!(super::number_of("web", pod), want, "{pod}");
        }
    }
}
