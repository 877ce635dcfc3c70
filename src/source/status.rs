//! How a source is doing, shared with whoever asks (`banctl status`, metrics) without asking the source.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

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
    /// Lines of a container's log that are not in the form of its runtime, and were left out.
    pub lines_broken: u64,
    /// Bytes that are in the log and were not read when it was last looked at; None before the first look.
    pub lag: Option<u64>,
    /// How often reading began anew: another file at the path, or the same one truncated.
    pub restarts: u64,
    /// Where reading began, before the first block: nothing before it is ever handed over. None until a file was open.
    pub began: Option<Position>,
    /// Where reading would go on: after the last block handed over, or where it started. None while nothing is open.
    pub position: Option<Position>,
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
            lines_broken: 0,
            lag: None,
            restarts: 0,
            began: None,
            position: None,
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
