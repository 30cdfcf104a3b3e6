//! The thread that commits: everything that waits becomes one commit.
//!
//! A durable commit costs a flush of the disk, whatever it holds, so writers that arrive during one share the next.
//! A lone writer's write is committed at once. Several writers write again when they are told; so that they do not fall
//! into two groups, of which one always waits for the other's flush, the next commit waits a little for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::{Engine, Outcome, Write};

/// Writes in one commit at most.
pub const BATCH_WRITES: usize = 1024;
/// Bytes of keys and values in one commit at most, except that one write is always taken.
pub const BATCH_BYTES: usize = 8 << 20;
/// Writes that may wait. Beyond it the caller is told at once.
pub const QUEUE: usize = 4096;

/// The next commit waits for those who were told of the last one for at most this part of the time that one took.
///
/// A quarter, since waiting in vain then costs a quarter more, and falling apart costs twice the time.
const PATIENCE: u32 = 4;

/// Why a write was not taken. Nothing happened, and nothing will be told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// [`QUEUE`] writes wait already.
    Full,
    /// The committer has stopped.
    Stopped,
}

/// Hands writes to an engine, each under a name by which its outcome is told. Dropping it commits what waits, then drops
/// the engine.
pub struct Committer<N> {
    jobs: Option<Sender<(Write, N)>>,
    thread: Option<JoinHandle<()>>,
    counts: Arc<Counts>,
}

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Calls of the engine.
    pub commits: AtomicU64,
    /// Writes in them, conflicts and failures included.
    pub writes: AtomicU64,
}

impl<N: Send + 'static> Committer<N> {
    /// Starts the thread. The engine should have been loaded before. `tell` learns what became of the writes of one
    /// commit, in the order of their submission. It is called on the thread, and the next commit waits for it.
    pub fn start(
        engine: Box<dyn Engine>,
        tell: impl FnMut(Vec<(N, Outcome)>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, waiting) = bounded(QUEUE);
        let counts = Arc::new(Counts::default());
        let counted = counts.clone();
        let work = move || run(engine, &waiting, &counted, tell);
        let thread = std::thread::Builder::new().name("committer".into()).spawn(work)?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), counts })
    }

    /// Queues a write; never waits.
    pub fn submit(&self, write: Write, name: N) -> Result<(), Rejected> {
        let jobs = self.jobs.as_ref().ok_or(Rejected::Stopped)?;
        jobs.try_send((write, name)).map_err(|error| match error {
            TrySendError::Full(_) => Rejected::Full,
            TrySendError::Disconnected(_) => Rejected::Stopped,
        })
    }

    /// How much was committed so far.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }
}

impl<N> Drop for Committer<N> {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it was reported by the runtime.
            let _ = thread.join();
        }
    }
}

fn run<N>(
    mut engine: Box<dyn Engine>,
    waiting: &Receiver<(Write, N)>,
    counts: &Counts,
    mut tell: impl FnMut(Vec<(N, Outcome)>),
) {
    let mut held = None;
    // How many writes are expected for the next commit, and until when.
    let (mut expected, mut until) = (1, Instant::now());
    while let Some(first) = held.take().or_else(|| waiting.recv().ok()) {
        let mut bytes = size(&first.0);
        let (mut writes, mut names) = (vec![first.0], vec![first.1]);
        // Asked first, since to wait until a time that is past begins with spinning.
        let next = |have: usize| match have < expected && Instant::now() < until {
            true => waiting.recv_deadline(until).ok(),
            false => waiting.try_recv().ok(),
        };
        while writes.len() < BATCH_WRITES
            && let Some(job) = next(writes.len())
        {
            bytes += size(&job.0);
            if bytes > BATCH_BYTES {
                held = Some(job);
                break;
            }
            writes.push(job.0);
            names.push(job.1);
        }
        counts.commits.fetch_add(1, Relaxed);
        counts.writes.fetch_add(writes.len() as u64, Relaxed);
        let began = Instant::now();
        let outcomes = engine.commit(&writes);
        let took = began.elapsed();
        assert_eq!(outcomes.len(), names.len(), "an engine answers every write");
        expected = writes.len() + waiting.len();
        tell(names.into_iter().zip(outcomes).collect());
        until = Instant::now() + took / PATIENCE;
    }
}

