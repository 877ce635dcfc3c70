//! Copies of a log, which `copytruncate` and administrators make: what is only in them is read there, and everything else
//! is not read twice.

use std::iter;
use std::time::Instant;

use super::super::open::Opened;
use super::super::position::{self, is_after, reopen};
use super::super::siblings::{self, Sibling};
use super::super::tail::{self, Tail};
use super::{Follower, Link, MOST_OPEN};

impl Follower {
    /// Goes on in the copy that was made before truncating, if that holds more, and in those that were made since; then
    /// begins anew.
    pub(super) fn truncated(&mut self, index: usize, now: Instant) {
        self.restarts += 1;
        self.revision += 1;
        let mut missed: Vec<Sibling> = siblings::list(&self.path);
        missed.retain(|it| self.is_new(it));
        missed.sort_by(|a, b| a.generation.cmp(&b.generation));
        let Some(link) = self.chain.get_mut(index) else { return };
        let (reached, position) = (link.tail.reached(), link.tail.position());
        let copies = position::copy(&reached, missed.iter()).map(|(copy, generation)| {
            let identity = copy.identity();
            let later =
                missed.iter().filter(|it| it.identity != identity && is_after(it, &copy, &generation));
            let later: Vec<Tail> =
                later.filter_map(|it| Some(Tail::new(reopen(it)?, 0))).take(MOST_OPEN / 2).collect();
            iter::once(Tail::new(copy, position.offset)).chain(later).collect::<Vec<_>>()
        });
        // The copy has the last line whole, or as far as there is one.
        link.tail.begin_anew(copies.is_none());
        link.begun = copies.is_none();
        let quiet_since = link.quiet_since.or(Some(now));
        // Whatever else is there holds nothing new.
        self.seen.listed(missed.iter());
        for tail in copies.unwrap_or_default().into_iter().rev() {
            let link = self.link(tail, quiet_since);
            self.chain.insert(index, link);
        }
    }

    /// Takes care of truncated files before others are added, which may be copies of what they were.
    pub(super) fn begin_truncated_anew(&mut self, now: Instant) {
        let truncated = |link: &Link| link.tail.is_truncated().unwrap_or(false);
        while let Some(index) = self.chain.iter().position(truncated) {
            self.truncated(index, now);
        }
    }

    /// Whether what is in a file was or will be read in another: one of the chain, or the one at the path.
    pub(super) fn is_copy(&self, sibling: &Sibling, current: Option<&Opened>) -> bool {
        let copies = |opened: Opened| {
            current.is_some_and(|current| tail::is_copy(&opened, &current.file))
                || self.chain.iter().any(|link| link.tail.is_copied_by(&opened))
        };
        reopen(sibling).is_some_and(copies)
    }
}
