//! Streams of bytes, which come in pieces: how they are cut must not matter.

use miniku::http::{Event as Part, Framing, FramingLimits};
use miniku::streams::spdy::{Event as Frame, Spdy};
use miniku::streams::websocket::{Event, Role, WebSocket};

/// Several ways to cut the same bytes.
fn cuts(data: &[u8]) -> [Vec<&[u8]>; 3] {
    let (left, right) = data.split_at(data.len() / 2);
    [vec![data], vec![left, right], data.chunks(1).collect()]
}

/// A connection of HTTP/1.1, from its first byte on.
pub fn http(data: &[u8]) {
    let [whole, halves, bytes] = cuts(data).map(|pieces| {
        let mut framing = Framing::new(FramingLimits { head: 4096, target: 512, body: 1024 });
        let mut seen: Vec<(String, Vec<u8>, bool)> = Vec::new();
        for piece in pieces {
            let mut at = 0;
            loop {
                let (used, event) = framing.feed(&piece[at..]);
                at += used;
                match event {
                    Part::More => {
                        assert_eq!(at, piece.len(), "what is not taken is lost");
                        break;
                    }
                    Part::Head(head) => {
                        let all: Vec<String> = head.headers().map(|(name, value)| format!("{name}: {value}")).collect();
                        let line = format!("{} {} {:?} {:?}", head.method(), head.target(), head.host(), all);
                        assert!(head.target().len() <= 512 && all.len() <= 100);
                        seen.push((line, Vec::new(), false));
                    }
                    Part::Body(more) => {
                        let body = &mut seen.last_mut().expect("a body follows a head").1;
                        body.extend_from_slice(more);
                        assert!(!more.is_empty() && body.len() <= 1024);
                    }
                    Part::End => seen.last_mut().expect("an end follows a head").2 = true,
                    Part::Refused(refusal) => return (seen, Some(refusal)),
                }
            }
        }
        (seen, None)
    });
    assert_eq!(whole, halves);
    assert_eq!(whole, bytes);
}

/// Messages of a WebSocket: the first byte says of which side.
pub fn websocket(data: &[u8]) {
    let [side, data @ ..] = data else { return };
    let role = if side % 2 == 0 { Role::Server } else { Role::Client };
    let [whole, halves, bytes] = cuts(data).map(|pieces| {
        let mut socket = WebSocket::new(role, Vec::new());
        let mut seen = Vec::new();
        for piece in pieces {
            socket.feed(piece);
            loop {
                match socket.next() {
                    Ok(Some(Event::Piece { first: false, last, bytes })) => {
                        let Some(Event::Piece { last: ended, bytes: before, .. }) = seen.last_mut() else {
                            panic!("a message goes on that has not begun")
                        };
                        assert!(!*ended);
                        before.extend_from_slice(&bytes);
                        *ended = last;
                    }
                    Ok(Some(event)) => seen.push(event),
                    Ok(None) => break,
                    Err(violation) => return (seen, Some(violation), socket.out.len()),
                }
            }
        }
        (seen, None, socket.out.len())
    });
    assert_eq!(whole, halves);
    assert_eq!(whole, bytes);
    // What one side sends the other takes.
    let other = if role == Role::Server { Role::Client } else { Role::Server };
    let (mut from, mut to) = (WebSocket::new(other, Vec::new()), WebSocket::new(role, Vec::new()));
    from.send(&[data]);
    to.feed(from.out.waiting());
    assert_eq!(to.next(), Ok(Some(Event::Piece { first: true, last: true, bytes: data.to_vec() })));
}

/// Frames of SPDY: the first byte says of which side.
pub fn spdy(data: &[u8]) {
    let [side, data @ ..] = data else { return };
    let client = side % 2 == 1;
    let [whole, halves, bytes] = cuts(data).map(|pieces| {
        let mut spdy = Spdy::new(client);
        // A client has begun what is answered.
        let own = spdy.open(&[("port", "80")], false);
        let mut seen = Vec::new();
        for piece in pieces {
            spdy.feed(piece);
            loop {
                match spdy.next() {
                    Ok(Some(Frame::Data { id, bytes, last })) => {
                        spdy.taken(id, bytes.len());
                        match seen.last_mut() {
                            Some(Frame::Data { id: same, bytes: before, last: ended }) if *same == id && !*ended => {
                                before.extend_from_slice(&bytes);
                                *ended = last;
                            }
                            _ => seen.push(Frame::Data { id, bytes, last }),
                        }
                    }
                    Ok(Some(event)) => seen.push(event),
                    Ok(None) => break,
                    Err(violation) => return (seen, Some(violation), spdy.room(own)),
                }
            }
        }
        (seen, None, spdy.room(own))
    });
    assert_eq!(whole, halves);
    assert_eq!(whole, bytes);
}