fn size(write: &Write) -> usize {
    write.key.len() + write.value.as_ref().map_or(0, |value| value.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EngineError;
    use crate::engine::memory::Memory;
    use std::time::Duration;

    /// Commits only when it is let, and says how large each batch was.
    struct Slow {
        memory: Memory,
        go: Receiver<()>,
        sizes: Sender<usize>,
    }

    impl Engine for Slow {
        fn load(&mut self, each: &mut dyn FnMut(&str, u64, &[u8])) -> Result<u64, EngineError> {
            self.memory.load(each)
        }

        fn commit(&mut self, batch: &[Write]) -> Vec<Outcome> {
            self.sizes.send(batch.len()).unwrap();
            self.go.recv().unwrap();
            self.memory.commit(batch)
        }
    }

    fn write(key: usize, bytes: usize) -> Write {
        Write { key: format!("k/{key:06}"), expect: 0, value: Some(vec![0; bytes].into()) }
    }

    #[test]
    fn what_waits_becomes_one_commit_and_outcomes_keep_their_order() {
        let (let_go, go) = bounded(100);
        let (sizes, batches) = bounded(100);
        let (done, outcomes) = bounded(10_000);
        let tell = move |all: Vec<_>| all.into_iter().for_each(|one| done.send(one).unwrap());
        let committer = Committer::start(Box::new(Slow { memory: Memory::default(), go, sizes }), tell).unwrap();
        let submit = |key, bytes| committer.submit(write(key, bytes), key);
        submit(0, 1).unwrap();
        assert_eq!(batches.recv(), Ok(1));
        // All of these wait now, and the queue is full.
        (1..=QUEUE).for_each(|key| submit(key, 1).unwrap());
        assert_eq!(submit(QUEUE + 1, 1), Err(Rejected::Full));
        (0..10).for_each(|_| let_go.send(()).unwrap());
        for _ in 0..QUEUE / BATCH_WRITES {
            assert_eq!(batches.recv(), Ok(BATCH_WRITES));
        }
        for key in 0..=QUEUE {
            assert_eq!(outcomes.recv().unwrap(), (key, Outcome::Committed { revision: key as u64 + 1 }));
        }
    }

    #[test]
    fn writers_that_write_again_share_the_next_commit() {
        let (let_go, go) = bounded(100);
        let (sizes, batches) = bounded(100);
        let (done, told) = bounded(100);
        let tell = move |all: Vec<_>| all.into_iter().for_each(|(key, _)| done.send(key).unwrap());
        let committer = Committer::start(Box::new(Slow { memory: Memory::default(), go, sizes }), tell).unwrap();
        committer.submit(write(0, 1), 0).unwrap();
        assert_eq!(batches.recv(), Ok(1));
        committer.submit(write(1, 1), 1).unwrap();
        // It takes so long that waiting for a quarter of it leaves time to write again.
        std::thread::sleep(Duration::from_secs(2));
        let_go.send(()).unwrap();
        assert_eq!(told.recv(), Ok(0));
        committer.submit(write(2, 1), 2).unwrap();
        assert_eq!(batches.recv(), Ok(2));
        let_go.send(()).unwrap();
    }

    #[test]
    fn large_values_make_smaller_commits_and_stopping_commits_the_rest() {
        let (let_go, go) = bounded(100);
        let (sizes, batches) = bounded(100);
        let (done, outcomes) = bounded(100);
        let tell = move |all: Vec<_>| all.into_iter().for_each(|one| done.send(one).unwrap());
        let committer = Committer::start(Box::new(Slow { memory: Memory::default(), go, sizes }), tell).unwrap();
        (0..6).for_each(|key| committer.submit(write(key, 3 << 20), key).unwrap());
        (0..10).for_each(|_| let_go.send(()).unwrap());
        drop(committer);
        assert_eq!(outcomes.len(), 6);
        assert!(batches.try_iter().all(|size| size <= 2));
    }
}
