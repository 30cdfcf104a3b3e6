//! Files as a stream: what `cp` sends to a container's `tar`, and takes from it.
//!
//! Regular files and directories. Links are left out in both directions: what they point to is another thing there.
//!
//! Source: POSIX.1-2017, "pax", "ustar Interchange Format"; GNU tar's manual, "Basic Tar Format", for long names.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

const BLOCK: usize = 512;
/// Names and the headers that hold them are not longer.
const NAME_MAX: u64 = 64 << 10;

/// Writes a file, or a directory with all in it, under the name `name`.
pub fn pack(from: &Path, name: &str, to: &mut dyn Write) -> io::Result<()> {
    add(from, name, to)?;
    // Two empty blocks are the end.
    to.write_all(&[0; 2 * BLOCK])?;
    to.flush()
}

fn add(from: &Path, name: &str, to: &mut dyn Write) -> io::Result<()> {
    let meta = fs::symlink_metadata(from)?;
    if meta.is_dir() {
        head(&format!("{name}/"), b'5', &meta, 0, to)?;
        let mut entries = fs::read_dir(from)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let Ok(inner) = entry.file_name().into_string() else {
                eprintln!("warning: skipping {}: its name is not UTF-8", entry.path().display());
                continue;
            };
            add(&entry.path(), &format!("{name}/{inner}"), to)?;
        }
        return Ok(());
    }
    if !meta.is_file() {
        eprintln!("warning: skipping {}: it is neither a file nor a directory", from.display());
        return Ok(());
    }
    let file = File::open(from)?;
    let length = file.metadata()?.len();
    head(name, b'0', &meta, length, to)?;
    // As long as was said, whatever becomes of the file meanwhile.
    let copied = io::copy(&mut file.take(length), to)?;
    io::copy(&mut io::repeat(0).take(length - copied), to)?;
    pad(length, to)
}

fn pad(length: u64, to: &mut dyn Write) -> io::Result<()> {
    let over = usize::try_from(length % BLOCK as u64).unwrap_or(0);
    if over == 0 { Ok(()) } else { to.write_all(&[0; BLOCK][over..]) }
}

fn head(name: &str, kind: u8, meta: &fs::Metadata, length: u64, to: &mut dyn Write) -> io::Result<()> {
    if name.len() > 100 {
        // GNU's way: the name is a file before the file.
        let bytes = name.as_bytes();
        to.write_all(&block("././@LongLink", b'L', 0o644, 0, bytes.len() as u64 + 1))?;
        to.write_all(bytes)?;
        to.write_all(&[0])?;
        pad(bytes.len() as u64 + 1, to)?;
    }
    to.write_all(&block(name, kind, meta.permissions().mode() & 0o7777, meta.mtime(), length))
}

