//! The namespace controller: a view of namespaces, one of the kinds that are defined, and for each namespace that is being
//! deleted a round of calls at a time.

use crate::api::custom::CustomResourceDefinition;
use crate::api::kinds::Kind;
use crate::api::namespace::{FINALIZER, Namespace};
use crate::api::object::{Key, Object};
use crate::api::status::Reason;
use crate::client::informer;
use crate::client::{Calls, Change, Informer};
use crate::controllers::attempts::Attempts;
use crate::controllers::namespaces::emptying::{Action, Contents, EMPTYING, Server, Stage, emptying};
use crate::decision::{Because, Decision};
use crate::program::{Answer, DeleteOptions, Effects, Input, Level, Part, Program, Propagation, Query, Verb};
use crate::time::Now;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How the controller behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// So many objects of a namespace are deleted before it is listed again.
    pub deletions_at_once: usize,
    /// How its view is kept.
    pub informer: informer::Options,
}

impl Default for Options {
    fn default() -> Self {
        Options { deletions_at_once: 500, informer: informer::Options::default() }
    }
}

/// Empties namespaces that are being deleted, and then lets them go. Costs nothing while none is.
///
/// What is in a namespace is not watched but listed, when its deletion begins and again with growing delays, which
/// start anew whenever something has gone: a controller of its own views of everything would cost every cluster what
/// only the end of a namespace needs. A namespace whose pods take 30 s to stop is gone after at most twice that.
#[derive(Debug)]
pub struct NamespaceController {
    options: Options,
    view: Informer,
    /// What custom kinds there are.
    definitions: Informer,
    calls: Calls<Asked>,
    namespaces: Attempts<Key>,
    /// The round of calls under way for a namespace.
    rounds: BTreeMap<Key, Round>,
    /// How many objects the last round found.
    left: BTreeMap<Key, usize>,
}

/// Calls of one sort for one namespace, of which all answers are waited for.
#[derive(Debug)]
struct Round {
    /// Which namespace of that name it is about.
    uid: String,
    /// Answers that are still to come.
    awaited: usize,
    /// Whether one of those that came was no success.
    failed: bool,
    /// The kinds that are listed.
    listed: Vec<Kind>,
    /// What was listed so far, or before.
    found: Vec<Object>,
    /// What the server has of the namespace, as far as that was asked for.
    server: Server,
}

/// What a call is for: it is about something in this namespace, or about the namespace itself.
#[derive(Clone, Debug)]
enum Asked {
    List(Key),
    Look(Key),
    Deletion(Key),
    Release(Key),
}

/// Spaces of call ids.
const VIEW: u16 = 1;
const CALLS: u16 = 2;
const DEFINITIONS: u16 = 3;

impl NamespaceController {
    /// Knows nothing yet. `seed` decides the jitter of its retries.
    pub fn new(options: Options, seed: u64) -> Self {
        NamespaceController {
            options,
            view: Informer::new(Query::all(Kind::Namespace), VIEW, seed, options.informer),
            definitions: Informer::new(Query::all(Kind::CustomResourceDefinition), DEFINITIONS, seed, options.informer),
            calls: Calls::in_space(CALLS),
            namespaces: Attempts::default(),
            rounds: BTreeMap::new(),
            left: BTreeMap::new(),
        }
    }

    fn changed(&mut self, now: Now, change: Change) {
        let (old, new) = change.sides();
        let Some(object) = new.or(old) else { return };
        let key = object.key();
        self.namespaces.seen(&key, new.map(Object::revision), now.mono);
        if new.is_none() {
            self.namespaces.forget(&key);
            self.left.remove(&key);
        } else if object.meta().is_deleting() {
            self.namespaces.add(key, now.mono);
        }
    }

