//! The client's half of the handshake: from a server's address to a WebSocket.

use crate::client::connection::{CALL_TIMEOUT, CONNECT_TIMEOUT, ServerUrl};
use crate::client::credentials::Credentials;
use crate::streams::websocket::{self, Role, WebSocket};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

/// Why there is no WebSocket.
#[derive(Debug)]
pub enum Refused {
    /// The connection could not be made, or broke.
    Io(io::Error),
    /// The server answered something else: its code and the body.
    Answer(u16, Vec<u8>),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Refused::Io(error)
    }
}

/// More is no answer to a handshake.
const ANSWER_MAX: usize = 1 << 20;

/// Asks for a path, offering these protocols, the best first. Also which of them was chosen.
pub fn dial(
    server: &ServerUrl,
    credentials: &Credentials,
    target: &str,
    protocols: &[&str],
) -> Result<(TcpStream, WebSocket, String), Refused> {
    let authority = server.authority();
    let mut stream = connect(authority)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(CALL_TIMEOUT))?;
    stream.set_write_timeout(Some(CALL_TIMEOUT))?;
    let (request, accept) =
        websocket::request(authority, target, &protocols.join(", "), credentials.header().as_deref());
    stream.write_all(&request)?;
    let mut bytes = Vec::new();
    let mut some = [0; 4096];
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut answer = httparse::Response::new(&mut headers);
        let parsed = answer.parse(&bytes).map_err(|error| io::Error::new(ErrorKind::InvalidData, error.to_string()))?;
        let httparse::Status::Complete(end) = parsed else {
            match stream.read(&mut some)? {
                0 => return Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
                count if bytes.len() < ANSWER_MAX => bytes.extend_from_slice(&some[..count]),
                _ => return Err(io::Error::new(ErrorKind::InvalidData, "the server's answer is too long").into()),
            }
            continue;
        };
        let code = answer.code.unwrap_or(0);
        let header = |name: &str| {
            let found = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.map_or("", |header| std::str::from_utf8(header.value).unwrap_or(""))
        };
        if code != 101 {
            // It is the last answer on this connection.
            let mut body = bytes[end..].to_vec();
            (&stream).take(ANSWER_MAX as u64).read_to_end(&mut body)?;
            return Err(Refused::Answer(code, body));
        }
        let chosen = header("sec-websocket-protocol").to_owned();
        if header("sec-websocket-accept") != accept || !protocols.contains(&chosen.as_str()) {
            let what = "the server's answer is not that of a WebSocket which was asked for";
            return Err(io::Error::new(ErrorKind::InvalidData, what).into());
        }
        stream.set_read_timeout(None)?;
        stream.set_write_timeout(None)?;
        return Ok((stream, WebSocket::new(Role::Client, bytes[end..].to_vec()), chosen));
    }
}

fn connect(authority: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::from(ErrorKind::AddrNotAvailable);
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
