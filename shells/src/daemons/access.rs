//! Who may ask an API server: its flags, and the files that they name.

use crate::api::{Access, read_tokens};
use crate::cli::daemons::{AccessArgs, Authorization, StateArgs, Store};
use crate::daemons::{DaemonError, parts};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The file of the secret that is made, and what it is called until it is whole: beside the stored objects.
pub const FILES: [&str; 2] = ["service-account.key", "service-account.new"];

/// The bytes of a new secret: as many as the hash has. Source: RFC 7518, section 3.2.
const SECRET_BYTES: usize = 32;

/// Reads what the flags name.
pub fn access(args: &AccessArgs, state: &StateArgs) -> Result<Access, DaemonError> {
    let tokens = match &args.token_auth_file {
        None => Default::default(),
        Some(file) => {
            let wrong = |error: &dyn std::fmt::Display| DaemonError(format!("{}: {error}", file.display()));
            let text = fs::read_to_string(file).map_err(|error| wrong(&error))?;
            read_tokens(&text).map_err(|error| wrong(&error))?
        }
    };
    let file = match (&args.service_account_key_file, state.store) {
        (Some(file), _) => Some(file.clone()),
        (None, Store::Redb) => Some(parts::store_directory(state).join(FILES[0])),
        (None, Store::Memory) => None,
    };
    let secret = match &file {
        None => drawn(),
        Some(file) => kept(file),
    };
    let name = file.map_or("the secret of tokens".into(), |file| file.display().to_string());
    let secret = secret.map_err(|error| DaemonError(format!("{name}: {error}")))?;
    Ok(Access::new(args.authorization == Authorization::Rbac, tokens, secret))
}

/// The secret in a file, which is made if it is not there.
fn kept(file: &Path) -> io::Result<Vec<u8>> {
    match fs::read(file) {
        Ok(secret) if secret.len() >= SECRET_BYTES => return Ok(secret),
        Ok(_) => return Err(io::Error::other(format!("a secret has at least {SECRET_BYTES} bytes"))),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    let secret = drawn()?;
    // Whole or not at all, whatever happens meanwhile.
    let beside = file.with_extension("new");
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    out.write_all(&secret)?;
    out.sync_all()?;
    fs::rename(&beside, file)?;
    Ok(secret)
}

/// A new secret. Source: urandom(4).
fn drawn() -> io::Result<Vec<u8>> {
    let mut secret = vec![0; SECRET_BYTES];
    fs::File::open("/dev/urandom")?.read_exact(&mut secret)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once() {
        let directory = std::env::temp_dir().join(format!("miniku-secret-{}", std::process::id()));
        let file = directory.join("deep/key");
        let secret = kept(&file).unwrap();
        assert_eq!((secret.len(), kept(&file).unwrap()), (SECRET_BYTES, secret));
        fs::write(&file, "short").unwrap();
        assert!(kept(&file).unwrap_err().to_string().contains("at least 32 bytes"));
        fs::remove_dir_all(directory).unwrap();
    }
}
