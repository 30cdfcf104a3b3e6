//! SPDY/3.1: several streams in one connection. What port-forward needs of it, for both sides.
//!
//! Data is handed over piece by piece as it arrives. Pings are answered here.
//!
//! Flow control is done as far as the other side does it. What was taken is announced with WINDOW_UPDATE. A peer's
//! window counts from when it has announced one: kubectl's SPDY (like the kubelet's) never does, and one that were held
//! to the first 64 KiB would stand still for ever. Then it is the connection itself that holds back.
//!
//! Source: "SPDY Protocol - Draft 3.1", chromium.org; sections are named where they are used.

use crate::streams::outbox::Outbox;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::collections::BTreeMap;
use std::fmt;

/// What the other side did.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// It began a stream.
    Opened {
        /// The stream's number.
        id: u32,
        /// What it says of it.
        headers: Headers,
        /// It sends nothing on it.
        last: bool,
    },
    /// It sent some bytes, perhaps none.
    Data {
        /// On this stream.
        id: u32,
        /// The bytes.
        bytes: Vec<u8>,
        /// They are the last.
        last: bool,
    },
    /// It ended a stream before its time.
    Reset(u32),
    /// It begins no more streams.
    GoneAway,
}

/// Names and values.
pub type Headers = Vec<(String, String)>;

/// What the other side must not do. The connection is of no more use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(&'static str);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// No control frame that is of use is longer.
const CONTROL_MAX: u32 = 64 << 10;
/// Headers, unpacked: those of port-forward take a hundred bytes.
const HEADERS_MAX: usize = 16 << 10;
/// Streams at once; two for each connection that is forwarded.
const STREAMS_MAX: usize = 512;
/// What may be sent before anything is said about it. Section 2.6.8.
const WINDOW: i64 = 64 << 10;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;

/// The flag of a frame that is the last of its stream in this direction.
const FIN: u8 = 1;

/// Status codes of RST_STREAM. Section 2.6.3.
const REFUSED_STREAM: u32 = 3;
/// See [`REFUSED_STREAM`].
pub const CANCEL: u32 = 5;

/// One side of a connection.
pub struct Spdy {
    /// Begins streams; those have odd numbers.
    client: bool,
    inbox: Vec<u8>,
    data: Option<Data>,
    inflate: Decompress,
    deflate: Compress,
    deflate_knows: bool,
    streams: BTreeMap<u32, Stream>,
    /// The last that the peer began, and the next of our own.
    last_opened: u32,
    next: u32,
    /// What the peer lets be sent on a new stream.
    window: i64,
    /// The peer does flow control.
    windows: bool,
    /// To be sent.
    pub out: Outbox,
}

impl fmt::Debug for Spdy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spdy").field("streams", &self.streams).finish_non_exhaustive()
    }
}

/// A data frame under way.
#[derive(Clone, Copy, Debug)]
struct Data {
    id: u32,
    last: bool,
    left: u32,
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    /// How much the peer takes, if it counts.
    window: i64,
    heard_last: bool,
    said_last: bool,
}

impl Spdy {
    /// A connection on which nothing was said yet.
    pub fn new(client: bool) -> Self {
        Spdy {
            client,
            inbox: Vec::new(),
            data: None,
            inflate: Decompress::new(true),
            deflate: Compress::new(Compression::fast(), true),
            deflate_knows: false,
            streams: BTreeMap::new(),
            last_opened: 0,
            next: if client { 1 } else { 2 },
            window: WINDOW,
            windows: false,
            out: Outbox::default(),
        }
    }

    /// Takes bytes that have arrived. Ask for what they mean with [`Spdy::next`].
    pub fn feed(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
    }

    /// What comes next, if it is there.
    #[expect(clippy::should_implement_trait, reason = "an iterator that ended would not begin again")]
    pub fn next(&mut self) -> Result<Option<Event>, Violation> {
        loop {
            if let Some(data) = self.data {
                match self.data(data) {
                    Some(event) => return Ok(Some(event)),
                    None if self.data.is_some() => return Ok(None),
                    None => continue,
                }
            }
            let Some((head, rest)) = self.inbox.split_first_chunk::<8>() else { return Ok(None) };
            let number = |bytes: &[u8]| bytes.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
            let (first, flags, length) = (number(&head[..4]), head[4], number(&head[5..]));
            if first >> 31 == 0 {
                self.inbox.drain(..8);
                self.data = Some(Data { id: first, last: flags & FIN != 0, left: length });
                continue;
            }
            if first >> 16 != 0x8003 {
                return Err(Violation("a frame that is not of SPDY/3"));
            }
            if length > CONTROL_MAX {
                return Err(Violation("a control frame is too long"));
            }
            let Some(payload) = rest.get(..length as usize) else { return Ok(None) };
            let payload = payload.to_vec();
            self.inbox.drain(..8 + length as usize);
            if let Some(event) = self.control(first as u16, flags, &payload)? {
                return Ok(Some(event));
            }
        }
    }

