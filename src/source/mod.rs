//! Where log lines come from. Every source hands over [`Block`]s of whole lines as bytes.
//!
//! The stage after this one sees blocks and nothing else: not which kind of source read them, nor how. A new
//! kind of source is one variant of [`Input`] and one module beside [`mod@file`].
//!
//! The channel is the brake: a source waits until its block is taken, so a slow reader slows the reading and
//! nothing piles up in memory. Lines that nobody has read yet stay where they are, in the log.

use std::path::PathBuf;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub mod file;
pub mod lines;
mod status;

use status::report;
pub use status::{SourceStatus, State};

/// The most that a source reads at once, in bytes (256 KiB): the slice after which others get their turn.
pub const BLOCK_BYTES: usize = 256 * 1024;

/// Names one source within a running daemon: an index into its list of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub usize);

/// Whole lines, each ended by `\n`, in the order in which they were written. Bytes as they were read: any encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The source that read it.
    pub source: SourceId,
    /// At most 256 KiB plus one line; a line that was cut or not ended in the file has its `\n` added.
    pub bytes: Vec<u8>,
    /// Where reading would have gone on before this block.
    pub begin: Position,
    /// Where reading goes on once this block has been dealt with.
    pub position: Position,
    /// It lies before [`Reading::until`]: it was acted upon before a restart. A block is either all that or all new.
    pub again: bool,
}

/// A place in a file that survives renames: what is stored to go on after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// `st_dev` of the file.
    pub device: u64,
    /// `st_ino` of the file.
    pub inode: u64,
    /// Bytes from its start.
    pub offset: u64,
}

/// How far a file has been dealt with: what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Where a restart begins, so that failures that are still counted are counted again.
    pub from: Position,
    /// What lies before it has been acted upon.
    pub until: Position,
}

/// One source to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceConfig {
    /// Comes back in each of its blocks.
    pub id: SourceId,
    /// What is read.
    pub input: Input,
}

/// The kinds of sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A log file, through its rotations.
    File {
        /// The path under which its writer opens it; nothing needs to be there yet.
        path: PathBuf,
        /// How far it was dealt with. None: seen for the first time, so what it holds already is not read.
        resume: Option<Reading>,
    },
}

/// The running sources. Dropping it stops them; lines not handed over by then are read from the last position
/// when they are started again.
#[derive(Debug)]
pub struct Sources {
    statuses: Vec<tokio::sync::watch::Receiver<SourceStatus>>,
    files: JoinHandle<()>,
}

impl Sources {
    /// How each source is doing at this moment, in the order of the configuration.
    pub fn statuses(&self) -> Vec<SourceStatus> {
        self.statuses.iter().map(|status| status.borrow().clone()).collect()
    }

    /// How one source is doing at this moment.
    pub fn status(&self, id: SourceId) -> Option<SourceStatus> {
        self.statuses.iter().map(|status| status.borrow()).find(|status| status.id == id).map(|it| it.clone())
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        self.files.abort();
    }
}

/// Starts to read every source, each into the same channel. Must be called within a tokio runtime.
///
/// The sources hold the only sender that they were given: if the channel ends while [`Sources`] still lives,
/// reading has died and the daemon must not go on as if nothing had happened.
pub fn spawn(config: Vec<SourceConfig>, blocks: mpsc::Sender<Block>) -> Sources {
    let mut statuses = Vec::new();
    let mut files = Vec::new();
    for SourceConfig { id, input } in config {
        match input {
            Input::File { path, resume } => {
                let (reporter, status) = report(id, path.clone());
                statuses.push(status);
                files.push(file::Entry::new(id, path, resume, reporter));
            }
        }
    }
    Sources { statuses, files: tokio::spawn(file::follow(files, blocks)) }
}
