//! Somebody at a keyboard: asks for what the plan says, and again until there is an answer.

use miniku_core::client::{Calls, Deadlines};
use miniku_core::program::{Answer, Effects, Input, Level, Program, Verb};
use miniku_core::time::{Duration, Instant, Now};

/// An operator, as a program of its own. It counts time from its first step.
#[derive(Debug)]
pub struct Operator {
    asks: Vec<(Duration, Verb)>,
    calls: Calls<usize>,
    due: Deadlines<usize>,
    begun: bool,
}

/// After a refusal or a loss.
const RETRY: Duration = Duration::from_secs(1);

impl Operator {
    /// Asks for these things, each at its time.
    pub fn new(asks: Vec<(Duration, Verb)>) -> Self {
        Operator { asks, calls: Calls::in_space(1), due: Deadlines::default(), begun: false }
    }

    fn begin(&mut self, start: Instant) {
        self.begun = true;
        for (at, (after, _)) in self.asks.iter().enumerate() {
            self.due.set(at, start + *after);
        }
    }
}

impl Program for Operator {
    fn step(&mut self, now: Now, input: Input, out: &mut Effects) {
        if !self.begun {
            self.begin(now.mono);
        }
        for (ask, answer) in self.calls.ended(now, &input) {
            match answer {
                Answer::Lost(_) => self.due.set(ask, now.mono + RETRY),
                Answer::Refused(status) if status.code.is_some_and(|code| code >= 500) => {
                    self.due.set(ask, now.mono + RETRY);
                }
                Answer::Refused(status) => out.log(Level::Info, format!("operator: {status}")),
                Answer::Object { .. } | Answer::List { .. } | Answer::Watching | Answer::Removed(_) => {}
            }
        }
        while let Some(ask) = self.due.pop_due(now.mono) {
            self.calls.call(now, ask, self.asks[ask].1.clone(), out);
        }
        out.wake_at(self.due.next());
        out.wake_at(self.calls.next());
    }
}
