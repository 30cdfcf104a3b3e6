//! What touches the world: the command line, HTTP, threads, disks, nodes.

pub mod api;
pub mod cli;
pub mod client;
pub mod clock;
pub mod daemons;
pub mod driver;
pub mod engine;
pub mod host;
pub mod http;
pub mod local;
pub mod node;
pub mod panics;
pub mod recording;
pub mod remote;
mod stored;
pub mod streams;
mod yaml;
