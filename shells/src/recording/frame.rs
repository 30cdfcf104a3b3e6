//! The bytes of a recording: frames of packed text, each with a check that goes back to the first byte.
//!
//! ```text
//! miniku recording 1\n
//! frame:  length u32 | records u32 | check u32 | length bytes | check u32        (little-endian)
//! ```
//!
//! The text of all frames is one deflate stream (RFC 1951), flushed at the end of each frame, so that a frame can be
//! read when the next one was never written. The text is one JSON record a line. A frame of 0 records is the last;
//! its bytes are an [`Ending`], not packed. Both checks are CRC-32, the first of the last check of the frame before,
//! the length and the count; the second goes on with the bytes. A length can be believed before it is followed, and a
//! frame fits behind no other than its own predecessor.

use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress};
use miniku_core::record::Ending;
use std::io::{self, Read, Write};

/// How every recording begins.
const MAGIC: &[u8] = b"miniku recording 1\n";

/// What a frame takes beside its bytes.
const AROUND: u64 = 16;

/// The longest closing frame, which always has a place.
const CLOSING: u64 = 64;

/// Writes frames.
pub struct FrameWriter<W> {
    to: W,
    packer: Compress,
    check: u32,
    written: u64,
    limit: u64,
}

impl<W: Write> FrameWriter<W> {
    /// Begins a recording of at most so many bytes.
    pub fn begin(mut to: W, limit: u64) -> io::Result<Self> {
        to.write_all(MAGIC)?;
        let packer = Compress::new(Compression::fast(), false);
        Ok(FrameWriter { to, packer, check: crc(0, &[MAGIC]), written: MAGIC.len() as u64, limit })
    }

    /// Adds a frame with so many lines of text. False if there is no place for it: then only [`close`](Self::close) may
    /// follow, since the packer has seen what no reader will.
    pub fn append(&mut self, text: &[u8], records: u32) -> io::Result<bool> {
        assert!(records > 0, "a frame of no records is the end");
        let packed = pack(&mut self.packer, text)?;
        if self.written + AROUND + packed.len() as u64 + CLOSING > self.limit {
            return Ok(false);
        }
        self.frame(&packed, records)?;
        Ok(true)
    }

    /// Adds the last frame.
    pub fn close(mut self, ending: Ending) -> io::Result<()> {
        let said = serde_json::to_vec(&ending)?;
        self.frame(&said, 0)
    }

    fn frame(&mut self, bytes: &[u8], records: u32) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(|_| io::Error::other("a frame beyond 4 GiB"))?;
        let (length, records) = (length.to_le_bytes(), records.to_le_bytes());
        let head = crc(self.check, &[&length, &records]);
        self.check = crc(head, &[bytes]);
        // In one call: a process that is killed between two leaves half a frame more often.
        let frame = [&length[..], &records, &head.to_le_bytes(), bytes, &self.check.to_le_bytes()].concat();
        self.to.write_all(&frame)?;
        self.written += frame.len() as u64;
        Ok(())
    }
}

/// The least room for what is packed or unpacked.
const ROOM: usize = 4096;

/// What a flush ends with: an empty block that is not packed. Source: RFC 1951, section 3.2.4; zlib's manual, `deflate`.
const FLUSHED: [u8; 4] = [0, 0, 0xff, 0xff];

/// Packs text so that all of it can be unpacked from what this gives.
///
/// A flush is asked for until it is there. The writers of flate2 ask once, and keep the end of some long texts. Of no
/// text nothing is made: zlib does not flush twice in a row.
fn pack(packer: &mut Compress, text: &[u8]) -> io::Result<Vec<u8>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let (mut packed, mut at) = (Vec::with_capacity(text.len() / 4 + ROOM), 0);
    loop {
        let before = packer.total_in();
        packer.compress_vec(&text[at..], &mut packed, FlushCompress::Sync).map_err(io::Error::other)?;
        at += usize::try_from(packer.total_in() - before).map_err(io::Error::other)?;
        if at == text.len() && packed.len() < packed.capacity() && packed.ends_with(&FLUSHED) {
            return Ok(packed);
        }
        packed.reserve(packed.capacity().max(ROOM));
    }
}

