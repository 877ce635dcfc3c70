//! What happens, told to whoever watches: one JSON document a line.
//!
//! Nobody waits for a watcher. One that reads too slowly misses events, and is told how many.

use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::jail::{Ban, Verdict, shown};

/// How many events may wait for a watcher.
const WAITING: usize = 4096;
/// The version of the documents: keys are only added to it.
const SCHEMA: u32 = 1;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The version of this document.
    pub schema: u32,
    /// When.
    pub time: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A line of a log was counted as a failure.
    Failure {
        /// The jail that reads the log.
        jail: String,
        /// Who failed: an address, or as the line has it, a network with the address in it.
        address: String,
        /// The log.
        source: String,
        /// The log's own time.
        logged: Timestamp,
        /// How many failures the line stands for.
        attempts: u32,
    },
    /// Somebody was banned.
    Ban(Banned),
    /// Somebody would have been banned, did the jail not only observe.
    WouldBan(Banned),
    /// A ban ended.
    Unban {
        /// The jail whose ban it was.
        jail: String,
        /// Who is let in again, unless another ban holds.
        address: String,
        /// Why it ended.
        why: String,
    },
    /// Somebody is allowed from now on: nobody bans them.
    Allow {
        /// The address, or the prefix if it is more than one.
        address: String,
        /// When that ends; `null` is never.
        until: Option<Timestamp>,
        /// Why.
        reason: String,
        /// Who said so.
        #[serde(default)]
        who: Option<String>,
    },
    /// Somebody is not allowed any more.
    Disallow {
        /// The address, or the prefix.
        address: String,
        /// Why not.
        why: String,
        /// Who said so; `null`: its time is over.
        #[serde(default)]
        who: Option<String>,
    },
    /// More bans were to be made than `max_bans_per_minute` allows: whom they are about waits, the worst are banned first.
    Alarm {
        /// The jail whose bans wait.
        jail: String,
        /// How many wait by now.
        waiting: usize,
    },
    /// Somebody else had changed the kernel's table, and it was put right.
    Restore {
        /// Who it was, if known.
        by: String,
        /// How many bans were put back.
        bans: usize,
    },
    /// Events were missed, because they were read too slowly.
    Missed {
        /// How many.
        events: u64,
    },
}

/// A ban that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Banned {
    /// The jail.
    pub jail: String,
    /// The address, or the prefix if it is more than one.
    pub address: String,
    /// When it ends; `null` is never.
    pub until: Option<Timestamp>,
    /// How many times this jail has banned it.
    pub count: u32,
    /// The ports that are closed; `null` is all of them.
    pub ports: Option<Vec<String>>,
    /// Where it came from.
    pub source: String,
    /// Why.
    pub reason: String,
}

impl From<&Ban> for Banned {
    fn from(ban: &Ban) -> Self {
        Self {
            jail: ban.jail.to_string(),
            address: shown(&ban.prefix),
            until: ban.until,
            count: ban.count,
            ports: ban.services.as_ref().map(|list| list.iter().map(ToString::to_string).collect()),
            source: ban.source.to_string(),
            reason: ban.reason.to_string(),
        }
    }
}

impl From<&Verdict> for What {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Ban(ban) if ban.is_observed() => Self::WouldBan(ban.into()),
            Verdict::Ban(ban) => Self::Ban(ban.into()),
            Verdict::Unban(ban, ending) => Self::Unban {
                jail: ban.jail.to_string(),
                address: shown(&ban.prefix),
                why: ending.to_string(),
            },
        }
    }
}

/// Where events are told.
#[derive(Debug, Clone, Default)]
pub struct Events {
    /// Made for the first who watches: it takes its whole room at once, and mostly nobody does.
    sender: Arc<OnceLock<broadcast::Sender<Arc<str>>>>,
}

impl Events {
    /// Tells what happened at `time`; it is only put into words if anybody watches.
    pub fn tell(&self, time: Timestamp, what: impl FnOnce() -> What) {
        if let Some(sender) = self.sender.get().filter(|sender| sender.receiver_count() > 0)
            && let Some(line) = line(time, what())
        {
            // The last watcher may have gone just now.
            let _ = sender.send(line.into());
        }
    }

    pub(super) fn watch(&self) -> Watcher {
        Watcher { receiver: self.sender.get_or_init(|| broadcast::Sender::new(WAITING)).subscribe() }
    }
}

fn line(time: Timestamp, what: What) -> Option<String> {
    let mut line = serde_json::to_string(&Event { schema: SCHEMA, time, what }).ok()?;
    line.push('\n');
    Some(line)
}

/// One who watches.
#[derive(Debug)]
pub(super) struct Watcher {
    receiver: broadcast::Receiver<Arc<str>>,
}

impl Watcher {
    /// The next line; `None` once nothing can happen any more. To be dropped and called again at any time.
    pub(super) async fn next(&mut self) -> Option<Arc<str>> {
        match self.receiver.recv().await {
            Ok(line) => Some(line),
            Err(broadcast::error::RecvError::Lagged(events)) => {
                line(Timestamp::now(), What::Missed { events }).map(Arc::from)
            }
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_too_slow_is_told_how_much_was_missed() {
        let events = Events::default();
        let at = Timestamp::UNIX_EPOCH;
        events.tell(at, || What::Missed { events: 1 });
        let mut watcher = events.watch();
        for number in 0..WAITING + 3 {
            events.tell(at, || What::Restore { by: "nft".into(), bans: number });
        }
        let mut next = async || serde_json::from_str::<Event>(&watcher.next().await.unwrap()).unwrap().what;
        assert_eq!(next().await, What::Missed { events: 3 });
        assert_eq!(next().await, What::Restore { by: "nft".into(), bans: 3 });
    }

    #[test]
    fn keys_are_flat_and_stable() {
        let what = What::Unban { jail: "sshd".into(), address: "192.0.2.1".into(), why: "expired".into() };
        let expected = r#"{"schema":1,"time":"1970-01-01T00:00:00Z","event":"unban","jail":"sshd","address":"192.0.2.1","why":"expired"}"#;
        assert_eq!(line(Timestamp::UNIX_EPOCH, what).unwrap(), format!("{expected}\n"));
    }
}
