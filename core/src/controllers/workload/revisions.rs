//! Controller revisions: the templates that an owner had, so that it can go back to one.
//!
//! Source: Kubernetes, `pkg/controller/history`.

use crate::api::kinds::Kind;
use crate::api::names::hash_word;
use crate::api::object::{Key, Object};
use crate::api::pod::PodTemplateSpec;
use crate::api::statefulset::ControllerRevision;
use crate::api::text::Text;
use crate::controllers::workload::{Changed, New, Plan, Scene, Victim};
use crate::reasons::{HISTORY, TEMPLATE};
use serde_json::{Value, json};

/// On a revision: what its name ends in.
const HASH: &str = "controller.kubernetes.io/hash";

/// The templates that an owner had, and has.
#[derive(Debug)]
pub struct Revisions<'a> {
    /// Oldest first.
    all: Vec<(&'a Object, ControllerRevision)>,
    /// The name of the one of the template now, and whether it is there.
    pub newest: Text,
    /// Whether the newest is there.
    pub is_settled: bool,
    /// How often the name for a new one was taken.
    pub collisions: Option<i32>,
}

impl<'a> Revisions<'a> {
    /// Reads an owner's revisions, and plans the one of its template, if that is another.
    pub fn of(scene: &Scene<'a>, template: &PodTemplateSpec, collisions: Option<i32>, plan: &mut Plan) -> Self {
        let revisions = scene.children.iter().filter(|one| one.kind() == Kind::ControllerRevision);
        let mut all: Vec<(&'a Object, ControllerRevision)> =
            revisions.filter_map(|one| Some((*one, one.read()?))).collect();
        all.sort_by_key(|(object, one)| (one.revision, object.meta().creation_timestamp, object.key()));
        let data = data_of(template);
        let next = all.last().map_or(0, |(_, one)| one.revision) + 1;
        let mut revisions = Revisions { newest: Text::default(), is_settled: true, collisions, all };
        if let Some(at) = revisions.all.iter().rposition(|(_, one)| one.data == data) {
            let (object, one) = &revisions.all[at];
            revisions.newest.clone_from(&object.meta().name);
            if at + 1 < revisions.all.len() {
                // One that was there before is the newest again.
                let mut object = (*object).clone();
                let number = ControllerRevision { revision: next, ..one.clone() };
                object.edit_plain(|rest| rest.insert("revision", number.revision.into()));
                plan.change.push(Changed { object, told: None, because: Some(TEMPLATE.because()) });
                revisions.is_settled = false;
            }
            return revisions;
        }
        let mut bytes = data.to_string().into_bytes();
        bytes.extend(collisions.unwrap_or(0).to_le_bytes());
        let hash = hash_word(&bytes);
        revisions.newest = name(&scene.owner.meta().name, &hash).into();
        revisions.is_settled = false;
        let key = Key::new(Kind::ControllerRevision, &scene.owner.meta().namespace, &revisions.newest);
        if scene.views.object(&key).is_some() {
            revisions.collisions = Some(collisions.unwrap_or(0).saturating_add(1));
            return revisions;
        }
        let mut labels = template.metadata.labels.clone();
        labels.insert(HASH, hash.into());
        // With them the cause of the change, which is shown as the revision's.
        let annotations = &scene.owner.meta().annotations;
        let object = json!({
            "metadata": {"name": revisions.newest, "labels": labels, "annotations": annotations},
            "data": data, "revision": next,
        });
        if let Ok(object) = Object::from_value(Kind::ControllerRevision, object) {
            plan.create.push(New::given(object, TEMPLATE.because()));
        }
        revisions
    }

    /// The template that a revision has, if it is there.
    pub fn template(&self, name: &str) -> Option<PodTemplateSpec> {
        let (_, revision) = self.all.iter().find(|(object, _)| object.meta().name == name)?;
        serde_json::from_value(revision.data.pointer("/spec/template")?.clone()).ok()
    }

    /// Plans the end of the oldest that nobody uses, but for so many.
    pub fn clean_up(&self, limit: Option<i32>, is_used: impl Fn(&str) -> bool, plan: &mut Plan) {
        let limit = usize::try_from(limit.unwrap_or(10)).unwrap_or(0);
        let unused = self.all.iter().filter(|(object, _)| {
            let name = &object.meta().name;
            *name != self.newest && (!is_used(name) || planted!(UsedRevisionsGo)) && !object.meta().is_deleting()
        });
        let unused: Vec<&Object> = unused.map(|(object, _)| *object).collect();
        let many = unused.len().saturating_sub(limit);
        plan.delete.extend(unused.into_iter().take(many).map(|one| Victim::of(one, HISTORY.because())));
    }
}

/// The name of an owner's revision. Of a very long one's a part.
///
/// Source: `ControllerRevisionName`.
fn name(owner: &str, hash: &str) -> String {
    let prefix: String = owner.chars().take(223).collect();
    format!("{}-{hash}", prefix.trim_end_matches('.'))
}

/// A template as a revision keeps it: as what it is patched with.
fn data_of(template: &PodTemplateSpec) -> Value {
    let mut template = serde_json::to_value(template).expect("API structs have string keys and finite numbers");
    if let Some(template) = template.as_object_mut() {
        template.insert("$patch".into(), "replace".into());
    }
    json!({"spec": {"template": template}})
}
