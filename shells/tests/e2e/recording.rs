//! The flight recorder: daemons that are recorded, killed and started again, and replays of what they did.

use crate::http::{PODS, SETS, Server, name, set};
use crate::world::{Daemon, Dir, isolated, miniku, stderr, stdout, until};
use miniku_core::record::{Birth, Ending, Event, Playback, Record, Tape};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

const URL: &str = "http://127.0.0.1:8080";

/// A directory of recordings, with what it is called.
struct Flight(Dir, String);

impl Flight {
    fn new() -> Flight {
        let dir = Dir::new();
        let path = dir.0.join("flight").to_str().unwrap().to_owned();
        Flight(dir, path)
    }

    fn files(&self, program: &str) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = fs::read_dir(&self.1).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.file_name().unwrap().to_str().unwrap().starts_with(&format!("{program}-")));
        files.sort();
        files
    }

    fn replay(&self) -> Output {
        miniku(&["replay", &self.1])
    }

    /// A row of what a replay printed: lives, killed, full, steps, effects; and its result.
    fn row(output: &Output, program: &str) -> (Vec<u64>, String) {
        let text = stdout(output);
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(program));
        let line = line.unwrap_or_else(|| panic!("no {program} in\n{text}{}", stderr(output)));
        let mut cells = line.split_whitespace().skip(1);
        let numbers = cells.by_ref().take(5).map(|cell| cell.parse().unwrap()).collect();
        (numbers, cells.collect::<Vec<_>>().join(" "))
    }

    /// Replays, which must be exact; of each program so many lives, and so many of them killed.
    #[track_caller]
    fn exact(&self, programs: &[(&str, u64, u64)]) {
        let output = self.replay();
        eprintln!("{}{}", stdout(&output), stderr(&output));
        assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
        for (program, lives, killed) in programs {
            let (numbers, result) = Flight::row(&output, program);
            assert_eq!((numbers[0], numbers[1], result.as_str()), (*lives, *killed, "exact"), "{program}");
            assert!(numbers[3] > numbers[0] && numbers[4] > 0, "{program}: {numbers:?}");
        }
    }
}

/// Changes sets of pods until it is told to stop, counting the answers; a server that is away is asked again.
fn load(address: &str, stop: &AtomicBool, answered: &AtomicU64) {
    let server = Server::at(address);
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let set_name = format!("load{}", round % 3);
        let body = json!({"spec": {"replicas": round % 7}});
        let path = format!("{SETS}/{set_name}");
        let patched = server.ask("PATCH", &path, "application/merge-patch+json", body.to_string().as_bytes());
        match patched {
            Ok(reply) if reply.code == 404 => {
                let _ = server.ask("POST", SETS, "application/json", set(&set_name, 2).to_string().as_bytes());
            }
            Ok(_) => {
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => thread::sleep(std::time::Duration::from_millis(20)),
        }
        let _ = server.ask("GET", PODS, "", b"");
    }
}

/// Runs this while sets of pods come and go. It is given a wait until some more did.
fn under_load(during: impl FnOnce(&dyn Fn())) {
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| load("127.0.0.1:8080", &stop, &answered));
        let _stopped = Raised(&stop);
        during(&|| {
            let before = answered.load(Ordering::Relaxed);
            until("the load goes on", || answered.load(Ordering::Relaxed) > before + 10);
        });
    });
}

/// Raises a flag at its end, also that of a test that failed.
struct Raised<'a>(&'a AtomicBool);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn killed_up_is_replayed(runtime: &'static str) {
    isolated(move || {
        let (dir, flight) = (Dir::new(), Flight::new());
        let flags = ["--runtime", runtime, "--record", &flight.1];
        let mut up = Some(dir.up(&flags));
        under_load(|some_more| {
            for round in 0..3 {
                let server = up.as_ref().unwrap().ready();
                server.nodes_ready(&[("node-1", "True"), ("node-2", "True")]);
                let set_name = format!("s{round}");
                server.post(SETS, &set(&set_name, 3)).ok();
                server.running(&format!("app={set_name}"), 3);
                some_more();
                up.take().unwrap().kill();
                up = Some(dir.up(&flags));
            }
        });
        let up = up.unwrap();
        up.ready().running("app=s0", 3);
        assert!(up.terminate().0.success());
        let programs = [
            "apiserver",
            "scheduler",
            "workloads",
            "node-lifecycle",
            "garbage",
            "namespaces",
            "endpoints",
            "disruption",
            "horizontal",
            "kubelet-node-1",
        ];
        flight.exact(&programs.map(|program| (program, 4, 3)));
    });
}

