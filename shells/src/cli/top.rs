//! `top`: what nodes and pods use.
//!
//! Source: kubectl, `pkg/metricsutil/metrics_printer.go`, for columns and units.

use crate::cli::Session;
use crate::cli::cluster::Parameters;
use crate::cli::error::CliError;
use crate::cli::tabular::Widths;
use crate::client::paths;
use crate::client::wire::HttpRequest;
use clap::{Args, Subcommand};
use miniku_core::api::kinds::Kind;
use miniku_core::api::metrics::{GROUP, Metrics, Of, VERSION};
use miniku_core::api::node::Node;
use miniku_core::usage::Usage;
use serde_json::Value;
use std::cmp::Reverse;
use std::io::Write;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku top nodes\n  miniku top pods -A --containers --sort-by=cpu";

/// What uses something.
#[derive(Args, Debug)]
pub struct TopArgs {
    /// Nodes or pods.
    #[command(subcommand)]
    pub of: Top,
}

/// What uses something.
#[derive(Subcommand, Debug)]
pub enum Top {
    /// What nodes use, of what they have
    #[command(visible_aliases = ["node", "no"], after_help = "Example:\n  miniku top nodes --sort-by=memory")]
    Nodes(TopOf),
    /// What pods use
    #[command(visible_aliases = ["pod", "po"], after_help = "Example:\n  miniku top pods -l app=web --containers")]
    Pods(TopPods),
}

/// Which ones, and in which order.
#[derive(Args, Debug)]
pub struct TopOf {
    /// This one only
    #[arg(value_name = "NAME", conflicts_with = "selector")]
    pub name: Option<String>,
    /// Only those with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// The largest first
    #[arg(long, value_name = "RESOURCE", value_parser = ["cpu", "memory"])]
    pub sort_by: Option<String>,
    /// No line of headers
    #[arg(long)]
    pub no_headers: bool,
}

/// The same of pods.
#[derive(Args, Debug)]
pub struct TopPods {
    /// Which ones.
    #[command(flatten)]
    pub of: TopOf,
    /// All namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Each container by itself
    #[arg(long)]
    pub containers: bool,
}

/// Shows what is used.
pub fn run(args: &TopArgs, session: &mut Session) -> Result<(), CliError> {
    match &args.of {
        Top::Nodes(of) => nodes(of, session),
        Top::Pods(args) => pods(args, session),
    }
}

fn metrics(of: &TopOf, what: Of, namespace: Option<&str>, session: &Session) -> Result<Vec<Metrics>, CliError> {
    let within = namespace.map(|namespace| format!("/namespaces/{namespace}")).unwrap_or_default();
    let name = of.name.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
    let selector: Parameters = of.selector.iter().map(|selector| ("labelSelector", selector.clone())).collect();
    let path = format!("/apis/{GROUP}/{VERSION}{within}/{}{name}", what.plural());
    let answer = session.cluster.ask(&HttpRequest::get(paths::with_query(&path, selector)))?;
    let items = match answer.get("items") {
        Some(Value::Array(items)) => items.clone(),
        _ => vec![answer],
    };
    let read = |item| serde_json::from_value(item).map_err(|error| CliError::Usage(format!("{path}: {error}")));
    items.into_iter().map(read).collect()
}

/// What all of it uses together.
fn sum(one: &Metrics) -> Usage {
    let containers = one.containers.iter().flatten().map(|one| Usage::from(&one.usage));
    containers.chain(one.usage.iter().map(Usage::from)).fold(Usage::default(), |sum, one| Usage {
        cpu_nanos: sum.cpu_nanos.saturating_add(one.cpu_nanos),
        memory_bytes: sum.memory_bytes.saturating_add(one.memory_bytes),
    })
}

fn sorted(mut all: Vec<Metrics>, by: Option<&str>) -> Vec<Metrics> {
    let place = |one: &Metrics| (one.metadata.namespace.clone(), one.metadata.name.clone());
    match by {
        Some("cpu") => all.sort_by_key(|one| (Reverse(sum(one).cpu_nanos), place(one))),
        Some(_) => all.sort_by_key(|one| (Reverse(sum(one).memory_bytes), place(one))),
        None => all.sort_by_key(place),
    }
    all
}

fn cpu(usage: Usage) -> String {
    format!("{}m", usage.cpu_nanos.div_ceil(1_000_000))
}

fn memory(usage: Usage) -> String {
    format!("{}Mi", usage.memory_bytes >> 20)
}

fn nodes(of: &TopOf, session: &mut Session) -> Result<(), CliError> {
    let all = sorted(metrics(of, Of::Nodes, None, session)?, of.sort_by.as_deref());
    let there = session.cluster.objects(Kind::Node, None, &Vec::new())?;
    let percent = |used: u64, of: u64| match of {
        0 => "<unknown>".to_owned(),
        of => format!("{}%", u128::from(used) * 100 / u128::from(of)),
    };
    let row = |one: &Metrics| {
        let used = sum(one);
        let node =
            there.iter().filter_map(|object| object.get::<Node>()).find(|node| node.metadata.name == one.metadata.name);
        let has = |name: &str| {
            node.and_then(|node| node.status.allocatable.get(name)).map_or(0, |amount| amount.nano_value())
        };
        let of_cpu = percent(used.cpu_nanos, has("cpu"));
        let of_memory = percent(used.memory_bytes, has("memory") / 1_000_000_000);
        vec![one.metadata.name.to_string(), cpu(used), of_cpu, memory(used), of_memory]
    };
    let headers = ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"];
    print(&headers, all.iter().map(row).collect(), of.no_headers, session)
}

fn pods(args: &TopPods, session: &mut Session) -> Result<(), CliError> {
    let namespace = session.cluster.namespace.clone();
    let all = metrics(&args.of, Of::Pods, (!args.all_namespaces).then_some(namespace.as_str()), session)?;
    if all.is_empty() {
        session.out.flush()?;
        let place = if args.all_namespaces { String::new() } else { format!(" in {namespace} namespace") };
        eprintln!("No resources found{place}.");
        return Ok(());
    }
    let mut rows = Vec::new();
    for one in sorted(all, args.of.sort_by.as_deref()) {
        let place = args.all_namespaces.then(|| one.metadata.namespace.to_string());
        let head =
            |rest: Vec<String>| place.clone().into_iter().chain([one.metadata.name.to_string()]).chain(rest).collect();
        if args.containers {
            for container in one.containers.iter().flatten() {
                let used = Usage::from(&container.usage);
                rows.push(head(vec![container.name.clone(), cpu(used), memory(used)]));
            }
        } else {
            let used = sum(&one);
            rows.push(head(vec![cpu(used), memory(used)]));
        }
    }
    let mut headers = vec!["CPU(cores)", "MEMORY(bytes)"];
    let names = if args.containers { vec!["POD", "NAME"] } else { vec!["NAME"] };
    headers.splice(0..0, args.all_namespaces.then_some("NAMESPACE").into_iter().chain(names));
    print(&headers, rows, args.of.no_headers, session)
}

fn print(headers: &[&str], rows: Vec<Vec<String>>, bare: bool, session: &mut Session) -> Result<(), CliError> {
    let headers: Vec<String> = headers.iter().map(ToString::to_string).collect();
    let all: Vec<Vec<String>> = (!bare).then_some(headers).into_iter().chain(rows).collect();
    let mut widths = Widths::default();
    all.iter().for_each(|row| widths.fit(row));
    for row in &all {
        writeln!(session.out, "{}", widths.line(row))?;
    }
    Ok(())
}
