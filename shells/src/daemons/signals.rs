//! Being told to stop.

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use std::io;

/// SIGTERM and SIGINT, kept from every thread that is started afterwards.
pub struct Signals(SigSet);

impl Signals {
    /// Blocks them. To be called before any thread is started: a thread inherits its parent's mask.
    pub fn block() -> io::Result<Self> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGTERM);
        set.add(Signal::SIGINT);
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
        Ok(Signals(set))
    }

    /// Waits until one comes.
    pub fn wait(&self) -> io::Result<Signal> {
        Ok(self.0.wait()?)
    }
}
