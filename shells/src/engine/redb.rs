//! The default engine: one redb file in a directory of its own.
//!
//! Two tables: `objects` (key → revision, value) and `miniku` (format version, current revision). The second one says
//! that the file is ours; it is read before anything is written to an existing file, see `file.rs`.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError};

use super::file::{Gate, GatedFile};
use super::lock::{DirectoryLock, lock_directory};
use super::{Engine, EngineError, Outcome, Write};

const OBJECTS: TableDefinition<&str, (u64, &[u8])> = TableDefinition::new("objects");
const MINIKU: TableDefinition<&str, u64> = TableDefinition::new("miniku");

/// Key in `miniku`: what this file is, and how its tables are to be read.
const FORMAT: &str = "format";
/// Key in `miniku`: the last revision that was assigned.
const REVISION: &str = "revision";
/// The only format so far. A change that an older miniku would misread needs a new number.
const FORMAT_VERSION: u64 = 1;

const FILE: &str = "objects.redb";
/// What it is called until it is whole.
const NEW: &str = "objects.redb.new";
/// All that a store leaves in its directory, but for the lock.
pub const FILES: [&str; 2] = [FILE, NEW];
/// The first bytes of every redb file. Source: redb, docs/design.md, "Database header".
const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";
/// redb's smallest page, and so its smallest file.
const SMALLEST: u64 = 4096;

/// Everything is in the API server's memory as well, so this only has to hold the upper pages of the tree.
///
/// redb's own default is 1 GiB.
const CACHE: usize = 4 << 20;

/// A redb file, held by this process alone.
pub struct Redb {
    path: PathBuf,
    /// `None` after a failed commit, until reopening succeeds: redb refuses to go on after an I/O error.
    database: Option<Database>,
    revision: u64,
    /// Why nothing can be committed any more, if so.
    broken: Option<String>,
    _lock: DirectoryLock,
}

impl Redb {
    /// Opens the store in this directory, or creates both.
    ///
    /// An existing file is checked as a whole, every checksum, before the first byte of it is changed: the API server
    /// reads it all anyway. A file that fails the check stays as it is.
    pub fn open(directory: &Path) -> Result<Self, EngineError> {
        let lock = lock_directory(directory)?;
        let path = directory.join(FILE);
        match std::fs::symlink_metadata(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => create(directory, &path)?,
            Err(source) => return Err(EngineError::Io { what: "look at", path, source }),
        }
        let (database, revision) = open_file(&path)?;
        Ok(Self { path, database: Some(database), revision, broken: None, _lock: lock })
    }

    /// The file in which everything is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// After a failed commit: closes the file and opens it again, at the state before that commit.
    fn reopen(&mut self) -> Result<(), String> {
        if let Some(why) = &self.broken {
            return Err(why.clone());
        }
        if self.database.is_some() {
            return Ok(());
        }
        let (database, revision) = open_file(&self.path).map_err(|error| error.to_string())?;
        if revision != self.revision {
            // Those who asked were told that it failed. Only a restart brings everyone's view together again.
            let why = format!("{}: a commit that failed took effect; restart miniku", self.path.display());
            self.broken = Some(why.clone());
            return Err(why);
        }
        self.database = Some(database);
        Ok(())
    }

    fn try_commit(&self, database: &Database, batch: &[Write]) -> Result<(Vec<Outcome>, u64), redb::Error> {
        // One-phase commit with Immediate durability: one fsync. See docs/why/storage.md.
        let transaction = database.begin_write()?;
        let mut revision = self.revision;
        let mut outcomes = Vec::with_capacity(batch.len());
        {
            let mut objects = transaction.open_table(OBJECTS)?;
            for write in batch {
                let actual = objects.get(write.key.as_str())?.map_or(0, |entry| entry.value().0);
                if actual != write.expect {
                    outcomes.push(Outcome::Conflict { actual });
                    continue;
                }
                revision += 1;
                match &write.value {
                    Some(value) => drop(objects.insert(write.key.as_str(), (revision, &value[..]))?),
                    None => drop(objects.remove(write.key.as_str())?),
                }
                outcomes.push(Outcome::Committed { revision });
            }
            if revision != self.revision {
                transaction.open_table(MINIKU)?.insert(REVISION, revision)?;
            }
        }
        if revision == self.revision {
            transaction.abort()?;
        } else {
            transaction.commit()?;
        }
        Ok((outcomes, revision))
    }
}

impl Engine for Redb {
    fn load(&mut self, each: &mut dyn FnMut(&str, u64, &[u8])) -> Result<u64, EngineError> {
        self.reopen().map_err(|why| EngineError::Corrupt { path: self.path.clone(), why })?;
        let database = self.database.as_ref().expect("reopening left it open");
        let mut read = || -> Result<(), redb::Error> {
            for entry in database.begin_read()?.open_table(OBJECTS)?.iter()? {
                let (key, value) = entry?;
                let (revision, value) = value.value();
                each(key.value(), revision, value);
            }
            Ok(())
        };
        read().map_err(|error| damaged(&self.path, error))?;
        Ok(self.revision)
    }

