//! What a kubelet needs of its machine: a container runtime, facts, and a server for logs, streams and usage,
//! with a gate before it.

mod facts;
mod fake;
mod gate;
mod namespaces;
mod server;
mod streams;
mod usage;

pub use facts::{Share, facts};
pub use fake::Fake;
pub use gate::Gate;
pub use namespaces::Namespaces;
pub use server::NodeServer;
pub use usage::{PodsOn, pods_asked_of};
