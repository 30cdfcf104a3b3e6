//! `kill -9` of a loaded server: what was acknowledged is there afterwards, and what was deleted stays so.
//!
//! The page cache survives a killed process, so this proves the order of the server's acknowledgements, not the disk's.

use crate::http::{Server, name};
use crate::world::{Daemon, Dir, isolated};
use miniku_core::rng::Draw;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, SystemTime};

const KILLS: u64 = 20;
const CLIENTS: u64 = 4;
const OBJECTS: u64 = 6;
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";

/// What a client knows of one object.
#[derive(Clone, Debug, Default)]
struct Known {
    /// As the last acknowledgement said: the revision, and the holder; no holder if it is deleted.
    revision: u64,
    holder: Option<String>,
    /// What was asked for and never answered: to be held by this, or by nobody any more.
    open: Option<Option<String>>,
}

type Book = BTreeMap<String, Known>;

fn revision(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

/// Writes one thing after the other to its own objects, until the server is gone. What was answered is in the book.
fn client(server: &Server, round: Draw, book: &mut Book) -> u64 {
    for count in 0.. {
        let draw = round.count(count);
        let name = format!("{}", draw.key("object").below(OBJECTS));
        let mine = book.keys().nth(name.parse().unwrap()).unwrap().clone();
        let known = book.get_mut(&mine).unwrap();
        let path = format!("{LEASES}/{mine}");
        let holder = format!("h{}", draw.key("holder").below(1 << 40));
        let (method, path, body) = match (&known.holder, draw.key("what").below(4)) {
            (None, _) => ("POST", LEASES, json!({"metadata": {"name": mine}, "spec": {"holderIdentity": holder}})),
            (Some(_), 0) => ("DELETE", path.as_str(), Value::Null),
            (Some(_), _) => ("PATCH", path.as_str(), json!({"spec": {"holderIdentity": holder}})),
        };
        let (kind, wanted) = match method {
            "DELETE" => ("", None),
            "POST" => ("application/json", Some(holder)),
            _ => ("application/merge-patch+json", Some(holder)),
        };
        let body = if method == "DELETE" { String::new() } else { body.to_string() };
        known.open = Some(wanted.clone());
        match server.ask(method, path, kind, body.as_bytes()) {
            Ok(reply) => {
                assert!((200..300).contains(&reply.code), "{method} {path}: {reply:?}");
                known.open = None;
                if wanted.is_some() {
                    let told = revision(&reply.json());
                    assert!(told > known.revision, "{told} after {}", known.revision);
                    known.revision = told;
                }
                known.holder = wanted;
            }
            Err(_) => return count,
        }
    }
    unreachable!("a server that is killed ends it")
}

/// Compares what a client knows with what is there. What is there is then known.
fn compare(book: &mut Book, stored: &BTreeMap<String, Value>) {
    for (name, known) in book {
        let found = stored.get(name);
        let (there, at) =
            (found.map(|lease| crate::http::text(&lease["spec"]["holderIdentity"])), found.map_or(0, revision));
        let acknowledged = there == known.holder && (there.is_none() || at == known.revision);
        let went_on =
            known.open.as_ref().is_some_and(|open| there == *open && (there.is_none() || at > known.revision));
        assert!(acknowledged || went_on, "{name}: {known:?}, but there is {there:?} at {at}");
        *known = Known { revision: known.revision.max(at), holder: there, open: None };
    }
}

#[test]
fn acknowledged_writes_survive_kill_9() {
    isolated(|| {
        let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = std::env::var("SEED").map_or_else(|_| now(), |seed| seed.parse().unwrap());
        eprintln!("again with SEED={seed}");
        let dir = Dir::new();
        let book = |client| (0..OBJECTS).map(move |object| (format!("c{client}-{object}"), Known::default())).collect();
        let mut books: Vec<Book> = (0..CLIENTS).map(book).collect();
        let mut writes = 0;
        for round in 0..KILLS {
            let daemon: Daemon = dir.apiserver(&[]);
            let server = daemon.ready();
            let page = server.get(LEASES).ok();
            let stored: BTreeMap<String, Value> =
                page["items"].as_array().unwrap().iter().map(|lease| (name(lease), lease.clone())).collect();
            books.iter_mut().for_each(|book| compare(book, &stored));
            let newest = books.iter().flat_map(|book| book.values()).map(|known| known.revision).max().unwrap();
            assert!(revision(&page) >= newest, "the store went back: {page}");

            let draw = Draw::new(seed).count(round);
            let life = Duration::from_millis(10 + draw.key("life").below(300));
            writes += thread::scope(|scope| {
                let clients = books.iter_mut().zip(0..).map(|(book, client)| {
                    let server = Server::at(&server.address);
                    scope.spawn(move || self::client(&server, draw.key("client").count(client), book))
                });
                let clients: Vec<_> = clients.collect();
                thread::sleep(life);
                daemon.kill();
                clients.into_iter().map(|client| client.join().unwrap()).sum::<u64>()
            });
        }
        let daemon = dir.apiserver(&[]);
        let stored: BTreeMap<String, Value> =
            daemon.ready().list(LEASES).into_iter().map(|lease| (name(&lease), lease)).collect();
        books.iter_mut().for_each(|book| compare(book, &stored));
        eprintln!("{writes} acknowledged writes, {KILLS} kills");
        assert!(writes > 10 * KILLS, "the server hardly ran");
    });
}
