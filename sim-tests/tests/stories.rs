//! Two stories word for word: a change in behaviour is reviewed as the difference of a trace.
//!
//! `MINIKU_WRITE_TRACES=1 cargo test -p miniku-sim --test stories` writes them anew.

use miniku_sim::library;
use miniku_sim::trace::Mode;
use std::fs;
use std::path::Path;

fn check(name: &str) {
    let scenario = library::named(name).expect("there is such a scenario");
    let world = scenario.trace(SEED, Mode::Story);
    assert_eq!(world.violation(), None);
    let (about, plan) = (&scenario.about, scenario.plan());
    let text = format!("# {about}\n# Seed {SEED}. What is done:\n{plan}\n{}", world.trace().story());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(format!("{name}.trace"));
    if std::env::var("MINIKU_WRITE_TRACES").is_ok() {
        return fs::write(file, text).expect("the trace can be written");
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    if kept != text {
        let at = kept.lines().zip(text.lines()).position(|(kept, now)| kept != now).unwrap_or(kept.lines().count());
        let (was, is) = (kept.lines().nth(at).unwrap_or("nothing"), text.lines().nth(at).unwrap_or("nothing"));
        panic!(
            "scenarios/{name}.trace differs from line {} on:\n- {was}\n+ {is}\n\
             If that is meant: MINIKU_WRITE_TRACES=1 cargo test -p miniku-sim --test stories",
            at + 1
        );
    }
}

const SEED: u64 = 1;

#[test]
fn one_pod() {
    check("one-pod");
}

#[test]
fn node_reboot() {
    check("node-reboot");
}
