//! Decision tables: written once, executed by `match`, printed as documentation.
//!
//! [`decision_table!`] turns rows of patterns into a total function and a constant that describes the same rows. rustc
//! refuses a missing case (E0004) and, under `deny(unreachable_patterns)`, a dead row. [`decision_enum!`] declares the
//! small enums that stand in the columns, and keeps their docstrings as data. [`Table::print`] gives both as text; the
//! pages of `docs/decisions/` are made of it in [`pages`](crate::pages).
//!
//! [`decision_table!`]: crate::decision_table
//! [`decision_enum!`]: crate::decision_enum

use std::fmt::Debug;

/// One row of a decision table.
#[derive(Debug, PartialEq, Eq)]
pub struct Row<A: 'static> {
    /// Unique within the table, so that one can speak of it.
    pub name: &'static str,
    /// One pattern a column, as it stands in the source.
    pub when: &'static [&'static str],
    /// What is done.
    pub then: A,
    /// The reason, as a person would say it.
    pub why: &'static str,
}

/// A decision as data: what [`decision_table`](crate::decision_table) executes.
#[derive(Debug)]
pub struct Table<A: 'static> {
    /// The deciding function's name.
    pub name: &'static str,
    /// The source file, from the root of the workspace.
    pub source: &'static str,
    /// What is looked at, in the order of [`Row::when`].
    pub columns: &'static [Column],
    /// All rows; the first that matches decides.
    pub rows: &'static [Row<A>],
    /// All that may be answered.
    pub answers: Vocabulary,
}

/// One thing that a decision looks at.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The deciding function's argument.
    pub name: &'static str,
    /// The values it takes.
    pub values: Vocabulary,
}

/// The words of a column or of the answers: the values of one enum, with what they mean.
#[derive(Clone, Copy, Debug)]
pub struct Vocabulary {
    /// What the enum says. A sentence.
    pub about: &'static str,
    /// Each value and its meaning, in the order of their declaration.
    pub words: &'static [(&'static str, &'static str)],
}

/// An enum that may stand in a table; [`decision_enum`](crate::decision_enum) and [`api_enum`](crate::api_enum) implement it.
pub trait Words {
    /// Its values, for people.
    const WORDS: Vocabulary;
}

/// A decision as text, whatever its answers' type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// The deciding function's name.
    pub name: &'static str,
    /// The source file, from the root of the workspace.
    pub source: &'static str,
    /// The columns' names.
    pub columns: Vec<&'static str>,
    /// All rows, in their order.
    pub rows: Vec<PrintedRow>,
    /// For each column, and for the answers under the name `action`: what it says, and its words with their meanings.
    pub glossary: Vec<Entry>,
}

/// One row as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrintedRow {
    /// Unique within the table.
    pub name: &'static str,
    /// One cell a column: `Alive or Starting`, or `any`.
    pub when: Vec<String>,
    /// What is done.
    pub then: String,
    /// The reason.
    pub why: &'static str,
}

/// The words of one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The column; `action` for the answers.
    pub column: &'static str,
    /// What it says. A sentence.
    pub about: String,
    /// Each word and its meaning.
    pub words: Vec<(&'static str, String)>,
}

impl Printed {
    /// The first row of each answer, with its place.
    pub fn answers(&self) -> impl Iterator<Item = (usize, &PrintedRow)> {
        let is_first = |at: usize| self.rows[..at].iter().all(|before| before.then != self.rows[at].then);
        self.rows.iter().enumerate().filter(move |(at, _)| is_first(*at))
    }
}

impl<A: Debug> Table<A> {
    /// The table as text.
    pub fn print(&self) -> Printed {
        let entry = |column, values: &Vocabulary| Entry {
            column,
            about: one_line(values.about),
            words: values.words.iter().map(|(word, meaning)| (*word, one_line(meaning))).collect(),
        };
        let columns = self.columns.iter().map(|column| entry(column.name, &column.values));
        Printed {
            name: self.name,
            source: self.source,
            columns: self.columns.iter().map(|column| column.name).collect(),
            rows: self.rows.iter().map(print_row).collect(),
            glossary: columns.chain([entry("action", &self.answers)]).collect(),
        }
    }
}

fn print_row<A: Debug>(row: &Row<A>) -> PrintedRow {
    PrintedRow {
        name: row.name,
        when: row.when.iter().map(|when| cell(when)).collect(),
        then: format!("{:?}", row.then),
        why: row.why,
    }
}

/// A pattern as people read it: `A | B | C` is `A, B or C`, and `_` is `any`.
fn cell(pattern: &str) -> String {
    let words: Vec<&str> = pattern.split('|').map(str::trim).collect();
    match words.as_slice() {
        ["_"] => "any".into(),
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => words.concat(),
    }
}

/// Docstrings come with their line breaks and indentation.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Which row of a table decides: the one that matched, unless another was put in its place to test the simulator.
#[inline]
pub fn deciding(table: &str, matched: usize) -> usize {
    #[cfg(feature = "planted")]
    return crate::planted::instead_of(table, matched);
    #[cfg(not(feature = "planted"))]
    {
        let _ = table;
        matched
    }
}

/// Declares an enum of a decision. Every value has a docstring, which the printed page shows.
#[macro_export]
macro_rules! decision_enum {
    ($(#[doc = $about:literal])+ $vis:vis enum $name:ident {
        $($(#[doc = $meaning:literal])+ $word:ident,)+
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name { $($(#[doc = $meaning])+ $word,)+ }

        impl $crate::table::Words for $name {
            const WORDS: $crate::table::Vocabulary = $crate::table::Vocabulary {
                about: concat!($($about, "\n"),+),
                words: &[$((stringify!($word), concat!($($meaning, "\n"),+))),+],
            };
        }
    };
}

/// Declares a decision: a total function over small enums, and the [`Table`] that describes it.
///
/// Each column is an enum without fields that is in scope and has [`Words`]; a row is
/// `name: (pattern, …) => Action, "why";`.
#[macro_export]
macro_rules! decision_table {
    ($(#[$doc:meta])* $vis:vis fn $decide:ident($($column:ident: $kind:ident),+ $(,)?) -> $action:ident, $table:ident;
     $($row:ident: ($($when:pat),+ $(,)?) => $then:ident, $why:literal;)+) => {
        /// The rows, as data.
        $vis const $table: $crate::table::Table<$action> = $crate::table::Table {
            name: stringify!($decide),
            source: file!(),
            columns: &[$($crate::table::Column {
                name: stringify!($column),
                values: <$kind as $crate::table::Words>::WORDS,
            }),+],
            rows: &[$($crate::table::Row {
                name: stringify!($row),
                when: &[$(stringify!($when)),+],
                then: $action::$then,
                why: $why,
            }),+],
            answers: <$action as $crate::table::Words>::WORDS,
        };
        $(#[$doc])*
        $vis fn $decide($($column: $kind),+) -> &'static $crate::table::Row<$action> {
            #[allow(non_camel_case_types, clippy::enum_variant_names)]
            enum At { $($row),+ }
            $(#[allow(unused_imports)] use $kind::*;)+
            let at = match ($($column),+) { $(($($when),+) => At::$row,)+ };
            &$table.rows[$crate::table::deciding($table.name, at as usize)]
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_read_as_words() {
        let check = |pattern, want: &str| assert_eq!(cell(pattern), want);
        check("_", "any");
        check("Alive", "Alive");
        check("Alive | Starting", "Alive or Starting");
        check("A | B | C", "A, B or C");
    }
}
