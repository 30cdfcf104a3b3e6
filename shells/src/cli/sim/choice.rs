//! Which scenario is meant, and for which seed.

use crate::cli::sim::{SimError, read};
use clap::Args;
use miniku_core::durations;
use miniku_core::time::Duration;
use miniku_sim::plan::{Act, Entry};
use miniku_sim::run::Options;
use miniku_sim::scenario::Scenario;
use miniku_sim::snapshot::Snapshot;
use miniku_sim::{library, swarm};
use std::path::{Path, PathBuf};

/// Which scenario.
#[derive(Args, Clone, Debug, Default)]
pub struct ScenarioArgs {
    /// A scenario: a file, the name of one that comes with miniku, or swarm, which is another one for each seed
    #[arg(long, value_name = "FILE|NAME")]
    pub scenario: Option<String>,
    /// Decides everything that is drawn; the scenario's own if it has one, else 1
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// Which cluster, if no scenario says it.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct LoadArgs {
    /// So many nodes
    #[arg(long, value_name = "N")]
    pub nodes: Option<usize>,
    /// So many pods, in replica sets of up to a hundred
    #[arg(long, value_name = "N")]
    pub pods: Option<usize>,
    /// For so long, in the simulated world
    #[arg(long = "for", value_parser = durations::parse, value_name = "DURATION")]
    pub duration: Option<Duration>,
    /// What goes wrong: none, mild, swarm (drawn by the seed), or the faults of a scenario file
    #[arg(long, value_name = "none|mild|swarm|FILE")]
    pub faults: Option<String>,
    /// Begin with a real cluster: kubectl get nodes,pods,replicasets,deployments,services -A -o json
    #[arg(long, value_name = "FILE")]
    pub snapshot: Option<PathBuf>,
}

/// A scenario and its seed.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// What is run.
    pub scenario: Scenario,
    /// For this seed.
    pub seed: u64,
    /// The flags that choose it again.
    pub flags: String,
}

/// The scenario of the given name or file, for a seed; `swarm` has one for each.
pub fn named(name: &str, seed: u64) -> Result<Scenario, SimError> {
    named_for(name, seed, |_| {})
}

/// The same for another cluster, which is put in.
fn named_for(name: &str, seed: u64, put: impl FnOnce(&mut Scenario)) -> Result<Scenario, SimError> {
    let made = if name == "swarm" { Some(swarm::scenario(seed)) } else { library::named(name) };
    if let Some(mut scenario) = made {
        put(&mut scenario);
        return Ok(scenario);
    }
    let path = Path::new(name);
    if !path.exists() {
        return Err(SimError(format!("there is no file and no scenario {name:?}; \"miniku sim list\" lists all")));
    }
    Scenario::read_for(&read(path)?, put).map_err(|error| SimError(format!("{name}: {error}")))
}

impl ScenarioArgs {
    /// The scenario that is named; what the seed draws if none is.
    pub fn chosen(&self) -> Result<Chosen, SimError> {
        self.chosen_for(|_| {})
    }

    fn chosen_for(&self, put: impl FnOnce(&mut Scenario)) -> Result<Chosen, SimError> {
        let name = self.scenario.as_deref().unwrap_or("swarm");
        let scenario = named_for(name, self.seed.unwrap_or(1), put)?;
        let seed = self.seed.or(scenario.seed).unwrap_or(1);
        Ok(Chosen { scenario, seed, flags: format!("--scenario {name} --seed {seed}") })
    }
}

/// The scenario that is named, or a cluster of some size under some load.
pub fn choose(named: &ScenarioArgs, load: &LoadArgs) -> Result<Chosen, SimError> {
    let snapshot = load.snapshot.as_deref().map(snapshot).transpose()?;
    let mut flags = String::new();
    let mut flag = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            flags += &format!("--{name} {value} ");
        }
    };
    flag("nodes", load.nodes.map(|nodes| nodes.to_string()));
    flag("pods", load.pods.map(|pods| pods.to_string()));
    flag("for", load.duration.map(durations::text));
    flag("faults", load.faults.clone());
    flag("snapshot", load.snapshot.as_ref().map(|path| path.display().to_string()));
    let mut chosen = match (&named.scenario, snapshot) {
        (Some(_), None) => named.chosen()?,
        (Some(_), Some(snapshot)) => named.chosen_for(|scenario| snapshot.into_scenario(scenario))?,
        (None, Some(snapshot)) => {
            let mut scenario = Scenario::named("snapshot");
            scenario.about = "A real cluster, as it was seen.".into();
            snapshot.into_scenario(&mut scenario);
            Chosen { scenario, seed: named.seed.unwrap_or(1), flags: format!("--seed {}", named.seed.unwrap_or(1)) }
        }
        (None, None) => {
            let defaults = Options::default();
            let options = Options {
                seed: named.seed.unwrap_or(1),
                nodes: load.nodes.unwrap_or(defaults.nodes),
                pods: load.pods.unwrap_or(defaults.pods),
                duration: load.duration.unwrap_or(defaults.duration),
                faults: matches!(load.faults.as_deref(), None | Some("mild")),
                ..defaults
            };
            let seed = options.seed;
            Chosen { scenario: options.scenario(), seed, flags: format!("--seed {seed}") }
        }
    };
    let given = named.scenario.is_some() || load.snapshot.is_some();
    if given && (load.nodes.is_some() || load.pods.is_some()) {
        return Err(SimError("--nodes and --pods make a cluster; a scenario or a snapshot has its own".into()));
    }
    if given && load.faults.as_deref() == Some("mild") {
        return Err(SimError("--faults mild goes with a cluster that --nodes and --pods make".into()));
    }
    if let Some(duration) = load.duration {
        chosen.scenario.end = miniku_sim::scenario::Ending::RunsUntil(duration);
    }
    strike(&mut chosen, load.faults.as_deref())?;
    chosen.flags = format!("{flags}{}", chosen.flags);
    chosen.scenario.checked().map_err(|error| SimError(error.to_string()))?;
    Ok(chosen)
}

/// Puts the faults that are asked for in place of those that a scenario has.
fn strike(chosen: &mut Chosen, faults: Option<&str>) -> Result<(), SimError> {
    let is_fault = |entry: &Entry| matches!(entry.act, Act::Strike(_));
    let (seed, scenario) = (chosen.seed, &mut chosen.scenario);
    let of_file = match faults {
        None | Some("mild") => return Ok(()),
        Some("none" | "swarm") => Vec::new(),
        Some(file) => named(file, seed)?.timeline,
    };
    scenario.timeline.retain(|entry| !is_fault(entry));
    scenario.timeline.extend(of_file.into_iter().filter(is_fault));
    if faults == Some("swarm") {
        // They were drawn with a cluster of their own.
        scenario.add_fitting(swarm::drawn(seed).timeline.into_iter().filter(is_fault));
    }
    Ok(())
}

fn snapshot(path: &Path) -> Result<Snapshot, SimError> {
    let snapshot = Snapshot::read(&read(path)?).map_err(|error| SimError(format!("{}: {error}", path.display())))?;
    for note in &snapshot.notes {
        eprintln!("{}: {note}", path.display());
    }
    Ok(snapshot)
}
