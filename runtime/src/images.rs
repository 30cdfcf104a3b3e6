//! Images: which names there are, what they run by default, and their trees on disk.
//!
//! One image is built into the binary: Debian's busybox, made by `rootfs/build.sh`. It answers to the
//! names `busybox` and `alpine`, with or without `docker.io/library/` and with any tag, and says in its
//! id what it really is. Every other well-formed name is refused: never is another image run in its place.

use crate::enter::{Failure, failed_io};
use miniku_core::kubelet::runtime::StartError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;

/// Where programs are sought if nothing says otherwise. Source: Docker's default.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

static TREE: &[u8] = include_bytes!(env!("MINIKU_BUSYBOX_TAR"));
/// SHA-256 of the built-in image's tar file, in hexadecimal.
pub const DIGEST: &str = env!("MINIKU_BUSYBOX_DIGEST");

/// What the built-in image is called, the tag said.
pub const NAMES: [&str; 4] =
    ["docker.io/library/busybox:latest", "busybox:latest", "docker.io/library/alpine:latest", "alpine:latest"];

/// How many bytes the built-in image has.
pub fn size() -> usize {
    TREE.len()
}

/// An image that is ready to be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// What it really is: `miniku/busybox@sha256:…`.
    pub id: String,
    /// Its tree.
    pub root: PathBuf,
    /// Variables that every container of it has.
    pub env: BTreeMap<String, String>,
    /// What is run, in front of the arguments; may be empty.
    pub entrypoint: Vec<String>,
    /// The arguments, or the whole command if there is no entrypoint.
    pub arguments: Vec<String>,
    /// The directory that its programs begin in.
    pub working_dir: String,
}

/// Why there is no such image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// As Kubernetes names it.
    pub reason: StartError,
    /// For the user.
    pub message: String,
}

/// Which image a name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// The one in the binary.
    Busybox,
}

/// Reads an image's name.
///
/// Well-formed is `[host[:port]/]path[:tag][@algorithm:hex]`, in lower case but for the tag. A digest
/// asks for particular bytes, which the built-in image only has if it is its own.
/// Source: `distribution/reference`, grammar in `reference.go`.
pub fn named(name: &str) -> Result<Named, Refusal> {
    let (rest, digest) = match name.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (name, None),
    };
    // A colon before the last slash belongs to a port.
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (rest, None),
    };
    let well_formed = is_path(path) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest);
    if !well_formed {
        let message = format!("image name {name:?} is not of the form [host[:port]/]path[:tag][@algorithm:hex]");
        return Err(Refusal { reason: StartError::InvalidImageName, message });
    }
    let short = ["docker.io/library/", "docker.io/", "library/"].iter().find_map(|prefix| path.strip_prefix(prefix));
    let own_digest = digest.is_none_or(|digest| digest.strip_prefix("sha256:") == Some(DIGEST));
    match short.unwrap_or(path) {
        "busybox" | "alpine" | "miniku/busybox" if own_digest => Ok(Named::Busybox),
        _ => Err(Refusal {
            reason: StartError::ErrImagePull,
            message: format!(
                "image {name:?} is not here, and this build pulls from no registry; available: busybox, alpine (both are miniku/busybox@sha256:{DIGEST})"
            ),
        }),
    }
}

fn is_path(path: &str) -> bool {
    let mut parts = path.split('/');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let is_host = !rest.is_empty() && (first.contains(['.', ':']) || first == "localhost");
    let first_fits = if is_host {
        let (host, port) = first.split_once(':').unwrap_or((first, "1"));
        let of_host = |letter: char| letter.is_ascii_alphanumeric() || "-.".contains(letter);
        !host.is_empty() && host.chars().all(of_host) && port.parse::<u16>().is_ok()
    } else {
        is_component(first)
    };
    path.len() <= 255 && first_fits && rest.into_iter().all(is_component)
}

/// Lower-case letters and digits, separated by a dot, one or two underscores, or hyphens.
fn is_component(part: &str) -> bool {
    let of_name = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let separators = part.split(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit());
    part.bytes().all(|letter| of_name(letter) || b"._-".contains(&letter))
        && part.bytes().next().is_some_and(of_name)
        && part.bytes().last().is_some_and(of_name)
        && separators
            .into_iter()
            .all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|letter| letter == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let of_tag = |letter: u8| letter.is_ascii_alphanumeric() || b"_.-".contains(&letter);
    (1..=128).contains(&tag.len()) && tag.bytes().all(of_tag) && !tag.starts_with(['.', '-'])
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty()
            && algorithm.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"+._-".contains(&letter))
            && hex.len() >= 32
            && hex.bytes().all(|letter| letter.is_ascii_hexdigit())
    })
}

