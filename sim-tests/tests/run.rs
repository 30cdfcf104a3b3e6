//! Runs for their own sake.

use miniku_core::time::Duration;
use miniku_sim::run::{Options, run};

#[test]
fn a_cluster_runs_what_it_is_asked_to() {
    let options = Options { nodes: 20, pods: 150, duration: Duration::from_secs(60), ..Options::default() };
    let summary = run(&options);
    assert_eq!((summary.violation.clone(), summary.running, summary.simulated), (None, 150, options.duration));
    assert_eq!(run(&options), summary);
    assert_ne!(run(&Options { seed: 2, ..options }).digest, summary.digest);
    assert!(summary.to_string().contains("150 pods run"), "{summary}");
}

/// What an event costs must not grow with the cluster: neither, then, may their number for each node.
#[test]
fn an_idle_cluster_costs_heartbeats_only() {
    let events = |nodes, secs| {
        let duration = Duration::from_secs(secs);
        run(&Options { nodes, pods: nodes, duration, ..Options::default() }).counts.events
    };
    for nodes in [10, 40] {
        let idle = events(nodes, 500) - events(nodes, 100);
        let beats = nodes as u64 * 400 / 5;
        assert!(idle < beats * 7, "{nodes} nodes: {idle} events for {beats} heartbeats");
    }
}
