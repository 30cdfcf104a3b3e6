//! Results as Markdown.

use crate::measure::Spread;
use std::fmt;
use std::path::PathBuf;

/// What was measured in this process.
pub struct Row {
    pub name: String,
    pub ns: Spread,
    pub bytes: u64,
    pub allocations: u64,
    /// What MiniKu, in Go, took for it on a machine of this kind.
    pub go_ns: Option<f64>,
}

/// What was measured of a process from outside.
pub struct Outside {
    pub what: String,
    /// The middle, with its unit and its spread.
    pub figure: String,
    /// The slow end, or a rate; empty if there is none.
    pub further: String,
    /// A peer's figure, and whether it is of this run.
    pub peer: String,
}

/// Everything that was measured.
pub struct Report {
    pub rows: Vec<Row>,
    pub outside: Vec<Outside>,
    /// Of the simulator; in the place of a peer stands the goal.
    pub simulated: Vec<Outside>,
}

/// A number with three digits, and an ending where it is large.
pub fn figure(number: f64) -> String {
    let (number, ending) = match number.abs() {
        large if large >= 999_500.0 => (number / 1e6, " M"),
        large if large >= 9_995.0 => (number / 1e3, " k"),
        _ => (number, ""),
    };
    let decimals = match number.abs() {
        wide if wide >= 99.95 => 0,
        wide if wide >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{number:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{ending}")
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { median, min, max } = self.ns;
        let (go, times) = match self.go_ns {
            Some(go) => (figure(go), format!("{}x", figure(go / median))),
            None => Default::default(),
        };
        let (name, bytes, allocations) = (&self.name, figure(self.bytes as f64), self.allocations);
        let spread = format!("{} ({}–{})", figure(median), figure(min), figure(max));
        write!(f, "| {name} | {spread} | {bytes} | {allocations} | {go} | {times} |")
    }
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| {} | {} | {} | {} |", self.what, self.figure, self.further, self.peer)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.rows.is_empty() {
            writeln!(f, "| Benchmark | ns/op, median (min–max) | B/op | allocs/op | MiniKu in Go | times faster |")?;
            writeln!(f, "| --- | --- | --- | --- | --- | --- |")?;
            self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        }
        if !self.outside.is_empty() {
            writeln!(f, "\n| The program from outside | p50 (min–max) | p99, or rate | peer |")?;
            writeln!(f, "| --- | --- | --- | --- |")?;
            self.outside.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        }
        if !self.simulated.is_empty() {
            writeln!(f, "\n| The simulator, one thread, all checkers on | median (min–max) | in parts | goal |")?;
            writeln!(f, "| --- | --- | --- | --- |")?;
            self.simulated.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        }
        Ok(())
    }
}

const START: &str = "<!-- bench-start -->";
const END: &str = "<!-- bench-end -->";

/// Puts the tables where the README has its markers.
pub fn rewrite_readme(report: &Report) -> Result<PathBuf, String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let (before, rest) = text.split_once(START).ok_or_else(|| format!("it has no {START}"))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| format!("it has no {END}"))?;
    std::fs::write(&path, format!("{before}{START}\n\n{report}\n{END}{after}")).map_err(|error| error.to_string())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::figure;

    #[test]
    fn figures_have_three_digits() {
        let check = |number, want: &str| assert_eq!(figure(number), want);
        check(0.0, "0");
        check(7.0, "7");
        check(1.234, "1.23");
        check(56.78, "56.8");
        check(1234.0, "1234");
        check(12_345.0, "12.3 k");
        check(1_200_000.0, "1.2 M");
    }
}
