//! Lists: a whole list is put in place of the one before, in slices, so that no attack waits for it.
//!
//! Whoever is new is banned first, then whoever is gone is lifted; who stays is not touched. So at no moment somebody
//! is free who is on both lists. Lists are kept by their feeds: their bans are not stored, nor remembered afterwards.

use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use super::bans::Key;
use super::engine::Engine;
use super::{ADOPTED, Ban, Ending, FEED, Verdict};
use crate::config::plan::FeedPlan;
use crate::tier::Tier;

/// How many entries of a list are looked at in one slice; most of it stays as it was.
const LOOKED_AT: usize = 20_000;

/// One feed, as the engine knows it.
#[derive(Debug)]
pub(super) struct Feed {
    /// The jail of its bans.
    jail: Arc<str>,
    /// Where its list comes from.
    source: Arc<str>,
    reason: Arc<str>,
    tally: FeedTally,
}

/// What became of the entries of a feed's list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FeedTally {
    /// Not banned, because an allowed address or one of this machine is in them.
    pub spared: usize,
    /// The first of these.
    pub first_spared: Option<IpNet>,
    /// Not banned, because feeds have too many bans.
    pub no_room: usize,
    /// Banned anew.
    pub new: usize,
    /// Lifted.
    pub gone: usize,
}

/// A list on its way into force.
#[derive(Debug)]
pub struct Swap {
    jail: Arc<str>,
    entries: Vec<IpNet>,
    until: Option<Timestamp>,
    stage: Stage,
    ending: Ending,
    tally: FeedTally,
    /// How many entries are in force, or known not to come into force.
    settled: usize,
    /// How many lifts were taken into account as room.
    made_room: usize,
}

#[derive(Debug)]
enum Stage {
    /// Entries before this place are in force: first those of single addresses, then those of networks, since all the
    /// networks of unusual lengths are written anew when one of them changes.
    Banning(Which, usize),
    /// Rows up to this one are looked at.
    Lifting(Option<Key>),
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Addresses,
    Networks,
}

impl Swap {
    /// The new list of `feed`: canonical prefixes, ascending. They are banned until `until`, or for as long as they
    /// are listed.
    #[must_use]
    pub fn new(feed: &str, entries: Vec<IpNet>, until: Option<Timestamp>) -> Self {
        Self {
            jail: jail(feed),
            entries,
            until,
            stage: Stage::Banning(Which::Addresses, 0),
            ending: Ending::Unlisted,
            tally: FeedTally::default(),
            settled: 0,
            made_room: 0,
        }
    }

    /// The end of `feed`: it is not configured any more.
    #[must_use]
    pub fn end(feed: &str) -> Self {
        Self { ending: Ending::JailGone, ..Self::new(feed, Vec::new(), None) }
    }

    /// Whether the list is in force.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// How many of its entries are settled, and how many there are.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.settled, self.entries.len())
    }

    /// The jail of the feed's bans: `feed.NAME`.
    #[must_use]
    pub fn jail(&self) -> &Arc<str> {
        &self.jail
    }

    /// What has become of its entries so far.
    #[must_use]
    pub fn tally(&self) -> &FeedTally {
        &self.tally
    }
}

impl Feed {
    /// A feed of the plan, which may be `known` from the plan before.
    pub(super) fn configured(plan: &FeedPlan, known: Option<Self>) -> Self {
        Self {
            jail: jail(&plan.name),
            source: plan.source.to_string().into(),
            reason: format!("listed by {}", plan.name).into(),
            tally: known.map_or_else(FeedTally::default, |known| known.tally),
        }
    }

    pub(super) fn jail(&self) -> &str {
        &self.jail
    }
}

impl Engine {
    /// One slice of a swap, at most `most` verdicts. To be called until it is done.
    pub fn swap(&mut self, swap: &mut Swap, most: usize, now: Timestamp) -> Vec<Verdict> {
        match swap.stage {
            Stage::Banning(which, from) => self.ban_listed(swap, which, from, most, now),
            Stage::Lifting(_) => self.lift_unlisted(swap, most),
            Stage::Done => Vec::new(),
        }
    }

    /// Takes in a list at once: what was in force before a restart.
    pub fn take_feed(&mut self, feed: &str, entries: Vec<IpNet>, until: Option<Timestamp>, now: Timestamp) {
        let mut swap = Swap::new(feed, entries, until);
        while !swap.is_done() {
            self.swap(&mut swap, usize::MAX, now);
        }
    }

    /// What became of the entries of the newest list of `feed`.
    #[must_use]
    pub fn feed_tally(&self, feed: &str) -> Option<FeedTally> {
        self.feed(&jail(feed)).map(|feed| feed.tally)
    }

