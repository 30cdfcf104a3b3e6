//! The one binary: every daemon, the command line client, and the init process of a pod.

use std::process::ExitCode;

fn main() -> ExitCode {
    miniku::panics::abort();
    // Before anything else: a pod's init process must stay small and single-threaded.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == "pod-init") {
        miniku_runtime::pod_init_main();
    }
    miniku::cli::main()
}
