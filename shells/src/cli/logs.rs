//! `logs`: what a container wrote, as it comes.

use crate::cli::Session;
use crate::cli::cluster::{Parameters, name, selectors, text};
use crate::cli::error::CliError;
use crate::client::paths;
use clap::Args;
use miniku_core::api::kinds::Kind;
use miniku_core::api::replicaset::ReplicaSet;
use miniku_core::durations;
use serde_json::Value;
use std::io::{BufRead, Write};
use std::time::Duration;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku logs -f web-1\n  miniku logs rs/web --tail=20 --timestamps\n  \
    miniku logs web-1 -c sidecar --since=10m";

/// Whose output, and how much of it.
#[derive(Args, Debug)]
pub struct LogsArgs {
    /// POD, pod/POD or rs/NAME, and a container's name if -c does not give it
    #[arg(required = true, num_args = 1..=2, value_name = "POD CONTAINER")]
    pub what: Vec<String>,
    /// Go on as long as the container runs
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last lines; -1 means all
    #[arg(long, default_value_t = -1, hide_default_value = true, allow_negative_numbers = true, value_name = "LINES")]
    pub tail: i64,
    /// Say when each line was written
    #[arg(long)]
    pub timestamps: bool,
    /// Which container
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// All containers, one after the other
    #[arg(long, conflicts_with = "container")]
    pub all_containers: bool,
    /// Only what was written in this time before now
    #[arg(long, value_parser = durations::parse, value_name = "DURATION")]
    pub since: Option<Duration>,
    /// The container's attempt before this one
    #[arg(short, long)]
    pub previous: bool,
    /// No more than so many bytes
    #[arg(long, value_name = "BYTES")]
    pub limit_bytes: Option<u64>,
}

/// Prints a container's output.
pub fn run(args: &LogsArgs, session: &mut Session) -> Result<(), CliError> {
    let pod = pod(&args.what[0], session)?;
    let container = args.container.as_ref().or(args.what.get(1));
    let names: Vec<String> = match pod["spec"]["containers"].as_array() {
        Some(containers) => containers.iter().map(|container| text(&container["name"])).collect(),
        None => Vec::new(),
    };
    let wanted: Vec<Option<String>> = match (container, names.as_slice()) {
        (Some(container), _) => vec![Some(container.clone())],
        (None, many) if args.all_containers => many.iter().cloned().map(Some).collect(),
        (None, [first, _, ..]) => {
            eprintln!("Defaulted container {first:?} out of: {}", names.join(", "));
            vec![Some(first.clone())]
        }
        (None, _) => vec![None],
    };
    wanted.into_iter().try_for_each(|container| copy(args, name(&pod), container, session))
}

/// The pod that is meant: itself, or the first of a replica set's.
pub fn pod(word: &str, session: &Session) -> Result<Value, CliError> {
    let cluster = &session.cluster;
    let (kind, name) = match word.split_once('/') {
        Some((kind, name)) => (cluster.kind(kind)?, name),
        None => (Kind::Pod, word),
    };
    let object = cluster.get(&cluster.key(kind, name))?;
    if kind == Kind::Pod {
        return Ok(object);
    }
    let typed = crate::cli::cluster::typed(kind, object)?;
    let Some(set) = typed.get::<ReplicaSet>() else {
        return Err(CliError::Usage(format!("a {} has no containers", kind.row().singular)));
    };
    let by_labels = selectors(Some(&set.spec.selector.to_string()), None);
    let mut pods = cluster.list(Kind::Pod, Some(&cluster.namespace), &by_labels)?.items;
    let count = pods.len();
    let Some(first) = (count > 0).then(|| pods.swap_remove(0)) else {
        return Err(CliError::Usage(format!("no pods of {word} were found")));
    };
    if count > 1 {
        eprintln!("Found {count} pods, using pod/{}", crate::cli::cluster::name(&first));
    }
    Ok(first)
}

fn copy(args: &LogsArgs, pod: &str, container: Option<String>, session: &mut Session) -> Result<(), CliError> {
    let mut parameters: Parameters = Vec::new();
    let mut add = |name, value: Option<String>| parameters.extend(value.map(|value| (name, value)));
    add("container", container);
    add("follow", args.follow.then(|| "true".into()));
    add("tailLines", (args.tail >= 0).then(|| args.tail.to_string()));
    add("timestamps", args.timestamps.then(|| "true".into()));
    // At least a second: 0 is refused by the server.
    add("sinceSeconds", args.since.map(|since| since.as_secs().max(1).to_string()));
    add("previous", args.previous.then(|| "true".into()));
    add("limitBytes", args.limit_bytes.map(|bytes| bytes.to_string()));
    let path = paths::object(&session.cluster.key(Kind::Pod, pod), Some("log"));
    let mut stream = session.cluster.stream(&paths::with_query(&path, parameters))?;
    loop {
        let bytes = stream.body.fill_buf().map_err(|error| CliError::Lost(format!("the log broke off: {error}")))?;
        let count = bytes.len();
        if count == 0 {
            return Ok(());
        }
        session.out.write_all(bytes)?;
        // A line is shown when it is written, not when there are enough of them.
        session.out.flush()?;
        stream.body.consume(count);
    }
}
