//! What a deployment wants, and what its status says.

use crate::api::deployment::{DESIRED_REPLICAS, Deployment, DeploymentStatus, MAX_REPLICAS};
use crate::api::deployment::{POD_TEMPLATE_HASH, REVISION, StrategyType, revision};
use crate::api::meta::{Labels, ObjectMeta};
use crate::api::object::{Key, Object, Resource};
use crate::api::pod::{Pod, PodTemplateSpec};
use crate::api::replicaset::{ReplicaSet, ReplicaSetSpec};
use crate::api::text::Text;
use crate::controllers::deployment::course::{self, Action};
use crate::controllers::deployment::progress::{self, PROGRESSING};
use crate::controllers::deployment::rollout::{Size, View, recreate, resize, roll, room_for_new};
use crate::controllers::deployment::sets::{self, Set};
use crate::controllers::workload::{Changed, New, Plan, Scene, Told, Victim};
use crate::decision::Because;
use crate::reasons::HISTORY;
use crate::time::Now;

/// What a deployment wants: its replica sets in these sizes, one of them of its template, and few old ones.
pub fn plan(scene: &Scene<'_>) -> Plan {
    let Some(deployment) = scene.owner.read::<Deployment>() else { return Plan::default() };
    let (new, old) = sets::newest(&deployment, &scene.children);
    let view = View {
        wanted: deployment.wanted(),
        max_total: deployment.max_total(),
        max_unavailable: deployment.max_unavailable(),
        counted: i64::from(deployment.status.replicas.unwrap_or(0)),
        new,
        old,
    };
    let mut plan = Plan::default();
    let mut status = counted(scene.now, &deployment, scene.owner.meta(), &view);
    let course = course::standing(&deployment, view.new.as_ref(), &view.old);
    let old_pods = has_old_pods(scene, &view) && !planted!(RecreateAtOnce);
    let because = Because::of(&course::COURSE, course);
    let course = course.then;
    let sizes = match course {
        Action::Resize => resize(&view, is_rolling(&deployment)),
        Action::Roll => roll(&view),
        Action::Replace => recreate(&view, old_pods),
    };
    let may_make = match course {
        Action::Resize => false,
        Action::Roll => true,
        Action::Replace => sizes.is_empty() && !old_pods,
    };
    let mut made = None;
    match view.new {
        Some(new) => settle_revision(scene.owner, &new, &view, &mut plan),
        None if may_make => made = make(scene, &deployment, &view, &because, &mut status, &mut plan),
        None => {}
    }
    resize_sets(&deployment, scene.owner.meta(), &view, &sizes, &because, &mut plan);
    progress::note_pause(scene.now, &deployment, &mut status);
    if course != Action::Resize {
        tell_progress(scene, &deployment, &view, made, &mut status, &mut plan);
    }
    if course != Action::Resize && is_over(&view) || deployment.spec.paused {
        let superfluous = sets::superfluous(&view.old, deployment.history_limit());
        plan.delete = superfluous.iter().map(|one| Victim::of(one.object, HISTORY.because())).collect();
    }
    if status != deployment.status {
        plan.status = Some(scene.owner.with_status(&status));
    }
    plan
}

fn is_rolling(deployment: &Deployment) -> bool {
    deployment.spec.strategy.kind == StrategyType::RollingUpdate
}

/// Whether all pods are of the newest template.
fn is_over(view: &View<'_>) -> bool {
    let all = |number: i64| number == view.wanted;
    view.new.is_some_and(|new| all(new.has()) && all(new.available())) && view.old.iter().all(|one| one.has() == 0)
}

/// Whether a pod of another template is still there, be it that it only ends.
fn has_old_pods(scene: &Scene<'_>, view: &View<'_>) -> bool {
    let lives = |one: &Object| one.get::<Pod>().is_some_and(|pod| !pod.status.phase.is_final());
    view.old.iter().any(|set| set.has() > 0 || scene.views.owned_by(&set.set.metadata.uid).any(lives))
}

