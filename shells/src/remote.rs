//! The way to an API server in another process, over HTTP.

use crate::client::connection::{ServerUrl, Stop};
use crate::client::credentials::Credentials;
use crate::client::remote::{Ended, Remote};
use crate::driver::{Api, Inbox};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use miniku_core::decision::Noted;
use miniku_core::program::{Answer, CallId, Input, Query, Request, Verb, WatchEvent};
use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

/// How many calls of one program are under way at once; more wait.
const CALLERS: usize = 8;
/// So many decisions may wait to be told; more are lost.
const UNTOLD: usize = 4096;
/// So many are told at once.
const TOLD_MAX: usize = 500;
/// Decisions are told within this time.
const TOLD_WITHIN: Duration = Duration::from_millis(200);

/// Calls an API server over HTTP, each watch on a thread of its own.
pub struct OverHttp {
    remote: Remote,
    calls: Sender<(CallId, Asked, Inbox)>,
    waiting: Receiver<(CallId, Asked, Inbox)>,
    callers: usize,
    watches: BTreeMap<CallId, Stop>,
    ended: (Sender<CallId>, Receiver<CallId>),
    /// Who tells the server what was decided; nobody before there is anything to tell.
    teller: Option<Sender<Noted>>,
}

/// What is asked by a call.
enum Asked {
    Request(Request),
    /// What pods use.
    Usage(Query),
}

impl OverHttp {
    /// The way to this server. Nothing is connected before the first call.
    pub fn new(server: ServerUrl, watch_timeout: Duration) -> Self {
        let (calls, waiting) = unbounded();
        let remote = Remote::new(server).with_watch_timeout(watch_timeout);
        OverHttp { remote, calls, waiting, callers: 0, watches: BTreeMap::new(), ended: bounded(1024), teller: None }
    }

    /// The same, saying who asks.
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.remote = self.remote.clone().with_credentials(credentials);
        self
    }

    /// Starts to tell what was decided.
    fn tell(&self) -> io::Result<Sender<Noted>> {
        let (teller, told) = bounded(UNTOLD);
        let remote = self.remote.clone();
        let work = move || {
            while let Ok(first) = told.recv() {
                // What comes at about the same time is told together.
                let until = Instant::now() + TOLD_WITHIN;
                let rest = std::iter::from_fn(|| told.recv_deadline(until).ok()).take(TOLD_MAX - 1);
                let all: Vec<Noted> = std::iter::once(first).chain(rest).collect();
                if let Err(why) = remote.tell(&all) {
                    log::debug!("{} decisions could not be told: {why}", all.len());
                }
            }
        };
        std::thread::Builder::new().name("teller".into()).stack_size(512 << 10).spawn(work)?;
        Ok(teller)
    }

    fn hire(&mut self) -> io::Result<()> {
        let (remote, waiting) = (self.remote.clone(), self.waiting.clone());
        let work = move || {
            for (call, asked, inbox) in waiting {
                // A program that has stopped wants no answer.
                inbox.deliver(match asked {
                    Asked::Request(request) => Input::Reply { call, answer: remote.call(&request) },
                    Asked::Usage(query) => Input::Measured { call, answer: remote.usage(&query) },
                });
            }
        };
        std::thread::Builder::new().name("caller".into()).stack_size(512 << 10).spawn(work)?;
        self.callers += 1;
        Ok(())
    }

    /// Gives it to one of the callers; one more is hired if all are busy.
    fn ask(&mut self, call: CallId, asked: Asked, inbox: &Inbox) -> io::Result<()> {
        let hired =
            if self.callers < CALLERS && !self.waiting.is_empty() || self.callers == 0 { self.hire() } else { Ok(()) };
        self.calls.send((call, asked, inbox.clone())).expect("this end keeps a receiver");
        // With one caller at least, the call is made sooner or later.
        if self.callers > 0 { Ok(()) } else { hired }
    }

    fn watch(&mut self, call: CallId, request: Request, inbox: &Inbox) -> io::Result<()> {
        while let Ok(over) = self.ended.1.try_recv() {
            self.watches.remove(&over);
        }
        let Verb::Watch { query, from, bookmarks } = request.verb else { return Ok(()) };
        let (stop, remote, inbox, over) = (Stop::default(), self.remote.clone(), inbox.clone(), self.ended.0.clone());
        self.watches.insert(call, stop.clone());
        let run = move || {
            match remote.open(&query, from, bookmarks, &stop) {
                Ok(mut watch) => {
                    inbox.deliver(Input::Reply { call, answer: Answer::Watching });
                    while let Ok(event) = watch.next_event() {
                        let last = matches!(event, WatchEvent::Expired(_));
                        if !inbox.deliver(Input::Event { call, event }) || last {
                            break;
                        }
                    }
                    inbox.deliver(Input::Ended { call });
                }
                Err(Ended::Refused(status)) => {
                    inbox.deliver(Input::Reply { call, answer: Answer::Refused(status) });
                }
                Err(Ended::Lost(why)) => {
                    inbox.deliver(Input::Reply { call, answer: Answer::Lost(why) });
                }
                Err(Ended::Closed | Ended::Stopped) => {
                    inbox.deliver(Input::Ended { call });
                }
            }
            // Nobody keeps the list any more once the program has stopped.
            let _ = over.try_send(call);
        };
        std::thread::Builder::new().name("watch".into()).stack_size(512 << 10).spawn(run)?;
        Ok(())
    }
}

impl Api for OverHttp {
    fn call(&mut self, call: CallId, request: Request, inbox: &Inbox) {
        let begun = if matches!(request.verb, Verb::Watch { .. }) {
            self.watch(call, request, inbox)
        } else {
            self.ask(call, Asked::Request(request), inbox)
        };
        if let Err(error) = begun {
            inbox.deliver(Input::Reply { call, answer: Answer::Lost(format!("starting a thread: {error}")) });
        }
    }

    fn measure(&mut self, call: CallId, query: Query, inbox: &Inbox) {
        if let Err(error) = self.ask(call, Asked::Usage(query), inbox) {
            inbox.deliver(Input::Measured { call, answer: Err(format!("starting a thread: {error}")) });
        }
    }

    fn noted(&mut self, noted: Noted) {
        if self.teller.is_none() {
            self.teller = self.tell().ok();
        }
        // If the server cannot keep up, or is away, what it would be told is worth less than what waits for it.
        if let Some(teller) = &self.teller {
            let _ = teller.try_send(noted);
        }
    }

    fn cancel(&mut self, call: CallId) {
        if let Some(stop) = self.watches.remove(&call) {
            stop.stop();
        }
    }
}

impl Drop for OverHttp {
    fn drop(&mut self) {
        for stop in std::mem::take(&mut self.watches).into_values() {
            stop.stop();
        }
    }
}
