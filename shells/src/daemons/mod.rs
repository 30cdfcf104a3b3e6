//! The daemons: which programs run in a process, and what they are connected to.

mod access;
mod all_in_one;
mod alone;
mod down;
mod logging;
mod parts;
mod ready;
mod signals;

pub use all_in_one::up;
pub use alone::{apiserver, controller, kubelet, scheduler};
pub use down::down;

/// Why a daemon could not start, or ended badly: one sentence for people.
#[derive(Debug)]
pub struct DaemonError(pub String);

impl std::fmt::Display for DaemonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DaemonError {}

impl From<std::io::Error> for DaemonError {
    fn from(error: std::io::Error) -> Self {
        DaemonError(error.to_string())
    }
}
