//! The whole of a daemon: wait for an input, step the program, do what it asks.
//!
//! One loop serves every program but the API server, in one process or alone over HTTP; which of the two is the
//! [`Api`]'s business.

use crate::clock::Clock;
use crate::recording::{self, Notes};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use miniku_core::client::informer::Counts;
use miniku_core::decision::{Decision, Noted};
use miniku_core::kubelet::runtime::Command;
use miniku_core::program::{CallId, Effect, Effects, Input, Level, Program, Query, Request};
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The way to an API server.
pub trait Api: Send {
    /// Asks; the answer and what follows it arrive in `inbox`. Returns at once.
    fn call(&mut self, call: CallId, request: Request, inbox: &Inbox);
    /// Wants no more of a watch.
    fn cancel(&mut self, call: CallId);
    /// Asks what pods use; the answer arrives in `inbox`. Returns at once.
    fn measure(&mut self, call: CallId, query: Query, inbox: &Inbox);
    /// Tells what was decided, for whoever asks the server why. May be lost. Returns at once.
    fn noted(&mut self, noted: Noted);
}

/// The way to a container runtime. Its reports arrive in the inbox that it was made with.
pub trait Hands: Send {
    /// Does what is asked, on another thread. Returns at once.
    fn perform(&mut self, command: Command);
}

/// Where a program's inputs arrive.
#[derive(Clone)]
pub struct Inbox(Sender<Mail>);

#[expect(clippy::large_enum_variant, reason = "nearly all that is sent are inputs")]
enum Mail {
    Input(Input),
    Stop,
}

impl Inbox {
    /// Delivers an input. False if the program has stopped.
    pub fn deliver(&self, input: Input) -> bool {
        self.0.send(Mail::Input(input)).is_ok()
    }
}

/// A program at work.
pub struct Daemon {
    inbox: Inbox,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    seen: Arc<Mutex<Seen>>,
}

/// What can be seen of a program from outside. For metrics.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The program's name.
    pub name: String,
    /// Its list-watches, by resource.
    pub informers: Vec<(&'static str, Counts)>,
    /// How often it was stepped.
    pub steps: u64,
    /// How often it was stepped with a watch event, and how long that took in all.
    pub events: u64,
    /// See `events`.
    pub event_time: Duration,
}

/// An inbox before there is a program for it.
pub struct Letterbox {
    inbox: Inbox,
    mail: Receiver<Mail>,
}

impl Letterbox {
    /// An empty one.
    pub fn new() -> Self {
        let (sender, mail) = unbounded();
        Letterbox { inbox: Inbox(sender), mail }
    }

    /// Where to deliver.
    pub fn inbox(&self) -> Inbox {
        self.inbox.clone()
    }

    /// Starts a program on a thread of its own, noting what it is told and what it wants if there are notes.
    pub fn run(
        self,
        name: &str,
        clock: Clock,
        mut program: Box<dyn Program>,
        mut api: Box<dyn Api>,
        mut hands: Option<Box<dyn Hands>>,
        notes: Option<Notes>,
    ) -> io::Result<Daemon> {
        let Letterbox { inbox, mail } = self;
        let seen = Arc::new(Mutex::new(Seen { name: name.into(), ..Seen::default() }));
        let stopped = Arc::<AtomicBool>::default();
        let (own, shown, told) = (inbox.clone(), seen.clone(), stopped.clone());
        let by: Arc<str> = name.into();
        let body = move || {
            let mut note = |api: &mut dyn Api, decision| api.noted(Noted::once(clock.now().wall, &by, decision));
            let mut out = Effects::default();
            let mut input = Input::Wake;
            loop {
                let began = matches!(input, Input::Event { .. }).then(Instant::now);
                out.wake_at = None;
                recording::step(notes.as_ref(), &mut *program, clock.now(), input, &mut out);
                show(&shown, &*program, began);
                for effect in out.list.drain(..) {
                    perform(effect, &mut *api, hands.as_deref_mut(), &own, &mut note);
                }
                input = match next(&mail, clock, out.wake_at) {
                    // What has piled up before it was told to stop can be thousands of inputs.
                    Some(input) if !told.load(Ordering::Relaxed) => input,
                    _ => break,
                };
            }
            // What the step before left is no effect of this one; a replay would miss it.
            out.wake_at = None;
            recording::step(notes.as_ref(), &mut *program, clock.now(), Input::Stop, &mut out);
            let call = |effect: &Effect| if let Effect::Call { call, .. } = effect { Some(*call) } else { None };
            let asked = out.list.iter().filter_map(call).collect();
            out.list.drain(..).for_each(|effect| perform(effect, &mut *api, hands.as_deref_mut(), &own, &mut note));
            answered(&mail, asked);
        };
        let thread = std::thread::Builder::new().name(name.into()).stack_size(1 << 20).spawn(body)?;
        Ok(Daemon { inbox, stopped, thread: Some(thread), seen })
    }
}