/// What was packed in a frame.
fn unpack(unpacker: &mut Decompress, packed: &[u8]) -> Result<Vec<u8>, String> {
    let (mut text, mut at) = (Vec::with_capacity(packed.len() * 8 + ROOM), 0);
    loop {
        let (before, had) = (unpacker.total_in(), text.len());
        unpacker.decompress_vec(&packed[at..], &mut text, FlushDecompress::Sync).map_err(|error| error.to_string())?;
        at += usize::try_from(unpacker.total_in() - before).map_err(|error| error.to_string())?;
        if at == packed.len() && text.len() < text.capacity() {
            return Ok(text);
        }
        if text.len() < text.capacity() && unpacker.total_in() == before && text.len() == had {
            return Err("a frame's text goes on after its end".into());
        }
        text.reserve(text.capacity().max(ROOM));
    }
}

/// CRC-32 of what came before, as a number, and of these.
fn crc(before: u32, parts: &[&[u8]]) -> u32 {
    let mut crc = Crc::new();
    crc.update(&before.to_le_bytes());
    parts.iter().for_each(|part| crc.update(part));
    crc.sum()
}

/// One frame.
#[derive(Debug, PartialEq)]
pub enum Frame {
    /// So many lines of text, at this offset in the file.
    Records { text: Vec<u8>, records: u32, offset: u64 },
    /// There are no more.
    End(Ending),
}

/// What is wrong with the bytes of a recording, and where.
#[derive(Debug)]
pub struct Damage {
    /// Of the frame, in the file.
    pub offset: u64,
    /// A sentence's end.
    pub what: String,
}

/// Reads frames.
pub struct FrameReader<R> {
    from: R,
    unpacker: Decompress,
    check: u32,
    offset: u64,
}

impl<R: Read> FrameReader<R> {
    /// Begins to read. Absent if the file ends before it has said what it is.
    pub fn begin(mut from: R) -> Result<Option<Self>, Damage> {
        let damage = |what: String| Damage { offset: 0, what };
        let magic = up_to(&mut from, MAGIC.len() as u64).map_err(|error| damage(error.to_string()))?;
        if magic != MAGIC {
            let torn = MAGIC.starts_with(&magic);
            return if torn {
                Ok(None)
            } else {
                Err(damage("it does not begin as a recording that is read here".into()))
            };
        }
        let unpacker = Decompress::new(false);
        Ok(Some(FrameReader { from, unpacker, check: crc(0, &[MAGIC]), offset: MAGIC.len() as u64 }))
    }

    /// The next frame. After [`Frame::End`] there is none.
    pub fn next_frame(&mut self) -> Result<Frame, Damage> {
        let offset = self.offset;
        self.read().map_err(|what| Damage { offset, what })
    }

    fn read(&mut self) -> Result<Frame, String> {
        let said = |error: io::Error| error.to_string();
        let head = up_to(&mut self.from, 12).map_err(said)?;
        let Ok(words) = <[u8; 12]>::try_from(&head[..]) else { return Ok(killed(head.len())) };
        let (length, records, check) = (word(&words, 0), word(&words, 4), word(&words, 8));
        if check != crc(self.check, &[&words[..8]]) {
            // A file system that lost its power may have made the file longer, and not written what is there.
            let rest = self.rest().map_err(said)?;
            let zeros = words.iter().chain(&rest).all(|byte| *byte == 0);
            return if zeros { Ok(killed(12 + rest.len())) } else { Err("the head of a frame is damaged".into()) };
        }
        let body = up_to(&mut self.from, u64::from(length) + 4).map_err(said)?;
        let Some((bytes, after)) = body.split_last_chunk::<4>().filter(|(bytes, _)| bytes.len() == length as usize)
        else {
            return Ok(killed(12 + body.len()));
        };
        if u32::from_le_bytes(*after) != crc(check, &[bytes]) {
            return Err("a frame is damaged".into());
        }
        let offset = self.offset;
        self.check = u32::from_le_bytes(*after);
        self.offset += AROUND + u64::from(length);
        if records == 0 {
            let ending = serde_json::from_slice(bytes).map_err(|error| format!("its end cannot be read: {error}"))?;
            let more = self.rest().map_err(said)?.len();
            return if more == 0 { Ok(Frame::End(ending)) } else { Err(format!("{more} bytes follow its end")) };
        }
        let text = unpack(&mut self.unpacker, bytes)?;
        Ok(Frame::Records { text, records, offset })
    }

    fn rest(&mut self) -> io::Result<Vec<u8>> {
        up_to(&mut self.from, u64::MAX)
    }
}

fn killed(torn: usize) -> Frame {
    Frame::End(Ending::Killed { torn: torn as u64 })
}