    fn data(&mut self, data: Data) -> Option<Event> {
        let count = self.inbox.len().min(data.left as usize);
        if count == 0 && data.left > 0 {
            return None;
        }
        let bytes: Vec<u8> = self.inbox.drain(..count).collect();
        let left = data.left - count as u32;
        self.data = (left > 0).then_some(Data { left, ..data });
        // What was sent on a stream that has ended here meanwhile goes nowhere.
        let stream = self.streams.get_mut(&data.id).filter(|stream| !stream.heard_last)?;
        let last = left == 0 && data.last;
        stream.heard_last = last;
        self.forget_ended(data.id);
        Some(Event::Data { id: data.id, bytes, last })
    }

    fn control(&mut self, kind: u16, flags: u8, payload: &[u8]) -> Result<Option<Event>, Violation> {
        let number = |at: usize| {
            let bytes = payload.get(at..at + 4).and_then(|bytes| bytes.first_chunk());
            bytes.map(|bytes| u32::from_be_bytes(*bytes)).ok_or(Violation("a control frame is too short"))
        };
        match kind {
            SYN_STREAM => {
                let id = number(0)? & !(1 << 31);
                // Unpacked in any case: what comes later is packed on top of it.
                let headers = self.unpack(payload.get(10..).unwrap_or_default())?;
                if id <= self.last_opened || (id % 2 == 0) != self.client {
                    return Err(Violation("a stream's number is used again, or is not the peer's to use"));
                }
                self.last_opened = id;
                if self.streams.len() >= STREAMS_MAX {
                    self.control_frame(RST_STREAM, 0, &[&id.to_be_bytes(), &REFUSED_STREAM.to_be_bytes()]);
                    return Ok(None);
                }
                let last = flags & FIN != 0;
                let stream = Stream { window: self.window, heard_last: last, said_last: false };
                self.streams.insert(id, stream);
                let block = self.pack(&[]);
                self.control_frame(SYN_REPLY, 0, &[&id.to_be_bytes(), &block]);
                Ok(Some(Event::Opened { id, headers, last }))
            }
            SYN_REPLY | HEADERS => {
                let id = number(0)?;
                self.unpack(payload.get(4..).unwrap_or_default())?;
                let known = self.streams.get_mut(&id).filter(|stream| flags & FIN != 0 && !stream.heard_last);
                Ok(known.map(|stream| {
                    stream.heard_last = true;
                    Event::Data { id, bytes: Vec::new(), last: true }
                }))
            }
            RST_STREAM => {
                let id = number(0)?;
                Ok(self.streams.remove(&id).map(|_| Event::Reset(id)))
            }
            SETTINGS => {
                // Number of entries; then flags, id and value of each. 7 is the size of new windows.
                let entries = (0..number(0)? as usize).take(64).map(|nth| 4 + 8 * nth);
                for at in entries {
                    if number(at)? & 0xff_ffff == 7 {
                        let window = i64::from(number(at + 4)?);
                        let change = window - self.window;
                        self.streams.values_mut().for_each(|stream| stream.window += change);
                        (self.window, self.windows) = (window, true);
                    }
                }
                Ok(None)
            }
            PING => {
                let id = number(0)?;
                // Its own are even from a server, odd from a client; ours come back.
                if (id % 2 == 0) == self.client && self.out.has_room() {
                    self.control_frame(PING, 0, &[&id.to_be_bytes()]);
                }
                Ok(None)
            }
            GOAWAY => Ok(Some(Event::GoneAway)),
            WINDOW_UPDATE => {
                let more = i64::from(number(4)? & !(1 << 31));
                self.windows = true;
                if let Some(stream) = self.streams.get_mut(&number(0)?) {
                    stream.window += more;
                }
                Ok(None)
            }
            // "Must be ignored": section 2.2.1.
            _ => Ok(None),
        }
    }

