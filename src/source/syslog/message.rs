//! One message as it comes, to one line as filters know them: `DATE HOST PROGRAM[PID]: TEXT`.
//!
//! The date is the sender's, in the shape in which it came. Where there is none, it is the time of receipt; where there
//! is no host, it is the sender's address; where there is no program, it is `-`. Control characters are written as
//! `#012`, as rsyslog writes them: a newline makes no second line.

use std::io::Write;

use crate::source::lines::LONGEST_LINE;
use crate::syslog::{bsd_length, iso_length, skip_priority, skip_structured_data, split_token, tag};

/// What the sender did not say, or said so that nobody can read it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Envelope<'a> {
    /// The sender's address.
    pub(super) sender: &'a str,
    /// When the message came, in ISO 8601.
    pub(super) received: &'a str,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rendered {
    /// It was too long, and its end is missing. The line is so long that no filter matches it.
    pub(super) cut: bool,
    /// It began as RFC 5424 has it, and went on otherwise. What could be read of it is in the line.
    pub(super) broken: bool,
}

/// A message, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Message<'m> {
    date: Option<&'m [u8]>,
    host: Option<&'m [u8]>,
    program: Option<&'m [u8]>,
    pid: Option<&'m [u8]>,
    text: &'m [u8],
    broken: bool,
}

/// Appends the line of a message to `block`, with its newline; nothing if the message is empty. `cut` messages had more.
pub(super) fn render(message: &[u8], cut: bool, envelope: Envelope<'_>, block: &mut Vec<u8>) -> Rendered {
    let message = trim_end(message);
    if message.is_empty() {
        return Rendered::default();
    }
    let begin = block.len();
    let parsed = parse(message);
    block.extend_from_slice(parsed.date.unwrap_or(envelope.received.as_bytes()));
    block.push(b' ');
    push_host(parsed.host.unwrap_or(envelope.sender.as_bytes()), block);
    block.push(b' ');
    push_name(parsed.program.unwrap_or(b"-"), block);
    if let Some(pid) = parsed.pid {
        block.push(b'[');
        push_name(pid, block);
        block.push(b']');
    }
    block.extend_from_slice(b": ");
    push_text(parsed.text, block);
    let cut = cut || block.len() - begin > LONGEST_LINE;
    if cut {
        block.resize(begin + LONGEST_LINE, b' ');
    }
    block.push(b'\n');
    Rendered { cut, broken: parsed.broken }
}

/// Without what senders put behind a message: newlines, zeros and blanks.
fn trim_end(mut message: &[u8]) -> &[u8] {
    while let [rest @ .., b'\n' | b'\r' | b' ' | 0] = message {
        message = rest;
    }
    message
}

fn parse(message: &[u8]) -> Message<'_> {
    let Some(rest) = skip_priority(message) else { return old(message) };
    match rest.strip_prefix(b"1 ") {
        Some(header) => new(header),
        None => old(rest),
    }
}

/// RFC 3164, and what is written in its place: an ISO date, no host (as to `/dev/log`), neither of them.
fn old(message: &[u8]) -> Message<'_> {
    let date = bsd_length(message).or_else(|| iso_length(message));
    let (date, rest) = match date.and_then(|length| message.split_at_checked(length)) {
        Some((date, rest)) => (Some(date), rest.trim_ascii_start()),
        None => (None, message),
    };
    let tagged = |text| {
        let (token, text) = split_token(text)?;
        let (program, pid) = tag(token, true)?;
        Some((program, pid, text))
    };
    if let Some((program, pid, text)) = tagged(rest) {
        return Message { date, program: Some(program), pid, text, ..Message::default() };
    }
    // Only behind a date: otherwise it may be any word.
    let (host, rest) = match date.and(split_token(rest)) {
        Some((host, rest)) => (Some(host), rest),
        None => (None, rest),
    };
    match tagged(rest).filter(|_| host.is_some()) {
        Some((program, pid, text)) => {
            Message { date, host: given(host), program: Some(program), pid, text, broken: false }
        }
        None => Message { date, host: given(host), text: rest, ..Message::default() },
    }
}

/// RFC 5424 behind its version. As much of it as can be read.
fn new(header: &[u8]) -> Message<'_> {
    let broken = Message { text: header, broken: true, ..Message::default() };
    let fields = || {
        let (date, rest) = split_token(header)?;
        let (host, rest) = split_token(rest)?;
        let (program, rest) = split_token(rest)?;
        let (pid, rest) = split_token(rest)?;
        let (_id, rest) = split_token(rest)?;
        Some((date, host, program, pid, rest))
    };
    let Some((date, host, program, pid, rest)) = fields() else { return broken };
    let is_date = iso_length(header) == Some(date.len());
    let text = skip_structured_data(rest);
    let broken = text.is_none() || !(is_date || date == b"-");
    // Where broken data would have ended is for nobody to guess: whoever is named in it may have chosen that place.
    let text = text.unwrap_or(rest).trim_ascii_start();
    Message {
        date: Some(date).filter(|_| is_date),
        host: given(Some(host)),
        program: given(Some(program)),
        pid: given(Some(pid)),
        text: text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text),
        broken,
    }
}

/// RFC 5424's word for nothing is none.
fn given(field: Option<&[u8]>) -> Option<&[u8]> {
    field.filter(|field| *field != b"-" && !field.is_empty())
}

/// A colon at its end would make it the name of a program; of an address, it says that zeros follow.
fn push_host(host: &[u8], block: &mut Vec<u8>) {
    push_plain(host, b"[]", block);
    if host.ends_with(b":") {
        block.push(b'0');
    }
}

/// No part of a name is taken for the end of the name.
fn push_name(name: &[u8], block: &mut Vec<u8>) {
    push_plain(name, b"[]:", block);
}

fn push_plain(word: &[u8], without: &[u8], block: &mut Vec<u8>) {
    let plain =
        |byte: &u8| if *byte <= b' ' || *byte == 0x7f || without.contains(byte) { b'_' } else { *byte };
    block.extend(word.iter().map(plain));
}

fn push_text(text: &[u8], block: &mut Vec<u8>) {
    let is_control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
    if !text.iter().any(is_control) {
        return block.extend_from_slice(text);
    }
    for byte in text {
        if is_control(byte) {
            // Writing to memory does not fail.
            let _ = write!(block, "#{byte:03o}");
        } else {
            block.push(*byte);
        }
    }
}

#[cfg(test)]
mod tests;
