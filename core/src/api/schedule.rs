//! Schedules: the five fields of cron, or a word for them, and when they come next.
//!
//! Source: crontab(5); the words, and what is done where the clock is put forward or back, are those of
//! `github.com/robfig/cron`, release 3, which Kubernetes uses.

use crate::time::{Duration, Wall};
use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan};

/// When something is to happen, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// At the minutes that all fields name.
    Fields(Fields),
    /// After a while, each time.
    Every(Duration),
}

/// Which minutes: for each field the numbers that it names, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether any day of the month will do, or any of the week: then the other one decides. Else one of both is enough.
    any_day: bool,
}

/// A field of a schedule: its least and greatest number, and words that stand for numbers from the least on.
struct Field {
    least: u32,
    greatest: u32,
    words: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { least: 0, greatest: 59, words: &[] },
    Field { least: 0, greatest: 23, words: &[] },
    Field { least: 1, greatest: 31, words: &[] },
    Field {
        least: 1,
        greatest: 12,
        words: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    Field { least: 0, greatest: 6, words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

/// Words that stand for whole schedules.
const WORDS: &[(&str, &str)] = &[
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// A schedule that does not come within so many days never comes: the 30th of February.
const DAYS_MAX: u32 = 5 * 366;

impl Schedule {
    /// Reads a schedule. The error is in cron's words.
    pub fn parse(schedule: &str) -> Result<Schedule, String> {
        if schedule.is_empty() {
            return Err("empty spec string".into());
        }
        if let Some(every) = schedule.strip_prefix("@every ") {
            let wrong = || format!("failed to parse duration {schedule}: time: invalid duration {every:?}");
            return duration(every).map(Schedule::Every).ok_or_else(wrong);
        }
        if schedule.starts_with('@') {
            let stands_for = WORDS.iter().find(|(word, _)| *word == schedule).map(|(_, fields)| *fields);
            return Schedule::parse(stands_for.ok_or_else(|| format!("unrecognized descriptor: {schedule}"))?);
        }
        let parts: Vec<&str> = schedule.split_whitespace().collect();
        if parts.len() != FIELDS.len() {
            return Err(format!("expected exactly 5 fields, found {}: [{}]", parts.len(), parts.join(" ")));
        }
        let mut sets = [0; 5];
        let mut any_day = false;
        for (nth, (field, part)) in FIELDS.iter().zip(parts).enumerate() {
            for one in part.split(',').filter(|one| !one.is_empty()) {
                sets[nth] |= range(field, one)?;
            }
            any_day |= matches!(nth, 2 | 4) && part.split(',').any(|one| one.starts_with(['*', '?']));
        }
        let [minutes, hours, days, months, weekdays] = sets;
        Ok(Schedule::Fields(Fields { minutes, hours, days, months, weekdays, any_day }))
    }

    /// The first time after `after`, in this zone; none if it never comes.
    ///
    /// A time that the clock leaves out when it is put forward is left out; one that it shows twice comes twice.
    pub fn next(&self, after: Wall, zone: &TimeZone) -> Option<Wall> {
        let fields = match self {
            Schedule::Every(pause) => {
                let secs = i64::try_from(pause.as_secs()).ok()?.max(1);
                return Some(Wall::from_secs(after.secs().checked_add(secs)?));
            }
            Schedule::Fields(fields) => fields,
        };
        let after = Timestamp::from_second(after.secs()).ok()?;
        let mut day = zone.to_datetime(after).date();
        for _ in 0..DAYS_MAX {
            if fields.has_day(day)
                && let Some(at) = fields.first_of(day, after, zone)
            {
                return Some(Wall::from_secs(at.as_second()));
            }
            day = day.checked_add(1.day()).ok()?;
        }
        None
    }
}

impl Fields {
    fn has_day(&self, day: Date) -> bool {
        let has = |set: u64, number: i8| set >> number & 1 == 1;
        let of_month = has(self.days, day.day());
        let of_week = has(self.weekdays, day.weekday().to_sunday_zero_offset());
        has(self.months, day.month()) && if self.any_day { of_month && of_week } else { of_month || of_week }
    }

    /// The first moment of a day after `after`.
    fn first_of(&self, day: Date, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut first: Option<(Timestamp, i8)> = None;
        for hour in (0..24).filter(|hour| self.hours >> hour & 1 == 1) {
            // No clock is put back by more than two hours.
            if first.is_some_and(|(_, found)| hour > found + 2) {
                break;
            }
            for minute in (0..60).filter(|minute| self.minutes >> minute & 1 == 1) {
                let civil = day.at(hour, minute, 0, 0);
                let offsets = match zone.to_ambiguous_timestamp(civil).offset() {
                    AmbiguousOffset::Unambiguous { offset } => [Some(offset), None],
                    AmbiguousOffset::Gap { .. } => [None, None],
                    AmbiguousOffset::Fold { before, after } => [Some(before), Some(after)],
                };
                let moments = offsets.into_iter().flatten().filter_map(|offset| offset.to_timestamp(civil).ok());
                for at in moments.filter(|at| *at > after) {
                    if first.is_none_or(|(found, _)| at < found) {
                        first = Some((at, hour));
                    }
                }
            }
        }
        first.map(|(at, _)| at)
    }
}

/// The time zone of this name; UTC's is empty.
///
/// Source: IANA time zone database, as it was when miniku was built.
pub fn zone(name: &str) -> Option<TimeZone> {
    if name.is_empty() { Some(TimeZone::UTC) } else { TimeZoneDatabase::bundled().get(name).ok() }
}

/// `*`, `*/5`, `3`, `3-7`, `3-7/2` or `3/2`: the numbers it names, as bits.
fn range(field: &Field, text: &str) -> Result<u64, String> {
    let many = |what: &str| Err(format!("too many {what}: {text}"));
    let mut steps = text.split('/');
    let (span, step) = (steps.next().unwrap_or(""), steps.next());
    if steps.next().is_some() {
        return many("slashes");
    }
    let mut ends = span.split('-');
    let (first, last) = (ends.next().unwrap_or(""), ends.next());
    if ends.next().is_some() {
        return many("hyphens");
    }
    let (from, to) = match first {
        "*" | "?" => (field.least, field.greatest),
        _ => {
            let from = number(field, first)?;
            let to = last.map(|last| number(field, last)).transpose()?;
            (from, to.unwrap_or(if step.is_some() { field.greatest } else { from }))
        }
    };
    let step = step.map(parsed).transpose()?.unwrap_or(1);
    if from < field.least {
        return Err(format!("beginning of range ({from}) below minimum ({}): {text}", field.least));
    }
    if to > field.greatest {
        return Err(format!("end of range ({to}) above maximum ({}): {text}", field.greatest));
    }
    if from > to {
        return Err(format!("beginning of range ({from}) beyond end of range ({to}): {text}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    Ok((from..=to).step_by(step).fold(0, |set, number| set | 1 << number))
}

fn number(field: &Field, text: &str) -> Result<u32, String> {
    let word = field.words.iter().position(|word| word.eq_ignore_ascii_case(text));
    match word.and_then(|nth| u32::try_from(nth).ok()) {
        Some(nth) => Ok(field.least + nth),
        None => parsed(text),
    }
}

fn parsed(text: &str) -> Result<u32, String> {
    match text.parse::<i32>() {
        Ok(number) => u32::try_from(number).map_err(|_| format!("negative number ({number}) not allowed: {text}")),
        Err(_) => Err(format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax")),
    }
}

/// `1h30m`: numbers with units. What is less than nothing is nothing.
fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut secs = 0.0;
    while !rest.is_empty() {
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number: f64 = rest[..rest.len() - after.len()].parse().ok()?;
        let fits = UNITS.iter().filter_map(|(unit, secs)| Some((after.strip_prefix(unit)?, secs)));
        let (left, of_unit) = fits.min_by_key(|(left, _)| left.len())?;
        secs += number * of_unit;
        rest = left;
    }
    Duration::try_from_secs_f64(if text.starts_with('-') { 0.0 } else { secs }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_read_as_cron_reads_them() {
        for fine in [
            "* * * * *",
            "*/5 0 1 * ?",
            "0 9-17/2 * jan-Mar MON-FRI",
            "1,2,30-40 3/4 * * 6",
            "@hourly",
            "@every 1h30m",
            " 0 0 * * * ",
        ] {
            assert!(Schedule::parse(fine).is_ok(), "{fine}");
        }
        let refused = |schedule: &str, want: &str| assert_eq!(Schedule::parse(schedule), Err(want.to_owned()));
        refused("", "empty spec string");
        refused("* * *", "expected exactly 5 fields, found 3: [* * *]");
        refused("60 * * * *", "end of range (60) above maximum (59): 60");
        refused("* * 0 * *", "beginning of range (0) below minimum (1): 0");
        refused("5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3");
        refused("*/0 * * * *", "step of range should be a positive number: */0");
        refused("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax");
        refused("1/2/3 * * * *", "too many slashes: 1/2/3");
        refused("1-2-3 * * * *", "too many hyphens: 1-2-3");
        refused("@never", "unrecognized descriptor: @never");
        refused("@every day", "failed to parse duration @every day: time: invalid duration \"day\"");
    }

    /// The next times after a time, in UTC.
    fn times(schedule: &str, zone_name: &str, after: &str, count: usize) -> Vec<String> {
        let zone = zone(zone_name).unwrap();
        let schedule = Schedule::parse(schedule).unwrap();
        let mut at: Wall = crate::api::meta::parse_rfc3339(after).unwrap();
        let mut all = Vec::new();
        for _ in 0..count {
            let Some(next) = schedule.next(at, &zone) else { break };
            all.push(crate::api::meta::Time::of(next).to_string());
            at = next;
        }
        all
    }

    #[test]
    fn the_next_times_are_those_of_the_fields() {
        let check = |schedule: &str, want: &[&str]| {
            assert_eq!(times(schedule, "", "2026-01-30T23:58:30Z", want.len()), want, "{schedule}");
        };
        check("*/5 * * * *", &["2026-01-31T00:00:00Z", "2026-01-31T00:05:00Z"]);
        check("59 23 * * *", &["2026-01-30T23:59:00Z", "2026-01-31T23:59:00Z"]);
        check("@monthly", &["2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"]);
        check("0 12 29 2 *", &["2028-02-29T12:00:00Z"]);
        // The 1st of the month, or a Monday.
        check("0 0 1 * mon", &["2026-02-01T00:00:00Z", "2026-02-02T00:00:00Z", "2026-02-09T00:00:00Z"]);
        check("0 0 * * sun", &["2026-02-01T00:00:00Z", "2026-02-08T00:00:00Z"]);
        check("@every 90m", &["2026-01-31T01:28:30Z", "2026-01-31T02:58:30Z"]);
        assert_eq!(times("0 0 30 2 *", "", "2026-01-01T00:00:00Z", 1), [""; 0], "it never comes");
    }

    #[test]
    fn clocks_are_put_forward_and_back() {
        let check = |schedule: &str, after: &str, want: &[&str]| {
            assert_eq!(times(schedule, "Europe/Berlin", after, want.len()), want, "{schedule}");
        };
        check("30 9 * * *", "2026-03-28T00:00:00Z", &["2026-03-28T08:30:00Z", "2026-03-29T07:30:00Z"]);
        // On 29 March 2026 there is no half past two; on 25 October there are two.
        check("30 2 * * *", "2026-03-28T00:00:00Z", &["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"]);
        check("30 2 * * *", "2026-10-24T12:00:00Z", &["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]);
        check(
            "0,30 1-3 * * *",
            "2026-10-24T23:10:00Z",
            &[
                "2026-10-24T23:30:00Z",
                "2026-10-25T00:00:00Z",
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:00:00Z",
                "2026-10-25T01:30:00Z",
                "2026-10-25T02:00:00Z",
                "2026-10-25T02:30:00Z",
                "2026-10-26T00:00:00Z",
            ],
        );
    }

    #[test]
    fn zones_are_known_by_name() {
        for (name, want) in [
            ("Europe/Berlin", true),
            ("Etc/GMT+1", true),
            ("UTC", true),
            ("", true),
            ("No where", false),
            ("../etc", false),
            ("a//b", false),
        ] {
            assert_eq!(zone(name).is_some(), want, "{name}");
        }
    }
}
