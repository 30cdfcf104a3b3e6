//! `docs/decisions/` says what the code decides.
#![allow(clippy::disallowed_methods, reason = "the pages are files")]

use miniku_core::pages::{index, pages};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const REWRITE: &str = "to write them again: cargo run -p miniku-core --example decisions";

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_pages_are_those_of_the_code() {
    let mut want: BTreeMap<String, String> =
        pages().iter().map(|page| (format!("{}.md", page.name), page.text())).collect();
    want.insert("README.md".into(), index());
    let mut got = BTreeMap::new();
    for entry in fs::read_dir(workspace().join("docs/decisions")).expect("docs/decisions is part of the source") {
        let entry = entry.unwrap();
        got.insert(entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap());
    }
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&got), names(&want), "{REWRITE}");
    for (file, text) in &want {
        assert!(got[file] == *text, "docs/decisions/{file} is not what the code decides; {REWRITE}");
    }
}

#[test]
fn the_pages_name_files_that_exist_and_are_named_there() {
    for page in pages() {
        let mut named = false;
        for source in page.sources() {
            let text = fs::read_to_string(workspace().join(source)).unwrap_or_else(|error| panic!("{source}: {error}"));
            named |= text.contains(&format!("docs/decisions/{}.md", page.name))
                || text.contains(&format!("\"{}\"", page.name));
        }
        assert!(named, "no source of {} names it", page.name);
    }
}
