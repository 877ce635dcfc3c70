//! From messages to blocks: one batch for each sender, and what is counted of it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::message::{Envelope, render};
use crate::source::status::{Board, Reporter};
use crate::source::{Block, Reception, SourceId, State, Stream};

/// How often the same is said in the log.
const SAY: Duration = Duration::from_secs(60);

/// What one socket receives, on its way to the channel.
#[derive(Debug)]
pub(super) struct Intake {
    id: SourceId,
    /// Source and socket, for the log.
    label: String,
    reporter: Reporter,
    blocks: mpsc::Sender<Block>,
    said: Mutex<Vec<(&'static str, Instant)>>,
}

/// Lines of one sender that are not handed over yet.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    lines: u64,
    cut: u64,
    broken: u64,
}

impl Batch {
    /// Adds a message.
    pub(super) fn take(&mut self, message: &[u8], cut: bool, envelope: Envelope<'_>) {
        let before = self.bytes.len();
        let rendered = render(message, cut, envelope, &mut self.bytes);
        self.lines += u64::from(self.bytes.len() > before);
        self.cut += u64::from(rendered.cut);
        self.broken += u64::from(rendered.broken);
    }

    /// How much there is, in bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl Intake {
    /// For one socket, which is on the board as `stream`.
    pub(super) fn new(
        id: SourceId,
        source: &str,
        stream: &str,
        board: &Board,
        blocks: mpsc::Sender<Block>,
    ) -> Self {
        let reporter = board.report(id, AsRef::<std::ffi::OsStr>::as_ref(stream).into());
        Self { id, label: format!("{source} {stream}"), reporter, blocks, said: Mutex::default() }
    }

    /// Where the blocks go.
    pub(super) fn blocks(&self) -> &mpsc::Sender<Block> {
        &self.blocks
    }

    /// The block of a batch; none if it is empty.
    pub(super) fn block(&self, sender: Stream, batch: Batch) -> Option<Block> {
        let Batch { bytes, lines, cut, broken } = batch;
        self.reporter.update(|status| {
            status.lines += lines;
            status.bytes += bytes.len() as u64;
            status.lines_cut += cut;
            status.reception.broken += broken;
        });
        (lines > 0).then_some(Block { source: self.id, stream: sender, bytes, span: None, again: false })
    }

    /// Counts what is not read as it came. It is said once, and again after a minute.
    pub(super) fn count(&self, what: &'static str, change: impl FnOnce(&mut Reception)) {
        self.reporter.update(|status| change(&mut status.reception));
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match said.iter_mut().find(|(other, _)| *other == what) {
            Some((_, last)) if now.duration_since(*last) < SAY => return,
            Some((_, last)) => *last = now,
            None => said.push((what, now)),
        }
        tracing::warn!("{}: {what}; `banctl status` counts them", self.label);
    }

    /// Counts datagrams that the kernel had no room for, of which there were so many in all.
    pub(super) fn lost(&self, all: u64) {
        let before = self.reporter.status().reception.lost;
        if all > before {
            self.count("datagrams were lost, more came than could be read", |it| it.lost = all);
        }
    }

    /// Says how it stands; an error is logged once.
    pub(super) fn tell(&self, state: State, error: Option<String>) {
        let error = error.map(|error| format!("{}: {error}", self.label));
        self.reporter.tell(state, error);
    }
}
