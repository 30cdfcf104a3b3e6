//! `replay`: does again what daemons with `--record` did, and compares. Asks no server.

use crate::cli::Session;
use crate::cli::error::CliError;
use crate::cli::tabular::Widths;
use crate::recording::{Recording, Unreadable, recordings};
use clap::Args;
use miniku_core::api::meta::{parse_rfc3339, rfc3339_nanos};
use miniku_core::record::{Difference, Ending, Event, Playback, Played, Replayed, Tape};
use miniku_core::time::Wall;
use miniku_sim::plan::Plan;
use miniku_sim::recorded::{ENTRIES_MAX, Teller, node_of};
use miniku_sim::trace;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku up --record flight\n  miniku replay flight --trace flight.trace\n  miniku sim report --trace flight.trace --out flight.html";

/// Which recordings, and how far.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// What `--record` was given, or one file of it
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Go only so far: to this event, by its number in the trace, or to this time (2026-02-04T15:27:54Z)
    #[arg(long, value_name = "SEQ|TIME")]
    pub until: Option<Until>,
    /// Write what happened into this file, as lines of JSON: miniku sim report --trace FILE draws it
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
}

/// How far a replay goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// To the event of this number.
    Seq(u64),
    /// To what was done at this time.
    Time(Wall),
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Until::Seq).or_else(|_| parse_rfc3339(text).map(Until::Time))
    }
}

/// What became of one program's lives.
#[derive(Default)]
struct Tally {
    lives: u64,
    steps: u64,
    effects: u64,
    killed: u64,
    full: u64,
    /// Lives that did not come out as they were recorded.
    differ: u64,
}

/// The first difference of a life.
struct Found {
    tape: usize,
    program: Arc<str>,
    life: u64,
    step: Box<Replayed>,
    difference: Difference,
}

/// Replays, and tells what came out.
pub fn run(args: &ReplayArgs, session: &mut Session) -> Result<(), CliError> {
    let tapes = recordings(&args.directory).map_err(unreadable)?;
    let mut trace = args.trace.as_deref().map(|path| Story::begin(path, &tapes)).transpose()?;
    let mut playback = Playback::new(tapes);
    let mut tallies: BTreeMap<Arc<str>, Tally> = BTreeMap::new();
    let mut found: Vec<Found> = Vec::new();
    while let Some(played) = playback.next() {
        let played = played.map_err(unreadable)?;
        let beyond = match (args.until, &played.event) {
            (Some(Until::Seq(last)), _) => played.seq > last / ENTRIES_MAX,
            (Some(Until::Time(last)), Event::Step(step)) => step.at.wall > last,
            (Some(Until::Time(last)), Event::Born) => playback.tape(played.tape).opening().started > last,
            (Some(Until::Time(_)), Event::Ended(_)) | (None, _) => false,
        };
        if beyond {
            break;
        }
        if let Some(trace) = &mut trace {
            trace.tell(&played)?;
        }
        let tally = tallies.entry(played.program.clone()).or_default();
        match played.event {
            Event::Born => tally.lives += 1,
            Event::Step(mut step) => {
                tally.steps += 1;
                tally.effects += step.effects.len() as u64;
                let before = found.iter().any(|one| one.tape == played.tape);
                if let Some(difference) = step.difference.take().filter(|_| !before) {
                    tally.differ += 1;
                    let Played { tape, program, life, .. } = played;
                    found.push(Found { tape, program, life, step, difference });
                }
            }
            Event::Ended(Ending::Stopped) => {}
            Event::Ended(Ending::Full) => tally.full += 1,
            Event::Ended(Ending::Killed { .. }) => tally.killed += 1,
        }
    }
    if let Some(trace) = trace {
        trace.end()?;
    }
    table(&tallies, &mut session.out)?;
    found.iter().try_for_each(|found| tell(found, playback.tape(found.tape), &mut session.out))?;
    match found.len() {
        0 => Ok(()),
        differ => {
            let lives: u64 = tallies.values().map(|tally| tally.lives).sum();
            Err(CliError::Plain(format!("error: {differ} of {lives} lives did not come out as recorded")))
        }
    }
}

