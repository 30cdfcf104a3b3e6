//! A scheduler of one's own, tried out: `cargo run -p miniku-sim --example strategy`.
//!
//! It fills the first ready node by name before it takes the next, and counts pods only. The simulator runs it with all
//! other programs as they are, for many seeds, under whatever goes wrong; and says that counting pods is not enough.

use miniku_core::api::{kinds::Kind, node::Node, object::Resource, pod::Pod};
use miniku_core::client::{Calls, Informer, informer};
use miniku_core::program::{Effects, Input, Program, Query, Verb};
use miniku_core::time::Now;
use miniku_sim::story::{self, Story, secs};
use miniku_sim::{cluster::Cluster, plan, swarm, truth::Role, world::Birth};
use std::collections::BTreeSet;

struct FirstNode {
    pods: Informer,
    nodes: Informer,
    binds: Calls<String>,
    room: usize,
}

impl Program for FirstNode {
    fn step(&mut self, now: Now, input: Input, out: &mut Effects) {
        self.pods.step(now, &input, out);
        self.nodes.step(now, &input, out);
        self.binds.ended(now, &input);
        out.wake_at(self.binds.next());
        if !self.pods.is_synced() || !self.nodes.is_synced() {
            return;
        }
        let open: BTreeSet<String> = self.binds.open().cloned().collect();
        let on = |node: &str| self.pods.all::<Pod>().filter(|pod| pod.node() == Some(node)).count();
        let taken = |node: &&Node| node.is_ready() && on(&node.metadata.name) + open.len() < self.room;
        let waits = |pod: &&Pod| pod.node().is_none() && !open.contains(&pod.metadata.uid.to_string());
        let pod = self
            .pods
            .all::<Pod>()
            .find(waits)
            .map(|pod| (pod.clone().into_object().key(), pod.metadata.uid.to_string()));
        let node = self.nodes.all::<Node>().find(taken).map(|node| node.metadata.name.to_string());
        if let (Some((key, uid)), Some(node)) = (pod, node) {
            let verb = Verb::Bind { key, uid: uid.as_str().into(), node: node.into() };
            self.binds.call(now, uid, verb, out);
        }
    }
}

fn first_node(birth: Birth<'_>, room: usize) -> FirstNode {
    let informer = |kind, space| Informer::new(Query::all(kind), space, birth.seed, informer::Options::default());
    FirstNode { pods: informer(Kind::Pod, 1), nodes: informer(Kind::Node, 2), binds: Calls::in_space(3), room }
}

fn with(cluster: Cluster, room: usize) -> Cluster {
    cluster.program(Role::Scheduler, "scheduler", move |birth| Box::new(first_node(birth, room)))
}

fn main() {
    let ask = plan::create(plan::replica_set("web", 12, ""));
    let day = || Story::of(with(Cluster::whole(1, 3), 8)).at(secs(1), ask.clone());
    match story::tell(day) {
        Ok(world) => {
            let on = |node| world.truth().active("web").filter(|pod| pod.node() == Some(node)).count();
            println!("a quiet day: {} on node-1, {} on node-2, {} on node-3", on("node-1"), on("node-2"), on("node-3"));
        }
        Err(failure) => println!("a quiet day: {failure}"),
    }
    for seed in 1..500 {
        let drawn = swarm::drawn(seed);
        let told = story::tell(|| Story { cluster: with(drawn.cluster.cluster(seed), 100), ..drawn.story(seed) });
        if let Err(failure) = told {
            return println!("\nseed {seed}: {failure}");
        }
    }
    println!("nothing was found");
}
