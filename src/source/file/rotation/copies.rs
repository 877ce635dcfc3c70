//! Copies of a log, which `copytruncate` and administrators make: what is only in them is read there, and everything else
//! is not read twice.

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
        let listed = siblings::list(&self.path);
        let mut missed: Vec<&Sibling> = listed.iter().filter(|it| self.is_new(it)).collect();
        missed.sort_by(|a, b| a.generation.cmp(&b.generation));
        let Some(link) = self.chain.get_mut(index) else { return };
        let (reached, position) = (link.tail.reached(), link.tail.position());
        let copy = position::copy(&reached, missed.iter().copied());
        let (mut later, mut under_way) = (Vec::new(), Vec::new());
        for sibling in missed {
            let Some(opened) = reopen(sibling) else { continue };
            let is_later = match &copy {
                Some((copy, _)) if copy.identity() == sibling.identity => false,
                Some((copy, generation)) => is_after(sibling, copy, generation),
                // What was read may reach further than the copy that was made of it.
                None => !link.tail.was_copied_by(&opened),
            };
            // What is in the file now is being copied, to be truncated next.
            if opened.metadata.len() == 0 || tail::is_copy(&opened, link.tail.file()) {
                under_way.push(sibling.identity);
            } else if is_later && later.len() < MOST_OPEN / 2 {
                later.push(Tail::new(opened, 0));
            }
        }
        // It has the last line whole, or as far as there is one.
        link.tail.begin_anew(copy.is_none());
        let copy = copy.map(|(copy, _)| Tail::new(copy, position.offset));
        let copies: Vec<Tail> = copy.into_iter().chain(later).collect();
        link.begun = copies.is_empty();
        let quiet_since = link.quiet_since.or(Some(now));
        // Whatever else is there holds nothing new.
        self.seen.listed(listed.iter().filter(|it| !under_way.contains(&it.identity)));
        for tail in copies.into_iter().rev() {
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
