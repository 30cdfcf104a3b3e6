//! Storage engines: where an API server's objects outlive it.
//!
//! An engine keeps keys, each with its value and the revision that wrote it, and knows nothing of what they mean.
//! It has one counter of revisions, which only grows, also across crashes; every committed write takes one, deletions
//! too. A batch of writes is one durable commit: all of its committed writes are on disk when `commit` returns.
//!
//! [`memory`] forgets everything and serves tests; [`redb`] is the default, one file in a locked directory;
//! [`committer`] is the thread that makes one commit of all the writes that wait. Why so, with figures:
//! `docs/why/storage.md`.

pub mod committer;
mod file;
pub mod lock;
pub mod memory;
pub mod redb;

use std::path::PathBuf;
use std::sync::Arc;

/// A conditional write of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// A path such as `pods/default/web-1`; not empty.
    pub key: String,
    /// The revision that must have written the key last; 0 means that it must be absent.
    pub expect: u64,
    /// The new value; `None` deletes the key.
    pub value: Option<Arc<[u8]>>,
}

/// What became of a [`Write`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable, and this is its revision.
    Committed { revision: u64 },
    /// The key was last written by another revision (0: it is absent). Nothing changed.
    Conflict { actual: u64 },
    /// Nothing of the batch was committed; `message` says why. It may be tried again.
    Failed { message: String },
}

/// Keeps objects. One at a time may use it: wrap it in a [`committer::Committer`].
pub trait Engine: Send {
    /// Shows all entries in the order of their keys (key, revision, value), and returns the current revision.
    fn load(&mut self, each: &mut dyn FnMut(&str, u64, &[u8])) -> Result<u64, EngineError>;

    /// Judges the writes in order, each seeing those before it, and makes one durable commit of those that hold.
    ///
    /// One outcome a write, in the same order. If the commit fails, every outcome but the conflicts is `Failed`, and
    /// none of the revisions is used.
    fn commit(&mut self, batch: &[Write]) -> Vec<Outcome>;
}

/// Why an engine cannot be opened or read. In no case was anything changed.
#[derive(Debug)]
pub enum EngineError {
    /// Another process uses the directory; the process id is what it wrote there, if it could be read.
    InUse { directory: PathBuf, pid: Option<u32> },
    /// The operating system refused something.
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    /// The file was not made by miniku.
    Foreign { path: PathBuf, why: String },
    /// A newer miniku wrote the file.
    Newer { path: PathBuf, version: u64 },
    /// The file is miniku's, and damaged.
    Corrupt { path: PathBuf, why: String },
}

impl std::fmt::Display for EngineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InUse { directory, pid: Some(pid) } => {
                write!(f, "{} is in use by another miniku (pid {pid})", directory.display())
            }
            Self::InUse { directory, pid: None } => write!(f, "{} is in use by another miniku", directory.display()),
            Self::Io { what, path, source } => write!(f, "{what} {}: {source}", path.display()),
            Self::Foreign { path, why } => write!(f, "{} is not a miniku store: {why}", path.display()),
            Self::Newer { path, version } => {
                write!(f, "{} has format {version}, which needs a newer miniku", path.display())
            }
            Self::Corrupt { path, why } => {
                write!(
                    f,
                    "{} is damaged: {why}; restore it from a backup, or move it away to start empty",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for EngineError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
