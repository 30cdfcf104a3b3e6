//! `events`: what happened, the latest last.

use crate::cli::Session;
use crate::cli::cluster::{Parameters, selectors, text};
use crate::cli::error::CliError;
use crate::cli::print::{self, Format};
use crate::cli::resource;
use crate::cli::tabular::Widths;
use crate::client::paths;
use clap::Args;
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::parse_rfc3339;
use miniku_core::time::{Human, Wall};
use serde_json::{Map, Value};
use std::io::{BufRead, Write};

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku events\n  miniku events --for pod/web-1 --watch\n  \
    miniku events -A --types=Warning";

/// Which events.
#[derive(Args, Debug)]
pub struct EventsArgs {
    /// Events of all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Only events about this object: TYPE/NAME
    #[arg(long = "for", value_name = "TYPE/NAME")]
    pub about: Option<String>,
    /// Only events of these types: Normal, Warning
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    pub types: Vec<String>,
    /// Go on and show what happens
    #[arg(short, long)]
    pub watch: bool,
    /// Leave the headers out
    #[arg(long)]
    pub no_headers: bool,
    /// json or yaml; lines if absent
    #[arg(short, long, default_value = "table", hide_default_value = true, value_name = "FORMAT")]
    pub output: Format,
}

/// Shows events.
pub fn run(args: &EventsArgs, session: &mut Session) -> Result<(), CliError> {
    let namespace = (!args.all_namespaces).then(|| session.cluster.namespace.clone());
    let parameters = match &args.about {
        None => Parameters::new(),
        Some(word) => {
            let keys = resource::named(std::slice::from_ref(word), &session.cluster)?;
            let key = &keys[0];
            let row = key.kind.row();
            let fields = format!("involvedObject.kind={},involvedObject.name={}", row.name, key.name);
            selectors(None, Some(&fields))
        }
    };
    let listed = session.cluster.list(Kind::Event, namespace.as_deref(), &parameters)?;
    let mut events: Vec<Value> = listed.items.into_iter().filter(|event| is_wanted(args, event)).collect();
    events.sort_by_key(|event| (last_seen(event), text(&event["metadata"]["name"])));
    if !args.output.is_table() {
        let items = events.into_iter().map(|event| (Kind::Event, event)).collect();
        return print::objects(&mut session.out, &args.output, items, false, !args.no_headers);
    }
    let mut widths = Widths::default();
    if events.is_empty() && !args.watch {
        match &namespace {
            None => eprintln!("No events found."),
            Some(namespace) => eprintln!("No events found in {namespace} namespace."),
        }
        return Ok(());
    }
    let header = (!args.no_headers).then(|| header(args));
    write(header.into_iter().chain(events.iter().map(|event| line(args, event))).collect(), &mut widths, session)?;
    if !args.watch {
        return Ok(());
    }
    let path = paths::collection(Kind::Event, namespace.as_deref());
    let mut parameters = parameters;
    parameters.push(("watch", "true".into()));
    parameters.push(("resourceVersion", listed.resource_version));
    let mut stream = session.cluster.stream(&paths::with_query(&path, parameters))?;
    let mut bytes = Vec::new();
    while stream.body.read_until(b'\n', &mut bytes).map_err(|error| CliError::Lost(error.to_string()))? > 0 {
        let change: Map<String, Value> = serde_json::from_slice(&bytes)
            .map_err(|error| CliError::Lost(format!("the server sent no watch event: {error}")))?;
        let event = change.get("object").unwrap_or(&Value::Null);
        if matches!(change.get("type").and_then(Value::as_str), Some("ADDED" | "MODIFIED")) && is_wanted(args, event) {
            write(vec![line(args, event)], &mut widths, session)?;
        }
        bytes.clear();
    }
    Ok(())
}

fn is_wanted(args: &EventsArgs, event: &Value) -> bool {
    args.types.is_empty() || args.types.iter().any(|wanted| text(&event["type"]).eq_ignore_ascii_case(wanted))
}

fn write(lines: Vec<Vec<String>>, widths: &mut Widths, session: &mut Session) -> Result<(), CliError> {
    lines.iter().for_each(|line| widths.fit(line));
    let painted = crate::cli::paint::on_stdout();
    for line in lines {
        let paint = |_: usize, text: &str| match text {
            "Warning" if painted => crate::cli::paint::cell("TYPE", "Warning"),
            _ => text.to_owned().into(),
        };
        writeln!(session.out, "{}", widths.painted(&line, |at, text| paint(at, text).into_owned().into()))?;
    }
    Ok(session.out.flush()?)
}

fn header(args: &EventsArgs) -> Vec<String> {
    let columns = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];
    args.all_namespaces.then_some("NAMESPACE").into_iter().chain(columns).map(str::to_owned).collect()
}

/// When it was told last: the newest of the fields in which that may stand.
fn last_seen(event: &Value) -> Option<Wall> {
    let fields = [
        &event["series"]["lastObservedTime"],
        &event["lastTimestamp"],
        &event["eventTime"],
        &event["firstTimestamp"],
        &event["metadata"]["creationTimestamp"],
    ];
    fields.into_iter().find_map(|field| parse_rfc3339(field.as_str()?).ok())
}

fn line(args: &EventsArgs, event: &Value) -> Vec<String> {
    let now = print::now().wall;
    let age = |at: Option<Wall>| at.map_or("<unknown>".into(), |at| Human(now.since(at)).to_string());
    let times = event["series"]["count"].as_u64().or(event["count"].as_u64()).unwrap_or(1);
    let first = event["firstTimestamp"].as_str().and_then(|time| parse_rfc3339(time).ok());
    let seen = match times {
        0 | 1 => age(last_seen(event)),
        times => format!("{} (x{times} over {})", age(last_seen(event)), age(first.or(last_seen(event)))),
    };
    let about = &event["involvedObject"];
    let object = format!("{}/{}", text(&about["kind"]), text(&about["name"]));
    let message = text(&event["message"]).trim().replace(['\n', '\r', '\t'], " ");
    let namespace = args.all_namespaces.then(|| text(&event["metadata"]["namespace"]));
    let columns = [seen, text(&event["type"]), text(&event["reason"]), object, message];
    namespace.into_iter().chain(columns).collect()
}
