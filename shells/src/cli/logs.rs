//! `logs`: what a container wrote, as it comes.

use crate::cli::Session;
use crate::cli::cluster::{Cluster, Parameters, name, selectors, text};
use crate::cli::error::CliError;
use crate::client::paths;
use clap::Args;
use miniku_core::api::kinds::Kind;
use miniku_core::api::selector::LabelSelector;
use miniku_core::durations;
use serde_json::Value;
use std::io::{BufRead, Write};
use std::time::Duration;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku logs -f web-1\n  miniku logs deployment/web --tail=20 --timestamps\n  \
    miniku logs -l app=web --prefix -f\n  \
    miniku logs web-1 -c sidecar --since=10m";

/// Whose output, and how much of it.
#[derive(Args, Clone, Debug)]
pub struct LogsArgs {
    /// POD, pod/POD or TYPE/NAME, and a container's name if -c does not give it
    #[arg(required_unless_present = "selector", num_args = 1..=2, value_name = "POD CONTAINER")]
    pub what: Vec<String>,
    /// All pods with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "what")]
    pub selector: Option<String>,
    /// Go on as long as the container runs
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last lines; -1 means all. 10 with -l
    #[arg(long, value_name = "LINES", allow_negative_numbers = true)]
    pub tail: Option<i64>,
    /// Say when each line was written
    #[arg(long)]
    pub timestamps: bool,
    /// Say which pod and container wrote each line
    #[arg(long)]
    pub prefix: bool,
    /// Which container
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// All containers, one after the other; at once with -f
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
    /// So many containers may be followed at once
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub max_log_requests: usize,
}

/// One container of a pod; the only one, if it is not named.
struct Source {
    pod: String,
    container: Option<String>,
}

/// Prints the output of containers.
pub fn run(args: &LogsArgs, session: &mut Session) -> Result<(), CliError> {
    let cluster = &session.cluster;
    let pods = match (&args.selector, args.what.first()) {
        (Some(selector), _) => {
            cluster.list(Kind::Pod, Some(&cluster.namespace), &selectors(Some(selector), None))?.items
        }
        (None, Some(word)) => vec![pod(word, session)?],
        (None, None) => Vec::new(),
    };
    if pods.is_empty() {
        eprintln!("No resources found in {} namespace.", cluster.namespace);
    }
    let sources: Vec<Source> = pods.iter().flat_map(|pod| sources(args, pod)).collect();
    if !args.follow || sources.len() == 1 {
        return sources.iter().try_for_each(|source| copy(args, source, &session.cluster, &mut session.out));
    }
    if sources.len() > args.max_log_requests {
        return Err(CliError::Usage(format!(
            "you are attempting to follow {} log streams, but maximum allowed concurrency is {}, use --max-log-requests \
             to increase the limit",
            sources.len(),
            args.max_log_requests
        )));
    }
    let follow = |source: Source| {
        let (args, cluster) = (args.clone(), session.cluster.another());
        std::thread::spawn(move || copy(&args, &source, &cluster, &mut std::io::stdout()))
    };
    let threads: Vec<_> = sources.into_iter().map(follow).collect();
    let ended = threads.into_iter().map(|thread| {
        thread.join().unwrap_or_else(|_| Err(CliError::Lost("a thread that followed a log has ended".into())))
    });
    CliError::all(ended.filter_map(Result::err).collect())
}

fn sources(args: &LogsArgs, pod: &Value) -> Vec<Source> {
    let names: Vec<String> = match pod["spec"]["containers"].as_array() {
        Some(containers) => containers.iter().map(|container| text(&container["name"])).collect(),
        None => Vec::new(),
    };
    let wanted: Vec<Option<String>> = match (args.container.as_ref().or(args.what.get(1)), names.as_slice()) {
        (Some(container), _) => vec![Some(container.clone())],
        (None, many) if args.all_containers => many.iter().cloned().map(Some).collect(),
        (None, [first, _, ..]) => {
            eprintln!("Defaulted container {first:?} out of: {}", names.join(", "));
            vec![Some(first.clone())]
        }
        (None, [only]) if args.prefix => vec![Some(only.clone())],
        (None, _) => vec![None],
    };
    wanted.into_iter().map(|container| Source { pod: name(pod).to_owned(), container }).collect()
}

