//! Container output in the format of the Container Runtime Interface, written and read.
//!
//! One entry a line: `2026-11-20T10:45:51.123456789Z stdout F text`. `F` is a full line, `P` a part of one
//! that goes on in the next entry of the same stream. A log is one file and, once that has reached
//! [`FILE_MAX`], one older: `0.log` and `0.log.1`.
//!
//! Source: Kubernetes, "Logging Architecture" and `kubelet/kuberuntime/logs`.

use crate::enter::{Failure, failed_io};
use miniku_core::api::meta::{parse_rfc3339, rfc3339_nanos};
use miniku_core::time::{Duration, Wall};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A log file of this size is put aside. Source: kubelet's `containerLogMaxSize`.
pub const FILE_MAX: u64 = 10 << 20;
/// A longer line is written in parts. Source: containerd's `max_container_log_line_size`.
const LINE_MAX: usize = 16 << 10;

/// Which of a program's two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// One stream's bytes on their way to being entries.
pub struct Splitter {
    stream: Stream,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
}

impl Splitter {
    /// Nothing has come yet.
    pub fn new(stream: Stream) -> Splitter {
        Splitter { stream, line: Vec::new() }
    }

    /// Appends to `out` an entry for each line that is complete, and for each part that is long enough.
    pub fn feed(&mut self, bytes: &[u8], now: Wall, out: &mut Vec<u8>) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (mut text, ended) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            while self.line.len() + text.len() > LINE_MAX {
                let (part, rest) = text.split_at(LINE_MAX - self.line.len());
                self.entry(b'P', part, now, out);
                text = rest;
            }
            if ended {
                self.entry(b'F', text, now, out);
            } else {
                self.line.extend_from_slice(text);
            }
        }
    }

    /// The stream has ended: what is left is a part whose other half never comes.
    pub fn end(&mut self, now: Wall, out: &mut Vec<u8>) {
        if !self.line.is_empty() {
            self.entry(b'P', b"", now, out);
        }
    }

    fn entry(&mut self, tag: u8, text: &[u8], now: Wall, out: &mut Vec<u8>) {
        // A Vec takes all.
        let _ = write!(out, "{} {} {} ", rfc3339_nanos(now), self.stream.name(), char::from(tag));
        // Taken, not cleared: a long line must not cost memory for the rest of the pod's life.
        out.extend_from_slice(&std::mem::take(&mut self.line));
        out.extend_from_slice(text);
        out.push(b'\n');
    }
}

/// A log being written.
pub struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
    size_max: u64,
    /// The last write failed, on a full disk perhaps, and may have left a part of an entry.
    torn: bool,
}

impl LogFile {
    /// Goes on where the file ends, or begins one.
    pub fn open(path: &Path) -> Result<LogFile, Failure> {
        LogFile::open_limited(path, FILE_MAX)
    }

    fn open_limited(path: &Path, size_max: u64) -> Result<LogFile, Failure> {
        let open = || {
            let file = File::options().create(true).append(true).open(path)?;
            let size = file.metadata()?.len();
            Ok(LogFile { path: path.to_owned(), file, size, size_max, torn: false })
        };
        open().map_err(failed_io(format!("open log {}", path.display())))
    }

    /// Appends whole entries in one write, into a new file if this one is full.
    pub fn write(&mut self, entries: &[u8]) -> Result<(), Failure> {
        if self.size > 0 && self.size + entries.len() as u64 > self.size_max {
            match fs::rename(&self.path, older(&self.path)) {
                // It was put aside before, and no new one could be made then.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                other => other.map_err(failed_io(format!("rename {}", self.path.display())))?,
            }
            *self = LogFile::open_limited(&self.path, self.size_max)?;
        }
        // Ends what is cut off, so that this entry is whole. Readers pass over a line that says nothing.
        let end = if self.torn { &b"\n"[..] } else { b"" };
        let written = self.file.write_all(end).and_then(|()| self.file.write_all(entries));
        self.torn = written.is_err();
        self.size = match written {
            Ok(()) => self.size + (end.len() + entries.len()) as u64,
            // What the disk did not take must not put aside, and in the end remove, what it has.
            Err(_) => self.file.metadata().map_or(self.size, |file| file.len()),
        };
        written.map_err(failed_io(format!("write log {}", self.path.display())))
    }
}

fn older(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

/// One entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was written.
    pub time: Wall,
    /// By which output.
    pub stream: Stream,
    /// The line ends here. Otherwise it goes on in the next entry of this stream, if there is one.
    pub full: bool,
    /// What was written, without the end of the line. Not necessarily UTF-8.
    pub text: Vec<u8>,
}

impl Entry {
    /// The bytes as the program wrote them: the text, and an end of line unless it is only a part.
    pub fn written(&self) -> Vec<u8> {
        let mut bytes = self.text.clone();
        if self.full {
            bytes.push(b'\n');
        }
        bytes
    }

