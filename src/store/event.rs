//! What the history is made of.

use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::jail::spared::Allowance;
use crate::jail::{BY_HAND, Ending, Verdict};

/// Something that happened to a ban, or to an entry at run time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When it happened.
    pub time: Timestamp,
    /// To whom.
    pub prefix: IpNet,
    /// On whose behalf the ban is, or was; empty for an entry at run time, which holds for all.
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

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It began, or its end was changed.
    Ban,
    /// It would have begun, did its jail not only observe.
    WouldBan,
    /// It ended.
    Unban(Ending),
    /// Somebody was allowed at run time, or until another time.
    Allow,
    /// That was taken back.
    Disallow,
    /// Its time was over.
    AllowOver,
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
const ALLOW: &str = "allow";
const DISALLOW: &str = "disallow";
const ALLOW_OVER: &str = "allow_over";

impl What {
    /// `ban`, `would_ban`, or how a ban ended: `expired`, `by_hand`, `jail_gone`, `unlisted`, `allowed`, `widened`, `observed`, `withdrawn`;
    /// of entries at run time, `allow`, `disallow` and `allow_over`.
    #[must_use]
    pub fn name(self) -> &'static str {
        let named = |ending| ENDINGS.iter().find(|(_, known)| *known == ending).map_or("", |(name, _)| name);
        match self {
            Self::Ban => BAN,
            Self::WouldBan => WOULD_BAN,
            Self::Unban(ending) => named(ending),
            Self::Allow => ALLOW,
            Self::Disallow => DISALLOW,
            Self::AllowOver => ALLOW_OVER,
        }
    }

    /// What has this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            BAN => Some(Self::Ban),
            WOULD_BAN => Some(Self::WouldBan),
            ALLOW => Some(Self::Allow),
            DISALLOW => Some(Self::Disallow),
            ALLOW_OVER => Some(Self::AllowOver),
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

    /// What becomes of an entry at run time.
    pub(super) fn of_entry(what: What, entry: &Allowance, now: Timestamp, who: Option<&Arc<str>>) -> Self {
        let over = entry.until.filter(|_| what == What::AllowOver).map_or(now, |until| until.min(now));
        Self {
            time: over,
            prefix: entry.prefix,
            jail: "".into(),
            what,
            until: entry.until,
            count: 0,
            source: BY_HAND.into(),
            reason: Arc::clone(&entry.reason),
            who: who.cloned(),
            lines: Vec::new(),
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
        let others = [What::Ban, What::WouldBan, What::Allow, What::Disallow, What::AllowOver];
        let all = ENDINGS.map(|(_, ending)| What::Unban(ending)).into_iter().chain(others);
        for what in all {
            assert_eq!(What::named(what.name()), Some(what));
        }
        assert_eq!(What::named(""), None);
    }
}
