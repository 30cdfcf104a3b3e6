//! What is to happen, in its order.

use crate::runtime::Deed;
use crate::trace::Seq;
use miniku_core::kubelet::runtime::Command;
use miniku_core::program::{CallId, CommitId, Committed, Effect, Input, RequestId};
use miniku_core::time::Instant;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What happens at a time.
pub(super) enum Happening {
    Start {
        actor: usize,
        life: u32,
    },
    Wake {
        actor: usize,
        life: u32,
    },
    /// A request reaches the API server.
    Arrive {
        id: RequestId,
    },
    /// The API server learns that who asked has gone.
    Gone {
        id: RequestId,
    },
    /// Something reaches a client.
    Deliver {
        actor: usize,
        life: u32,
        input: Input,
    },
    /// Nothing more comes on a watch.
    End {
        actor: usize,
        life: u32,
        call: CallId,
    },
    StartServer {
        life: u32,
    },
    WakeServer {
        life: u32,
    },
    Synced {
        life: u32,
    },
    Commit {
        life: u32,
        commit: CommitId,
        outcome: Committed,
    },
    Command {
        node: usize,
        boot: u32,
        life: u32,
        // The largest ones, and rare: they would make all others as large.
        command: Box<Command>,
    },
    Deed {
        node: usize,
        boot: u32,
        deed: Box<Deed>,
    },
    /// From now on, what a fault waits for is counted.
    Arm {
        fault: usize,
    },
    /// The same for a part that is called for.
    ArmCall {
        call: usize,
    },
    Strike {
        fault: usize,
    },
    /// A fault that strikes again and again does, and so often after that.
    Repeat {
        fault: usize,
        left: u32,
    },
    Heal {
        fault: usize,
    },
    /// What a slow program did leaves it.
    Leave {
        actor: usize,
        life: u32,
        /// What it asks for has its name already: checkers hear of it when it is decided.
        effects: Vec<(Effect, Option<RequestId>)>,
    },
    StartNode {
        node: usize,
        boot: u32,
    },
}

/// A place in the order of events.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    pub at: Instant,
    /// When it was to happen first: what was put off happens before what comes then, and in the order in which it came.
    due: Instant,
    tie: u64,
    id: u64,
    slot: usize,
}

/// Events to come, each with what led to it.
#[derive(Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Reverse<Turn>>,
    slots: Vec<Option<(Seq, Happening)>>,
    free: Vec<usize>,
    made: u64,
    /// What leads to the events that are added now.
    pub cause: Seq,
}

impl Agenda {
    pub fn add(&mut self, at: Instant, tie: u64, what: Happening) {
        let slot = self.keep(what);
        self.made += 1;
        self.heap.push(Reverse(Turn { at, due: at, tie, id: self.made, slot }));
    }

    /// What had its turn now has it later.
    pub fn put_off(&mut self, turn: Turn, at: Instant, what: Happening) {
        let slot = self.keep(what);
        self.heap.push(Reverse(Turn { at, slot, ..turn }));
    }

    fn keep(&mut self, what: Happening) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some((self.cause, what));
        slot
    }

    pub fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(turn)| turn.at)
    }

    pub fn pop(&mut self) -> Option<(Turn, Happening)> {
        let Reverse(turn) = self.heap.pop()?;
        self.free.push(turn.slot);
        let (cause, what) = self.slots[turn.slot].take().expect("a turn has its event");
        self.cause = cause;
        Some((turn, what))
    }
}
