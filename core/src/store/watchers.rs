//! Who watches what: an event costs what it reaches, not who listens.

use crate::api::kinds::Kind;
use crate::api::object::{Key, Object};
use crate::api::pod::Pod;
use crate::api::text::Text;
use crate::program::{Query, RequestId};
use crate::store::Change;
use std::collections::{BTreeMap, BTreeSet};

/// All open watches, each under the narrowest scope that its query implies.
#[derive(Debug, Default)]
pub struct Watchers {
    by_id: BTreeMap<RequestId, Watcher>,
    /// By kind first: of most kinds there are few scopes, and a change of one does not search among all nodes' names.
    by_scope: BTreeMap<Kind, BTreeMap<Scope, BTreeSet<RequestId>>>,
}

#[derive(Debug)]
struct Watcher {
    query: Query,
    bookmarks: bool,
}

/// What every object that a query matches has in common, beside its kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    All,
    Namespace(Text),
    Name(Text),
    /// Pods bound to a node; the empty name means those bound to none.
    Node(Text),
}

impl Scope {
    fn of(query: &Query) -> Scope {
        if let Some(name) = query.fields.required("metadata.name") {
            return Scope::Name(name.into());
        }
        match (query.kind, query.fields.required("spec.nodeName"), &query.namespace) {
            (Kind::Pod, Some(node), _) => Scope::Node(node.into()),
            (_, _, Some(namespace)) => Scope::Namespace(namespace.clone()),
            (_, _, None) => Scope::All,
        }
    }

    /// The scopes that an object was in or is in; each once.
    fn reached_by(key: &Key, old: Option<&Object>, new: Option<&Object>) -> impl Iterator<Item = Scope> {
        let node = |object: Option<&Object>| object?.get::<Pod>().map(|pod| pod.spec.node_name.clone());
        let (before, after) = (node(old), node(new));
        let after = after.filter(|after| before.as_ref() != Some(after));
        let nodes = [before, after].map(|node| node.map(Scope::Node));
        let scopes = [Scope::All, Scope::Namespace(key.namespace.clone()), Scope::Name(key.name.clone())];
        scopes.into_iter().chain(nodes.into_iter().flatten())
    }
}

impl Watchers {
    /// Adds a watch.
    pub fn add(&mut self, id: RequestId, query: Query, bookmarks: bool) {
        self.by_scope.entry(query.kind).or_default().entry(Scope::of(&query)).or_default().insert(id);
        self.by_id.insert(id, Watcher { query, bookmarks });
    }

    /// Removes a watch, if it is there.
    pub fn remove(&mut self, id: RequestId) -> bool {
        let Some(watcher) = self.by_id.remove(&id) else { return false };
        let (kind, scope) = (watcher.query.kind, Scope::of(&watcher.query));
        let of_kind = self.by_scope.get_mut(&kind).expect("every watcher stands at its kind");
        let ids = of_kind.get_mut(&scope).expect("every watcher stands in its scope");
        ids.remove(&id);
        if ids.is_empty() {
            of_kind.remove(&scope);
        }
        true
    }

    /// How many watches are open.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Those that may have to hear of a change, with their queries, oldest first.
    pub fn reached_by<'a>(&'a self, change: &Change) -> Vec<(RequestId, &'a Query)> {
        let Some(by_scope) = self.by_scope.get(&change.key.kind) else { return Vec::new() };
        let scopes = Scope::reached_by(&change.key, change.old.as_ref(), change.new.as_ref());
        let mut ids: Vec<RequestId> = scopes.filter_map(|scope| by_scope.get(&scope)).flatten().copied().collect();
        // A watch stands in one scope, so none is there twice.
        ids.sort_unstable();
        ids.into_iter().map(|id| (id, &self.by_id[&id].query)).collect()
    }

    /// Those that asked for bookmarks, oldest first.
    pub fn with_bookmarks(&self) -> impl Iterator<Item = RequestId> {
        self.by_id.iter().filter(|(_, watcher)| watcher.bookmarks).map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Revision;
    use serde_json::json;

    #[test]
    fn a_change_reaches_those_of_its_kind_in_its_scopes() {
        let pods = || Query::all(Kind::Pod);
        let within = |namespace: &str| Query { namespace: Some(namespace.into()), ..pods() };
        let on = |node: &str| pods().with_field("spec.nodeName", node);
        let named = |kind: Kind| Query::all(kind).with_field("metadata.name", "a");
        let mut watchers = Watchers::default();
        let queries = [
            pods(),
            within("x"),
            within("y"),
            named(Kind::Pod),
            on("n"),
            on(""),
            Query::all(Kind::Node),
            named(Kind::Node),
        ];
        for (id, query) in (0..).zip(queries) {
            watchers.add(RequestId(id), query, false);
        }
        let pod = |node: &str| {
            let pod = json!({"metadata": {"namespace": "x", "name": "a"}, "spec": {"nodeName": node}});
            Object::from_value(Kind::Pod, pod).unwrap()
        };
        let (old, new) = (Some(pod("")), Some(pod("n")));
        let change = Change { revision: Revision(2), key: Key::new(Kind::Pod, "x", "a"), old, new };
        let reached = |watchers: &Watchers| -> Vec<u64> {
            watchers.reached_by(&change).into_iter().map(|(id, _)| id.0).collect()
        };
        assert_eq!(reached(&watchers), [0, 1, 3, 4, 5]);
        assert!(watchers.remove(RequestId(3)) && !watchers.remove(RequestId(3)));
        assert_eq!(reached(&watchers), [0, 1, 4, 5]);
    }
}
