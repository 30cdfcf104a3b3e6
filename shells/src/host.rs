//! The API server's shell: who asked, the engine behind it, its clock.
//!
//! Requests are stepped on the thread that brings them, under one lock; nobody waits for a hand-over. Events leave under
//! the same lock, so that each watcher sees them in the store's order, and therefore a [`Route`] must not block. Answers
//! leave after it. Reads share the lock with each other. Writes go to the committer, whose outcomes are stepped on its
//! thread, those of one commit together.
//!
//! A server that is recorded is the one exception: with very many steps that wait to be written, it waits for the recorder.
//! Reads are not recorded, since they change nothing.

use crate::clock::Clock;
use crate::driver::log_line;
use crate::engine::committer::{Committer, Rejected};
use crate::engine::{self, Engine, EngineError, Outcome};
use crate::recording::{self, Notes, Recorder};
use crate::stored;
use miniku_core::api::kinds::Kind;
use miniku_core::apiserver::{ApiServer, Options};
use miniku_core::decision::{Journal, Noted};
use miniku_core::program::{
    Answer, CommitId, Committed, Effect, Effects, Input, Request, RequestId, Revision, WatchEvent, Write,
};
use miniku_core::record::{Birth, ServerBirth};
use miniku_core::time::Instant;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

/// What the API server says to one who asked.
#[derive(Debug)]
pub enum FromServer {
    /// The answer.
    Answer(Answer),
    /// News on a watch.
    Event(WatchEvent),
    /// The watch has ended.
    End,
}

/// Takes what the server says to one who asked. Called under the server's lock, but for a last answer: it must be short
/// and never block.
/// False means that nobody listens any more.
pub type Route = Box<dyn FnMut(FromServer) -> bool + Send>;

/// An API server at work in this process.
pub struct ApiHost {
    clock: Clock,
    server: RwLock<Recorded>,
    /// Locked after the server, where both are.
    routes: Mutex<Routes>,
    committer: Committer<CommitId>,
    /// Locked after the server, too.
    alarm: Arc<Alarm>,
    /// What the server and the programs around it decided.
    journal: Mutex<Journal>,
    name: Arc<str>,
}

/// The server, and what is noted of its steps.
struct Recorded {
    server: ApiServer,
    notes: Option<Notes>,
}

impl Recorded {
    fn step(&mut self, clock: Clock, input: Input) -> Effects {
        let mut out = Effects::default();
        recording::step(self.notes.as_ref(), &mut self.server, clock.now(), input, &mut out);
        out
    }
}

/// Who waits for something, and for what.
#[derive(Default)]
struct Routes {
    by_id: BTreeMap<RequestId, Route>,
    last: u64,
}

/// When the server wants to be woken.
#[derive(Default)]
struct Alarm {
    at: Mutex<(Option<Instant>, bool)>,
    changed: Condvar,
}

