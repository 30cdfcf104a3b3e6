//! The node agent: which containers run, and what is told of them.
pub mod runtime;
