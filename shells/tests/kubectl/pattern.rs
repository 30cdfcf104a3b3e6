//! When a line of output is as a scenario says.
//!
//! Runs of blanks count as one, save those that a line begins with: how wide a column is tells of the values in it, which
//! differ from run to run. `[..]` stands for anything, `[age]` for a short time such as `5s` or `3m2s`, `[uid]` for a
//! UID, `[time]` for a moment as Kubernetes writes it, `[n]` for a number, `[ip]` for an address, `[id]` for the drawn end
//! of a name.

/// What stands for something in a pattern, and whether a text may be that.
type Placeholder = (&'static str, fn(&str) -> bool);

const PLACEHOLDERS: &[Placeholder] = &[
    ("[..]", |_| true),
    ("[age]", age),
    ("[uid]", |text| text.len() == 36 && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())),
    ("[time]", |text| text.len() >= 20 && text.ends_with('Z') && text.starts_with("20") && text.contains('T')),
    ("[n]", |text| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit())),
    ("[ip]", |text| text.parse::<std::net::IpAddr>().is_ok()),
    ("[id]", |text| !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())),
];

/// `<invalid>` is said of what was made less than a second ago, when clocks are read twice.
fn age(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let units = text.chars().filter(|c| "smhd".contains(*c)).count();
    text == "<invalid>" || (text.starts_with(|c: char| c.is_ascii_digit()) && units > 0 && digits + units == text.len())
}

/// Whether a line is what the pattern says.
pub fn matches(pattern: &str, line: &str) -> bool {
    here(&squeezed(pattern), &squeezed(line))
}

fn here(pattern: &str, text: &str) -> bool {
    let found = PLACEHOLDERS.iter().filter_map(|(mark, may)| Some((pattern.find(mark)?, mark, may)));
    let Some((at, mark, may)) = found.min_by_key(|(at, ..)| *at) else { return pattern == text };
    let Some(rest) = text.strip_prefix(&pattern[..at]) else { return false };
    let after = &pattern[at + mark.len()..];
    let ends = rest.char_indices().map(|(end, _)| end).chain([rest.len()]);
    ends.into_iter().any(|end| may(&rest[..end]) && here(after, &rest[end..]))
}

fn squeezed(line: &str) -> String {
    let line = line.trim_end();
    let words = line.trim_start();
    let indent = &line[..line.len() - words.len()];
    let words: Vec<&str> = words.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
    indent.to_owned() + &words.join(" ")
}

#[test]
fn lines() {
    let check = |pattern, line, want| assert_eq!(matches(pattern, line), want, "{pattern} {line}");
    check("NAME  AGE", "NAME        AGE  ", true);
    check("  a: b", "    a: b", false);
    check("web [age]", "web 3m2s", true);
    check("web [age]", "web <none>", false);
    check("a[..]c[..]e", "abcde", true);
    check("a[..]c", "abcd", false);
    check("[n]/[n]", "12/1", true);
    check("[n]/[n]", "12/", false);
    check("web-[id]-[id] ready", "web-7c5b-x9 ready", true);
    check("at [time]", "at 2026-01-02T03:04:05Z", true);
    check("[ip]:80", "10.0.0.1:80", true);
}
