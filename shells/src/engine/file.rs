//! A file that redb may change only after we have looked at it.
//!
//! redb repairs a file while it opens it, and no table can be read before. So until [`Gate::open`] its writes are kept
//! in memory, in order, and redb reads its own writes from there; a file that turns out not to be ours is dropped with
//! them. Opening the gate performs them as they were asked for, syncs included, so a crash in between finds what it
//! would have found without the gate.

use std::fs::File;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// redb's side of the file.
#[derive(Debug)]
pub struct GatedFile {
    file: Arc<File>,
    gate: Gate,
}

/// Our side: opens it once.
#[derive(Clone, Debug)]
pub struct Gate {
    state: Arc<Mutex<State>>,
    file: Arc<File>,
}

#[derive(Debug)]
enum State {
    Open,
    /// `real` is the length of the file itself, which nobody else changes meanwhile.
    Closed {
        real: u64,
        length: u64,
        kept: Vec<Kept>,
    },
}

#[derive(Debug)]
enum Kept {
    Write { offset: u64, bytes: Vec<u8> },
    Length(u64),
    Sync,
}

/// Where redb's header says how the file was left. Source: redb, docs/design.md, "Database header", the god byte.
const FLAGS: u64 = 9;
/// The trees must be walked, or the saved allocator state loaded if the next flag is set.
const RECOVERY_REQUIRED: u8 = 2;
/// The newer commit is known to be whole, and need not be verified.
const TWO_PHASE_COMMIT: u8 = 4;

impl GatedFile {
    /// The file with the gate closed. It reads as after a crash, however it was closed, so that redb verifies every
    /// checksum and rebuilds what it would otherwise believe: its record of free pages can make it panic.
    pub fn closed(file: File) -> Result<(Self, Gate), Error> {
        let mut flags = [0];
        file.read_exact_at(&mut flags, FLAGS)?;
        flags[0] = flags[0] & !TWO_PHASE_COMMIT | RECOVERY_REQUIRED;
        let kept = vec![Kept::Write { offset: FLAGS, bytes: flags.to_vec() }];
        let file = Arc::new(file);
        let real = file.metadata()?.len();
        let state = Arc::new(Mutex::new(State::Closed { real, length: real, kept }));
        let gate = Gate { state, file: file.clone() };
        Ok((Self { file, gate: gate.clone() }, gate))
    }
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Performs the kept changes and lets all later ones through.
    pub fn open(&self) -> Result<(), Error> {
        let mut state = self.state();
        if let State::Closed { kept, .. } = &*state {
            for change in kept {
                match change {
                    Kept::Write { offset, bytes } => self.file.write_all_at(bytes, *offset)?,
                    Kept::Length(length) => self.file.set_len(*length)?,
                    Kept::Sync => self.file.sync_data()?,
                }
            }
        }
        *state = State::Open;
        Ok(())
    }
}

impl StorageBackend for GatedFile {
    fn len(&self) -> Result<u64, Error> {
        match &*self.gate.state() {
            State::Open => Ok(self.file.metadata()?.len()),
            State::Closed { length, .. } => Ok(*length),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let state = self.gate.state();
        let State::Closed { real, length, kept } = &*state else {
            drop(state);
            return self.file.read_exact_at(out, offset);
        };
        let end = offset.checked_add(out.len() as u64).filter(|end| end <= length);
        let end = end.ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))?;
        // What lies beyond the real file, or was cut off and added again, is zero.
        let mut real = *real;
        for change in kept {
            if let Kept::Length(length) = change {
                real = real.min(*length);
            }
        }
        let there = usize::try_from(real.saturating_sub(offset)).unwrap_or(usize::MAX).min(out.len());
        self.file.read_exact_at(&mut out[..there], offset)?;
        out[there..].fill(0);
        for change in kept {
            match change {
                Kept::Write { offset: start, bytes } => {
                    let (from, to) = (offset.max(*start), end.min(start + bytes.len() as u64));
                    if from < to {
                        let source = &bytes[(from - start) as usize..(to - start) as usize];
                        out[(from - offset) as usize..(to - offset) as usize].copy_from_slice(source);
                    }
                }
                Kept::Length(length) if *length < end => out[length.saturating_sub(offset) as usize..].fill(0),
                Kept::Length(_) | Kept::Sync => {}
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        match &mut *self.gate.state() {
            State::Open => self.file.set_len(len),
            State::Closed { length, kept, .. } => {
                kept.push(Kept::Length(len));
                *length = len;
                Ok(())
            }
        }
    }

    fn sync_data(&self) -> Result<(), Error> {
        let mut state = self.gate.state();
        if let State::Closed { kept, .. } = &mut *state {
            kept.push(Kept::Sync);
            return Ok(());
        }
        drop(state);
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut state = self.gate.state();
        if let State::Closed { kept, .. } = &mut *state {
            kept.push(Kept::Write { offset, bytes: data.to_vec() });
            return Ok(());
        }
        drop(state);
        self.file.write_all_at(data, offset)
    }
}
