//! The one binary: every daemon, and the command line client.

use std::process::ExitCode;

fn main() -> ExitCode {
    miniku::cli::main()
}