#[test]
fn a_killed_cluster_is_replayed_exactly() {
    killed_up_is_replayed("fake");
}

#[test]
fn a_killed_cluster_with_real_pods_is_replayed_exactly() {
    killed_up_is_replayed("namespaces");
}

fn killed_parts_are_replayed(runtime: &'static str) {
    isolated(move || {
        let (store, node, flight) = (Dir::new(), Dir::new(), Flight::new());
        let quick = ["--watch-initial-delay", "100ms", "--watch-max-delay", "400ms"];
        let start = |part: &str, more: &[&str]| {
            Daemon::start(&[&[part, "--server", URL, "--record", &flight.1], &quick[..], more].concat())
        };
        let at = ["--name", "n", "--data-dir", node.path(), "--runtime", runtime];
        let apiserver = || store.apiserver(&["--record", &flight.1]);
        let parts = [("scheduler", &[][..]), ("controller", &[]), ("kubelet", &at)];
        let mut server = Some(apiserver());
        let mut running: Vec<Daemon> = parts.iter().map(|(part, flags)| start(part, flags)).collect();
        server.as_ref().unwrap().ready().nodes_ready(&[("n", "True")]);
        under_load(|some_more| {
            for round in 0..2 {
                for (nth, (part, flags)) in parts.iter().enumerate() {
                    let set_name = format!("s{round}{nth}");
                    let asked = server.as_ref().unwrap().ready();
                    asked.post(SETS, &set(&set_name, 2)).ok();
                    some_more();
                    running.remove(nth).kill();
                    running.insert(nth, start(part, flags));
                    asked.running(&format!("app={set_name}"), 2);
                }
                server.take().unwrap().kill();
                let again = apiserver();
                again.ready().running(&format!("app=s{round}0"), 2);
                server = Some(again);
            }
        });
        running.into_iter().for_each(|daemon| assert!(daemon.terminate().0.success()));
        assert!(server.unwrap().terminate().0.success());
        let programs = [
            "apiserver",
            "scheduler",
            "workloads",
            "node-lifecycle",
            "garbage",
            "namespaces",
            "endpoints",
            "disruption",
            "horizontal",
            "kubelet-n",
        ];
        flight.exact(&programs.map(|program| (program, 3, 2)));
    });
}

#[test]
fn killed_parts_are_replayed_exactly() {
    killed_parts_are_replayed("fake");
}

#[test]
fn killed_parts_with_real_pods_are_replayed_exactly() {
    killed_parts_are_replayed("namespaces");
}

/// A short flight: a cluster that made two pods.
fn short_flight() -> Flight {
    let (dir, flight) = (Dir::new(), Flight::new());
    let up = dir.up(&["--runtime", "fake", "--store", "memory", "--nodes", "1", "--record", &flight.1]);
    let server = up.ready();
    server.post(SETS, &set("a", 2)).ok();
    let pods = server.running("app=a", 2);
    server.cli(&format!("delete pod {} --wait=false", name(&pods[0])));
    until("it is replaced", || server.list(PODS).len() == 2 && server.pod(&name(&pods[0])).is_none());
    assert!(up.terminate().0.success());
    flight
}

/// Replays what was tampered with; how that ended, and what it said.
fn said(flight: &Flight) -> (Option<i32>, String) {
    let output = flight.replay();
    (output.status.code(), format!("{}{}", stdout(&output), stderr(&output)))
}

/// Writes a recording again as it might have been, with right checks.
fn rewrite(file: &Path, change: impl FnOnce(&mut Vec<Record>)) {
    use miniku::recording::frame::{Frame, FrameReader, FrameWriter};
    let bytes = fs::read(file).unwrap();
    let mut reader = FrameReader::begin(&bytes[..]).unwrap().unwrap();
    let mut records: Vec<Record> = Vec::new();
    while let Frame::Records { text, .. } = reader.next_frame().unwrap() {
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        records.extend(lines.map(|line| serde_json::from_slice(line).unwrap()));
    }
    change(&mut records);
    let mut writer = FrameWriter::begin(fs::File::create(file).unwrap(), u64::MAX).unwrap();
    for record in &records {
        assert!(writer.append(&[&serde_json::to_vec(record).unwrap()[..], b"\n"].concat(), 1).unwrap());
    }
    writer.close(Ending::Stopped).unwrap();
}

