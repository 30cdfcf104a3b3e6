//! Shows what happens in a small cluster: `cargo run -p miniku-sim --example look [SEED]`.

use miniku_core::time::{Duration, Instant};
use miniku_sim::cluster::Cluster;
use miniku_sim::plan::{self, Plan};
use miniku_sim::trace::Mode;

fn main() {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let mut plan = Plan::default();
    plan.ask(Duration::from_secs(1), plan::create(plan::replica_set("web", 3, "")));
    plan.ask(Duration::from_secs(10), plan::scale("web", 1));
    let mut world = Cluster::whole(seed, 2).trace(Mode::Story).begin(&plan);
    world.run_until(Instant::default() + Duration::from_secs(30));
    print!("{}", world.trace().text());
    println!("{:?}\n{:?}", world.counts(), world.violation());
}
