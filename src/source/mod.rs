//! Where log lines come from. Every source hands over [`Block`]s of whole lines as bytes.
//!
//! The stage after this one sees blocks and nothing else: not which kind of source read them, nor how. A new
//! kind of source is one variant of [`Input`] and one module beside [`mod@file`].
//!
//! The channel is the brake: a source waits until its block is taken, so a slow reader slows the reading and
//! nothing piles up in memory. Lines that nobody has read yet stay where they are: in the log, or with whoever writes or
//! sends them; only datagrams of UDP are lost when the kernel has no room for more, and counted.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

#[cfg(test)]
mod bench;
mod command;
pub mod file;
mod flow;
pub mod journal;
pub mod lines;
mod pause;
mod pipe;
mod position;
mod status;
pub mod syslog;

use flow::Flow;
pub use position::{FilePosition, NoPosition, Position, Print, Reading};
use status::Board;
pub use status::{Reception, SourceStatus, State};
use syslog::{Keeper, Syslog};

/// The most that a source reads at once, in bytes (256 KiB): the slice after which others get their turn.
pub const BLOCK_BYTES: usize = 256 * 1024;

/// How many files kband wants to have open at once.
const FILES: u64 = 16 * 1024;

/// Names one source within a running daemon, for as long as that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub usize);

/// Names one of the streams that a source consists of: a file's path, a sender's address.
pub type Stream = Arc<OsStr>;

/// Whole lines, each ended by `\n`, in the order in which they were written. Bytes as they were read: any encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The source that read it.
    pub source: SourceId,
    /// Where in the source it comes from; all of it comes from there.
    pub stream: Stream,
    /// At most 256 KiB plus one line; a line that was cut or not ended in the file has its `\n` added.
    pub bytes: Vec<u8>,
    /// Where it lay; `None`: what is read there is gone, and a restart cannot go back to it.
    pub span: Option<Span>,
    /// It lies before [`Reading::until`]: it was acted upon before a restart. A block is either all that or all new.
    pub again: bool,
}

/// Where a block lay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Where reading would have gone on before this block.
    pub begin: Position,
    /// Where reading goes on once this block has been dealt with.
    pub end: Position,
}

/// Names one stream of one source, whichever daemon reads it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamKey {
    /// The name of the source: its [`Input`] as text.
    pub source: Arc<str>,
    /// The stream.
    pub stream: Stream,
}

/// How far each stream of a source has been dealt with.
pub type Readings = BTreeMap<Stream, Reading>;

/// One source to read.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Comes back in each of its blocks.
    pub id: SourceId,
    /// What is read.
    pub input: Input,
    /// How far it was dealt with. A stream that is not among them is seen for the first time: what it holds already is
    /// not read.
    pub resume: Readings,
    /// How log files are read.
    pub manner: Manner,
}

/// How log files are read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner {
    /// They are looked at every 2 s, whether or not the kernel tells of changes.
    pub poll: bool,
    /// What of the lines that were written while nobody read is left out; `None`: nothing.
    pub catch_up: Option<CatchUp>,
}

/// How far back lines are read that were written while nobody read.
#[derive(Debug, Clone, Copy)]
pub struct CatchUp {
    /// No further than this before now.
    pub back: Duration,
    /// The date of a line, if it has one that can be read.
    pub date_of: fn(&[u8]) -> Option<SystemTime>,
}

/// What is read. However many jails want the same, it is read once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
    /// A log file, through its rotations: the path under which its writer opens it. Nothing needs to be there yet. With
    /// wildcards ([`file::has_wildcards`]), every log file that it means: each is a stream of its own.
    File(PathBuf),
    /// The same, of containers: what their runtime puts around each line is taken off.
    Container(Runtime, PathBuf),
    /// What is written into a named pipe.
    Pipe {
        /// NAME in `[source.NAME]`.
        name: Arc<str>,
        /// The pipe. It need not be there yet.
        path: PathBuf,
    },
    /// Entries of the journal.
    Journal {
        /// Which journal.
        place: journal::Place,
        /// Which entries of it.
        matches: journal::Matches,
    },
    /// Messages that are sent to kband.
    Syslog(Syslog),
    /// What a program writes to its standard output for as long as it runs.
    Command {
        /// NAME in `[source.NAME]`.
        name: Arc<str>,
        /// The program and its arguments; never empty.
        words: Vec<String>,
    },
}

/// Who writes the log files of containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Runtime {
    /// Docker, with its `json-file` driver.
    Docker,
    /// containerd or CRI-O, for Kubernetes.
    Cri,
}

impl Input {
    /// The log file or files, if it is one.
    #[must_use]
    pub fn log_path(&self) -> Option<&Path> {
        match self {
            Self::File(path) | Self::Container(_, path) => Some(path),
            _ => None,
        }
    }

    /// What `banctl status` calls one stream of it.
    pub fn shown(&self, stream: &OsStr) -> String {
        match self {
            Self::File(_) | Self::Container(..) => stream.to_string_lossy().into_owned(),
            Self::Journal { .. } => self.to_string(),
            _ => format!("{self} {}", stream.display()),
        }
    }

