//! Machines and what really runs on them.

use super::agenda::Happening;
use super::{Noise, TICK, World};
use crate::runtime::{Deed, Life, Results};
use crate::trace::What;
use crate::truth::Fact;
use miniku_core::kubelet::runtime::Command;
use miniku_core::program::Input;
use miniku_core::sometimes;
use miniku_core::time::Duration;
use std::sync::Arc;

impl World {
    /// A command of a kubelet reaches the runtime.
    pub(super) fn command(&mut self, node: usize, boot: u32, life: u32, command: Command) {
        let machine = &mut self.machines[node];
        // What a killed kubelet had not handed over yet is gone with it.
        if machine.boot == boot && machine.up && self.actors[machine.kubelet].who.life == life {
            let mut results = Results::default();
            machine.runtime.command(command, &mut results);
            self.results(node, results);
        }
    }

    /// The runtime does what it is about to do.
    pub(super) fn deed(&mut self, node: usize, boot: u32, deed: Deed) {
        let kubelet = self.machines[node].kubelet;
        let wall = self.actors[kubelet].clock.now(self.truth.now).wall;
        let machine = &mut self.machines[node];
        if machine.boot != boot {
            return;
        }
        let mut results = Results::default();
        let report = machine.runtime.act(wall, deed, &mut results);
        self.results(node, results);
        if let Some(report) = report {
            self.step_actor(kubelet, Input::Runtime(report));
        }
    }

    pub(super) fn results(&mut self, node: usize, results: Results) {
        let name = self.machines[node].name.clone();
        for life in results.lives {
            self.life(&name, &life);
        }
        let machine = &mut self.machines[node];
        for (after, deed) in results.later {
            let mut at = self.truth.now + after;
            if matches!(deed, Deed::Tell(_)) {
                at = at.max(machine.told_at + TICK);
                machine.told_at = at;
            }
            let (boot, deed) = (machine.boot, Box::new(deed));
            self.agenda.add(at, node as u64, Happening::Deed { node, boot, deed });
        }
    }

    fn life(&mut self, node: &Arc<str>, life: &Life) {
        let (Life::Started(process) | Life::Ended(process, _)) = life;
        let (began, on, one) = (matches!(life, Life::Started(_)), node.clone(), process.clone());
        self.tell(|| What::Process { began, node: on, process: one });
        let (process, verb) = match life {
            Life::Started(process) => {
                self.counts.starts += 1;
                self.truth.started(node, process);
                self.judge.see(&self.truth, Fact::Started { node, process });
                (process, "runs")
            }
            Life::Ended(process, code) => {
                self.counts.ends += 1;
                self.truth.ended(node, process);
                self.judge.see(&self.truth, Fact::Ended { node, process, code: *code });
                (process, "has ended")
            }
        };
        let what = format!("{}/{}.{} {verb}", process.pod.name, process.container, process.attempt);
        self.last_noise = Noise::Process(what);
    }

    /// A machine has power again.
    pub(super) fn start_node(&mut self, node: usize, boot: u32) {
        let machine = &mut self.machines[node];
        if machine.boot != boot || machine.up {
            return;
        }
        machine.up = true;
        let (kubelet, node) = (machine.kubelet, machine.name.clone());
        self.tell(|| What::Node { up: true, node });
        let life = self.actors[kubelet].who.life;
        self.start(kubelet, life);
    }

    pub(super) fn crash_node(&mut self, node: usize, down: Option<Duration>) {
        if !self.machines[node].up {
            return;
        }
        self.crash(self.machines[node].kubelet, None);
        let machine = &mut self.machines[node];
        machine.up = false;
        machine.boot += 1;
        machine.frozen = self.truth.now;
        let (name, boot) = (machine.name.clone(), machine.boot);
        let lives = machine.runtime.crash();
        if !lives.is_empty() {
            sometimes!(NodeLostPower);
        }
        self.tell(|| What::Node { up: false, node: name.clone() });
        for life in lives {
            self.life(&name, &life);
        }
        if let Some(down) = down {
            self.agenda.add(self.truth.now + down, node as u64, Happening::StartNode { node, boot });
        }
        self.weather_changed_at(self.machines[node].kubelet);
    }
}
