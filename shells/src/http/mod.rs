//! HTTP/1.1 for the API server: an own front before tiny_http.
//!
//! ```text
//!  client ──TCP──► front.rs (one thread, epoll) ──Unix socket──► tiny_http ──► server.rs (workers) ──► handler
//!                  front/      what the loop does for a connection, one file for each thing
//!                  framing.rs  where a request begins and ends, and what is refused
//!                  origin.rs   which browser pages may speak to an unauthenticated port
//!                  refusal.rs  the front's own answers, as Kubernetes Status objects
//!                  client.rs   what front and server know of one connection: it left, its answer ends here
//! ```
//!
//! tiny_http parses and schedules; everything it does not bound (heads, bodies, time, connections) is bounded
//! in the front, which also notices when a client leaves. TLS is not here. Why it is built so, and what it
//! costs: `docs/why/http-front.md`.

mod asked;
mod at_once;
mod client;
mod exchange;
mod framing;
mod front;
mod metrics;
pub mod origin;
mod refusal;
mod server;
mod wording;

pub use asked::{Asked, Headers, LEASE};
pub use at_once::{AtOnce, Growing, Reply, Respond};
pub use client::{Client, Departure};
pub use exchange::{Exchange, Stream};
pub use framing::{BodyLength, Event, Framing, FramingLimits, Head};
pub use front::{Limits, Upgrade, UpgradeHandler};
pub use metrics::Metrics;
pub use refusal::{Refusal, status_body};
pub use server::{Config, Handler, Serving, raise_open_files, serve};
