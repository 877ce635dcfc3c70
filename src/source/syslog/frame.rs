//! From the bytes of a connection to messages: RFC 6587.
//!
//! A sender counts the octets of each message, or ends each with a newline (or a zero). Which of the two is known by
//! its first bytes, and stays so: what is logged could otherwise begin with a number and swallow what follows.

use memchr::memchr2;

use crate::source::lines::LONGEST_LINE;

/// The longest message that a sender may announce, in bytes (1 MiB). One that is longer than [`LONGEST_LINE`] is cut.
pub(super) const LONGEST_FRAME: u64 = 1 << 20;

/// What has so many digits is no length.
const MOST_DIGITS: usize = 20;

/// Why the rest of a connection cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameError {
    /// An announced length that nobody means.
    TooLong,
    /// The length was to follow, and did not.
    NoLength,
}

impl FrameError {
    /// What becomes of such connections, and why.
    pub(super) fn said(self) -> &'static str {
        match self {
            Self::TooLong => "connections were ended, a message of more than 1 MiB was announced",
            Self::NoLength => "connections were ended, the length of a message was missing",
        }
    }
}

/// One message, whole or cut at [`LONGEST_LINE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'f> {
    pub(super) message: &'f [u8],
    pub(super) cut: bool,
}

#[derive(Debug, Clone, Copy)]
enum Mode {
    /// Not enough has come to know.
    Unknown,
    /// The length is being read: so much of it. 0: it begins.
    Length(u64),
    /// So many bytes of the message are missing.
    Counted(u64),
    /// Newlines end messages.
    Ended,
}

/// Takes one connection apart. Holds one message at most, and no more than [`LONGEST_LINE`] bytes of it.
#[derive(Debug)]
pub(super) struct Frames {
    mode: Mode,
    held: Vec<u8>,
    cut: bool,
}

impl Frames {
    /// Nothing has come.
    pub(super) fn new() -> Self {
        Self { mode: Mode::Unknown, held: Vec::new(), cut: false }
    }

    /// Whether a message has begun and not ended.
    pub(super) fn is_amid(&self) -> bool {
        !self.held.is_empty() || matches!(self.mode, Mode::Length(1..) | Mode::Counted(_))
    }

    /// Takes bytes, and gives every message that is whole now. After an error nothing more can be taken.
    pub(super) fn take(&mut self, bytes: &[u8], each: &mut impl FnMut(Frame<'_>)) -> Result<(), FrameError> {
        if !matches!(self.mode, Mode::Unknown) {
            return self.go_on(bytes, each);
        }
        self.held.extend_from_slice(bytes);
        let between = self.held.iter().position(|byte| !b"\n\r\0 ".contains(byte)).unwrap_or(self.held.len());
        self.held.drain(..between);
        let Some(mode) = first_mode(&self.held) else { return Ok(()) };
        self.mode = mode;
        let first = std::mem::take(&mut self.held);
        self.go_on(&first, each)
    }

    /// No more comes. A message without newline is one; one that is shorter than announced is none: false.
    pub(super) fn end(&mut self, each: &mut impl FnMut(Frame<'_>)) -> bool {
        match self.mode {
            Mode::Unknown | Mode::Ended => {
                self.give(each);
                true
            }
            Mode::Length(_) | Mode::Counted(_) => !self.is_amid(),
        }
    }

    fn go_on(&mut self, mut rest: &[u8], each: &mut impl FnMut(Frame<'_>)) -> Result<(), FrameError> {
        while let Some((first, after)) = rest.split_first() {
            match self.mode {
                Mode::Unknown | Mode::Ended => {
                    let Some(end) = memchr2(b'\n', 0, rest) else {
                        self.hold(rest);
                        break;
                    };
                    let (message, after) = rest.split_at(end);
                    self.whole(message, each);
                    rest = after.get(1..).unwrap_or_default();
                }
                Mode::Length(length) => {
                    self.mode = match first {
                        b'0'..=b'9' if length > 0 || *first != b'0' => {
                            Mode::Length(length * 10 + u64::from(first - b'0'))
                        }
                        b' ' if length > 0 => Mode::Counted(length),
                        b'\n' | b'\r' | b' ' | 0 if length == 0 => Mode::Length(0),
                        _ => return Err(FrameError::NoLength),
                    };
                    if matches!(self.mode, Mode::Length(length) if length > LONGEST_FRAME) {
                        return Err(FrameError::TooLong);
                    }
                    rest = after;
                }
                Mode::Counted(missing) => {
                    let length = usize::try_from(missing).unwrap_or(usize::MAX).min(rest.len());
                    let (message, after) = rest.split_at(length);
                    let missing = missing - length as u64;
                    if missing == 0 {
                        self.mode = Mode::Length(0);
                        self.whole(message, each);
                    } else {
                        self.mode = Mode::Counted(missing);
                        self.hold(message);
                    }
                    rest = after;
                }
            }
        }
        Ok(())
    }

    /// A message ends with these bytes. Mostly it is all there, and nothing is copied.
    fn whole(&mut self, end: &[u8], each: &mut impl FnMut(Frame<'_>)) {
        if self.held.is_empty() {
            let message = end.get(..LONGEST_LINE).unwrap_or(end);
            each(Frame { message, cut: message.len() < end.len() });
        } else {
            self.hold(end);
            self.give(each);
        }
    }

    fn give(&mut self, each: &mut impl FnMut(Frame<'_>)) {
        // Not kept: most connections are quiet most of the time.
        let held = std::mem::take(&mut self.held);
        let cut = std::mem::take(&mut self.cut);
        each(Frame { message: &held, cut });
    }

    fn hold(&mut self, part: &[u8]) {
        let room = LONGEST_LINE.saturating_sub(self.held.len());
        let kept = part.get(..room).unwrap_or(part);
        self.held.extend_from_slice(kept);
        self.cut |= kept.len() < part.len();
    }
}

/// How the sender ends its messages; `None`: that is not to be seen yet. A number, a space and a priority is a count.
fn first_mode(bytes: &[u8]) -> Option<Mode> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match (digits, bytes.get(digits), bytes.get(digits + 1)) {
        (MOST_DIGITS.., _, _) => Some(Mode::Ended),
        (0, None, _) | (1.., None, _) | (1.., Some(b' '), None) => None,
        (1.., Some(b' '), Some(b'<')) => Some(Mode::Length(0)),
        _ => Some(Mode::Ended),
    }
}

#[cfg(test)]
mod tests;
