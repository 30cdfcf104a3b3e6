//! Durations as Go writes and reads them: `10s`, `1m30s`, `500ms`, `1.5h`.

use crate::time::Duration;

/// Reads a duration that is not negative.
///
/// A bare number is refused, as Go does, but for `0`. Source: Go, `time.ParseDuration`.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = |why: &str| format!("{text:?} is no duration ({why}); examples: 500ms, 10s, 1m30s");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return Err(wrong("it is empty"));
    }
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits =
            rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(|| wrong("the unit is missing"))?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let nanos = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000_u64,
            _ => return Err(wrong("units are h, m, s, ms, us, ns")),
        };
        let part = scaled(number, nanos).ok_or_else(|| wrong("a number is wrong or too large"))?;
        sum = sum.checked_add(part).ok_or_else(|| wrong("it is too long"))?;
        rest = after;
    }
    Ok(sum)
}

/// Writes a duration so that [`parse`] reads it back: whole, in the largest unit up to seconds that divides it.
///
/// ```
/// use miniku_core::{durations::text, time::Duration};
/// assert_eq!(text(Duration::from_millis(90_000)), "90s");
/// assert_eq!(text(Duration::from_millis(1_500)), "1500ms");
/// ```
pub fn text(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    let unit = units.into_iter().find(|(unit, _)| nanos.is_multiple_of(*unit));
    let (unit, name) = unit.unwrap_or((1, "ns"));
    format!("{}{name}", nanos / unit)
}

/// `number`, which may have a fraction, times `nanos`; exactly, and not by way of floating point.
fn scaled(number: &str, nanos: u64) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(nanos)?;
    let mut place = nanos;
    for digit in fraction.bytes() {
        place /= 10;
        total = total.checked_add(place.checked_mul(u64::from(digit - b'0'))?)?;
    }
    Some(Duration::from_nanos(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        let check = |text: &str, millis: Option<u64>| {
            assert_eq!(parse(text).ok(), millis.map(Duration::from_millis), "{text}");
        };
        check("10s", Some(10_000));
        check("1m30s", Some(90_000));
        check("500ms", Some(500));
        check("1.5h", Some(5_400_000));
        check(".5s", Some(500));
        check("0", Some(0));
        check("2000us", Some(2));
        for wrong in ["", "10", "s", "-1s", "1d", "1..5s", "1s2", "99999999999999999999h"] {
            check(wrong, None);
        }
    }
}
