//! What touches the world: the command line, HTTP, threads, disks.

pub mod cli;
pub mod client;
