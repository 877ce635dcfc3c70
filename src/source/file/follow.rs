//! The task that reads all log files.
//!
//! Every file that has something to read gets one block a turn, and the runtime gets its turn after each block: a
//! busy log slows itself, never the others and never `banctl`. While the channel is full, rotations are still
//! noticed, so that files are opened before they are gone. When nothing is to be done, nothing wakes the task but the
//! kernel's events; timers run only while a rotated file has its grace, or something is wrong.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use tokio::sync::mpsc;

use super::entry::{Entry, Watching};
use super::family::Family;
use super::pattern::Pattern;
use super::rotation::{Start, Style};
use super::watch::{Change, Watcher};
use crate::source::status::Board;
use crate::source::{BLOCK_BYTES, Block, Manner, Reading, Readings, Runtime, SourceId, Stream};

/// All log files, and the patterns that mean some of them. Each has a key of its own, by which events find it.
#[derive(Debug)]
pub(in crate::source) struct Files {
    board: Board,
    logs: BTreeMap<usize, Entry>,
    families: BTreeMap<usize, Family>,
    next_key: usize,
    /// Whose turn it is to be asked first.
    turn: usize,
}

impl Files {
    /// None yet.
    pub(in crate::source) fn new(board: &Board) -> Self {
        let (logs, families) = (BTreeMap::new(), BTreeMap::new());
        Self { board: board.clone(), logs, families, next_key: 0, turn: 0 }
    }

    /// Whether there is nothing to read.
    pub(in crate::source) fn is_empty(&self) -> bool {
        self.logs.is_empty() && self.families.is_empty()
    }

    /// One more source: a path, or a pattern. What it means is looked at as soon as the task runs.
    pub(in crate::source) fn add(
        &mut self,
        id: SourceId,
        path: PathBuf,
        runtime: Option<Runtime>,
        manner: Manner,
        resume: Readings,
    ) {
        let style = Style { runtime, manner };
        let key = self.next_key;
        self.next_key += 1;
        if let Some(pattern) = Pattern::read(&path) {
            self.families.insert(key, Family::new(id, pattern, style, resume, &self.board));
            return;
        }
        let stream: Stream = path.as_os_str().into();
        let start = resume.get(&stream).and_then(Reading::of_file).map_or(Start::End, Start::At);
        self.logs.insert(key, Entry::new(id, path, start, style, &self.board));
    }

    /// Reads all files until nobody takes the blocks any more.
    pub(in crate::source) async fn follow(mut self, blocks: mpsc::Sender<Block>) {
        let mut watching = Watcher::new();
        let mut scratch = vec![0; BLOCK_BYTES];
        loop {
            self.catch_up(&mut watching);
            let ready = self.next_ready();
            self.board.set_idle(ready.is_none());
            let Some(key) = ready else {
                let nudged = tokio::select! {
                    () = self.woken(&mut watching) => false,
                    () = self.board.nudged() => true,
                    () = blocks.closed() => return,
                };
                if nudged {
                    self.look_everywhere();
                }
                continue;
            };
            tokio::select! {
                biased;
                permit = blocks.reserve() => match permit {
                    Ok(permit) => {
                        if let Some(block) = self.read(key, &mut scratch) {
                            permit.send(block);
                        }
                    }
                    Err(_) => return,
                },
                // The file keeps its turn.
                () = self.woken(&mut watching) => {}
            }
            tokio::task::yield_now().await;
        }
    }

    /// Anything can have happened to anyone.
    fn look_everywhere(&mut self) {
        self.logs.values_mut().for_each(|it| it.look = true);
        self.families.values_mut().for_each(|it| it.look = true);
    }

    /// Takes in what happened, and does everything but reading.
    fn catch_up(&mut self, watching: &mut Watching) {
        let Self { logs, families, next_key, .. } = self;
        if let Ok(watcher) = watching {
            watcher.drain(|change| match change {
                Change::Written(key) => logs.get_mut(&key).into_iter().for_each(|it| it.ready = true),
                Change::Moved(key) => {
                    logs.get_mut(&key).into_iter().for_each(|it| it.look = true);
                    families.get_mut(&key).into_iter().for_each(|it| it.look = true);
                }
                Change::Unknown => {
                    logs.values_mut().for_each(|it| it.look = true);
                    families.values_mut().for_each(|it| it.look = true);
                }
            });
        }
        let now = Instant::now();
        for (key, family) in families.iter_mut().filter(|(_, family)| family.must_look(now)) {
            family.look(*key, watching, logs, next_key, now);
        }
        for (key, entry) in logs.iter_mut() {
            if entry.must_look(now) {
                entry.look(*key, watching, now);
            }
        }
        let left: Vec<usize> =
            logs.iter().filter(|(_, entry)| entry.has_left()).map(|(key, _)| *key).collect();
        for key in left {
            let Some(entry) = logs.remove(&key) else { continue };
            families.values_mut().for_each(|family| family.forget(entry.path(), key));
            if let Ok(watcher) = watching {
                watcher.forget(key);
            }
        }
    }

    /// The next file in turn that has something to read.
    fn next_ready(&mut self) -> Option<usize> {
        let in_turn = self.logs.range(self.turn..).chain(self.logs.range(..self.turn));
        let (key, _) = in_turn.into_iter().find(|(_, entry)| entry.ready)?;
        self.turn = *key;
        Some(self.turn)
    }

    /// Waits until something happened or is due.
    async fn woken(&self, watching: &mut Watching) {
        let due = self.logs.values().filter_map(Entry::wake);
        let due = due.chain(self.families.values().filter_map(Family::wake)).min();
        let due = async {
            match due {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let changed = async {
            match watching {
                Ok(watcher) => watcher.wait().await,
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = changed => {}
        }
    }

    /// One block of one file; the turn then goes to the next.
    fn read(&mut self, key: usize, scratch: &mut [u8]) -> Option<Block> {
        self.turn = key + 1;
        self.logs.get_mut(&key)?.read(scratch)
    }
}

#[cfg(test)]
mod tests;
