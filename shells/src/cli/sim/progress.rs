//! A line that says how far a run has come. On standard error, so that what is printed stays the same.

use miniku_core::api::pod::Pod;
use miniku_core::time::Duration;
use miniku_sim::truth::Truth;
use miniku_sim::world::Counts;
use std::io::{IsTerminal, Write, stderr};
use std::time::Instant;

/// How often it is written.
const EVERY: std::time::Duration = std::time::Duration::from_millis(500);

/// A line that is written over itself.
pub struct Progress {
    begun: Instant,
    written: Option<Instant>,
    terminal: bool,
}

impl Progress {
    /// Nothing is written before half a second has passed, and nothing at all where nobody sees it.
    pub fn new() -> Self {
        Progress { begun: Instant::now(), written: None, terminal: stderr().is_terminal() }
    }

    /// The time since it began.
    pub fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// Says how far one run has come.
    pub fn of_run(&mut self, truth: &Truth, counts: Counts) {
        let events = counts.events;
        let pods = || truth.all::<Pod>().count();
        self.write(|seconds| {
            let at = virtual_time(Duration::from_nanos(truth.now.nanos()));
            format!("{at} simulated, {} events/s, {} pods, no violation", rate(events, seconds), pods())
        });
    }

    /// Writes a line, if it is time.
    pub fn write(&mut self, line: impl FnOnce(f64) -> String) {
        let last = self.written.unwrap_or(self.begun);
        if !self.terminal || last.elapsed() < EVERY {
            return;
        }
        self.written = Some(Instant::now());
        // Whether anybody reads it cannot be helped here.
        let _ = write!(stderr(), "\r\x1b[K{}", line(self.seconds()));
        let _ = stderr().flush();
    }

    /// Takes the line away.
    pub fn end(&mut self) {
        if self.written.take().is_some() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

/// `12 345` for so many events in so many seconds.
pub fn rate(events: u64, seconds: f64) -> String {
    let rate = events as f64 / seconds.max(1e-9);
    grouped(rate as u64)
}

/// `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `6m40.000s`, `23h59m59.500s`.
pub fn virtual_time(time: Duration) -> String {
    let (secs, millis) = (time.as_secs(), time.subsec_millis());
    let (hours, minutes, seconds) = (secs / 3_600, secs / 60 % 60, secs % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}.{millis:03}s"),
        (0, _) => format!("{minutes}m{seconds:02}.{millis:03}s"),
        _ => format!("{hours}h{minutes:02}m{seconds:02}.{millis:03}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_by_people() {
        assert_eq!([grouped(0), grouped(999), grouped(1_234_567)], ["0", "999", "1,234,567"]);
        let time = |millis| virtual_time(Duration::from_millis(millis));
        assert_eq!([time(5), time(61_000), time(86_399_500)], ["0.005s", "1m01.000s", "23h59m59.500s"]);
    }
}
