//! Connections that both sides use at once: exec, attach and port-forward.
//!
//! ```text
//!  kubectl ──WebSocket──► API server ──the same bytes──► kubelet ──descriptors──► a process in a container
//!                         api/streams.rs: who, where     node/streams.rs
//! ```
//!
//! The kubelet speaks the protocols; the API server finds the node and then only passes bytes on ([`splice`]). Here is
//! what is spoken: [`websocket`] cuts a stream into messages, [`channels`] says what the messages of exec and attach
//! mean, [`spdy`] and [`tunnel`] carry several connections through one, for port-forward. All of them are state machines
//! without sockets, for both sides; who owns the sockets waits with poll(2), in one thread a connection, and reads from
//! one side only what the other has room for.

pub mod carried;
pub mod channels;
pub mod dial;
pub mod outbox;
pub mod spdy;
pub mod splice;
pub mod tunnel;
pub mod wait;
pub mod websocket;
