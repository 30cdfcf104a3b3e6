//! Controllers: programs that compare what is wished with what is, and ask for what is missing.

pub mod attempts;
pub mod garbage;
pub mod namespaces;
pub mod node_lifecycle;
pub mod pages;
pub mod replicaset;
#[cfg(test)]
mod testing;
