//! Decision tables: written once, executed by `match`, printed as documentation.
//!
//! [`decision_table!`] turns rows of patterns into a total function and a constant that describes the
//! same rows. rustc refuses a missing case (E0004) and, under `deny(unreachable_patterns)`, a dead row.
//! [`Table::page`] prints the rows as the Markdown pages of `docs/decisions/`.

use std::fmt::Write;

/// One row of a decision table.
#[derive(Debug, PartialEq, Eq)]
pub struct Row<A: 'static> {
    /// Unique within the table; ends up in Events and explanations.
    pub name: &'static str,
    /// One pattern a column, as it stands in the source.
    pub when: &'static [&'static str],
    /// What is done.
    pub then: A,
    /// The reason, as a person would say it.
    pub why: &'static str,
}

/// A decision as data: what [`decision_table!`] executes.
#[derive(Debug)]
pub struct Table<A: 'static> {
    /// The deciding function's name.
    pub name: &'static str,
    /// The columns' names, in the order of [`Row::when`].
    pub columns: &'static [&'static str],
    /// All rows; the first that matches decides.
    pub rows: &'static [Row<A>],
}

impl<A: std::fmt::Debug> Table<A> {
    /// The table as Markdown: a header, then a line a row.
    pub fn page(&self) -> String {
        let mut page = format!("| row | {} | action | why |\n", self.columns.join(" | "));
        page += &"| --- ".repeat(self.columns.len() + 3);
        page += "|\n";
        for row in self.rows {
            let when: Vec<String> = row.when.iter().map(|when| when.replace('|', "or")).collect();
            writeln!(page, "| `{}` | {} | **{:?}** | {} |", row.name, when.join(" | "), row.then, row.why)
                .expect("a String takes every write");
        }
        page
    }
}

/// Declares a decision: a total function over small enums, and the [`Table`] that describes it.
///
/// Each column is a fieldless enum in scope; a row is `name: (pattern, …) => Action, "why";`.
#[macro_export]
macro_rules! decision_table {
    ($(#[$doc:meta])* $vis:vis fn $decide:ident($($column:ident: $kind:ident),+ $(,)?) -> $action:ident, $table:ident;
     $($row:ident: ($($when:pat),+ $(,)?) => $then:ident, $why:literal;)+) => {
        /// The rows, as data.
        $vis const $table: $crate::table::Table<$action> = $crate::table::Table {
            name: stringify!($decide),
            columns: &[$(stringify!($column)),+],
            rows: &[$($crate::table::Row {
                name: stringify!($row),
                when: &[$(stringify!($when)),+],
                then: $action::$then,
                why: $why,
            }),+],
        };
        $(#[$doc])*
        $vis fn $decide($($column: $kind),+) -> &'static $crate::table::Row<$action> {
            #[allow(non_camel_case_types, clippy::enum_variant_names)]
            enum At { $($row),+ }
            $(#[allow(unused_imports)] use $kind::*;)+
            let at = match ($($column),+) { $(($($when),+) => At::$row,)+ };
            &$table.rows[at as usize]
        }
    };
}
