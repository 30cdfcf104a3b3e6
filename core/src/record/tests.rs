//! Whatever a program can be told or can want is written and read back as it was.

use super::*;
use crate::api::kinds::Kind;
use crate::api::object::Key;
use crate::api::selector::{parse_field_selector, parse_label_selector};
use crate::api::status::{FieldError, Reason, Status};
use crate::apiserver;
use crate::kubelet::runtime::{
    Command, ContainerReport, ContainerSpec, ContainerState, Limits, PodRef, PodReport, PodSpec, Report, StartError,
    Stdio,
};
use crate::program::{
    Answer, CallId, CommitId, Committed, DeleteOptions, Effect, Level, Part, Program, Propagation, Query, Request,
    RequestId, Revision, Verb, WatchEvent, WatchFrom, Write,
};
use crate::time::Duration;
use crate::usage::{Measured, PodUsage, Usage};
use quickcheck::{Arbitrary, Gen, QuickCheck, TestResult};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::net::IpAddr;

/// Any value of a type that quickcheck knows.
fn any<T: Arbitrary>(g: &mut Gen) -> T {
    T::arbitrary(g)
}

fn one_of<T: Clone>(g: &mut Gen, all: &[T]) -> T {
    g.choose(all).expect("there is one").clone()
}

fn maybe<T>(g: &mut Gen, make: impl FnOnce(&mut Gen) -> T) -> Option<T> {
    any::<bool>(g).then(|| make(g))
}

fn some<T>(g: &mut Gen, mut make: impl FnMut(&mut Gen) -> T) -> Vec<T> {
    (0..any::<u8>(g) % 4).map(|_| make(g)).collect()
}

/// Any JSON, fractions and nested nulls included.
fn value(g: &mut Gen, depth: u8) -> Value {
    match any::<u8>(g) % if depth == 0 { 6 } else { 8 } {
        0 => Value::Null,
        1 => any::<bool>(g).into(),
        2 => any::<u64>(g).into(),
        3 => any::<i64>(g).into(),
        4 => serde_json::Number::from_f64(any(g)).map_or(Value::Null, Value::Number),
        5 => any::<String>(g).into(),
        6 => Value::Array(some(g, |g| value(g, depth - 1))),
        _ => Value::Object(some(g, |g| (any(g), value(g, depth - 1))).into_iter().collect::<Map<_, _>>()),
    }
}

fn text(g: &mut Gen) -> Value {
    any::<String>(g).into()
}

fn labels(g: &mut Gen) -> Value {
    some(g, |g| (any::<String>(g), text(g))).into_iter().collect::<Map<_, _>>().into()
}

fn time(g: &mut Gen) -> Value {
    let wall = Wall::from_secs(i64::from(any::<u32>(g)));
    json!(crate::api::meta::Time::of(wall))
}

fn container(g: &mut Gen) -> Value {
    json!({
        "name": text(g), "image": text(g), "args": some(g, text), "stdin": any::<bool>(g), "x": value(g, 2),
        "env": some(g, |g| json!({"name": text(g), "value": text(g), "y": value(g, 1)})),
        "resources": {"limits": {"memory": one_of(g, &["128Mi", "1e3", "0.5"]), "cpu": one_of(g, &["100m", "1", "1000m"])}},
    })
}

fn meta(g: &mut Gen) -> Value {
    json!({
        "name": text(g), "namespace": text(g), "uid": text(g), "resourceVersion": any::<u64>(g).to_string(),
        "labels": labels(g), "annotations": labels(g), "creationTimestamp": maybe(g, time),
        "deletionTimestamp": maybe(g, time), "generation": maybe(g, any::<i64>), "finalizers": some(g, text),
        "ownerReferences": some(g, |g| json!({"kind": text(g), "uid": text(g), "controller": maybe(g, any::<bool>)})),
        "managedFields": value(g, 2),
    })
}

