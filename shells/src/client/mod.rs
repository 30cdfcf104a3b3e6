//! How a program that runs alone talks to an API server: Kubernetes' HTTP API, spoken with ureq.
//!
//! [`wire`] is the translation, pure and table-tested: what is asked becomes an HTTP request, what comes back becomes
//! an answer or an event. [`paths`] knows where objects are found. [`connection`] moves the bytes and bounds the time
//! they take, on the sockets of `socket`, and says who asks by its [`credentials`]. [`remote`] puts these together. Retry and back-off are not here: they
//! are the programs' own.

pub mod connection;
pub mod credentials;
pub mod paths;
pub mod remote;
mod socket;
pub mod wire;

pub use connection::{Connection, ServerUrl, Stop, TransportError};
pub use credentials::Credentials;
pub use remote::{Ended, Remote, Watch};
