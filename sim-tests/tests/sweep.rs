//! A sample of all sweeps; MINIKU_SIM_SEED picks another one.

use miniku_sim::{library, sweep};

/// So many variations are run.
const MANY: usize = 250;

#[test]
fn one_thing_gone_wrong_changes_nothing_in_the_end() {
    let seed = std::env::var("MINIKU_SIM_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let all: Vec<_> = sweep::all().collect();
    println!("seed {seed}: {MANY} of {} variations", all.len());
    assert!(all.len() > MANY);
    for variation in sweep::sample(all, MANY, seed) {
        if let Err(failure) = sweep::run(&variation) {
            panic!("\n{variation}: {failure}\n{}", variation.scenario().text());
        }
    }
}

#[test]
fn a_variation_is_a_scenario() {
    let all: Vec<_> = sweep::variations(library::named("one-pod").unwrap()).collect();
    for variation in sweep::sample(all, 40, 1) {
        let scenario = variation.scenario();
        assert_eq!(miniku_sim::scenario::Scenario::read(&scenario.text()).unwrap(), scenario);
    }
}
