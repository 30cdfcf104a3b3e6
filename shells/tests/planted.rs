//! The binary that people get has none of the bugs that are planted to test the simulator.

use std::collections::BTreeSet;

#[test]
fn the_binary_knows_no_planted_bug() {
    let table = include_str!("../../core/src/planted.rs");
    let rows = table.lines().filter_map(|line| line.split_once(" by \""));
    let names: Vec<&str> = rows.filter_map(|(row, _)| row.split('"').nth(1)).collect();
    assert!(names.len() >= 40, "the table was not read: {names:?}");
    let binary = std::fs::read(env!("CARGO_BIN_EXE_miniku")).expect("the binary was built for this test");
    // One pass for all names: the binary is large.
    let named = |sought: &[&str]| {
        let mut begins = vec![false; 1 << 16];
        let two = |bytes: &[u8]| usize::from(bytes[0]) << 8 | usize::from(bytes[1]);
        sought.iter().for_each(|name| begins[two(name.as_bytes())] = true);
        let at = binary.windows(2).enumerate().filter(|(_, bytes)| begins[two(bytes)]).map(|(at, _)| &binary[at..]);
        let named =
            |rest: &[u8]| sought.iter().find(|name| rest.starts_with(name.as_bytes())).map(|name| name.to_string());
        at.filter_map(named).collect::<BTreeSet<String>>()
    };
    assert!(!named(&["miniku"]).is_empty(), "the binary was not read");
    assert_eq!(named(&names), BTreeSet::new());
}
