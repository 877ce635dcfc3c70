//! Which files are one log, in which order they were written, and when.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

use crate::cli::exit::{Failure, usage};
use crate::cli::past::{Blocks, Input};
use crate::filter::{Clock, Filter, Scanner, Told, date_of};

/// What compressed files end with.
const PACKED: [&str; 3] = [".gz", ".xz", ".zst"];
/// Nothing was logged before; file systems without clocks and archives without times say 1970.
const NO_TIME: i64 = 366 * 86_400;

/// What is needed to look into a file.
pub(super) struct Look<'l> {
    pub(super) filters: &'l [Arc<Filter>],
    /// Which entries of the journal are wanted; empty: all.
    pub(super) entries: Vec<String>,
    /// The end of every file, if it was given.
    pub(super) now: Option<Timestamp>,
    pub(super) zone: TimeZone,
    /// The way through files may be shown.
    pub(super) bar: bool,
}

/// One file of a log.
pub(super) struct Part {
    input: Input,
    /// By the time of its last change. No date of a log is this very moment (see [`Look::clock`]), so that what has it has no
    /// date.
    pub(super) clock: Clock,
    /// When its first line was written; the clock's now, if it does not say.
    pub(super) first: Timestamp,
    /// What can be read only once is open already.
    opened: Option<Blocks>,
}

/// A log: one file, or all its generations, the oldest first.
pub(super) struct Log {
    pub(super) name: Arc<str>,
    pub(super) parts: VecDeque<Part>,
}

/// The logs that were typed.
pub(super) fn logs(typed: &[String], look: &Look<'_>) -> Result<Vec<Log>, Failure> {
    let mut logs: Vec<Log> = Vec::new();
    for typed in typed {
        let input = Input::of(typed, &mut Vec::new());
        if let Input::Line(line) = &input {
            return Err(usage(format!(
                "no file is named '{line}': name a log file, - for standard input, or journal"
            )));
        }
        let name = generations_of(&input);
        let part = look.into(input)?;
        match logs.iter_mut().find(|log| *log.name == *name) {
            Some(log) => log.parts.push_back(part),
            None => logs.push(Log { name: name.into(), parts: VecDeque::from([part]) }),
        }
    }
    for log in &mut logs {
        log.parts.make_contiguous().sort_by_key(|part| part.first);
    }
    Ok(logs)
}

impl Look<'_> {
    /// Looks at the beginning of an input.
    fn into(&self, input: Input) -> Result<Part, Failure> {
        let clock = self.clock(&input);
        let again = matches!(&input, Input::File(path) if Path::new(path).is_file());
        let mut blocks = input.open(&self.entries, self.bar && !again)?;
        let first = self.first(blocks.peek()?, &clock);
        Ok(Part { input, clock, first, opened: (!again).then_some(blocks) })
    }

    /// The clock of an input: the last moment of the second in which it was changed. That is a moment which no log has.
    fn clock(&self, input: &Input) -> Clock {
        let changed = match input {
            Input::File(path) => std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file),
            _ => None,
        };
        let changed = changed.and_then(|about| Timestamp::try_from(about.modified().ok()?).ok());
        let changed = changed.filter(|changed| changed.as_second() > NO_TIME);
        let now = self.now.or(changed).unwrap_or_else(Timestamp::now);
        let second = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Floor);
        let last = |second: Timestamp| second.checked_add(jiff::SignedDuration::new(0, 999_999_999)).ok();
        Clock { now: now.round(second).ok().and_then(last).unwrap_or(now), zone: self.zone.clone() }
    }

    /// The first moment that lines tell by their heads, or by what the filters find in them.
    fn first(&self, block: &[u8], clock: &Clock) -> Timestamp {
        let dated = block.split(|&byte| byte == b'\n').find_map(|line| date_of(line, clock));
        dated.unwrap_or_else(|| {
            let (mut scanner, mut first) = (Scanner::new(self.filters), clock.now);
            scanner.tell_successes();
            scanner.scan_all(block, clock, &mut |_, told, _| {
                first = first.min(match told {
                    Told::Failure(failure) => failure.time,
                    Told::Success(success) => success.time,
                });
            });
            first
        })
    }
}

impl Part {
    /// Its blocks, from the first.
    pub(super) fn open(&mut self, look: &Look<'_>) -> Result<Blocks, Failure> {
        match self.opened.take() {
            Some(blocks) => Ok(blocks),
            None => self.input.open(&look.entries, look.bar),
        }
    }
}

/// The name of the log of which an input is a generation: without what compressing and rotating put behind it.
fn generations_of(input: &Input) -> String {
    let name = input.name();
    if !matches!(input, Input::File(_)) {
        return name;
    }
    let plain = PACKED.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    let begin = plain.rfind(['.', '-']).filter(|begin| *begin > 0);
    let (log, generation) = plain.split_at_checked(begin.unwrap_or(plain.len())).unwrap_or((plain, ""));
    let digits = generation.get(1..).unwrap_or_default();
    // `.1`, `.20261121`, `-20261121`; names such as `node-1` and `10.0.0.1` are logs of their own.
    let counted = generation.starts_with('.') && digits.len() <= 4;
    let rotated = (counted || matches!(digits.len(), 8 | 10))
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && Path::new(log)
            .file_name()
            .is_some_and(|log| log.as_encoded_bytes().iter().any(u8::is_ascii_alphabetic));
    (if rotated { log } else { plain }).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_of_a_log_are_known_by_their_names() {
        let of = |name: &str| generations_of(&Input::File(name.to_owned()));
        for name in [
            "/l/auth.log",
            "/l/auth.log.1",
            "/l/auth.log.2.gz",
            "/l/auth.log-20261121",
            "/l/auth.log-20261121.zst",
            "/l/auth.log.20261121.xz",
        ] {
            assert_eq!(of(name), "/l/auth.log", "{name}");
        }
        for other in ["/l/node-1", "/l/auth", "/m/auth.log.x", "/l/.1a", "-", "1", "/l/10.0.0.7"] {
            assert_eq!(of(other), other);
        }
    }

    #[test]
    fn the_clock_of_a_file_is_its_last_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let file = std::fs::File::create(&path).unwrap();
        let input = Input::File(path.display().to_string());
        let look = |now| Look { filters: &[], entries: Vec::new(), now, zone: TimeZone::UTC, bar: false };
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let changed = at("2025-02-03T04:05:06.5Z");
        file.set_modified(changed.into()).unwrap();
        assert_eq!(look(None).clock(&input).now, at("2025-02-03T04:05:06.999999999Z"));
        assert_eq!(
            look(Some(at("2026-01-01T00:00:00Z"))).clock(&input).now,
            at("2026-01-01T00:00:00.999999999Z")
        );
        file.set_modified(Timestamp::UNIX_EPOCH.into()).unwrap();
        assert!(look(None).clock(&input).now > at("2025-02-03T04:05:06Z"));
    }
}
