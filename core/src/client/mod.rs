//! What programs that talk to the API server have in common: caches, calls, queues, back-off, expectations.

pub mod backoff;
pub mod calls;
pub mod deadlines;
pub mod elected;
pub mod events;
pub mod expectations;
pub mod informer;
pub mod leader;

pub use backoff::{Backoff, Tries};
pub use calls::{Calls, Ids};
pub use deadlines::{Deadlines, Queue, RETRY};
pub use expectations::Expectations;
pub use informer::{Change, Informer};
