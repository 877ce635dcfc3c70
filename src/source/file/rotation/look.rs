//! Looking at the path: what is there now, what was there since the last look, and what is not there any more.

use std::time::{Instant, SystemTime};

use super::super::container;
use super::super::error::FileError;
use super::super::open::{self, Identity, Opened};
use super::super::position::{self, reopen};
use super::super::siblings::{self, Generation, Sibling};
use super::super::tail::Tail;
use super::{Follower, Look, MOST_OPEN, Start};
use crate::source::CatchUp;

/// How often one look follows a path that changes again and again, before others get their turn.
const ROUNDS: usize = 16;

impl Follower {
    /// Opens what is new at the path.
    pub(super) fn look(&mut self, now: Instant) -> Result<Look, FileError> {
        self.begin()?;
        for _ in 0..ROUNDS {
            let Some(metadata) = open::inspect(&self.path)? else {
                let settled = self.chain.is_empty() || self.extend(None, now);
                return Ok(Look { present: false, settled });
            };
            let identity = Identity::of(&metadata);
            match self.chain.iter().position(|link| link.tail.identity() == identity) {
                Some(index) if index + 1 == self.chain.len() => {
                    return Ok(Look { present: true, settled: true });
                }
                // It was moved away and back.
                Some(index) => {
                    let link = self.chain.remove(index);
                    self.chain.extend(link);
                }
                None => {
                    if let Some(opened) = open::open(&self.path)?
                        && !self.extend(Some(opened), now)
                    {
                        return Ok(Look { present: true, settled: false });
                    }
                }
            }
        }
        Ok(Look { present: true, settled: false })
    }

    /// The first look decides where reading begins.
    fn begin(&mut self) -> Result<(), FileError> {
        let Some(first) = &mut self.first else { return Ok(()) };
        let mut listed = siblings::list(&self.path);
        let tails = match first.start {
            Start::At(reading) => {
                let beginning = position::resume(&self.path, reading, &listed)?;
                self.restarts += u64::from(beginning.restarted);
                listed.retain(|sibling| !beginning.unopened.contains(&sibling.identity));
                beginning.tails
            }
            Start::Beginning => {
                open::open(&self.path)?.into_iter().map(|opened| Tail::new(opened, 0)).collect()
            }
            Start::End => match position::at_end(&self.path, &mut first.noted) {
                // Whatever replaces it will be new.
                Err(error @ FileError::NotRegular { .. }) => {
                    self.first = None;
                    return Err(error);
                }
                other => other?.into_iter().collect(),
            },
        };
        self.first = None;
        self.seen.listed(listed.iter());
        self.since = tails.first().and_then(|tail| tail.file().metadata().ok()?.modified().ok());
        for mut tail in tails {
            if let Some(catch_up) = self.style.manner.catch_up {
                self.skip(&mut tail, &catch_up);
            }
            self.push(tail);
        }
        Ok(())
    }

    /// Adds the file at the path to the chain, and before it those that stood there since the last look. False: there
    /// are too many at once, and some of them have to be read and closed first.
    pub(super) fn extend(&mut self, current: Option<Opened>, now: Instant) -> bool {
        self.begin_truncated_anew(now);
        let room = MOST_OPEN.saturating_sub(self.chain.len() + 1);
        if room == 0 {
            self.close_oldest();
            return false;
        }
        // Asked first: it may have been renamed since it was opened, and then it is listed as well.
        let current_identity = current.as_ref().map(Opened::identity);
        let offset = current_identity.and_then(|identity| self.seen.offset(&identity)).unwrap_or(0);
        let listed =
            siblings::list(&self.path).into_iter().filter(|it| Some(it.identity) != current_identity);
        let (missed, known): (Vec<Sibling>, Vec<Sibling>) =
            listed.partition(|it| self.is_new(it) && !self.is_copy(it, current.as_ref()));
        self.seen.listed(known.iter());

        let complete = missed.len() <= room;
        let mut found = Vec::new();
        for sibling in missed.iter().take(room) {
            found.extend(reopen(sibling).map(|opened| (sibling.age(), opened)));
        }
        let newest = Generation::Current;
        if complete && let Some(opened) = current {
            let born = opened.identity().created.or(opened.metadata.modified().ok());
            found.push(((born.unwrap_or_else(SystemTime::now), &newest), opened));
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        for (_, opened) in found {
            self.restarts += 1;
            let is_current = Some(opened.identity()) == current_identity;
            self.push(Tail::new(opened, if is_current { offset } else { 0 }));
        }
        complete
    }

    pub(super) fn is_new(&self, sibling: &Sibling) -> bool {
        !self.seen.contains(&sibling.identity)
            && self.since.is_none_or(|since| sibling.modified >= since)
            && self.chain.iter().all(|link| link.tail.identity() != sibling.identity)
    }

    /// Leaves out what was written longer ago than what is to be caught up with.
    fn skip(&self, tail: &mut Tail, catch_up: &CatchUp) {
        let Some(oldest) = SystemTime::now().checked_sub(catch_up.back) else { return };
        let runtime = self.style.runtime;
        let date_of = |line: &[u8]| {
            (catch_up.date_of)(runtime.map_or(line, |runtime| container::from_date(runtime, line)))
        };
        let skipped = tail.skip_older(oldest, &date_of);
        if skipped > 0 {
            let path = &self.path;
            tracing::info!(
                "{path:?}: {skipped} bytes are not read, they were written before what catch_up says"
            );
        }
    }

    /// Starts the grace of every file that is not at the path any more. One that was moved away without a successor
    /// is followed for as long as it has a name.
    pub(super) fn retire(&mut self, present: bool, now: Instant) {
        let newest = self.chain.len().saturating_sub(1);
        for (index, link) in self.chain.iter_mut().enumerate() {
            if index < newest || (!present && (self.leaving || link.tail.is_unlinked())) {
                link.quiet_since.get_or_insert(now);
            } else {
                link.quiet_since = None;
                link.closing = false;
            }
        }
    }
}
