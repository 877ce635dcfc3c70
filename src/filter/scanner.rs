//! One pass over a block for all filters of a source.
//!
//! For each candidate line: its head by hand, which pattern is the first to match by one lazy DFA of
//! all patterns of the filter, the host from the line's end, and the date last, because most lines share
//! it with the line before. Each shortcut gives exactly what [`Filter::line`] gives; property tests hold them to it.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::{Anchored, Input, MatchKind};

use super::date::Dates;
use super::matcher::{Filter, LineVerdict};
use super::pattern::Quick;
use super::prefilter::Prefilter;
use super::prefix::{self, Head};
use super::{Clock, Failure, LONGEST_LINE};

/// What the lazy DFAs of one scanner may take together, in bytes.
const CACHE_BUDGET: usize = 16 << 20;

/// What a scanner has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Lines that held a literal and were therefore looked at.
    pub lines_looked_at: u64,
    /// Failures that an ignoreregex took out.
    pub ignored: u64,
    /// Failures on lines whose date does not exist (30 February), counted as happening now.
    pub undated: u64,
}

/// The filters of one source, ready to scan its blocks.
#[derive(Debug)]
pub struct Scanner {
    filters: Vec<Armed>,
    prefilter: Prefilter,
    dates: Dates,
    counters: Counters,
}

#[derive(Debug)]
struct Armed {
    filter: Arc<Filter>,
    /// None where it cannot be built: each pattern is then tried by itself.
    automaton: Option<(DFA, Cache)>,
}

impl Scanner {
    /// A scanner for the filters; their place in the list is the index that failures are reported with.
    #[must_use]
    pub fn new(filters: &[Arc<Filter>]) -> Self {
        let share = CACHE_BUDGET / filters.len().max(1);
        Self {
            filters: filters.iter().map(|filter| Armed::new(filter, share)).collect(),
            prefilter: Prefilter::new(filters.iter().map(|filter| filter.literals())),
            dates: Dates::default(),
            counters: Counters::default(),
        }
    }

    /// Finds the failures in a block of whole lines. `on_failure` is told the filter's index, the failure,
    /// and the line without its `\n`; in the order of the lines, and within a line of the filters.
    pub fn scan(&mut self, block: &[u8], clock: &Clock, on_failure: &mut dyn FnMut(usize, Failure, &[u8])) {
        self.dates.forget();
        let mut lines = self.prefilter.lines(block);
        while let Some((line, concerned)) = lines.next_line() {
            self.counters.lines_looked_at += 1;
            if line.len() >= LONGEST_LINE {
                continue;
            }
            let head = prefix::parse(line);
            for &index in concerned {
                let Some((pattern, address)) =
                    self.filters.get_mut(index).and_then(|armed| armed.judge(&head, &mut self.counters))
                else {
                    continue;
                };
                let time = moment(&head, clock, &mut self.dates, &mut self.counters);
                on_failure(index, Failure { time, address, pattern }, line);
            }
        }
    }

    /// What the filter at `index` says of one line; a miss if there is no such filter.
    #[must_use]
    pub fn line(&self, index: usize, line: &[u8], clock: &Clock, all_patterns: bool) -> LineVerdict {
        match self.filters.get(index) {
            Some(armed) => armed.filter.line(line, clock, all_patterns),
            None => LineVerdict::Miss,
        }
    }

    /// What it has seen since it was made.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// How many bytes the lazy DFAs take now.
    #[must_use]
    pub fn cache_bytes(&self) -> usize {
        self.filters
            .iter()
            .filter_map(|armed| armed.automaton.as_ref())
            .map(|(_, cache)| cache.memory_usage())
            .sum()
    }
}

fn moment(head: &Head<'_>, clock: &Clock, dates: &mut Dates, counters: &mut Counters) -> Timestamp {
    match head.date {
        None => clock.now,
        Some(text) => dates.read(text, clock).unwrap_or_else(|| {
            counters.undated += 1;
            clock.now
        }),
    }
}

impl Armed {
    fn new(filter: &Arc<Filter>, cache_capacity: usize) -> Self {
        let config = DFA::config()
            .match_kind(MatchKind::LeftmostFirst)
            .cache_capacity(cache_capacity)
            .skip_cache_capacity_check(true);
        let automaton = DFA::builder().configure(config).build_from_nfa(filter.union().clone()).ok();
        Self {
            filter: Arc::clone(filter),
            automaton: automaton.map(|dfa| {
                let cache = dfa.create_cache();
                (dfa, cache)
            }),
        }
    }

    /// The first pattern that matches, with its address.
    fn judge(&mut self, head: &Head<'_>, counters: &mut Counters) -> Option<(usize, IpAddr)> {
        if !self.filter.is_ours(head) {
            return None;
        }
        let found = self.first_match(head.message)?;
        if self.filter.ignores(head.message) {
            counters.ignored += 1;
            return None;
        }
        Some(found)
    }

    fn first_match(&mut self, message: &[u8]) -> Option<(usize, IpAddr)> {
        let Some((dfa, cache)) = &mut self.automaton else { return self.filter.first_from(0, message) };
        let first = match dfa.try_search_fwd(cache, &Input::new(message).anchored(Anchored::Yes)) {
            Ok(found) => found?.pattern().as_usize(),
            Err(_) => return self.filter.first_from(0, message),
        };
        match self.filter.pattern(first)?.quick(message) {
            Quick::Decided(Some(address)) => Some((first, address)),
            Quick::Decided(None) => self.filter.first_from(first + 1, message),
            Quick::Unknown => self.filter.first_from(first, message),
        }
    }
}
