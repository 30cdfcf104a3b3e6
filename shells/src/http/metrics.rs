//! Counters of the HTTP layer, for the API server's `/metrics` page.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Refusal;

/// Counts since the start. Every field may be read at any time; they are not a consistent snapshot.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Connections accepted, refused ones included.
    pub connections: AtomicU64,
    /// Connections open now.
    pub connections_open: AtomicU64,
    /// Requests handed to a handler.
    pub requests: AtomicU64,
    /// Answers begun, by the status code's first digit: index 0 is 1xx.
    pub answers: [AtomicU64; 5],
    /// Streams (watches, followed logs) open now.
    pub streams_open: AtomicU64,
    /// Bytes read from clients.
    pub bytes_in: AtomicU64,
    /// Bytes written to clients.
    pub bytes_out: AtomicU64,
    /// Worker threads alive now, idle ones included.
    pub workers: AtomicU64,
    /// Times the front had to push a connection that tiny_http left lying; see `front/inner.rs`.
    pub pushes: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
}

impl Metrics {
    /// How often this was the reason.
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.refused[refusal as usize].load(Relaxed)
    }

    /// All reasons that occurred, with their counts.
    pub fn refusals(&self) -> impl Iterator<Item = (Refusal, u64)> {
        Refusal::ALL.into_iter().map(|refusal| (refusal, self.refused(refusal))).filter(|(_, count)| *count > 0)
    }

    pub(super) fn count_refusal(&self, refusal: Refusal) {
        add(&self.refused[refusal as usize], 1);
    }

    pub(super) fn count_answer(&self, code: u16) {
        let class = usize::from(code / 100).clamp(1, 5);
        add(&self.answers[class - 1], 1);
    }
}

pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Relaxed);
}

pub(super) fn sub(counter: &AtomicU64, count: u64) {
    counter.fetch_sub(count, Relaxed);
}
