//! Objects as the rows of a table, which is how kubectl asks for them.
//!
//! Source: Kubernetes API concepts, "Receiving resources as Tables"; `meta/v1.Table`.

use crate::api::custom::PrinterColumn;
use crate::api::jsonpath;
use crate::api::kinds::{Column, Kind};
use crate::api::meta::parse_rfc3339;
use crate::api::object::Object;
use crate::api::plain::shown;
use crate::time::{Human, Now};
use serde_json::{Value, json};

/// The columns of a kind.
pub enum Columns<'a> {
    /// Those of its row.
    Row(&'static [Column]),
    /// Those of its definition's version, after the name.
    Defined(&'a [PrinterColumn]),
}

impl<'a> Columns<'a> {
    /// The columns of a kind; `defined` are those of its definition, if it has one.
    pub fn of(kind: Kind, defined: &'a [PrinterColumn]) -> Self {
        if defined.is_empty() { Columns::Row(kind.row().columns) } else { Columns::Defined(defined) }
    }

    /// What stands above them, as `columnDefinitions`.
    pub fn definitions(&self) -> Value {
        let of_row = |column: &Column| {
            let format = if column.name == "Name" { "name" } else { "" };
            json!({"name": column.name, "type": "string", "format": format, "description": "", "priority": column.priority})
        };
        match self {
            Columns::Row(columns) => columns.iter().map(of_row).collect(),
            Columns::Defined(columns) => {
                let defined = columns.iter().map(|column| {
                    json!({"name": column.name, "type": column.kind, "format": column.format,
                        "description": column.description, "priority": column.priority.unwrap_or(0)})
                });
                std::iter::once(of_row(&Column::name("Name"))).chain(defined).collect()
            }
        }
    }

    /// An object's cells.
    pub fn cells(&self, object: &Object, now: Now) -> Vec<Value> {
        match self {
            Columns::Row(columns) => columns.iter().map(|column| (column.cell)(object, now).into()).collect(),
            Columns::Defined(columns) => {
                let whole = object.to_value();
                let cell = |column: &PrinterColumn| {
                    let found = jsonpath::find(&whole, &column.json_path).unwrap_or_default();
                    defined_cell(&column.kind, &found, now)
                };
                std::iter::once(object.meta().name.clone().into()).chain(columns.iter().map(cell)).collect()
            }
        }
    }
}

/// A cell of a defined column: a value that is not of the column's type is shown as nothing.
fn defined_cell(kind: &str, found: &[&Value], now: Now) -> Value {
    let Some(first) = found.first() else { return Value::Null };
    match kind {
        "integer" => first.as_i64().map_or(Value::Null, Value::from),
        "number" => first.as_f64().map_or(Value::Null, Value::from),
        "boolean" => first.as_bool().map_or(Value::Null, Value::from),
        "date" => match first.as_str().map(parse_rfc3339) {
            Some(Ok(time)) => Human(now.wall.since(time)).to_string().into(),
            _ => "<invalid>".into(),
        },
        _ => found.iter().map(|one| shown(Some(one))).collect::<Vec<_>>().join(",").into(),
    }
}
