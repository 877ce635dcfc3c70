//! What all logs tell, in the order of time: each log as it was written, and several side by side.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::logs::{Log, Look, Part};
use crate::cli::exit;
use crate::cli::past::Blocks;
use crate::filter::{Clock, Failure, Filter, Scanner, Success, Told};

/// A date that lies further back than this is not of a line that came a little late.
const LATE: SignedDuration = SignedDuration::from_hours(24);

/// Something that a log tells.
pub(super) struct Event {
    /// Which filter found it.
    pub(super) filter: usize,
    pub(super) time: Timestamp,
    /// The log in which it was found.
    pub(super) source: Arc<str>,
    pub(super) what: What,
}

/// What happened.
pub(super) enum What {
    /// Somebody failed, as the user, if that matters and the line says it.
    Failure(Failure, Option<String>),
    /// Somebody logged in.
    Success(Success),
}

/// What was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) lines: u64,
    /// Failures of hosts of which only a name is known.
    pub(super) named: u64,
    /// Events without a date of their own: they count as happening with the one before.
    pub(super) undated: u64,
    /// Events that lie more than a day before one that was read earlier.
    pub(super) back: u64,
    /// The first and the last.
    pub(super) span: Option<(Timestamp, Timestamp)>,
}

/// The events of all logs.
pub(super) struct Timeline<'l> {
    look: &'l Look<'l>,
    readings: Vec<Reading<'l>>,
}

/// One log, as far as it is read.
struct Reading<'l> {
    log: Log,
    scanner: Scanner,
    filters: &'l [Arc<Filter>],
    /// Which of them are asked for users.
    asked: &'l [bool],
    /// What is being read.
    open: Option<(Blocks, Clock)>,
    /// What was found in its last block.
    events: VecDeque<Event>,
    /// The latest moment that it has told of.
    latest: Option<Timestamp>,
    read: Read,
}

impl<'l> Timeline<'l> {
    /// `asked`: of which filters the users of failures matter.
    pub(super) fn new(logs: Vec<Log>, look: &'l Look<'l>, asked: &'l [bool]) -> Self {
        let count = logs.len();
        let reading = |log| {
            let mut scanner = Scanner::one_of(count, look.filters);
            scanner.tell_successes();
            Reading {
                log,
                scanner,
                filters: look.filters,
                asked,
                open: None,
                events: VecDeque::new(),
                latest: None,
                read: Read::default(),
            }
        };
        Self { look, readings: logs.into_iter().map(reading).collect() }
    }

    /// The next event; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Event>, exit::Failure> {
        loop {
            for reading in &mut self.readings {
                reading.fill()?;
            }
            let earliest = self.readings.iter_mut().filter_map(|reading| Some((reading.next()?, reading)));
            let Some((_, reading)) = earliest.min_by_key(|(next, _)| *next) else { return Ok(None) };
            match reading.events.pop_front() {
                Some(event) => return Ok(Some(event)),
                None => reading.open(self.look)?,
            }
        }
    }

    /// What was read so far.
    pub(super) fn read(&self) -> Read {
        self.readings.iter().fold(Read::default(), |all, reading| {
            let read = reading.read;
            Read {
                lines: all.lines + read.lines,
                named: all.named + reading.scanner.counters().named,
                undated: all.undated + read.undated,
                back: all.back + read.back,
                span: match (all.span, read.span) {
                    (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
                    (one, other) => one.or(other),
                },
            }
        })
    }
}

impl Reading<'_> {
    /// When its next event is, or may be at the earliest; none, if it has told all.
    fn next(&self) -> Option<Timestamp> {
        match self.events.front() {
            Some(event) => Some(event.time),
            None => self.log.parts.front().map(|part| part.first),
        }
    }

    /// Reads what is open until it tells something.
    fn fill(&mut self) -> Result<(), exit::Failure> {
        while self.events.is_empty()
            && let Some((blocks, clock)) = &mut self.open
        {
            let block = blocks.next()?;
            if block.is_empty() {
                self.open = None;
                break;
            }
            let (read, events, latest) = (&mut self.read, &mut self.events, &mut self.latest);
            read.lines += u64::try_from(memchr::memchr_iter(b'\n', block).count()).unwrap_or(u64::MAX);
            self.scanner.scan_all(block, clock, &mut |filter, told, line| {
                let told_time = match &told {
                    Told::Failure(failure) => failure.time,
                    Told::Success(success) => success.time,
                };
                let time = read.time(told_time, clock, latest);
                let what = match told {
                    Told::Failure(failure) => {
                        let asked = self.asked.get(filter).is_some_and(|asked| *asked);
                        let filter = self.filters.get(filter).filter(|_| asked);
                        let user = filter.and_then(|filter| filter.user(line, failure.pattern, clock));
                        What::Failure(Failure { time, ..failure }, user)
                    }
                    Told::Success(success) => What::Success(Success { time, ..success }),
                };
                let source = Arc::clone(&self.log.name);
                events.push_back(Event { filter, time, source, what });
            });
        }
        Ok(())
    }

    /// Goes on with the next file.
    fn open(&mut self, look: &Look<'_>) -> Result<(), exit::Failure> {
        let Some(mut part) = self.log.parts.pop_front() else { return Ok(()) };
        let blocks = part.open(look)?;
        let Part { clock, .. } = part;
        self.open = Some((blocks, clock));
        Ok(())
    }
}

impl Read {
    /// When something happened of which a line says that it happened at `told`, after what the log told of at `latest`.
    fn time(&mut self, told: Timestamp, clock: &Clock, latest: &mut Option<Timestamp>) -> Timestamp {
        let undated = told == clock.now;
        self.undated += u64::from(undated);
        // Nothing is written after the last change of a file: a clock goes wrong somewhere.
        let time = match *latest {
            Some(latest) if undated => latest,
            _ => told.min(clock.now),
        };
        self.back += u64::from(latest.is_some_and(|latest| latest.duration_since(time) > LATE));
        *latest = Some(latest.map_or(time, |latest| latest.max(time)));
        let (first, last) = self.span.unwrap_or((time, time));
        self.span = Some((first.min(time), last.max(time)));
        time
    }
}