/// What is to be said of the replica set that is about to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Made(String);

/// Plans the replica set of the newest template. If its name is taken by another, the next one has another name.
fn make(
    scene: &Scene<'_>,
    deployment: &Deployment,
    view: &View<'_>,
    because: &Because,
    status: &mut DeploymentStatus,
    plan: &mut Plan,
) -> Option<Made> {
    let meta = scene.owner.meta();
    let hash = sets::template_hash(&deployment.spec.template, deployment.status.collision_count);
    let name = format!("{}-{hash}", meta.name);
    if scene.views.object(&Key::new(ReplicaSet::KIND, &meta.namespace, &name)).is_some() {
        sometimes!(TemplateCollision);
        status.collision_count = Some(deployment.status.collision_count.unwrap_or(0).saturating_add(1));
        return None;
    }
    let replicas = if is_rolling(deployment) { room_for_new(view, 0) } else { view.wanted };
    let mut template: PodTemplateSpec = deployment.spec.template.clone();
    template.metadata.labels.insert(POD_TEMPLATE_HASH, hash.as_str().into());
    let mut selector = deployment.spec.selector.clone();
    selector.match_labels.insert(POD_TEMPLATE_HASH, hash.into());
    let annotations = sets::annotations(&meta.annotations, &Labels::default(), sets::next_revision(&view.old));
    let mut set = ReplicaSet {
        metadata: ObjectMeta {
            name: name.as_str().into(),
            labels: template.metadata.labels.clone(),
            annotations,
            ..Default::default()
        },
        spec: ReplicaSetSpec {
            min_ready_seconds: deployment.spec.min_ready_seconds,
            selector,
            template,
            ..Default::default()
        },
        ..Default::default()
    };
    size(&mut set, replicas, deployment);
    let told = Told::normal("ScalingReplicaSet", format!("Scaled up replica set {name} from 0 to {replicas}"));
    let told = Some(told).filter(|_| replicas > 0);
    let because = because.clone().as_seen(format!("no set has this template yet; of {replicas} pods at first"));
    plan.create.push(New { told, ..New::given(set.into_object(), because) });
    Some(Made(name))
}

/// Gives a set its size, and says for which number of wanted pods it has it.
fn size(set: &mut ReplicaSet, replicas: i64, deployment: &Deployment) {
    let count = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
    set.spec.replicas = Some(count(replicas));
    let notes = [(DESIRED_REPLICAS, deployment.wanted()), (MAX_REPLICAS, deployment.max_total())];
    for (name, number) in notes {
        set.metadata.annotations.insert(name, number.to_string().into());
    }
}

/// The deployment is of the revision of its newest set.
fn settle_revision(owner: &Object, new: &Set<'_>, view: &View<'_>, plan: &mut Plan) {
    let next = sets::next_revision(&view.old).max(revision(&new.set.metadata));
    let said = owner.meta().annotations.get(REVISION);
    if said.map(Text::as_str) != Some(next.to_string().as_str()) {
        let object = owner.with_meta(|meta| meta.annotations.insert(REVISION, next.to_string().into()));
        plan.change.push(Changed { object, told: None, because: None });
    }
}

