//! What no program may do, whatever a cluster looks like: panic, or ask for ever to be woken at once.

use super::alarm::RINGS;
use crate::invariants::{Broken, Judge, Violation};
use crate::truth::Who;
use miniku_core::program::{Effects, Input, Program};
use miniku_core::time::{Instant, Now};

/// One step of a program. A panic is a violation like any other, so that its seed and its past are told.
pub(super) fn step(
    judge: &mut Judge,
    at: Instant,
    who: &Who,
    program: &mut dyn Program,
    now: Now,
    input: Input,
    out: &mut Effects,
) {
    let stepped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| program.step(now, input, out)));
    let Err(panic) = stepped else { return };
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let what = format!("{who}: {}", text.unwrap_or("a panic without words"));
    break_law(judge, at, "P-total", "No input makes a program panic.", what);
}

/// A program was woken again and again, and no time has passed.
pub(super) fn break_pause(judge: &mut Judge, at: Instant, who: &Who) {
    let what = format!("{who} was woken {RINGS} times, and no time has passed");
    break_law(judge, at, "P-pause", "No program asks for ever to be woken at a time that has come.", what);
}

/// What a program must never do, whatever a cluster looks like.
fn break_law(judge: &mut Judge, at: Instant, name: &str, statement: &str, what: String) {
    let (name, statement, broken) = (name.into(), statement.into(), Broken::by(what));
    judge.violation.get_or_insert(Violation { name, statement, at, seq: 0, broken });
}