fn block(name: &str, kind: u8, mode: u32, modified: i64, length: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &name.as_bytes()[..name.len().min(100)]);
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    match length {
        // More than eleven octal digits: as a number of base 256.
        8_589_934_592.. => {
            put(124, &[0x80, 0, 0, 0]);
            put(128, &length.to_be_bytes());
        }
        _ => put(124, format!("{length:011o}").as_bytes()),
    }
    put(136, format!("{:011o}", modified.clamp(0, 0o77_777_777_777)).as_bytes());
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar  \0");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// Unpacks what `tar` wrote of the one path `root`: that becomes `into`. How many files there were.
///
/// Nothing is written outside of `into`, whatever the archive says: it comes from a container.
pub fn unpack(from: &mut dyn Read, root: &str, into: &Path) -> io::Result<usize> {
    let root = inside(Path::new(root)).unwrap_or_default();
    let (mut files, mut long_name) = (0, None);
    loop {
        let mut block = [0; BLOCK];
        match from.read_exact(&mut block) {
            Ok(()) => {}
            // Some end without the two empty blocks.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(files),
            Err(error) => return Err(error),
        }
        if block == [0; BLOCK] {
            // What follows is filling; whoever writes it must not be cut off.
            io::copy(from, &mut io::sink())?;
            return Ok(files);
        }
        let length = number(&block[124..136])?;
        let padding = (BLOCK as u64 - length % BLOCK as u64) % BLOCK as u64;
        let kind = block[156];
        if matches!(kind, b'L' | b'x') && length <= NAME_MAX {
            let mut bytes = Vec::new();
            from.take(length).read_to_end(&mut bytes)?;
            skip(from, padding)?;
            long_name = match kind {
                b'L' => Some(String::from_utf8_lossy(bytes.strip_suffix(b"\0").unwrap_or(&bytes)).into_owned()),
                _ => pax_path(&bytes).or(long_name),
            };
            continue;
        }
        let name = long_name.take().unwrap_or_else(|| name(&block));
        let path = inside(Path::new(&name)).and_then(|path| path.strip_prefix(&root).map(Path::to_owned).ok());
        match (kind, path) {
            (b'5', Some(path)) => {
                fs::create_dir_all(if path.as_os_str().is_empty() { into.to_owned() } else { into.join(path) })?;
                skip(from, length + padding)?;
            }
            (b'0' | 0, Some(path)) => {
                let to = if path.as_os_str().is_empty() { into.to_owned() } else { into.join(path) };
                if let Some(parent) = to.parent() {
                    fs::create_dir_all(parent)?;
                }
                let mode = u32::try_from(number(&block[100..108])? & 0o777).unwrap_or(0o644);
                let mut options = File::options();
                let mut file = options.write(true).create(true).truncate(true).mode(mode).open(&to)?;
                let copied = io::copy(&mut from.take(length), &mut file)?;
                if copied != length {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                skip(from, padding)?;
                files += 1;
            }
            (b'g', _) => skip(from, length + padding)?,
            (_, path) => {
                let why = if path.is_none() { "it lies elsewhere" } else { "it is neither a file nor a directory" };
                eprintln!("warning: skipping {name:?}: {why}");
                skip(from, length + padding)?;
            }
        }
    }
}

fn skip(from: &mut dyn Read, length: u64) -> io::Result<()> {
    match io::copy(&mut from.take(length), &mut io::sink())? {
        all if all == length => Ok(()),
        _ => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// A path without its root and without `.`; none if it leads out of where it begins.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut found = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => found.push(part),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(found)
}

fn name(block: &[u8; BLOCK]) -> String {
    let text = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    let (name, prefix) = (text(&block[..100]), text(&block[345..500]));
    // GNU's format uses that place for something else.
    if &block[257..263] == b"ustar\0" && !prefix.is_empty() { format!("{prefix}/{name}") } else { name }
}

/// Octal digits, or a number of base 256.
fn number(field: &[u8]) -> io::Result<u64> {
    let wrong = || io::Error::new(ErrorKind::InvalidData, "this is no archive");
    if field.first().is_some_and(|first| first & 0x80 != 0) {
        return Ok(field[1..].iter().rev().take(8).rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    }
    let text = std::str::from_utf8(field).map_err(|_| wrong())?.trim_matches(['\0', ' ']);
    if text.is_empty() { Ok(0) } else { u64::from_str_radix(text, 8).map_err(|_| wrong()) }
}

/// `path` among records like `30 path=a/b\n`.
fn pax_path(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    text.split('\n').find_map(|record| Some(record.split_once(' ')?.1.strip_prefix("path=")?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("miniku-tar-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let place = folder("round");
        let (from, into) = (place.join("from"), place.join("into"));
        let deep = "d".repeat(120);
        fs::create_dir_all(from.join(&deep).join("empty")).unwrap();
        fs::write(from.join("a"), "x".repeat(1000)).unwrap();
        fs::write(from.join(&deep).join("b"), "").unwrap();
        fs::set_permissions(from.join("a"), fs::Permissions::from_mode(0o750)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.join("link")).unwrap();
        let mut archive = Vec::new();
        pack(&from, "what", &mut archive).unwrap();
        assert_eq!(archive.len() % BLOCK, 0);
        assert_eq!(unpack(&mut archive.as_slice(), "what", &into).unwrap(), 2);
        assert_eq!(fs::read_to_string(into.join("a")).unwrap(), "x".repeat(1000));
        assert_eq!(fs::metadata(into.join("a")).unwrap().permissions().mode() & 0o777, 0o750);
        assert!(into.join(&deep).join("empty").is_dir() && into.join(&deep).join("b").is_file());
        assert!(fs::symlink_metadata(into.join("link")).is_err());
        // One file, under another name.
        let mut archive = Vec::new();
        pack(&from.join("a"), "tmp/x", &mut archive).unwrap();
        assert_eq!(unpack(&mut archive.as_slice(), "/tmp/x", &place.join("y")).unwrap(), 1);
        assert_eq!(fs::metadata(place.join("y")).unwrap().len(), 1000);
        fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn nothing_is_written_elsewhere() {
        let place = folder("evil");
        let into = place.join("into");
        for name in ["../evil", "/etc/evil", "what/../../evil", "other/evil"] {
            let mut archive = block(name, b'0', 0o644, 0, 1).to_vec();
            archive.extend([b'x'; BLOCK]);
            assert_eq!(unpack(&mut archive.as_slice(), "what", &into).unwrap(), 0, "{name}");
        }
        // A link, and then a file through it.
        let mut archive = block("what/l", b'2', 0o777, 0, 0).to_vec();
        archive[157..161].copy_from_slice(b"/tmp");
        archive.extend(block("what/l/evil", b'0', 0o644, 0, 0));
        unpack(&mut archive.as_slice(), "what", &into).unwrap();
        assert!(into.join("l/evil").is_file() && !fs::symlink_metadata(into.join("l")).unwrap().is_symlink());
        for wrong in [&[7; BLOCK][..], &block("what", b'0', 0, 0, 9)[..]] {
            assert!(unpack(&mut &wrong[..], "what", &into).is_err());
        }
        fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn other_programs_formats_are_read() {
        let mut archive = block("././PaxHeaders/x", b'x', 0o644, 0, 21).to_vec();
        let mut record = b"21 path=what/of-pax\n\n".to_vec();
        record.resize(BLOCK, 0);
        archive.extend(record);
        archive.extend(block("short", b'0', 0o644, 0, 0));
        let place = folder("pax");
        assert_eq!(unpack(&mut archive.as_slice(), "what", &place).unwrap(), 1);
        assert!(place.join("of-pax").is_file());
        assert_eq!(number(&block("", b'0', 0, 0, 1 << 40)[124..136]).unwrap(), 1 << 40);
        fs::remove_dir_all(place).unwrap();
    }
}
