//! Namespaces: emptying those that are being deleted.
//!
//! [`emptying`] decides what is done with one. The API server creates nothing in it any more; so when nothing is left
//! in it, nothing will be, and it may go.

pub mod emptying;
mod program;

pub use program::{NamespaceController, Options};

use crate::pages::Page;

/// The pages of this folder's tables.
pub fn pages() -> Vec<Page> {
    vec![
        Page::new("emptying", "What is done with a namespace that is being deleted", "the namespace controller")
            .says(
                "A namespace that is being deleted is held by `kubernetes` in its `spec.finalizers` until everything \
                 in it is gone. What is in it is listed, deleted, and listed again.",
            )
            .decides(&emptying::EMPTYING),
    ]
}
