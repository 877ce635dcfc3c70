//! Whoever is about to be banned by a jail with an `ignorecommand`: the ban waits for what the program says.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use super::Verdict;
use super::engine::Engine;
use super::jails::{Jail, JailId};
use crate::config::ignorecommand::IgnoreCommand;

/// One offender who would be banned now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// By which jail.
    pub jail: Arc<str>,
    /// What would be banned.
    pub prefix: IpNet,
    /// Who failed last.
    pub address: IpAddr,
    /// Where the failures were found.
    pub source: Arc<str>,
    /// How many there were.
    pub failures: u32,
    /// Who is to be asked.
    pub command: Arc<IgnoreCommand>,
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// Not to be banned.
    Spare,
    /// To be banned.
    Ban,
    /// Nothing, and why: to be banned.
    Failed(String),
}

/// What came of all that a jail asked, since the daemon's start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// How often it asked.
    pub times: u64,
    /// How often somebody was spared.
    pub spared: u64,
    /// How often there was no answer.
    pub failed: u64,
    /// Why, the last time.
    pub last_failure: Option<String>,
}

impl Engine {
    /// Acts upon the advice about a case. Whoever was banned or allowed meanwhile stays so.
    pub fn follow(&mut self, case: &Case, advice: &Advice, now: Timestamp) -> Vec<Verdict> {
        let Some(id) = self.jails.iter().position(|jail| jail.name == case.jail) else { return Vec::new() };
        let Some(jail) = self.jails.get_mut(id) else { return Vec::new() };
        jail.asked.take(advice);
        if *advice == Advice::Spare {
            jail.vouched.note(case.address, now);
        }
        let settled = |jail: &Jail| {
            jail.allow.overlapping(&case.prefix).is_some()
                || self.bans.since(&case.prefix, &jail.name).is_some()
        };
        if *advice == Advice::Spare || settled(jail) || self.spared.overlaps(&case.prefix) {
            return Vec::new();
        }
        self.convict(JailId(id), case.prefix, &case.source, case.failures, now)
    }
}

impl Asked {
    fn take(&mut self, advice: &Advice) {
        self.times += 1;
        match advice {
            Advice::Spare => self.spared += 1,
            Advice::Ban => {}
            Advice::Failed(why) => {
                self.failed += 1;
                self.last_failure = Some(why.clone());
            }
        }
    }
}
