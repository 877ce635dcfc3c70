//! The head of a log line: date, host, program and pid, and where the message begins.
//!
//! Written by hand, because every candidate line passes here. It knows
//! - RFC 3164 as syslog daemons write it to files (`Nov 21 06:50:25 host prog[pid]: message`), with
//!   `<PRI>` in front, without the host, with the facility that BSD and busybox put before the
//!   program, and with Solaris' `[ID 800047 auth.info]` behind it;
//! - the ISO 8601 / RFC 3339 variant of rsyslog and journalctl (`2026-11-21T06:50:25.123+00:00 host ...`);
//! - RFC 5424 (`<34>1 2003-10-11T22:14:15.003Z host app procid msgid [sd "..."] message`);
//! - no head at all, as `sshd -E FILE` writes: the message is the whole line.
//!
//! Only shapes are checked here; what a date means is `date`'s business. A line that only begins
//! like a head is never guessed at further than its date.

pub(super) use crate::syslog::month;
use crate::syslog::{bsd_length, iso_length, skip_priority, skip_structured_data, split_token, tag};

/// A date as it stands in a line; its shape has been checked, its values have not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DateText<'a> {
    /// `Nov 21 06:50:25` (the day may have one digit).
    Bsd(&'a [u8]),
    /// `2026-11-21T06:50:25`, with optional fraction and offset, `T` or a space between.
    Iso(&'a [u8]),
    /// What `<DATE>` caught, or the field that tells the time: any of the shapes that services write.
    Stamp(&'a [u8]),
}

/// A line, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head<'a> {
    /// The date, if the line has one.
    pub(super) date: Option<DateText<'a>>,
    /// The syslog identifier, without pid.
    pub(super) program: Option<&'a [u8]>,
    /// The process id, as digits or whatever stands in its place.
    pub(super) pid: Option<&'a [u8]>,
    /// Host, program and process id as they stand in the line; empty where there are none.
    pub(super) sender: &'a [u8],
    /// What the program said, without `\r` and spaces at its end.
    pub(super) message: &'a [u8],
    /// How many times it said so: rsyslog folds lines that repeat into `message repeated 3 times: [ ...]`.
    pub(super) attempts: u32,
}

/// Takes a line apart. The line has no `\n`.
pub(super) fn parse(line: &[u8]) -> Head<'_> {
    let line = trim_end(line);
    let (priority, rest) = match skip_priority(line) {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    if priority && let Some(head) = rest.strip_prefix(b"1 ").and_then(rfc5424) {
        return head;
    }
    let (date, rest) = match take_date(rest) {
        Some((date, rest)) => (Some(date), rest),
        None if priority => (None, rest),
        None => {
            return Head { date: None, program: None, pid: None, sender: b"", message: line, attempts: 1 };
        }
    };
    let rest = rest.trim_ascii_start();
    match tagged(rest) {
        Some((program, pid, message)) => {
            let sender = rest.get(..rest.len() - message.len()).unwrap_or_default().trim_ascii_end();
            let message = skip_solaris_id(message);
            let (attempts, message) = repeated(message).unwrap_or((1, message));
            Head { date, program: Some(program), pid, sender, message, attempts }
        }
        None => Head { date, program: None, pid: None, sender: b"", message: rest, attempts: 1 },
    }
}

/// What rsyslog's `message repeated N times: [ MESSAGE]` folds, and N. Only the logging daemon writes behind the tag.
fn repeated(message: &[u8]) -> Option<(u32, &[u8])> {
    let rest = message.strip_prefix(b"message repeated ")?;
    let (digits, rest) = split_token(rest)?;
    let inner = rest.strip_prefix(b"times: [")?.strip_suffix(b"]")?;
    if digits.len() > 6 {
        return None;
    }
    let times: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((times.max(1), inner.trim_ascii()))
}

/// The line without line end and blanks at its end.
pub(super) fn trim_end(mut line: &[u8]) -> &[u8] {
    while let [rest @ .., b'\r' | b'\n' | b' ' | b'\t'] = line {
        line = rest;
    }
    line
}

fn take_date(text: &[u8]) -> Option<(DateText<'_>, &[u8])> {
    match text.first()? {
        b'0'..=b'9' => {
            let (date, rest) = text.split_at_checked(iso_length(text)?)?;
            Some((DateText::Iso(date), rest))
        }
        b'A'..=b'S' => {
            let (date, rest) = text.split_at_checked(bsd_length(text)?)?;
            Some((DateText::Bsd(date), rest))
        }
        _ => None,
    }
}

type Tagged<'a> = (&'a [u8], Option<&'a [u8]>, &'a [u8]);