fn object(g: &mut Gen) -> Object {
    let pod = |g: &mut Gen| json!({"containers": some(g, container), "nodeName": text(g), "dnsConfig": value(g, 2)});
    let condition =
        |g: &mut Gen| json!({"type": "Ready", "status": "True", "lastTransitionTime": time(g), "z": value(g, 1)});
    let kind = one_of(g, Kind::BUILT_IN);
    let (spec, status) = match kind {
        Kind::Pod => (pod(g), json!({"phase": "Running", "conditions": some(g, condition), "q": value(g, 1)})),
        Kind::ReplicaSet => (
            json!({"replicas": any::<u16>(g), "selector": {"matchLabels": labels(g)}, "template": {"metadata": meta(g), "spec": pod(g)}}),
            json!({"replicas": any::<u16>(g)}),
        ),
        Kind::Node => {
            let capacity = json!({"cpu": one_of(g, &["2", "1500m"]), "memory": "1Gi", "example.com/x": "3"});
            (json!({"unschedulable": any::<bool>(g)}), json!({"capacity": capacity, "conditions": some(g, condition)}))
        }
        Kind::Lease => (json!({"holderIdentity": text(g), "renewTime": "2026-02-04T15:27:54.250001Z"}), Value::Null),
        Kind::Namespace => (json!({"finalizers": some(g, text)}), json!({"phase": "Active"})),
        Kind::CustomResourceDefinition => {
            let names = json!({"plural": "gizmos", "kind": "Gizmo"});
            (json!({"group": "x.example.com", "names": names, "scope": "Cluster", "versions": []}), Value::Null)
        }
        Kind::Event => (Value::Null, Value::Null),
        _ => (value(g, 3), value(g, 2)),
    };
    let mut whole = json!({"metadata": meta(g), "spec": spec, "status": status, "extra": value(g, 3)});
    if kind == Kind::Event {
        whole["reason"] = text(g);
        whole["message"] = text(g);
    }
    Object::from_value(kind, whole).expect("it has the kind's fields")
}

fn key(g: &mut Gen) -> Key {
    Key::new(one_of(g, Kind::BUILT_IN), &any::<String>(g), &any::<String>(g))
}

fn status(g: &mut Gen) -> Status {
    let reasons = [Reason::Conflict, Reason::NotFound, Reason::Expired, Reason::Unknown];
    match any::<u8>(g) % 3 {
        0 => Status::failure(one_of(g, &reasons), any::<String>(g)),
        1 => Status::removed(one_of(g, Kind::BUILT_IN), &any::<String>(g), &any::<String>(g)),
        _ => Status::invalid(
            one_of(g, Kind::BUILT_IN),
            &any::<String>(g),
            &[FieldError::required("spec.x", any::<String>(g))],
        ),
    }
}

fn query(g: &mut Gen) -> Query {
    let by_label = one_of(g, &["", "a=b", "a!=b,c in (d,e)", "!f,g"]);
    let by_field = one_of(g, &["", "spec.nodeName=n", "metadata.name!=a,status.phase=Failed"]);
    Query {
        kind: one_of(g, Kind::BUILT_IN),
        namespace: maybe(g, |g| any::<String>(g).into()),
        labels: parse_label_selector(by_label).unwrap(),
        fields: parse_field_selector(by_field).unwrap(),
        not_older_than: maybe(g, |g| Revision(any::<u64>(g))),
    }
}

fn part(g: &mut Gen) -> Part {
    one_of(g, &[Part::Main, Part::Status, Part::Finalize, Part::Scale])
}

fn verb(g: &mut Gen) -> Verb {
    match any::<u8>(g) % 8 {
        0 => Verb::Get { key: key(g) },
        1 => Verb::List(query(g)),
        2 => {
            let from = one_of(g, &[WatchFrom::Start, WatchFrom::After(Revision(7))]);
            Verb::Watch { query: query(g), from, bookmarks: any(g) }
        }
        3 => Verb::Create { object: object(g) },
        4 => Verb::Update { object: object(g), part: part(g) },
        5 => Verb::Merge { key: key(g), patch: value(g, 4), part: part(g) },
        6 => Verb::Bind { key: key(g), uid: any::<String>(g).into(), node: any(g) },
        _ => {
            let propagation = [Propagation::Background, Propagation::Foreground, Propagation::Orphan];
            let options = DeleteOptions {
                grace_seconds: any(g),
                uid: any(g),
                resource_version: any(g),
                eviction: any(g),
                granted: any(g),
                propagation: maybe(g, |g| one_of(g, &propagation)),
            };
            Verb::Delete { key: key(g), options }
        }
    }
}

fn request(g: &mut Gen) -> Request {
    Request {
        verb: verb(g),
        dry_run: any(g),
        manager: Some("kubectl".into()).filter(|_| any(g)),
        strict: any(g),
        version: any::<bool>(g).then(|| "v2".into()),
        user: None,
        fence: None,
    }
}

fn answer(g: &mut Gen) -> Answer {
    match any::<u8>(g) % 6 {
        0 => Answer::Object { object: object(g), created: any(g) },
        1 => Answer::List { revision: Revision(any(g)), items: some(g, object) },
        2 => Answer::Watching,
        3 => Answer::Removed(status(g)),
        4 => Answer::Refused(status(g)),
        _ => Answer::Lost(any(g)),
    }
}

