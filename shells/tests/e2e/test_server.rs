//! An API server for other people's tests: started without root, found by its file, in a moment, with nothing left behind.

use crate::http::Server;
use crate::world::{DEADLINE, Dir, MINIKU, isolated, stderr, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn a_test_server_is_found_by_its_file() {
    isolated(|| {
        // A binary where anybody may run it, and a place where anybody may write.
        let place = Dir::new();
        fs::create_dir_all(&place.0).unwrap();
        fs::set_permissions(&place.0, fs::Permissions::from_mode(0o777)).unwrap();
        let binary = place.0.join("miniku");
        fs::copy(MINIKU, &binary).unwrap();
        let ready = place.0.join("ready");
        fs::write(&ready, "http://127.0.0.1:1\n").unwrap();

        let began = Instant::now();
        let mut child = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&binary)
            .args(["apiserver", "--store", "memory", "--port", "0", "--ready-file"])
            .arg(&ready)
            .current_dir("/")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let url = wait("the file is there", || {
            assert_eq!(child.try_wait().unwrap(), None, "it ended");
            fs::read_to_string(&ready).ok().filter(|url| url != "http://127.0.0.1:1\n")
        });
        let took = began.elapsed();
        // Milliseconds, and what a busy machine takes.
        assert!(took < Duration::from_secs(5), "{took:?}");
        // Whole, whenever it is seen; and there is somebody.
        let server = Server::at(url.strip_prefix("http://").unwrap().strip_suffix('\n').unwrap());
        assert_eq!(server.get("/readyz").text, "ok");
        let made = server.post("/api/v1/namespaces", &serde_json::json!({"metadata": {"name": "mine"}}));
        assert_eq!(made.code, 201, "{made:?}");

        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
        let deadline = Instant::now() + DEADLINE;
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        let said = stderr(&child.wait_with_output().unwrap());
        let left: Vec<_> = fs::read_dir(&place.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["miniku"], "{said}");
    });
}
