//! Namespaces: emptying those that are being deleted.
//!
//! [`emptying`] decides what is done with one. The API server creates nothing in it any more; so when nothing is left
//! in it, nothing will be, and it may go.

pub mod emptying;
mod program;

pub use program::{NamespaceController, Options};

use crate::controllers::pages::page;

/// A page for each table: the stem of its file, and its Markdown.
pub fn pages() -> Vec<(&'static str, String)> {
    vec![(
        "emptying",
        page(
            "What is done with a namespace",
            "A namespace that is being deleted is held by `kubernetes` in its `spec.finalizers` until everything in it \
             is gone. What is in it is listed, deleted, and listed again.",
            &emptying::EMPTYING.page(),
        ),
    )]
}
