//! WebSocket: the handshake, and a stream of bytes cut into messages. Either side.
//!
//! A message is handed over piece by piece as it arrives, so a long one needs no memory. Pings are answered here.
//!
//! Source: RFC 6455. Extensions are never agreed to.

use crate::http::Head;
use crate::streams::outbox::Outbox;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest, Sha1};
use std::fmt;

/// Which side this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes masked frames, sends them as they are.
    Server,
    /// Takes frames as they are, sends masked ones.
    Client,
}

/// What the other side did.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Some of a message; the first and the last piece of it may be the same, and any may be empty.
    Piece {
        /// A message begins here.
        first: bool,
        /// It ends here.
        last: bool,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// It says that nothing more comes from it, and it has been answered so. 1005 if it does not say why.
    Close(u16),
}

/// What the other side must not do. The connection is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A frame that RFC 6455 does not allow, and the rule it breaks.
    Protocol(&'static str),
    /// A frame longer than [`FRAME_MAX`].
    TooBig,
}

impl Violation {
    /// The code to close with.
    pub fn code(self) -> u16 {
        match self {
            Violation::Protocol(_) => 1002,
            Violation::TooBig => 1009,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Protocol(rule) => f.write_str(rule),
            Violation::TooBig => write!(f, "a frame is longer than {FRAME_MAX} bytes"),
        }
    }
}

/// No frame may be longer. Source: Go's `golang.org/x/net/websocket`, `DefaultMaxPayloadBytes`, as Kubernetes uses it.
pub const FRAME_MAX: u64 = 32 << 20;

/// The payload of a control frame. Section 5.5.
const CONTROL_MAX: u64 = 125;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// One side of a connection.
#[derive(Debug)]
pub struct WebSocket {
    role: Role,
    /// Received, and not looked at yet.
    inbox: Vec<u8>,
    frame: Option<Frame>,
    /// A control frame's payload so far.
    control: Vec<u8>,
    /// Between the frames of a message.
    in_message: bool,
    heard_close: bool,
    said_close: bool,
    /// To be sent.
    pub out: Outbox,
}

/// A frame whose payload is under way.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: u8,
    fin: bool,
    first: bool,
    left: u64,
    mask: [u8; 4],
    /// Bytes unmasked so far, as far as it matters.
    turn: usize,
}

impl WebSocket {
    /// After the handshake; `early` is what came right behind it.
    pub fn new(role: Role, early: Vec<u8>) -> Self {
        WebSocket {
            role,
            inbox: early,
            frame: None,
            control: Vec::new(),
            in_message: false,
            heard_close: false,
            said_close: false,
            out: Outbox::default(),
        }
    }

    /// Takes bytes that have arrived. Ask for what they mean with [`WebSocket::next`].
    pub fn feed(&mut self, bytes: &[u8]) {
        // After its close frame the other side says nothing more.
        if !self.heard_close {
            self.inbox.extend_from_slice(bytes);
        }
    }

    /// What comes next, if it is there.
    #[expect(clippy::should_implement_trait, reason = "an iterator that ended would not begin again")]
    pub fn next(&mut self) -> Result<Option<Event>, Violation> {
        loop {
            if self.heard_close {
                return Ok(None);
            }
            let Some(mut frame) = self.frame.take() else {
                match self.header()? {
                    Some(frame) => self.frame = Some(frame),
                    None => return Ok(None),
                }
                continue;
            };
            let count = frame.left.min(self.inbox.len() as u64) as usize;
            if count == 0 && frame.left > 0 {
                self.frame = Some(frame);
                return Ok(None);
            }
            let mut bytes: Vec<u8> = self.inbox.drain(..count).collect();
            for byte in &mut bytes {
                *byte ^= frame.mask[frame.turn];
                frame.turn = (frame.turn + 1) % 4;
            }
            frame.left -= count as u64;
            let ended = frame.left == 0;
            if frame.opcode >= CLOSE {
                self.control.extend_from_slice(&bytes);
                match ended {
                    false => self.frame = Some(frame),
                    true => {
                        if let Some(code) = self.control(frame.opcode) {
                            return Ok(Some(Event::Close(code)));
                        }
                    }
                }
                continue;
            }
            let first = frame.first;
            if !ended {
                self.frame = Some(Frame { first: false, ..frame });
            }
            return Ok(Some(Event::Piece { first, last: ended && frame.fin, bytes }));
        }
    }