    fn parse(line: &[u8]) -> Option<Entry> {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let time = parse_rfc3339(std::str::from_utf8(parts.next()?).ok()?).ok()?;
        let stream = match parts.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        let full = parts.next()?.first() == Some(&b'F');
        Some(Entry { time, stream, full, text: parts.next()?.to_vec() })
    }
}

/// A log being read, from its oldest entry on, while it may still be written and rotated.
pub struct LogReader {
    path: PathBuf,
    file: BufReader<File>,
    inode: u64,
    /// The beginning of an entry whose end is not written yet.
    line: Vec<u8>,
    /// Another file follows this one: its end is final.
    last: bool,
}

impl LogReader {
    /// Opens the log whose current file this is. Its absence is an error of the kind `NotFound`.
    pub fn open(path: &Path) -> std::io::Result<LogReader> {
        let old = File::open(older(path));
        let file = match old {
            Ok(file) => file,
            Err(_) => File::open(path)?,
        };
        let inode = file.metadata()?.ino();
        Ok(LogReader { path: path.to_owned(), file: BufReader::new(file), inode, line: Vec::new(), last: false })
    }

    /// Opens it so that at most the last `count` lines are read. A line in several parts counts once.
    pub fn open_tail(path: &Path, count: usize) -> std::io::Result<LogReader> {
        let mut newest_first = Vec::new();
        for (which, path) in [path.to_owned(), older(path)].into_iter().enumerate() {
            match File::open(&path) {
                Ok(file) => newest_first.push((which, file)),
                Err(error) if which == 0 => return Err(error),
                Err(_) => {}
            }
        }
        let mut wanted = count;
        for (which, mut file) in newest_first {
            let (offset, found) = tail_offset(&mut file, wanted)?;
            wanted -= found;
            if wanted == 0 || which == 1 || !older(path).exists() {
                file.seek(SeekFrom::Start(offset))?;
                let inode = file.metadata()?.ino();
                return Ok(LogReader {
                    path: path.to_owned(),
                    file: BufReader::new(file),
                    inode,
                    line: Vec::new(),
                    last: false,
                });
            }
        }
        LogReader::open(path)
    }

    /// The next entry. `None` if there is no more for now.
    pub fn next_entry(&mut self) -> std::io::Result<Option<Entry>> {
        loop {
            self.file.read_until(b'\n', &mut self.line)?;
            if self.line.last() == Some(&b'\n') {
                self.line.pop();
                let entry = Entry::parse(&self.line);
                self.line.clear();
                match entry {
                    Some(entry) => return Ok(Some(entry)),
                    // Not written by us; nothing sensible can be said of it.
                    None => continue,
                }
            }
            if !self.next_file()? {
                return Ok(None);
            }
        }
    }

    /// Goes on to the file after this one. False if this is the one that is written.
    fn next_file(&mut self) -> std::io::Result<bool> {
        let inode_of = |path: &Path| fs::metadata(path).map(|metadata| metadata.ino()).ok();
        if inode_of(&self.path) == Some(self.inode) {
            return Ok(false);
        }
        // It was put aside, perhaps after our last read: its end has to be read once more.
        if !self.last {
            self.last = true;
            return Ok(true);
        }
        let old = older(&self.path);
        let next = if inode_of(&old).is_some_and(|inode| inode != self.inode) { &old } else { &self.path };
        let file = match File::open(next) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        self.inode = file.metadata()?.ino();
        self.file = BufReader::new(file);
        self.line.clear();
        self.last = false;
        Ok(true)
    }

