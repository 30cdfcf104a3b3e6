//! What the messages of exec and attach mean: `v5.channel.k8s.io` and `v4.channel.k8s.io`.
//!
//! The first byte of a message is a channel. Version 5 can say that a channel ends, which version 4 cannot: there a
//! standard input never does. At the end a `Status` says what became of the process.
//!
//! Source: Kubernetes, `k8s.io/apimachinery/pkg/util/remotecommand`; KEP-4006.

use crate::streams::websocket::Event;
use serde_json::{Value, json};

/// What is spoken, the best first.
pub const PROTOCOLS: &[&str] = &["v5.channel.k8s.io", "v4.channel.k8s.io"];

/// What the process reads.
pub const STDIN: u8 = 0;
/// What it writes.
pub const STDOUT: u8 = 1;
/// What it complains.
pub const STDERR: u8 = 2;
/// How it ended.
pub const STATUS: u8 = 3;
/// How large its terminal is.
pub const RESIZE: u8 = 4;
/// That the channel which follows ends. Version 5 only.
pub const END: u8 = 255;

/// Some of what was said on a channel.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// Bytes of a stream.
    Bytes(u8, Vec<u8>),
    /// A whole message on a channel that is no stream.
    Message(u8, Vec<u8>),
}

/// No message about a status or a size is longer; what is beyond is left out.
const MESSAGE_MAX: usize = 64 << 10;

/// Sorts pieces of messages by channel.
#[derive(Debug, Default)]
pub struct Channels {
    channel: Option<u8>,
    message: Vec<u8>,
}

impl Channels {
    /// Takes what a [`crate::streams::websocket::WebSocket`] heard.
    pub fn hear(&mut self, first: bool, last: bool, mut bytes: Vec<u8>) -> Option<Said> {
        if first {
            self.channel = None;
            self.message.clear();
        }
        if self.channel.is_none() && !bytes.is_empty() {
            self.channel = Some(bytes.remove(0));
        }
        let channel = self.channel?;
        if channel <= STDERR {
            return (!bytes.is_empty()).then_some(Said::Bytes(channel, bytes));
        }
        bytes.truncate(MESSAGE_MAX.saturating_sub(self.message.len()));
        self.message.extend_from_slice(&bytes);
        last.then(|| Said::Message(channel, std::mem::take(&mut self.message)))
    }

    /// The same of an event; nothing of a close.
    pub fn take(&mut self, event: Event) -> Option<Said> {
        match event {
            Event::Piece { first, last, bytes } => self.hear(first, last, bytes),
            Event::Close(_) => None,
        }
    }
}

/// Columns and rows in a message on [`RESIZE`].
pub fn size(message: &[u8]) -> Option<(u16, u16)> {
    let value: Value = serde_json::from_slice(message).ok()?;
    let side = |name: &str| u16::try_from(value[name].as_u64()?).ok();
    Some((side("Width")?, side("Height")?))
}

/// A message for [`RESIZE`].
pub fn size_message(columns: u16, rows: u16) -> Vec<u8> {
    format!("{{\"Width\":{columns},\"Height\":{rows}}}\n").into_bytes()
}

/// The `Status` for an exit code. Kubernetes' words and order of keys.
pub fn exit_status(code: i32) -> Vec<u8> {
    if code == 0 {
        return br#"{"metadata":{},"status":"Success"}"#.to_vec();
    }
    format!(
        r#"{{"metadata":{{}},"status":"Failure","message":"command terminated with non-zero exit code: exit status {code}","reason":"NonZeroExitCode","details":{{"causes":[{{"reason":"ExitCode","message":"{code}"}}]}}}}"#
    )
    .into_bytes()
}

/// The `Status` for something that went wrong on the node.
pub fn failure(message: &str) -> Vec<u8> {
    let said = json!(format!("Internal error occurred: {message}"));
    let cause = json!(message);
    format!(
        r#"{{"metadata":{{}},"status":"Failure","message":{said},"reason":"InternalError","details":{{"causes":[{{"message":{cause}}}]}},"code":500}}"#
    )
    .into_bytes()
}

/// What a `Status` says: the exit code, or what went wrong.
pub fn outcome(status: &[u8]) -> Result<i32, String> {
    let value: Value =
        serde_json::from_slice(status).map_err(|error| format!("the last message is no Status: {error}"))?;
    if value["status"] == "Success" {
        return Ok(0);
    }
    let causes = value["details"]["causes"].as_array().map_or(&[][..], Vec::as_slice);
    let code = causes.iter().find(|cause| cause["reason"] == "ExitCode").and_then(|cause| cause["message"].as_str());
    match code.and_then(|code| code.parse().ok()) {
        Some(code) if value["reason"] == "NonZeroExitCode" => Ok(code),
        _ => Err(value["message"].as_str().unwrap_or("the command failed").to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    #[test]
    fn messages_come_in_pieces() {
        let mut channels = Channels::default();
        let bytes = |channel, text: &str| Some(Said::Bytes(channel, text.into()));
        assert_eq!(channels.hear(true, true, b"\0ab".into()), bytes(0, "ab"));
        assert_eq!(channels.hear(true, false, vec![]), None);
        assert_eq!(channels.hear(false, false, b"\x01".into()), None);
        assert_eq!(channels.hear(false, false, b"cd".into()), bytes(1, "cd"));
        assert_eq!(channels.hear(false, true, b"ef".into()), bytes(1, "ef"));
        // Servers and clients may begin with empty messages.
        assert_eq!(channels.hear(true, true, vec![]), None);
        assert_eq!(channels.hear(true, true, b"\0".into()), None);
        assert_eq!(channels.hear(true, false, b"\x04{\"Width\":91,".into()), None);
        let Some(Said::Message(RESIZE, message)) = channels.hear(false, true, b"\"Height\":37}\n".into()) else {
            panic!("no size")
        };
        assert_eq!((size(&message), size(&size_message(91, 37))), (Some((91, 37)), Some((91, 37))));
        assert_eq!(channels.hear(true, true, b"\xff\0".into()), Some(Said::Message(END, vec![0])));
        assert_eq!((size(b"{}"), size(b"\xff"), size(b"{\"Width\":70000,\"Height\":1}")), (None, None, None));
    }

    #[test]
    fn how_it_ended() {
        let text = String::from_utf8(exit_status(3)).unwrap();
        assert!(text.starts_with(r#"{"metadata":{},"status":"Failure","message":"command terminated with"#), "{text}");
        for code in [0, 1, 137] {
            assert_eq!(outcome(&exit_status(code)), Ok(code));
        }
        assert_eq!(outcome(&failure("no \"x\"")), Err("Internal error occurred: no \"x\"".into()));
        assert!(outcome(b"").is_err());
    }

    quickcheck! {
        fn anything_may_be_said(pieces: Vec<(bool, bool, Vec<u8>)>) -> bool {
            let mut channels = Channels::default();
            pieces.into_iter().for_each(|(first, last, bytes)| drop(channels.hear(first, last, bytes)));
            channels.message.len() <= MESSAGE_MAX
        }
    }
}