    /// Begins a stream; `last` if nothing will be sent on it.
    pub fn open(&mut self, headers: &[(&str, &str)], last: bool) -> u32 {
        let id = self.next;
        self.next += 2;
        let block = self.pack(headers);
        let flags = if last { FIN } else { 0 };
        self.control_frame(SYN_STREAM, flags, &[&id.to_be_bytes(), &[0; 6], &block]);
        self.streams.insert(id, Stream { window: self.window, heard_last: false, said_last: last });
        id
    }

    /// How many bytes may be sent on a stream now.
    pub fn room(&self, id: u32) -> usize {
        match self.streams.get(&id) {
            Some(stream) if stream.said_last => 0,
            Some(stream) if self.windows => usize::try_from(stream.window).unwrap_or(0),
            Some(_) => usize::MAX,
            None => 0,
        }
    }

    /// Sends bytes on a stream, no more than there is room for; `last` if they are the last. Nothing if it has ended.
    pub fn send(&mut self, id: u32, bytes: &[u8], last: bool) {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.said_last) else { return };
        stream.window -= bytes.len() as i64;
        stream.said_last = last;
        let flags = if last { FIN } else { 0 };
        self.frame(id, flags, &[bytes]);
        self.forget_ended(id);
    }

    /// Says that so many more bytes may come on a stream.
    pub fn taken(&mut self, id: u32, count: usize) {
        if count > 0 && self.streams.get(&id).is_some_and(|stream| !stream.heard_last) {
            let count = u32::try_from(count).unwrap_or(u32::MAX) & !(1 << 31);
            self.control_frame(WINDOW_UPDATE, 0, &[&id.to_be_bytes(), &count.to_be_bytes()]);
        }
    }

    /// Ends a stream before its time.
    pub fn reset(&mut self, id: u32) {
        if self.streams.remove(&id).is_some() {
            self.control_frame(RST_STREAM, 0, &[&id.to_be_bytes(), &CANCEL.to_be_bytes()]);
        }
    }

    fn forget_ended(&mut self, id: u32) {
        if self.streams.get(&id).is_some_and(|stream| stream.heard_last && stream.said_last) {
            self.streams.remove(&id);
        }
    }

    fn control_frame(&mut self, kind: u16, flags: u8, parts: &[&[u8]]) {
        self.frame(0x8003_0000 | u32::from(kind), flags, parts);
    }

    fn frame(&mut self, first: u32, flags: u8, parts: &[&[u8]]) {
        let length = parts.iter().map(|part| part.len()).sum::<usize>() as u32;
        self.out.put(&first.to_be_bytes());
        self.out.put(&(u32::from(flags) << 24 | length & 0xff_ffff).to_be_bytes());
        parts.iter().for_each(|part| self.out.put(part));
    }

    /// A block of headers: their number, then the length and the text of each name and value, all deflated in one go
    /// for the whole connection. Section 2.6.10.
    fn pack(&mut self, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut plain = (headers.len() as u32).to_be_bytes().to_vec();
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            plain.extend_from_slice(&(text.len() as u32).to_be_bytes());
            plain.extend_from_slice(text.as_bytes());
        }
        if !std::mem::replace(&mut self.deflate_knows, true) {
            self.deflate.set_dictionary(&dictionary()).expect("a compressor that is new takes a dictionary");
        }
        let (mut packed, mut used) = (Vec::new(), 0);
        loop {
            packed.reserve(256);
            let before = self.deflate.total_in();
            self.deflate
                .compress_vec(&plain[used..], &mut packed, FlushCompress::Sync)
                .expect("a compressor takes all bytes");
            used += (self.deflate.total_in() - before) as usize;
            // All is flushed when there was room for more.
            if used == plain.len() && packed.len() < packed.capacity() {
                return packed;
            }
        }
    }

    fn unpack(&mut self, packed: &[u8]) -> Result<Headers, Violation> {
        let mut plain = Vec::with_capacity(1024);
        let mut used = 0;
        loop {
            let (before_in, before_out) = (self.inflate.total_in(), plain.len());
            let step = self.inflate.decompress_vec(&packed[used..], &mut plain, FlushDecompress::Sync);
            used += (self.inflate.total_in() - before_in) as usize;
            match step {
                Err(error) if error.needs_dictionary().is_some() => {
                    let known = self.inflate.set_dictionary(&dictionary());
                    known.map_err(|_| Violation("headers are packed with a dictionary that is not SPDY's"))?;
                    continue;
                }
                Err(_) => return Err(Violation("headers are packed in a way that cannot be unpacked")),
                Ok(Status::StreamEnd) => return Err(Violation("the packing of headers ends before the connection")),
                Ok(_) => {}
            }
            if plain.len() < plain.capacity() {
                if used == packed.len() || plain.len() == before_out {
                    break;
                }
            } else if plain.len() >= HEADERS_MAX {
                return Err(Violation("headers are too long"));
            } else {
                plain.reserve(1024);
            }
        }
        parse(&plain).ok_or(Violation("a block of headers is malformed"))
    }
}