    fn commit(&mut self, batch: &[Write]) -> Vec<Outcome> {
        let committed = self.reopen().and_then(|()| {
            let database = self.database.as_ref().expect("reopening left it open");
            self.try_commit(database, batch).map_err(|error| format!("{}: {error}", self.path.display()))
        });
        match committed {
            Ok((outcomes, revision)) => {
                self.revision = revision;
                outcomes
            }
            Err(message) => {
                log::error!("storage: {message}");
                self.database = None;
                vec![Outcome::Failed { message }; batch.len()]
            }
        }
    }
}

/// Makes an empty store under another name first, so that a crash leaves no half of one behind.
fn create(directory: &Path, path: &Path) -> Result<(), EngineError> {
    let new = directory.join(NEW);
    let io = |what| {
        let path = new.clone();
        move |source| EngineError::Io { what, path, source }
    };
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(io("remove")(error)),
        _ => {}
    }
    let file = File::options().read(true).write(true).create_new(true).open(&new).map_err(io("create"))?;
    let made = || -> Result<(), redb::Error> {
        let database = Builder::new().set_cache_size(CACHE).create_file(file)?;
        let transaction = database.begin_write()?;
        transaction.open_table(OBJECTS)?;
        {
            let mut miniku = transaction.open_table(MINIKU)?;
            miniku.insert(FORMAT, FORMAT_VERSION)?;
            miniku.insert(REVISION, 0)?;
        }
        transaction.commit()?;
        Ok(())
    };
    made().map_err(|error| io("write")(std::io::Error::other(error)))?;
    std::fs::rename(&new, path).map_err(io("rename"))?;
    // The name is durable only with its directory: fsync(2).
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io("sync the directory of"))
}

/// Opens an existing file and returns its current revision. Nothing is written unless everything is as it should be.
fn open_file(path: &Path) -> Result<(Database, u64), EngineError> {
    let io = |what| move |source| EngineError::Io { what, path: path.to_path_buf(), source };
    let foreign = |why: &str| EngineError::Foreign { path: path.to_path_buf(), why: why.to_string() };
    // Before opening: opening a FIFO would wait, opening a device may act.
    let metadata = std::fs::metadata(path).map_err(io("look at"))?;
    if !metadata.is_file() {
        return Err(foreign("it is not a regular file"));
    }
    let file = File::options().read(true).write(true).open(path).map_err(io("open"))?;
    if metadata.len() == 0 {
        return Err(foreign("it is empty"));
    }
    let mut magic = [0; MAGIC.len()];
    if metadata.len() < MAGIC.len() as u64 {
        return Err(foreign("it is not a redb file"));
    }
    file.read_exact_at(&mut magic, 0).map_err(io("read"))?;
    if magic != MAGIC {
        return Err(foreign("it is not a redb file"));
    }
    if metadata.len() < SMALLEST {
        return Err(EngineError::Corrupt { path: path.to_path_buf(), why: "it is cut off".into() });
    }
    let (gated, gate) = GatedFile::closed(file).map_err(io("look at"))?;
    check(path, gated, &gate)
}

fn check(path: &Path, file: GatedFile, gate: &Gate) -> Result<(Database, u64), EngineError> {
    let database = Builder::new().set_cache_size(CACHE).create_with_backend(file).map_err(|error| match error {
        DatabaseError::UpgradeRequired(version) => EngineError::Foreign {
            path: path.to_path_buf(),
            why: format!("it is a redb file of the old format {version}"),
        },
        error => damaged(path, error.into()),
    })?;
    let revision = read_header(path, &database)?;
    gate.open().map_err(|source| EngineError::Io { what: "repair", path: path.to_path_buf(), source })?;
    Ok((database, revision))
}

/// Is the file ours, and can we read it?
fn read_header(path: &Path, database: &Database) -> Result<u64, EngineError> {
    let foreign = |why: &str| EngineError::Foreign { path: path.to_path_buf(), why: why.to_string() };
    let read = database.begin_read().map_err(|error| damaged(path, error.into()))?;
    let table = |error| match error {
        TableError::Storage(error) => damaged(path, error.into()),
        _ => foreign("it is a redb file without miniku's tables"),
    };
    let miniku = read.open_table(MINIKU).map_err(table)?;
    let number = |key| match miniku.get(key) {
        Ok(value) => Ok(value.map(|value| value.value())),
        Err(error) => Err(damaged(path, error.into())),
    };
    match number(FORMAT)? {
        Some(FORMAT_VERSION) => {}
        Some(version) => return Err(EngineError::Newer { path: path.to_path_buf(), version }),
        None => return Err(foreign("it names no format")),
    }
    read.open_table(OBJECTS).map_err(table)?;
    number(REVISION)?
        .ok_or_else(|| EngineError::Corrupt { path: path.to_path_buf(), why: "it names no revision".into() })
}

fn damaged(path: &Path, error: redb::Error) -> EngineError {
    match error {
        redb::Error::Io(source)
            if source.kind() != ErrorKind::UnexpectedEof && source.kind() != ErrorKind::InvalidData =>
        {
            EngineError::Io { what: "read", path: path.to_path_buf(), source }
        }
        error => EngineError::Corrupt { path: path.to_path_buf(), why: error.to_string() },
    }
}
