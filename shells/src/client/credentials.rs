//! How a client says who it is: by a bearer token, or not at all.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// After this time a file is read again: tokens expire, and who gave one out writes the next into the same file.
///
/// Source: client-go, `transport/token_source.go`, reads it each minute.
const READ_AGAIN: Duration = Duration::from_secs(60);

/// What a client brings along. Clones share what was read.
#[derive(Clone, Default)]
pub struct Credentials(Option<Arc<Source>>);

enum Source {
    Token(String),
    File { path: PathBuf, last: Mutex<(Instant, String)> },
}

impl Credentials {
    /// A token.
    pub fn token(token: &str) -> Self {
        Credentials(Some(Arc::new(Source::Token(token.trim().to_owned()))))
    }

    /// The token in a file, whatever it is at the time. It must be there now.
    pub fn file(path: &Path) -> io::Result<Self> {
        let last = Mutex::new((Instant::now(), read(path)?));
        Ok(Credentials(Some(Arc::new(Source::File { path: path.to_owned(), last }))))
    }

    /// What stands in the header `Authorization`, if there is one.
    pub fn header(&self) -> Option<String> {
        let source = self.0.as_ref()?;
        Some(match &**source {
            Source::Token(token) => format!("Bearer {token}"),
            Source::File { path, last } => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.0.elapsed() >= READ_AGAIN {
                    // A file that is just being replaced is read next time; until then the token may still count.
                    if let Ok(token) = read(path) {
                        last.1 = token;
                    }
                    last.0 = Instant::now();
                }
                format!("Bearer {}", last.1)
            }
        })
    }
}

fn read(path: &Path) -> io::Result<String> {
    let token = fs::read_to_string(path)?.trim().to_owned();
    // It becomes part of a header.
    match token.is_empty() || token.contains(|c: char| c.is_ascii_control() || c == ' ' || !c.is_ascii()) {
        true => Err(io::Error::new(io::ErrorKind::InvalidData, "it holds no token")),
        false => Ok(token),
    }
}

/// Never the token itself: what is debugged is logged.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_deref() {
            None => f.write_str("nobody"),
            Some(Source::Token(_)) => f.write_str("a token"),
            Some(Source::File { path, .. }) => write!(f, "the token in {}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_brought_and_not_shown() {
        assert_eq!(Credentials::default().header(), None);
        let token = Credentials::token("secret\n");
        assert_eq!((token.header().as_deref(), format!("{token:?}").as_str()), (Some("Bearer secret"), "a token"));
        let file = std::env::temp_dir().join(format!("miniku-token-{}", std::process::id()));
        fs::write(&file, "in-a-file\n").unwrap();
        let credentials = Credentials::file(&file).unwrap();
        fs::remove_file(&file).unwrap();
        assert_eq!(credentials.header().as_deref(), Some("Bearer in-a-file"));
        assert!(!format!("{credentials:?}").contains("in-a-file"));
        assert!(Credentials::file(&file).is_err());
        for wrong in ["", "two words", "a\nb"] {
            fs::write(&file, wrong).unwrap();
            assert!(Credentials::file(&file).is_err(), "{wrong:?}");
        }
        fs::remove_file(&file).unwrap();
    }
}
