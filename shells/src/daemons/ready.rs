//! The file that says where an API server serves, for those who start one and wait for it.

use crate::daemons::DaemonError;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// There while the server serves, and gone with it.
pub struct ReadyFile(Option<PathBuf>);

impl ReadyFile {
    /// Before anything serves. What an earlier server left there would be taken for this one's.
    pub fn new(path: Option<&Path>) -> Result<Self, DaemonError> {
        let path = path.map(Path::to_owned);
        if let Some(path) = &path {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(path, &error)),
                _ => {}
            }
        }
        Ok(ReadyFile(path))
    }

    /// Says where it serves. Whoever sees the file sees all of it.
    pub fn write(self, at: SocketAddr) -> Result<Self, DaemonError> {
        let Some(path) = &self.0 else { return Ok(self) };
        let mut beside = path.clone().into_os_string();
        beside.push(format!(".{}", std::process::id()));
        let written = fs::write(&beside, format!("{}\n", url(at))).and_then(|()| fs::rename(&beside, path));
        written.map_err(|error| failed(path, &error))?;
        Ok(self)
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        // Somebody else may have removed it, or its directory.
        let _ = self.0.as_ref().map(fs::remove_file);
    }
}

fn failed(path: &Path, error: &io::Error) -> DaemonError {
    DaemonError(format!("--ready-file {}: {error}", path.display()))
}

/// How a client on this machine reaches it: every address is none.
fn url(mut at: SocketAddr) -> String {
    match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => at.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => at.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("http://{at}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_there_while_it_serves() {
        let path = std::env::temp_dir().join(format!("miniku-ready-{}", std::process::id()));
        fs::write(&path, "an earlier one").unwrap();
        let ready = ReadyFile::new(Some(&path)).unwrap();
        assert!(!path.exists());
        let ready = ready.write("0.0.0.0:81".parse().unwrap()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "http://127.0.0.1:81\n");
        drop(ready);
        assert!(!path.exists());
        assert_eq!(url("[::]:1".parse().unwrap()), "http://[::1]:1");
        assert!(
            ReadyFile::new(Some(Path::new("/proc/none/x"))).unwrap().write("127.0.0.1:1".parse().unwrap()).is_err()
        );
        assert!(ReadyFile::new(None).unwrap().write("127.0.0.1:1".parse().unwrap()).is_ok());
    }
}
