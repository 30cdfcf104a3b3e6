//! The binary that people get has none of the bugs that are planted to test the simulator.

#[test]
fn the_binary_knows_no_planted_bug() {
    let table = include_str!("../../core/src/planted.rs");
    let rows = table.lines().filter_map(|line| line.split_once(" by \""));
    let names: Vec<&str> = rows.filter_map(|(row, _)| row.split('"').nth(1)).collect();
    assert!(names.len() >= 40, "the table was not read: {names:?}");
    let binary = std::fs::read(env!("CARGO_BIN_EXE_miniku")).expect("the binary was built for this test");
    let text = String::from_utf8_lossy(&binary);
    assert!(text.contains("miniku"), "the binary was not read");
    let found: Vec<&&str> = names.iter().filter(|name| text.contains(**name)).collect();
    assert!(found.is_empty(), "{found:?}");
}
