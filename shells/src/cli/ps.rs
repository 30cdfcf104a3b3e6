//! `ps`: the containers of the cluster. Needs the API alone.

use crate::cli::Session;
use crate::cli::cluster::selectors;
use crate::cli::error::CliError;
use crate::cli::print;
use crate::cli::tabular::Widths;
use clap::Args;
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::Time;
use miniku_core::api::pod::{ContainerStatus, Pod};
use miniku_core::time::{Human, Now};
use std::io::Write;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku ps\n  miniku ps -a -n default --no-trunc";

/// Which containers.
#[derive(Args, Debug)]
pub struct PsArgs {
    /// Ended containers and those still to start, too
    #[arg(short, long)]
    pub all: bool,
    /// All namespaces; so it is if none is named
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Only containers of pods with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Only containers on this node
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
    /// Whole ids
    #[arg(long)]
    pub no_trunc: bool,
    /// Ids only
    #[arg(short, long)]
    pub quiet: bool,
}

/// Lists containers.
pub fn run(args: &PsArgs, session: &mut Session) -> Result<(), CliError> {
    let cluster = &session.cluster;
    let namespace = (cluster.namespace_chosen && !args.all_namespaces).then_some(cluster.namespace.as_str());
    let fields = args.node.as_ref().map(|node| format!("spec.nodeName={node}"));
    let pods = cluster.objects(Kind::Pod, namespace, &selectors(args.selector.as_deref(), fields.as_deref()))?;
    let now = print::now();
    let mut rows = Vec::new();
    if !args.quiet {
        rows.push(["POD", "CONTAINER", "STATE", "NODE", "ID", "RESTARTS", "AGE"].map(str::to_owned).to_vec());
    }
    for pod in pods.iter().filter_map(|object| object.get::<Pod>()) {
        // What the kubelet has not seen yet has no status, and is waiting.
        let containers = pod.spec.containers.iter().map(|container| {
            let status = pod.status.container_statuses.iter().find(|status| status.name == container.name);
            status.cloned().unwrap_or_else(|| ContainerStatus { name: container.name.clone(), ..Default::default() })
        });
        for container in containers.filter(|container| args.all || container.state.running.is_some()) {
            let id = short_id(&container.container_id, args.no_trunc);
            rows.push(if args.quiet { vec![id] } else { row(pod, &container, id, now) });
        }
    }
    let mut widths = Widths::default();
    rows.iter().for_each(|row| widths.fit(row));
    for row in rows.iter().filter(|row| row.iter().any(|cell| !cell.is_empty())) {
        writeln!(session.out, "{}", widths.line(row))?;
    }
    Ok(())
}

fn row(pod: &Pod, container: &ContainerStatus, id: String, now: Now) -> Vec<String> {
    // Most pods are in `default`; the others say where they are.
    let name = match pod.metadata.namespace.as_str() {
        "default" => pod.metadata.name.clone(),
        _ => pod.metadata.full_name().into(),
    };
    let or_none = |text: &str| if text.is_empty() { "<none>".to_owned() } else { text.to_owned() };
    let (state, since) = state(pod, container);
    let age = since.map_or("<unknown>".into(), |since| Human(now.wall.since(since.wall())).to_string());
    let node = or_none(&pod.spec.node_name);
    vec![
        name.to_string(),
        container.name.to_string(),
        state,
        node,
        or_none(&id),
        container.restart_count.to_string(),
        age,
    ]
}

/// What a container is in, and since when.
fn state(pod: &Pod, container: &ContainerStatus) -> (String, Option<Time>) {
    let state = &container.state;
    if let Some(running) = &state.running {
        return ("Running".into(), running.started_at);
    }
    if let Some(ended) = &state.terminated {
        return (format!("Exited ({})", ended.exit_code), ended.finished_at);
    }
    let reason = state.waiting.as_ref().map_or("", |waiting| waiting.reason.as_str());
    (if reason.is_empty() { "Waiting".into() } else { reason.into() }, pod.metadata.creation_timestamp)
}

/// The id without its runtime's name, twelve digits of it as docker shows it.
fn short_id(id: &str, whole: bool) -> String {
    let id = id.split_once("://").map_or(id, |(_, id)| id);
    if whole { id.to_owned() } else { id.chars().take(12).collect() }
}
