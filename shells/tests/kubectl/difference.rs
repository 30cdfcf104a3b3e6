//! What was expected beside what came, line by line.

use crate::pattern;

/// In what is expected: any number of lines, none included.
const GAP: &str = "...";

/// Whether the output is what the lines say.
pub fn same(want: &[String], got: &[&str]) -> bool {
    match want.split_first() {
        None => got.is_empty(),
        Some((gap, rest)) if gap == GAP => (0..=got.len()).any(|skipped| same(rest, &got[skipped..])),
        Some((line, rest)) => {
            got.split_first().is_some_and(|(first, got)| pattern::matches(line, first) && same(rest, got))
        }
    }
}

/// `-` what did not come, `+` what came instead, and what is common to both.
pub fn drawn(want: &[String], got: &[&str]) -> String {
    // The longest common subsequence, from the end.
    let mut common = vec![vec![0; got.len() + 1]; want.len() + 1];
    for (i, line) in want.iter().enumerate().rev() {
        for (j, other) in got.iter().enumerate().rev() {
            let kept = if pattern::matches(line, other) { common[i + 1][j + 1] + 1 } else { 0 };
            common[i][j] = kept.max(common[i + 1][j]).max(common[i][j + 1]);
        }
    }
    let (mut i, mut j, mut text) = (0, 0, String::new());
    let mut say = |mark: char, line: &str| text.push_str(&format!("  {mark} {line}\n"));
    while i < want.len() || j < got.len() {
        if i < want.len() && want[i] == GAP {
            say(' ', GAP);
            i += 1;
        } else if i < want.len() && j < got.len() && pattern::matches(&want[i], got[j]) {
            say(' ', got[j]);
            (i, j) = (i + 1, j + 1);
        } else if j == got.len() || (i < want.len() && common[i + 1][j] >= common[i][j + 1]) {
            say('-', &want[i]);
            i += 1;
        } else {
            say('+', got[j]);
            j += 1;
        }
    }
    text
}

#[test]
fn gaps_and_differences() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let check = |want: &str, got: &str, so: bool| {
        assert_eq!(same(&lines(want), &got.lines().collect::<Vec<_>>()), so, "{want:?} {got:?}");
    };
    check("a\n...\nd", "a\nb\nc\nd", true);
    check("a\n...\nd", "a\nd", true);
    check("...\nd", "a\nd\ne", false);
    check("", "", true);
    check("...", "a\nb", true);
    assert_eq!(drawn(&lines("a\nb\nc"), &["a", "x", "c"]), "    a\n  - b\n  + x\n    c\n");
}
