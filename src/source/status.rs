//! How a source is doing, shared with whoever asks (`banctl status`, metrics) without asking the source.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::file::Watchdog;
use super::{FilePosition, Position, SourceId, Stream};

/// No pace is measured over less.
const ONE_SECOND: Duration = Duration::from_secs(1);

/// What a source is up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is not there (yet, or at the moment); reading starts as soon as it appears.
    Waiting,
    /// It is read, and what is added to it will be noticed.
    Following,
    /// It is there and cannot be read; [`SourceStatus::error`] says why. It is tried again by itself.
    Failed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting",
            Self::Following => "following",
            Self::Failed => "failed",
        })
    }
}

/// What came over a socket and was not read as it is. Counters start at 0 with the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reception {
    /// Datagrams that the kernel had no room for.
    pub lost: u64,
    /// Datagrams and connections of senders that are not allowed.
    pub refused: u64,
    /// Messages that were not as their format has it: what could be read of them was.
    pub broken: u64,
    /// Connections that kband ended: there were too many, or a message did not end.
    pub closed: u64,
}

/// How one stream of a source is doing. Counters start at 0 with the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    /// Which source it belongs to.
    pub id: SourceId,
    /// What is read.
    pub stream: Stream,
    /// It stands for all streams of its source, each of which has a status of its own.
    pub whole: bool,
    /// What it is up to.
    pub state: State,
    /// Lines handed over.
    pub lines: u64,
    /// Bytes handed over, newlines included.
    pub bytes: u64,
    /// Lines a second since it was last asked for, at least a second ago.
    pub lines_per_second: u64,
    /// Bytes a second, likewise.
    pub bytes_per_second: u64,
    /// Lines longer than [`super::lines::LONGEST_LINE`], of which only the beginning was handed over.
    pub lines_cut: u64,
    /// Lines of a container's log that are not in the form of its runtime, and were left out.
    pub lines_broken: u64,
    /// Bytes that are in the log and were not read when it was last looked at; None before the first look.
    pub lag: Option<u64>,
    /// Of a file: which one, and how long it was when it was last looked at.
    pub seen: Option<FilePosition>,
    /// How often reading began anew: another file at the path, or the same one truncated; journalctl started again.
    pub restarts: u64,
    /// Entries of the journal that matched, and that anybody could have written: they count for nothing.
    pub untrusted: u64,
    /// How often entries of the journal were gone before they were read.
    pub gaps: u64,
    /// How old the last entry of the journal was when it was handed over.
    pub behind: Option<Duration>,
    /// Where reading began, before the first block: nothing before it is ever handed over. None until a file was open, or the
    /// files of a pattern were looked for.
    pub began: Option<Position>,
    /// Where reading would go on: after the last block handed over, or where it started. None while nothing is open.
    pub position: Option<Position>,
    /// What came over a socket and was not read as it is.
    pub reception: Reception,
    /// What is wrong at present, as a sentence that ends with what to do; None while all is well.
    pub error: Option<String>,
}

/// The source's end of its status.
#[derive(Debug)]
pub(super) struct Reporter(watch::Sender<SourceStatus>);

impl Reporter {
    /// Changes the status in place.
    pub(super) fn update(&self, change: impl FnOnce(&mut SourceStatus)) {
        self.0.send_modify(change);
    }

    /// Says how it stands; an error is logged once.
    pub(super) fn tell(&self, state: State, error: Option<String>) {
        self.update(|status| {
            if let Some(error) = error.as_deref().filter(|error| status.error.as_deref() != Some(*error)) {
                tracing::warn!("{error}");
            }
            status.state = state;
            status.error = error;
        });
    }

    /// How it stands.
    pub(super) fn status(&self) -> SourceStatus {
        self.0.borrow().clone()
    }
}

/// The status of every stream that is read at the moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Board {
    notes: Arc<Mutex<Vec<Note>>>,
    /// Whoever reads files has nothing to do, as far as it knows.
    idle: Arc<AtomicBool>,
    nudge: Arc<Notify>,
}

