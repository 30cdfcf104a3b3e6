//! Colours, where somebody looks: on a terminal, unless `NO_COLOR` is set.
//!
//! Source: no-color.org; ECMA-48, section 8.3.117, for the numbers.

use std::borrow::Cow;
use std::io::{IsTerminal, stderr, stdout};

const RED: u8 = 31;
const GREEN: u8 = 32;
const YELLOW: u8 = 33;
const BOLD: u8 = 1;

/// Whether standard output takes colours.
pub fn on_stdout() -> bool {
    stdout().is_terminal() && wanted(&|name| std::env::var(name).ok())
}

/// Source: no-color.org: any value but an empty one counts.
fn wanted(variable: &dyn Fn(&str) -> Option<String>) -> bool {
    variable("NO_COLOR").is_none_or(|value| value.is_empty()) && variable("TERM").is_some_and(|term| term != "dumb")
}

/// A text for standard error, in the colour of warnings.
pub fn warning(text: &str) -> Cow<'_, str> {
    said(YELLOW, text)
}

/// A text for standard error, in the colour of errors.
pub fn error(text: &str) -> Cow<'_, str> {
    said(RED, text)
}

fn said(colour: u8, text: &str) -> Cow<'_, str> {
    match stderr().is_terminal() && wanted(&|name| std::env::var(name).ok()) {
        true => coloured(colour, text).into(),
        false => text.into(),
    }
}

/// A header of a table.
pub fn header(text: &str) -> String {
    coloured(BOLD, text)
}

/// A cell, coloured by what it says: what goes well is green, what is under way yellow, what went wrong red.
pub fn cell<'a>(column: &str, text: &'a str) -> Cow<'a, str> {
    match colour(column, text) {
        Some(colour) => coloured(colour, text).into(),
        None => text.into(),
    }
}

fn coloured(colour: u8, text: &str) -> String {
    format!("\x1b[{colour}m{text}\x1b[0m")
}

/// Only columns that say how something is are coloured.
fn colour(column: &str, text: &str) -> Option<u8> {
    match column {
        "STATUS" | "PHASE" | "STATE" => Some(status(text)).flatten(),
        "TYPE" if text == "Warning" => Some(YELLOW),
        "READY" => match text.split_once('/') {
            Some((ready, wished)) if ready == wished => Some(GREEN),
            Some(_) => Some(YELLOW),
            None => None,
        },
        _ => None,
    }
}

fn status(text: &str) -> Option<u8> {
    // `Ready,SchedulingDisabled`, `Init:Error`.
    let said = |word: &str| text.split([',', ':', ' ']).any(|part| part == word);
    let went_wrong = ["NotReady", "Failed", "Lost", "Evicted", "OOMKilled", "Unknown", "ExitCode", "Exited"];
    let under_way = ["Pending", "Terminating", "ContainerCreating", "PodInitializing", "SchedulingDisabled", "Init"];
    let goes_well = ["Running", "Ready", "Active", "Bound", "Available", "Completed", "Complete", "Succeeded"];
    if went_wrong.iter().any(|word| said(word)) || text.contains("Err") || text.contains("BackOff") {
        Some(RED)
    } else if under_way.iter().any(|word| said(word)) {
        Some(YELLOW)
    } else if goes_well.iter().any(|word| said(word)) {
        Some(GREEN)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_say_how_it_is() {
        let check = |column: &str, text: &str, want: Option<u8>| assert_eq!(colour(column, text), want, "{text}");
        check("STATUS", "Running", Some(GREEN));
        check("STATUS", "Ready,SchedulingDisabled", Some(YELLOW));
        check("STATUS", "NotReady", Some(RED));
        check("STATUS", "CrashLoopBackOff", Some(RED));
        check("STATUS", "Init:Error", Some(RED));
        check("STATUS", "Init:0/2", Some(YELLOW));
        check("STATUS", "Anything", None);
        check("NAME", "Running", None);
        check("READY", "1/1", Some(GREEN));
        check("READY", "0/1", Some(YELLOW));
        check("READY", "3", None);
        assert_eq!(cell("STATUS", "Running"), "\x1b[32mRunning\x1b[0m");
    }

    #[test]
    fn no_colour_is_a_wish() {
        let check = |no_color: Option<&str>, term: Option<&str>, want: bool| {
            let variable = |name: &str| if name == "TERM" { term } else { no_color }.map(str::to_owned);
            assert_eq!(wanted(&variable), want);
        };
        check(None, Some("xterm"), true);
        check(Some(""), Some("xterm"), true);
        check(Some("1"), Some("xterm"), false);
        check(None, Some("dumb"), false);
        check(None, None, false);
    }
}
