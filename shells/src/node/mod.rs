//! What a kubelet needs of its machine: a container runtime, facts, and a server for logs and streams, with
//! a gate before it.

mod facts;
mod fake;
mod gate;
mod namespaces;
mod server;
mod streams;

pub use facts::{Share, facts};
pub use fake::Fake;
pub use gate::Gate;
pub use namespaces::Namespaces;
pub use server::NodeServer;
