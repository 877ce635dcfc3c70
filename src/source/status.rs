//! How a source is doing, shared with whoever asks (`banctl status`, metrics) without asking the source.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::{Position, SourceId, Stream};

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
    /// What it is up to.
    pub state: State,
    /// Lines handed over.
    pub lines: u64,
    /// Bytes handed over, newlines included.
    pub bytes: u64,
    /// Lines longer than [`super::lines::LONGEST_LINE`], of which only the beginning was handed over.
    pub lines_cut: u64,
    /// Bytes that are in the log and were not read when it was last looked at; None before the first look.
    pub lag: Option<u64>,
    /// How often reading began anew: another file at the path, or the same one truncated; journalctl started again.
    pub restarts: u64,
    /// Entries of the journal that matched, and that anybody could have written: they count for nothing.
    pub untrusted: u64,
    /// How often entries of the journal were gone before they were read.
    pub gaps: u64,
    /// How old the last entry of the journal was when it was handed over.
    pub behind: Option<Duration>,
    /// Where reading began, before the first block: nothing before it is ever handed over. None until a file was open.
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
pub(super) struct Board(Arc<Mutex<Vec<watch::Receiver<SourceStatus>>>>);

impl Board {
    /// A stream with nothing counted yet. It is on the board for as long as its source keeps the other end.
    pub(super) fn report(&self, id: SourceId, stream: Stream) -> Reporter {
        let (sender, receiver) = watch::channel(SourceStatus {
            id,
            stream,
            state: State::Waiting,
            lines: 0,
            bytes: 0,
            lines_cut: 0,
            lag: None,
            restarts: 0,
            untrusted: 0,
            gaps: 0,
            behind: None,
            began: None,
            position: None,
            reception: Reception::default(),
            error: None,
        });
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        board.retain(is_read);
        board.push(receiver);
        Reporter(sender)
    }

    /// All of them, by source.
    pub(super) fn statuses(&self) -> Vec<SourceStatus> {
        let board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<SourceStatus> =
            board.iter().filter(|status| is_read(status)).map(|status| status.borrow().clone()).collect();
        all.sort_by(|a, b| (a.id, &a.stream).cmp(&(b.id, &b.stream)));
        all
    }
}

fn is_read(status: &watch::Receiver<SourceStatus>) -> bool {
    status.has_changed().is_ok()
}