    /// What a ban says of where its lines came from.
    pub fn of_stream(&self, stream: &OsStr) -> String {
        match self {
            Self::File(_) | Self::Container(..) => stream.to_string_lossy().into_owned(),
            Self::Syslog(_) => format!("{self} from {}", stream.display()),
            Self::Journal { .. } | Self::Pipe { .. } | Self::Command { .. } => self.to_string(),
        }
    }
}

impl fmt::Display for Input {
    /// The name by which it is stored, told in `banctl status` and named by bans.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Container(Runtime::Docker, path) => write!(f, "docker {}", path.display()),
            Self::Container(Runtime::Cri, path) => write!(f, "cri {}", path.display()),
            Self::Syslog(Syslog { name, .. }) => write!(f, "syslog {name}"),
            Self::Pipe { name, .. } => write!(f, "pipe {name}"),
            Self::Journal { place, matches } => write!(f, "{place} {matches}"),
            Self::Command { name, .. } => write!(f, "command {name}"),
        }
    }
}

/// The running sources. Dropping it stops them; lines of files not handed over by then are read from the last position
/// when they are started again.
#[derive(Debug)]
pub struct Sources {
    board: Board,
    keeper: Keeper,
    blocks: mpsc::Sender<Block>,
    tasks: JoinSet<()>,
    /// Read files and journals; these go on anywhere.
    anywhere: Vec<AbortHandle>,
    /// What is read once, and so is never interrupted.
    streams: BTreeMap<SourceId, AbortHandle>,
}

impl Sources {
    /// Nothing is read yet; everything will go into the same channel. `keeper` keeps sockets over a restart.
    pub fn new(blocks: mpsc::Sender<Block>, keeper: Keeper) -> Self {
        let (board, tasks) = (Board::default(), JoinSet::new());
        Self { board, keeper, blocks, tasks, anywhere: Vec::new(), streams: BTreeMap::new() }
    }

    /// Reads this from now on, and nothing else. Files and journals are opened anew, where their readings say; every other source
    /// that is read already, under the same id, stays as it is. Must be called within a tokio runtime.
    pub fn configure(&mut self, config: Vec<SourceConfig>) {
        let mut before = std::mem::take(&mut self.streams);
        let mut files = file::Files::new(&self.board);
        let mut journals: BTreeMap<journal::Place, Vec<journal::Subscriber>> = BTreeMap::new();
        for SourceConfig { id, input, resume, manner } in config {
            let Some(running) = before.remove(&id) else {
                match input {
                    Input::File(path) => files.add(id, path, None, manner, resume),
                    Input::Container(runtime, path) => files.add(id, path, Some(runtime), manner, resume),
                    Input::Journal { ref place, ref matches } => {
                        let stream = Stream::from(OsStr::new(&input.to_string()));
                        let subscriber = (id, stream, matches.clone());
                        let subscriber =
                            journal::Subscriber::new(subscriber, &resume, &self.board, Timestamp::now());
                        journals.entry(place.clone()).or_default().push(subscriber);
                    }
                    other => self.start(id, other),
                }
                continue;
            };
            self.streams.insert(id, running);
        }
        self.anywhere.drain(..).chain(before.into_values()).for_each(|gone| gone.abort());
        self.keeper.let_go_of_the_rest();
        if !files.is_empty() {
            self.anywhere.push(self.tasks.spawn(files.follow(self.blocks.clone())));
        }
        for (place, subscribers) in journals {
            let following = journal::follow(place, subscribers, self.blocks.clone());
            self.anywhere.push(self.tasks.spawn(following));
        }
    }

    fn start(&mut self, id: SourceId, input: Input) {
        let flow = |stream: &OsStr| Flow::new(id, stream.into(), &self.board, self.blocks.clone());
        let running = match input {
            Input::File(_) | Input::Container(..) | Input::Journal { .. } => return,
            Input::Syslog(syslog) => {
                let following = syslog::follow(syslog, id, &self.board, &self.blocks, &self.keeper);
                self.tasks.spawn(following)
            }
            Input::Pipe { path, .. } => {
                let flow = flow(path.as_os_str());
                self.tasks.spawn(pipe::follow(path, flow))
            }
            Input::Command { words, .. } => {
                let flow = flow(words.first().map_or("", String::as_str).as_ref());
                self.tasks.spawn(command::follow(words, flow))
            }
        };
        self.streams.insert(id, running);
    }

    /// This process ends: sockets that somebody keeps stay kept when this is dropped.
    pub fn end(&self) {
        self.keeper.end();
    }

    /// How each stream of each source is doing at this moment, by source.
    pub fn statuses(&self) -> Vec<SourceStatus> {
        self.board.statuses()
    }

    /// Waits until one of those that read has died, which none of them should: the daemon must not go on as if nothing
    /// had happened.
    pub async fn died(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if !ended.is_err_and(|error| error.is_cancelled()) {
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}

/// Starts to read every source, each into the same channel. Must be called within a tokio runtime.
pub fn spawn(config: Vec<SourceConfig>, blocks: mpsc::Sender<Block>, keeper: Keeper) -> Sources {
    want_files();
    let mut sources = Sources::new(blocks, keeper);
    sources.configure(config);
    sources
}

/// Each log and each connection is an open file; the usual limit (1024) is for programs that ask for no more.
fn want_files() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < FILES
    {
        // With less, whatever finds no room says so.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(FILES), hard);
    }
}
