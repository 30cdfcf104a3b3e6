//! Controllers: programs that bring what is towards what is wished.

pub mod attempts;
pub mod garbage;
pub mod namespaces;
pub mod node_lifecycle;
pub mod pages;
pub mod replicaset;
#[cfg(test)]
mod testing;
