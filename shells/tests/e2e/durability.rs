//! `kill -9` of a loaded server: what was acknowledged is there afterwards, and what was deleted stays so.
//!
//! The page cache survives a killed process, so this proves the order of the server's acknowledgements, not the disk's.

use crate::http::{PODS, SETS, Server, name, pod, set, uid};
use crate::world::{Daemon, Dir, isolated, until};
use miniku_core::rng::Draw;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, SystemTime};

const KILLS: u64 = 20;
const CLIENTS: u64 = 4;
const OBJECTS: u64 = 9;
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
const KINDS: [&str; 3] = [LEASES, PODS, SETS];

/// What a client knows of one object.
#[derive(Clone, Debug, Default)]
struct Known {
    /// As the last acknowledgement showed it, to the letter; nothing if it is deleted.
    object: Option<Value>,
    /// The highest revision that it was seen at.
    revision: u64,
    /// Every uid that it had.
    uids: BTreeSet<String>,
    /// What was asked for and never answered: to have this mark, or to be gone.
    open: Option<Option<String>>,
}

/// By where its kind is, and its name.
type Book = BTreeMap<(&'static str, String), Known>;

fn revision(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

fn mark(object: &Value) -> &str {
    object["metadata"]["labels"]["mark"].as_str().unwrap()
}

/// An object as lists have it.
fn as_item(mut object: Value) -> Value {
    let fields = object.as_object_mut().unwrap();
    fields.remove("kind");
    fields.remove("apiVersion");
    object
}

/// Writes one thing after the other to its own objects, until the server is gone. What was answered is in the book.
/// The revisions that it was told.
fn client(server: &Server, round: Draw, book: &mut Book) -> Vec<u64> {
    let mut told = Vec::new();
    for count in 0.. {
        let draw = round.count(count);
        let nth = draw.key("object").below(OBJECTS) as usize;
        let ((kind, name), known) = book.iter_mut().nth(nth).unwrap();
        let own = format!("{kind}/{name}");
        let mark = format!("m{}", draw.key("mark").below(1 << 40));
        let marked = |mut object: Value| {
            object["metadata"]["labels"]["mark"] = mark.as_str().into();
            object
        };
        let (method, path, media, body) = match (&known.object, draw.key("what").below(5)) {
            (None, _) => {
                let new = match *kind {
                    PODS => pod(name, "Always", &[("main", "sleep 1000")]),
                    SETS => set(name, 2),
                    _ => json!({"metadata": {"name": name}, "spec": {"holderIdentity": mark}}),
                };
                ("POST", *kind, "application/json", Some(marked(new)))
            }
            (Some(_), 0) => ("DELETE", own.as_str(), "", None),
            // With the revision it knows: nobody else writes to it.
            (Some(object), 1 | 2) => ("PUT", own.as_str(), "application/json", Some(marked(object.clone()))),
            (Some(_), _) => ("PATCH", own.as_str(), "application/merge-patch+json", Some(marked(json!({})))),
        };
        known.open = Some(body.as_ref().map(|_| mark.clone()));
        let text = body.as_ref().map_or(String::new(), Value::to_string);
        let Ok(reply) = server.ask(method, path, media, text.as_bytes()) else { break };
        assert_eq!(reply.code, if method == "POST" { 201 } else { 200 }, "{method} {path}: {reply:?}");
        let answer = reply.json();
        known.open = None;
        if method == "DELETE" {
            let gone = known.object.take().unwrap();
            assert_eq!((&answer["status"], &answer["details"]["uid"]), (&json!("Success"), &gone["metadata"]["uid"]));
        } else {
            assert_eq!(self::mark(&answer), mark);
            assert!(revision(&answer) > known.revision, "{answer} after {}", known.revision);
            assert_eq!(
                known.uids.insert(uid(&answer)),
                method == "POST",
                "{method} {path}: {answer}, {:?}",
                known.uids
            );
            known.revision = revision(&answer);
            told.push(known.revision);
            known.object = Some(as_item(answer));
        }
    }
    told
}

/// Compares what a client knows with what is there. What is there is then known.
fn compare(book: &mut Book, stored: &mut BTreeMap<(&'static str, String), Value>) {
    for (key, known) in book {
        let found = stored.remove(key);
        let went_on = match (&known.open, &found) {
            (None, _) => false,
            (Some(wanted), None) => wanted.is_none(),
            (Some(wanted), Some(there)) => wanted.as_deref() == Some(mark(there)) && revision(there) > known.revision,
        };
        assert!(found == known.object || went_on, "{key:?}: {known:#?}, but there is {found:#?}");
        if let Some(there) = &found {
            known.revision = revision(there);
            known.uids.insert(uid(there));
        }
        known.object = found;
        known.open = None;
    }
}

/// Compares what all clients know with all that is there.
fn compare_all(server: &Server, books: &mut [Book]) {
    let newest = books.iter().flat_map(|book| book.values()).map(|known| known.revision).max().unwrap();
    let mut stored = BTreeMap::new();
    for kind in KINDS {
        let page = server.get(kind).ok();
        assert!(revision(&page) >= newest, "the store went back: {page}");
        stored.extend(page["items"].as_array().unwrap().iter().map(|item| ((kind, name(item)), item.clone())));
    }
    books.iter_mut().for_each(|book| compare(book, &mut stored));
    assert!(stored.is_empty(), "nobody asked for {stored:#?}");
}

#[test]
fn acknowledged_writes_survive_kill_9() {
    isolated(|| {
        let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = std::env::var("SEED").map_or_else(|_| now(), |seed| seed.parse().unwrap());
        eprintln!("again with SEED={seed}");
        let dir = Dir::new();
        let key = |client, object: u64| (KINDS[object as usize % KINDS.len()], format!("c{client}-{object}"));
        let book = |client| (0..OBJECTS).map(move |object| (key(client, object), Known::default())).collect();
        let mut books: Vec<Book> = (0..CLIENTS).map(book).collect();
        let mut told = BTreeSet::new();
        for round in 0..KILLS {
            let daemon: Daemon = dir.apiserver(&[]);
            let server = daemon.ready();
            compare_all(&server, &mut books);
            let draw = Draw::new(seed).count(round);
            let life = Duration::from_millis(10 + draw.key("life").below(300));
            thread::scope(|scope| {
                let clients = books.iter_mut().zip(0..).map(|(book, client)| {
                    let server = Server::at(&server.address);
                    scope.spawn(move || self::client(&server, draw.key("client").count(client), book))
                });
                let clients: Vec<_> = clients.collect();
                thread::sleep(life);
                daemon.kill();
                for revision in clients.into_iter().flat_map(|client| client.join().unwrap()) {
                    assert!(told.insert(revision), "revision {revision} was given twice");
                }
            });
        }
        let daemon = dir.apiserver(&[]);
        compare_all(&daemon.ready(), &mut books);
        eprintln!("{} acknowledged writes beside deletions, {KILLS} kills", told.len());
        // Hundreds of times as many where nothing else runs.
        assert!(told.len() as u64 > 3 * KILLS, "the server hardly ran");
    });
}

/// Another process knows of a custom kind only by its definition, which may be stored behind the objects.
#[test]
fn custom_objects_and_the_end_of_their_kind_survive_kill_9() {
    isolated(|| {
        const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let dir = Dir::new();
        let restarted = |before: Daemon| {
            before.kill();
            let daemon = dir.apiserver(&[]);
            (daemon.ready(), daemon)
        };
        let daemon = dir.apiserver(&[]);
        let server = daemon.ready();
        for plural in ["aardvarks", "zebras"] {
            let definition = json!({"metadata": {"name": format!("{plural}.zoo.example.com")}, "spec": {
                "group": "zoo.example.com", "scope": "Cluster", "names": {"plural": plural, "kind": plural.to_uppercase()},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
            server.post(DEFINITIONS, &definition).ok();
            let animal = |name: &str, finalizers: Value| {
                json!({"apiVersion": "zoo.example.com/v1", "kind": plural.to_uppercase(),
                    "metadata": {"name": name, "finalizers": finalizers}})
            };
            let zoo = format!("/apis/zoo.example.com/v1/{plural}");
            server.post(&zoo, &animal("free", json!([]))).ok();
            server.post(&zoo, &animal("held", json!(["zoo.example.com/keeper"]))).ok();
        }
        let names = |server: &Server, plural: &str| -> Vec<String> {
            server.list(&format!("/apis/zoo.example.com/v1/{plural}")).iter().map(name).collect()
        };
        let (server, daemon) = restarted(daemon);
        for plural in ["aardvarks", "zebras"] {
            assert_eq!(names(&server, plural), ["free", "held"]);
            server.delete(&format!("{DEFINITIONS}/{plural}.zoo.example.com")).ok();
        }
        let (server, _daemon) = restarted(daemon);
        for plural in ["aardvarks", "zebras"] {
            until("only what is held is left", || names(&server, plural) == ["held"]);
            let held = format!("/apis/zoo.example.com/v1/{plural}/held");
            server.patch(&held, &json!({"metadata": {"finalizers": null}})).ok();
        }
        until("the definitions are gone", || server.list(DEFINITIONS).is_empty());
    });
}
