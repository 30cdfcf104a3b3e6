//! Decisions and programs of miniku, a Kubernetes to read, run and simulate.
//!
//! Nothing in this crate touches the world. *Decisions* are pure functions over snapshots, most of them
//! tables that are both executed and printed. *Programs* are state machines around them, stepped with the
//! time and one input, pushing effects. Shells run the very same programs on threads, sockets and
//! namespaces, or on a virtual clock.
#![forbid(unsafe_code)]

#[macro_use]
pub mod coverage;
#[macro_use]
pub mod planted;

pub mod access;
pub mod api;
pub mod apiserver;
pub mod client;
pub mod controllers;
pub mod decision;
pub mod dialect;
pub mod durations;
pub mod kubelet;
pub mod pages;
pub mod patch;
pub mod program;
pub mod reasons;
pub mod record;
pub mod rng;
pub mod scheduler;
pub mod schema;
pub mod store;
pub mod table;
pub mod time;
pub mod usage;