/// Plans the changes of replica sets: their sizes, and what the newest one has from its deployment.
fn resize_sets(
    deployment: &Deployment,
    meta: &ObjectMeta,
    view: &View<'_>,
    sizes: &[Size<'_>],
    because: &Because,
    plan: &mut Plan,
) {
    let is_new = |set: &Set<'_>| view.new.is_some_and(|new| new.object.key() == set.object.key());
    for one in view.old.iter().chain(&view.new) {
        let to = sizes.iter().find(|size| size.set.object.key() == one.object.key()).map(|size| size.to);
        let mut set = one.set.clone();
        if let Some(to) = to {
            size(&mut set, to, deployment);
        }
        if is_new(one) {
            let next = sets::next_revision(&view.old);
            set.metadata.annotations = sets::annotations(&meta.annotations, &set.metadata.annotations, next);
            set.spec.min_ready_seconds = deployment.spec.min_ready_seconds;
        }
        if set == *one.set {
            continue;
        }
        let (name, from) = (&one.set.metadata.name, one.wanted());
        let way = to.filter(|to| *to != from).map(|to| (if to > from { "up" } else { "down" }, to));
        let told = way.map(|(way, to)| {
            Told::normal("ScalingReplicaSet", format!("Scaled {way} replica set {name} from {from} to {to}"))
        });
        let because = way.map(|(_, to)| because.clone().as_seen(format!("{from} pods become {to}")));
        plan.change.push(Changed { object: set.into_object(), told, because });
    }
}

/// What there is, counted: the deployment's status but for what is said of its progress.
fn counted(now: Now, deployment: &Deployment, meta: &ObjectMeta, view: &View<'_>) -> DeploymentStatus {
    let all = || view.old.iter().chain(&view.new);
    let sum = |of: &dyn Fn(&Set<'_>) -> i64| all().map(of).sum::<i64>();
    let some = |number: i64| Some(i32::try_from(number).unwrap_or(i32::MAX)).filter(|number| *number != 0);
    let available = sum(&|one| one.available());
    let mut status = DeploymentStatus {
        observed_generation: meta.generation,
        replicas: some(sum(&|one| one.has())),
        updated_replicas: some(view.new.map_or(0, |new| new.has())),
        ready_replicas: some(sum(&|one| one.ready())),
        available_replicas: some(available),
        unavailable_replicas: some((sum(&|one| one.wanted()) - available).max(0)),
        conditions: deployment.status.conditions.clone(),
        collision_count: deployment.status.collision_count,
        rest: deployment.status.rest.clone(),
    };
    let (state, reason, has) = if available >= view.wanted - view.max_unavailable {
        ("True", "MinimumReplicasAvailable", "has")
    } else {
        ("False", "MinimumReplicasUnavailable", "does not have")
    };
    progress::set(now, &mut status, "Available", state, reason, format!("Deployment {has} minimum availability."));
    status
}

/// Says how the rollout goes, and what keeps replica sets from their pods.
fn tell_progress(
    scene: &Scene<'_>,
    deployment: &Deployment,
    view: &View<'_>,
    made: Option<Made>,
    status: &mut DeploymentStatus,
    plan: &mut Plan,
) {
    let of = match view.new {
        Some(new) => format!("ReplicaSet \"{}\"", new.set.metadata.name),
        None => format!("Deployment \"{}\"", scene.owner.meta().name),
    };
    let limited = deployment.progress_deadline().is_some();
    match (made, scene.refused) {
        (Some(Made(name)), Some(why)) if limited => {
            let message = format!("Failed to create new replica set \"{name}\": {why}");
            progress::set(scene.now, status, PROGRESSING, "False", "ReplicaSetCreateError", message);
        }
        (Some(Made(name)), _) if limited => {
            let message = format!("Created new replica set \"{name}\"");
            progress::set(scene.now, status, PROGRESSING, "True", "NewReplicaSetCreated", message);
        }
        _ => {
            if let (Some(new), true, None) = (view.new, limited, progress::progressing(&deployment.status)) {
                let message = format!("Found new replica set \"{}\"", new.set.metadata.name);
                progress::set(scene.now, status, PROGRESSING, "True", "FoundNewReplicaSet", message);
            }
            let left = progress::judge(scene.now, deployment, &of, status);
            plan.look_at(left.map(|left| scene.now.mono + left));
        }
    }
    // The newest set's failure first.
    let failure = |one: &Set<'_>| one.set.status.conditions.iter().find(|one| one.kind == "ReplicaFailure").cloned();
    match view.new.iter().chain(&view.old).find_map(failure) {
        Some(why) => {
            progress::set(scene.now, status, "ReplicaFailure", &why.status, &why.reason, why.message.to_string())
        }
        None => status.conditions.retain(|one| one.kind != "ReplicaFailure"),
    }
}