fn parse(mut plain: &[u8]) -> Option<Headers> {
    fn text(plain: &mut &[u8]) -> Option<String> {
        let (length, rest) = plain.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        *plain = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }
    let (count, rest) = plain.split_first_chunk::<4>()?;
    plain = rest;
    let count = u32::from_be_bytes(*count) as usize;
    (0..count.min(HEADERS_MAX)).map(|_| Some((text(&mut plain)?.to_ascii_lowercase(), text(&mut plain)?))).collect()
}

/// The words that headers are likely to be made of, which packing starts with. Section 2.6.10.1: each with its length
/// before it, then a text.
fn dictionary() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1423);
    for word in DICTIONARY_WORDS.split(',') {
        bytes.extend_from_slice(&(word.len() as u32).to_be_bytes());
        bytes.extend_from_slice(word.as_bytes());
    }
    bytes.extend_from_slice(DICTIONARY_TEXT.as_bytes());
    bytes
}

const DICTIONARY_WORDS: &str = "options,head,post,put,delete,trace,accept,accept-charset,accept-encoding,\
    accept-language,accept-ranges,age,allow,authorization,cache-control,connection,content-base,content-encoding,\
    content-language,content-length,content-location,content-md5,content-range,content-type,date,etag,expect,expires,\
    from,host,if-match,if-modified-since,if-none-match,if-range,if-unmodified-since,last-modified,location,\
    max-forwards,pragma,proxy-authenticate,proxy-authorization,range,referer,retry-after,server,te,trailer,\
    transfer-encoding,upgrade,user-agent,vary,via,warning,www-authenticate,method,get,status,200 OK,version,HTTP/1.1,\
    url,public,set-cookie,keep-alive,origin";

