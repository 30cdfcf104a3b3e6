//! The API's objects: Kubernetes' own names, shapes and rules, from one table of kinds.

pub mod access;
pub mod core_v1;
pub mod custom;
pub mod defaults;
pub mod event;
pub mod jsonpath;
pub mod kinds;
pub mod lease;
pub mod meta;
pub mod name;
pub mod names;
pub mod namespace;
pub mod node;
pub mod object;
pub mod plain;
pub mod pod;
pub mod quantity;
pub mod replicaset;
pub mod scale;
pub mod selector;
pub mod served;
pub mod status;
pub mod structs;
pub mod tabular;
pub mod validation;
pub mod workloads;
