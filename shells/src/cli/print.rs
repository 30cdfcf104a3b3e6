//! How objects are written: as a table, as JSON, as YAML, as names, by a template.

use crate::cli::cluster::{list_of, name, text, typed};
use crate::cli::error::CliError;
use crate::cli::resource::full_name;
use crate::cli::tabular::Widths;
use crate::cli::template::{Path, Template, shown};
use crate::cli::{paint, yaml};
use miniku_core::api::kinds::Kind;
use miniku_core::api::meta::Labels;
use miniku_core::time::{Now, Wall};
use serde::Serialize;
use serde_json::Value;
use std::io::Write;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// How objects are written.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Format {
    /// One line an object.
    #[default]
    Table,
    /// The same with more columns.
    Wide,
    /// As the API has them.
    Json,
    /// The same as YAML.
    Yaml,
    /// `pod/x`.
    Name,
    /// What a JSONPath template makes of them.
    Template(Arc<Template>),
    /// One line an object, with columns of one's own.
    Columns(Arc<Vec<(String, Path)>>),
}

impl Format {
    /// Whether objects are lines.
    pub fn is_table(&self) -> bool {
        matches!(self, Format::Table | Format::Wide)
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = |file: &str| std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"));
        let template = |text: &str| Template::parse(text).map(|template| Format::Template(Arc::new(template)));
        match text.split_once('=').unwrap_or((text, "")) {
            ("table", "") => Ok(Format::Table),
            ("wide", "") => Ok(Format::Wide),
            ("json", "") => Ok(Format::Json),
            ("yaml", "") => Ok(Format::Yaml),
            ("name", "") => Ok(Format::Name),
            ("jsonpath" | "jsonpath-as-json", "") => Err("template format specified but no template given".into()),
            ("jsonpath", given) => template(given),
            ("jsonpath-file", file) => template(read(file)?.trim_end_matches('\n')),
            ("custom-columns", given) => columns(given),
            // The first line has the names, the second the paths.
            ("custom-columns-file", file) => {
                let text = read(file)?;
                let mut lines = text.lines().map(str::split_whitespace);
                let (Some(names), Some(paths), None) = (lines.next(), lines.next(), lines.next()) else {
                    return Err(format!("{file}: expected two lines, one of headers and one of paths"));
                };
                let pairs: Vec<String> = names.zip(paths).map(|(name, path)| format!("{name}:{path}")).collect();
                columns(&pairs.join(","))
            }
            _ => Err(format!(
                "unable to match a printer suitable for the output format {text:?}, allowed formats are: \
                 custom-columns,custom-columns-file,json,jsonpath,jsonpath-file,name,table,wide,yaml"
            )),
        }
    }
}

/// `NAME:.metadata.name,NODE:.spec.nodeName`. Commas within brackets belong to a path.
fn columns(text: &str) -> Result<Format, String> {
    let (mut found, mut from, mut depth) = (Vec::new(), 0, 0_i32);
    let mut take = |one: &str| {
        let (name, path) = one
            .split_once(':')
            .ok_or_else(|| format!("unexpected custom-columns spec: {one}, expected <header>:<json-path-expr>"))?;
        found.push((name.to_owned(), Path::parse(path)?));
        Ok::<(), String>(())
    };
    for (at, c) in text.char_indices() {
        match c {
            '[' | '(' | '{' => depth += 1,
            ']' | ')' | '}' => depth -= 1,
            ',' if depth == 0 => {
                take(&text[from..at])?;
                from = at + 1;
            }
            _ => {}
        }
    }
    take(&text[from..])?;
    Ok(Format::Columns(Arc::new(found)))
}

/// Both clocks; columns show ages by the wall's.
pub fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { wall: Wall::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)), ..Now::default() }
}

/// How a server is asked for rows; one that knows no tables answers with objects.
pub const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// A table of objects of one kind.
pub struct Table {
    kind: Kind,
    columns: Vec<Head>,
    shown: Shown,
    widths: Widths,
}

/// What is known of a column.
struct Head {
    name: String,
    wide: bool,
}

/// One object: its cells, and it itself, or its metadata alone.
pub struct Row {
    cells: Vec<String>,
    /// What the server sent of it.
    pub object: Value,
}

/// What a table shows beside its kind's columns.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The columns of `-o wide`.
    pub wide: bool,
    /// The namespace, first.
    pub namespace: bool,
    /// The kind with the name: `pod/x`.
    pub kind: bool,
    /// All labels, last.
    pub labels: bool,
    /// These labels, each in a column of its own.
    pub label_columns: Vec<String>,
}

impl Table {
    /// A table without rows.
    pub fn new(kind: Kind, shown: Shown) -> Self {
        let head =
            |column: &miniku_core::api::kinds::Column| Head { name: column.name.into(), wide: column.priority > 0 };
        Table { kind, columns: kind.row().columns.iter().map(head).collect(), shown, widths: Widths::default() }
    }

