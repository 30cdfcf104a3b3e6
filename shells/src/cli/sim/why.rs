//! `sim why`: which decisions led to an object of a simulated run, or where pods would go at a moment of it.

use crate::api::decisions::Told;
use crate::cli::sim::choice::{LoadArgs, ScenarioArgs, choose};
use crate::cli::sim::{SimError, Verdict, printed, read};
use crate::cli::why::{Output, Would, print, tell_would};
use crate::cli::yaml;
use clap::Args;
use miniku_core::api::kinds::Kind;
use miniku_core::api::namespace;
use miniku_core::api::object::{Key, Object};
use miniku_core::apiserver::admission;
use miniku_core::decision::Named;
use miniku_core::durations;
use miniku_core::scheduler::Strategy;
use miniku_core::scheduler::what_if::{LOOKED_AT, WhatIf};
use miniku_core::time::{Duration, Instant, Now, Wall};
use miniku_sim::world::World;
use serde_json::Value;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Of what, and of which run.
#[derive(Args, Debug)]
pub struct WhyArgs {
    /// TYPE/NAME, or TYPE/NAMESPACE/NAME
    #[arg(value_name = "WHAT", required_unless_present = "what_if", conflicts_with = "what_if")]
    pub what: Option<String>,
    /// Tell where the pods of this file would go at that moment
    #[arg(long, value_name = "FILE")]
    pub what_if: Option<PathBuf>,
    /// How the scheduler chooses, if the scenario says another strategy
    #[arg(long, value_name = "STRATEGY", requires = "what_if", default_value_t = Strategy::default())]
    pub strategy: Strategy,
    /// Which scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// Which cluster.
    #[command(flatten)]
    pub load: LoadArgs,
    /// At this time of the simulated world; at its end, if nothing is said
    #[arg(long, value_parser = durations::parse, value_name = "DURATION")]
    pub until: Option<Duration>,
    /// As text or as JSON
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Runs it, and tells.
pub fn run(args: &WhyArgs) -> Result<Verdict, SimError> {
    let key = args.what.as_deref().map(meant).transpose()?;
    let chosen = choose(&args.scenario, &args.load)?;
    let story = chosen.scenario.story(chosen.seed);
    let mut world = story.cluster.clone().begin(&story.plan);
    world.keep_journal();
    if let Some(until) = args.until {
        world.halt_at(Instant::default() + until);
    }
    let world = story.tell_in(world);
    let mut told = Vec::new();
    match (&args.what_if, key) {
        (Some(file), _) => would(args, file, &world, &mut told)?,
        (None, Some(key)) => decided(args, &key, &world, &mut told)?,
        (None, None) => {}
    }
    let mut out = io::stdout().lock();
    printed(out.write_all(&told).and_then(|()| out.flush()))?;
    Ok(if world.violation().is_some() { Verdict::Broken } else { Verdict::Held })
}

fn meant(text: &str) -> Result<Key, SimError> {
    let wrong = |what: &str| SimError(format!("{text:?}: {what}"));
    let (kind, rest) = text.split_once('/').ok_or_else(|| wrong("say TYPE/NAME"))?;
    let kind = Kind::meant(kind).ok_or_else(|| wrong("there is no such kind"))?;
    let usual = if kind.row().namespaced { namespace::DEFAULT } else { "" };
    let (namespace, name) = rest.split_once('/').unwrap_or((usual, rest));
    Ok(Key::new(kind, namespace, name))
}

/// Seconds since the beginning of the world.
fn clock(at: Wall) -> String {
    format!("{:>10.3} s", at.nanos() as f64 / 1e9)
}

fn decided(args: &WhyArgs, key: &Key, world: &World, out: &mut impl Write) -> Result<(), SimError> {
    let failed = |error: io::Error| SimError(format!("printing: {error}"));
    let journal = world.journal().expect("it was asked for");
    let decisions = journal.chain(key);
    if decisions.is_empty() {
        return Err(SimError(format!("nothing is decided about {} in this run", Named(key))));
    }
    if args.output == Output::Json {
        let told = Told { decisions, forgotten: journal.has_forgotten() };
        serde_json::to_writer_pretty(&mut *out, &told).map_err(|error| failed(error.into()))?;
        return writeln!(out).map_err(failed);
    }
    let mut each = decisions.iter();
    each.try_for_each(|one| print(one, key, &clock(one.at), &clock(one.last), out)).map_err(failed)
}

fn would(args: &WhyArgs, file: &Path, world: &World, out: &mut impl Write) -> Result<(), SimError> {
    let failed = |error: &dyn std::fmt::Display| SimError(format!("{}: {error}", file.display()));
    let documents = yaml::documents(&read(file)?, &file.display().to_string()).map_err(|error| failed(&error))?;
    let stored = world.truth().disk.objects().values().filter(|object| LOOKED_AT.contains(&object.kind()));
    let mut cluster = WhatIf::of(stored.cloned(), args.strategy);
    let (mut would, mut makes_pods) = (Vec::new(), false);
    for document in documents {
        let object = completed(document).map_err(|error| failed(&error))?;
        let namespace = object.meta().namespace.clone();
        makes_pods |= WhatIf::makes_pods(object.kind());
        for pod in cluster.pods_of(&object) {
            let placed = cluster.place(&pod);
            let name = if namespace.is_empty() {
                pod.metadata.name.to_string()
            } else {
                format!("{namespace}/{}", pod.metadata.name)
            };
            would.push(Would { name, placed });
        }
    }
    if !makes_pods {
        return Err(failed(&"nothing in it makes pods"));
    }
    tell_would(&would, args.output, out).map_err(|error| SimError(error.to_string()))
}

/// A manifest with its defaults, as an API server would store it.
fn completed(document: Value) -> Result<Object, String> {
    let named = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
    let (version, name) = (named("apiVersion"), named("kind"));
    let found = Kind::rows().find(|(_, row)| row.name == name && row.api_version() == version);
    let (kind, _) = found.ok_or_else(|| format!("there is no kind {name:?} in {version:?}"))?;
    let mut object = Object::from_value(kind, document).map_err(|error| error.to_string())?;
    object.edit_meta(|meta| {
        if kind.row().namespaced && meta.namespace.is_empty() {
            meta.namespace = namespace::DEFAULT.into();
        }
    });
    admission::created(Now::default(), object, String::new(), None).map_err(|status| status.message)
}
