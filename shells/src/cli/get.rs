//! `get`: objects as a table, JSON, YAML or names, and as they change.

use crate::cli::Session;
use crate::cli::cluster::{Parameters, selectors, text, typed};
use crate::cli::error::CliError;
use crate::cli::print::{self, Format, Shown, Table};
use crate::cli::resource::{self, Selection};
use crate::client::paths;
use clap::Args;
use miniku_core::api::kinds::Kind;
use miniku_core::api::status::Status;
use serde_json::Value;
use std::cmp::Ordering;
use std::io::{BufRead, Write};

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku get pods -o wide\n  miniku get pod/web-1 rs/web -o yaml\n  \
    miniku get all -A\n  miniku get pods -l app=web --watch";

/// What to show, and how.
#[derive(Args, Debug)]
pub struct GetArgs {
    /// TYPE [NAME...], TYPE/NAME..., TYPE,TYPE or all
    #[arg(required = true, value_name = "WHAT")]
    pub what: Vec<String>,
    /// Objects of all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Only objects with these labels: a=b,c!=d,e in (f,g),!h
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Only objects with these fields: status.phase=Running,spec.nodeName!=node-1
    #[arg(long, value_name = "SELECTOR")]
    pub field_selector: Option<String>,
    /// Only pods of this node
    #[arg(long, value_name = "NODE", conflicts_with = "unassigned")]
    pub node: Option<String>,
    /// Only pods that have no node yet
    #[arg(long)]
    pub unassigned: bool,
    /// json, yaml, wide or name; a table if absent
    #[arg(short, long, default_value = "table", hide_default_value = true, value_name = "FORMAT")]
    pub output: Format,
    /// Go on and show every change
    #[arg(short, long)]
    pub watch: bool,
    /// Show changes only, not what is there
    #[arg(long)]
    pub watch_only: bool,
    /// Leave the headers out
    #[arg(long)]
    pub no_headers: bool,
    /// Show labels, last
    #[arg(long)]
    pub show_labels: bool,
    /// Sort by a field, for example .metadata.creationTimestamp
    #[arg(long, value_name = "PATH")]
    pub sort_by: Option<String>,
    /// What is not there is no error
    #[arg(long)]
    pub ignore_not_found: bool,
}

/// Shows objects.
pub fn run(args: &GetArgs, session: &mut Session) -> Result<(), CliError> {
    let selections = resource::parse(&args.what)?;
    let named = selections.list.iter().any(|selection| !selection.names.is_empty());
    let by_field = args.field_selector.is_some() || args.node.is_some() || args.unassigned;
    if named && (args.selector.is_some() || by_field) {
        return Err(CliError::Usage("name cannot be provided when a selector is specified".into()));
    }
    if named && args.all_namespaces {
        return Err(CliError::Usage("a resource cannot be retrieved by name across all namespaces".into()));
    }
    if args.watch || args.watch_only {
        let [selection] = selections.list.as_slice() else {
            return Err(CliError::Usage("you may only specify a single resource type".into()));
        };
        return watch(args, selection, session);
    }
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for selection in &selections.list {
        match fetch(args, selection, session) {
            Ok(mut part) => {
                errors.append(&mut part.missing);
                found.push((selection.kind, part.items));
            }
            Err(error) => errors.push(error),
        }
    }
    show(args, &selections.list, found, selections.show_kind, errors.is_empty(), session)?;
    session.out.flush()?;
    CliError::all(errors)
}

/// What was found of one selection.
struct Found {
    items: Vec<Value>,
    missing: Vec<CliError>,
    /// A watch begins after it.
    resource_version: String,
}

