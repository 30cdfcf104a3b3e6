//! Requests that need no thread of their own.
//!
//! To hand a request to a thread and its answer back costs more than most answers: four times somebody has to be woken.
//! So what is small and whole is first offered to [`AtOnce`], on the front's thread. What it does not take goes to
//! tiny_http, as everything that waits or is large.
//!
//! An answer may also grow, as a watch does ([`Reply::grow`]): whoever has news hands it over, and the front sends it. So
//! a thousand watches that wait for nothing are a thousand sockets, and no threads.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nix::sys::eventfd::EventFd;

use super::Metrics;
use super::asked::Asked;
use super::metrics::{add, sub};
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
    /// The client takes a body in chunks.
    chunks: bool,
    /// `None` once answered or given back.
    replies: Option<Arc<Replies>>,
    metrics: Arc<Metrics>,
}

impl Reply {
    /// For the connection that the front knows as `to`.
    pub(super) fn new(to: u64, manner: Manner, chunks: bool, replies: Arc<Replies>, metrics: Arc<Metrics>) -> Self {
        Self { to, manner, chunks, replies: Some(replies), metrics }
    }

    /// Whether the answer may grow.
    pub fn may_grow(&self) -> bool {
        self.chunks && !self.manner.head_only
    }

    /// Answers 200 with a body that grows until it is dropped, or until some time. `left` is called once, on the front's
    /// thread, when nothing more can be sent: the time is over, or the client has left.
    pub fn grow(mut self, content_type: &str, until: Instant, left: impl FnOnce() + Send + 'static) -> Growing {
        let replies = self.replies.take().expect("only answering takes it, and answering consumes the reply");
        add(&self.metrics.requests, 1);
        self.metrics.count_answer(200);
        add(&self.metrics.streams_open, 1);
        let mut head = self.manner.head(200, Some(content_type), &[]);
        head.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        let grown = Arc::new(Grown {
            until,
            waiting: AtomicUsize::new(head.len()),
            ended: AtomicBool::new(false),
            left: Mutex::new(Some(Box::new(left))),
            metrics: self.metrics.clone(),
        });
        replies.put(self.to, Said::Head(head, grown.clone()));
        Growing { to: self.to, replies, grown }
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
        replies.put(self.to, Said::Answer(out));
    }
}

/// An answer under way that grows. Dropping it ends it.
pub struct Growing {
    to: u64,
    replies: Arc<Replies>,
    grown: Arc<Grown>,
}

/// What both ends know of an answer that grows.
pub(super) struct Grown {
    /// It ends at this time.
    pub until: Instant,
    /// Bytes that the client has not been sent.
    waiting: AtomicUsize,
    /// Nothing more is sent.
    ended: AtomicBool,
    left: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    metrics: Arc<Metrics>,
}

impl Grown {
    /// So many bytes were sent.
    pub fn sent(&self, count: usize) {
        self.waiting.fetch_sub(count, Ordering::AcqRel);
    }

    /// Nothing more will be sent; who sends is told.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(left) = left {
            left();
        }
    }
}

impl Drop for Grown {
    fn drop(&mut self) {
        sub(&self.metrics.streams_open, 1);
    }
}

impl Growing {
    /// Bytes that the client has not been sent.
    pub fn waiting(&self) -> usize {
        self.grown.waiting.load(Ordering::Acquire)
    }

    /// Sends bytes, of which there must be some, as one chunk. False if nobody takes them any more.
    pub fn send(&self, bytes: &[u8]) -> bool {
        if self.grown.ended.load(Ordering::Acquire) {
            return false;
        }
        let mut chunk = Vec::with_capacity(bytes.len() + 12);
        write!(chunk, "{:x}\r\n", bytes.len()).expect("a Vec takes every write");
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        self.grown.waiting.fetch_add(chunk.len(), Ordering::AcqRel);
        self.replies.put(self.to, Said::More(chunk));
        true
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        if !self.grown.ended.swap(true, Ordering::AcqRel) {
            self.replies.put(self.to, Said::End);
        }
    }
}

/// The end of a body in chunks.
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What is said to a client.
pub(super) enum Said {
    /// The whole answer.
    Answer(Vec<u8>),
    /// The head of one that grows.
    Head(Vec<u8>, Arc<Grown>),
    /// More of it.
    More(Vec<u8>),
    /// It is complete.
    End,
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

/// Answers on their way to the front.
pub(super) struct Replies {
    waiting: Mutex<Waiting>,
    wake: Arc<EventFd>,
}

#[derive(Default)]
struct Waiting {
    answers: Vec<(u64, Said)>,
    /// The front waits in the kernel, or is about to: it has to be woken.
    front_sleeps: bool,
}

impl Replies {
    pub fn new(wake: Arc<EventFd>) -> Self {
        Self { waiting: Mutex::default(), wake }
    }

    fn put(&self, to: u64, said: Said) {
        let mut waiting = self.lock();
        waiting.answers.push((to, said));
        let sleeps = std::mem::take(&mut waiting.front_sleeps);
        drop(waiting);
        if sleeps {
            // It fails only when the counter is full, and then the front is woken anyway.
            let _ = self.wake.write(1);
        }
    }

    /// What has come. If it is nothing, the front may sleep: it will be woken.
    pub fn take(&self) -> Vec<(u64, Said)> {
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