/// The pod that is meant: itself, or the first of those that an object selects.
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
    let Some(selector) = selected_by(&object) else {
        return Err(CliError::Usage(format!("a {} has no containers", kind.row().singular)));
    };
    let mut pods = cluster.list(Kind::Pod, Some(&cluster.namespace), &selectors(Some(&selector), None))?.items;
    let count = pods.len();
    // Those that run first.
    pods.sort_by_key(|pod| pod["status"]["phase"] != "Running");
    let Some(first) = (count > 0).then(|| pods.swap_remove(0)) else {
        return Err(CliError::Usage(format!("no pods of {word} were found")));
    };
    if count > 1 {
        eprintln!("Found {count} pods, using pod/{}", crate::cli::cluster::name(&first));
    }
    Ok(first)
}

/// The labels of the pods that an object is about, as a selector: sets and jobs have expressions, services plain labels.
fn selected_by(object: &Value) -> Option<String> {
    let selector = object.get("spec")?.get("selector")?.as_object()?;
    if selector.contains_key("matchLabels") || selector.contains_key("matchExpressions") {
        let selector: LabelSelector = serde_json::from_value(selector.clone().into()).ok()?;
        return Some(selector.to_string());
    }
    let pairs: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={}", text(value))).collect();
    (!pairs.is_empty()).then(|| pairs.join(","))
}

fn copy(args: &LogsArgs, source: &Source, cluster: &Cluster, out: &mut dyn Write) -> Result<(), CliError> {
    let mut parameters: Parameters = Vec::new();
    let mut add = |name, value: Option<String>| parameters.extend(value.map(|value| (name, value)));
    // Source: kubectl, so that what many wrote is not all shown at once.
    let tail = args.tail.unwrap_or(if args.selector.is_some() { 10 } else { -1 });
    add("container", source.container.clone());
    add("follow", args.follow.then(|| "true".into()));
    add("tailLines", (tail >= 0).then(|| tail.to_string()));
    add("timestamps", args.timestamps.then(|| "true".into()));
    // At least a second: 0 is refused by the server.
    add("sinceSeconds", args.since.map(|since| since.as_secs().max(1).to_string()));
    add("previous", args.previous.then(|| "true".into()));
    add("limitBytes", args.limit_bytes.map(|bytes| bytes.to_string()));
    let path = paths::object(&cluster.key(Kind::Pod, &source.pod), Some("log"));
    let mut stream = cluster.stream(&paths::with_query(&path, parameters))?;
    let broken = |error: std::io::Error| CliError::Lost(format!("the log broke off: {error}"));
    if args.prefix {
        let container = source.container.as_deref().unwrap_or_default();
        let prefix = format!("[pod/{}/{container}] ", source.pod);
        let mut line = prefix.clone().into_bytes();
        while stream.body.read_until(b'\n', &mut line).map_err(broken)? > 0 {
            // In one piece, since others write, too.
            out.write_all(&line)?;
            out.flush()?;
            line.truncate(prefix.len());
        }
        return Ok(());
    }
    loop {
        let bytes = stream.body.fill_buf().map_err(broken)?;
        let count = bytes.len();
        if count == 0 {
            return Ok(());
        }
        out.write_all(bytes)?;
        // A line is shown when it is written, not when there are enough of them.
        out.flush()?;
        stream.body.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_select_pods() {
        let check = |selector: Value, want: Option<&str>| {
            assert_eq!(selected_by(&json!({"spec": {"selector": selector}})).as_deref(), want);
        };
        check(json!({"matchLabels": {"app": "web"}}), Some("app=web"));
        check(json!({"app": "web", "tier": "x"}), Some("app=web,tier=x"));
        check(json!({}), None);
        check(json!(1), None);
        assert_eq!(selected_by(&json!([])), None);
    }
}
