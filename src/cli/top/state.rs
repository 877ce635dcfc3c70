//! What `banctl top` knows, and what keys do with it. Nothing here draws or waits.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::feed::{Input, Wish};
use crate::cli::output::harmless;
use crate::cli::{history, watch};
use crate::control::events::What;
use crate::control::protocol::Status;
use crate::control::recall::EventRow;
use crate::jail::written;

/// How many seconds the graphs reach back.
pub(super) const SECONDS: usize = 300;
/// How many offenders are remembered: the quietest go first.
const OFFENDERS: usize = 4_096;
/// How many events are remembered.
const EVENTS: usize = 200;
/// "Lately" is so many slices of ten seconds.
const SLICES: usize = 6;
const SLICE: u64 = 10;

/// Somebody who failed or was banned.
#[derive(Debug, Clone, Default)]
pub(super) struct Offender {
    /// Failures since `top` runs.
    pub(super) failures: u64,
    /// Of the last minute.
    lately: VecDeque<u64>,
    pub(super) jail: String,
    pub(super) last: Timestamp,
    /// The ban in force, as far as `top` has seen it.
    pub(super) banned: Option<IpNet>,
}

impl Offender {
    pub(super) fn lately(&self) -> u64 {
        self.lately.iter().sum()
    }
}

/// One line of the list.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) prefix: IpNet,
    pub(super) offender: Offender,
    /// How many addresses it stands for.
    pub(super) members: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Rising,
    Failures,
    Latest,
    Address,
}

impl Sort {
    fn next(self) -> Self {
        match self {
            Self::Rising => Self::Failures,
            Self::Failures => Self::Latest,
            Self::Latest => Self::Address,
            Self::Address => Self::Rising,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Rising => "rising",
            Self::Failures => "failures",
            Self::Latest => "latest",
            Self::Address => "address",
        }
    }
}

/// What keys mean now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    List,
    /// The filter is being typed.
    Filter,
    /// A yes or no is waited for.
    Unban(IpNet),
    /// A text is shown; how far it is scrolled.
    Reading {
        about: String,
        text: String,
        top: u16,
    },
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    Draw,
    Ask(Wish),
    Quit,
}

/// Everything that is drawn.
pub(super) struct State {
    pub(super) blocks: bool,
    pub(super) status: Option<Box<Status>>,
    pub(super) silent: Option<String>,
    /// Newest first.
    pub(super) failures: VecDeque<u64>,
    pub(super) bans: VecDeque<u64>,
    /// Time, jail and sentence, newest first; harmless.
    pub(super) events: VecDeque<(Timestamp, String)>,
    offenders: BTreeMap<IpNet, Offender>,
    pub(super) networks: bool,
    pub(super) sort: Sort,
    pub(super) filter: String,
    pub(super) selected: usize,
    pub(super) said: String,
    pub(super) mode: Mode,
    ticks: u64,
}

impl State {
    pub(super) fn new(filter: String, blocks: bool) -> Self {
        Self {
            blocks,
            status: None,
            silent: None,
            failures: VecDeque::from([0]),
            bans: VecDeque::from([0]),
            events: VecDeque::new(),
            offenders: BTreeMap::new(),
            networks: false,
            sort: Sort::Rising,
            filter,
            selected: 0,
            said: String::new(),
            mode: Mode::List,
            ticks: 0,
        }
    }

    pub(super) fn take(&mut self, input: Input) -> Then {
        match input {
            Input::Key(key) => return self.key(key),
            Input::End => return Then::Quit,
            Input::Resized => {}
            Input::Event(event) => self.happened(event.time, &event.what, &watch::sentence(&event)),
            Input::Status(status) => {
                self.status = Some(status);
                self.silent = None;
            }
            Input::Past(events) => self.past(&events),
            Input::Told { about, text } => self.mode = Mode::Reading { about, text, top: 0 },
            Input::Said(what) => self.said = harmless(&what),
            Input::Silent(why) => self.silent = Some(harmless(&why)),
            Input::Tick => self.tick(),
        }
        Then::Draw
    }

