//! The official Python client: `../python/test_*.py`, one test here for each file, against a server of its own.

use crate::world::{World, tools};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python"))
}

fn run(name: &str, server: &[&str]) {
    let python = tools().join("python/bin/python");
    assert!(python.exists(), "there is no {}: ./check makes it", python.display());
    let mut world = World::new();
    world.write("tokens.csv", "secret-of-jane,jane,u-1,\"readers\"\n");
    world.serve(&server.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    let mut command = Command::new(python);
    command.args(["-B", "-W", "ignore", "-m", "unittest", "--verbose", name]).env("PYTHONPATH", folder());
    // Some start servers of their own.
    command.env("MINIKU", env!("CARGO_BIN_EXE_miniku"));
    let (code, text) = world.run(&mut command);
    println!("{text}");
    assert!(code == 0 && !text.contains("Ran 0 tests"), "{name}: exit code {code}");
}

/// A test for each file, and what its server is.
macro_rules! python {
    ($($name:ident: $($word:literal)+;)+) => {
        $(#[test]
        fn $name() {
            run(stringify!($name), &[$($word),+]);
        })+

        #[test]
        fn every_file_of_python_is_run() {
            let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut files: Vec<String> = files.filter(|name| name.starts_with("test_")).collect();
            files.sort();
            assert_eq!(files, [$(concat!(stringify!($name), ".py")),+]);
        }
    };
}

python! {
    test_apply: "apiserver";
    test_custom: "apiserver";
    test_errors: "apiserver";
    test_objects: "apiserver";
    test_operator: "up";
    test_pods: "up";
    test_ready_file: "apiserver";
    test_watch: "apiserver";
    test_yaml: "apiserver";
}