fn word(bytes: &[u8; 12], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// So many bytes, or as many as there are.
fn up_to(from: &mut impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    /// Whatever the packer has room for at a time.
    #[test]
    fn long_frames_are_whole() {
        let mut draw = 1_u64;
        let mut below = |most: u64| {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (draw >> 33) % most
        };
        // Some that hardly get shorter, some that nearly vanish, and all between.
        let texts = (0..600).map(|_| {
            let (long, words) = (1 << below(18), 1 << below(12));
            (0..long).map(|_| b' ' + (below(words) % 90) as u8 * u8::from(below(8) > 0)).collect()
        });
        let texts: Vec<Vec<u8>> = texts.collect();
        let (file, _) = written(&texts, Some(Ending::Stopped));
        let mut reader = FrameReader::begin(&file[..]).unwrap().unwrap();
        for text in &texts {
            let Frame::Records { text: read, .. } = reader.next_frame().unwrap() else { panic!("a frame is missing") };
            assert!(read == *text, "{} of {} bytes", read.len(), text.len());
        }
    }

    fn written(texts: &[Vec<u8>], ending: Option<Ending>) -> (Vec<u8>, Vec<usize>) {
        let (mut file, mut ends) = (Vec::new(), Vec::new());
        let mut writer = FrameWriter::begin(&mut file, u64::MAX).unwrap();
        for text in texts {
            assert!(writer.append(text, 1).unwrap());
            ends.push(writer.written as usize);
        }
        if let Some(ending) = ending {
            writer.close(ending).unwrap();
        }
        (file, ends)
    }

    fn read(file: &[u8]) -> Result<(Vec<Vec<u8>>, Ending), Damage> {
        let mut texts = Vec::new();
        let Some(mut reader) = FrameReader::begin(file)? else {
            return Ok((texts, Ending::Killed { torn: file.len() as u64 }));
        };
        loop {
            match reader.next_frame()? {
                Frame::Records { text, .. } => texts.push(text),
                Frame::End(ending) => return Ok((texts, ending)),
            }
        }
    }

    quickcheck! {
        fn what_is_written_is_read(texts: Vec<Vec<u8>>) -> bool {
            let (file, _) = written(&texts, Some(Ending::Stopped));
            read(&file).unwrap() == (texts, Ending::Stopped)
        }

        /// Wherever the process was killed, all whole frames are there.
        fn a_torn_end_is_cut_off(texts: Vec<Vec<u8>>, cut: usize) -> bool {
            let (file, ends) = written(&texts, None);
            let cut = cut % (file.len() + 1);
            let whole = ends.iter().filter(|end| **end <= cut).count();
            let (found, ending) = read(&file[..cut]).unwrap();
            found == texts[..whole] && matches!(ending, Ending::Killed { .. })
        }

        /// A flipped bit is told, wherever it is.
        fn damage_is_told(texts: Vec<Vec<u8>>, at: usize, bit: u8) -> bool {
            let (mut file, _) = written(&texts, Some(Ending::Stopped));
            let at = at % file.len();
            file[at] ^= 1 << (bit % 8);
            read(&file).is_err()
        }

        /// Two frames in the wrong order are told, or one that is missing.
        fn order_is_told(one: Vec<u8>, other: Vec<u8>) -> bool {
            let (file, ends) = written(&[one, other, b"more".to_vec()], None);
            let (first, second) = (&file[MAGIC.len()..ends[0]], &file[ends[0]..ends[1]]);
            let swapped = [MAGIC, second, first].concat();
            let missing = [&file[..ends[0]], &file[ends[1]..]].concat();
            read(&swapped).is_err() && read(&missing).is_err()
        }
    }

    #[test]
    fn there_is_always_a_place_for_the_end() {
        for limit in 100..1000 {
            let mut file = Vec::new();
            let mut writer = FrameWriter::begin(&mut file, limit).unwrap();
            let mut frames = 0;
            while writer.append(format!("{}\n", frames * 7919).as_bytes(), 1).unwrap() {
                frames += 1;
            }
            writer.close(Ending::Full).unwrap();
            assert!(file.len() as u64 <= limit);
            let (found, ending) = read(&file).unwrap();
            assert_eq!((found.len(), ending), (frames, Ending::Full));
        }
    }

    #[test]
    fn a_tail_of_zeros_was_never_written() {
        let (mut file, _) = written(&[b"a".to_vec()], None);
        file.extend([0; 100]);
        assert_eq!(read(&file).unwrap(), (vec![b"a".to_vec()], Ending::Killed { torn: 100 }));
        file.push(1);
        assert!(read(&file).is_err());
        assert!(read(b"some text").is_err() && read(b"miniku recording 2\n").is_err());
    }
}
