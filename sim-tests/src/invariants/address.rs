//! S-address: No two services have the same cluster address, or the same port of the nodes; and who asks for what has been nobody's for a minute is not told that it is taken.
//!
//! Of what somebody may ask for, only that part is looked at which is given to nobody who does not ask for it: what was
//! given to a service that was never stored is seen nowhere. Catches: an address that is free again too early, or never, or
//! taken only when its service is stored, so that two that are made in the same moment get it.

use super::{Broken, Checker};
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::program::{Answer, RequestId, Verb};
use miniku_core::time::{Duration, Instant};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What each service has.
#[derive(Default)]
pub struct Address {
    of: BTreeMap<Key, BTreeSet<String>>,
    /// What is asked for, by whom, and since when.
    asked: BTreeMap<RequestId, (Key, BTreeSet<String>, Instant)>,
    /// When somebody last had it, or was answered who asked for it.
    last: BTreeMap<String, Instant>,
}

/// So long it may take until a server knows what the disk says.
const SETTLED: Duration = Duration::from_secs(60);

/// A request that has no answer after so long has none.
const LOST: Duration = Duration::from_secs(600);

fn given(spec: Option<&Value>) -> BTreeSet<String> {
    let field = |name: &str| spec.and_then(|spec| spec.get(name));
    let ip = field("clusterIP").and_then(Value::as_str);
    let ip = ip.filter(|ip| !ip.is_empty() && *ip != "None").map(str::to_owned);
    let ports = field("ports").and_then(Value::as_array).into_iter().flatten();
    let ports = ports.filter_map(|port| port.get("nodePort")?.as_u64()).filter(|port| *port > 0);
    ip.into_iter().chain(ports.map(|port| format!("port {port}"))).collect()
}

/// Whether nobody gets this who does not ask for it.
///
/// Source: Kubernetes documentation, "Service ClusterIP allocation" and "Avoid collisions in NodePort", of the ranges that
/// clusters have which `kubeadm` sets up.
fn is_for_those_who_ask(what: &str) -> bool {
    match what.strip_prefix("port ") {
        Some(port) => port.parse::<u16>().is_ok_and(|port| (30_000..30_086).contains(&port)),
        None => what.strip_prefix("10.96.0.").is_some_and(|host| host.parse::<u8>().is_ok_and(|host| host > 1)),
    }
}

impl Address {
    /// Somebody asks for something.
    fn asks(&mut self, now: Instant, id: RequestId, verb: &Verb) {
        let (key, asked) = match verb {
            Verb::Create { object } | Verb::Update { object, .. } if object.kind() == Kind::Service => {
                (object.key(), given(object.at(&["spec"])))
            }
            Verb::Merge { key, patch, .. } if key.kind == Kind::Service => (key.clone(), given(patch.get("spec"))),
            _ => return,
        };
        if !asked.is_empty() {
            self.asked.retain(|_, (.., at)| now.since(*at) < LOST);
            self.asked.insert(id, (key, asked, now));
        }
    }

    /// Who asked for something has an answer.
    fn answered(&mut self, truth: &Truth, id: RequestId, answer: &Answer) -> Result<(), Broken> {
        let Some((key, asked, _)) = self.asked.remove(&id) else { return Ok(()) };
        let taken: Vec<&String> = match answer {
            Answer::Refused(status) => {
                let (ip, port) = ("provided IP is already allocated", "provided port is already allocated");
                let (ip, port) = (status.message.contains(ip), status.message.contains(port));
                asked.iter().filter(|one| if one.starts_with("port ") { port } else { ip }).collect()
            }
            _ => Vec::new(),
        };
        // Of several ports it is not known which is meant.
        let free = !taken.is_empty() && taken.iter().all(|one| self.is_free(truth, one));
        let what = free.then(|| format!("{key} is told that {taken:?} is taken, and nobody has it"));
        self.last.extend(asked.into_iter().map(|one| (one, truth.now)));
        what.map_or(Ok(()), |what| Err(Broken::by(what)))
    }

    /// Whether nobody has it, has had it lately, or is about to have it.
    fn is_free(&self, truth: &Truth, what: &str) -> bool {
        let has = |object: &Object| object.kind() == Kind::Service && given(object.at(&["spec"])).contains(what);
        is_for_those_who_ask(what)
            && self.last.get(what).is_none_or(|last| truth.now.since(*last) > SETTLED)
            && !truth.disk.objects().values().any(has)
            && !truth.disk.on_their_way().filter_map(|(_, object)| object).any(has)
    }
}

