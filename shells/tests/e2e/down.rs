//! `miniku down`: nothing of miniku is left.

use crate::http::{SETS, set, uid};
use crate::world::{Dir, alive, isolated, main_process, miniku, stdout};
use std::fs;

#[test]
fn down_removes_all_that_was_made() {
    isolated(|| {
        let (dir, other) = (Dir::new(), Dir::new());
        let bystander = other.up(&["--port", "8090"]);
        bystander.ready().post(SETS, &set("kept", 1)).ok();
        let kept = main_process(&uid(&bystander.ready().running("app=kept", 1)[0])).unwrap();

        // It may run, and it may have been killed.
        for killed in [false, true] {
            let up = dir.up(&[]);
            let server = up.ready();
            server.post(SETS, &set("a", 4)).ok();
            let pids: Vec<u32> =
                server.running("app=a", 4).iter().map(|pod| main_process(&uid(pod)).unwrap()).collect();
            // Four pods: a directory, a cgroup in each hierarchy and processes of each.
            assert!(dir.traces().len() >= 4 * 3, "{:#?}", dir.traces());
            assert!(dir.cgroups().len() >= 2, "{:#?}", dir.cgroups());
            fs::write(dir.0.join("not-ours"), "").unwrap();
            let cgroups = dir.cgroups();
            if killed {
                up.kill();
            }
            let down = miniku(&["down", "--data-dir", dir.path()]);
            assert!(down.status.success(), "{down:?}");
            assert!(stdout(&down).contains(&format!("removed {}", dir.path())), "{down:?}");
            assert!(!pids.iter().any(|pid| alive(*pid)));
            assert_eq!(dir.traces(), [""; 0]);
            assert!(!cgroups.iter().any(|cgroup| cgroup.exists()), "{cgroups:#?}");
            let left: Vec<_> = fs::read_dir(&dir.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(left, ["not-ours"]);
            fs::remove_file(dir.0.join("not-ours")).unwrap();
            let again = miniku(&["down", "--data-dir", dir.path()]);
            assert!(again.status.success() && !dir.0.exists(), "{again:?}");
        }
        // Nobody else's was touched.
        assert!(alive(kept));
        assert_eq!(bystander.ready().running("app=kept", 1).len(), 1);
    });
}
