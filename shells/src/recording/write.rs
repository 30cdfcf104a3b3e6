//! Writing recordings: a thread for each program that is recorded.
//!
//! The program's thread copies the input and the effects, which are mostly counted references, and goes on; packing
//! and writing are the other thread's. Between them is a channel of [`WAITING`] steps. Only if that is full does the
//! program wait: a recording with a hole would be none. What waits is handed to the kernel some hundredths of a
//! second after it happened: from then on it survives the process, whatever ends that.

use super::frame::FrameWriter;
use super::{EXTENSION, build};
use crossbeam_channel::{Receiver, Sender, bounded};
use miniku_core::api::meta::rfc3339_nanos;
use miniku_core::api::object::Object;
use miniku_core::program::{Effects, Input, Program};
use miniku_core::record::{Birth, Ending, FORMAT, Opening, Outcome, Record, Step};
use miniku_core::time::{Duration, Now, Wall};
use std::cell::RefCell;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::thread::JoinHandle;

/// So many steps of a program may wait to be written.
const WAITING: usize = 4096;

/// So many bytes of text are written at once, if so many wait; less where little may be written, since the batch that
/// is too large for what is left is written not at all.
const BATCH: u64 = 1 << 20;

/// What happens within this time is written at once: a wake-up for each step would cost more than the step. So much
/// is lost when the process is killed.
const GATHER: Duration = Duration::from_millis(10);

/// With so many steps that wait already, nothing more is waited for.
const MANY: usize = WAITING / 8;

/// A program that panics waits so long for its last step to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where programs are recorded.
#[derive(Clone, Debug)]
pub struct Recorder {
    directory: PathBuf,
    limit: u64,
    build: String,
}

impl Recorder {
    /// Records into this directory, which is made if need be, at most so many bytes a program.
    pub fn open(directory: &Path, limit: u64) -> io::Result<Self> {
        // Objects include secrets.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| failed("create", directory, error))?;
        keep_last_words();
        Ok(Recorder { directory: directory.into(), limit, build: build() })
    }

    /// Begins to record a life. A life gets half of what its program may have: when it has used that up, it is
    /// recorded no longer, and the lives before it are still there. The oldest are removed to make the other half.
    pub fn begin(&self, birth: &Birth, started: Wall) -> io::Result<Notes> {
        let program = birth.name();
        // A node may be called anything until the API server has seen it.
        let named: String =
            program.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '_' }).collect();
        self.make_room(&named).map_err(|error| failed("make room in", &self.directory, error))?;
        let when = rfc3339_nanos(started).replace(['-', ':'], "");
        let path = self.directory.join(format!("{named}-{when}.{EXTENSION}"));
        let made = File::options().write(true).create_new(true).mode(0o600).open(&path);
        let file = made.map_err(|error| failed("create", &path, error))?;
        // Held as long as it is written; see `make_room`.
        file.try_lock().map_err(|error| failed("lock", &path, error.into()))?;
        let frames = FrameWriter::begin(file, self.limit / 2).map_err(|error| failed("write", &path, error))?;
        let opening = Opening {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").into(),
            build: self.build.clone(),
            program: program.clone(),
            started,
            birth: birth.clone().with_stored(Vec::new()),
            stored: birth.stored().len() as u64,
        };
        let (sender, mail) = bounded(WAITING);
        let batch = usize::try_from(BATCH.min(self.limit / 16)).expect("no more than the constant");
        let scribe = Scribe { path, program, frames, batch, text: Vec::new(), records: 0, steps: 0 };
        let stored = birth.stored().to_vec();
        let body = move || scribe.run(opening, stored, &mail);
        let thread = std::thread::Builder::new().name("recorder".into()).stack_size(512 << 10).spawn(body)?;
        Ok(Notes { sender: Some(sender), thread: Some(thread) })
    }

    /// Removes the oldest recordings of a program, until no more than half of its space is used.
    fn make_room(&self, program: &str) -> io::Result<()> {
        let mut before = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(EXTENSION)?.strip_suffix('.'));
            if let Some((of, when)) = stem.and_then(|stem| stem.rsplit_once('-'))
                && of == program
            {
                before.push((when.to_owned(), entry.path(), entry.metadata()?.len()));
            }
        }
        before.sort_unstable();
        let mut used: u64 = before.iter().map(|(_, _, length)| length).sum();
        for (_, path, length) in before {
            if used <= self.limit / 2 {
                break;
            }
            // One that is being written belongs to a program that lives, in another process.
            if File::open(&path)?.try_lock().is_ok() {
                fs::remove_file(&path)?;
                used -= length;
            }
        }
        Ok(())
    }
}