/// The images on one machine, below one directory. Several processes may share it.
pub struct Images {
    dir: PathBuf,
    /// Held while unpacking, so that the threads of one process do it once.
    unpacked: Mutex<bool>,
}

/// Trees of this prefix are not complete.
const UNFINISHED: &str = ".new-";

impl Images {
    /// The images below `dir`, which is made when it is needed.
    pub fn at(dir: PathBuf) -> Images {
        Images { dir, unpacked: Mutex::new(false) }
    }

    /// The image of this name, unpacked. The first call writes two megabytes; later ones cost nothing.
    pub fn get(&self, name: &str) -> Result<Image, Refusal> {
        let Named::Busybox = named(name)?;
        let root = self.dir.join(DIGEST);
        let mut unpacked = self.unpacked.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !*unpacked {
            self.unpack(&root).map_err(|failure| Refusal {
                reason: StartError::ErrImagePull,
                message: format!("unpack image {name:?}: {failure}"),
            })?;
            *unpacked = true;
        }
        Ok(Image {
            id: format!("miniku/busybox@sha256:{DIGEST}"),
            root,
            env: BTreeMap::from([("PATH".to_owned(), DEFAULT_PATH.to_owned())]),
            entrypoint: Vec::new(),
            arguments: vec!["/bin/sh".to_owned()],
            working_dir: "/".to_owned(),
        })
    }

