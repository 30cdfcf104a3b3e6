//! "Did you mean": which known word is close to one that is not known.

/// The word nearest to `word`, if one is so near that it may be meant: no more than a third of its letters differ.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().take(LENGTH_MAX).collect();
    let far = (word.len() / 3).clamp(1, 3);
    let near = known.into_iter().filter_map(|known| {
        let other: Vec<char> = known.to_lowercase().chars().take(LENGTH_MAX).collect();
        // Short words are near to everything.
        let limit = far.min(word.len().saturating_sub(1)).min(other.len().saturating_sub(1));
        let distance = distance(&word, &other);
        let begins = word.len() >= 3 && other.starts_with(&word);
        (distance <= limit || begins).then_some((distance, other.len().abs_diff(word.len()), known))
    });
    near.min().map(|(_, _, known)| known)
}

/// `\nDid you mean "pods"?`, or nothing.
pub fn hint(nearest: Option<&str>) -> String {
    nearest.map_or(String::new(), |nearest| format!("\nDid you mean {nearest:?}?"))
}

/// No name is longer. Source: RFC 1123, section 2.1.
const LENGTH_MAX: usize = 253;

/// How many letters are to be changed, added, left out or swapped with their neighbour to get from one word to the
/// other.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, a) in from.iter().enumerate() {
        let mut now = vec![row + 1];
        for (column, b) in to.iter().enumerate() {
            let changed = last[column] + usize::from(a != b);
            let mut best = changed.min(last[column + 1] + 1).min(now[column] + 1);
            if row > 0 && column > 0 && *a == to[column - 1] && from[row - 1] == *b {
                best = best.min(before[column - 1] + 1);
            }
            now.push(best);
        }
        before = std::mem::replace(&mut last, now);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_may_be_meant() {
        let known = ["pods", "nodes", "replicasets", "deployments", "services", "web-1"];
        let check = |word: &str, want: Option<&str>| assert_eq!(nearest(word, known), want, "{word}");
        check("pdos", Some("pods"));
        check("podz", Some("pods"));
        check("Deploymnets", Some("deployments"));
        check("replicaset", Some("replicasets"));
        check("servces", Some("services"));
        check("web-2", Some("web-1"));
        check("web", Some("web-1"));
        check("gizmos", None);
        check("x", None);
        check("", None);
        assert_eq!(nearest("b", ["a"]), None);
    }

    #[test]
    fn counts_changes() {
        let check = |a: &str, b: &str, want: usize| {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            assert_eq!((distance(&a, &b), distance(&b, &a)), (want, want));
        };
        check("", "abc", 3);
        check("abc", "abc", 0);
        check("abc", "acb", 1);
        check("kitten", "sitting", 3);
    }
}
