//! What a schedule may be: the five fields of cron, or a word for them.
//!
//! Source: crontab(5); the words are those of `github.com/robfig/cron`, release 3, `ParseStandard`.

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
const WORDS: &[&str] = &["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

/// Whether this is a schedule; if not, why.
pub fn check(schedule: &str) -> Result<(), String> {
    if schedule.is_empty() {
        return Err("empty spec string".into());
    }
    if let Some(every) = schedule.strip_prefix("@every ") {
        return if is_duration(every) {
            Ok(())
        } else {
            Err(format!("failed to parse duration {schedule}: time: invalid duration {every:?}"))
        };
    }
    if schedule.starts_with('@') {
        return if WORDS.contains(&schedule) { Ok(()) } else { Err(format!("unrecognized descriptor: {schedule}")) };
    }
    let parts: Vec<&str> = schedule.split_whitespace().collect();
    if parts.len() != FIELDS.len() {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", parts.len(), parts.join(" ")));
    }
    FIELDS.iter().zip(parts).try_for_each(|(field, part)| {
        part.split(',').filter(|one| !one.is_empty()).try_for_each(|one| range(field, one))
    })
}

/// `*`, `*/5`, `3`, `3-7`, `3-7/2` or `3/2`.
fn range(field: &Field, text: &str) -> Result<(), String> {
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
    Ok(())
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

/// `1h30m`: numbers with units.
fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = &rest[..rest.len() - after.len()];
        let units = ["ns", "us", "µs", "ms", "s", "m", "h"];
        let left = units.iter().filter_map(|unit| after.strip_prefix(unit)).min_by_key(|left| left.len());
        match left {
            Some(left) if number.parse::<f64>().is_ok() => rest = left,
            _ => return false,
        }
    }
    true
}

/// Whether this may be a time zone's name. Which zones there are is not known here.
///
/// Source: IANA time zone database, `theory.html`, "Names of timezones".
pub fn is_zone(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte))
    };
    name.split('/').all(part)
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
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
        let refused = |schedule: &str, want: &str| assert_eq!(check(schedule), Err(want.to_owned()));
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

    #[test]
    fn zones_have_names() {
        for (name, want) in [
            ("Europe/Berlin", true),
            ("Etc/GMT+1", true),
            ("UTC", true),
            ("No where", false),
            ("../etc", false),
            ("a//b", false),
        ] {
            assert_eq!(is_zone(name), want, "{name}");
        }
    }
}
