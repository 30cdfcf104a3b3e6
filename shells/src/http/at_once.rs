//! Requests that need no thread of their own.
//!
//! To hand a request to a thread and its answer back costs more than most answers: four times somebody has to be woken.
//! So what is small and whole is first offered to [`AtOnce`], on the front's thread. What it does not take goes to
//! tiny_http, as everything that streams, waits or is large.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::eventfd::EventFd;

use super::Metrics;
use super::asked::Asked;
use super::metrics::add;
use super::refusal::status_body;
use super::wording::Manner;

/// Offered a request on the front's thread, which everybody waits for: it must not block, and must be done in a
/// millisecond or so. It answers, keeps the reply for who will answer, or gives it back.
pub type AtOnce = Arc<dyn Fn(Asked, Reply) -> Option<Reply> + Send + Sync>;

/// No longer body is offered.
pub const BODY_MAX: u64 = 16 << 10;

/// Takes an answer in whole.
pub trait Respond {
    /// Answers. Content-Length, Date and Connection are added; HEAD gets the head only. An error means that the client
    /// is gone.
    fn respond(self, status: u16, content_type: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()>;

    /// Whether an answer may be packed: the client takes it, and whoever answers has the time.
    fn packs(&self) -> bool {
        false
    }
}

/// The way back to one client. Any thread may answer, and none waits. Dropped unanswered, it answers 500.
pub struct Reply {
    to: u64,
    manner: Manner,
    /// `None` once answered or given back.
    replies: Option<Arc<Replies>>,
    metrics: Arc<Metrics>,
}

impl Reply {
    /// For the connection that the front knows as `to`.
    pub(super) fn new(to: u64, manner: Manner, replies: Arc<Replies>, metrics: Arc<Metrics>) -> Self {
        Self { to, manner, replies: Some(replies), metrics }
    }

    /// Nobody shall hear of it.
    pub(super) fn forget(mut self) {
        self.replies = None;
    }

    fn send(&mut self, status: u16, content_type: &str, headers: &[(&str, &str)], body: &[u8]) {
        let Some(replies) = self.replies.take() else { return };
        add(&self.metrics.requests, 1);
        self.metrics.count_answer(status);
        let (mut out, body) = self.manner.whole(status, content_type, headers, body);
        out.extend_from_slice(body);
        replies.put(self.to, out);
    }
}

impl Respond for Reply {
    fn respond(mut self, status: u16, content_type: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
        self.send(status, content_type, headers, body);
        Ok(())
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let body = status_body(500, "InternalError", "the request ended without an answer");
        self.send(500, "application/json", &[], body.as_bytes());
    }
}

/// Answers on their way to the front; at most one a connection.
pub(super) struct Replies {
    waiting: Mutex<Waiting>,
    wake: Arc<EventFd>,
}

#[derive(Default)]
struct Waiting {
    answers: Vec<(u64, Vec<u8>)>,
    /// The front waits in the kernel, or is about to: it has to be woken.
    front_sleeps: bool,
}

impl Replies {
    pub fn new(wake: Arc<EventFd>) -> Self {
        Self { waiting: Mutex::default(), wake }
    }

    fn put(&self, to: u64, answer: Vec<u8>) {
        let mut waiting = self.lock();
        waiting.answers.push((to, answer));
        let sleeps = std::mem::take(&mut waiting.front_sleeps);
        drop(waiting);
        if sleeps {
            // It fails only when the counter is full, and then the front is woken anyway.
            let _ = self.wake.write(1);
        }
    }

    /// What has come. If it is nothing, the front may sleep: it will be woken.
    pub fn take(&self) -> Vec<(u64, Vec<u8>)> {
        let mut waiting = self.lock();
        waiting.front_sleeps = waiting.answers.is_empty();
        std::mem::take(&mut waiting.answers)
    }

    /// The front is at work, and will look by itself.
    pub fn front_wakes(&self) {
        self.lock().front_sleeps = false;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while holding it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