#[test]
fn a_recording_that_was_tampered_with_is_told() {
    isolated(|| {
        let flight = short_flight();
        assert_eq!(said(&flight).0, Some(0));
        let file = flight.files("scheduler").remove(0);
        let (whole, named) = (fs::read(&file).unwrap(), file.to_str().unwrap().to_owned());

        // A bit here and there, and every file that is cut in its middle without being at its end.
        for at in (0..whole.len()).step_by(whole.len() / 40) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::write(&file, &bytes).unwrap();
            let (code, text) = said(&flight);
            assert!(
                code == Some(2) && text.contains(&named) && text.contains("record "),
                "byte {at}: {code:?}\n{text}"
            );
        }
        fs::write(&file, &whole[..whole.len() - 30]).unwrap();
        assert_eq!(said(&flight).0, Some(0), "a torn end is no damage");
        fs::write(&file, b"").unwrap();
        assert_eq!(said(&flight).0, Some(0), "nothing was recorded yet");

        // Two steps in the other order, as they are and numbered anew.
        let swap = |records: &mut Vec<Record>| {
            let wanted = |record: &Record| matches!(record, Record::Step(step) if step.outcome.as_ref().is_some_and(|out| out.effects.len() > 1));
            let at = records.iter().rposition(wanted).unwrap();
            records.swap(at - 1, at);
        };
        fs::write(&file, &whole).unwrap();
        rewrite(&file, swap);
        let (code, text) = said(&flight);
        assert!(code == Some(2) && text.contains("should be"), "{code:?}\n{text}");
        fs::write(&file, &whole).unwrap();
        rewrite(&file, |records| {
            swap(records);
            for (number, record) in records.iter_mut().enumerate() {
                if let Record::Step(step) = record {
                    step.number = number as u64;
                }
            }
        });
        let (code, text) = said(&flight);
        assert!(code == Some(1) && text.contains("scheduler, life 1, step ") && text.contains("replayed: "), "{text}");

        // Another strategy is another program; so is another seed.
        fs::write(&file, &whole).unwrap();
        rewrite(&file, |records| {
            let Record::Opening(opening) = &mut records[0] else { panic!("an opening comes first") };
            let Birth::Scheduler(options) = &mut opening.birth else { panic!("a scheduler's recording") };
            options.name = "another-scheduler".into();
        });
        let (code, text) = said(&flight);
        assert!(code == Some(1) && text.contains("1 differ") && text.contains("effect 1"), "{code:?}\n{text}");
        let server = flight.files("apiserver").remove(0);
        fs::write(&file, &whole).unwrap();
        rewrite(&server, |records| {
            let Record::Opening(opening) = &mut records[0] else { panic!("an opening comes first") };
            let Birth::ApiServer(birth) = &mut opening.birth else { panic!("a server's recording") };
            birth.options.seed ^= 1;
        });
        let (code, text) = said(&flight);
        assert!(code == Some(1) && text.contains("apiserver, life 1, step "), "{code:?}\n{text}");
    });
}

