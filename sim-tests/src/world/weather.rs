//! Who is well and in touch, as far as faults go: of those it is judged whether they do in time what they should.

use super::{Actor, World};
use crate::truth::{Fact, Role};
use miniku_core::time::Instant;

impl World {
    /// The API server was started, stopped, or is in trouble: which nodes are in touch with it is found anew.
    pub(super) fn weather_changed(&mut self) {
        for machine in 0..self.machines.len() {
            self.look_at_touch(machine);
        }
        self.look_at_deciders();
        self.judge.see(&self.truth, Fact::Weather);
    }

    /// A client or its link was started, stopped, cut or healed.
    pub(super) fn weather_changed_at(&mut self, actor: usize) {
        if let Some(machine) = self.actors[actor].node {
            self.look_at_touch(machine);
        }
        if matches!(self.actors[actor].who.role, Role::Scheduler | Role::NodeLifecycle | Role::Workloads) {
            self.look_at_deciders();
        }
        self.judge.see(&self.truth, Fact::Weather);
    }

    /// Those of whom it is judged whether they do in time what they should.
    fn look_at_deciders(&mut self) {
        let (now, server) = (self.truth.now, &self.server);
        let serving = server.program.is_some() && server.frozen <= now && server.trouble.is_none();
        let well =
            |one: &Actor| one.program.is_some() && one.frozen <= now && one.link.is_fair() && one.slow.is_empty();
        let good = |role: Role| serving && self.actors.iter().filter(|one| one.who.role == role).all(well);
        let since = |role: Role, before: Option<Instant>| if good(role) { before.or(Some(now)) } else { None };
        self.truth.scheduler = since(Role::Scheduler, self.truth.scheduler);
        self.truth.lifecycle = since(Role::NodeLifecycle, self.truth.lifecycle);
        self.truth.workloads = since(Role::Workloads, self.truth.workloads);
    }

    fn look_at_touch(&mut self, machine: usize) {
        let (now, machine) = (self.truth.now, &self.machines[machine]);
        let (kubelet, server) = (&self.actors[machine.kubelet], &self.server);
        let serving = server.program.is_some() && server.frozen <= now && server.trouble.is_none();
        let runs = machine.up && machine.frozen <= now && kubelet.program.is_some() && kubelet.frozen <= now;
        let well = kubelet.link.is_fair() && kubelet.slow.is_empty() && machine.runtime.is_well();
        let good = serving && runs && well;
        let facts = self.truth.nodes.get_mut(&machine.name).expect("every machine has facts");
        facts.up = machine.up;
        facts.in_touch = if good { facts.in_touch.or(Some(now)) } else { None };
    }
}