fn event(g: &mut Gen) -> WatchEvent {
    match any::<u8>(g) % 5 {
        0 => WatchEvent::Added(object(g)),
        1 => WatchEvent::Modified(object(g)),
        2 => WatchEvent::Deleted(object(g)),
        3 => WatchEvent::Bookmark(Revision(any(g))),
        _ => WatchEvent::Expired(status(g)),
    }
}

fn pod(g: &mut Gen) -> PodRef {
    PodRef { uid: any(g), namespace: any(g), name: any(g) }
}

fn limits(g: &mut Gen) -> Limits {
    Limits { memory_bytes: any(g), cpu_milli: any(g), cpu_request_milli: any(g), pids: any(g) }
}

fn container_spec(g: &mut Gen) -> ContainerSpec {
    ContainerSpec {
        name: any(g),
        attempt: any(g),
        image: any(g),
        command: any(g),
        args: any(g),
        env: any(g),
        working_dir: any(g),
        limits: limits(g),
        stdio: Stdio { stdin: any(g), stdin_once: any(g), tty: any(g) },
    }
}

fn wall(g: &mut Gen) -> Wall {
    Wall::from_nanos(any(g))
}

fn state(g: &mut Gen) -> ContainerState {
    match any::<u8>(g) % 5 {
        0 => ContainerState::Absent,
        1 => ContainerState::Running { id: any(g), image: any(g), image_id: any(g), pid: any(g), started: wall(g) },
        2 => ContainerState::Exited {
            id: any(g),
            image: any(g),
            image_id: any(g),
            code: any(g),
            signal: any(g),
            oom: any(g),
            started: wall(g),
            finished: wall(g),
        },
        3 => {
            let reason = one_of(g, &[StartError::ErrImagePull, StartError::RunContainerError]);
            ContainerState::NotStarted { reason, message: any(g), at: wall(g) }
        }
        _ => ContainerState::Unknown,
    }
}

fn ip(g: &mut Gen) -> Option<IpAddr> {
    any::<Option<u32>>(g).map(|bits| IpAddr::V4(bits.into()))
}

fn report(g: &mut Gen) -> Report {
    let container = |g: &mut Gen| ContainerReport { name: any(g), attempt: any(g), state: state(g) };
    match any::<u8>(g) % 6 {
        0 => Report::Listed(some(g, |g| PodReport {
            pod: pod(g),
            alive: any(g),
            ip: ip(g),
            containers: some(g, container),
        })),
        1 => Report::Container { pod: pod(g), container: any(g), attempt: any(g), state: state(g) },
        2 => Report::SandboxGone { pod: pod(g) },
        3 => Report::Removed { pod: pod(g) },
        4 => Report::Sandbox { pod: pod(g), ip: ip(g) },
        _ => Report::RemoveFailed { pod: pod(g), message: any(g) },
    }
}

fn command(g: &mut Gen) -> Command {
    match any::<u8>(g) % 6 {
        0 => Command::List,
        1 => {
            let containers = some(g, container_spec);
            Command::RunPod(PodSpec { pod: pod(g), hostname: any(g), limits: limits(g), containers })
        }
        2 => Command::StartContainer { pod: pod(g), container: container_spec(g) },
        3 => Command::Terminate { pod: pod(g), container: any(g), attempt: any(g) },
        4 => Command::Kill { pod: pod(g), container: any(g), attempt: any(g) },
        _ => Command::RemovePod(pod(g)),
    }
}

fn pod_usage(g: &mut Gen) -> PodUsage {
    let used = vec![(any(g), Usage { cpu_nanos: any(g), memory_bytes: any(g) })];
    let measured = Measured { at: Wall::from_nanos(any(g)), window: Duration::from_millis(any::<u32>(g).into()), used };
    PodUsage { namespace: any(g), name: any(g), measured }
}

#[derive(Clone, Debug)]
struct AnyInput(Input);

impl Arbitrary for AnyInput {
    fn arbitrary(g: &mut Gen) -> Self {
        let outcomes = [Committed::At(Revision(u64::MAX)), Committed::Conflict, Committed::Failed("disk".into())];
        AnyInput(match any::<u8>(g) % 9 {
            0 => Input::Wake,
            1 => Input::Reply { call: CallId(any(g)), answer: answer(g) },
            2 => Input::Event { call: CallId(any(g)), event: event(g) },
            3 => Input::Ended { call: CallId(any(g)) },
            4 => Input::Runtime(report(g)),
            5 => Input::Request { from: RequestId(any(g)), request: request(g) },
            6 => Input::Gone { from: RequestId(any(g)) },
            7 => {
                let answer = if any(g) { Ok(vec![pod_usage(g)]) } else { Err(any(g)) };
                Input::Measured { call: CallId(any(g)), answer }
            }
            _ => Input::Committed { commit: CommitId(any(g)), outcome: one_of(g, &outcomes) },
        })
    }
}

