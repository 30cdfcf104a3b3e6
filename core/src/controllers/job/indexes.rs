//! Numbers of pods, as jobs write them: `0,3-5`.

use std::collections::BTreeSet;

/// The numbers of a text, those of `total` and above left out. What is no number is left out too.
pub fn parse(text: &str, total: i64) -> BTreeSet<i64> {
    let mut all = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<i64>(), last.parse::<i64>()) {
            all.extend(first.max(0)..=last.min(total - 1));
        }
    }
    all
}

/// The numbers as a text: three or more in a row as a range.
///
/// `0,1,3,4,5` is `0,1,3-5`. Source: Kubernetes, `pkg/controller/job`, `orderedIntervals`.
pub fn text(numbers: &BTreeSet<i64>) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut rest = numbers.iter().copied().peekable();
    while let Some(first) = rest.next() {
        let mut last = first;
        while let Some(next) = rest.next_if_eq(&(last + 1)) {
            last = next;
        }
        match last - first {
            0 => parts.push(first.to_string()),
            1 => parts.extend([first.to_string(), last.to_string()]),
            _ => parts.push(format!("{first}-{last}")),
        }
    }
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_written() {
        for (given, total, want) in [
            ("", 5, ""),
            ("0", 5, "0"),
            ("0,1,3,4,5", 9, "0,1,3-5"),
            ("0-2,7", 9, "0-2,7"),
            ("0-99999999999", 4, "0-3"),
            ("x,-1,2", 4, "2"),
            ("3-1", 4, ""),
        ] {
            assert_eq!(text(&parse(given, total)), want, "{given}");
        }
    }
}
