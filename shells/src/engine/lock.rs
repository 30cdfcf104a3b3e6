//! One process per data directory.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::EngineError;

/// The file that is locked in the directory of a store.
pub const LOCK: &str = "lock";
/// The one that `up` locks in its data directory, in which the store may be or not.
pub const UP: &str = "up.lock";

/// Holds the directory. The kernel releases it with the process, however that ends: flock(2).
#[derive(Debug)]
pub struct DirectoryLock {
    _held: Flock<File>,
}

/// Takes the directory of a store, creating it if need be (mode 0700: objects include secrets).
pub fn lock_directory(directory: &Path) -> Result<DirectoryLock, EngineError> {
    lock_in(directory, LOCK)
}

/// The same by the file of this name.
pub fn lock_in(directory: &Path, name: &str) -> Result<DirectoryLock, EngineError> {
    let failed = |what, source: std::io::Error| EngineError::Io { what, path: directory.to_path_buf(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|e| failed("create", e))?;
    let path = directory.join(name);
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|source| EngineError::Io { what: "open", path, source })?;
    let mut text = String::new();
    // Who holds it is only told; a lock file without a readable number locks as well.
    let _ = (&mut file).take(20).read_to_string(&mut text);
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut held) => {
            let told =
                held.set_len(0).and_then(|()| held.rewind()).and_then(|()| writeln!(held, "{}", std::process::id()));
            // A full disk must not keep anyone from reading.
            if let Err(error) = told {
                log::warn!("{}: {error}", directory.display());
            }
            Ok(DirectoryLock { _held: held })
        }
        Err((_, Errno::EWOULDBLOCK)) => {
            Err(EngineError::InUse { directory: directory.to_path_buf(), pid: text.trim().parse().ok() })
        }
        Err((_, errno)) => Err(failed("lock", errno.into())),
    }
}