fn fetch(args: &GetArgs, selection: &Selection, session: &Session) -> Result<Found, CliError> {
    let cluster = &session.cluster;
    let mut found = Found { items: Vec::new(), missing: Vec::new(), resource_version: String::new() };
    for name in &selection.names {
        let mut key = cluster.key(selection.kind, name);
        if let Some(namespace) = &selection.namespace {
            key.namespace = namespace.as_str().into();
        }
        match cluster.get(&key) {
            Ok(object) => found.items.push(object),
            Err(error) if args.ignore_not_found && error.is_not_found() => {}
            Err(error) => found.missing.push(error),
        }
    }
    if selection.names.is_empty() {
        let listed = cluster.list(selection.kind, namespace(args, session), &parameters(args, selection)?)?;
        found.items = listed.items;
        found.resource_version = listed.resource_version;
    }
    if let Some(path) = &args.sort_by {
        let path = path.trim_start_matches('{').trim_end_matches('}');
        found.items.sort_by(|a, b| compare(at_path(a, path), at_path(b, path)));
    }
    Ok(found)
}

fn namespace<'a>(args: &GetArgs, session: &'a Session) -> Option<&'a str> {
    (!args.all_namespaces).then_some(session.cluster.namespace.as_str())
}

fn parameters(args: &GetArgs, selection: &Selection) -> Result<Parameters, CliError> {
    let mut fields: Vec<String> = args.field_selector.iter().cloned().collect();
    if args.node.is_some() || args.unassigned {
        if selection.kind != Kind::Pod {
            return Err(CliError::Usage("--node and --unassigned are about pods".into()));
        }
        fields.push(format!("spec.nodeName={}", args.node.as_deref().unwrap_or_default()));
    }
    let fields = (!fields.is_empty()).then(|| fields.join(","));
    Ok(selectors(args.selector.as_deref(), fields.as_deref()))
}

fn show(
    args: &GetArgs,
    selections: &[Selection],
    found: Vec<(Kind, Vec<Value>)>,
    show_kind: bool,
    complete: bool,
    session: &mut Session,
) -> Result<(), CliError> {
    let count: usize = found.iter().map(|(_, items)| items.len()).sum();
    if !matches!(args.output, Format::Table | Format::Wide) {
        let single = selections.len() == 1 && selections[0].names.len() == 1;
        if count == 0 && (!complete || single) {
            return Ok(());
        }
        let items = found.into_iter().flat_map(|(kind, items)| items.into_iter().map(move |item| (kind, item)));
        return print::objects(&mut session.out, args.output, items.collect(), single);
    }
    if count == 0 {
        if complete && !args.ignore_not_found {
            let namespaced = selections.iter().all(|selection| selection.kind.row().namespaced);
            match args.all_namespaces || !namespaced {
                true => eprintln!("No resources found"),
                false => eprintln!("No resources found in {} namespace.", session.cluster.namespace),
            }
        }
        return Ok(());
    }
    let now = print::now();
    let mut first = true;
    for (kind, items) in found.into_iter().filter(|(_, items)| !items.is_empty()) {
        if !std::mem::take(&mut first) {
            writeln!(session.out)?;
        }
        let mut table = Table::new(kind, shown(args, show_kind));
        let mut rows = if args.no_headers { Vec::new() } else { vec![table.header()] };
        for item in items {
            rows.push(table.row(&typed(kind, item)?, now));
        }
        table.write(&mut session.out, &rows)?;
    }
    Ok(())
}

fn shown(args: &GetArgs, kind: bool) -> Shown {
    let wide = args.output == Format::Wide;
    Shown { wide, namespace: args.all_namespaces, kind, labels: args.show_labels }
}

