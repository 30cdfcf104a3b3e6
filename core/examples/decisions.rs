//! Writes `docs/decisions/` from the tables that are executed. A test of this crate fails while the two differ.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "the pages are files")]

use miniku_core::pages::{index, pages};
use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/decisions");
    fs::create_dir_all(&folder)?;
    for entry in fs::read_dir(&folder)? {
        fs::remove_file(entry?.path())?;
    }
    fs::write(folder.join("README.md"), index())?;
    for page in pages() {
        fs::write(folder.join(format!("{}.md", page.name)), page.text())?;
    }
    println!("docs/decisions: {} pages and their index", pages().len());
    Ok(())
}
