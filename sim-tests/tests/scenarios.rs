//! Every scenario over many seeds; MINIKU_SIM_SEED picks one, MINIKU_SIM_SEEDS says how many.

use miniku_sim::scenario::Scenario;
use miniku_sim::scenarios;
use miniku_sim::trace::Mode;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn check(name: &str, seeds: u64) {
    let scenario = scenarios::named(name).expect("there is such a scenario");
    if let Some(seed) = number("MINIKU_SIM_SEED") {
        return one(scenario, seed);
    }
    let seeds = number("MINIKU_SIM_SEEDS").unwrap_or(seeds);
    println!("{name}: seeds 1 to {seeds}");
    (1..=seeds).for_each(|seed| one(scenario, seed));
}

fn one(scenario: &Scenario, seed: u64) {
    if let Err(failure) = scenario.run(seed) {
        panic!("\n{failure}");
    }
}

macro_rules! tests {
    ($($name:ident $seeds:literal;)+) => {
        $(#[test]
        fn $name() {
            check(stringify!($name), $seeds);
        })+

        #[test]
        fn every_scenario_is_tested() {
            let tested = [$(stringify!($name)),+];
            assert!(scenarios::SCENARIOS.iter().map(|scenario| scenario.name).eq(tested));
        }
    };
}

tests! {
    one_pod 20;
    scale 20;
    exits 20;
    no_image 20;
    kubelet_restart 20;
    node_death 20;
    node_gone 20;
    node_reboot 20;
    cut_off 20;
    disk_full 20;
    api_restart 20;
    api_away 20;
    replies_lost 20;
    half_done 20;
    same_name 20;
    collected 20;
    crowded 5;
    swarm 200;
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    for scenario in scenarios::SCENARIOS {
        let text = |seed| (scenario.story)(seed).tell(Mode::Full).trace().text();
        let (first, second, other) = (text(3), text(3), text(4));
        assert!(first == second, "{}: two runs of one seed differ", scenario.name);
        assert!(first != other, "{}: two seeds do the same", scenario.name);
    }
}

/// Looking on changes nothing.
#[test]
fn a_trace_costs_time_but_changes_nothing() {
    for scenario in scenarios::SCENARIOS {
        let digest = |mode| (scenario.story)(5).tell(mode).trace().digest();
        assert_eq!(digest(Mode::Off), digest(Mode::Full), "{}", scenario.name);
    }
}