    /// The head of a frame, once it is complete.
    fn header(&mut self) -> Result<Option<Frame>, Violation> {
        let &[one, two, ..] = self.inbox.as_slice() else { return Ok(None) };
        let (fin, opcode, masked, short) = (one & 0x80 != 0, one & 0x0f, two & 0x80 != 0, u64::from(two & 0x7f));
        if one & 0x70 != 0 {
            return Err(Violation::Protocol("reserved bits are set, and no extension was agreed on"));
        }
        if masked != (self.role == Role::Server) {
            return Err(Violation::Protocol("frames of a client are masked, those of a server are not"));
        }
        let (length, at) = match short {
            126 => match self.inbox.get(2..4) {
                Some(bytes) => (bytes.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)), 4),
                None => return Ok(None),
            },
            127 => match self.inbox.get(2..10) {
                Some(bytes) => (bytes.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)), 10),
                None => return Ok(None),
            },
            short => (short, 2),
        };
        match opcode {
            CLOSE | PING | PONG if !fin => return Err(Violation::Protocol("a control frame is in parts")),
            CLOSE | PING | PONG if length > CONTROL_MAX => {
                return Err(Violation::Protocol("a control frame is longer than 125 bytes"));
            }
            CLOSE | PING | PONG => {}
            CONTINUATION if !self.in_message => {
                return Err(Violation::Protocol("a message goes on that has not begun"));
            }
            TEXT | BINARY if self.in_message => return Err(Violation::Protocol("a message begins within another one")),
            CONTINUATION | TEXT | BINARY => {}
            _ => return Err(Violation::Protocol("an unknown kind of frame")),
        }
        if length > FRAME_MAX {
            return Err(Violation::TooBig);
        }
        let mut mask = [0; 4];
        let end = at + if masked { 4 } else { 0 };
        match self.inbox.get(at..end) {
            Some(bytes) if masked => mask.copy_from_slice(bytes),
            Some(_) => {}
            None => return Ok(None),
        }
        self.inbox.drain(..end);
        let first = opcode != CONTINUATION;
        if opcode < CLOSE {
            self.in_message = !fin;
        }
        Ok(Some(Frame { opcode, fin, first, left: length, mask, turn: 0 }))
    }

    /// A control frame is complete. The code, if it says that nothing more comes.
    fn control(&mut self, opcode: u8) -> Option<u16> {
        let payload = std::mem::take(&mut self.control);
        match opcode {
            // One that asks again and again without reading what it is answered gets no more.
            PING if self.out.has_room() => self.frame(PONG, &[&payload]),
            CLOSE => {
                self.heard_close = true;
                self.inbox = Vec::new();
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                if !self.said_close {
                    self.frame(CLOSE, &[&payload[..payload.len().min(2)]]);
                    self.said_close = true;
                }
                return Some(code);
            }
            _ => {}
        }
        None
    }

    /// Sends a binary message made of these parts. Nothing after a close.
    pub fn send(&mut self, parts: &[&[u8]]) {
        self.frame(BINARY, parts);
    }

    /// Says that nothing more will be sent.
    pub fn close(&mut self, code: u16) {
        self.frame(CLOSE, &[&code.to_be_bytes()]);
        self.said_close = true;
    }

    /// Whether both sides have said that nothing more comes.
    pub fn is_closed(&self) -> bool {
        self.heard_close && self.said_close
    }

    fn frame(&mut self, opcode: u8, parts: &[&[u8]]) {
        if self.said_close {
            return;
        }
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let masked = if self.role == Role::Client { 0x80 } else { 0 };
        let mut head = vec![0x80 | opcode];
        match length {
            0..126 => head.push(masked | length as u8),
            126..=0xffff => {
                head.push(masked | 126);
                head.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                head.push(masked | 127);
                head.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        if masked == 0 {
            self.out.put(&head);
            return parts.iter().for_each(|part| self.out.put(part));
        }
        // Against caches in between that mistake a message for HTTP; nobody's secret depends on it.
        let mask: [u8; 4] = random();
        head.extend_from_slice(&mask);
        self.out.put(&head);
        let bytes = parts.iter().flat_map(|part| part.iter());
        let bytes: Vec<u8> = bytes.zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        self.out.put(&bytes);
    }
}

fn random<const N: usize>() -> [u8; N] {
    // It cannot fail for so few bytes once the system has started; see there.
    miniku_runtime::enter::random_bytes().unwrap_or([0x5a; N])
}

/// The answer to a client that offers to speak WebSocket with one of the protocols `spoken`, the best first; and which.
/// Otherwise what is wrong with its request.
pub fn greet(head: &Head, spoken: &[&'static str]) -> Result<(Vec<u8>, &'static str), String> {
    if head.method() != "GET" || !head.upgrade().is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket")) {
        return Err("only WebSocket is spoken here (GET, Upgrade: websocket)".into());
    }
    if head.all("sec-websocket-version").next() != Some("13") {
        return Err("Sec-WebSocket-Version must be 13".into());
    }
    let key = head.all("sec-websocket-key").next().unwrap_or("");
    if BASE64_STANDARD.decode(key).map_or(0, |bytes| bytes.len()) != 16 {
        return Err("Sec-WebSocket-Key must be 16 bytes in base64".into());
    }
    let Some(chosen) = spoken.iter().find(|each| head.lists("sec-websocket-protocol", each)) else {
        let offered: Vec<&str> = head.all("sec-websocket-protocol").collect();
        let (offered, spoken) = (offered.join(", "), spoken.join(", "));
        return Err(format!("unable to negotiate protocol: client supports [{offered}], server accepts [{spoken}]"));
    };
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {chosen}\r\n\r\n",
        accept_key(key)
    );
    Ok((answer.into_bytes(), chosen))
}

