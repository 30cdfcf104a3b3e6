//! `cordon` and `uncordon`: whether a node gets further pods.

use crate::cli::Session;
use crate::cli::cluster::name;
use crate::cli::error::CliError;
use crate::cli::select::{self, SelectArgs};
use crate::client::wire::{self, STRATEGIC_PATCH};
use clap::Args;
use miniku_core::api::kinds::Kind;
use serde_json::{Value, json};
use std::io::Write;

/// The end of `cordon --help`.
pub const CORDON_EXAMPLE: &str = "Examples:\n  miniku cordon node-1\n  miniku cordon -l disk=old";
/// The end of `uncordon --help`.
pub const UNCORDON_EXAMPLE: &str = "Example:\n  miniku uncordon node-1";

/// Which nodes.
#[derive(Args, Debug)]
pub struct CordonArgs {
    /// Names of nodes
    #[arg(value_name = "NODE", required_unless_present = "selector")]
    pub nodes: Vec<String>,
    /// All nodes with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "nodes")]
    pub selector: Option<String>,
}

/// Cordons nodes, or takes that back.
pub fn run(args: &CordonArgs, cordon: bool, session: &mut Session) -> Result<(), CliError> {
    nodes(&args.nodes, args.selector.as_deref(), session)?.iter().try_for_each(|node| mark(node, cordon, session))?;
    Ok(session.out.flush()?)
}

/// The nodes that are meant.
pub fn nodes(names: &[String], selector: Option<&str>, session: &Session) -> Result<Vec<Value>, CliError> {
    let names = names.iter().map(|name| name.strip_prefix("node/").or(name.strip_prefix("nodes/")).unwrap_or(name));
    let words: Vec<String> = std::iter::once("nodes").chain(names).map(str::to_owned).collect();
    let args = SelectArgs { selector: selector.map(str::to_owned), ..SelectArgs::default() };
    Ok(select::objects(&words, &args, session)?.into_iter().map(|(_, node)| node).collect())
}

/// Marks one node, and says so.
pub fn mark(node: &Value, cordon: bool, session: &mut Session) -> Result<(), CliError> {
    let (name, word) = (name(node), if cordon { "cordoned" } else { "uncordoned" });
    if (node["spec"]["unschedulable"] == true) == cordon {
        writeln!(session.out, "node/{name} already {word}")?;
        return Ok(());
    }
    let patch = json!({"spec": {"unschedulable": if cordon { Value::Bool(true) } else { Value::Null }}});
    session.cluster.patch(&wire::key(Kind::Node, "", name), None, STRATEGIC_PATCH, &patch, Vec::new())?;
    writeln!(session.out, "node/{name} {word}")?;
    Ok(())
}
