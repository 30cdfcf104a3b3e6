//! Durable commits a second, and the time to open: `cargo run --release --example engine_rate -- DIRECTORY`.
//!
//! Given a second argument, it opens the directory, loads it, says how long that took, and is killed by itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use miniku::engine::committer::Committer;
use miniku::engine::redb::Redb;
use miniku::engine::{Engine, Outcome, Write};

fn write(key: usize, expect: u64) -> Write {
    Write { key: format!("pods/namespace-1/web-{key:06}"), expect, value: Some(vec![b'x'; 1024].into()) }
}

fn open(directory: &Path, how: &str) -> Redb {
    let began = Instant::now();
    let mut redb = Redb::open(directory).expect("opening");
    let opened = began.elapsed();
    let mut count = 0;
    let revision = redb.load(&mut |_, _, _| count += 1).expect("loading");
    println!("open {how}: {opened:.1?}, load {count} entries: {:.1?}, revision {revision}", began.elapsed() - opened);
    redb
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let directory = Path::new(arguments.get(1).expect("a directory"));
    if let Some(how) = arguments.get(2) {
        let redb = open(directory, how);
        if how != "last" {
            // As kill -9: nothing is closed.
            std::mem::forget(redb);
        }
        return;
    }
    let mut redb = open(directory, "new");
    for size in [1, 16, 64] {
        let rounds = 2000 / size + 100;
        let mut times = Vec::new();
        for round in 0..rounds {
            let batch: Vec<Write> = (0..size).map(|each| write(size * 1_000_000 + round * size + each, 0)).collect();
            let began = Instant::now();
            assert!(redb.commit(&batch).iter().all(|outcome| matches!(outcome, Outcome::Committed { .. })));
            times.push(began.elapsed());
        }
        let total = times.iter().sum::<std::time::Duration>().as_secs_f64();
        times.sort();
        println!(
            "batch {size}: {:.0} commits/s, {:.0} writes/s, p50 {:.0?}, p99 {:.0?}",
            rounds as f64 / total,
            (rounds * size) as f64 / total,
            times[rounds / 2],
            times[rounds * 99 / 100]
        );
    }
    let began = Instant::now();
    for start in (0..100_000).step_by(1000) {
        let batch: Vec<Write> = (start..start + 1000).map(|key| write(key, 0)).collect();
        redb.commit(&batch);
    }
    println!("100,000 keys of 1 KiB in commits of 1,000: {:.2?}", began.elapsed());
    // Writers that each wait for their answer.
    let tell = |all: Vec<(crossbeam_channel::Sender<Outcome>, Outcome)>| {
        all.into_iter().for_each(|(writer, outcome)| writer.send(outcome).expect("the writer waits"));
    };
    let committer = Arc::new(Committer::start(Box::new(redb), tell).expect("a thread"));
    for writers in [1, 16, 64] {
        let began = Instant::now();
        let commits = committer.counts().commits.load(std::sync::atomic::Ordering::Relaxed);
        let each = 6000 / writers + 100;
        std::thread::scope(|scope| {
            for writer in 0..writers {
                let committer = committer.clone();
                scope.spawn(move || {
                    let (sender, answer) = crossbeam_channel::bounded(1);
                    for count in 0..each {
                        let key = 10_000_000 * writers + writer * 100_000 + count;
                        committer.submit(write(key, 0), sender.clone()).expect("room in the queue");
                        answer.recv().expect("an outcome");
                    }
                });
            }
        });
        let commits = committer.counts().commits.load(std::sync::atomic::Ordering::Relaxed) - commits;
        let seconds = began.elapsed().as_secs_f64();
        let writes = (each * writers) as f64;
        println!("{writers} writers: {:.0} writes/s, {:.1} a commit", writes / seconds, writes / commits as f64);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    print!("{}", status.lines().filter(|line| line.starts_with("VmRSS")).collect::<String>());
    println!(", file {} MB", std::fs::metadata(directory.join("objects.redb")).map_or(0, |data| data.len() >> 20));
}
