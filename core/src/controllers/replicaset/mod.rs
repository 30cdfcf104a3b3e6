//! ReplicaSet controller: so many pods of one template, always.
//!
//! [`scale`] decides how many pods to make and which to delete, [`keep`] which finished ones stay to be looked at,
//! [`claim`] which pods are a set's own. The program around them counts nothing by memory: it looks at its view, and
//! waits with the next decision until the view shows the last one.

pub mod claim;
pub mod keep;
mod program;
pub mod scale;

pub use program::{Options, ReplicaSetController};

use crate::pages::Page;

/// The pages of this folder's decisions.
pub fn pages() -> Vec<Page> {
    vec![
        Page::new("claim", "Which pods are a set's own", BY)
            .says("Asked of each pod that names the set as its controller, and of each in its namespace that has none.")
            .decides(&claim::CLAIM),
        scale::page(),
        keep::page(),
    ]
}

/// Who decides here.
const BY: &str = "the ReplicaSet controller";