fn table(tallies: &BTreeMap<Arc<str>, Tally>, out: &mut impl Write) -> io::Result<()> {
    let mut rows = vec![["PROGRAM", "LIVES", "KILLED", "FULL", "STEPS", "EFFECTS", "RESULT"].map(str::to_owned)];
    rows.extend(tallies.iter().map(|(program, tally)| {
        let result = match tally.differ {
            0 => "exact".to_owned(),
            lives => format!("{lives} differ"),
        };
        let Tally { lives, killed, full, steps, effects, .. } = tally;
        let [lives, killed, full, steps, effects] = [lives, killed, full, steps, effects].map(u64::to_string);
        [program.to_string(), lives, killed, full, steps, effects, result]
    }));
    let mut widths = Widths::default();
    rows.iter().for_each(|row| widths.fit(row));
    rows.iter().try_for_each(|row| writeln!(out, "{}", widths.line(row)))
}

fn unreadable(error: Unreadable) -> CliError {
    CliError::BadRecording(format!("error: {error}"))
}

fn tell(found: &Found, tape: &Recording, out: &mut impl Write) -> io::Result<()> {
    let Found { program, life, step, difference, .. } = found;
    let (opening, path) = (tape.opening(), tape.path().display());
    writeln!(out, "\n{program}, life {life}, step {}, at {}: {difference}", step.number, rfc3339_nanos(step.at.wall))?;
    writeln!(out, "  input: {}", serde_json::to_string(&step.input).map_err(io::Error::other)?)?;
    if let Difference::Effect { nth, .. } = difference
        && let Some(effect) = step.effects.get(nth - 1)
    {
        writeln!(out, "  whole: {}", serde_json::to_string(effect).map_err(io::Error::other)?)?;
    }
    let (version, build) = (env!("CARGO_PKG_VERSION"), crate::recording::build());
    if (opening.version.as_str(), &opening.build) != (version, &build) {
        let recorded = format!("miniku {} (build {})", opening.version, opening.build);
        writeln!(out, "  recorded by {recorded}, replayed by miniku {version} (build {build})")?;
    }
    writeln!(out, "  in {path}")
}

/// What happened, as the simulator writes it: for `sim report` and `sim diff`.
struct Story<'a> {
    path: &'a Path,
    out: BufWriter<File>,
    teller: Teller,
}

impl<'a> Story<'a> {
    fn begin(path: &'a Path, tapes: &[Recording]) -> Result<Self, CliError> {
        let began = tapes.iter().map(|tape| tape.opening().started).min().unwrap_or_default();
        let out = BufWriter::new(File::create(path).map_err(|error| failed(path, error))?);
        let mut story = Story { path, out, teller: Teller::new(began) };
        let programs: BTreeSet<Arc<str>> = tapes.iter().map(|tape| tape.opening().program.as_str().into()).collect();
        let actor = |program: &Arc<str>| (program.clone(), node_of(program));
        let actors: Vec<_> = programs.iter().map(actor).collect();
        let cluster = [format!("recorded from {} on", rfc3339_nanos(began))];
        let header = trace::header("recording", 0, &cluster, &Plan::default(), &actors);
        story.line(&header)?;
        Ok(story)
    }

    fn tell(&mut self, played: &Played) -> Result<(), CliError> {
        let entries = self.teller.tell(played);
        entries.iter().try_for_each(|entry| self.line(&entry.json()))
    }

    fn line(&mut self, line: &str) -> Result<(), CliError> {
        writeln!(self.out, "{line}").map_err(|error| failed(self.path, error))
    }

    fn end(mut self) -> Result<(), CliError> {
        self.out.flush().map_err(|error| failed(self.path, error))
    }
}

fn failed(path: &Path, source: io::Error) -> CliError {
    CliError::Io { what: "write".into(), path: path.into(), source }
}
