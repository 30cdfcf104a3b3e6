//! Two traces, and where they part.
//!
//! The first line that differs may only be about a time or a number. What matters is found by looking at each actor by
//! itself: the first thing that one of them was given, or did, in one run only.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

/// A trace file, read.
pub struct Log<'a> {
    lines: Vec<&'a str>,
    /// Its entries, in order; without the first line, which says what was run.
    pub events: Vec<Event>,
}

/// A line of a trace, as far as it is compared.
#[derive(Debug, Deserialize)]
pub struct Event {
    /// When.
    pub t: u64,
    /// What kind of entry.
    pub what: String,
    actor: Option<String>,
    node: Option<String>,
    about: Option<String>,
    op: Option<String>,
    r#in: Option<String>,
    #[serde(default)]
    out: Vec<String>,
    text: Option<String>,
    pod: Option<String>,
}

/// Why a text is no trace: the line, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTrace {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for BadTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for BadTrace {}

/// Where two traces part.
#[derive(Debug, PartialEq, Eq)]
pub struct Parting {
    /// The first line that differs, counted from 1.
    pub line: usize,
    /// The first thing that an actor was given or did in one run only: who, the how manieth of its entries, and what
    /// it is in each run. Nothing if only times and numbers differ.
    pub meaningful: Option<(String, usize, Option<String>, Option<String>)>,
}

impl<'a> Log<'a> {
    /// Reads a trace.
    pub fn read(text: &'a str) -> Result<Self, BadTrace> {
        let lines: Vec<&str> = text.lines().collect();
        let header: Header = parse(1, lines.first().copied().unwrap_or_default())?;
        if header.trace != "miniku" || header.version != 1 {
            let what = format!("this is no trace of version 1, but {:?} of version {}", header.trace, header.version);
            return Err(BadTrace { line: 1, what });
        }
        let entries = lines.iter().enumerate().skip(1).map(|(at, line)| parse(at + 1, line));
        let events = entries.collect::<Result<Vec<Event>, BadTrace>>()?;
        Ok(Log { lines, events })
    }

    /// A line, counted from 1.
    pub fn line(&self, line: usize) -> Option<&'a str> {
        self.lines.get(line.checked_sub(1)?).copied()
    }

    /// What each actor was given and did, with the time.
    fn by_actor(&self) -> BTreeMap<String, Vec<(u64, String)>> {
        let mut actors: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
        for event in self.events.iter().filter(|event| event.what != "end") {
            actors.entry(event.who()).or_default().push((event.t, event.meaning()));
        }
        actors
    }
}

#[derive(Deserialize)]
struct Header {
    trace: String,
    version: u32,
}

fn parse<T: for<'de> Deserialize<'de>>(line: usize, text: &str) -> Result<T, BadTrace> {
    serde_json::from_str(text).map_err(|error| {
        let what = error.to_string();
        // Each line is a text of its own, so that its own line number says nothing.
        let what = what.split(" at line ").next().unwrap_or_default().to_owned();
        BadTrace { line, what: format!("{what}, at column {}", error.column()) }
    })
}

impl Event {
    fn who(&self) -> String {
        self.actor.clone().or_else(|| self.node.clone()).unwrap_or_else(|| self.what.clone())
    }

    fn meaning(&self) -> String {
        let parts = [&self.about, &self.op, &self.r#in, &self.text, &self.pod];
        let mut text = self.what.clone();
        for part in parts.into_iter().flatten() {
            text.push(' ');
            text.push_str(part);
        }
        if !self.out.is_empty() {
            text.push_str(" -> ");
            text.push_str(&self.out.join("; "));
        }
        text
    }
}

/// Where two traces part; nothing if they are the same.
pub fn part(a: &Log<'_>, b: &Log<'_>) -> Option<Parting> {
    let longest = a.lines.len().max(b.lines.len());
    let line = (1..=longest).find(|line| a.line(*line) != b.line(*line))?;
    let (ours, theirs) = (a.by_actor(), b.by_actor());
    let none = Vec::new();
    let names = ours.keys().chain(theirs.keys());
    let parting = |name: &String| {
        let (one, other) = (ours.get(name).unwrap_or(&none), theirs.get(name).unwrap_or(&none));
        let at = (0..one.len().max(other.len()))
            .find(|at| one.get(*at).map(|(_, meaning)| meaning) != other.get(*at).map(|(_, meaning)| meaning))?;
        let time = [one.get(at), other.get(at)].into_iter().flatten().map(|(t, _)| *t).min()?;
        let text = |log: &[(u64, String)]| log.get(at).map(|(_, meaning)| meaning.clone());
        Some((time, name.clone(), at + 1, text(one), text(other)))
    };
    let first = names.filter_map(parting).min_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    Some(Parting { line, meaningful: first.map(|(_, who, nth, one, other)| (who, nth, one, other)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"trace":"miniku","version":1,"title":"t","seed":1}"#;

    fn log(lines: &[&str]) -> String {
        [&[HEADER], lines].concat().join("\n")
    }

    #[test]
    fn times_do_not_matter_and_deeds_do() {
        let a = log(&[
            r#"{"seq":1,"t":10,"what":"step","actor":"a","life":1,"in":"wakes"}"#,
            r#"{"seq":2,"t":20,"what":"step","actor":"b","life":1,"in":"wakes","out":["x"]}"#,
        ]);
        let b = log(&[
            r#"{"seq":1,"t":11,"what":"step","actor":"a","life":1,"in":"wakes"}"#,
            r#"{"seq":2,"t":20,"what":"step","actor":"b","life":1,"in":"wakes","out":["y"]}"#,
        ]);
        let parting = part(&Log::read(&a).unwrap(), &Log::read(&b).unwrap()).unwrap();
        let meaningful = ("b".to_owned(), 1, Some("step wakes -> x".to_owned()), Some("step wakes -> y".to_owned()));
        assert_eq!(parting, Parting { line: 2, meaningful: Some(meaningful) });
        assert_eq!(part(&Log::read(&a).unwrap(), &Log::read(&a).unwrap()), None);
    }

    #[test]
    fn says_where_a_trace_is_none() {
        let wrong = |text: &str| Log::read(text).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(wrong("").starts_with("line 1: EOF"), "{}", wrong(""));
        assert!(wrong("{}").contains("missing field `trace`"), "{}", wrong("{}"));
        let torn = log(&[r#"{"seq":1,"t":10,"what":"st"#]);
        assert!(wrong(&torn).starts_with("line 2: EOF while parsing a string, at column"), "{}", wrong(&torn));
    }
}
