//! What waits for the disk: bounded, however long that hangs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ipnet::IpNet;

use super::Limits;
use super::event::Event;
use crate::jail::Ban;
use crate::jail::logins::Login;
use crate::jail::spared::Allowance;
use crate::source::{Reading, StreamKey};

/// How many bans may wait for a disk that cannot be written (some 50 MB). Bans come and go for as long as it
/// fails, so merging rows by name alone would not bound them.
pub(super) const MOST_WAITING: usize = 200_000;
/// When more bans wait, whoever makes very many at once is to wait: some tenths of a second's work for the disk.
const BEHIND: usize = 40_000;
/// How many logins may wait for it.
pub(super) const MOST_LOGINS: usize = 20_000;
/// How many bytes of history may wait for it. When there is more, the oldest is given up: bans never are for its sake.
pub(super) const MOST_HISTORY: usize = 16 << 20;

/// Rows to write: of bans and positions the newest of each name, of the history all.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bans: BTreeMap<(IpNet, Arc<str>), Option<Ban>>,
    pub(super) allowed: BTreeMap<IpNet, Option<Allowance>>,
    pub(super) readings: BTreeMap<StreamKey, Option<Reading>>,
    /// Oldest first.
    pub(super) logins: Vec<Login>,
    pub(super) history: Backlog,
    /// What is to be kept from now on, if that has changed.
    pub(super) limits: Option<Limits>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.bans.is_empty()
            && self.allowed.is_empty()
            && self.readings.is_empty()
            && self.logins.is_empty()
            && self.history.events.is_empty()
            && self.limits.is_none()
    }

    /// Takes in what was noted later.
    pub(super) fn merge(&mut self, later: Self) {
        self.bans.extend(later.bans);
        self.allowed.extend(later.allowed);
        self.readings.extend(later.readings);
        let room = MOST_LOGINS.saturating_sub(self.logins.len());
        self.logins.extend(later.logins.into_iter().take(room));
        self.history.lost += later.history.lost;
        later.history.events.into_iter().for_each(|event| self.history.push(event));
        self.limits = later.limits.or(self.limits.take());
    }

    /// Whether it is to be written at once, and whoever has very many more is to wait.
    pub(super) fn is_much(&self) -> bool {
        self.bans.len() > BEHIND || self.history.weight > MOST_HISTORY / 3
    }

    pub(super) fn is_too_much(&self) -> bool {
        self.bans.len() > MOST_WAITING
    }
}

/// The history's events that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    pub(super) events: VecDeque<Event>,
    weight: usize,
    /// How many were given up.
    pub(super) lost: u64,
}

impl Backlog {
    pub(super) fn push(&mut self, event: Event) {
        self.weight += event.weight();
        self.events.push_back(event);
        while self.weight > MOST_HISTORY
            && let Some(oldest) = self.events.pop_front()
        {
            self.weight -= oldest.weight();
            self.lost += 1;
        }
    }
}
