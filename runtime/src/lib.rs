//! Pods as Linux namespaces.
//!
//! The road of one container, read downwards:
//!
//! 1. [`node`]: a kubelet's [`Command`](miniku_core::kubelet::runtime::Command) comes in, the pod's directory, cgroups
//!    and image are made ready, and the binary is started again as the pod's init process.
//! 2. [`pod_init`]: that process holds the pod's namespaces, starts and reaps its containers, writes their
//!    logs and their ends to disk, and outlives the kubelet.
//! 3. [`plan`]: a container's specification becomes a list of operations. Pure, printed, tested without root.
//! 4. [`enter`]: performs the list. Everything `unsafe` of this crate is in that one file.
//!
//! Beside the road: [`cgroup`] (versions 1, 2 and mixtures), [`seccomp`] (the filter as data and as a
//! program), [`images`], [`records`] (what is on disk), [`wire`] (what node and pod-init say to each
//! other), [`logs`] (the CRI format, written and read).
#![deny(unsafe_code)]

pub mod cgroup;
#[allow(unsafe_code)]
pub mod enter;
pub mod images;
pub mod logs;
pub mod node;
pub mod plan;
pub mod pod_init;
pub mod records;
pub mod seccomp;
pub mod wire;

pub use logs::LogReader;
pub use node::{Config, Runtime, down};
pub use pod_init::pod_init_main;

/// Prints a complaint. One that cannot be printed, on a full disk or to a closed pipe, is no reason to end, as it is
/// for `eprintln!`: with a pod-init ends its pod.
pub(crate) fn complain(what: impl std::fmt::Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{what}");
}