    /// Into a directory of its own, then renamed: a tree that is there is complete.
    fn unpack(&self, root: &Path) -> Result<(), Failure> {
        if root.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&self.dir).map_err(failed_io(format!("mkdir {}", self.dir.display())))?;
        // A set-user-id program in an image must not be reachable for the host's users.
        fs::set_permissions(&self.dir, fs::Permissions::from_mode(0o700))
            .map_err(failed_io(format!("chmod {}", self.dir.display())))?;
        // One at a time, of all processes: whose directory is not finished then is nobody's any more.
        let lock = fs::File::open(&self.dir).map_err(failed_io(format!("open {}", self.dir.display())))?;
        lock.lock().map_err(failed_io(format!("lock {}", self.dir.display())))?;
        if root.is_dir() {
            return Ok(());
        }
        self.sweep();
        let temporary = self.dir.join(format!("{UNFINISHED}{}", std::process::id()));
        fs::create_dir(&temporary).map_err(failed_io(format!("mkdir {}", temporary.display())))?;
        let renamed = || {
            let operation = format!("rename {} to {}", temporary.display(), root.display());
            fs::rename(&temporary, root).map_err(failed_io(operation))
        };
        let done = untar(TREE, &temporary).and_then(|()| renamed());
        if done.is_err() {
            // What stays is found next time.
            let _ = fs::remove_dir_all(&temporary);
        }
        done
    }

    /// Removes all images, those of other builds and the unfinished ones too. What others have put beside them stays.
    pub fn remove(&self) -> Result<(), Failure> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| is_image(&entry.file_name().to_string_lossy())) {
            let path = entry.path();
            fs::remove_dir_all(&path).map_err(failed_io(format!("remove {}", path.display())))?;
        }
        // Only if it is empty.
        let _ = fs::remove_dir(&self.dir);
        Ok(())
    }

    /// Removes what processes that ended in the middle of unpacking have left.
    fn sweep(&self) {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(UNFINISHED)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether a directory of this name is an image's tree, of whatever build: a SHA-256, or unfinished.
fn is_image(name: &str) -> bool {
    let is_digest = name.len() == DIGEST.len() && name.bytes().all(|letter| letter.is_ascii_hexdigit());
    is_digest || name.starts_with(UNFINISHED)
}

/// Writes the files of a tar file of our own making below a directory that nobody else knows yet.
///
/// Reads what `tar --format=ustar` writes: directories, files and symbolic links, with names of at most
/// 100 bytes. Refuses everything else. Source: pax(1), "ustar Interchange Format".
fn untar(mut tar: &[u8], into: &Path) -> Result<(), Failure> {
    let malformed = |what: &str| {
        let operation = format!("read the built-in image: {what}");
        Failure { operation, errno: nix::errno::Errno::EBADMSG }
    };
    let text = |field: &[u8]| {
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        String::from_utf8_lossy(&field[..end]).into_owned()
    };
    let number = |field: &[u8]| u64::from_str_radix(text(field).trim(), 8).map_err(|_| malformed("a number"));
    let mut modes = Vec::new();
    while let Some((header, rest)) = tar.split_at_checked(512) {
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        let (name, mode, size) = (text(&header[..100]), number(&header[100..108])?, number(&header[124..136])?);
        let (kind, link) = (header[156], text(&header[157..257]));
        let size = usize::try_from(size).map_err(|_| malformed(&name))?;
        let (content, rest) = rest.split_at_checked(size.next_multiple_of(512)).ok_or_else(|| malformed(&name))?;
        tar = rest;
        let relative = Path::new(&name);
        if header[345] != 0
            || relative.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir))
        {
            return Err(malformed(&name));
        }
        let path = into.join(relative);
        let failure = |error| failed_io(format!("write {}", path.display()))(error);
        match kind {
            b'5' => match fs::create_dir(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(failure(error)),
                // Modes come last, and from below: a directory may forbid writing.
                _ => modes.push((path, mode as u32)),
            },
            b'0' | 0 => {
                let mut options = fs::OpenOptions::new();
                options.write(true).create_new(true).mode(mode as u32);
                let write = || {
                    let mut file = options.open(&path)?;
                    std::io::Write::write_all(&mut file, &content[..size])?;
                    file.set_permissions(fs::Permissions::from_mode(mode as u32))?;
                    // The rename that follows must not reach the disk before the content.
                    file.sync_all()
                };
                write().map_err(failure)?;
            }
            b'2' => symlink(&link, &path).map_err(failure)?,
            _ => return Err(malformed(&name)),
        }
    }
    for (path, mode) in modes.iter().rev() {
        let changed = fs::set_permissions(path, fs::Permissions::from_mode(*mode));
        changed.map_err(failed_io(format!("chmod {}", path.display())))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let reason = |name: &str| named(name).err().map(|refusal| refusal.reason);
        for name in [
            "busybox",
            "busybox:latest",
            "busybox:1.36",
            "alpine",
            "alpine:3.20",
            "docker.io/library/busybox",
            "docker.io/library/alpine:latest",
            "docker.io/busybox",
            "library/busybox",
        ] {
            assert_eq!(reason(name), None, "{name}");
        }
        let own = format!("miniku/busybox@sha256:{DIGEST}");
        assert_eq!(reason(&own), None);
        let other = format!("busybox@sha256:{}", "0".repeat(64));
        for name in [
            "nginx",
            "nginx:latest",
            "my-busybox",
            "quay.io/library/busybox",
            "localhost:5000/busybox",
            "a/b/c:1",
            "a__b",
            &other,
        ] {
            assert_eq!(reason(name), Some(StartError::ErrImagePull), "{name}");
        }
        for name in [
            "",
            " ",
            "Busybox",
            "busybox:",
            "busybox: latest",
            ":latest",
            "/busybox",
            "busybox/",
            "a//b",
            "a..b",
            "a___b",
            "busybox@",
            "busybox@sha256:12",
            "-a",
            "é",
            "host:port/x",
        ] {
            assert_eq!(reason(name), Some(StartError::InvalidImageName), "{name:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_image_and_what_there_is() {
        let message = named("nginx:1.27").unwrap_err().message;
        assert!(message.contains("\"nginx:1.27\"") && message.contains("busybox"), "{message}");
    }

    #[test]
    fn what_others_put_beside_images_stays() {
        let dir = std::env::temp_dir().join(format!("miniku-images-of-others-{}", std::process::id()));
        for made in [DIGEST, &"0".repeat(64), ".new-1", "2026/holiday"] {
            fs::create_dir_all(dir.join(made)).unwrap();
        }
        Images::at(dir.clone()).remove().unwrap();
        let left: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["2026"]);
        fs::remove_dir_all(dir.join("2026")).unwrap();
        Images::at(dir.clone()).remove().unwrap();
        assert!(!dir.exists());
        Images::at(dir).remove().unwrap();
    }

    #[test]
    fn who_unpacks_at_the_same_time_is_not_swept_away() {
        let dir = std::env::temp_dir().join(format!("miniku-images-{}", std::process::id()));
        for _ in 0..4 {
            fs::create_dir_all(dir.join(".new-left")).unwrap();
            let got: Vec<bool> = std::thread::scope(|scope| {
                // As many processes would.
                let get = || Images::at(dir.clone()).get("busybox").is_ok_and(|image| image.root.join("bin").is_dir());
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(get)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(got, [true; 8]);
            assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
            fs::remove_dir_all(&dir).unwrap();
        }
    }
}
