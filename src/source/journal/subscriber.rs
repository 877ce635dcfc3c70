//! One list of matches: which entries are its own, how far it has come, and how it is doing.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::cursor::{Cursor, JournalPosition};
use super::entry::{self, Standing};
use super::export::Entry;
use super::matches::Matches;
use crate::source::status::{Board, Reporter};
use crate::source::{Block, Position, Reading, Readings, SourceId, Span, State, Stream};

/// So many entries may pass that are others' before the place behind them is handed over: what a restart reads in vain.
const PASSING: u64 = 10_000;

/// One list of matches.
#[derive(Debug)]
pub(in crate::source) struct Subscriber {
    id: SourceId,
    stream: Stream,
    pub(super) matches: Matches,
    reporter: Reporter,
    /// Behind the last entry that was looked at.
    at: JournalPosition,
    /// Since journalctl was started, an entry behind that place has come: all that follow are new.
    reached: bool,
    /// What lies before was acted upon before this process; none: all of that has come.
    until: Option<JournalPosition>,
    /// Behind what was handed over.
    handed_over: JournalPosition,
    pending: Pending,
}

/// What is to be handed over.
#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    lines: u64,
    cut: u64,
    untrusted: u64,
    passed: u64,
    /// When the last line was written.
    last: Option<Timestamp>,
}

impl Subscriber {
    /// One that goes on where it was, or begins `now`.
    pub(in crate::source) fn new(
        (id, stream, matches): (SourceId, Stream, Matches),
        resume: &Readings,
        board: &Board,
        now: Timestamp,
    ) -> Self {
        let reporter = board.report(id, Arc::clone(&stream));
        let resume = resume.get(&stream).and_then(Reading::of_journal);
        let (from, until) = match resume {
            Some(Reading { from, until }) => (from, Some(until)),
            None => (JournalPosition::Since(now), None),
        };
        let began = Some(Position::Journal(from.clone()));
        reporter.update(|status| {
            status.began.clone_from(&began);
            status.position = began;
        });
        let pending = Pending::default();
        Self {
            id,
            stream,
            matches,
            reporter,
            at: from.clone(),
            reached: false,
            until,
            handed_over: from,
            pending,
        }
    }

    /// Where it goes on.
    pub(super) fn at(&self) -> &JournalPosition {
        &self.at
    }

    /// journalctl begins anew, perhaps before the place where this one was.
    pub(super) fn begin(&mut self) {
        self.reached = false;
    }

    /// Takes an entry, if it is one of its own. What was read again is handed over before the first that is new.
    pub(super) fn take(&mut self, entry: &Entry, cursor: &Cursor, zone: &TimeZone) -> Option<Block> {
        if !self.reached {
            if !self.at.is_before(cursor) {
                return None;
            }
            self.reached = true;
        }
        let mut before = None;
        if self.until.as_ref().is_some_and(|until| until.is_before(cursor)) {
            before = self.hand_over(true);
            self.until = None;
        }
        self.at = JournalPosition::Behind(cursor.clone());
        match entry::standing(entry, &self.matches) {
            Standing::Counts => {
                self.pending.cut += u64::from(entry::render(entry, zone, &mut self.pending.bytes));
                self.pending.lines += 1;
                self.pending.last = Some(entry::written_at(entry));
            }
            Standing::Refused => self.pending.untrusted += 1,
            Standing::Other => self.pending.passed += 1,
        }
        before
    }

    /// How much waits to be handed over, in bytes.
    pub(super) fn waiting(&self) -> usize {
        self.pending.bytes.len()
    }

    /// What was taken since the last time; `all`: also if it is only the place behind what others wanted.
    pub(super) fn hand_over(&mut self, all: bool) -> Option<Block> {
        let moved = self.handed_over != self.at;
        let worth = self.pending.lines > 0 || self.pending.passed >= PASSING;
        if !moved || !(worth || all) {
            return None;
        }
        self.tell_untrusted();
        let Pending { bytes, lines, cut, last, .. } = std::mem::take(&mut self.pending);
        let begin = Position::Journal(std::mem::replace(&mut self.handed_over, self.at.clone()));
        let end = Position::Journal(self.at.clone());
        let now = Timestamp::now();
        self.reporter.update(|status| {
            status.lines += lines;
            status.bytes += bytes.len() as u64;
            status.lines_cut += cut;
            status.position = Some(end.clone());
            if let Some(last) = last {
                status.behind = Some(Duration::try_from(now.duration_since(last)).unwrap_or_default());
            }
        });
        let stream = Arc::clone(&self.stream);
        let again = self.until.is_some();
        Some(Block { source: self.id, stream, bytes, span: Some(Span { begin, end }), again })
    }

    /// Tells of untrusted entries, whatever is handed over.
    pub(super) fn tell_untrusted(&mut self) {
        let untrusted = std::mem::take(&mut self.pending.untrusted);
        self.pending.passed += untrusted;
        if untrusted > 0 {
            self.reporter.update(|status| status.untrusted += untrusted);
        }
    }

    /// Says how it stands; the task logs errors, once for all.
    pub(super) fn tell(&self, state: State, error: Option<&str>) {
        self.reporter.update(|status| {
            status.state = state;
            status.error = error.map(str::to_owned);
        });
    }

    /// journalctl was started again; or entries were gone before they were read.
    pub(super) fn count(&self, restarts: u64, gaps: u64) {
        self.reporter.update(|status| {
            status.restarts += restarts;
            status.gaps += gaps;
        });
    }
}
