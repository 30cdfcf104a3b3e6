//! `get`: objects as a table, JSON, YAML or names, and as they change.

use crate::cli::Session;
use crate::cli::cluster::{Parameters, selectors, text};
use crate::cli::error::CliError;
use crate::cli::print::{self, Format, Row, Shown, TABLE, Table};
use crate::cli::resource::{self, Selection};
use crate::cli::template::Path;
use crate::client::paths;
use crate::client::wire::{HttpRequest, JSON};
use clap::Args;
use miniku_core::api::kinds::Kind;
use miniku_core::api::status::Status;
use serde_json::Value;
use std::cmp::Ordering;
use std::io::{BufRead, Write};

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku get pods -o wide\n  miniku get pod/web-1 rs/web -o yaml\n  \
    miniku get all -A\n  miniku get pods -l app=web --watch\n  \
    miniku get pods -o custom-columns=NAME:.metadata.name,NODE:.spec.nodeName\n  \
    miniku get nodes -o jsonpath='{range .items[*]}{.metadata.name}{\"\\n\"}{end}'";

/// What to show, and how.
#[derive(Args, Debug)]
pub struct GetArgs {
    /// TYPE [NAME...], TYPE/NAME..., TYPE,TYPE or all
    #[arg(required_unless_present = "raw", value_name = "WHAT")]
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
    /// json, yaml, wide, name, jsonpath=TEMPLATE or custom-columns=NAME:PATH,...; a table if absent
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
    /// Show these labels, each in a column of its own
    #[arg(short = 'L', long, value_name = "LABELS", value_delimiter = ',')]
    pub label_columns: Vec<String>,
    /// Show the kind with each name
    #[arg(long)]
    pub show_kind: bool,
    /// Show who manages which field, with -o json and yaml
    #[arg(long)]
    pub show_managed_fields: bool,
    /// Sort by a field, for example .metadata.creationTimestamp
    #[arg(long, value_name = "PATH", value_parser = Path::parse)]
    pub sort_by: Option<Path>,
    /// What is not there is no error
    #[arg(long)]
    pub ignore_not_found: bool,
    /// Show what the server answers at a path, as it is
    #[arg(long, value_name = "PATH", conflicts_with = "what")]
    pub raw: Option<String>,
}

/// Shows objects.
pub fn run(args: &GetArgs, session: &mut Session) -> Result<(), CliError> {
    if let Some(path) = &args.raw {
        let path = format!("/{}", path.trim_start_matches('/'));
        return Ok(session.out.write_all(&session.cluster.bytes(&HttpRequest::get(path))?)?);
    }
    let selections = resource::parse(&args.what, &session.cluster)?;
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
        match fetch(args, selection, selections.show_kind, session) {
            Ok(mut part) => {
                errors.append(&mut part.missing);
                found.push(part);
            }
            Err(error) => errors.push(error),
        }
    }
    show(args, &selections.list, found, errors.is_empty(), session)?;
    session.out.flush()?;
    CliError::all(errors)
}

/// What was found of one selection.
struct Found {
    kind: Kind,
    /// Knows the columns of the rows.
    table: Table,
    rows: Vec<Row>,
    missing: Vec<CliError>,
    /// A watch begins after it.
    resource_version: String,
}

fn fetch(args: &GetArgs, selection: &Selection, show_kind: bool, session: &Session) -> Result<Found, CliError> {
    let (cluster, kind) = (&session.cluster, selection.kind);
    let table = Table::new(kind, shown(args, show_kind || args.show_kind));
    let mut found = Found { kind, table, rows: Vec::new(), missing: Vec::new(), resource_version: String::new() };
    for name in &selection.names {
        let mut key = cluster.key(kind, name);
        if let Some(namespace) = &selection.namespace {
            key.namespace = namespace.as_str().into();
        }
        let target = paths::with_query(&paths::object(&key, None), include(args));
        match cluster.ask(&HttpRequest::get(target).accepting(accept(args))) {
            Ok(answer) => found.rows.extend(rows(args, &mut found.table, answer)?),
            Err(error) if args.ignore_not_found && error.is_not_found() => {}
            Err(error) => found.missing.push(error),
        }
    }
    if selection.names.is_empty() {
        let mut parameters = parameters(args, selection)?;
        parameters.extend(include(args));
        cluster.each_page(kind, namespace(args, session), &parameters, accept(args), &mut |page| {
            found.resource_version = text(&page["metadata"]["resourceVersion"]);
            found.rows.extend(rows(args, &mut found.table, page)?);
            Ok(())
        })?;
    }
    if let Some(path) = &args.sort_by {
        found.rows.sort_by(|a, b| compare(path.first(&a.object), path.first(&b.object)));
    }
    Ok(found)
}

fn rows(args: &GetArgs, table: &mut Table, answer: Value) -> Result<Vec<Row>, CliError> {
    if args.output.is_table() { table.rows(answer, print::now()) } else { Ok(table.objects(answer)) }
}

/// How the server is asked: for the rows of tables, which it knows best, or for objects.
fn accept(args: &GetArgs) -> &'static str {
    if args.output.is_table() { TABLE } else { JSON }
}