#[derive(Clone, Debug)]
struct AnyEffect(Effect);

impl Arbitrary for AnyEffect {
    fn arbitrary(g: &mut Gen) -> Self {
        AnyEffect(match any::<u8>(g) % 9 {
            0 => Effect::Call { call: CallId(any(g)), request: request(g) },
            1 => Effect::Cancel { call: CallId(any(g)) },
            2 => Effect::Runtime(command(g)),
            3 => Effect::Answer { to: RequestId(any(g)), answer: answer(g) },
            4 => Effect::Event { to: RequestId(any(g)), event: event(g) },
            5 => Effect::End { to: RequestId(any(g)) },
            7 => Effect::Measure { call: CallId(any(g)), query: query(g) },
            6 => {
                let write = Write { key: key(g), expect: Revision(any(g)), object: maybe(g, object) };
                Effect::Commit { commit: CommitId(any(g)), write }
            }
            _ => {
                Effect::Log { level: one_of(g, &[Level::Error, Level::Warn, Level::Info, Level::Debug]), line: any(g) }
            }
        })
    }
}

/// Equal, and equal to the last byte: an amount that is written in another way is the same amount.
fn same<T: PartialEq + Serialize + for<'de> Deserialize<'de>>(one: &T) -> bool {
    let json = serde_json::to_string(one).unwrap();
    let read: T = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    read == *one && serde_json::to_string(&read).unwrap() == json
}

#[test]
fn inputs_and_effects_are_read_back_as_they_were() {
    QuickCheck::new().tests(2_000).quickcheck((|input: AnyInput| same(&input.0)) as fn(AnyInput) -> bool);
    QuickCheck::new().tests(2_000).quickcheck((|effect: AnyEffect| same(&effect.0)) as fn(AnyEffect) -> bool);
}

#[test]
fn two_effects_are_told_apart() {
    fn apart(one: AnyEffect, other: AnyEffect) -> TestResult {
        let text = |effect: &AnyEffect| serde_json::to_string(&effect.0).unwrap();
        let (first, second) = (Told::of(&one.0), Told::of(&other.0));
        let read: Told = serde_json::from_str(&serde_json::to_string(&first).unwrap()).unwrap();
        TestResult::from_bool(read == first && (first == second) == (text(&one) == text(&other)))
    }
    QuickCheck::new().quickcheck(apart as fn(AnyEffect, AnyEffect) -> TestResult);
}

#[test]
fn what_many_watchers_are_told_is_kept_once() {
    let event = |to, revision| Effect::Event { to: RequestId(to), event: WatchEvent::Bookmark(Revision(revision)) };
    let told = Told::all(&[event(1, 7), event(2, 7), event(3, 8)]);
    assert!(matches!(told[..], [Told::Whole(_), Told::Again { to: RequestId(2) }, Told::Whole(_)]), "{told:?}");
    assert_ne!(told, Told::all(&[event(1, 7), event(3, 7), event(3, 8)]));
}