    fn tick(&mut self) {
        self.ticks += 1;
        for graph in [&mut self.failures, &mut self.bans] {
            graph.push_front(0);
            graph.truncate(SECONDS);
        }
        if self.ticks.is_multiple_of(SLICE) {
            for offender in self.offenders.values_mut() {
                offender.lately.push_front(0);
                offender.lately.truncate(SLICES);
            }
        }
    }

    fn happened(&mut self, time: Timestamp, what: &What, sentence: &str) {
        self.events.push_front((time, harmless(sentence)));
        self.events.truncate(EVENTS);
        match what {
            What::Failure { jail, address, attempts, .. } => {
                add(&mut self.failures, u64::from(*attempts));
                if let Some(offender) = self.offender(address, jail, time) {
                    offender.failures += u64::from(*attempts);
                    add(&mut offender.lately, u64::from(*attempts));
                }
            }
            What::Ban(banned) => {
                add(&mut self.bans, 1);
                let prefix = written(&banned.address);
                if let Some(offender) = self.offender(&banned.address, &banned.jail, time) {
                    offender.banned = prefix;
                }
                self.mark(prefix, prefix);
            }
            What::Unban { address, .. } => self.mark(written(address), None),
            What::WouldBan(_)
            | What::Allow { .. }
            | What::Disallow { .. }
            | What::Alarm { .. }
            | What::Restore { .. }
            | What::Missed { .. } => {}
        }
    }

    /// Everybody within `within` is banned by `ban`, or let in again.
    fn mark(&mut self, within: Option<IpNet>, ban: Option<IpNet>) {
        let Some(within) = within else { return };
        for (prefix, offender) in &mut self.offenders {
            if within.contains(prefix) {
                offender.banned = ban;
            }
        }
    }

    fn offender(&mut self, address: &str, jail: &str, time: Timestamp) -> Option<&mut Offender> {
        let prefix = written(address)?;
        if self.offenders.len() >= OFFENDERS && !self.offenders.contains_key(&prefix) {
            let quietest = self.offenders.iter().min_by_key(|(_, other)| (other.lately(), other.last));
            let quietest = quietest.map(|(prefix, _)| *prefix)?;
            self.offenders.remove(&quietest);
        }
        let offender = self.offenders.entry(prefix).or_default();
        offender.jail = harmless(jail);
        offender.last = time;
        Some(offender)
    }

    /// What was before `top` came.
    fn past(&mut self, events: &[EventRow]) {
        for event in events.iter().take(EVENTS).rev() {
            let what = format!("[{}] {} {}", history::jail(event), history::what(event), event.address);
            self.events.push_front((event.time, harmless(&what)));
            let is_ban = event.event == "ban";
            let prefix = written(&event.address);
            // Whoever was allowed is no offender.
            if !event.jail.is_empty()
                && let Some(offender) = self.offender(&event.address, &event.jail, event.time)
            {
                offender.banned = prefix.filter(|_| is_ban);
            }
        }
        self.events.truncate(EVENTS);
    }

    /// What is listed, in its order.
    pub(super) fn rows(&self) -> Vec<Row> {
        let wanted = |prefix: &IpNet, offender: &Offender| {
            let filter = &self.filter;
            filter.is_empty() || prefix.to_string().contains(filter) || offender.jail.contains(filter)
        };
        let single = self.offenders.iter().filter(|(prefix, offender)| wanted(prefix, offender));
        let single =
            single.map(|(prefix, offender)| Row { prefix: *prefix, offender: offender.clone(), members: 1 });
        let mut rows: Vec<Row> = if self.networks { joined(single) } else { single.collect() };
        match self.sort {
            Sort::Rising => {
                rows.sort_by_key(|row| std::cmp::Reverse((row.offender.lately(), row.offender.last)));
            }
            Sort::Failures => rows.sort_by_key(|row| std::cmp::Reverse(row.offender.failures)),
            Sort::Latest => rows.sort_by_key(|row| std::cmp::Reverse(row.offender.last)),
            Sort::Address => {}
        }
        rows
    }

    /// The events that the filter leaves.
    pub(super) fn lately(&self) -> impl Iterator<Item = &(Timestamp, String)> {
        self.events.iter().filter(|(_, sentence)| sentence.contains(&self.filter))
    }

