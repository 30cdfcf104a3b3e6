//! From the server behind, or from whoever answers at once, to the client.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use super::pending::{Pending, read_some, write_some};
use super::{Conn, Flow, Front, Phase, TURN, slot_of};
use crate::http::at_once::{LAST_CHUNK, Said};
use crate::http::metrics::add;
use crate::http::refusal::Refusal;

/// How long and how much is read after the last answer, so that the client sees it rather than a reset: RFC 9112 section 9.6.
pub(super) const LINGER_TIME: Duration = Duration::from_secs(2);
pub(super) const LINGER_BYTES: usize = 8 << 20;

impl Front {
    /// Writes what waits for the client. `Ok(true)` if the buffer became empty by it.
    pub(super) fn flush_outer(&mut self, conn: &mut Conn) -> io::Result<bool> {
        while !conn.to_outer.is_empty() && conn.ready.outer_out {
            let written = write_some(&mut conn.outer, conn.to_outer.rest(), &mut conn.ready.outer_out)?;
            if written > 0 {
                conn.to_outer.take(written);
                if let Some(grown) = &conn.grown {
                    grown.sent(written);
                }
                conn.progress = self.now;
                add(&self.parts.metrics.bytes_out, written as u64);
                if conn.to_outer.is_empty() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Passes on one buffer of the answer, and sees whether it is complete.
    pub(super) fn pump_answer(&mut self, conn: &mut Conn) -> io::Result<bool> {
        let mut on = false;
        if conn.to_outer.is_empty()
            && conn.ready.inner_in
            && let Some(inner) = &mut conn.inner
        {
            match read_some(inner, &mut self.scratch, &mut conn.ready.inner_in, conn.ready.inner_fin) {
                Ok(Some(0)) => {
                    // tiny_http closes after `Connection: close`, and when it gives up.
                    conn.inner = None;
                    if conn.phase != Phase::Head && conn.answered == conn.answered_before {
                        self.parts.metrics.count_refusal(Refusal::NoAnswer);
                        conn.to_outer.put(&Refusal::NoAnswer.response(conn.head_only));
                    }
                    conn.phase = Phase::Farewell;
                    conn.client.depart();
                    return Ok(true);
                }
                Ok(Some(count)) => {
                    conn.answered += count as u64;
                    let bytes = &self.scratch[..count];
                    let written = match conn.ready.outer_out {
                        true => write_some(&mut conn.outer, bytes, &mut conn.ready.outer_out)?,
                        false => 0,
                    };
                    add(&self.parts.metrics.bytes_out, written as u64);
                    conn.to_outer.put(&bytes[written..]);
                    conn.progress = self.now;
                    on = true;
                }
                Ok(None) => {}
                // A reset of the inner connection is its end.
                Err(_) => {
                    conn.ready.inner_in = true;
                    conn.ready.inner_fin = true;
                    conn.inner = None;
                    conn.phase = Phase::Farewell;
                    conn.client.depart();
                    return Ok(true);
                }
            }
        }
        if conn.phase == Phase::Answer && conn.to_outer.is_empty() && conn.answered > conn.answered_before {
            let end = conn.client.answer_end();
            if end > conn.answered_before && end == conn.answered {
                on = true;
                conn.since = self.now;
                conn.phase = if conn.close || conn.inner_deaf { Phase::Farewell } else { Phase::Head };
            }
        }
        Ok(on)
    }

    /// Takes the answers that have come, and goes on with their connections. New requests on these may be answered
    /// meanwhile; after some rounds the other connections have their turn.
    pub(super) fn deliver(&mut self) {
        for _ in 0..TURN {
            let answers = self.replies.take();
            self.more_answers = !answers.is_empty();
            // What is said to one client at once leaves in one write.
            let mut touched = BTreeSet::new();
            for (to, said) in answers {
                let (index, generation) = slot_of(to);
                let slot = &mut self.slots[index as usize];
                let conn = slot.conn.as_mut().filter(|_| slot.generation == generation);
                let Some(conn) = conn else {
                    // Another generation: the client has left before its answer came.
                    if let Said::Head(_, grown) = said {
                        grown.end();
                    }
                    continue;
                };
                // Without a byte that waits already, nobody has been waited for.
                if conn.to_outer.is_empty() {
                    conn.progress = self.now;
                }
                match said {
                    Said::Answer(answer) => {
                        conn.to_outer.put_whole(answer);
                        conn.phase = Phase::Delivered;
                    }
                    Said::Head(head, grown) => {
                        conn.to_outer.put_whole(head);
                        conn.phase = Phase::Growing;
                        conn.grown = Some(grown);
                    }
                    Said::More(more) if conn.phase == Phase::Growing => conn.to_outer.put_whole(more),
                    Said::End if conn.phase == Phase::Growing => complete(conn),
                    Said::More(_) | Said::End => {}
                }
                touched.insert(index);
            }
            for index in touched {
                self.drive(index);
            }
            if !self.more_answers {
                return;
            }
        }
    }

    /// Answers with an error and ends the connection, unless an answer has already begun.
    pub(super) fn refuse(&mut self, conn: &mut Conn, refusal: Refusal) -> Flow {
        self.parts.metrics.count_refusal(refusal);
        let begun = conn.phase != Phase::Head && conn.answered > conn.answered_before;
        if begun {
            return Flow::Close;
        }
        conn.inner = None;
        conn.to_inner = Pending::default();
        conn.carry = Pending::default();
        conn.to_outer.put(&refusal.response(conn.head_only));
        conn.phase = Phase::Farewell;
        conn.since = self.now;
        conn.progress = self.now;
        conn.client.depart();
        Flow::On
    }

    /// Reads and drops what the client still sends after the last answer: see [`LINGER_TIME`].
    pub(super) fn linger(&mut self, conn: &mut Conn) -> Flow {
        if !conn.ready.outer_in {
            return Flow::Wait;
        }
        match read_some(&mut conn.outer, &mut self.scratch, &mut conn.ready.outer_in, conn.ready.outer_fin) {
            Ok(Some(0)) | Err(_) => Flow::Close,
            Ok(Some(count)) => {
                conn.lingered += count;
                if conn.lingered > LINGER_BYTES { Flow::Close } else { Flow::On }
            }
            Ok(None) => Flow::Wait,
        }
    }
}

/// Ends an answer that grows.
pub(super) fn complete(conn: &mut Conn) {
    conn.to_outer.put(LAST_CHUNK);
    conn.phase = Phase::Delivered;
    if let Some(grown) = conn.grown.take() {
        grown.end();
    }
}