fn failed(what: &str, path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
}

/// Takes down what a program is told and what it wants. Dropped, it closes the recording.
pub struct Notes {
    sender: Option<Sender<Noted>>,
    thread: Option<JoinHandle<()>>,
}

struct Noted {
    at: Now,
    input: Input,
    /// Absent if the program panicked.
    out: Option<Effects>,
    /// Told when it is written.
    written: Option<Sender<()>>,
}

thread_local! {
    /// The step that this thread is in, and where it is noted.
    static UNDER_WAY: RefCell<Option<(Sender<Noted>, Now, Input)>> = const { RefCell::new(None) };
}

/// Steps a program, and notes it where that is wanted.
pub fn step(notes: Option<&Notes>, program: &mut dyn Program, at: Now, input: Input, out: &mut Effects) {
    let Some(sender) = notes.and_then(|notes| notes.sender.as_ref()) else {
        program.step(at, input, out);
        return;
    };
    UNDER_WAY.set(Some((sender.clone(), at, input.clone())));
    program.step(at, input, out);
    if let Some((sender, at, input)) = UNDER_WAY.take() {
        let out = Some(Effects { list: out.list.clone(), wake_at: out.wake_at });
        // Nobody takes it any more if the recording is full, or could not be written; that was logged.
        let _ = sender.send(Noted { at, input, out, written: None });
    }
}

/// Has a panic note the input that it came of, before the process ends.
fn keep_last_words() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if let Some((sender, at, input)) = UNDER_WAY.take() {
                let (written, done) = bounded(1);
                let last = Noted { at, input, out: None, written: Some(written) };
                // Whether it could be noted, the panic goes on.
                let _ = sender.send_timeout(last, LAST_WORDS).map(|()| done.recv_timeout(LAST_WORDS));
            }
            usual(panic);
        }));
    });
}

impl Drop for Notes {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, that was printed.
            let _ = thread.join();
        }
    }
}

/// Writes one recording.
struct Scribe {
    path: PathBuf,
    program: String,
    frames: FrameWriter<File>,
    batch: usize,
    text: Vec<u8>,
    records: u32,
    steps: u64,
}

impl Scribe {
    fn run(mut self, opening: Opening, stored: Vec<Object>, mail: &Receiver<Noted>) {
        let done = self.write(opening, stored, mail);
        let Scribe { path, program, frames, steps, .. } = self;
        let closed = done.and_then(|ending| {
            frames.close(ending)?;
            Ok(ending)
        });
        match closed {
            Ok(Ending::Full) => {
                let path = path.display();
                log::warn!(
                    "{program}: the recording {path} is full after {steps} steps; --record-limit allows no more"
                );
            }
            Ok(Ending::Stopped | Ending::Killed { .. }) => {}
            Err(error) => log::error!("{program}: recording to {} ends here: {error}", path.display()),
        }
    }

    fn write(&mut self, opening: Opening, stored: Vec<Object>, mail: &Receiver<Noted>) -> io::Result<Ending> {
        self.add(&Record::Opening(Box::new(opening)))?;
        for object in stored {
            self.add(&Record::Stored(object))?;
            if self.text.len() >= self.batch && !self.flush()? {
                return Ok(Ending::Full);
            }
        }
        if !self.flush()? {
            return Ok(Ending::Full);
        }
        let mut told: Vec<Sender<()>> = Vec::new();
        while let Ok(noted) = mail.recv() {
            self.note(noted, &mut told)?;
            if mail.len() < MANY {
                std::thread::sleep(GATHER);
            }
            while self.text.len() < self.batch
                && let Ok(noted) = mail.try_recv()
            {
                self.note(noted, &mut told)?;
            }
            if !self.flush()? {
                return Ok(Ending::Full);
            }
            for written in told.drain(..) {
                // Who waits for it may have given up.
                let _ = written.send(());
            }
        }
        Ok(Ending::Stopped)
    }

