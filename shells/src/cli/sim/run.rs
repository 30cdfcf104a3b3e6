//! `sim run`: one scenario, one seed.

use crate::cli::sim::choice::{Chosen, LoadArgs, ScenarioArgs, choose};
use crate::cli::sim::progress::{Progress, grouped, rate, virtual_time};
use crate::cli::sim::replay::TraceFile;
use crate::cli::sim::{SimError, Verdict, print};
use clap::Args;
use miniku_core::time::{Duration, Instant};
use miniku_sim::run::Summary;
use miniku_sim::scenario::Scenario;
use miniku_sim::story;
use miniku_sim::trace::Mode;
use miniku_sim::world::World;
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

/// What is run.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Which scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// Which cluster.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Write every event to this file, as lines of JSON
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
}

/// Runs it, and says how it went.
pub fn run(args: &RunArgs) -> Result<Verdict, SimError> {
    let chosen = choose(&args.scenario, &args.load)?;
    let mut progress = Progress::new();
    let (world, seconds) = tell(&chosen, args.trace.as_ref(), None)?;
    progress.end();
    let Scenario { name, about, .. } = &chosen.scenario;
    print(&format!("{name}: {about}\n{}", summary(&world, chosen.seed, seconds)))?;
    if world.violation().is_none() {
        print("all statements held\n")?;
        return Ok(Verdict::Held);
    }
    if let Err(failure) = story::tell(|| chosen.scenario.story(chosen.seed)) {
        print(&format!("\n{failure}"))?;
    }
    print(&format!("again:  miniku sim run {}\n", chosen.flags))?;
    if args.scenario.scenario.is_some() {
        print(&format!("shrink: miniku sim shrink {}\n", chosen.flags))?;
    }
    Ok(Verdict::Broken)
}

/// Tells a story with a line of progress, and writes its trace if asked for. Gives the seconds it took, too.
pub fn tell(chosen: &Chosen, trace: Option<&PathBuf>, until: Option<Duration>) -> Result<(World, f64), SimError> {
    let story = chosen.scenario.story(chosen.seed);
    let mode = if trace.is_some() { Mode::Full } else { Mode::Off };
    let mut world = story.cluster.clone().trace(mode).begin(&story.plan);
    if let Some(until) = until {
        world.halt_at(Instant::default() + until);
    }
    let file = trace.map(|path| TraceFile::create(path, chosen, &world)).transpose()?;
    let file = Rc::new(RefCell::new(file));
    let progress = Rc::new(RefCell::new(Progress::new()));
    let (line, lines) = (progress.clone(), file.clone());
    world.show(Box::new(move |truth, counts, trace| {
        line.borrow_mut().of_run(truth, counts);
        if let Some(file) = lines.borrow_mut().as_mut() {
            file.add(trace.take());
        }
    }));
    let mut world = story.tell_in(world);
    let seconds = progress.borrow().seconds();
    progress.borrow_mut().end();
    if let Some(file) = file.borrow_mut().take() {
        file.close(&mut world)?;
    }
    Ok((world, seconds))
}

/// How it went, in some lines.
fn summary(world: &World, seed: u64, seconds: f64) -> String {
    let Summary { simulated, counts, running, digest, .. } = Summary::of(world);
    let many = grouped;
    format!(
        "seed {seed}: {} simulated in {seconds:.2} s, {} events ({} a second)\n\
         {} durable writes, {} processes started, {} ended, {running} pods run\n\
         digest {digest:016x}\n",
        virtual_time(simulated),
        many(counts.events),
        rate(counts.events, seconds),
        many(counts.writes),
        many(counts.starts),
        many(counts.ends),
    )
}