    /// Hands over every entry, and waits for more at the end, until `stop` says so there or `each` breaks.
    ///
    /// `stop` is asked about every 50 ms while nothing new is written. To lose nothing of a container that
    /// ends, let it answer whether the container had ended: everything written before is read once more.
    pub fn follow(
        &mut self,
        mut stop: impl FnMut() -> bool,
        mut each: impl FnMut(Entry) -> ControlFlow<()>,
    ) -> std::io::Result<()> {
        loop {
            let stopping = stop();
            while let Some(entry) = self.next_entry()? {
                if each(entry).is_break() {
                    return Ok(());
                }
            }
            if stopping {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Where the last `count` lines begin, and how many there are at most.
fn tail_offset(file: &mut File, count: usize) -> std::io::Result<(u64, usize)> {
    let mut text = Vec::new();
    file.rewind()?;
    // At most FILE_MAX and what one write adds.
    file.read_to_end(&mut text)?;
    let (mut offset, mut found) = (text.len(), 0);
    let full = |line: &[u8]| line.splitn(4, |byte| *byte == b' ').nth(2) == Some(b"F");
    let mut lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let ends_in_part = lines.last().is_some_and(|line| !full(line));
    if ends_in_part && count > 0 {
        found = 1;
    }
    while let Some(line) = lines.pop() {
        if full(line) {
            if found == count {
                return Ok((offset as u64, found));
            }
            found += 1;
        } else if count == 0 {
            return Ok((text.len() as u64, 0));
        }
        offset -= line.len();
    }
    Ok((0, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall::from_nanos(1_795_171_551_000_000_007);

    fn split(chunks: &[&[u8]]) -> Vec<String> {
        let (mut splitter, mut out) = (Splitter::new(Stream::Stdout), Vec::new());
        for chunk in chunks {
            splitter.feed(chunk, NOW, &mut out);
        }
        splitter.end(NOW, &mut out);
        String::from_utf8(out).unwrap().lines().map(|line| line[31..].to_owned()).collect()
    }

    #[test]
    fn lines_wherever_they_are_cut() {
        assert_eq!(split(&[b"a\nb\n"]), ["stdout F a", "stdout F b"]);
        assert_eq!(split(&[b"a", b"b\nc", b"\n"]), ["stdout F ab", "stdout F c"]);
        assert_eq!(split(&[b"\n\n"]), ["stdout F ", "stdout F "]);
        assert_eq!(split(&[b"no end"]), ["stdout P no end"]);
        assert_eq!(split(&[b""]), [""; 0]);
    }

    #[test]
    fn long_lines_become_parts() {
        let long = [b"x".repeat(LINE_MAX + 5), b"\n".to_vec()].concat();
        let tags: Vec<(char, usize)> = split(&[&long[..100], &long[100..]])
            .iter()
            .map(|line| (line.chars().nth(7).unwrap(), line.len() - 9))
            .collect();
        assert_eq!(tags, [('P', LINE_MAX), ('F', 5)]);
    }

    struct Directory(PathBuf);
    impl Directory {
        fn new(name: &str) -> Directory {
            let path = std::env::temp_dir().join(format!("miniku-logs-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Directory(path)
        }
    }
    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn entry(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        Splitter::new(Stream::Stderr).feed(format!("{text}\n").as_bytes(), NOW, &mut out);
        out
    }

    fn rest(reader: &mut LogReader) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            assert_eq!((entry.stream, entry.time, entry.full), (Stream::Stderr, NOW, true));
            texts.push(String::from_utf8(entry.text).unwrap());
        }
        texts
    }

    #[test]
    fn reading_follows_writing_through_rotations() {
        let directory = Directory::new("rotate");
        let path = directory.0.join("0.log");
        let mut log = LogFile::open_limited(&path, 150).unwrap();
        log.write(&entry("one")).unwrap();
        let mut reader = LogReader::open(&path).unwrap();
        assert_eq!(rest(&mut reader), ["one"]);
        assert_eq!(rest(&mut reader), [""; 0]);
        for text in ["two", "three", "four", "five"] {
            log.write(&entry(text)).unwrap();
        }
        assert_eq!(rest(&mut reader), ["two", "three", "four", "five"]);
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 2);
        assert_eq!(rest(&mut LogReader::open(&path).unwrap()).last().map(String::as_str), Some("five"));
    }

    #[test]
    fn the_tail() {
        let directory = Directory::new("tail");
        let path = directory.0.join("0.log");
        let mut log = LogFile::open_limited(&path, 150).unwrap();
        for text in ["one", "two", "three", "four", "five"] {
            log.write(&entry(text)).unwrap();
        }
        let tail = |count| rest(&mut LogReader::open_tail(&path, count).unwrap());
        assert_eq!(tail(0), [""; 0]);
        assert_eq!(tail(1), ["five"]);
        assert_eq!(tail(2), ["four", "five"]);
        assert_eq!(tail(3).len(), 3);
        assert_eq!(tail(4).first().map(String::as_str), Some("two"));
    }

    #[test]
    fn what_a_full_disk_does_not_take_puts_nothing_aside() {
        let directory = Directory::new("full");
        let path = directory.0.join("0.log");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut log = LogFile::open_limited(&path, 150).unwrap();
        for _ in 0..5 {
            assert!(log.write(&entry("lost")).is_err());
        }
        assert!(fs::symlink_metadata(older(&path)).is_err());
    }

    #[test]
    fn a_log_that_was_put_aside_in_vain_is_begun_anew() {
        let directory = Directory::new("aside");
        let path = directory.0.join("0.log");
        let mut log = LogFile::open_limited(&path, 150).unwrap();
        for text in ["one", "two", "three"] {
            log.write(&entry(text)).unwrap();
        }
        fs::rename(&path, older(&path)).unwrap();
        log.write(&entry("four")).unwrap();
        assert_eq!(rest(&mut LogReader::open(&path).unwrap()), ["one", "two", "three", "four"]);
    }

    #[test]
    fn an_entry_that_is_half_written_waits() {
        let directory = Directory::new("half");
        let path = directory.0.join("0.log");
        let whole = entry("text");
        fs::write(&path, &whole[..20]).unwrap();
        let mut reader = LogReader::open(&path).unwrap();
        assert_eq!(rest(&mut reader), [""; 0]);
        File::options().append(true).open(&path).unwrap().write_all(&whole[20..]).unwrap();
        assert_eq!(rest(&mut reader), ["text"]);
    }

    #[test]
    fn a_log_that_is_not_there() {
        let missing = LogReader::open(Path::new("/nonexistent/0.log")).err().unwrap();
        assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    }
}