/// Shows what is there, then every change, for ever: it ends with the process, or with the server.
fn watch(args: &GetArgs, selection: &Selection, session: &mut Session) -> Result<(), CliError> {
    let kind = selection.kind;
    let mut parameters = parameters(args, selection)?;
    // One object is watched as a list of one, so that it may vanish and come again.
    if let [name] = selection.names.as_slice() {
        fetch(args, selection, session)?.missing.into_iter().try_for_each(Err)?;
        parameters.push(("fieldSelector", format!("metadata.name={name}")));
    } else if !selection.names.is_empty() {
        return Err(CliError::Usage("watch is only supported on individual resources and resource collections".into()));
    }
    let namespace = selection.namespace.as_deref().or(namespace(args, session)).map(str::to_owned);
    let listed = session.cluster.list(kind, namespace.as_deref(), &parameters)?;
    let mut printer = Watched { args, kind, table: Table::new(kind, shown(args, false)), headers: args.no_headers };
    if !args.watch_only {
        printer.print(listed.items, session)?;
    }
    let mut after = listed.resource_version;
    loop {
        let mut parameters = parameters.clone();
        parameters.push(("watch", "true".into()));
        parameters.push(("allowWatchBookmarks", "true".into()));
        parameters.push(("resourceVersion", after.clone()));
        let path = paths::collection(kind, namespace.as_deref());
        let mut stream = session.cluster.stream(&paths::with_query(&path, parameters))?;
        let (mut line, mut lines) = (Vec::new(), 0_u64);
        loop {
            line.clear();
            let read = stream.body.read_until(b'\n', &mut line).map_err(|error| CliError::Lost(error.to_string()))?;
            if read == 0 {
                break;
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            lines += 1;
            let mut event: Value = serde_json::from_slice(&line)
                .map_err(|error| CliError::Lost(format!("the server sent no watch event: {error}")))?;
            let object = event["object"].take();
            if event["type"] == "ERROR" {
                let status = serde_json::from_value::<Status>(object).map(CliError::server);
                return Err(status.unwrap_or_else(|_| CliError::Lost("the server ended the watch".into())));
            }
            let version = text(&object["metadata"]["resourceVersion"]);
            if !version.is_empty() {
                after = version;
            }
            if event["type"] != "BOOKMARK" {
                printer.print(vec![object], session)?;
            }
        }
        // A server that ends watches as soon as they begin is not asked again at once.
        if lines == 0 {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
    }
}

/// What a watch prints.
struct Watched<'a> {
    args: &'a GetArgs,
    kind: Kind,
    table: Table,
    /// Whether the headers were printed.
    headers: bool,
}

impl Watched<'_> {
    fn print(&mut self, items: Vec<Value>, session: &mut Session) -> Result<(), CliError> {
        if matches!(self.args.output, Format::Table | Format::Wide) {
            let now = print::now();
            let mut rows = Vec::new();
            if !self.headers && !items.is_empty() {
                rows.push(self.table.header());
                self.headers = true;
            }
            for item in items {
                rows.push(self.table.row(&typed(self.kind, item)?, now));
            }
            self.table.write(&mut session.out, &rows)?;
        } else {
            for item in items {
                if self.args.output == Format::Yaml {
                    writeln!(session.out, "---")?;
                }
                print::objects(&mut session.out, self.args.output, vec![(self.kind, item)], true)?;
            }
        }
        Ok(session.out.flush()?)
    }
}

/// The value at a path such as `.status.containerStatuses[0].restartCount`; null if there is none.
fn at_path<'a>(value: &'a Value, path: &str) -> &'a Value {
    let mut at = value;
    for part in path.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
        at = match part.parse::<usize>() {
            Ok(index) if at.is_array() => &at[index],
            _ => &at[part],
        };
    }
    at
}

/// What has no value comes first; numbers by size, all else by its text.
fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (a, b) => a.to_string().cmp(&b.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sorts_by_any_field() {
        let pod = |name: &str, restarts: u32| json!({"metadata": {"name": name}, "s": [{"n": restarts}]});
        let sorted = |path: &str| {
            let mut pods = [pod("b", 2), pod("a", 10), json!({"metadata": {"name": "c"}})];
            pods.sort_by(|a, b| compare(at_path(a, path), at_path(b, path)));
            pods.map(|pod| text(&pod["metadata"]["name"])).concat()
        };
        assert_eq!(sorted(".metadata.name"), "abc");
        assert_eq!(sorted(".s[0].n"), "cba");
        assert_eq!(sorted("metadata.none"), "bac");
    }
}
