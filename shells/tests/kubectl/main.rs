//! Real clients: an unmodified kubectl, and the official Python client, against the built binary.
//!
//! What kubectl shall say is in the scenarios, `*.txt` beside this file, as a transcript; [`scenario`] says how they are
//! read, [`pattern`] what their lines match. A scenario has a server, a directory and a home of its own. All of its steps
//! are done, whichever fail, and each difference is shown. Nothing here knows of miniku but how it is started, so that
//! the same transcripts would hold for a Kubernetes 1.32; but for `miniku*.txt`, which are about its own command line.
//!
//! The tests in `../python` are run by [`python`]; the files in `../manifests` are applied by [`manifests`].

mod difference;
mod manifests;
mod pattern;
mod python;
mod scenario;
mod world;

/// A test for each scenario, by the name of its file.
macro_rules! scenarios {
    ($($name:ident)+) => {
        $(#[test]
        fn $name() {
            scenario::run(concat!(stringify!($name), ".txt"));
        })+

        #[test]
        fn every_scenario_is_run() {
            assert_eq!(scenario::files(), [$(concat!(stringify!($name), ".txt")),+]);
        }
    };
}

scenarios! {
    admission apply apply_server auth autoscaling budget cluster crd create daemonset delete deployment describe diff discovery edit endpoints events explain get gzip job labels miniku miniku_access miniku_usage miniku_why patch quota rbac rollout scale scheduling statefulset taints validation watch
}
