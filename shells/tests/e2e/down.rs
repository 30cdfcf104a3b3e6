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
            assert!(stdout(&down).contains(&format!("removed what miniku had made in {}", dir.path())), "{down:?}");
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

#[test]
fn down_leaves_what_others_call_the_same() {
    isolated(|| {
        let dir = Dir::new();
        let others = ["images/2026/beach.jpg", "nodes/graph/edges", "nodes/list", "store/goods.db"];
        for file in others {
            let path = dir.0.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "precious").unwrap();
        }
        // Where nothing of miniku ever was, and where it was beside them.
        for was in [false, true] {
            if was {
                let up = dir.up(&[]);
                up.ready().post(SETS, &set("a", 1)).ok();
                up.ready().running("app=a", 1);
            }
            let down = miniku(&["down", "--data-dir", dir.path()]);
            assert!(down.status.success(), "{down:?}");
            assert_eq!(dir.traces(), [""; 0]);
            for file in others {
                assert_eq!(fs::read_to_string(dir.0.join(file)).unwrap(), "precious", "{file}");
            }
            let left = |of: &str| fs::read_dir(dir.0.join(of)).unwrap().count();
            assert_eq!([left("images"), left("nodes"), left("store"), left("")], [1, 2, 1, 3]);
        }
        fs::remove_dir_all(&dir.0).unwrap();
    });
}

#[test]
fn down_finds_who_stores_elsewhere() {
    isolated(|| {
        let (dir, elsewhere) = (Dir::new(), Dir::new());
        for more in [&["--db", elsewhere.path()][..], &["--db", dir.path()], &["--store", "memory"]] {
            let up = dir.up(more);
            up.ready().post(SETS, &set("a", 1)).ok();
            up.ready().running("app=a", 1);
            let store = if more[0] == "--db" { more[1] } else { elsewhere.path() };
            let down = miniku(&["down", "--data-dir", dir.path(), "--db", store]);
            assert!(down.status.success() && stdout(&down).contains("stopping miniku"), "{more:?}: {down:?}");
            assert_eq!(dir.traces(), [""; 0], "{more:?}");
            assert!(!dir.0.exists() && !elsewhere.0.exists(), "{more:?}");
        }
    });
}
