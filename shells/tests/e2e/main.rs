//! The world: the built binary, real processes, the real kernel, a real curl. Needs root.
//!
//! Every test has a network namespace of its own with nothing in it but loopback, so that it can use the ports of the
//! README while others do; and data directories of its own, of which nothing is left behind, whether it passes or not.
//! Nothing sleeps for luck: each step waits for what it needs, up to a deadline.

mod access;
mod api;
mod autoscaling;
mod bad_input;
mod cli;
mod daemons;
mod down;
mod durability;
mod election;
mod http;
mod pods;
mod quickstart;
mod recording;
mod streams;
mod test_server;
mod too_much;
mod why;
mod workloads;
mod world;