#[test]
fn a_recording_is_played_as_one_story() {
    isolated(|| {
        let flight = short_flight();
        let story = flight.0.0.join("story.txt");
        let replay = |more: &[&str]| {
            let output = miniku(&[&["replay", &flight.1, "--trace", story.to_str().unwrap()], more].concat());
            assert!(output.status.success(), "{}", stderr(&output));
            fs::read_to_string(&story).unwrap()
        };
        let whole = replay(&[]);
        let starts = r#""op":"start""#;
        let (crash, write, process) = (r#""op":"crash""#, r#""what":"write""#, r#""what":"process""#);
        for event in [starts, "ask bind po/a-", "created po/a-", "run a-", write, process, crash] {
            assert_eq!(whole.contains(event), event != crash, "{event}:\n{whole}");
        }
        let seqs = |text: &str| {
            let entry = |line: &str| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64();
            text.lines().filter_map(entry).collect::<Vec<u64>>()
        };
        let begin = replay(&["--until", "209"]);
        assert!(
            whole.starts_with(&begin) && seqs(&begin).last().is_some_and(|last| (190..210).contains(last)),
            "{begin}"
        );
        let begun = whole.split_once("recorded from ").unwrap().1.split_once(' ').unwrap().0;
        assert!(seqs(&replay(&["--until", begun])).len() < 20);
        // Each step is one entry, and each has its cause before it.
        let entries: Vec<Value> = whole.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(entries.iter().all(|entry| entry["cause"].as_u64() < entry["seq"].as_u64()));
        let page = flight.0.0.join("flight.html");
        let drawn = miniku(&["sim", "report", "--trace", story.to_str().unwrap(), "--out", page.to_str().unwrap()]);
        assert!(drawn.status.success(), "{}", stderr(&drawn));
        replay(&[]);

        // What the library tells is the same.
        let tapes = miniku::recording::recordings(Path::new(&flight.1)).unwrap();
        let programs: Vec<String> = tapes.iter().map(|tape| tape.opening().program.clone()).collect();
        assert_eq!(programs[0], "apiserver");
        assert!(tapes.is_sorted_by_key(|tape| tape.opening().started));
        let played: Vec<_> = Playback::new(tapes).map(|played| played.unwrap()).collect();
        let steps = played.iter().filter(|played| matches!(played.event, Event::Step(_))).count();
        assert_eq!(steps, entries.iter().filter(|entry| entry["what"] == "step").count());
        let ends = played.iter().filter(|played| matches!(played.event, Event::Ended(Ending::Stopped))).count();
        assert_eq!(ends, programs.len());
    });
}

#[test]
fn a_recording_takes_no_more_than_it_may() {
    isolated(|| {
        let (dir, flight) = (Dir::new(), Flight::new());
        const LIMIT: u64 = 64 << 10;
        let flags = ["--runtime", "fake", "--record", &flight.1, "--record-limit", "64Ki"];
        for life in 0..5 {
            let up = dir.up(&flags);
            let server = up.ready();
            let mut round = 0;
            until("a recording is full", || {
                let name = format!("l{life}-{round}");
                server.post(SETS, &set(&name, 5)).ok();
                server.running(&format!("app={name}"), 5);
                server.cli(&format!("delete rs/{name} --wait=false"));
                round += 1;
                up.log().contains("apiserver: the recording ")
            });
            assert!(up.log().contains("is full after"), "{}", up.log());
            up.kill();
            for program in ["apiserver", "scheduler", "workloads", "garbage", "kubelet-node-1"] {
                let files = flight.files(program);
                let sizes: Vec<u64> = files.iter().map(|file| file.metadata().unwrap().len()).collect();
                assert!(sizes.iter().sum::<u64>() <= LIMIT, "{program}: {sizes:?}");
                assert!(!sizes.is_empty() && sizes.iter().all(|size| *size <= LIMIT / 2), "{program}: {sizes:?}");
            }
        }
        let output = flight.replay();
        assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
        let (numbers, result) = Flight::row(&output, "apiserver");
        assert!(numbers[2] >= 1 && result == "exact", "{numbers:?}");
    });
}

#[test]
fn what_cannot_be_recorded_or_replayed_is_told() {
    isolated(|| {
        let (dir, flight) = (Dir::new(), Flight::new());
        let refused = miniku(&["up", "--runtime", "fake", "--data-dir", dir.path(), "--record", "/proc/none"]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(stderr(&refused).contains("error: recording: create /proc/none: "), "{}", stderr(&refused));
        assert_eq!(flight.replay().status.code(), Some(2));
        fs::create_dir_all(&flight.1).unwrap();
        let (code, text) = said(&flight);
        assert!(code == Some(2) && text.contains("there is no recording"), "{text}");
        fs::write(Path::new(&flight.1).join("x.rec"), "not one").unwrap();
        let (code, text) = said(&flight);
        assert!(code == Some(2) && text.contains("x.rec: record 0") && text.contains("byte 0"), "{text}");
    });
}