/// One stream, and what was known of it when somebody last asked.
#[derive(Debug)]
struct Note {
    status: watch::Receiver<SourceStatus>,
    pace: Pace,
    watchdog: Watchdog,
}

/// How fast counters go up.
#[derive(Debug)]
struct Pace {
    since: Instant,
    /// Lines and bytes then.
    then: (u64, u64),
    /// A second, before then.
    pace: (u64, u64),
}

impl Pace {
    fn follow(&mut self, status: &mut SourceStatus, now: Instant) {
        let passed = now.duration_since(self.since);
        if passed >= ONE_SECOND {
            let pace = |count: u64, then: u64| {
                let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
                count.saturating_sub(then).saturating_mul(1000) / millis.max(1)
            };
            self.pace = (pace(status.lines, self.then.0), pace(status.bytes, self.then.1));
            (self.since, self.then) = (now, (status.lines, status.bytes));
        }
        (status.lines_per_second, status.bytes_per_second) = self.pace;
    }
}

impl Board {
    /// A stream with nothing counted yet. It is on the board for as long as its source keeps the other end.
    pub(super) fn report(&self, id: SourceId, stream: Stream) -> Reporter {
        self.post(id, stream, false)
    }

    /// The same for what stands for all streams of a source.
    pub(super) fn report_whole(&self, id: SourceId, stream: Stream) -> Reporter {
        self.post(id, stream, true)
    }

    fn post(&self, id: SourceId, stream: Stream, whole: bool) -> Reporter {
        let (sender, status) = watch::channel(SourceStatus {
            id,
            stream,
            whole,
            state: State::Waiting,
            lines: 0,
            bytes: 0,
            lines_per_second: 0,
            bytes_per_second: 0,
            lines_cut: 0,
            lines_broken: 0,
            lag: None,
            seen: None,
            restarts: 0,
            untrusted: 0,
            gaps: 0,
            behind: None,
            began: None,
            position: None,
            reception: Reception::default(),
            error: None,
        });
        let pace = Pace { since: Instant::now(), then: (0, 0), pace: (0, 0) };
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.retain(is_read);
        notes.push(Note { status, pace, watchdog: Watchdog::default() });
        Reporter(sender)
    }

    /// All of them, by source; what stands for all streams of one first.
    pub(super) fn statuses(&self) -> Vec<SourceStatus> {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, idle) = (Instant::now(), self.idle.load(Ordering::Relaxed));
        let mut all = Vec::new();
        for note in notes.iter_mut().filter(|note| is_read(note)) {
            let mut status = note.status.borrow().clone();
            note.pace.follow(&mut status, now);
            if note.watchdog.look(&mut status, idle, now) {
                self.nudge.notify_one();
            }
            all.push(status);
        }
        all.sort_by(|a, b| (a.id, !a.whole, &a.stream).cmp(&(b.id, !b.whole, &b.stream)));
        all
    }

    /// Whoever reads files has nothing to do, or has.
    pub(super) fn set_idle(&self, idle: bool) {
        self.idle.store(idle, Ordering::Relaxed);
    }

    /// Waits until somebody has found what the kernel did not tell.
    pub(super) async fn nudged(&self) {
        self.nudge.notified().await;
    }
}

fn is_read(note: &Note) -> bool {
    note.status.has_changed().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_since_it_was_last_asked_for() {
        let board = Board::default();
        let reporter = board.report(SourceId(0), Stream::from(std::ffi::OsStr::new("x")));
        reporter.update(|status| (status.lines, status.bytes) = (300, 9_000));
        let mut status = board.statuses().remove(0);
        let begun = Instant::now();
        let mut pace = Pace { since: begun, then: (0, 0), pace: (0, 0) };
        for (second, lines, expected) in [(3.0, 300, 100), (3.5, 900, 100), (5.0, 900, 300), (65.0, 900, 0)] {
            status.lines = lines;
            pace.follow(&mut status, begun + Duration::from_secs_f64(second));
            assert_eq!(status.lines_per_second, expected, "after {second} s");
        }
    }
}
