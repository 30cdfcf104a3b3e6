//! How objects are written: as a table, as JSON, as YAML, as names.

use crate::cli::cluster::{list_of, name, typed};
use crate::cli::error::CliError;
use crate::cli::resource::full_name;
use crate::cli::tabular::Widths;
use crate::cli::yaml;
use miniku_core::api::kinds::{Column, Kind};
use miniku_core::api::meta::Labels;
use miniku_core::api::object::Object;
use miniku_core::time::{Now, Wall};
use serde::Serialize;
use serde_json::Value;
use std::io::Write;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// How objects are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "table" => Ok(Format::Table),
            "wide" => Ok(Format::Wide),
            "json" => Ok(Format::Json),
            "yaml" => Ok(Format::Yaml),
            "name" => Ok(Format::Name),
            _ => Err(format!(
                "unable to match a printer suitable for the output format {text:?}, allowed formats are: \
                 json,name,table,wide,yaml"
            )),
        }
    }
}

/// Both clocks; columns show ages by the wall's.
pub fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { wall: Wall::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)), ..Now::default() }
}

/// A table of objects of one kind.
pub struct Table {
    columns: Vec<&'static Column>,
    with_namespace: bool,
    with_kind: bool,
    with_labels: bool,
    widths: Widths,
}

/// What a table shows beside its kind's columns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown {
    /// The columns of `-o wide`.
    pub wide: bool,
    /// The namespace, first.
    pub namespace: bool,
    /// The kind with the name: `pod/x`.
    pub kind: bool,
    /// The labels, last.
    pub labels: bool,
}

impl Table {
    /// A table without rows.
    pub fn new(kind: Kind, shown: Shown) -> Self {
        let columns = kind.row().columns.iter().filter(|column| shown.wide || column.priority == 0).collect();
        Table {
            columns,
            with_namespace: shown.namespace && kind.row().namespaced,
            with_kind: shown.kind,
            with_labels: shown.labels,
            widths: Widths::default(),
        }
    }

    /// The headers.
    pub fn header(&self) -> Vec<String> {
        let namespace = self.with_namespace.then(|| "NAMESPACE".to_owned());
        let labels = self.with_labels.then(|| "LABELS".to_owned());
        let columns = self.columns.iter().map(|column| column.name.to_uppercase());
        namespace.into_iter().chain(columns).chain(labels).collect()
    }

    /// The row of an object.
    pub fn row(&self, object: &Object, now: Now) -> Vec<String> {
        let meta = object.meta();
        let namespace = self.with_namespace.then(|| meta.namespace.clone());
        let labels = self.with_labels.then(|| shown_labels(&meta.labels));
        let columns = self.columns.iter().map(|column| match column.name {
            "Name" if self.with_kind => full_name(object.kind(), &meta.name),
            // A message may hold what would break the line.
            _ => (column.cell)(object, now).replace(['\n', '\r', '\t'], " "),
        });
        namespace.into_iter().chain(columns).chain(labels).collect()
    }

    /// Writes rows below those written before.
    pub fn write(&mut self, out: &mut impl Write, rows: &[Vec<String>]) -> Result<(), CliError> {
        rows.iter().for_each(|row| self.widths.fit(row));
        for row in rows {
            writeln!(out, "{}", self.widths.line(row))?;
        }
        Ok(())
    }
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

/// Writes objects as JSON, YAML or names: the one that was asked for by its name, or a list.
pub fn objects(
    out: &mut impl Write,
    format: Format,
    mut items: Vec<(Kind, Value)>,
    single: bool,
) -> Result<(), CliError> {
    if format == Format::Name {
        for (kind, item) in &items {
            writeln!(out, "{}", full_name(*kind, name(item)))?;
        }
        return Ok(());
    }
    let value = match items.pop() {
        Some((_, only)) if single && items.is_empty() => only,
        last => list_of(items.into_iter().chain(last).map(|(_, item)| item).collect()),
    };
    match format {
        Format::Yaml => write!(out, "{}", yaml::write(&value)?)?,
        _ => json(out, &value)?,
    }
    Ok(())
}

/// Tells that an object was created, configured or the like; or writes it, if `-o` asks for that.
pub fn outcome(out: &mut impl Write, format: Format, kind: Kind, object: Value, done: &str) -> Result<(), CliError> {
    match format {
        Format::Table => writeln!(out, "{} {done}", full_name(kind, name(&object)))?,
        Format::Wide => {
            let mut table = Table::new(kind, Shown { wide: true, ..Shown::default() });
            let row = table.row(&typed(kind, object)?, now());
            let rows = [table.header(), row];
            table.write(out, &rows)?;
        }
        other => objects(out, other, vec![(kind, object)], true)?,
    }
    out.flush()?;
    Ok(())
}