    /// The rows of an answer: of a table, which may name its columns; of a list; of an object.
    pub fn rows(&mut self, mut answer: Value, now: Now) -> Result<Vec<Row>, CliError> {
        if answer["kind"] == "Table" {
            if let Some(named) = answer["columnDefinitions"].as_array() {
                let head = |column: &Value| Head {
                    name: text(&column["name"]),
                    wide: column["priority"].as_i64().unwrap_or(0) > 0,
                };
                self.columns = named.iter().map(head).collect();
            }
            let Some(Value::Array(rows)) = answer.get_mut("rows").map(Value::take) else { return Ok(Vec::new()) };
            let row = |mut row: Value| {
                let cells = row["cells"].as_array().into_iter().flatten();
                let cells = cells.map(|cell| if cell.is_null() { String::new() } else { shown(cell) }).collect();
                let object = if row.is_object() { row["object"].take() } else { Value::Null };
                Row { cells, object }
            };
            return Ok(rows.into_iter().map(row).collect());
        }
        let row = |row: Row| {
            let object = typed(self.kind, row.object.clone())?;
            let cells = self.kind.row().columns.iter().map(|column| (column.cell)(&object, now)).collect();
            Ok(Row { cells, ..row })
        };
        self.objects(answer).into_iter().map(row).collect()
    }

    /// The objects of an answer that is none of a table, as rows without cells.
    pub fn objects(&self, mut answer: Value) -> Vec<Row> {
        let known = self.kind.row();
        let items = match answer.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => vec![answer],
        };
        let row = |mut object: Value| {
            // Items of a list do not say what they are.
            if object.is_object() {
                object["kind"] = known.name.into();
                object["apiVersion"] = known.api_version().into();
            }
            Row { cells: Vec::new(), object }
        };
        items.into_iter().map(row).collect()
    }

    fn shown(&self) -> impl Iterator<Item = (usize, &Head)> {
        self.columns.iter().enumerate().filter(|(_, column)| self.shown.wide || !column.wide)
    }

    /// The headers.
    pub fn header(&self) -> Vec<String> {
        let namespace = self.with_namespace().then(|| "NAMESPACE".to_owned());
        let labels = self.shown.labels.then(|| "LABELS".to_owned());
        let own = self.shown.label_columns.iter().map(|label| label.rsplit('/').next().unwrap_or(label).to_uppercase());
        let columns = self.shown().map(|(_, column)| column.name.to_uppercase());
        namespace.into_iter().chain(columns).chain(own).chain(labels).collect()
    }

    fn with_namespace(&self) -> bool {
        self.shown.namespace && self.kind.row().namespaced
    }

    /// The line of an object.
    pub fn line(&self, row: &Row) -> Vec<String> {
        let metadata = &row.object["metadata"];
        let namespace = self.with_namespace().then(|| text(&metadata["namespace"]));
        let columns = self.shown().map(|(nth, column)| match (column.name.as_str(), row.cells.get(nth)) {
            ("Name", Some(cell)) if self.shown.kind => full_name(self.kind, cell),
            // A message may hold what would break the line.
            (_, Some(cell)) => cell.replace(['\n', '\r', '\t'], " "),
            (_, None) => String::new(),
        });
        let own = self.shown.label_columns.iter().map(|label| text(&metadata["labels"][label]));
        let labels = self.shown.labels.then(|| labels(&metadata["labels"]));
        namespace.into_iter().chain(columns).chain(own).chain(labels).collect()
    }

    /// Writes lines below those written before, in colours if somebody looks.
    pub fn write(&mut self, out: &mut impl Write, header: bool, rows: &[Row]) -> Result<(), CliError> {
        let heads = self.header();
        let lines: Vec<Vec<String>> = rows.iter().map(|row| self.line(row)).collect();
        if header {
            self.widths.fit(&heads);
        }
        lines.iter().for_each(|line| self.widths.fit(line));
        let painted = paint::on_stdout();
        if header {
            writeln!(
                out,
                "{}",
                self.widths.painted(&heads, |_, text| match painted {
                    true => paint::header(text).into(),
                    false => text.into(),
                })
            )?;
        }
        for line in lines {
            writeln!(
                out,
                "{}",
                self.widths.painted(&line, |at, text| match heads.get(at) {
                    Some(column) if painted => paint::cell(column, text),
                    _ => text.into(),
                })
            )?;
        }
        Ok(())
    }
}

fn labels(labels: &Value) -> String {
    let pairs = labels.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", shown(value)));
    let pairs: Vec<String> = pairs.collect();
    if pairs.is_empty() { "<none>".into() } else { pairs.join(",") }
}