#[test]
fn a_large_effect_is_told_in_a_line() {
    let lost = |why: String| Told::of(&Effect::Answer { to: RequestId(3), answer: Answer::Lost(why) });
    assert_eq!(lost("x".into()).to_string(), r#"{"Answer":{"to":3,"answer":{"Lost":"x"}}}"#);
    let large = lost("x".repeat(600)).to_string();
    assert!(large.starts_with("answer 3: lost: xxx") && large.contains("bytes, SHA-256 "), "{large}");
}

/// A recording in memory.
struct Reel {
    opening: Opening,
    steps: std::vec::IntoIter<Step>,
}

fn reel(birth: Birth, steps: Vec<Step>) -> Reel {
    let opening = Opening {
        format: FORMAT,
        version: String::new(),
        build: String::new(),
        program: birth.name(),
        started: Wall::default(),
        birth,
        stored: 0,
    };
    Reel { opening, steps: steps.into_iter() }
}

impl Tape for Reel {
    type Error = String;

    fn opening(&self) -> &Opening {
        &self.opening
    }

    fn birth(&mut self) -> Result<Birth, String> {
        Ok(self.opening.birth.clone())
    }

    fn next(&mut self) -> Result<Result<Step, Ending>, String> {
        Ok(self.steps.next().ok_or(Ending::Stopped))
    }
}

fn server(seed: u64) -> Birth {
    let options = apiserver::Options::with_seed(seed);
    Birth::ApiServer(ServerBirth { options, revision: Revision(0), stored: Vec::new() })
}

/// A server that is asked for a watch and for so many pods, and whose disk does as it is told.
fn story(seed: u64, pods: u64) -> Vec<Step> {
    let mut program: Box<dyn Program> = server(seed).program();
    let (mut steps, mut commits) = (Vec::new(), VecDeque::new());
    let mut at = Now::default();
    let mut step = |input: Input| {
        let (mut out, number) = (Effects::default(), steps.len() as u64 + 1);
        at.mono = at.mono + std::time::Duration::from_millis(1);
        at.wall = at.wall + std::time::Duration::from_millis(1);
        program.step(at, input.clone(), &mut out);
        steps.push(Step { number, at, input, outcome: Some(Outcome::of(&out)) });
        out.list
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Commit { commit, .. } => Some(commit),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    let mut revision = 0;
    let mut done = |first: Input| {
        commits.extend(step(first));
        while let Some(commit) = commits.pop_front() {
            revision += 1;
            commits.extend(step(Input::Committed { commit, outcome: Committed::At(Revision(revision)) }));
        }
    };
    done(Input::Wake);
    let watch = Verb::Watch { query: Query::all(Kind::Pod), from: WatchFrom::Start, bookmarks: true };
    done(Input::Request { from: RequestId(1), request: watch.into() });
    for nth in 0..pods {
        let pod = json!({"metadata": {"generateName": "p", "namespace": "default"}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}});
        let create = Verb::Create { object: Object::from_value(Kind::Pod, pod).unwrap() };
        done(Input::Request { from: RequestId(2 + nth), request: create.into() });
    }
    steps
}

fn differences(seed: u64, steps: Vec<Step>) -> Vec<(u64, Difference)> {
    let played = Playback::new([reel(server(seed), steps)]).map(|played| played.unwrap().event);
    let found = played.filter_map(|event| match event {
        Event::Step(step) => step.difference.map(|difference| (step.number, difference)),
        Event::Born | Event::Ended(_) => None,
    });
    found.collect()
}

#[test]
fn a_replay_says_where_it_differs() {
    let steps = story(7, 3);
    assert_eq!(differences(7, steps.clone()), []);
    // Another seed makes other names, which the first answer to a creation shows.
    let first = differences(8, steps.clone()).into_iter().next().unwrap();
    assert!(matches!(first.1, Difference::Effect { .. }), "{first:?}");
    // An input less, or two in another order.
    let last = steps.len() - 1;
    assert!(
        matches!(steps[last - 1].input, Input::Request { .. }) && matches!(steps[last].input, Input::Committed { .. })
    );
    let mut less = steps.clone();
    less.remove(last - 1);
    assert!(!differences(7, less).is_empty());
    let mut swapped = steps.clone();
    (swapped[last - 1].input, swapped[last].input) = (steps[last].input.clone(), steps[last - 1].input.clone());
    assert!(!differences(7, swapped).is_empty());
    let mut unended = steps;
    unended.last_mut().unwrap().outcome = None;
    assert!(matches!(differences(7, unended)[..], [(_, Difference::NeverEnded)]));
}

#[test]
fn recordings_are_played_in_the_order_of_time_and_each_in_its_own() {
    let life = |seconds: &[i64]| {
        let step = |(nth, at): (usize, &i64)| {
            let at = Now { wall: Wall::from_secs(*at), ..Now::default() };
            Step { number: nth as u64 + 1, at, input: Input::Wake, outcome: None }
        };
        let steps: Vec<Step> = seconds.iter().enumerate().map(step).collect();
        reel(Birth::Kubelet(Box::default()), steps)
    };
    let played = Playback::new([life(&[1, 4, 2, 5]), life(&[2, 3, 6])]);
    let order: Vec<(u64, u64)> = played
        .filter_map(|played| {
            let Played { program, life, event, .. } = played.unwrap();
            assert_eq!(&*program, "kubelet-");
            if let Event::Step(step) = event { Some((life, step.number)) } else { None }
        })
        .collect();
    assert_eq!(order, [(1, 1), (2, 1), (2, 2), (1, 2), (1, 3), (1, 4), (2, 3)]);
}