    fn feed(&self, jail: &str) -> Option<&Feed> {
        self.feeds.iter().find(|feed| &*feed.jail == jail)
    }

    fn ban_listed(
        &mut self,
        swap: &mut Swap,
        which: Which,
        from: usize,
        most: usize,
        now: Timestamp,
    ) -> Vec<Verdict> {
        let Some(feed) = self.feed(&swap.jail) else {
            swap.entries.clear();
            swap.stage = Stage::Lifting(None);
            return Vec::new();
        };
        let (jail, source, reason) =
            (Arc::clone(&feed.jail), Arc::clone(&feed.source), Arc::clone(&feed.reason));
        let mut room = self.feed_capacity.saturating_sub(self.bans.count_of(|jail| jail.starts_with(FEED)));
        let mut verdicts = Vec::new();
        let mut at = from;
        for &prefix in swap.entries.iter().skip(from).take(LOOKED_AT) {
            if verdicts.len() >= most {
                break;
            }
            at += 1;
            if (prefix.prefix_len() == prefix.max_prefix_len()) != (which == Which::Addresses) {
                continue;
            }
            swap.settled += 1;
            let before = self.bans.get(&prefix, &jail).map(|ban| (ban.since, ban.until));
            if self.spares(&prefix) {
                swap.tally.spared += 1;
                swap.tally.first_spared.get_or_insert(prefix);
                continue;
            }
            if before.is_some_and(|(_, until)| in_microseconds(until) == in_microseconds(swap.until)) {
                continue;
            }
            if before.is_none() {
                if room == 0 {
                    swap.tally.no_room += 1;
                    continue;
                }
                room -= 1;
                swap.tally.new += 1;
            }
            let ban = Ban {
                prefix,
                jail: Arc::clone(&jail),
                since: before.map_or(now, |(since, _)| since),
                until: swap.until,
                count: 1,
                source: Arc::clone(&source),
                reason: Arc::clone(&reason),
                services: None,
                renew: None,
            };
            self.supersede(&prefix, swap.until, None);
            self.bans.insert(ban.clone());
            verdicts.push(Verdict::Ban(ban));
        }
        swap.stage = match which {
            _ if at < swap.entries.len() => Stage::Banning(which, at),
            Which::Addresses => Stage::Banning(Which::Networks, 0),
            Which::Networks => Stage::Lifting(None),
        };
        verdicts
    }

    fn lift_unlisted(&mut self, swap: &mut Swap, most: usize) -> Vec<Verdict> {
        let Stage::Lifting(after) = &swap.stage else { return Vec::new() };
        let slice = self.bans.slice(after.as_ref(), most, |ban| {
            ban.jail == swap.jail && swap.entries.binary_search(&ban.prefix).is_err()
        });
        swap.tally.gone += slice.bans.len();
        match slice.next {
            Some(next) => swap.stage = Stage::Lifting(Some(next)),
            // Whoever is gone has made room.
            None if swap.tally.no_room > 0 && swap.tally.gone > swap.made_room => {
                swap.made_room = swap.tally.gone;
                swap.settled = 0;
                swap.tally = FeedTally { spared: 0, first_spared: None, no_room: 0, ..swap.tally };
                swap.stage = Stage::Banning(Which::Addresses, 0);
            }
            None => {
                swap.stage = Stage::Done;
                if let Some(feed) = self.feeds.iter_mut().find(|feed| feed.jail == swap.jail) {
                    feed.tally = swap.tally;
                }
            }
        }
        let lifted = slice.bans.iter().filter_map(|ban| self.bans.remove(&ban.prefix, &ban.jail));
        lifted.map(|ban| Verdict::Unban(ban, swap.ending)).collect()
    }

    /// What was only found in the kernel has a reason now.
    pub(super) fn supersede(&mut self, prefix: &IpNet, until: Option<Timestamp>, renew: Option<Tier>) {
        // Packets would go on renewing an element of another tier, of which nobody knew any more.
        let known_better = |adopted: Ban| {
            let ends_first = until.is_none_or(|until| adopted.until.is_some_and(|end| end <= until));
            ends_first && (adopted.renew.is_none() || adopted.renew == renew)
        };
        if self.bans.get(prefix, ADOPTED).is_some_and(known_better) {
            self.bans.remove(prefix, ADOPTED);
        }
    }
}

/// Bans keep no more of a time.
fn in_microseconds(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_microsecond)
}

fn jail(feed: &str) -> Arc<str> {
    format!("{FEED}{feed}").into()
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