/// What is sorted by a field needs the field.
fn include(args: &GetArgs) -> Option<(&'static str, String)> {
    (args.output.is_table() && args.sort_by.is_some()).then(|| ("includeObject", "Object".to_owned()))
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
    found: Vec<Found>,
    complete: bool,
    session: &mut Session,
) -> Result<(), CliError> {
    let count: usize = found.iter().map(|part| part.rows.len()).sum();
    if !args.output.is_table() {
        let single = selections.len() == 1 && selections[0].names.len() == 1;
        if count == 0 && (!complete || single) {
            return Ok(());
        }
        let items = found.into_iter().flat_map(|part| part.rows.into_iter().map(move |row| (part.kind, row.object)));
        let items = items.map(|(kind, object)| (kind, without_managers(args, object))).collect();
        return print::objects(&mut session.out, &args.output, items, single, !args.no_headers);
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
    let mut first = true;
    for mut part in found.into_iter().filter(|part| !part.rows.is_empty()) {
        if !std::mem::take(&mut first) {
            writeln!(session.out)?;
        }
        part.table.write(&mut session.out, !args.no_headers, &part.rows)?;
    }
    Ok(())
}

/// Source: kubectl leaves `managedFields` out unless it is asked for them.
fn without_managers(args: &GetArgs, mut object: Value) -> Value {
    if let (false, Some(metadata)) =
        (args.show_managed_fields, object.get_mut("metadata").and_then(Value::as_object_mut))
    {
        metadata.remove("managedFields");
    }
    object
}

fn shown(args: &GetArgs, kind: bool) -> Shown {
    Shown {
        wide: args.output == Format::Wide,
        namespace: args.all_namespaces,
        kind,
        labels: args.show_labels,
        label_columns: args.label_columns.clone(),
    }
}

/// Shows what is there, then every change, for ever: it ends with the process, or with the server.
fn watch(args: &GetArgs, selection: &Selection, session: &mut Session) -> Result<(), CliError> {
    let kind = selection.kind;
    let mut parameters = parameters(args, selection)?;
    // One object is watched as a list of one, so that it may vanish and come again.
    if let [name] = selection.names.as_slice() {
        fetch(args, selection, false, session)?.missing.into_iter().try_for_each(Err)?;
        parameters.push(("fieldSelector", format!("metadata.name={name}")));
    } else if !selection.names.is_empty() {
        return Err(CliError::Usage("watch is only supported on individual resources and resource collections".into()));
    }
    let namespace = selection.namespace.as_deref().or(namespace(args, session)).map(str::to_owned);
    let mut printer =
        Watched { args, kind, table: Table::new(kind, shown(args, args.show_kind)), headers: args.no_headers };
    let (mut after, mut pages) = (String::new(), Vec::new());
    session.cluster.each_page(kind, namespace.as_deref(), &parameters, accept(args), &mut |page| {
        after = text(&page["metadata"]["resourceVersion"]);
        pages.push(page);
        Ok(())
    })?;
    if !args.watch_only {
        pages.into_iter().try_for_each(|page| printer.print(page, session))?;
    }
    loop {
        let mut parameters = parameters.clone();
        parameters.push(("watch", "true".into()));
        parameters.push(("allowWatchBookmarks", "true".into()));
        parameters.push(("resourceVersion", after.clone()));
        let path = paths::collection(kind, namespace.as_deref());
        let mut stream = session.cluster.stream_as(&paths::with_query(&path, parameters), accept(args))?;
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
            let mut event: serde_json::Map<String, Value> = serde_json::from_slice(&line)
                .map_err(|error| CliError::Lost(format!("the server sent no watch event: {error}")))?;
            let (what, object) = (event.remove("type").unwrap_or_default(), event.remove("object").unwrap_or_default());
            if what == "ERROR" {
                let status = serde_json::from_value::<Status>(object).map(CliError::server);
                return Err(status.unwrap_or_else(|_| CliError::Lost("the server ended the watch".into())));
            }
            let version = text(&object["metadata"]["resourceVersion"]);
            if !version.is_empty() {
                after = version;
            }
            if what != "BOOKMARK" && object.is_object() {
                printer.print(object, session)?;
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
    fn print(&mut self, answer: Value, session: &mut Session) -> Result<(), CliError> {
        let rows = rows(self.args, &mut self.table, answer)?;
        let headers = !self.headers && !rows.is_empty();
        self.headers |= headers;
        if self.args.output.is_table() {
            self.table.write(&mut session.out, headers, &rows)?;
        } else {
            for row in rows {
                if self.args.output == Format::Yaml {
                    writeln!(session.out, "---")?;
                }
                let item = vec![(self.kind, without_managers(self.args, row.object))];
                print::objects(&mut session.out, &self.args.output, item, true, headers)?;
            }
        }
        Ok(session.out.flush()?)
    }
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
            let path = Path::parse(path).unwrap();
            pods.sort_by(|a, b| compare(path.first(a), path.first(b)));
            pods.map(|pod| text(&pod["metadata"]["name"])).concat()
        };
        assert_eq!(sorted(".metadata.name"), "abc");
        assert_eq!(sorted(".s[0].n"), "cba");
        assert_eq!(sorted("metadata.none"), "bac");
    }
}
