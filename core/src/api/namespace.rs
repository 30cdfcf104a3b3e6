//! Namespace: a scope for names.
//!
//! Source: Kubernetes API reference v1.32, "Namespace"; documentation, "Namespaces".

use crate::api::kinds::Column;
use crate::api::meta::ObjectMeta;
use crate::api::text::Text;
use crate::{api_enum, api_struct};

/// Where objects go whose request names no namespace.
pub const DEFAULT: &str = "default";
/// The service account that every namespace has.
pub const DEFAULT_ACCOUNT: &str = "default";
/// Where nodes' leases live.
pub const NODE_LEASES: &str = "kube-node-lease";
/// The namespaces every cluster has.
pub const BUILT_IN: &[&str] = &[DEFAULT, "kube-system", "kube-public", NODE_LEASES];
/// The entry of `spec.finalizers` that the namespace controller takes out when the namespace is empty.
pub const FINALIZER: &str = "kubernetes";

api_struct! {
    /// A namespace.
    pub struct Namespace {
        /// Names, identity, versions.
        metadata "metadata" always: ObjectMeta,
        /// What is wished.
        spec "spec" always: NamespaceSpec,
        /// Where it is in its life.
        status "status" always: NamespaceStatus,
    }
}

api_struct! {
    /// What must happen before a namespace may vanish.
    pub struct NamespaceSpec {
        /// Who must act first: `kubernetes`, until it is empty.
        finalizers "finalizers": Vec<Text>,
    }
}

api_struct! {
    /// Where a namespace is in its life.
    pub struct NamespaceStatus {
        /// `Active`, or `Terminating` once its deletion was asked for.
        phase "phase": NamespacePhase,
    }
}

api_enum! {
    /// Where a namespace is in its life.
    pub enum NamespacePhase {
        /// Objects can be created in it.
        #[default] Active "Active",
        /// It is being emptied; nothing can be created in it.
        Terminating "Terminating",
    }
}

/// What kubectl shows of namespaces.
pub const COLUMNS: &[Column] = &[
    Column::name("Name"),
    Column::new("Status", 0, |object, _| {
        let namespace: &Namespace = object.get().expect("the table of kinds hands these columns namespaces only");
        namespace.status.phase.to_string()
    }),
    Column::age(),
];