    fn key(&mut self, key: KeyEvent) -> Then {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Then::Quit;
        }
        self.said.clear();
        match (&mut self.mode, key.code) {
            (Mode::Filter, KeyCode::Enter) => self.mode = Mode::List,
            (Mode::Filter, KeyCode::Esc) => {
                self.filter.clear();
                self.mode = Mode::List;
            }
            (Mode::Filter, KeyCode::Backspace) => {
                self.filter.pop();
            }
            (Mode::Filter, KeyCode::Char(c)) if self.filter.len() < 64 => self.filter.push(c),
            (Mode::Filter, _) => {}
            (Mode::Unban(prefix), KeyCode::Char('y')) => {
                let wish = Wish::Unban(*prefix);
                self.mode = Mode::List;
                return Then::Ask(wish);
            }
            (Mode::Unban(_), _) => self.mode = Mode::List,
            (Mode::Reading { top, .. }, KeyCode::Down | KeyCode::Char('j')) => *top = top.saturating_add(1),
            (Mode::Reading { top, .. }, KeyCode::Up | KeyCode::Char('k')) => *top = top.saturating_sub(1),
            (Mode::Reading { .. }, _) => self.mode = Mode::List,
            (Mode::List, code) => return self.list_key(code),
        }
        Then::Draw
    }

    fn list_key(&mut self, code: KeyCode) -> Then {
        match code {
            KeyCode::Char('q') | KeyCode::Esc => return Then::Quit,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('n') => (self.networks, self.selected) = (!self.networks, 0),
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Down | KeyCode::Char('j') => {
                self.selected = (self.selected + 1).min(self.rows().len().saturating_sub(1));
            }
            KeyCode::Up | KeyCode::Char('k') => self.selected = self.selected.saturating_sub(1),
            KeyCode::Char('w') | KeyCode::Enter => {
                if let Some(row) = self.rows().get(self.selected) {
                    return Then::Ask(Wish::Why(row.prefix));
                }
            }
            KeyCode::Char('u') => match self.rows().get(self.selected) {
                Some(Row { prefix, members, offender }) => match offender.banned {
                    Some(ban) if *members == 1 => self.mode = Mode::Unban(ban),
                    Some(_) => self.mode = Mode::Unban(*prefix),
                    None => self.said = format!("{} is not banned", crate::jail::shown(prefix)),
                },
                None => self.said = "nobody is selected".into(),
            },
            _ => {}
        }
        Then::Draw
    }
}

fn add(counts: &mut VecDeque<u64>, count: u64) {
    match counts.front_mut() {
        Some(now) => *now += count,
        None => counts.push_front(count),
    }
}

/// Neighbours together: /24 of IPv4, /48 of IPv6.
fn joined(rows: impl Iterator<Item = Row>) -> Vec<Row> {
    let mut networks: BTreeMap<IpNet, Row> = BTreeMap::new();
    for row in rows {
        let length = if matches!(row.prefix.addr(), IpAddr::V4(_)) { 24 } else { 48 };
        let around = IpNet::new(row.prefix.addr(), length.min(row.prefix.prefix_len()));
        let network = around.map_or(row.prefix, |network| network.trunc());
        match networks.get_mut(&network) {
            None => {
                networks.insert(network, Row { prefix: network, ..row });
            }
            Some(sum) => {
                sum.members += 1;
                sum.offender.failures += row.offender.failures;
                sum.offender.last = sum.offender.last.max(row.offender.last);
                sum.offender.banned = sum.offender.banned.or(row.offender.banned);
                for (index, count) in row.offender.lately.into_iter().enumerate() {
                    match sum.offender.lately.get_mut(index) {
                        Some(there) => *there += count,
                        None => sum.offender.lately.push_back(count),
                    }
                }
                if sum.offender.jail != row.offender.jail {
                    sum.offender.jail = "several".into();
                }
            }
        }
    }
    networks.into_values().collect()
}

#[cfg(test)]
#[path = "state_tests.rs"]
pub(super) mod tests;
