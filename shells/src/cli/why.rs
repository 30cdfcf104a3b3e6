//! `why`: which decisions led to an object, or where pods would go that are not there.

use crate::api::decisions::Told;
use crate::cli::Session;
use crate::cli::cluster::{Cluster, typed};
use crate::cli::error::CliError;
use crate::cli::manifest::{self, FileArgs, Manifest};
use crate::cli::resource;
use crate::client::wire;
use crate::recording::recordings;
use clap::{Args, ValueEnum};
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::{parse_rfc3339, rfc3339_nanos};
use miniku_core::api::object::{Key, Resource};
use miniku_core::api::pod::Pod;
use miniku_core::decision::{Decision, Journal, Named, Noted};
use miniku_core::program::Effect;
use miniku_core::record::{Event, Playback};
use miniku_core::scheduler::Strategy;
use miniku_core::scheduler::explain::{Said, Saying};
use miniku_core::scheduler::what_if::{LOOKED_AT, Placed, WhatIf};
use miniku_core::time::Wall;
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku why pod/web-1\n  miniku why deployment web -o json\n  \
    miniku why node/node-1 --recording flight --until 2026-02-04T15:27:54Z\n  \
    miniku why --what-if deployment.yaml";

/// Of what, and from what it is told.
#[derive(Args, Debug)]
pub struct WhyArgs {
    /// TYPE/NAME or TYPE NAME
    #[arg(value_name = "WHAT", required_unless_present = "what_if", conflicts_with = "what_if")]
    pub what: Vec<String>,
    /// Tell where the pods of this file would go now, and make nothing; - for standard input
    #[arg(long, value_name = "FILE")]
    pub what_if: Option<PathBuf>,
    /// How the scheduler chooses, if it was started with another strategy
    #[arg(long, value_name = "STRATEGY", requires = "what_if", default_value_t = Strategy::default())]
    pub strategy: Strategy,
    /// Ask no server, but what daemons wrote with --record DIR
    #[arg(long, value_name = "DIR", conflicts_with = "what_if")]
    pub recording: Option<PathBuf>,
    /// Nothing later than this time: 2026-02-04T15:27:54Z
    #[arg(long, value_name = "TIME", value_parser = parse_rfc3339)]
    pub until: Option<Wall>,
    /// As text or as JSON
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// How it is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// Tells why.
pub fn run(args: &WhyArgs, session: &mut Session) -> Result<(), CliError> {
    if let Some(file) = &args.what_if {
        return what_if(args, file, session);
    }
    let key = meant(&args.what, &session.cluster)?;
    let told = match &args.recording {
        Some(directory) => recorded(directory, &key, args.until)?,
        None => asked(&key, args.until, &session.cluster)?,
    };
    if told.decisions.is_empty() {
        return nothing(&key, args, session);
    }
    if args.output == Output::Json {
        return print_json(&told, &mut session.out);
    }
    told.decisions.iter().try_for_each(|one| print(one, &key, &clock(one.at), &clock(one.last), &mut session.out))?;
    if told.forgotten {
        writeln!(session.out, "Older decisions may be forgotten; recordings keep them all: --record")?;
    }
    Ok(())
}

/// The one object that is meant.
fn meant(words: &[String], cluster: &Cluster) -> Result<Key, CliError> {
    let selections = resource::parse(words, cluster)?;
    let [one] = selections.list.as_slice() else {
        return Err(CliError::Usage("one object at a time".into()));
    };
    let [name] = one.names.as_slice() else {
        return Err(CliError::Usage("which one? Say TYPE/NAME".into()));
    };
    let mut key = cluster.key(one.kind, name);
    if let Some(namespace) = &one.namespace {
        key.namespace = namespace.as_str().into();
    }
    Ok(key)
}

fn asked(key: &Key, until: Option<Wall>, cluster: &Cluster) -> Result<Told<Noted>, CliError> {
    let bytes = cluster.bytes(&wire::decided(key))?;
    let wrong = |error| CliError::Plain(format!("error: the server's answer is no list of decisions: {error}"));
    let mut told: Told<Noted> = serde_json::from_slice(&bytes).map_err(wrong)?;
    told.decisions.retain(|one| until.is_none_or(|until| one.at <= until));
    Ok(told)
}

/// What recorded programs decide when they are told the same again.
fn recorded(directory: &Path, key: &Key, until: Option<Wall>) -> Result<Told<Noted>, CliError> {
    let unreadable = |error| CliError::BadRecording(format!("error: {error}"));
    let playback = Playback::new(recordings(directory).map_err(unreadable)?);
    let mut journal = Journal::default();
    for played in playback {
        let played = played.map_err(unreadable)?;
        let Event::Step(step) = played.event else { continue };
        if until.is_some_and(|until| step.at.wall > until) {
            break;
        }
        for effect in step.effects {
            if let Effect::Decided { decision, .. } = effect {
                journal.note(Noted::once(step.at.wall, &played.program, *decision));
            }
        }
    }
    let decisions = journal.chain(key).into_iter().cloned().collect();
    Ok(Told { decisions, forgotten: journal.has_forgotten() })
}

/// There is nothing to tell: of an object that is there, or of none.
fn nothing(key: &Key, args: &WhyArgs, session: &mut Session) -> Result<(), CliError> {
    if args.recording.is_some() {
        return Err(CliError::Plain(format!("error: the recording has no decision about {}", Named(key))));
    }
    session.cluster.get(key)?;
    let since = "since the API server started; recordings reach further back: --record";
    writeln!(session.out, "Nothing was decided about {} {since}", Named(key))?;
    Ok(())
}

fn print_json<T: serde::Serialize>(told: &T, out: &mut impl Write) -> Result<(), CliError> {
    serde_json::to_writer_pretty(&mut *out, told).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}

/// The time of day.
fn clock(at: Wall) -> String {
    let text = rfc3339_nanos(at);
    text.get(11..23).unwrap_or(&text).to_owned()
}

/// Prints one decision of the chain of an object.
pub fn print(noted: &Noted, of: &Key, at: &str, last: &str, out: &mut impl Write) -> io::Result<()> {
    let Noted { times, by, decision, .. } = noted;
    let Decision { about, sake, because } = decision;
    let named = if about.contains(of) { of } else { about.first().unwrap_or(of) };
    let more = match about.len() {
        0 | 1 => String::new(),
        all => format!(" and {} more", all - 1),
    };
    let sake = sake.as_ref().map(|sake| format!(" for {}", Named(sake))).unwrap_or_default();
    let again = if *times > 1 { format!(", {times} times until {last}") } else { String::new() };
    writeln!(out, "{at}  {}{more}{sake}  [{by}]{again}", Named(named))?;
    writeln!(out, "    {}/{}: {}", because.table, because.row, because.why)?;
    because.facts.iter().try_for_each(|fact| writeln!(out, "      {fact}"))
}

/// A pod that would be made, and where it would go.
pub struct Would {
    /// Its name, or of what it is one.
    pub name: String,
    /// Where it would go.
    pub placed: Placed,
}

fn what_if(args: &WhyArgs, file: &Path, session: &mut Session) -> Result<(), CliError> {
    let files = FileArgs { filename: vec![file.into()], ..FileArgs::default() };
    let manifests = manifest::read(&files, &session.cluster)?;
    let mut objects = Vec::new();
    for kind in LOOKED_AT {
        objects.extend(session.cluster.objects(*kind, None, &Vec::new())?);
    }
    let mut cluster = WhatIf::of(objects, args.strategy);
    let mut would = Vec::new();
    let mut makers = manifests.iter().filter(|manifest| WhatIf::makes_pods(manifest.kind)).peekable();
    if makers.peek().is_none() {
        return Err(CliError::Plain("error: nothing in it makes pods".into()));
    }
    for manifest in makers {
        for (name, pod) in pods_of(manifest, &cluster, &session.cluster)? {
            would.push(Would { name, placed: cluster.place(&pod) });
        }
    }
    tell_would(&would, args.output, &mut session.out)
}

/// The pods that a manifest would make, as the server would take them; its refusal if it would not.
fn pods_of(manifest: &Manifest, would: &WhatIf, cluster: &Cluster) -> Result<Vec<(String, Pod)>, CliError> {
    let (kind, key) = (manifest.kind, manifest.key());
    let tried = match cluster.find(&key)? {
        Some(_) if kind == Kind::Pod => {
            return Err(CliError::Plain(format!(
                "error: {} is there already: miniku why pod/{}",
                Named(&key),
                key.name
            )));
        }
        Some(_) => cluster.merge(&key, &manifest.object, true)?,
        None => cluster.create(kind, &key.namespace, &manifest.object, true)?,
    };
    let object = typed(kind, tried)?;
    let mut pods = Vec::new();
    for pod in would.pods_of(&object) {
        let name = pod.metadata.name.to_string();
        let pod = match kind {
            Kind::Pod => pod,
            _ => admitted(pod, &key, cluster)?,
        };
        pods.push((name, pod));
    }
    Ok(pods)
}

/// A pod with what the server would give it: its priority, its limits, its tolerations.
fn admitted(mut pod: Pod, owner: &Key, cluster: &Cluster) -> Result<Pod, CliError> {
    // Its real name may be taken, and is drawn anyway.
    pod.metadata.name = Default::default();
    pod.metadata.generate_name = format!("{}-", owner.name).into();
    pod.metadata.namespace = owner.namespace.clone();
    let object = pod.into_object();
    let mut value: Value =
        serde_json::from_slice(&object.json()).map_err(|error| CliError::Plain(error.to_string()))?;
    (value["kind"], value["apiVersion"]) = ("Pod".into(), "v1".into());
    let tried = typed(Kind::Pod, cluster.create(Kind::Pod, &owner.namespace, &value, true)?)?;
    tried.get::<Pod>().cloned().ok_or_else(|| CliError::Plain("error: the server's answer is no pod".into()))
}

/// Tells where pods would go.
pub fn tell_would(would: &[Would], output: Output, out: &mut impl Write) -> Result<(), CliError> {
    if output == Output::Json {
        let pods: Vec<Value> = would.iter().map(as_json).collect();
        return print_json(&json!({"pods": pods}), out);
    }
    for Would { name, placed } in would {
        match &placed.node {
            Ok(node) => writeln!(out, "pod {name}: {node}")?,
            Err(why) => writeln!(out, "pod {name}: nowhere: {why}")?,
        }
        said(placed, out)?;
        if let Some((node, victims)) = &placed.instead_of {
            let victims: Vec<String> = victims.iter().map(|key| Named(key).to_string()).collect();
            writeln!(out, "    on {node}, if these go: {}", victims.join(", "))?;
        }
    }
    let mut on: BTreeMap<&str, usize> = BTreeMap::new();
    for one in would {
        *on.entry(one.placed.node.as_deref().unwrap_or("nowhere")).or_default() += 1;
    }
    let on: Vec<String> = on.iter().map(|(node, count)| format!("{node} {count}")).collect();
    match would.len() {
        0 => writeln!(out, "all of its pods are there")?,
        pods => writeln!(out, "{pods} pod(s): {}", on.join(", "))?,
    }
    Ok(())
}

/// So many nodes are named each; of more the best, and the others are counted.
const NAMED_EACH: usize = 8;
/// So many of the best.
const BEST: usize = 3;

fn said(placed: &Placed, out: &mut impl Write) -> io::Result<()> {
    if placed.said.len() <= NAMED_EACH {
        return placed.said.iter().try_for_each(|said| writeln!(out, "    {said}"));
    }
    let mut takers: Vec<&Said> = placed.said.iter().filter(|said| said.what.score().is_some()).collect();
    let all = takers.len();
    // Stable: of equals the first by name.
    takers.sort_by_key(|said| Reverse(said.what.score()));
    takers.into_iter().take(BEST).try_for_each(|said| writeln!(out, "    {said}"))?;
    if all > BEST {
        writeln!(out, "    and {} more take it", all - BEST)?;
    }
    let mut refusals: BTreeMap<String, usize> = BTreeMap::new();
    for said in &placed.said {
        if let Saying::Refuses { filter, refusal } = &said.what {
            *refusals.entry(format!("{filter}: {refusal}")).or_default() += 1;
        }
    }
    refusals.iter().try_for_each(|(why, nodes)| writeln!(out, "    {nodes} node(s): {why}"))
}

fn as_json(would: &Would) -> Value {
    let Would { name, placed } = would;
    let nodes: Vec<Value> = placed
        .said
        .iter()
        .map(|said| match &said.what {
            Saying::Refuses { filter, refusal } => {
                json!({"node": &*said.node, "filter": filter, "refuses": refusal.to_string()})
            }
            Saying::Takes(rows) => {
                let scores: serde_json::Map<String, Value> =
                    rows.iter().map(|(name, score)| ((*name).to_owned(), (*score).into())).collect();
                json!({"node": &*said.node, "score": said.what.score(), "scores": scores})
            }
        })
        .collect();
    let why = placed.node.as_ref().err().map(ToString::to_string);
    let victims = placed.instead_of.as_ref().map(
        |(node, victims)| json!({"node": &**node, "pods": victims.iter().map(ToString::to_string).collect::<Vec<_>>()}),
    );
    json!({"pod": name, "node": placed.node.as_deref().ok(), "nowhere": why, "ifTheseGo": victims, "nodes": nodes})
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniku_core::decision::Because;

    #[test]
    fn a_decision_reads_well() {
        let pods: Vec<Key> = ["a", "b"].map(|name| Key::new(Kind::Pod, "default", name)).to_vec();
        let set = Key::new(Kind::ReplicaSet, "default", "web");
        let because = Because::new("reasons", "missing", "fewer are there").as_seen("0 of 2");
        let decision = Decision { about: pods.clone(), sake: Some(set), because };
        let noted = Noted { times: 2, ..Noted::once(Wall::from_secs(1), &"workloads".into(), decision) };
        let mut out = Vec::new();
        print(&noted, &pods[1], &clock(noted.at), &clock(noted.last), &mut out).unwrap();
        let want = "00:00:01.000  pod default/b and 1 more for replicaset default/web  [workloads], 2 times until \
                    00:00:01.000\n    reasons/missing: fewer are there\n      0 of 2\n";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}
