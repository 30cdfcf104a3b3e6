//! `sim replay`: the same run again, with every event.

use crate::cli::sim::choice::{Chosen, LoadArgs, ScenarioArgs, choose};
use crate::cli::sim::{SimError, Verdict, cannot_write, printed, run};
use clap::Args;
use miniku_core::durations;
use miniku_core::time::{Duration, Instant};
use miniku_sim::trace::{self, Entry, Mode};
use miniku_sim::world::World;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// What is run again.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// Which scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// Which cluster.
    #[command(flatten)]
    pub load: LoadArgs,
    /// No further than this time of the simulated world
    #[arg(long, value_parser = durations::parse, value_name = "DURATION")]
    pub until: Option<Duration>,
    /// Write every event to this file, as lines of JSON; without it the story is printed
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Print heartbeats and steps that led to nothing, too
    #[arg(long, conflicts_with = "trace")]
    pub all: bool,
}

/// Runs it again.
pub fn run(args: &ReplayArgs) -> Result<Verdict, SimError> {
    // A seed alone is one that was explored.
    let chosen = match args.load == LoadArgs::default() {
        true => args.scenario.chosen()?,
        false => choose(&args.scenario, &args.load)?,
    };
    if args.trace.is_some() {
        let (world, _) = run::tell(&chosen, args.trace.as_ref(), args.until)?;
        return Ok(verdict(&world));
    }
    let story = chosen.scenario.story(chosen.seed);
    let mode = if args.all { Mode::Full } else { Mode::Story };
    let mut world = story.cluster.clone().trace(mode).begin(&story.plan);
    if let Some(until) = args.until {
        world.halt_at(Instant::default() + until);
    }
    let mut out = BufWriter::new(io::stdout());
    let begin = format!(
        "# {}\n# Seed {}. What is done:\n{}\n{}",
        chosen.scenario.about,
        chosen.seed,
        story.plan,
        trace::LEGEND
    );
    let world = story.tell_in(world);
    let lines = world.trace().entries().filter_map(Entry::line);
    printed(out.write_all(begin.as_bytes()).and_then(|()| {
        lines.into_iter().try_for_each(|line| writeln!(out, "{line}"))?;
        out.flush()
    }))?;
    Ok(verdict(&world))
}

fn verdict(world: &World) -> Verdict {
    if world.violation().is_some() { Verdict::Broken } else { Verdict::Held }
}

/// A trace on its way to a file. The first thing that goes wrong is told at the end.
pub struct TraceFile {
    path: PathBuf,
    to: BufWriter<File>,
    done: io::Result<()>,
}

impl TraceFile {
    /// Begins one.
    pub fn create(path: &Path, chosen: &Chosen, world: &World) -> Result<Self, SimError> {
        let file = File::create(path).map_err(|error| cannot_write(path, &error))?;
        let mut to = BufWriter::new(file);
        let done = writeln!(to, "{}", header(chosen, world));
        Ok(TraceFile { path: path.to_owned(), to, done })
    }

    /// Adds what happened since.
    pub fn add(&mut self, entries: VecDeque<Entry>) {
        for entry in entries {
            if self.done.is_ok() {
                self.done = writeln!(self.to, "{}", entry.json());
            }
        }
    }

    /// Adds the rest and how it ended.
    pub fn close(mut self, world: &mut World) -> Result<(), SimError> {
        self.add(world.trace_mut().take());
        let last = footer(world);
        let done = self.done.and_then(|()| writeln!(self.to, "{last}")).and_then(|()| self.to.flush());
        done.map_err(|error| cannot_write(&self.path, &error))
    }
}

/// The first line of a trace.
pub fn header(chosen: &Chosen, world: &World) -> String {
    let Chosen { scenario, seed, .. } = chosen;
    trace::header(&scenario.name, *seed, &scenario.cluster.lines(), &scenario.plan(), &world.actors())
}

/// The last line of a trace.
pub fn footer(world: &mut World) -> String {
    let (at, events) = (world.now(), world.counts().events);
    let trace = world.trace_mut();
    trace::footer(trace.number(), at, trace.digest(), events)
}
