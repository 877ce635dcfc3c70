//! All the logs that one pattern means: each with its own position, coming and going with its file.
//!
//! - When the pattern is looked at for the first time ever, its logs are read from their ends; whichever comes later, also
//!   while kband does not run, is read from its beginning. That it was looked at is a place of its own, which is stored, so
//!   that it does not matter whether there was a log.
//! - A file that is renamed from one name of the pattern to another is read on where it was left off.
//! - A log whose name does not match any more, or is gone, is followed until nothing was written to it for a while.
//! - Looking through the directories takes at most a tenth of the time, however often they change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::entry::{Entry, POLL, RETRY, ROUNDS, Watching};
use super::open::Identity;
use super::pattern::{Found, Pattern};
use super::rotation::{Start, Style};
use super::stored::Stored;
use crate::source::status::{Board, Reporter};
use crate::source::{FilePosition, Position, Reading, Readings, SourceId, State};

/// How many logs one pattern means at most.
pub(super) const MOST_LOGS: usize = 1024;

/// For so many times as long as a look took there is no other.
const REST: u32 = 9;

/// The logs of one pattern.
#[derive(Debug)]
pub(super) struct Family {
    id: SourceId,
    pattern: Pattern,
    style: Style,
    /// Where they were left off before this process.
    stored: Stored,
    board: Board,
    reporter: Reporter,
    /// The keys of its logs.
    members: BTreeMap<PathBuf, usize>,
    /// It was never looked at, and no earlier process has read it.
    unknown: bool,
    /// Its directories have to be looked at.
    pub(super) look: bool,
    /// No look before.
    rest: Option<Instant>,
    /// When to look without having been told to.
    retry: Option<Instant>,
}

impl Family {
    /// Logs that are looked for as soon as the task runs.
    pub(super) fn new(id: SourceId, pattern: Pattern, style: Style, stored: Readings, board: &Board) -> Self {
        let reporter = board.report_whole(id, pattern.path().as_os_str().into());
        let unknown = stored.is_empty();
        let (stored, board, members) = (Stored::new(stored), board.clone(), BTreeMap::new());
        Self {
            id,
            pattern,
            style,
            stored,
            board,
            reporter,
            members,
            unknown,
            look: true,
            rest: None,
            retry: None,
        }
    }

    /// When something is due without an event.
    pub(super) fn wake(&self) -> Option<Instant> {
        let rested = self.rest.filter(|_| self.look);
        rested.into_iter().chain(self.retry).min()
    }

    /// Whether the directories have to be looked at now.
    pub(super) fn must_look(&self, now: Instant) -> bool {
        (self.look && self.rest.is_none_or(|until| until <= now)) || self.retry.is_some_and(|at| at <= now)
    }

    /// Sets the watches first and looks then, and again if the directories became others meanwhile. New logs are added
    /// to `logs` under keys from `next` on. The family is `key` to the watcher.
    pub(super) fn look(
        &mut self,
        key: usize,
        watching: &mut Watching,
        logs: &mut BTreeMap<usize, Entry>,
        next: &mut usize,
        now: Instant,
    ) {
        let mut found = Found::default();
        let mut watched = Ok(());
        for round in 0..=ROUNDS {
            let before = std::mem::take(&mut found.places);
            found = self.pattern.find(|path| self.members.contains_key(path));
            self.look = found.places != before;
            if !self.look || round == ROUNDS {
                break;
            }
            watched = match watching {
                Ok(watcher) => watcher
                    .arrange(key, self.pattern.path(), &found.places, std::iter::empty())
                    .map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
        }
        let left_out = self.meet(&found.files, logs, next);
        self.unknown = false;
        self.reporter.update(|status| status.began = Some(Position::File(FilePosition::OF_PATTERN)));
        self.rest = Some(now + now.elapsed() * REST);
        self.retry = match (&watched, &found.trouble) {
            (Err(_), _) => Some(now + POLL),
            _ if self.style.manner.poll => Some(now + POLL),
            (_, Some(_)) => Some(now + RETRY),
            _ => None,
        };
        let crowded = (left_out > 0).then(|| {
            format!(
                "{:?} matches {left_out} files more than the {MOST_LOGS} that are read at most: name fewer, in several jails",
                self.pattern.path()
            )
        });
        self.tell(crowded.or(found.trouble).or(watched.err()), found.files.is_empty());
    }

    /// A log is gone, and nothing of it is left to be read.
    pub(super) fn forget(&mut self, path: &Path, key: usize) {
        if self.members.get(path) == Some(&key) {
            self.members.remove(path);
            // It may have come back meanwhile, or there is room for another now.
            self.look = true;
        }
    }

    /// Takes in who is there and who is gone; how many found no room.
    fn meet(
        &mut self,
        files: &BTreeSet<PathBuf>,
        logs: &mut BTreeMap<usize, Entry>,
        next: &mut usize,
    ) -> usize {
        for (path, key) in &self.members {
            if let Some(entry) = logs.get_mut(key) {
                // A file that came or went is noticed by the log itself, but not that its name ceased to count.
                entry.look |= entry.follower().set_leaving(!files.contains(path));
            }
        }
        let identity = |path: &Path| fs::metadata(path).ok().map(|metadata| Identity::of(&metadata));
        let new = files.iter().filter(|path| !self.members.contains_key(*path));
        let new: Vec<(&Path, Option<Identity>)> = new.map(|path| (&**path, identity(path))).collect();
        let room = MOST_LOGS.saturating_sub(self.members.len());
        self.stored.follow_renames(new.iter().take(room).filter_map(|(path, file)| Some((*path, (*file)?))));
        for (path, file) in new.iter().take(room) {
            let start = self.start(path, file.as_ref(), logs);
            logs.insert(*next, Entry::new(self.id, path.to_path_buf(), start, self.style, &self.board));
            self.members.insert(path.to_path_buf(), *next);
            *next += 1;
        }
        new.len().saturating_sub(room)
    }

    /// Where a log begins that was not followed until now.
    fn start(&mut self, path: &Path, file: Option<&Identity>, logs: &mut BTreeMap<usize, Entry>) -> Start {
        let released = file.and_then(|file| {
            self.members.values().find_map(|key| logs.get_mut(key)?.follower().release(file))
        });
        let stored = self.stored.take(path.as_os_str());
        match (released, stored) {
            (Some(position), _) => Start::At(Reading { from: position, until: position }),
            (None, Some(reading)) => Start::At(reading),
            (None, None) if self.unknown => Start::End,
            (None, None) => Start::Beginning,
        }
    }

    fn tell(&self, error: Option<String>, waiting: bool) {
        self.reporter.tell(if waiting { State::Waiting } else { State::Following }, error);
    }
}
