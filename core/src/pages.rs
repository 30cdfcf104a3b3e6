//! The decisions as pages: what `docs/decisions/` and `miniku decisions` show, printed from the tables that are executed.
//!
//! Each component lists its own pages; [`pages`] gathers them. Nothing is written down twice: rows, words and numbers
//! come from the code, only titles and introductions are prose.

use crate::table::{Printed, Table};
use crate::{apiserver, client, controllers, kubelet, scheduler};
use std::collections::BTreeSet;
use std::fmt::{Debug, Write};

/// Everything that is decided in one place.
#[derive(Clone, Debug)]
pub struct Page {
    /// The stem of its file: lower case, words joined by `_`.
    pub name: &'static str,
    /// What is decided.
    pub title: &'static str,
    /// Which program decides it.
    pub by: &'static str,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    /// A paragraph, as Markdown.
    Prose(String),
    /// A decision table.
    Decision(Printed),
    /// Any other table.
    List { source: &'static str, columns: &'static [&'static str], rows: Vec<Vec<String>> },
}

/// All pages, in the order of a pod's life.
pub fn pages() -> Vec<Page> {
    [
        vec![crate::reasons::page()],
        controllers::workload::pages(),
        controllers::replicaset::pages(),
        controllers::deployment::pages(),
        controllers::job::pages(),
        controllers::cronjob::pages(),
        controllers::statefulset::pages(),
        controllers::daemonset::pages(),
        scheduler::pages(),
        kubelet::pages(),
        apiserver::pages(),
        controllers::pages(),
        client::leader::pages(),
    ]
    .concat()
}

/// The page that lists all others.
pub fn index() -> String {
    let mut index =
        "# Decisions\n\nEverything that miniku decides, in the order of a pod's life. Each page is printed \
         from the tables that are executed; a test fails when one differs from the code. To write them again:\n\n\
         ```sh\ncargo run -p miniku-core --example decisions\n```\n\nHow to read a table: the first row that matches \
         decides, and `any` stands for every word of its column. No case is left out and no row is idle: the compiler \
         checks both. What the words mean stands below each table.\n\n| page | what is decided | by |\n| --- | --- | --- |\n"
            .to_owned();
    for page in pages() {
        line(&mut index, &[format!("[`{}`]({}.md)", page.name, page.name), page.title.into(), page.by.into()]);
    }
    index
}

impl Page {
    /// A page without content.
    pub fn new(name: &'static str, title: &'static str, by: &'static str) -> Self {
        Page { name, title, by, parts: Vec::new() }
    }

    /// With a paragraph.
    pub fn says(mut self, text: impl Into<String>) -> Self {
        self.parts.push(Part::Prose(text.into()));
        self
    }

    /// With a decision table.
    pub fn decides<A: Debug>(mut self, table: &Table<A>) -> Self {
        self.parts.push(Part::Decision(table.print()));
        self
    }

    /// With a table of anything else; `source` is the file that its rows come from.
    pub fn lists(
        mut self,
        source: &'static str,
        columns: &'static [&'static str],
        rows: impl IntoIterator<Item = Vec<String>>,
    ) -> Self {
        self.parts.push(Part::List { source, columns, rows: rows.into_iter().collect() });
        self
    }

    /// Its decision tables.
    pub fn tables(&self) -> impl Iterator<Item = &Printed> {
        self.parts.iter().filter_map(|part| if let Part::Decision(table) = part { Some(table) } else { None })
    }

    /// The files that decide, each once.
    pub fn sources(&self) -> Vec<&'static str> {
        let mut sources: Vec<&'static str> = Vec::new();
        for part in &self.parts {
            let source = match part {
                Part::Prose(_) => continue,
                Part::Decision(table) => table.source,
                Part::List { source, .. } => source,
            };
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        sources
    }

    /// The page as Markdown.
    pub fn text(&self) -> String {
        let sources: Vec<String> =
            self.sources().iter().map(|source| format!("[`{source}`](../../{source})")).collect();
        let mut text = format!("# {}\n\nDecided by {}, in {}.\n", self.title, self.by, sources.join(" and "));
        let mut explained = BTreeSet::new();
        for part in &self.parts {
            text += "\n";
            match part {
                Part::Prose(prose) => text += &format!("{prose}\n"),
                Part::Decision(table) => decision(&mut text, table, &mut explained),
                Part::List { columns, rows, .. } => {
                    head(&mut text, columns);
                    rows.iter().for_each(|row| line(&mut text, row));
                }
            }
        }
        text
    }
}

/// A table and its words. `explained` are those that stand on the page already.
fn decision(text: &mut String, table: &Printed, explained: &mut BTreeSet<Vec<(&'static str, String)>>) {
    head(text, &[&["row"], table.columns.as_slice(), &["action", "why"]].concat());
    for row in &table.rows {
        let (name, then) = (format!("`{}`", row.name), format!("**{}**", row.then));
        line(text, &[&[name], row.when.as_slice(), &[then, row.why.into()]].concat());
    }
    *text += "\n";
    head(text, &["", "word", "what it means"]);
    for entry in &table.glossary {
        line(text, &[format!("**{}**", entry.column), String::new(), format!("*{}*", entry.about)]);
        if !explained.insert(entry.words.clone()) {
            line(text, &[String::new(), String::new(), "as above".into()]);
            continue;
        }
        for (word, meaning) in &entry.words {
            line(text, &[String::new(), (*word).into(), meaning.clone()]);
        }
    }
}

fn head(text: &mut String, columns: &[&str]) {
    line(text, &columns.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>());
    line(text, &vec!["---".to_owned(); columns.len()]);
}

fn line(text: &mut String, cells: &[String]) {
    writeln!(text, "| {} |", cells.join(" | ")).expect("a String takes every write");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_a_name_and_a_title_of_its_own() {
        let all = pages();
        let names: BTreeSet<&str> = all.iter().map(|page| page.name).collect();
        let titles: BTreeSet<&str> = all.iter().map(|page| page.title).collect();
        assert_eq!((names.len(), titles.len()), (all.len(), all.len()));
        for page in all {
            assert!(!page.sources().is_empty(), "{} decides nothing", page.name);
            assert!(page.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", page.name);
        }
    }

    /// What rustc cannot check of the tables, for all of them at once.
    #[test]
    fn every_table_is_whole() {
        let mut count = 0;
        for table in pages().iter().flat_map(|page| page.tables().cloned().collect::<Vec<_>>()) {
            let at = |what: &str| format!("{} in {}: {what}", table.name, table.source);
            let names: BTreeSet<&str> = table.rows.iter().map(|row| row.name).collect();
            assert_eq!(names.len(), table.rows.len(), "{}", at("two rows have one name"));
            let (answers, columns) = table.glossary.split_last().expect("the answers are in it");
            for (word, meaning) in &answers.words {
                assert!(table.rows.iter().any(|row| row.then == *word), "{}", at(&format!("{word} is never answered")));
                assert!(!meaning.is_empty(), "{}", at(word));
            }
            for (nth, column) in columns.iter().enumerate() {
                let cells: Vec<&str> = table.rows.iter().map(|row| row.when[nth].as_str()).collect();
                assert!(
                    cells.iter().any(|cell| *cell != "any"),
                    "{}",
                    at(&format!("{} decides nothing", column.column))
                );
                let words: BTreeSet<&str> =
                    cells.iter().flat_map(|cell| cell.split(" or ")).flat_map(|cell| cell.split(", ")).collect();
                for word in words {
                    let known = word == "any" || column.words.iter().any(|(known, _)| *known == word);
                    assert!(known, "{}", at(&format!("{word} is no word of {}", column.column)));
                }
            }
            for row in &table.rows {
                assert!(!row.why.is_empty() && !row.why.ends_with('.'), "{}", at(row.name));
            }
            count += 1;
        }
        assert!(count >= 12, "{count} tables");
    }
}
