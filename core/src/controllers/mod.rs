//! Controllers: programs that bring what is towards what is wished.

pub mod replicaset;
