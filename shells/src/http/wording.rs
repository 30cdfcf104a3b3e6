//! The wording of answers: their heads, and those that are known as a whole.

use std::borrow::Cow;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use super::refusal::phrase;

/// Room for a head, and for most bodies with it.
const USUAL: usize = 2 << 10;

/// How an answer must be worded, as the request has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// It was HEAD: the answer has a length, and no body.
    pub head_only: bool,
    /// The connection ends with this answer.
    pub close: bool,
}

impl Manner {
    /// A head but for its last line. It says nothing of the body's length.
    pub fn head(self, status: u16, content_type: Option<&str>, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::with_capacity(USUAL);
        let mut push = |text: &[&str]| text.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
        push(&["HTTP/1.1 ", &status.to_string(), " ", phrase(status), "\r\n"]);
        if let Some(content_type) = content_type {
            push(&["Content-Type: ", &clean(content_type), "\r\n"]);
        }
        push(&["Date: ", &http_date(SystemTime::now()), "\r\n"]);
        for (name, value) in headers {
            push(&[&clean(name), ": ", &clean(value), "\r\n"]);
        }
        if self.close {
            push(&["Connection: close\r\n"]);
        }
        out
    }

    /// A head with the body's length, and how much of the body follows it: nothing after HEAD.
    ///
    /// 204 and 304 have no body and no length (RFC 9110 section 8.6).
    pub fn whole<'a>(
        self,
        status: u16,
        content_type: &str,
        headers: &[(&str, &str)],
        body: &'a [u8],
    ) -> (Vec<u8>, &'a [u8]) {
        let bodiless = matches!(status, 100..200 | 204 | 304);
        let mut out = self.head(status, (!bodiless).then_some(content_type), headers);
        if !bodiless {
            // The fastest way to print a number into a Vec.
            write!(out, "Content-Length: {}\r\n", body.len()).expect("a Vec takes every write");
        }
        out.extend_from_slice(b"\r\n");
        (out, if bodiless || self.head_only { &[] } else { body })
    }
}

/// A header made of user text, such as a Warning, must not end the line.
fn clean(text: &str) -> Cow<'_, str> {
    match text.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        true => Cow::Owned(text.replace(|c: char| c.is_ascii_control() && c != '\t', " ")),
        false => Cow::Borrowed(text),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`: RFC 9110 section 5.6.7. Times before 1970 become its start.
///
/// The date is Howard Hinnant's `civil_from_days` for non-negative days.
fn http_date(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} GMT",
        DAYS[(days % 7) as usize],
        MONTHS[month as usize],
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates() {
        let check = |seconds, want: &str| assert_eq!(http_date(UNIX_EPOCH + Duration::from_secs(seconds)), want);
        check(0, "Thu, 01 Jan 1970 00:00:00 GMT");
        check(784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT");
        check(951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT");
        check(1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT");
    }

    #[test]
    fn header_text_cannot_end_the_line() {
        assert_eq!(clean("299 - \"a\r\nSet-Cookie: b\""), "299 - \"a  Set-Cookie: b\"");
    }
}