const DICTIONARY_TEXT: &str = "1001012012022052063003023033043053063074024054064074084094104114124134144154164175025\
    04505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 \
    Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun \
    Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, \
    GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,\
    text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn all(spdy: &mut Spdy) -> Vec<Event> {
        let mut events = Vec::new();
        while let Ok(Some(event)) = spdy.next() {
            events.push(event);
        }
        events
    }

    /// Carries what one says to the other, cut into pieces.
    fn carry(from: &mut Spdy, to: &mut Spdy, piece: usize) -> Vec<Event> {
        let bytes = from.out.waiting().to_vec();
        from.out.take(bytes.len());
        let mut events = Vec::new();
        for piece in bytes.chunks(piece) {
            to.feed(piece);
            events.extend(all(to));
        }
        events
    }

    fn headers(list: &[(&str, &str)]) -> Headers {
        list.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn the_dictionary_is_that_of_the_specification() {
        let dictionary = dictionary();
        assert_eq!(dictionary.len(), 1423);
        let (mut one, mut two) = (1_u32, 0_u32);
        for byte in dictionary {
            one = (one + u32::from(byte)) % 65521;
            two = (two + one) % 65521;
        }
        // What every stream packed with it names: adler32.
        assert_eq!(two << 16 | one, 0xe3c6_a7c2);
    }

    #[test]
    fn streams_begin_carry_and_end() {
        for piece in [1, 3, 1000] {
            let (mut client, mut server) = (Spdy::new(true), Spdy::new(false));
            let named = [("streamtype", "data"), ("port", "80"), ("requestid", "0")];
            assert_eq!((client.open(&[("streamtype", "error")], true), client.open(&named, false)), (1, 3));
            let opened = carry(&mut client, &mut server, piece);
            assert_eq!(
                opened,
                [
                    Event::Opened { id: 1, headers: headers(&[("streamtype", "error")]), last: true },
                    Event::Opened { id: 3, headers: headers(&named), last: false },
                ]
            );
            assert_eq!(carry(&mut server, &mut client, piece), []);
            client.send(3, b"question", true);
            let text = |events: Vec<Event>| {
                let (mut text, mut ends) = (Vec::new(), 0);
                for event in events {
                    let Event::Data { bytes, last, .. } = event else { panic!("{event:?}") };
                    text.extend(bytes);
                    ends += u32::from(last);
                }
                (String::from_utf8(text).unwrap(), ends)
            };
            assert_eq!(text(carry(&mut client, &mut server, piece)), ("question".into(), 1));
            server.send(1, b"", true);
            server.send(3, b"answer", false);
            server.send(3, b"", true);
            assert_eq!(text(carry(&mut server, &mut client, piece)), ("answer".into(), 2));
            assert!(client.streams.is_empty() && server.streams.is_empty());
            // The next ones are packed on top of the first ones.
            assert_eq!(client.open(&named, false), 5);
            let again = carry(&mut client, &mut server, piece);
            assert_eq!(again, [Event::Opened { id: 5, headers: headers(&named), last: false }]);
            client.reset(5);
            assert_eq!(carry(&mut client, &mut server, piece), [Event::Reset(5)]);
            assert_eq!(server.room(5), 0);
        }
    }

    #[test]
    fn windows_count_once_they_are_announced() {
        let (mut client, mut server) = (Spdy::new(true), Spdy::new(false));
        let id = client.open(&[], false);
        carry(&mut client, &mut server, 1000);
        assert_eq!(server.room(id), usize::MAX);
        server.send(id, &[0; 1000], false);
        carry(&mut server, &mut client, 5000);
        client.taken(id, 10);
        assert_eq!(carry(&mut client, &mut server, 1000), []);
        assert_eq!(server.room(id), (64 << 10) - 990);
        // SETTINGS: one entry, windows of 2000.
        server.feed(&[0x80, 3, 0, 4, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0x07, 0xd0]);
        assert_eq!((all(&mut server), server.room(id)), (vec![], 1010));
        // PING of the client comes back, one of ours does not.
        server.out = Outbox::default();
        server.feed(&[0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]);
        server.feed(&[0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 2]);
        assert_eq!((all(&mut server), server.out.waiting()), (vec![], &[0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1][..]));
    }

    #[test]
    fn what_is_not_allowed() {
        let check = |bytes: &[u8]| {
            let mut spdy = Spdy::new(false);
            spdy.feed(bytes);
            assert!(spdy.next().is_err(), "{bytes:x?}");
        };
        check(&[0x80, 2, 0, 6, 0, 0, 0, 4]);
        check(&[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff]);
        check(&[0x80, 3, 0, 6, 0, 0, 0, 0]);
        // A number used twice.
        let mut client = Spdy::new(true);
        client.open(&[], false);
        let bytes = client.out.waiting().to_vec();
        let mut server = Spdy::new(false);
        server.feed(&bytes);
        assert_eq!(all(&mut server).len(), 1);
        server.feed(&bytes);
        assert!(server.next().is_err());
        // Headers that unpack to more than they may.
        let mut client = Spdy::new(true);
        client.open(&[("x", &"y".repeat(1 << 20))], false);
        let mut server = Spdy::new(false);
        server.feed(client.out.waiting());
        assert_eq!(server.next(), Err(Violation("headers are too long")));
    }

    quickcheck! {
        fn anything_may_come(bytes: Vec<u8>, client: bool) -> bool {
            let mut spdy = Spdy::new(client);
            spdy.feed(&bytes);
            all(&mut spdy).len() <= bytes.len()
        }

        fn anything_may_come_as_control_frames(frames: Vec<(u8, u8, Vec<u8>)>) -> bool {
            let mut spdy = Spdy::new(false);
            for (kind, flags, payload) in frames {
                spdy.feed(&[0x80, 3, 0, kind % 12, flags, 0, 0, payload.len() as u8]);
                spdy.feed(&payload[..payload.len().min(255)]);
                all(&mut spdy);
            }
            true
        }

        fn headers_are_carried(list: Vec<(String, String)>, piece: usize) -> bool {
            let (mut client, mut server) = (Spdy::new(true), Spdy::new(false));
            let list: Vec<(String, String)> = list.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
            if list.iter().map(|(name, value)| name.len() + value.len() + 8).sum::<usize>() > 8000 {
                return true;
            }
            (0..2).all(|_| {
                let named: Vec<(&str, &str)> = list.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let id = client.open(&named, false);
                carry(&mut client, &mut server, 1 + piece % 64) == [Event::Opened { id, headers: list.clone(), last: false }]
            })
        }
    }
}
