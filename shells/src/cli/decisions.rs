//! `decisions`: the decision tables of this very binary, as `docs/decisions/` has them. Asks no server.

use crate::cli::Session;
use crate::cli::error::CliError;
use clap::Args;
use miniku_core::pages::{Page, pages};
use std::io::Write;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku decisions\n  miniku decisions container_action";

/// Which decisions.
#[derive(Args, Debug)]
pub struct DecisionsArgs {
    /// The page to print; a list of all pages if none is named
    #[arg(value_name = "PAGE")]
    pub page: Option<String>,
}

/// Prints one page, or their list.
pub fn run(args: &DecisionsArgs, session: &mut Session) -> Result<(), CliError> {
    let pages = pages();
    let Some(wanted) = &args.page else {
        let width = pages.iter().map(|page| page.name.len()).max().unwrap_or(0);
        for Page { name, title, .. } in &pages {
            writeln!(session.out, "{name:width$}  {title}")?;
        }
        return Ok(());
    };
    let Some(page) = pages.iter().find(|page| page.name == *wanted) else {
        let message = format!("error: there is no page {wanted:?}; \"miniku decisions\" lists all");
        return Err(CliError::Plain(message));
    };
    session.out.write_all(aligned(&page.text()).as_bytes())?;
    Ok(())
}

/// Markdown with the columns of each of its tables below each other.
fn aligned(markdown: &str) -> String {
    let (mut out, mut table) = (String::new(), Vec::new());
    for line in markdown.lines() {
        match line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) {
            Some(cells) => table.push(cells.split(" | ").collect::<Vec<&str>>()),
            None => {
                put(&mut out, &mut table);
                out += &format!("{line}\n");
            }
        }
    }
    put(&mut out, &mut table);
    out
}

fn put(out: &mut String, table: &mut Vec<Vec<&str>>) {
    let columns = table.iter().map(Vec::len).max().unwrap_or(0);
    let length = |cell: &&str| cell.chars().count();
    let width = |at: usize| table.iter().filter_map(|row| row.get(at)).map(length).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in table.drain(..) {
        let rule = row.iter().all(|cell| *cell == "---");
        let cells = row.iter().zip(&widths).map(|(cell, &width)| match rule {
            true => "-".repeat(width),
            false => format!("{cell:width$}"),
        });
        *out += &format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned() {
        let page = "# T\n\n| a | b |\n| --- | --- |\n| xyz | `1` |\n\nEnd.\n";
        assert_eq!(aligned(page), "# T\n\n| a   | b   |\n| --- | --- |\n| xyz | `1` |\n\nEnd.\n");
    }

    #[test]
    fn no_cell_is_torn() {
        for page in pages() {
            let (text, page) = (page.text(), page.name);
            for (before, after) in text.lines().zip(aligned(&text).lines()) {
                let words = |line: &str| line.replace('-', "").split_whitespace().collect::<String>();
                assert_eq!(words(before), words(after), "{page}");
            }
        }
    }
}