impl Default for Letterbox {
    fn default() -> Self {
        Letterbox::new()
    }
}

fn next(mail: &Receiver<Mail>, clock: Clock, wake_at: Option<miniku_core::time::Instant>) -> Option<Input> {
    let got = match wake_at {
        Some(at) => mail.recv_timeout(clock.until(at)),
        None => mail.recv().map_err(|_| RecvTimeoutError::Disconnected),
    };
    match got {
        Ok(Mail::Input(input)) => Some(input),
        Err(RecvTimeoutError::Timeout) => Some(Input::Wake),
        Ok(Mail::Stop) | Err(RecvTimeoutError::Disconnected) => None,
    }
}

/// How long the answers to what a program asked for at its end are waited for.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Waits until what was asked for has been done, or nobody can tell.
fn answered(mail: &Receiver<Mail>, mut asked: BTreeSet<CallId>) {
    let until = Instant::now() + LAST_ANSWERS;
    while !asked.is_empty() {
        match mail.recv_deadline(until) {
            Ok(Mail::Input(Input::Reply { call, .. })) => drop(asked.remove(&call)),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

fn perform(
    effect: Effect,
    api: &mut dyn Api,
    hands: Option<&mut (dyn Hands + 'static)>,
    inbox: &Inbox,
    note: &mut dyn FnMut(&mut dyn Api, Decision),
) {
    match effect {
        Effect::Call { call, request } => api.call(call, request, inbox),
        Effect::Cancel { call } => api.cancel(call),
        Effect::Measure { call, query } => api.measure(call, query, inbox),
        Effect::Runtime(command) => hands.expect("only a kubelet has commands, and it is given hands").perform(command),
        Effect::Log { level, line } => log_line(level, &line),
        Effect::Decided { level, decision } => {
            log_line(level, &decision);
            note(api, *decision);
        }
        Effect::Answer { .. } | Effect::Event { .. } | Effect::End { .. } | Effect::Commit { .. } => {
            unreachable!("only the API server answers and commits, and it has a host of its own")
        }
    }
}

fn show(shown: &Mutex<Seen>, program: &dyn Program, began: Option<Instant>) {
    let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
    shown.steps += 1;
    if let Some(began) = began {
        shown.events += 1;
        shown.event_time += began.elapsed();
    }
    shown.informers.clear();
    program.each_informer(&mut |informer| shown.informers.push((informer.resource(), informer.counts())));
}

/// Prints what a program tells people.
pub fn log_line(level: Level, line: &dyn std::fmt::Display) {
    let level = match level {
        Level::Error => log::Level::Error,
        Level::Warn => log::Level::Warn,
        Level::Info => log::Level::Info,
        Level::Debug => log::Level::Debug,
    };
    log::log!(target: "miniku", level, "{line}");
}

impl Daemon {
    /// What can be seen of it now.
    pub fn seen(&self) -> Arc<Mutex<Seen>> {
        self.seen.clone()
    }

    /// Tells it to stop, and does not wait.
    pub fn tell_to_stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        // It may have stopped already.
        let _ = self.inbox.0.send(Mail::Stop);
    }

    /// Stops it, after the step under way and what it asks for at its end.
    pub fn stop(&mut self) {
        self.tell_to_stop();
        if let Some(thread) = self.thread.take() {
            // If it panicked, that was printed.
            let _ = thread.join();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniku_core::time::Now;

    struct Slow;

    impl Program for Slow {
        fn step(&mut self, _now: Now, _input: Input, _out: &mut Effects) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    struct Nobody;

    impl Api for Nobody {
        fn call(&mut self, _call: CallId, _request: Request, _inbox: &Inbox) {}
        fn cancel(&mut self, _call: CallId) {}
        fn measure(&mut self, _call: CallId, _query: Query, _inbox: &Inbox) {}
        fn noted(&mut self, _noted: Noted) {}
    }

    #[test]
    fn a_program_stops_with_mail_unread() {
        let letterbox = Letterbox::new();
        (0..500).for_each(|_| assert!(letterbox.inbox().deliver(Input::Wake)));
        let mut daemon = letterbox.run("slow", Clock::start(), Box::new(Slow), Box::new(Nobody), None, None).unwrap();
        let began = Instant::now();
        daemon.stop();
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}
