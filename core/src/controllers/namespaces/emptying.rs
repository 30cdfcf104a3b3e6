//! What is done with a namespace.
//!
//! Source: Kubernetes, `pkg/controller/namespace/deletion`, which asks the server for the namespace, too, before it deletes.

use crate::api::namespace::{FINALIZER, Namespace};
use crate::api::object::Object;
use crate::{decision_enum, decision_table};

decision_enum! {
    /// Where the namespace is in its life.
    pub enum Stage {
        /// Nobody asked for its end.
        Active,
        /// It is to be emptied.
        Terminating,
        /// It is empty; others may hold it.
        Released,
    }
}

decision_enum! {
    /// What was found in it.
    pub enum Contents {
        /// It has not been looked at.
        NotListed,
        /// Something that nobody asked to go.
        SomeStay,
        /// Only what is on its way out.
        AllLeave,
        /// Nothing.
        Nothing,
    }
}

decision_enum! {
    /// What the server has of the namespace, asked after what is in it was listed.
    pub enum Server {
        /// That is not known.
        NotAsked,
        /// It is there and being deleted: what was listed is in it.
        Ending,
        /// It is gone, another of its name may be there, and what was listed may be in that.
        Gone,
    }
}

decision_enum! {
    /// What is done.
    pub enum Action {
        /// It is left as it is.
        Keep,
        /// Everything in it is listed.
        List,
        /// The server is asked for the namespace.
        Ask,
        /// What stays is deleted.
        DeleteContents,
        /// It is listed again, later each time as long as nothing goes.
        LookAgain,
        /// `kubernetes` is taken out of its finalizers.
        Release,
    }
}

decision_table! {
    /// What is done with a namespace. Pure and total. Page: `docs/decisions/emptying.md`.
    pub fn emptying(namespace: Stage, contents: Contents, server: Server) -> Action, EMPTYING;
    active:   (Active, _, _)                     => Keep,           "nobody asked for its end";
    released: (Released, _, _)                   => Keep,           "it goes when its other finalizers are acted on";
    look:     (Terminating, NotListed, _)        => List,           "what is in it is not known";
    ask:      (Terminating, SomeStay, NotAsked)  => Ask,            "the view may be behind, and what was found in another of its name";
    delete:   (Terminating, SomeStay, Ending)    => DeleteContents, "it goes after everything in it";
    followed: (Terminating, SomeStay, Gone)      => LookAgain,      "what was found may be in another of its name";
    patience: (Terminating, AllLeave, _)         => LookAgain,      "pods have their grace period, others their finalizers";
    empty:    (Terminating, Nothing, _)          => Release,        "nothing is in it, and nothing can be created in it";
}

impl Stage {
    /// Where a namespace is in its life.
    pub fn of(namespace: &Namespace) -> Stage {
        let held = namespace.spec.finalizers.iter().any(|finalizer| finalizer == FINALIZER);
        match (namespace.metadata.is_deleting(), held) {
            (false, _) => Stage::Active,
            (true, true) => Stage::Terminating,
            (true, false) => Stage::Released,
        }
    }
}

impl Contents {
    /// What these objects are, being all that is in a namespace.
    pub fn of(objects: &[Object]) -> Contents {
        match () {
            () if objects.is_empty() => Contents::Nothing,
            () if planted!(FinalizedWhileLeaving) && objects.iter().all(|object| object.meta().is_deleting()) => {
                Contents::Nothing
            }
            () if objects.iter().all(|object| object.meta().is_deleting()) => Contents::AllLeave,
            () => Contents::SomeStay,
        }
    }
}

impl Server {
    /// What is there under the name of a namespace of this uid, if anything.
    pub fn of(uid: &str, there: Option<&Object>) -> Server {
        match there {
            Some(there) if there.meta().uid == uid && there.meta().is_deleting() => Server::Ending,
            _ => Server::Gone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::Kind;
    use crate::controllers::testing::property;
    use serde_json::json;

    fn pod(deleting: bool) -> Object {
        let at = if deleting { json!("2026-01-01T00:00:00Z") } else { json!(null) };
        Object::from_value(Kind::Pod, json!({"metadata": {"name": "a", "deletionTimestamp": at}})).unwrap()
    }

    #[test]
    fn a_namespace_goes_when_it_is_empty() {
        let check = |deleting: &[bool], want| {
            let objects: Vec<Object> = deleting.iter().map(|deleting| pod(*deleting)).collect();
            let row = emptying(Stage::Terminating, Contents::of(&objects), Server::Ending);
            assert_eq!(row.then, want, "{deleting:?}");
        };
        check(&[], Action::Release);
        check(&[true], Action::LookAgain);
        check(&[true, false], Action::DeleteContents);
        for contents in [Contents::NotListed, Contents::SomeStay, Contents::AllLeave, Contents::Nothing] {
            for server in [Server::NotAsked, Server::Ending, Server::Gone] {
                assert_eq!(emptying(Stage::Active, contents, server).then, Action::Keep);
                assert_eq!(emptying(Stage::Released, contents, server).then, Action::Keep);
            }
        }
    }

    #[test]
    fn nothing_goes_before_the_server_has_confirmed() {
        let namespace = |uid: &str, deleting: bool| {
            let at = if deleting { json!("2026-01-01T00:00:00Z") } else { json!(null) };
            let meta = json!({"name": "a", "uid": uid, "deletionTimestamp": at});
            Object::from_value(Kind::Namespace, json!({"metadata": meta})).unwrap()
        };
        let check = |server, want| assert_eq!(emptying(Stage::Terminating, Contents::SomeStay, server).then, want);
        check(Server::NotAsked, Action::Ask);
        check(Server::of("u", Some(&namespace("u", true))), Action::DeleteContents);
        check(Server::of("u", Some(&namespace("u", false))), Action::LookAgain);
        check(Server::of("u", Some(&namespace("v", true))), Action::LookAgain);
        check(Server::of("u", None), Action::LookAgain);
    }

    #[test]
    fn the_stage_is_read_from_the_object() {
        let check = |deleting: bool, finalizers: &[&str], want| {
            let mut namespace = Namespace::default();
            namespace.metadata.deletion_timestamp = deleting.then(Default::default);
            namespace.spec.finalizers = finalizers.iter().map(|name| (*name).into()).collect();
            assert_eq!(Stage::of(&namespace), want);
        };
        check(false, &["kubernetes"], Stage::Active);
        check(true, &["kubernetes"], Stage::Terminating);
        check(true, &["x/y"], Stage::Released);
        check(true, &[], Stage::Released);
    }

    #[test]
    fn the_order_of_objects_is_irrelevant() {
        property("contents of a rotated list are the same", |any| {
            let mut objects: Vec<Object> =
                <Vec<bool> as quickcheck::Arbitrary>::arbitrary(any).into_iter().map(pod).collect();
            let before = Contents::of(&objects);
            let middle = objects.len() / 2;
            objects.rotate_left(middle);
            assert_eq!(Contents::of(&objects), before);
        });
    }
}
