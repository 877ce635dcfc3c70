//! The task that reads all log files.
//!
//! Every file that has something to read gets one block a turn, and the runtime gets its turn after each block: a
//! busy log slows itself, never the others and never `banctl`. While the channel is full, rotations are still
//! noticed, so that files are opened before they are gone. When nothing is to be done, nothing wakes the task but the
//! kernel's events; timers run only while a rotated file has its grace, or something is wrong.

use std::time::Instant;

use tokio::sync::mpsc;

use super::entry::{Entry, Watching};
use super::watch::{Change, Watcher};
use crate::source::{BLOCK_BYTES, Block};

/// Reads all files until nobody takes the blocks any more.
pub(in crate::source) async fn follow(entries: Vec<Entry>, blocks: mpsc::Sender<Block>) {
    let mut files = Files { entries, watching: Watcher::new(), next: 0, scratch: vec![0; BLOCK_BYTES] };
    loop {
        files.catch_up();
        let Some(index) = files.next_ready() else {
            tokio::select! {
                () = files.woken() => continue,
                () = blocks.closed() => return,
            }
        };
        tokio::select! {
            biased;
            permit = blocks.reserve() => match permit {
                Ok(permit) => {
                    if let Some(block) = files.read(index) {
                        permit.send(block);
                    }
                }
                Err(_) => return,
            },
            // The file keeps its turn.
            () = files.woken() => {}
        }
        tokio::task::yield_now().await;
    }
}

struct Files {
    entries: Vec<Entry>,
    watching: Watching,
    /// Whose turn it is to be asked first.
    next: usize,
    scratch: Vec<u8>,
}

impl Files {
    /// Takes in what happened, and does everything but reading.
    fn catch_up(&mut self) {
        let entries = &mut self.entries;
        if let Ok(watcher) = &mut self.watching {
            watcher.drain(|change| match change {
                Change::Written(index) => entries.get_mut(index).into_iter().for_each(|it| it.ready = true),
                Change::Moved(index) => entries.get_mut(index).into_iter().for_each(|it| it.look = true),
                Change::Unknown => entries.iter_mut().for_each(|it| it.look = true),
            });
        }
        let now = Instant::now();
        for (index, entry) in self.entries.iter_mut().enumerate() {
            if entry.must_look(now) {
                entry.look(index, &mut self.watching, now);
            }
        }
    }

    /// The next file in turn that has something to read.
    fn next_ready(&mut self) -> Option<usize> {
        let count = self.entries.len();
        let in_turn = (self.next..count).chain(0..self.next.min(count));
        let ready =
            in_turn.into_iter().find(|index| self.entries.get(*index).is_some_and(|entry| entry.ready))?;
        self.next = ready;
        Some(ready)
    }

    /// Waits until something happened or is due.
    async fn woken(&mut self) {
        let due = self.entries.iter().filter_map(Entry::wake).min();
        let due = async {
            match due {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let changed = async {
            match &mut self.watching {
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
    fn read(&mut self, index: usize) -> Option<Block> {
        self.next = index + 1;
        self.entries.get_mut(index)?.read(&mut self.scratch)
    }
}

#[cfg(test)]
mod tests;