/// `[host] [facility.level] prog[pid]: message`: the program, its pid, the message.
fn tagged(text: &[u8]) -> Option<Tagged<'_>> {
    // OpenWrt, busybox and BSD leave the host out or put `auth.info` or `<auth.info>` before the tag.
    let mut rest = text;
    for position in 0..3 {
        let (token, after) = split_token(rest)?;
        if let Some((program, pid)) = tag(token, position == 0) {
            return Some((program, pid, after));
        }
        if position == 1 && !is_facility(token) {
            return None;
        }
        rest = after;
    }
    None
}

/// `auth.info` or `<auth.info>`.
fn is_facility(token: &[u8]) -> bool {
    let token = token.strip_prefix(b"<").and_then(|t| t.strip_suffix(b">")).unwrap_or(token);
    let mut parts = token.split(|b| *b == b'.');
    let word = |part: Option<&[u8]>| {
        part.is_some_and(|p| !p.is_empty() && p.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
    };
    word(parts.next()) && word(parts.next()) && parts.next().is_none()
}

/// Solaris puts `[ID 800047 auth.info] ` before each message.
fn skip_solaris_id(message: &[u8]) -> &[u8] {
    let skipped = || {
        let inner = message.strip_prefix(b"[ID ")?;
        let (_, rest) = inner.split_at_checked(memchr::memchr(b']', inner.get(..64).unwrap_or(inner))?)?;
        rest.strip_prefix(b"] ")
    };
    skipped().unwrap_or(message)
}

/// What follows `<PRI>1 `: RFC 5424, section 6.
fn rfc5424(text: &[u8]) -> Option<Head<'_>> {
    let (stamp, rest) = split_token(text)?;
    let date = match stamp {
        b"-" => None,
        _ => Some(DateText::Iso(stamp).checked(text)?),
    };
    let from_host = rest;
    let (_host, rest) = split_token(rest)?;
    let (app, rest) = split_token(rest)?;
    let (procid, rest) = split_token(rest)?;
    let sender = from_host.get(..from_host.len() - rest.len()).unwrap_or_default().trim_ascii_end();
    let (_msgid, rest) = split_token(rest).unwrap_or((rest, b""));
    let message = skip_structured_data(rest)?.trim_ascii_start();
    let message = message.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(message);
    let (attempts, message) = repeated(message).unwrap_or((1, message));
    let given = |field: &'static [u8], value| (value != field).then_some(value);
    Some(Head { date, program: given(b"-", app), pid: given(b"-", procid), sender, message, attempts })
}

impl<'a> DateText<'a> {
    /// The same, if `text` begins with an ISO date of this length.
    fn checked(self, text: &'a [u8]) -> Option<Self> {
        let Self::Iso(stamp) = self else { return None };
        (iso_length(text)? == stamp.len()).then_some(self)
    }
}

