//! What the history is made of.

use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::jail::{Ending, Verdict};

/// Something that happened to a ban.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When it happened.
    pub time: Timestamp,
    /// To whom.
    pub prefix: IpNet,
    /// On whose behalf the ban is, or was.
    pub jail: Arc<str>,
    /// What happened.
    pub what: What,
    /// When the ban was to end by itself; `None`: never.
    pub until: Option<Timestamp>,
    /// As in [`crate::jail::Ban`].
    pub count: u32,
    /// As in [`crate::jail::Ban`].
    pub source: Arc<str>,
    /// As in [`crate::jail::Ban`].
    pub reason: Arc<str>,
    /// Who did it, if it was done by hand.
    pub who: Option<Arc<str>>,
    /// The log lines that led to a ban, oldest first.
    pub lines: Vec<Line>,
}

/// What happened to a ban.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It began, or its end was changed.
    Ban,
    /// It would have begun, did its jail not only observe.
    WouldBan,
    /// It ended.
    Unban(Ending),
}

/// A log line that tells of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When the failure was, by the log's own date.
    pub time: Timestamp,
    /// The line as it was logged, or its beginning; the attacker's words are in it.
    pub bytes: Box<[u8]>,
}

/// The endings, by their names in the database and in JSON.
const ENDINGS: [(&str, Ending); 8] = [
    ("expired", Ending::Expired),
    ("by_hand", Ending::ByHand),
    ("jail_gone", Ending::JailGone),
    ("unlisted", Ending::Unlisted),
    ("allowed", Ending::Allowed),
    ("widened", Ending::Widened),
    ("observed", Ending::Observed),
    ("withdrawn", Ending::Withdrawn),
];
const BAN: &str = "ban";
const WOULD_BAN: &str = "would_ban";

impl What {
    /// `ban`, `would_ban`, or how a ban ended: `expired`, `by_hand`, `jail_gone`, `unlisted`, `allowed`, `widened`, `observed`, `withdrawn`.
    #[must_use]
    pub fn name(self) -> &'static str {
        let named = |ending| ENDINGS.iter().find(|(_, known)| *known == ending).map_or("", |(name, _)| name);
        match self {
            Self::Ban => BAN,
            Self::WouldBan => WOULD_BAN,
            Self::Unban(ending) => named(ending),
        }
    }

    /// What has this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            BAN => Some(Self::Ban),
            WOULD_BAN => Some(Self::WouldBan),
            _ => ENDINGS.iter().find(|(known, _)| *known == name).map(|(_, ending)| Self::Unban(*ending)),
        }
    }
}

impl Event {
    /// What a verdict of `now` tells.
    pub(super) fn new(verdict: &Verdict, now: Timestamp, who: Option<&Arc<str>>, lines: Vec<Line>) -> Self {
        let ban = verdict.ban();
        let (what, time) = match verdict {
            Verdict::Ban(ban) if ban.is_observed() => (What::WouldBan, ban.since),
            Verdict::Ban(ban) => (What::Ban, ban.since),
            // The kernel ends it to the second, whether or not anybody watches.
            Verdict::Unban(ban, Ending::Expired) => {
                (What::Unban(Ending::Expired), ban.until.map_or(now, |until| until.min(now)))
            }
            Verdict::Unban(_, ending) => (What::Unban(*ending), now),
        };
        Self {
            time,
            prefix: ban.prefix,
            jail: Arc::clone(&ban.jail),
            what,
            until: ban.until,
            count: ban.count,
            source: Arc::clone(&ban.source),
            reason: Arc::clone(&ban.reason),
            who: who.cloned(),
            lines,
        }
    }

    /// About how many bytes it takes in memory.
    pub(super) fn weight(&self) -> usize {
        let lines: usize = self.lines.iter().map(|line| size_of::<Line>() + line.bytes.len()).sum();
        size_of::<Self>() + lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_happens_has_a_name_of_its_own() {
        let all =
            ENDINGS.map(|(_, ending)| What::Unban(ending)).into_iter().chain([What::Ban, What::WouldBan]);
        for what in all {
            assert_eq!(What::named(what.name()), Some(what));
        }
        assert_eq!(What::named(""), None);
    }
}