/// Labels on one line, `<none>` if there are none.
pub fn shown_labels(labels: &Labels) -> String {
    if labels.is_empty() {
        return "<none>".into();
    }
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// Writes a value as JSON, as kubectl indents it.
pub fn json(out: &mut impl Write, value: &impl Serialize) -> Result<(), CliError> {
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut to = serde_json::Serializer::with_formatter(&mut *out, formatter);
    value.serialize(&mut to).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

/// Writes objects as JSON, YAML, names or by a template: the one that was asked for by its name, or a list.
pub fn objects(
    out: &mut impl Write,
    format: &Format,
    mut items: Vec<(Kind, Value)>,
    single: bool,
    headers: bool,
) -> Result<(), CliError> {
    match format {
        Format::Name => {
            for (kind, item) in &items {
                writeln!(out, "{}", full_name(*kind, name(item)))?;
            }
            return Ok(());
        }
        Format::Columns(columns) => return custom(out, columns, &items, headers),
        _ => {}
    }
    let value = match items.pop() {
        Some((_, only)) if single && items.is_empty() => only,
        last => list_of(items.into_iter().chain(last).map(|(_, item)| item).collect()),
    };
    match format {
        Format::Yaml => write!(out, "{}", yaml::write(&value)?)?,
        Format::Template(template) => write!(out, "{}", template.of(&value))?,
        _ => json(out, &value)?,
    }
    Ok(())
}

/// Source: kubectl, `pkg/cmd/get/customcolumn.go`.
fn custom(
    out: &mut impl Write,
    columns: &[(String, Path)],
    items: &[(Kind, Value)],
    headers: bool,
) -> Result<(), CliError> {
    let header = headers.then(|| columns.iter().map(|(name, _)| name.clone()).collect());
    let line = |(_, item): &(Kind, Value)| {
        let cell = |(_, path): &(String, Path)| match path.find(item).as_slice() {
            [] | [Value::Null] => "<none>".to_owned(),
            many => many.iter().map(|value| shown(value)).collect::<Vec<_>>().join(","),
        };
        columns.iter().map(cell).collect::<Vec<String>>()
    };
    let lines: Vec<Vec<String>> = header.into_iter().chain(items.iter().map(line)).collect();
    plain_table(out, &lines)
}

/// Writes lines with their columns below each other.
pub fn plain_table(out: &mut impl Write, lines: &[Vec<String>]) -> Result<(), CliError> {
    let mut widths = Widths::default();
    lines.iter().for_each(|line| widths.fit(line));
    for line in lines {
        writeln!(out, "{}", widths.line(line))?;
    }
    Ok(())
}

/// Tells that an object was created, configured or the like; or writes it, if `-o` asks for that.
pub fn outcome(out: &mut impl Write, format: &Format, kind: Kind, object: Value, done: &str) -> Result<(), CliError> {
    match format {
        Format::Table => writeln!(out, "{} {done}", full_name(kind, name(&object)))?,
        Format::Wide => {
            let mut table = Table::new(kind, Shown { wide: true, ..Shown::default() });
            let rows = table.rows(object, now())?;
            table.write(out, true, &rows)?;
        }
        other => objects(out, other, vec![(kind, object)], true, true)?,
    }
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(format: &str, items: Value) -> String {
        let items = items.as_array().unwrap().iter().map(|item| (Kind::Pod, item.clone())).collect();
        let mut out = Vec::new();
        objects(&mut out, &format.parse().unwrap(), items, false, true).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_of_ones_own() {
        let pods = json!([{"metadata": {"name": "a"}, "c": [{"n": "x"}, {"n": "y"}]}, {"metadata": {"name": "long"}}]);
        let format = "custom-columns=NAME:.metadata.name,C:.c[*].n,D:{.c[?(@.n=='x')].n}";
        assert_eq!(written(format, pods.clone()), "NAME   C        D\na      x,y      x\nlong   <none>   <none>\n");
        assert_eq!(written("jsonpath={.items[*].metadata.name}", pods), "a long");
        for wrong in ["custom-columns=", "custom-columns=A", "jsonpath", "jsonpath={.a", "go-template=x", "xml"] {
            assert!(wrong.parse::<Format>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_table_is_the_servers_or_ones_own() {
        let mut table = Table::new(Kind::Pod, Shown { namespace: true, labels: true, ..Shown::default() });
        let definitions = json!([{"name": "Name"}, {"name": "Size", "priority": 1}, {"name": "Ready"}]);
        let answer = json!({"kind": "Table", "columnDefinitions": definitions, "rows": [
            {"cells": ["a", 3, null], "object": {"metadata": {"namespace": "x", "labels": {"k": "v"}}}}, {"cells": 1}]});
        let rows = table.rows(answer, now()).unwrap();
        assert_eq!(table.header(), ["NAMESPACE", "NAME", "READY", "LABELS"]);
        assert_eq!(table.line(&rows[0]), ["x", "a", "", "k=v"]);
        assert_eq!(table.line(&rows[1]), ["", "", "", "<none>"]);
        let later = json!({"kind": "Table", "columnDefinitions": null, "rows": [{"cells": ["b", 1, "y"]}]});
        let rows = table.rows(later, now()).unwrap();
        assert_eq!(table.line(&rows[0]), ["", "b", "y", "<none>"]);

        let mut table = Table::new(Kind::Namespace, Shown::default());
        let rows =
            table.rows(json!({"items": [{"metadata": {"name": "a"}, "status": {"phase": "Active"}}]}), now()).unwrap();
        assert_eq!((table.header()[1].as_str(), table.line(&rows[0])[1].as_str()), ("STATUS", "Active"));
    }
}
