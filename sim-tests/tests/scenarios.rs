//! Every scenario over many seeds; MINIKU_SIM_SEED picks one, MINIKU_SIM_SEEDS says how many.

use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Key;
use miniku_core::decision::Noted;
use miniku_core::pages::pages;
use miniku_sim::scenario::Scenario;
use miniku_sim::trace::Mode;
use miniku_sim::{library, swarm};
use std::collections::BTreeSet;
use std::path::Path;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn check(make: impl Fn(u64) -> Scenario, seeds: u64) {
    let name = make(1).name;
    if let Some(seed) = number("MINIKU_SIM_SEED") {
        return one(&make(seed), seed);
    }
    let seeds = number("MINIKU_SIM_SEEDS").unwrap_or(seeds);
    println!("{name}: seeds 1 to {seeds}");
    (1..=seeds).for_each(|seed| one(&make(seed), seed));
}

fn one(scenario: &Scenario, seed: u64) {
    if let Err(failure) = scenario.run(seed) {
        let again = format!("again: miniku sim run --scenario {} --seed {seed}", scenario.name);
        panic!("\n{}, seed {seed}: {failure}{again}", scenario.name);
    }
}

#[test]
fn the_library() {
    for scenario in library::all() {
        check(|_| scenario.clone(), if scenario.name == "crowded" { 5 } else { 20 });
        if let Some(seed) = scenario.seed {
            one(&scenario, seed);
        }
    }
}

#[test]
fn swarms() {
    check(swarm::scenario, 200);
}

#[test]
fn every_file_is_in_the_library_and_says_what_it_is_about() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned))
        .collect();
    let library: BTreeSet<String> = library::LIBRARY.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(files, library);
    for (name, text) in library::LIBRARY {
        let scenario = Scenario::read(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(&scenario.name, name);
        assert!(scenario.about.ends_with('.'), "{name}: {:?}", scenario.about);
        assert_eq!(Scenario::read(&scenario.text()).as_ref(), Ok(&scenario), "{}", scenario.text());
    }
}

#[test]
fn what_is_drawn_can_be_written_and_read() {
    for seed in 1..300 {
        let scenario = swarm::scenario(seed);
        assert_eq!(Scenario::read(&scenario.text()).as_ref(), Ok(&scenario), "{}", scenario.text());
    }
}

fn json(scenario: &Scenario, seed: u64) -> String {
    let world = scenario.trace(seed, Mode::Full);
    world.trace().entries().map(|entry| entry.json() + "\n").collect()
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    for scenario in library::all().chain([swarm::scenario(3)]) {
        let (first, second, other) = (json(&scenario, 3), json(&scenario, 3), json(&scenario, 4));
        assert!(first == second, "{}: two runs of one seed differ", scenario.name);
        assert!(first != other, "{}: two seeds do the same", scenario.name);
    }
}

/// Looking on changes nothing, not even the numbers of entries.
#[test]
fn a_trace_costs_time_but_changes_nothing() {
    for scenario in library::all() {
        let end = |mode| {
            let mut world = scenario.trace(5, mode);
            (world.trace().digest(), world.trace_mut().number())
        };
        assert_eq!(end(Mode::Off), end(Mode::Full), "{}", scenario.name);
    }
}

/// A process that runs was asked for by somebody: causes lead from it to an operator or to the beginning.
#[test]
fn causes_lead_back_to_who_asked() {
    let world = library::named("one-pod").unwrap().trace(1, Mode::Full);
    let trace = world.trace();
    let lines =
        |past: Vec<&miniku_sim::trace::Entry>| past.into_iter().filter_map(|entry| entry.line()).collect::<Vec<_>>();
    let runs = trace.entries().find(|entry| entry.line().is_some_and(|line| line.contains("runs"))).unwrap();
    let past = lines(trace.past(runs.seq, 100)).join("\n");
    for step in ["operator#1", "create po/hello", "bind po/hello", "run hello[main.0]", "process"] {
        assert!(past.contains(step), "{step} is missing in\n{past}");
    }
}

#[test]
fn a_world_tells_why_a_pod_was_evicted() {
    let story = library::named("node-death").unwrap().story(1);
    let mut world = story.cluster.clone().begin(&story.plan);
    world.keep_journal();
    let world = story.tell_in(world);
    let journal = world.journal().unwrap();
    let rows = |key: &Key| {
        let row = |one: &Noted| format!("{}/{}", one.decision.because.table, one.decision.because.row);
        journal.chain(key).into_iter().map(row).collect::<Vec<String>>()
    };
    let node = Key::new(Kind::Node, "", "node-1");
    let mut evicted = journal.chain(&node).into_iter().map(|one| &one.decision);
    let evicted = evicted.rfind(|one| one.because.table == "silent_pod").expect("a pod is evicted for the node's sake");
    assert_eq!(evicted.sake, Some(node.clone()));
    let (of_node, of_pod) = (rows(&node), rows(&evicted.about[0]));
    assert!(of_node.iter().any(|row| row.starts_with("silence/")), "{of_node:?}");
    for row in of_node.iter().chain(&of_pod) {
        assert!(stands_on_a_page(row), "{row} stands on no page");
    }
    for part in [
        "reasons/missing",
        "scheduler_strategies/least-allocated",
        "container_action/create",
        "silence/",
        "silent_pod/",
    ] {
        assert!(of_pod.iter().any(|row| row.starts_with(part)), "{part} is not in {of_pod:?}");
    }
}

/// Whether what is told as `table/row` is printed among the decisions.
fn stands_on_a_page(row: &str) -> bool {
    let (table, row) = row.split_once('/').unwrap();
    pages().iter().any(|page| {
        let in_a_table = page.tables().any(|one| one.name == table && one.rows.iter().any(|one| one.name == row));
        in_a_table || page.name == table && page.text().contains(&format!("`{row}`"))
    })
}