impl Checker for Address {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Durable, Sight::Sent, Sight::Answered]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let change = match fact {
            Fact::Durable { change } => change,
            Fact::Sent { id, request, .. } => {
                self.asks(truth.now, *id, &request.verb);
                return Ok(());
            }
            Fact::Answered { id, answer } => return self.answered(truth, *id, answer),
            _ => return Ok(()),
        };
        if change.key.kind != Kind::Service {
            return Ok(());
        }
        for one in self.of.remove(&change.key).into_iter().flatten() {
            self.last.insert(one, truth.now);
        }
        let Some(service) = &change.new else { return Ok(()) };
        let has = given(service.at(&["spec"]));
        let other = self.of.iter().find_map(|(other, theirs)| Some((other, theirs.intersection(&has).next()?)));
        if let Some((other, what)) = other {
            return Err(Broken::by(format!("{} and {other} both have {what}", change.key)).with([service]));
        }
        self.of.insert(change.key.clone(), has);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, who};
    use super::*;
    use crate::truth::Role;
    use miniku_core::api::status::{FieldError, Status};
    use miniku_core::program::{CommitId, Revision, Write};
    use serde_json::json;

    fn service(name: &str, ip: &str, port: u64) -> Value {
        json!({"kind": "Service", "metadata": {"name": name},
            "spec": {"clusterIP": ip, "ports": [{"port": 80, "nodePort": port}]}})
    }

    fn asks(story: &mut Story<Address>, id: u64, manifest: Value) {
        let creation = Verb::Create { object: crate::plan::object(manifest) };
        story.asks(id, &who(Role::Operator, "operator"), creation).unwrap();
    }

    fn refused(story: &mut Story<Address>, id: u64, why: &str) -> Result<(), Broken> {
        let wrong = [FieldError::invalid("spec", "what it asked for", why)];
        let answer = Answer::Refused(Status::invalid(Kind::Service, "b", &wrong));
        story.answers(id, &answer)
    }

    #[test]
    fn fires_on_what_is_taken_and_nobody_has_it() {
        let (ip, port) = ("provided IP is already allocated", "provided port is already allocated");
        let cases = [
            ("", 70, ip, true),
            ("", 70, port, true),
            ("", 70, "it is something else", false),
            ("", 50, ip, false),
            ("stored", 70, ip, false),
            ("gone", 50, ip, false),
            ("gone", 70, ip, true),
            ("on its way", 70, port, false),
            ("elsewhere", 70, ip, false),
            ("elsewhere", 70, port, false),
        ];
        for (what, after, why, fires) in cases {
            let mut story = Story::<Address>::new();
            let elsewhere = what == "elsewhere";
            let (address, number) = if elsewhere { ("10.96.7.7", 30_099) } else { ("10.96.0.77", 30_077) };
            let of = |name: &str| service(name, address, number);
            // It cannot be stored, for lack of room.
            asks(&mut story, 1, of("a"));
            refused(&mut story, 1, "no space left on device").unwrap();
            if what == "on its way" {
                let object = crate::plan::object(of("c"));
                let write = Write { key: object.key(), expect: Revision(0), object: Some(object) };
                story.truth.disk.submit(CommitId(0), write, 0);
            }
            if matches!(what, "stored" | "gone") {
                let object = story.put(of("d")).unwrap().new.unwrap();
                if what == "gone" {
                    story.pass(20).unwrap();
                    story.write(&object, true).unwrap();
                }
            }
            story.pass(after).unwrap();
            asks(&mut story, 3, of("b"));
            assert_eq!(refused(&mut story, 3, why).is_err(), fires, "{what} {after} {why}");
        }
    }

    #[test]
    fn fires_on_what_two_services_have() {
        let both = |first: Value, second: Value| {
            let mut story = Story::<Address>::new();
            let first = story.put(first).unwrap().new.unwrap();
            let broken = story.put(second.clone()).is_err();
            story.write(&first, true).unwrap();
            story.put(second).unwrap();
            broken
        };
        assert!(both(service("a", "10.96.0.9", 0), service("b", "10.96.0.9", 0)));
        assert!(both(service("a", "10.96.0.9", 30_001), service("b", "10.96.0.8", 30_001)));
        assert!(!both(service("a", "None", 30_001), service("b", "None", 30_002)));
        assert!(!both(service("a", "10.96.0.9", 0), service("a", "10.96.0.9", 0)));
    }
}