    fn note(&mut self, noted: Noted, told: &mut Vec<Sender<()>>) -> io::Result<()> {
        let Noted { at, input, out, written } = noted;
        self.steps += 1;
        let outcome = out.as_ref().map(Outcome::of);
        self.add(&Record::Step(Box::new(Step { number: self.steps, at, input, outcome })))?;
        told.extend(written);
        Ok(())
    }

    fn add(&mut self, record: &Record) -> io::Result<()> {
        serde_json::to_writer(&mut self.text, record)?;
        self.text.push(b'\n');
        self.records += 1;
        Ok(())
    }

    /// Writes what was added. False if there is no place for it.
    fn flush(&mut self) -> io::Result<bool> {
        if self.records == 0 {
            return Ok(true);
        }
        let kept = self.frames.append(&self.text, self.records)?;
        self.text.clear();
        self.records = 0;
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::recordings;
    use miniku_core::program::{CallId, Effect};
    use miniku_core::record::Tape;
    use miniku_core::scheduler::SchedulerOptions;

    /// Repeats what it hears, but for one thing that it cannot stand.
    struct Parrot;

    impl Program for Parrot {
        fn step(&mut self, _now: Now, input: Input, out: &mut Effects) {
            match input {
                Input::Ended { call } => out.push(Effect::Cancel { call }),
                _ => panic!("this is a test"),
            }
        }
    }

    fn directory(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("mkrec{}-{name}", std::process::id()))
    }

    fn birth() -> Birth {
        Birth::Scheduler(SchedulerOptions::default())
    }

    fn heard(number: u64) -> Input {
        Input::Ended { call: CallId(number) }
    }

    #[test]
    fn the_step_that_a_program_panics_in_is_noted() {
        let directory = directory("panic");
        let recorder = Recorder::open(&directory, 1 << 20).unwrap();
        let notes = recorder.begin(&birth(), Wall::from_secs(1)).unwrap();
        let life = std::thread::spawn(move || {
            let mut out = Effects::default();
            step(Some(&notes), &mut Parrot, Now::default(), heard(1), &mut out);
            out.list.clear();
            step(Some(&notes), &mut Parrot, Now::default(), Input::Wake, &mut out);
        });
        assert!(life.join().is_err());
        let mut tape = recordings(&directory).unwrap().remove(0);
        tape.birth().unwrap();
        let first = tape.next().unwrap().unwrap();
        assert_eq!((first.number, first.input, first.outcome.unwrap().effects.len()), (1, heard(1), 1));
        let last = tape.next().unwrap().unwrap();
        assert_eq!((last.number, last.input, last.outcome), (2, Input::Wake, None));
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn the_oldest_lives_make_room_and_a_living_one_stays() {
        let directory = directory("room");
        let recorder = Recorder::open(&directory, 40 << 10).unwrap();
        let begin = |life: i64, steps: u64| {
            let notes = recorder.begin(&birth(), Wall::from_secs(life)).unwrap();
            // What cannot be packed.
            for number in 0..steps {
                let at = miniku_core::rng::Draw::new(number).count(u64::try_from(life).unwrap()).u64();
                step(Some(&notes), &mut Parrot, Now::default(), heard(at), &mut Effects::default());
            }
            notes
        };
        let lives = || -> Vec<i64> {
            recordings(&directory).unwrap().iter().map(|tape| tape.opening().started.secs()).collect()
        };
        let size =
            || -> u64 { fs::read_dir(&directory).unwrap().map(|one| one.unwrap().metadata().unwrap().len()).sum() };
        let living = begin(1, 10);
        for life in 2..6 {
            drop(begin(life, 2_000));
            assert!(size() <= 40 << 10, "{}", size());
        }
        assert_eq!(lives(), [1, 5]);
        drop(living);
        drop(begin(6, 2_000));
        assert_eq!(lives(), [5, 6]);
        assert!(size() <= 40 << 10, "{}", size());
        fs::remove_dir_all(&directory).unwrap();
    }
}
