//! `register node`: a node made known by hand. k8s-lite's verb; kubelets register themselves.

use crate::cli::Session;
use crate::cli::error::CliError;
use clap::{Args, Subcommand};
use miniku_core::api::kinds::Kind;
use serde_json::json;
use std::io::Write;

/// The end of `--help`.
pub const EXAMPLE: &str = "Example:\n  miniku register node --name node-3 --address 10.0.0.3";

/// What to make known.
#[derive(Args, Debug)]
pub struct RegisterArgs {
    /// What to make known.
    #[command(subcommand)]
    pub what: Registered,
}

/// What can be made known.
#[derive(Debug, Subcommand)]
pub enum Registered {
    /// A node
    #[command(after_help = EXAMPLE)]
    Node {
        /// The node's name
        #[arg(long)]
        name: String,
        /// Where it is reached
        #[arg(long)]
        address: String,
    },
}

/// Makes a node known.
pub fn run(args: &RegisterArgs, session: &mut Session) -> Result<(), CliError> {
    let Registered::Node { name, address } = &args.what;
    let host = address.parse::<std::net::SocketAddr>().map_or(address.clone(), |socket| socket.ip().to_string());
    let addresses = json!([{"type": "InternalIP", "address": host}, {"type": "Hostname", "address": name}]);
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"addresses": addresses},
    });
    session.cluster.create(Kind::Node, "", &node, false)?;
    writeln!(session.out, "Node {name} registered with address {address}")?;
    Ok(())
}