    /// Does what is to be done with a namespace in which this was found, and of which the server says so much.
    fn decide(
        &mut self,
        now: Now,
        key: Key,
        contents: Contents,
        found: Vec<Object>,
        server: Server,
        out: &mut Effects,
    ) {
        let Some(object) = self.view.object(&key).cloned() else { return self.namespaces.closed(&key) };
        let server = if planted!(EmptiesSuccessor) { Server::Ending } else { server };
        let row = emptying(object.get().map_or(Stage::Active, Stage::of), contents, server);
        if row.then != Action::Keep {
            out.decided(Level::Info, Decision::about(key.clone(), Because::of(&EMPTYING, row)));
        }
        match row.then {
            Action::Keep => self.namespaces.closed(&key),
            Action::List => {
                self.namespaces.begun(key.clone(), object.revision());
                let looked_for = |kind: &Kind| !planted!(ListsOnlyPods) || *kind == Kind::Pod;
                let custom = self.definitions.all::<CustomResourceDefinition>().filter_map(|one| one.open_kind());
                let kinds = Kind::BUILT_IN.iter().copied().chain(custom);
                let within: Vec<Kind> = kinds.filter(|kind| kind.row().namespaced).filter(looked_for).collect();
                let mut lists = lists(&key, &within);
                // The view of definitions may be behind, and what is in a namespace that goes would stay for ever.
                lists.push(Verb::List(Query::all(Kind::CustomResourceDefinition)));
                self.start_round(now, &object, Asked::List(key), lists, Vec::new(), out);
            }
            Action::Ask => {
                let verb = Verb::Get { key: key.clone() };
                self.start_round(now, &object, Asked::Look(key), vec![verb], found, out);
            }
            Action::DeleteContents => {
                sometimes!(NamespaceEmptied);
                let stay = found.iter().filter(|object| !object.meta().is_deleting());
                let stay: Vec<&Object> = stay.take(self.options.deletions_at_once).collect();
                if !stay.is_empty() {
                    let about = stay.iter().map(|object| object.key()).collect();
                    let because = Because::of(&EMPTYING, row);
                    out.decided(Level::Debug, Decision { about, sake: Some(key.clone()), because });
                }
                let verbs = stay.into_iter().map(deletion).collect();
                self.start_round(now, &object, Asked::Deletion(key), verbs, Vec::new(), out);
            }
            Action::LookAgain => {
                sometimes!(NamespaceWaits);
                let before = self.left.insert(key.clone(), found.len());
                if before.is_some_and(|before| found.len() < before) {
                    self.namespaces.settled(&key);
                }
                self.namespaces.failed(&key, now.mono);
            }
            Action::Release => {
                sometimes!(NamespaceReleased);
                let object = object.with(|namespace: &mut Namespace| {
                    namespace.spec.finalizers.retain(|finalizer| finalizer != FINALIZER);
                });
                self.calls.call(now, Asked::Release(key), Verb::Update { object, part: Part::Finalize }, out);
            }
        }
    }

    fn start_round(
        &mut self,
        now: Now,
        namespace: &Object,
        asked: Asked,
        verbs: Vec<Verb>,
        found: Vec<Object>,
        out: &mut Effects,
    ) {
        let uid = namespace.meta().uid.to_string();
        let listed = |verb: &Verb| if let Verb::List(query) = verb { Some(query.kind) } else { None };
        let listed = verbs.iter().filter_map(listed).collect();
        let round = Round { uid, awaited: verbs.len(), failed: false, listed, found, server: Server::NotAsked };
        assert!(round.awaited > 0, "a round that asks nothing would never end");
        let before = self.rounds.insert(namespace.key(), round);
        assert!(before.is_none(), "a namespace has one round at a time");
        for verb in verbs {
            self.calls.call(now, asked.clone(), verb, out);
        }
    }

    fn answered(&mut self, now: Now, asked: Asked, answer: Answer, out: &mut Effects) {
        let (key, is_deletion) = match &asked {
            Asked::List(key) | Asked::Look(key) => (key.clone(), false),
            Asked::Deletion(key) => (key.clone(), true),
            Asked::Release(key) => {
                let view = self.view.object(key).map(Object::revision);
                return self.namespaces.answered(key, &answer, view, now, out);
            }
        };
        let round = self.rounds.get_mut(&key).expect("a call of a round is open as long as the round");
        round.awaited -= 1;
        let trouble = match (&asked, answer) {
            (Asked::List(_), Answer::List { items, .. }) => {
                round.found.extend(items);
                None
            }
            (Asked::Look(_), Answer::Object { object, .. }) => {
                round.server = Server::of(&round.uid, Some(&object));
                None
            }
            (Asked::Look(_), Answer::Refused(status)) if status.reason == Some(Reason::NotFound) => {
                round.server = Server::Gone;
                None
            }
            (Asked::Deletion(_), Answer::Object { .. } | Answer::Removed(_)) => None,
            // Somebody else was faster.
            (Asked::Deletion(_), Answer::Refused(status)) if status.reason == Some(Reason::NotFound) => None,
            (_, answer) => Some(answer.trouble()),
        };
        if let Some(trouble) = trouble {
            out.log(Level::Warn, format!("namespace {}: {trouble}", key.name));
            round.failed = true;
        }
        if round.awaited > 0 {
            return;
        }
        let round = self.rounds.remove(&key).expect("it was there a moment ago");
        // What was listed of a namespace that has gone since says nothing of its successor.
        let is_same = |shown: &&Object| shown.meta().uid == round.uid || planted!(OldRoundDecides);
        let same = self.view.object(&key).filter(is_same).cloned();
        let (definitions, found): (Vec<Object>, Vec<Object>) =
            round.found.into_iter().partition(|object| object.kind() == Kind::CustomResourceDefinition);
        let defined = definitions.iter().filter_map(Object::get::<CustomResourceDefinition>);
        let unlisted = defined.filter_map(CustomResourceDefinition::open_kind).filter(|kind| kind.row().namespaced);
        let unlisted: Vec<Kind> = unlisted.filter(|kind| !round.listed.contains(kind)).collect();
        match (round.failed, same.filter(|_| !is_deletion)) {
            (true, _) => self.namespaces.failed(&key, now.mono),
            (false, Some(namespace)) if !unlisted.is_empty() => {
                let lists = lists(&key, &unlisted);
                self.start_round(now, &namespace, Asked::List(key), lists, found, out);
            }
            (false, Some(_)) => self.decide(now, key, Contents::of(&found), found, round.server, out),
            (false, None) => self.namespaces.again(&key, now.mono),
        }
    }
}

