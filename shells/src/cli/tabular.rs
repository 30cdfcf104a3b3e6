//! Text in columns, as Go's `text/tabwriter` lays it out: what `get` and `describe` look like.

use std::borrow::Cow;

/// The widths of a table's columns, as far as its rows are known.
///
/// They only grow, so that the rows of a watch stay below those printed before.
#[derive(Debug, Default)]
pub struct Widths(Vec<usize>);

/// kubectl leaves three blanks between columns, and makes none narrower than six. Source: kubectl,
/// `cli-runtime/pkg/printers/tabwriter.go`.
const TABLE_GAP: usize = 3;
const TABLE_MIN: usize = 6;
/// Descriptions are closer. Source: kubectl, `pkg/describe/describe.go`, `tabbedString`.
const DESCRIPTION_GAP: usize = 2;

impl Widths {
    /// Makes room for a row. The last cell of a row needs none.
    pub fn fit(&mut self, row: &[String]) {
        let cells = row.len().saturating_sub(1);
        if self.0.len() < cells {
            self.0.resize(cells, TABLE_MIN);
        }
        for (width, cell) in self.0.iter_mut().zip(&row[..cells]) {
            *width = (*width).max(cell.chars().count() + TABLE_GAP);
        }
    }

    /// A row as one line, without its end.
    pub fn line(&self, row: &[String]) -> String {
        self.painted(row, |_, cell| cell.into())
    }

    /// The same with colours, which take no room.
    pub fn painted(&self, row: &[String], paint: impl for<'a> Fn(usize, &'a str) -> Cow<'a, str>) -> String {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            line.push_str(&paint(at, cell));
            if at + 1 < row.len() {
                pad(&mut line, cell, self.0.get(at).copied().unwrap_or(0));
            }
        }
        line
    }
}

fn pad(line: &mut String, cell: &str, width: usize) {
    line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
}

/// Aligns cells that end in a tab: a column is as wide as its widest cell among neighbouring lines that have it.
pub fn align(text: &str) -> String {
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len() - 1]).collect();
    for column in 0..widths.iter().map(Vec::len).max().unwrap_or(0) {
        let mut start = 0;
        while start < lines.len() {
            let run = widths[start..].iter().take_while(|widths| widths.len() > column).count();
            let block = start..start + run;
            let widest = lines[block.clone()].iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
            for widths in &mut widths[block] {
                widths[column] = widest + DESCRIPTION_GAP;
            }
            start += run.max(1);
        }
    }
    let mut aligned = String::new();
    for (cells, widths) in lines.iter().zip(&widths) {
        for (at, cell) in cells.iter().enumerate() {
            aligned.push_str(cell);
            if let Some(width) = widths.get(at) {
                pad(&mut aligned, cell, *width);
            }
        }
        aligned.push('\n');
    }
    aligned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_look_like_kubectls() {
        let rows = [["NAME", "UP", "AGE"], ["a-long-name", "1", "5s"]].map(|row| row.map(str::to_owned));
        let mut widths = Widths::default();
        rows.iter().for_each(|row| widths.fit(row));
        assert_eq!(widths.line(&rows[0]), "NAME          UP    AGE");
        assert_eq!(widths.line(&rows[1]), "a-long-name   1     5s");
    }

    #[test]
    fn neighbours_share_columns() {
        let text = "Name:\ta\nNode:\tb/1\nContainers:\n  c:\n    Image:\tx\n    Container ID:\ty\nQoS Class:\tz\n";
        let want = "Name:  a\nNode:  b/1\nContainers:\n  c:\n    Image:         x\n    Container ID:  y\nQoS Class:         z\n";
        assert_eq!(align(text), want);
    }
}
