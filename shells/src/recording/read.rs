//! Reading recordings.

use super::EXTENSION;
use super::frame::{Frame, FrameReader};
use miniku_core::record::{Birth, Ending, FORMAT, Opening, Record, Step, Tape};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

/// Why a recording cannot be read.
#[derive(Debug)]
pub enum Unreadable {
    /// The file or directory.
    Io { path: PathBuf, source: io::Error },
    /// Not what was written there: which record, from 0, and in which frame, by its offset in the file.
    Damaged { path: PathBuf, record: u64, offset: u64, what: String },
    /// Nothing is recorded there.
    Nothing(PathBuf),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Unreadable::Damaged { path, record, offset, what } => {
                write!(f, "{}: record {record}, in the frame at byte {offset}: {what}", path.display())
            }
            Unreadable::Nothing(path) => write!(f, "{}: there is no recording", path.display()),
        }
    }
}

impl std::error::Error for Unreadable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Unreadable::Io { source, .. } => Some(source),
            Unreadable::Damaged { .. } | Unreadable::Nothing(_) => None,
        }
    }
}

/// The recordings in a directory, or the one that a file is, by the time they were begun.
///
/// Lives that were ended before anything was written of them are left out.
pub fn recordings(path: &Path) -> Result<Vec<Recording>, Unreadable> {
    let failed = |source| Unreadable::Io { path: path.into(), source };
    let mut files = Vec::new();
    if fs::metadata(path).map_err(failed)?.is_dir() {
        for entry in fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            if file.extension().is_some_and(|extension| extension == EXTENSION) {
                files.push(file);
            }
        }
    } else {
        files.push(path.into());
    }
    let found = files.iter().filter_map(|file| Recording::open(file).transpose());
    let mut found = found.collect::<Result<Vec<_>, _>>()?;
    found.sort_by(|one, other| (one.opening.started, &one.path).cmp(&(other.opening.started, &other.path)));
    if found.is_empty() { Err(Unreadable::Nothing(path.into())) } else { Ok(found) }
}

/// A recording on disk.
pub struct Recording {
    path: PathBuf,
    opening: Opening,
    /// Open from its birth to its end: there may be more recordings than files may be open.
    lines: Option<Lines>,
}

impl Recording {
    /// Looks whose it is. Absent if nothing is recorded in it.
    pub fn open(path: &Path) -> Result<Option<Self>, Unreadable> {
        let Some(mut lines) = Lines::open(path)? else { return Ok(None) };
        let opening = match lines.next()? {
            Ok(Record::Opening(opening)) => *opening,
            Ok(Record::Stored(_) | Record::Step(_)) => return Err(lines.damaged("it does not say whose it is")),
            Err(_) => return Ok(None),
        };
        if opening.format != FORMAT {
            return Err(lines.damaged(format!("it has format {}, and this miniku reads {FORMAT}", opening.format)));
        }
        Ok(Some(Recording { path: path.into(), opening, lines: None }))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Tape for Recording {
    type Error = Unreadable;

    fn opening(&self) -> &Opening {
        &self.opening
    }

    fn birth(&mut self) -> Result<Birth, Unreadable> {
        let Some(mut lines) = Lines::open(&self.path)? else { return Err(Unreadable::Nothing(self.path.clone())) };
        let mut stored = Vec::new();
        // The opening was looked at.
        let _ = lines.next()?;
        while (stored.len() as u64) < self.opening.stored {
            match lines.next()? {
                Ok(Record::Stored(object)) => stored.push(object),
                Ok(Record::Opening(_) | Record::Step(_)) => {
                    let (found, said) = (stored.len(), self.opening.stored);
                    return Err(
                        lines.damaged(format!("only {found} of the {said} objects that it began with are there"))
                    );
                }
                // It was killed, or full, before it began: there are no steps.
                Err(_) => break,
            }
        }
        self.lines = Some(lines);
        Ok(self.opening.birth.clone().with_stored(stored))
    }

    fn next(&mut self) -> Result<Result<Step, Ending>, Unreadable> {
        let Some(lines) = &mut self.lines else { return Err(Unreadable::Nothing(self.path.clone())) };
        let expected = lines.record.saturating_sub(self.opening.stored);
        match lines.next()? {
            Ok(Record::Step(step)) if step.number == expected => Ok(Ok(*step)),
            Ok(Record::Step(step)) => {
                Err(lines.damaged(format!("it is step {}, where step {expected} should be", step.number)))
            }
            Ok(Record::Opening(_) | Record::Stored(_)) => Err(lines.damaged("it is no step")),
            Err(ending) => {
                self.lines = None;
                Ok(Err(ending))
            }
        }
    }
}

/// The records of a file.
struct Lines {
    path: PathBuf,
    frames: FrameReader<BufReader<File>>,
    /// The frame that is being read, how far, and how many records should be left in it.
    text: Vec<u8>,
    at: usize,
    left: u32,
    /// Where that frame is in the file.
    offset: u64,
    /// The number of the next record, from 0.
    record: u64,
    ended: Option<Ending>,
}

impl Lines {
    fn open(path: &Path) -> Result<Option<Self>, Unreadable> {
        let file = File::open(path).map_err(|source| Unreadable::Io { path: path.into(), source })?;
        let frames = FrameReader::begin(BufReader::new(file)).map_err(|damage| Unreadable::Damaged {
            path: path.into(),
            record: 0,
            offset: damage.offset,
            what: damage.what,
        })?;
        let Some(frames) = frames else { return Ok(None) };
        let path = path.into();
        Ok(Some(Lines { path, frames, text: Vec::new(), at: 0, left: 0, offset: 0, record: 0, ended: None }))
    }

    /// Something is wrong with the record that was read last.
    fn damaged(&self, what: impl Into<String>) -> Unreadable {
        let record = self.record.saturating_sub(1);
        Unreadable::Damaged { path: self.path.clone(), record, offset: self.offset, what: what.into() }
    }

    fn next(&mut self) -> Result<Result<Record, Ending>, Unreadable> {
        if let Some(ending) = self.ended {
            return Ok(Err(ending));
        }
        if self.at == self.text.len() {
            if self.left > 0 {
                return Err(self.damaged(format!("{} records are missing after it", self.left)));
            }
            let frame = self.frames.next_frame().map_err(|damage| Unreadable::Damaged {
                path: self.path.clone(),
                record: self.record,
                offset: damage.offset,
                what: damage.what,
            })?;
            match frame {
                Frame::Records { text, records, offset } => {
                    (self.text, self.at, self.left, self.offset) = (text, 0, records, offset);
                }
                Frame::End(ending) => {
                    self.ended = Some(ending);
                    return Ok(Err(ending));
                }
            }
        }
        let line = self.text[self.at..].split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
        self.at += line.len();
        self.record += 1;
        let record = serde_json::from_slice(line);
        let record = record.map_err(|error| self.damaged(format!("it cannot be understood: {error}")))?;
        self.left = self.left.checked_sub(1).ok_or_else(|| self.damaged("its frame has more records than it says"))?;
        Ok(Ok(record))
    }
}
