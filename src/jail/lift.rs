//! Lifting bans, in slices, so that nobody waits while there are a million.

use std::sync::Arc;

use ipnet::IpNet;

use super::bans::Key;
use super::engine::Engine;
use super::{Ban, Ending, Verdict};
use crate::config::peers::PEERS;

/// Bans on their way out.
#[derive(Debug)]
pub struct Lift {
    whose: Whose,
    ending: Ending,
    /// Where to go on; `None` once all are lifted.
    rest: Option<Place>,
    /// Bans of networks around this prefix are lifted first.
    around: Option<IpNet>,
    lifted: usize,
}

#[derive(Debug)]
enum Whose {
    /// Those of one jail (of any, if not given) within a prefix (anywhere, if not given).
    Wanted { jail: Option<Arc<str>>, within: Option<IpNet> },
    /// Those that a jail has only observed.
    Observed(Arc<str>),
    /// Those of whoever may not be banned.
    Spared,
    /// Those that too few of friends' fleets still want.
    Unnamed,
}

#[derive(Debug)]
enum Place {
    Start,
    Behind(Key),
}

impl Lift {
    /// Every ban, or those of one jail, or those within a prefix: an administrator wishes it.
    #[must_use]
    pub fn by_hand(jail: Option<&str>, within: Option<IpNet>) -> Self {
        // What is within a prefix begins with its first address. No jail's name is empty.
        let start = within
            .and_then(|within| IpNet::new(within.network(), 0).ok())
            .map_or(Place::Start, |first| Place::Behind((first, "".into())));
        let whose = Whose::Wanted { jail: jail.map(Arc::from), within };
        Self { whose, ending: Ending::ByHand, rest: Some(start), around: None, lifted: 0 }
    }

    /// Every ban of a jail that is not configured any more.
    #[must_use]
    pub fn jail_gone(jail: &str) -> Self {
        Self { ending: Ending::JailGone, ..Self::by_hand(Some(jail), None) }
    }

    /// What a jail has only observed, now that it bans.
    #[must_use]
    pub fn observed(jail: &str) -> Self {
        Self { whose: Whose::Observed(jail.into()), ending: Ending::Observed, ..Self::jail_gone(jail) }
    }

    /// Every ban of whoever may not be banned (any more).
    #[must_use]
    pub fn spared() -> Self {
        let (ending, rest) = (Ending::Allowed, Some(Place::Start));
        Self { whose: Whose::Spared, ending, rest, around: None, lifted: 0 }
    }

    /// Every ban that friends' fleets have made and too few of them still want.
    #[must_use]
    pub fn unnamed() -> Self {
        Self { whose: Whose::Unnamed, ending: Ending::Withdrawn, ..Self::spared() }
    }

    /// Every ban that has an address of `prefix` in it, which is allowed now.
    #[must_use]
    pub fn allowed(prefix: IpNet) -> Self {
        Self { ending: Ending::Allowed, around: Some(prefix), ..Self::by_hand(None, Some(prefix)) }
    }

    /// Whether an administrator wishes it, rather than something that has changed.
    #[must_use]
    pub fn is_by_hand(&self) -> bool {
        self.ending == Ending::ByHand
    }

    /// Whether all of them are lifted.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.rest.is_none()
    }

    /// How many were lifted so far.
    #[must_use]
    pub fn lifted(&self) -> usize {
        self.lifted
    }

    /// The jail whose bans are meant, if not any.
    #[must_use]
    pub fn jail(&self) -> Option<&str> {
        match &self.whose {
            Whose::Wanted { jail, .. } => jail.as_deref(),
            Whose::Observed(jail) => Some(jail),
            Whose::Unnamed => Some(PEERS),
            Whose::Spared => None,
        }
    }

    /// The prefix within which bans are meant, if not everywhere.
    #[must_use]
    pub fn within(&self) -> Option<IpNet> {
        match &self.whose {
            Whose::Wanted { within, .. } => *within,
            Whose::Observed(_) | Whose::Spared | Whose::Unnamed => None,
        }
    }

    /// Whether every ban is meant.
    #[must_use]
    pub fn means_all(&self) -> bool {
        matches!(self.whose, Whose::Wanted { jail: None, within: None })
    }

    fn means(&self, engine: &Engine, ban: &Ban) -> bool {
        match &self.whose {
            Whose::Wanted { jail, within } => {
                jail.as_ref().is_none_or(|jail| *jail == ban.jail)
                    && within.is_none_or(|within| within.contains(&ban.prefix))
            }
            Whose::Observed(jail) => *jail == ban.jail && ban.is_observed(),
            Whose::Spared => engine.forgives(ban),
            Whose::Unnamed => &*ban.jail == PEERS && !engine.votes.suffice(&ban.prefix),
        }
    }
}

impl Engine {
    /// One slice of a lift, at most `most` verdicts. To be called until it is done.
    pub fn lift(&mut self, lift: &mut Lift, most: usize) -> Vec<Verdict> {
        let after = match &lift.rest {
            None => return Vec::new(),
            Some(Place::Start) => None,
            Some(Place::Behind(key)) => Some(key),
        };
        let slice = self.bans.slice(after, most, |ban| lift.means(self, ban));
        let over =
            |(prefix, _): &Key| lift.within().is_some_and(|within| prefix.network() > within.broadcast());
        lift.rest = slice.next.filter(|next| !over(next)).map(Place::Behind);
        let around = lift.around.take().map_or_else(Vec::new, |prefix| self.bans_around(&prefix));
        lift.lifted += around.len() + slice.bans.len();
        let lifted =
            around.into_iter().chain(slice.bans).filter_map(|ban| self.bans.remove(&ban.prefix, &ban.jail));
        lifted.map(|ban| Verdict::Unban(ban, lift.ending)).collect()
    }

    /// The bans of wider networks that have `prefix` in them.
    fn bans_around(&self, prefix: &IpNet) -> Vec<Ban> {
        let wider = (0..prefix.prefix_len()).filter_map(|length| IpNet::new(prefix.addr(), length).ok());
        wider.flat_map(|network| self.bans.of(&network.trunc())).collect()
    }

    /// A lift at once.
    pub fn lift_all(&mut self, mut lift: Lift) -> Vec<Verdict> {
        let mut lifted = Vec::new();
        while !lift.is_done() {
            lifted.extend(self.lift(&mut lift, usize::MAX));
        }
        lifted
    }
}
