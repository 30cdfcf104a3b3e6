//! S-named: What a program of the cluster changes or removes, it names by uid or revision: no write of its own can meet another object than the one that was decided on, or undo a change that was not read.
//!
//! Leases and events belong to those who write them, and an operator may do as he likes. Whoever decides by what an
//! object says, and not only by its being there, has to name the revision. The API server keeps what is named: see
//! S-cas. Catches: a deletion by name alone; an update without the revision it was made from.

use super::{Broken, Checker};
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Object;
use miniku_core::patch::Patch;
use miniku_core::program::{Request, Verb};
use serde_json::Value;

/// Needs no memory: the request has it all.
#[derive(Default)]
pub struct Named;

/// Whether a patch goes onto whatever is there. An empty revision is any.
fn is_blind(patch: &Value) -> bool {
    patch.pointer("/metadata/resourceVersion").and_then(Value::as_str).is_none_or(str::is_empty)
}

/// What the request should name, and does not.
fn missing(role: Role, request: &Request) -> Option<&'static str> {
    match &request.verb {
        Verb::Update { object, .. } if !matches!(object.kind(), Kind::Lease | Kind::Event) => {
            object.meta().resource_version.is_empty().then_some("revision")
        }
        Verb::Merge { patch, .. }
        | Verb::Patch {
            patch: Patch::Merge(patch) | Patch::Strategic(patch) | Patch::Apply { configuration: patch, .. },
            ..
        } => is_blind(patch).then_some("revision"),
        // Operations name places, whatever is there.
        Verb::Patch { patch: Patch::Json(_), .. } => Some("revision"),
        Verb::Bind { uid, .. } => uid.is_empty().then_some("uid"),
        Verb::Delete { options, .. } if options.uid.is_none() => Some("uid"),
        // That a node is silent, or an owner gone, may be over when the request arrives.
        Verb::Delete { options, .. } if matches!(role, Role::NodeLifecycle | Role::Garbage) => {
            options.resource_version.is_none().then_some("revision")
        }
        _ => None,
    }
}

impl Checker for Named {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent]
    }

    fn see(&mut self, _: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Sent { who, request, .. } = fact else { return Ok(()) };
        if matches!(who.role, Role::Operator | Role::Other | Role::ApiServer) {
            return Ok(());
        }
        let Some(what) = missing(who.role, request) else { return Ok(()) };
        let (about, object): (String, Option<&Object>) = match &request.verb {
            Verb::Update { object, .. } => (format!("changes {}", object.key()), Some(object)),
            Verb::Merge { key, .. } | Verb::Patch { key, .. } => (format!("changes {key}"), None),
            Verb::Bind { key, .. } => (format!("binds {key}"), None),
            Verb::Delete { key, .. } => (format!("deletes {key}"), None),
            Verb::Create { .. } | Verb::Get { .. } | Verb::List(_) | Verb::Watch { .. } => return Ok(()),
        };
        Err(Broken::by(format!("{who} {about} whatever its {what}")).with(object))
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, pod, who};
    use super::*;
    use miniku_core::api::object::Key;
    use miniku_core::program::{DeleteOptions, Part};
    use serde_json::json;

    #[test]
    fn fires_on_a_write_that_names_nothing() {
        let mut story = Story::<Named>::new();
        let mut sent = |role: Role, verb: Verb| {
            let who = who(role, "somebody");
            story.sends(&who, verb).err().map(|broken| broken.what)
        };
        let delete = |uid: &str, revision: &str| Verb::Delete {
            key: Key::new(Kind::Pod, "default", "a"),
            options: DeleteOptions {
                uid: (!uid.is_empty()).then(|| uid.into()),
                resource_version: (!revision.is_empty()).then(|| revision.into()),
                ..Default::default()
            },
        };
        assert_eq!(sent(Role::Kubelet, delete("", "")).unwrap(), "somebody#1 deletes pods/default/a whatever its uid");
        assert_eq!(sent(Role::Kubelet, delete("u", "")), None);
        assert!(sent(Role::Garbage, delete("u", "")).unwrap().ends_with("whatever its revision"));
        assert_eq!(sent(Role::Garbage, delete("u", "7")), None);
        assert_eq!(sent(Role::Operator, delete("", "")), None);
        let update = |object| Verb::Update { object, part: Part::Status };
        let object = crate::plan::object(pod("a", "n", "Running"));
        assert!(sent(Role::Kubelet, update(object.clone())).unwrap().starts_with("somebody#1 changes pods/default/a"));
        assert_eq!(sent(Role::Kubelet, update(object.with_meta(|meta| meta.resource_version = "3".into()))), None);
        let key = || Key::new(Kind::Pod, "default", "a");
        let patch = |patch| Verb::Patch { key: key(), patch, part: Part::Status };
        assert!(sent(Role::Kubelet, patch(Patch::Strategic(json!({})))).unwrap().contains("changes pods/default/a"));
        let any = json!({"metadata": {"resourceVersion": ""}});
        let merge = |patch| Verb::Merge { key: key(), patch, part: Part::Main };
        assert!(sent(Role::Garbage, merge(any)).unwrap().ends_with("whatever its revision"));
        let revised = json!({"metadata": {"resourceVersion": "3"}});
        assert_eq!(sent(Role::Kubelet, patch(Patch::Strategic(revised.clone()))), None);
        assert_eq!(sent(Role::Kubelet, Verb::Merge { key: key(), patch: revised, part: Part::Status }), None);
    }
}
