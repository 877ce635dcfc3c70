//! One log file within the task: what it has to do next, and how it is doing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::FileError;
use super::rotation::{Follower, Start, Style, Turn};
use super::watch::{self, Watcher};
use crate::source::status::{Board, Reporter};
use crate::source::{Block, Position, SourceId, SourceStatus, Span, State, Stream};

/// How often a file is looked at that cannot be watched.
pub(super) const POLL: Duration = Duration::from_secs(2);

/// When something is tried again that failed, if no event comes before.
pub(super) const RETRY: Duration = Duration::from_secs(30);

/// How often the watches are set anew when directories change under way, before others get their turn.
pub(super) const ROUNDS: usize = 4;

/// The watcher, or why there is none.
pub(super) type Watching = Result<Watcher, FileError>;

/// One log file.
#[derive(Debug)]
pub(super) struct Entry {
    id: SourceId,
    stream: Stream,
    follower: Follower,
    reporter: Reporter,
    /// The kernel may not tell of its changes.
    poll: bool,
    /// Its path has to be looked at.
    pub(super) look: bool,
    /// It may have something to read.
    pub(super) ready: bool,
    /// When to look without having been told to.
    retry: Option<Instant>,
    /// The follower's revision that the watches are for.
    watched: Option<u64>,
}

impl Entry {
    /// A file that is looked at as soon as the task runs.
    pub(super) fn new(id: SourceId, path: PathBuf, start: Start, style: Style, board: &Board) -> Self {
        let stream: Stream = path.as_os_str().into();
        let reporter = board.report(id, Arc::clone(&stream));
        let follower = Follower::new(path, start, style);
        let poll = style.manner.poll;
        Self { id, stream, follower, reporter, poll, look: true, ready: false, retry: None, watched: None }
    }

    /// The log that it is.
    pub(super) fn follower(&mut self) -> &mut Follower {
        &mut self.follower
    }

    /// The log's path.
    pub(super) fn path(&self) -> &Path {
        self.follower.path()
    }

    /// Whether it is to leave, and nothing of it is left to be read.
    pub(super) fn has_left(&self) -> bool {
        !self.look && !self.ready && self.follower.has_left()
    }

    /// When something is due without an event.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.retry.into_iter().chain(self.follower.deadline()).min()
    }

    /// Whether the path has to be looked at now.
    pub(super) fn must_look(&mut self, now: Instant) -> bool {
        if self.follower.deadline().is_some_and(|at| at <= now) {
            self.follower.expire(now);
            self.ready = true;
        }
        self.look || self.retry.is_some_and(|at| at <= now)
    }

    /// Sets the watches first and looks then, so that nothing can change unseen in between; and again, if the
    /// directories to watch became others meanwhile. The file is `index` to the watcher.
    pub(super) fn look(&mut self, index: usize, watching: &mut Watching, now: Instant) {
        let mut places = watch::places(self.follower.path());
        let mut round = 0;
        let (looked, stable) = loop {
            self.arrange(index, watching, &places).ok();
            let looked = self.follower.check(now);
            let then = watch::places(self.follower.path());
            let stable = then == places;
            round += 1;
            if stable || round == ROUNDS {
                break (looked, stable);
            }
            places = then;
        };
        // Now with the files that were opened.
        let arranged = self.arrange(index, watching, &places);
        self.watched = Some(self.follower.revision());
        self.ready = true;
        self.look = !stable || looked.as_ref().is_ok_and(|look| !look.settled);
        self.retry = match (&arranged, &looked) {
            (Err(_), _) => Some(now + POLL),
            _ if self.poll => Some(now + POLL),
            (_, Err(_)) => Some(now + RETRY),
            _ => None,
        };
        let state = match &looked {
            Ok(look) if look.present => State::Following,
            Ok(_) => State::Waiting,
            Err(_) => State::Failed,
        };
        self.tell(state, looked.err().map(|error| error.to_string()).or(arranged.err()));
    }

    /// Reads one block.
    pub(super) fn read(&mut self, scratch: &mut [u8]) -> Option<Block> {
        let now = Instant::now();
        let mut block = None;
        let begin = self.follower.position();
        match self.follower.read(scratch, now) {
            Ok(Turn::Lines(lines, position)) => {
                let count = memchr::memchr_iter(b'\n', &lines.bytes).count();
                self.reporter.update(|status| {
                    status.lines += count as u64;
                    status.bytes += lines.bytes.len() as u64;
                    status.lines_cut += lines.cut;
                    status.lines_broken += lines.broken;
                });
                let span =
                    Span { begin: Position::File(begin.unwrap_or(position)), end: Position::File(position) };
                block = (!lines.bytes.is_empty()).then(|| Block {
                    source: self.id,
                    stream: Arc::clone(&self.stream),
                    bytes: lines.bytes,
                    span: Some(span),
                    again: lines.again,
                });
            }
            Ok(Turn::Unfinished) => {}
            Ok(Turn::Idle) => self.ready = false,
            Err(error) => {
                // Looking again at once would fail again at once.
                self.ready = false;
                self.retry = Some(now + if self.poll { POLL } else { RETRY });
                self.watched = Some(self.follower.revision());
                self.tell(State::Failed, Some(error.to_string()));
                return None;
            }
        }
        self.look |= self.watched != Some(self.follower.revision());
        self.reporter.update(|status| self.follow_up(status));
        block
    }

    fn arrange(&self, index: usize, watching: &mut Watching, places: &[watch::Place]) -> Result<(), String> {
        match watching {
            Ok(watcher) => watcher
                .arrange(index, self.follower.path(), places, self.follower.files())
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn tell(&self, state: State, error: Option<String>) {
        self.reporter.tell(state, error);
        self.reporter.update(|status| {
            // Files are opened by looking, so this comes before the first of their lines.
            if status.began.is_none() {
                status.began = self.follower.position().map(Position::File);
            }
            self.follow_up(status);
        });
    }

    fn follow_up(&self, status: &mut SourceStatus) {
        status.lag = Some(self.follower.lag());
        status.seen = self.follower.seen();
        status.restarts = self.follower.restarts();
        if let Some(position) = self.follower.position() {
            status.position = Some(Position::File(position));
        }
    }
}