/// A client's request, and the `Sec-WebSocket-Accept` that a server must answer it with. `who` is the header
/// `Authorization`.
pub fn request(authority: &str, target: &str, protocols: &str, who: Option<&str>) -> (Vec<u8>, String) {
    let key = BASE64_STANDARD.encode(random::<16>());
    let who = who.map_or(String::new(), |who| format!("Authorization: {who}\r\n"));
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {protocols}\r\n{who}\r\n"
    );
    (request.into_bytes(), accept_key(&key))
}

/// Section 4.2.2, item 5.4.
fn accept_key(key: &str) -> String {
    BASE64_STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Event as Framed, Framing, FramingLimits};
    use quickcheck::quickcheck;

    /// Messages as wholes, and how it ended.
    #[derive(Debug, Default, PartialEq)]
    struct Heard {
        messages: Vec<Vec<u8>>,
        close: Option<u16>,
        violation: Option<Violation>,
    }

    fn hear(role: Role, cuts: &[&[u8]]) -> Heard {
        let (mut socket, mut heard) = (WebSocket::new(role, Vec::new()), Heard::default());
        let mut complete = true;
        for cut in cuts {
            socket.feed(cut);
            loop {
                match socket.next() {
                    Ok(None) => break,
                    Ok(Some(Event::Piece { first, last, bytes })) => {
                        assert_eq!(first, complete);
                        if first {
                            heard.messages.push(Vec::new());
                        }
                        heard.messages.last_mut().unwrap().extend(bytes);
                        complete = last;
                    }
                    Ok(Some(Event::Close(code))) => heard.close = Some(code),
                    Err(violation) => {
                        heard.violation = Some(violation);
                        return heard;
                    }
                }
            }
        }
        heard
    }

    #[test]
    fn the_handshake_is_that_of_the_specification() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let (bytes, accept) = request("h:1", "/x", "v5.channel.k8s.io, v4.channel.k8s.io", None);
        let head = |bytes: &[u8]| match Framing::new(FramingLimits::default()).feed(bytes) {
            (_, Framed::Head(head)) => *head,
            (_, other) => panic!("{other:?}"),
        };
        let (answer, chosen) = greet(&head(&bytes), &["v5.channel.k8s.io", "v4.channel.k8s.io"]).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert_eq!(chosen, "v5.channel.k8s.io");
        assert!(answer.contains(&format!("Sec-WebSocket-Accept: {accept}\r\n")), "{answer}");
        let text = String::from_utf8(bytes).unwrap();
        let refused = |from: &str, to: &str| {
            let changed = text.replace(from, to);
            assert_ne!(changed, text);
            greet(&head(changed.as_bytes()), &["v5.channel.k8s.io"]).unwrap_err()
        };
        assert!(refused("v5.", "v9.").contains("client supports [v9.channel.k8s.io, v4.channel.k8s.io]"));
        assert!(refused("Version: 13", "Version: 8").contains("13"));
        assert!(refused("Key: ", "Key: x").contains("base64"));
        assert!(refused("GET", "POST").contains("only WebSocket"));
        assert!(refused("Upgrade: websocket", "Upgrade: SPDY/3.1").contains("only WebSocket"));
    }

    #[test]
    fn frames_of_the_specification() {
        // Section 5.7: "Hello" masked, unmasked, in two parts, and a ping.
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(hear(Role::Server, &[&masked]).messages, [b"Hello"]);
        let plain = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
        assert_eq!(hear(Role::Client, &[&plain]).messages, [b"Hello"]);
        let parts = [0x01, 0x03, 0x48, 0x65, 0x6c, 0x89, 0x00, 0x80, 0x02, 0x6c, 0x6f];
        assert_eq!(hear(Role::Client, &[&parts]).messages, [b"Hello"]);
        let mut socket = WebSocket::new(Role::Client, vec![0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        assert_eq!(socket.next(), Ok(None));
        assert_eq!(hear(Role::Server, &[socket.out.waiting()]), Heard::default());
        assert_eq!((socket.out.waiting()[0], socket.out.len()), (0x8a, 11));
    }

    #[test]
    fn what_is_not_allowed() {
        let check = |role, bytes: &[u8]| {
            let violation = hear(role, &[bytes]).violation;
            assert!(matches!(violation, Some(Violation::Protocol(_))), "{bytes:x?}: {violation:?}");
        };
        check(Role::Server, &[0x82, 0x01, b'x']);
        check(Role::Client, &[0x82, 0x81, 1, 2, 3, 4, b'x']);
        check(Role::Client, &[0xc2, 0x01, b'x']);
        check(Role::Client, &[0x83, 0x00]);
        check(Role::Client, &[0x80, 0x00]);
        check(Role::Client, &[0x02, 0x00, 0x82, 0x00]);
        check(Role::Client, &[0x09, 0x00]);
        check(Role::Client, &[0x89, 126, 0, 126]);
        let long = [0x82, 127, 0, 0, 0, 0, 2, 0, 0, 1];
        assert_eq!(hear(Role::Client, &[&long]).violation, Some(Violation::TooBig));
    }

    #[test]
    fn both_say_that_nothing_more_comes() {
        let (mut one, mut other) = (WebSocket::new(Role::Server, vec![]), WebSocket::new(Role::Client, vec![]));
        one.send(&[b"last"]);
        one.close(1000);
        one.send(&[b"too late"]);
        other.feed(one.out.waiting());
        assert_eq!(other.next(), Ok(Some(Event::Piece { first: true, last: true, bytes: b"last".to_vec() })));
        assert_eq!(other.next(), Ok(Some(Event::Close(1000))));
        assert!(other.is_closed() && !one.is_closed());
        one.feed(other.out.waiting());
        assert_eq!(one.next(), Ok(Some(Event::Close(1000))));
        assert!(one.is_closed());
    }

    quickcheck! {
        fn what_is_sent_is_heard_wherever_it_is_cut(messages: Vec<Vec<u8>>, long: u16, cut: usize, client: bool) -> bool {
            let (role, other) = if client { (Role::Client, Role::Server) } else { (Role::Server, Role::Client) };
            let mut socket = WebSocket::new(role, vec![]);
            // Also lengths that need two and eight bytes.
            let lengths = [125, 126, 127, 0xffff, 0x1_0000, usize::from(long)];
            let long = lengths.map(|length| vec![long as u8; length])[cut % 6].clone();
            let messages: Vec<Vec<u8>> = messages.into_iter().chain([long]).collect();
            for message in &messages {
                let (one, two) = message.split_at(message.len() / 2);
                socket.send(&[one, two]);
            }
            socket.close(1000);
            let bytes = socket.out.waiting();
            let (one, two) = bytes.split_at(cut % (bytes.len() + 1));
            let want = Heard { messages, close: Some(1000), violation: None };
            hear(other, &[one, two]) == want && hear(other, &bytes.chunks(1 + cut % 700).collect::<Vec<_>>()) == want
        }

        fn anything_may_come(bytes: Vec<u8>, cut: usize, client: bool) -> bool {
            let role = if client { Role::Client } else { Role::Server };
            let (one, two) = bytes.split_at(cut % (bytes.len() + 1));
            hear(role, &[one, two]) == hear(role, &[&bytes])
        }
    }
}