/// Why an API server cannot start.
#[derive(Debug)]
pub enum StartError {
    /// The engine's content cannot be read.
    Engine(EngineError),
    /// The engine's content is no set of objects: which entry, and why.
    Content(String),
    /// A thread could not be started.
    Thread(io::Error),
    /// It cannot be recorded.
    Recording(io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Engine(error) => error.fmt(f),
            StartError::Content(what) => write!(f, "the store holds what is no object: {what}"),
            StartError::Thread(error) => write!(f, "starting a thread: {error}"),
            StartError::Recording(error) => write!(f, "recording: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl ApiHost {
    /// Loads what the engine keeps and starts to serve it; recorded, if there is a recorder.
    pub fn start(
        clock: Clock,
        options: Options,
        mut engine: Box<dyn Engine>,
        recorder: Option<&Recorder>,
    ) -> Result<Arc<Self>, StartError> {
        let (stored, revision) = stored::load(&mut *engine)?;
        let birth = ServerBirth { options, revision, stored };
        let begin = |recorder: &Recorder| recorder.begin(&Birth::ApiServer(birth.clone()), clock.now().wall);
        let notes = recorder.map(begin).transpose().map_err(StartError::Recording)?;
        let server = Recorded { server: birth.server(), notes };
        let home = Arc::new(OnceLock::<Weak<ApiHost>>::new());
        let heard = home.clone();
        let tell = move |outcomes| {
            // Without a host there is nobody to tell.
            if let Some(host) = heard.get().and_then(Weak::upgrade) {
                host.committed(outcomes);
            }
        };
        let committer = Committer::start(engine, tell).map_err(StartError::Thread)?;
        let alarm = Arc::<Alarm>::default();
        let (server, routes) = (RwLock::new(server), Mutex::default());
        let (journal, name) = (Mutex::default(), "apiserver".into());
        let host = Arc::new(ApiHost { clock, server, routes, committer, alarm: alarm.clone(), journal, name });
        home.set(Arc::downgrade(&host)).expect("it is set here only");
        host.step([Input::Wake]);
        let weak = Arc::downgrade(&host);
        let ring = move || alarm.run(clock, &weak);
        std::thread::Builder::new()
            .name("apiserver-clock".into())
            .stack_size(128 << 10)
            .spawn(ring)
            .map_err(StartError::Thread)?;
        Ok(host)
    }

    /// Asks for something on behalf of `route`, which hears the answer, perhaps before this returns.
    pub fn submit(self: &Arc<Self>, request: Request, route: Route) -> RequestId {
        let from = {
            let mut routes = self.routes();
            routes.last += 1;
            let from = RequestId(routes.last);
            routes.by_id.insert(from, route);
            from
        };
        self.step([Input::Request { from, request }]);
        from
    }

    /// Asks and waits for the answer. Not for watches.
    pub fn ask(self: &Arc<Self>, request: impl Into<Request>) -> Answer {
        let request = request.into();
        if let Some(answer) = self.look(|server| server.read(&request.verb)) {
            return answer;
        }
        let (sender, receiver) = crossbeam_channel::bounded(1);
        let route = move |said| match said {
            FromServer::Answer(answer) => sender.send(answer).is_ok(),
            FromServer::Event(_) | FromServer::End => false,
        };
        self.submit(request, Box::new(route));
        receiver.recv().unwrap_or_else(|_| Answer::Lost("the server stopped".into()))
    }

    /// Who asked under this id wants no more.
    pub fn gone(self: &Arc<Self>, from: RequestId) {
        let removed = self.routes().by_id.remove(&from);
        if removed.is_some() {
            self.step([Input::Gone { from }]);
        }
    }

    /// Looks at the server's state, at the same time as others do.
    pub fn look<T>(&self, at: impl FnOnce(&ApiServer) -> T) -> T {
        // A panic in a step ends the process in release builds, and the test in others.
        at(&self.server.read().unwrap_or_else(PoisonError::into_inner).server)
    }

    /// Closes the recording, if there is one. What is stepped afterwards is in none.
    pub fn close_recording(&self) {
        let notes = self.server.write().unwrap_or_else(PoisonError::into_inner).notes.take();
        drop(notes);
    }

    /// Takes down what was decided.
    pub fn note(&self, noted: impl IntoIterator<Item = Noted>) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        noted.into_iter().for_each(|one| journal.note(one));
    }

    /// Looks at what was decided.
    pub fn journal<T>(&self, at: impl FnOnce(&Journal) -> T) -> T {
        at(&self.journal.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How much was committed.
    pub fn commits(&self) -> &engine::committer::Counts {
        self.committer.counts()
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Steps the server with these inputs, one after the other, and sees to the effects.
    fn step(self: &Arc<Self>, inputs: impl IntoIterator<Item = Input>) {
        let (mut commits, mut answers, mut left) = (Vec::new(), Vec::new(), Vec::new());
        let mut server = self.server.write().unwrap_or_else(PoisonError::into_inner);
        let (mut wake_at, mut inputs) = (None, inputs.into_iter());
        // Nothing is due to one who has left, but to others something may have become due meanwhile.
        while let Some(input) = inputs.next().or_else(|| left.pop().map(|from| Input::Gone { from })) {
            let out = server.step(self.clock, input);
            wake_at = out.wake_at;
            let mut routes = self.routes();
            for effect in out.list {
                match effect {
                    Effect::Answer { to, answer: Answer::Watching } => {
                        let watching = FromServer::Answer(Answer::Watching);
                        if routes.by_id.get_mut(&to).is_some_and(|route| !route(watching)) {
                            left.push(to);
                        }
                    }
                    Effect::Answer { to, answer } => answers.extend(routes.by_id.remove(&to).map(|it| (it, answer))),
                    Effect::Event { to, event } => {
                        if let Some(route) = routes.by_id.get_mut(&to)
                            && !route(FromServer::Event(event))
                        {
                            routes.by_id.remove(&to);
                            left.push(to);
                        }
                    }
                    Effect::End { to } => {
                        if let Some(mut route) = routes.by_id.remove(&to) {
                            route(FromServer::End);
                        }
                    }
                    Effect::Commit { commit, write } => commits.push((commit, write)),
                    Effect::Log { level, line } => log_line(level, &line),
                    Effect::Decided { level, decision } => {
                        log_line(level, &decision);
                        self.note([Noted::once(self.clock.now().wall, &self.name, *decision)]);
                    }
                    Effect::Call { .. } | Effect::Cancel { .. } | Effect::Measure { .. } | Effect::Runtime(_) => {
                        unreachable!("an API server asks nobody else")
                    }
                }
            }
        }
        // Before another step can want another time, which would be overwritten.
        self.alarm.set(wake_at);
        drop(server);
        for (commit, write) in commits {
            self.commit(commit, write);
        }
        for (mut route, answer) in answers {
            route(FromServer::Answer(answer));
        }
    }

    fn commit(self: &Arc<Self>, commit: CommitId, write: Write) {
        let entry = engine::Write {
            key: write.key.to_string(),
            expect: write.expect.0,
            value: write.object.map(|object| object.json().into()),
        };
        if let Err(rejected) = self.committer.submit(entry, commit) {
            let why = match rejected {
                Rejected::Full => "too many writes are waiting for the disk",
                Rejected::Stopped => "the store is closed",
            };
            self.step([Input::Committed { commit, outcome: Committed::Failed(why.into()) }]);
        }
    }

    fn committed(self: &Arc<Self>, outcomes: Vec<(CommitId, Outcome)>) {
        self.step(outcomes.into_iter().map(|(commit, outcome)| {
            let outcome = match outcome {
                Outcome::Committed { revision } => Committed::At(Revision(revision)),
                Outcome::Conflict { .. } => Committed::Conflict,
                Outcome::Failed { message } => Committed::Failed(message),
            };
            Input::Committed { commit, outcome }
        }));
    }
}

impl Drop for ApiHost {
    fn drop(&mut self) {
        self.alarm.stop();
    }
}

impl Alarm {
    fn set(&self, at: Option<Instant>) {
        let mut alarm = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = match (alarm.0, at) {
            (None, Some(_)) => true,
            (Some(before), Some(at)) => at < before,
            (_, None) => false,
        };
        alarm.0 = at;
        if earlier {
            self.changed.notify_one();
        }
    }

    fn stop(&self) {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.changed.notify_one();
    }

    fn run(&self, clock: Clock, host: &Weak<ApiHost>) {
        let mut alarm = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        while !alarm.1 {
            let wait = alarm.0.map_or(Duration::from_secs(3600), |at| clock.until(at));
            if wait.is_zero() {
                alarm.0 = None;
                drop(alarm);
                match host.upgrade() {
                    Some(host) => host.step([Input::Wake]),
                    None => return,
                }
                alarm = self.at.lock().unwrap_or_else(PoisonError::into_inner);
            } else {
                alarm = self.changed.wait_timeout(alarm, wait).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}

/// How many objects of each kind there are. For metrics.
pub fn object_counts(server: &ApiServer) -> Vec<(Kind, usize)> {
    Kind::BUILT_IN.iter().map(|kind| (*kind, server.store().count(*kind))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::memory::Memory;
    use miniku_core::api::object::Object;
    use miniku_core::program::{Query, Verb, WatchFrom};
    use serde_json::json;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn what_becomes_due_while_a_watcher_leaves_is_done() {
        let (clock, every) = (Clock::start(), Duration::from_millis(20));
        let options = Options { bookmark_every: every, ..Options::with_seed(1) };
        let host = ApiHost::start(clock, options, Box::new(Memory::default()), None).unwrap();
        let watch = |bookmarks| Verb::Watch { query: Query::all(Kind::Node), from: WatchFrom::Start, bookmarks };
        let heard = Arc::new(AtomicUsize::new(0));
        let count = heard.clone();
        let stays = move |said| {
            let is_bookmark = matches!(said, FromServer::Event(WatchEvent::Bookmark(_)));
            count.fetch_add(usize::from(is_bookmark), Ordering::Relaxed);
            true
        };
        host.submit(watch(true).into(), Box::new(stays));
        let due = clock.now().mono + every;
        let leaves = move |said| {
            let stays = !matches!(said, FromServer::Event(_));
            while !stays && clock.now().mono <= due {
                std::hint::spin_loop();
            }
            stays
        };
        host.submit(watch(false).into(), Box::new(leaves));
        let node = Object::from_value(Kind::Node, json!({"metadata": {"name": "n"}})).unwrap();
        let answer = host.ask(Verb::Create { object: node });
        assert!(matches!(answer, Answer::Object { .. }), "{answer:?}");
        assert!(heard.load(Ordering::Relaxed) > 0, "the bookmark was due before the answer");
    }
}
