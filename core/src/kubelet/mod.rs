//! The node agent: which containers run, and what is told of them.
//!
//! [`admission`] decides whether the node takes a pod, [`container_action`] about one container, [`pod_phase`] what that
//! makes of the pod, [`restart`] how long to wait before trying again. The program around them keeps one worker a pod
//! uid; a pod of the same name and another uid is another pod. What runs is known from the runtime's reports alone, so a
//! restarted kubelet finds itself where it was.

pub mod admission;
pub mod container_action;
pub mod node;
mod pages;
pub mod pod_phase;
mod program;
pub mod restart;
pub mod runtime;
pub mod spec;
pub mod status;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use pages::pages;
pub use program::{Kubelet, Options};