/// What of these kinds is in a namespace.
fn lists(namespace: &Key, kinds: &[Kind]) -> Vec<Verb> {
    let list = |kind: &Kind| Verb::List(Query { namespace: Some(namespace.name.clone()), ..Query::all(*kind) });
    kinds.iter().map(list).collect()
}

fn deletion(object: &Object) -> Verb {
    let options = DeleteOptions {
        uid: Some(object.meta().uid.clone()),
        propagation: Some(Propagation::Background),
        ..Default::default()
    };
    Verb::Delete { key: object.key(), options }
}

impl Program for NamespaceController {
    fn step(&mut self, now: Now, input: Input, out: &mut Effects) {
        for change in self.view.step(now, &input, out) {
            self.changed(now, change);
        }
        self.definitions.step(now, &input, out);
        for (asked, answer) in self.calls.ended(now, &input) {
            self.answered(now, asked, answer, out);
        }
        out.wake_at(self.calls.next());
        // A namespace is not empty as long as it is not known what can be in it.
        if !self.definitions.is_synced() {
            return;
        }
        while let Some(key) = self.namespaces.pop_due(now.mono) {
            self.decide(now, key, Contents::NotListed, Vec::new(), Server::NotAsked, out);
        }
        out.wake_at(self.namespaces.next());
        out.wake_at(self.calls.next());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::World;
    use serde_json::json;

    fn world(seed: u64) -> (World, NamespaceController) {
        let mut world = World::new(seed);
        world.node("n1");
        world.create(Kind::Namespace, json!({"metadata": {"name": "team"}}));
        (world, NamespaceController::new(Options::default(), seed))
    }

    fn team() -> Key {
        Key::new(Kind::Namespace, "", "team")
    }

    fn pod(world: &mut World, name: &str, node: &str, namespace: &str) {
        let spec = json!({"nodeName": node, "containers": [{"name": "c", "image": "busybox"}]});
        world.create(Kind::Pod, json!({"metadata": {"name": name, "namespace": namespace}, "spec": spec}));
    }

    fn lease(world: &mut World, name: &str) {
        world.create(Kind::Lease, json!({"metadata": {"name": name, "namespace": "team"}}));
    }

    #[test]
    fn a_namespace_goes_after_everything_in_it() {
        for seed in 0..20 {
            let (mut world, mut program) = world(seed);
            pod(&mut world, "a", "n1", "team");
            pod(&mut world, "b", "", "team");
            pod(&mut world, "other", "n1", "default");
            lease(&mut world, "l");
            world.run(&mut program, 60);
            assert_eq!(world.take_writes(), [""; 0]);
            world.delete(team(), None);
            world.run(&mut program, 5);
            assert_eq!(world.names(Kind::Pod, "team"), "-a");
            assert_eq!(world.names(Kind::Lease, "team"), "");
            assert!(world.get(Kind::Namespace, "", "team").is_some(), "a pod is left");
            world.kubelets_finish_pods();
            world.run(&mut program, 10);
            assert!(world.get(Kind::Namespace, "", "team").is_none(), "seed {seed}");
            assert_eq!(world.names(Kind::Pod, "default"), "other");
            assert_eq!(world.take_writes().len(), 5, "each thing was asked for once");
        }
    }

    #[test]
    fn custom_objects_go_too() {
        let (mut world, mut program) = world(10);
        let schema = json!({"openAPIV3Schema": {"type": "object"}});
        let versions = json!([{"name": "v1", "served": true, "storage": true, "schema": schema}]);
        for (scope, group) in [("Namespaced", "in.ns.example.com"), ("Cluster", "no.ns.example.com")] {
            let spec = json!({"group": group, "scope": scope, "versions": versions,
                "names": {"plural": "widgets", "kind": "Widget"}});
            let meta = json!({"name": format!("widgets.{group}")});
            world.create(Kind::CustomResourceDefinition, json!({"metadata": meta, "spec": spec}));
        }
        let kind = Kind::of_resource("widgets.in.ns.example.com").unwrap();
        for namespace in ["team", "default"] {
            world.create(kind, json!({"metadata": {"name": "w", "namespace": namespace}}));
        }
        world.delete(team(), None);
        world.run(&mut program, 5);
        assert!(world.get(Kind::Namespace, "", "team").is_none());
        assert_eq!((world.names(kind, "team"), world.names(kind, "default")), ("".into(), "w".into()));
    }

    #[test]
    fn objects_of_a_kind_that_the_view_lacks_go_too() {
        let (mut world, mut program) = world(11);
        world.run(&mut program, 1);
        world.deaf_to.insert(Kind::CustomResourceDefinition);
        let schema = json!({"openAPIV3Schema": {"type": "object"}});
        let versions = json!([{"name": "v1", "served": true, "storage": true, "schema": schema}]);
        let names = json!({"plural": "widgets", "kind": "Widget"});
        let spec = json!({"group": "late.ns.example.com", "scope": "Namespaced", "versions": versions, "names": names});
        let meta = json!({"name": "widgets.late.ns.example.com"});
        world.create(Kind::CustomResourceDefinition, json!({"metadata": meta, "spec": spec}));
        let kind = Kind::of_resource("widgets.late.ns.example.com").unwrap();
        world.create(kind, json!({"metadata": {"name": "w", "namespace": "team"}}));
        world.delete(team(), None);
        world.run(&mut program, 5);
        assert!(world.get(Kind::Namespace, "", "team").is_none());
        assert_eq!(world.names(kind, "team"), "");
    }

    #[test]
    fn an_empty_namespace_goes_at_once_and_may_come_again() {
        let (mut world, mut program) = world(1);
        for _ in 0..3 {
            world.delete(team(), None);
            world.run(&mut program, 1);
            assert!(world.get(Kind::Namespace, "", "team").is_none());
            world.create(Kind::Namespace, json!({"metadata": {"name": "team"}}));
        }
    }

    #[test]
    fn many_things_go_in_portions() {
        let (mut world, _) = world(2);
        let mut program = NamespaceController::new(Options { deletions_at_once: 3, ..Default::default() }, 2);
        for nth in 0..10 {
            lease(&mut world, &format!("l{nth}"));
        }
        world.delete(team(), None);
        world.run(&mut program, 1);
        assert!(world.get(Kind::Namespace, "", "team").is_none());
    }

    #[test]
    fn what_was_missed_while_it_was_down_is_emptied() {
        let (mut world, mut program) = world(3);
        lease(&mut world, "l");
        world.delete(team(), None);
        world.run(&mut program, 1);
        assert!(world.get(Kind::Namespace, "", "team").is_none());
    }

    #[test]
    fn a_list_that_fails_is_no_empty_list() {
        for seed in 0..30 {
            let (mut world, mut program) = world(seed);
            pod(&mut world, "a", "n1", "team");
            lease(&mut world, "l");
            world.run(&mut program, 1);
            world.lost_percent = 50;
            world.delete(team(), None);
            world.run(&mut program, 600);
            assert!(world.get(Kind::Namespace, "", "team").is_some(), "a pod is left");
            world.lost_percent = 0;
            world.run(&mut program, 100);
            assert_eq!(world.names(Kind::Pod, "team"), "-a", "seed {seed}");
            world.kubelets_finish_pods();
            world.run(&mut program, 120);
            assert!(world.get(Kind::Namespace, "", "team").is_none(), "seed {seed}");
        }
    }

    #[test]
    fn what_holds_a_namespace_up_is_looked_at_ever_more_seldom() {
        let (mut world, mut program) = world(4);
        pod(&mut world, "a", "n1", "team");
        world.merge(Key::new(Kind::Pod, "team", "a"), json!({"metadata": {"finalizers": ["x/y"]}}), Part::Main);
        world.delete(team(), None);
        world.run(&mut program, 3600);
        let mut writes = world.take_writes();
        writes.sort();
        assert_eq!(writes, ["delete pods/team/a", "delete serviceaccounts/team/default"]);
        let lists = world.lists;
        world.run(&mut program, 3600);
        // With what kinds there are.
        let round = Kind::BUILT_IN.iter().filter(|kind| kind.row().namespaced).count() + 1;
        assert!(world.lists - lists <= 61 * round, "{} lists an hour", world.lists - lists);
        world.kubelets_finish_pods();
        world.merge(Key::new(Kind::Pod, "team", "a"), json!({"metadata": {"finalizers": []}}), Part::Main);
        world.run(&mut program, 61);
        assert!(world.get(Kind::Namespace, "", "team").is_none());
    }

    #[test]
    fn what_goes_makes_it_look_more_often() {
        let (mut world, mut program) = world(9);
        pod(&mut world, "a", "n1", "team");
        pod(&mut world, "b", "n1", "team");
        world.delete(team(), None);
        world.run(&mut program, 1000);
        world.delete_at_once(Key::new(Kind::Pod, "team", "a"));
        let lists = world.lists;
        while world.lists == lists {
            world.run(&mut program, 1);
        }
        world.run(&mut program, 5);
        world.delete_at_once(Key::new(Kind::Pod, "team", "b"));
        world.run(&mut program, 12);
        assert!(world.get(Kind::Namespace, "", "team").is_none());
    }

    #[test]
    fn other_finalizers_hold_it_without_us() {
        let (mut world, mut program) = world(5);
        world.merge(team(), json!({"metadata": {"finalizers": ["x/y"]}}), Part::Main);
        world.delete(team(), None);
        world.run(&mut program, 600);
        assert_eq!(world.take_writes(), ["delete serviceaccounts/team/default", "Finalize namespaces/team"]);
        world.merge(team(), json!({"metadata": {"finalizers": []}}), Part::Main);
        assert!(world.get(Kind::Namespace, "", "team").is_none());
    }

    #[test]
    fn a_late_list_says_nothing_of_a_successor() {
        let (mut world, mut program) = world(8);
        world.run(&mut program, 1);
        world.answers_are_late = true;
        world.delete(team(), None);
        world.run(&mut program, 1);
        world.merge(team(), json!({"spec": {"finalizers": []}}), Part::Finalize);
        world.create(Kind::Namespace, json!({"metadata": {"name": "team"}}));
        pod(&mut world, "a", "n1", "team");
        world.delete(team(), None);
        world.run(&mut program, 1);
        world.answers_are_late = false;
        world.run(&mut program, 10);
        assert_eq!(world.names(Kind::Pod, "team"), "-a");
        assert!(world.get(Kind::Namespace, "", "team").is_some(), "a pod is left");
    }

    #[test]
    fn nothing_of_a_successor_goes() {
        let (mut world, mut program) = world(7);
        pod(&mut world, "a", "n1", "team");
        world.delete(team(), None);
        world.run(&mut program, 1);
        // It does not hear that the namespace has gone, and another of its name is there.
        world.deaf_to.insert(Kind::Namespace);
        world.kubelets_finish_pods();
        world.merge(team(), json!({"spec": {"finalizers": []}}), Part::Finalize);
        world.create(Kind::Namespace, json!({"metadata": {"name": "team"}}));
        pod(&mut world, "b", "n1", "team");
        world.run(&mut program, 120);
        assert_eq!(world.names(Kind::Pod, "team"), "b");
        world.deaf_to.clear();
        world.delete(team(), None);
        world.run(&mut program, 120);
        assert_eq!(world.names(Kind::Pod, "team"), "-b");
    }

    #[test]
    fn a_conflict_is_decided_again() {
        let (mut world, mut program) = world(6);
        pod(&mut world, "a", "n1", "team");
        world.delete(team(), None);
        world.run(&mut program, 1);
        world.deaf_to.insert(Kind::Namespace);
        world.merge(team(), json!({"metadata": {"labels": {"x": "y"}}}), Part::Main);
        world.kubelets_finish_pods();
        world.run(&mut program, 60);
        assert!(world.get(Kind::Namespace, "", "team").is_some(), "its view is behind");
        world.deaf_to.clear();
        world.run(&mut program, 60);
        assert!(world.get(Kind::Namespace, "", "team").is_none());
    }
}
