//! The API server: the only place where programs meet.
//!
//! A request is answered from the store, or becomes a write. [`admission`] decides what a write makes of an object,
//! [`deletion`] whether a deletion removes it or only begins to. A write is answered, and told to watchers, when the
//! engine has made it durable. A second write to an object whose first is on its way waits for it.

pub mod admission;
pub mod deletion;
mod program;

pub use program::{ApiServer, Options};
