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
    by_scope: BTreeMap<Scope, BTreeSet<RequestId>>,
}

#[derive(Debug)]
struct Watcher {
    query: Query,
    bookmarks: bool,
}

/// What every object that a query matches has in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Kind(Kind),
    Namespace(Kind, Text),
    Name(Kind, Text),
    /// Pods bound to a node; the empty name means those bound to none.
    Node(Text),
}

impl Scope {
    fn of(query: &Query) -> Scope {
        if let Some(name) = query.fields.required("metadata.name") {
            return Scope::Name(query.kind, name.into());
        }
        match (query.kind, query.fields.required("spec.nodeName"), &query.namespace) {
            (Kind::Pod, Some(node), _) => Scope::Node(node.into()),
            (kind, _, Some(namespace)) => Scope::Namespace(kind, namespace.clone()),
            (kind, _, None) => Scope::Kind(kind),
        }
    }

    /// The scopes that an object was in or is in; each once.
    fn reached_by(key: &Key, old: Option<&Object>, new: Option<&Object>) -> impl Iterator<Item = Scope> {
        let node = |object: Option<&Object>| object?.get::<Pod>().map(|pod| pod.spec.node_name.clone());
        let (before, after) = (node(old), node(new));
        let after = after.filter(|after| before.as_ref() != Some(after));
        let nodes = [before, after].map(|node| node.map(Scope::Node));
        let scopes = [
            Scope::Kind(key.kind),
            Scope::Namespace(key.kind, key.namespace.clone()),
            Scope::Name(key.kind, key.name.clone()),
        ];
        scopes.into_iter().chain(nodes.into_iter().flatten())
    }
}

impl Watchers {
    /// Adds a watch.
    pub fn add(&mut self, id: RequestId, query: Query, bookmarks: bool) {
        self.by_scope.entry(Scope::of(&query)).or_default().insert(id);
        self.by_id.insert(id, Watcher { query, bookmarks });
    }

    /// Removes a watch, if it is there.
    pub fn remove(&mut self, id: RequestId) -> bool {
        let Some(watcher) = self.by_id.remove(&id) else { return false };
        let scope = Scope::of(&watcher.query);
        let ids = self.by_scope.get_mut(&scope).expect("every watcher stands in its scope");
        ids.remove(&id);
        if ids.is_empty() {
            self.by_scope.remove(&scope);
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
        let scopes = Scope::reached_by(&change.key, change.old.as_ref(), change.new.as_ref());
        let mut ids: Vec<RequestId> = scopes.filter_map(|scope| self.by_scope.get(&scope)).flatten().copied().collect();
        // A watch stands in one scope, so none is there twice.
        ids.sort_unstable();
        ids.into_iter().map(|id| (id, &self.by_id[&id].query)).collect()
    }

    /// Those that asked for bookmarks, oldest first.
    pub fn with_bookmarks(&self) -> impl Iterator<Item = RequestId> {
        self.by_id.iter().filter(|(_, watcher)| watcher.bookmarks).map(|(id, _)| *id)
    }
}