/// How the head of a line writes its date; none if it has no head with one.
#[must_use]
pub fn date_shape(line: &[u8]) -> Option<&'static str> {
    Some(match parse(line).date? {
        DateText::Bsd(_) => "Mon DD hh:mm:ss (RFC 3164)",
        DateText::Iso(_) => "YYYY-MM-DDThh:mm:ss (ISO 8601, RFC 3339)",
        DateText::Stamp(_) => "<DATE>",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Seen<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>, &'a str);

    fn seen(line: &str) -> Seen<'_> {
        let head = parse(line.as_bytes());
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        let date = head.date.map(|date| match date {
            DateText::Bsd(text) | DateText::Iso(text) | DateText::Stamp(text) => text,
        });
        (date.map(text), head.program.map(text), head.pid.map(text), text(head.message))
    }

    #[test]
    fn every_kind_of_head() {
        let bsd = Some("Nov 21 06:50:25");
        assert_eq!(
            seen("Nov 21 06:50:25 host sshd[12]: Failed x \r"),
            (bsd, Some("sshd"), Some("12"), "Failed x")
        );
        assert_eq!(seen("<38>Nov 21 06:50:25 host sshd[12]: a"), (bsd, Some("sshd"), Some("12"), "a"));
        assert_eq!(seen("Nov 21 06:50:25 host sshd: a: b"), (bsd, Some("sshd"), None, "a: b"));
        assert_eq!(seen("Nov 21 06:50:25 sshd[7]: a"), (bsd, Some("sshd"), Some("7"), "a"));
        assert_eq!(seen("Nov 21 06:50:25 [sshd]: a"), (bsd, Some("sshd"), None, "a"));
        assert_eq!(seen("Nov 21 06:50:25 [sshd] a"), (bsd, Some("sshd"), None, "a"));
        assert_eq!(seen("Nov 21 06:50:25 gw auth.info sshd[7]: a"), (bsd, Some("sshd"), Some("7"), "a"));
        assert_eq!(seen("Nov 21 06:50:25 gw <auth.info> sshd[7]: a"), (bsd, Some("sshd"), Some("7"), "a"));
        assert_eq!(seen("Nov  1 06:50:25 h su: a").0, Some("Nov  1 06:50:25"));
        assert_eq!(seen("Nov 1 06:50:25 h su: a").0, Some("Nov 1 06:50:25"));
        assert_eq!(
            seen("Nov 21 06:50:25 h sshd[7]: [ID 800047 auth.info] Failed"),
            (bsd, Some("sshd"), Some("7"), "Failed")
        );
        for stamp in [
            "2026-11-21T06:50:25.123456+00:00",
            "2026-11-21T06:50:25Z",
            "2026-11-21T06:50:25",
            "2026-11-21 06:50:25,123",
            "2026-11-21T06:50:25-0330",
        ] {
            let line = format!("{stamp} host sshd-session[9]: m");
            assert_eq!(seen(&line), (Some(stamp), Some("sshd-session"), Some("9"), "m"));
        }
    }

    #[test]
    fn rfc5424_with_its_structured_data() {
        let line = "<34>1 2003-10-11T22:14:15.003Z h sshd 12 ID47 [a b=\"]\\\"\\\\\"][c] \u{feff}Failed";
        assert_eq!(seen(line), (Some("2003-10-11T22:14:15.003Z"), Some("sshd"), Some("12"), "Failed"));
        assert_eq!(seen("<34>1 - h sshd - - - Failed"), (None, Some("sshd"), None, "Failed"));
        // Broken structured data is no head.
        assert_eq!(seen("<34>1 2003-10-11T22:14:15Z h sshd 1 - [a b=\"x] Failed").1, None);
    }

    #[test]
    fn rsyslog_folds_repeated_messages() {
        let head = |line: &'static str| {
            let head = parse(line.as_bytes());
            (head.attempts, std::str::from_utf8(head.message).unwrap())
        };
        assert_eq!(head("Nov 21 06:50:25 h sshd[7]: message repeated 3 times: [ Failed x]"), (3, "Failed x"));
        assert_eq!(head("<34>1 - h sshd - - - message repeated 2 times: [ Failed x]"), (2, "Failed x"));
        for line in
            ["message repeated 3 times: [ a]", "Nov 21 06:50:25 h sshd[7]: message repeated x times: [ a]"]
        {
            assert_eq!(head(line).0, 1);
        }
    }

    #[test]
    fn no_head_at_all() {
        for line in [
            "Failed password for a from b",
            "",
            "<999999>x",
            "Nov",
            "Nov 21 06:50:25",
            "2026-11-21T",
            "May I: x",
        ] {
            assert_eq!(seen(line), (None, None, None, line));
        }
        assert_eq!(seen("Nov 21 06:50:25 last message repeated").3, "last message repeated");
        assert_eq!(seen("Nov 21 06:50:25 h user x[1]: y").1, None);
    }
}
