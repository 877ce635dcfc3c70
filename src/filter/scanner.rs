//! One pass over a block for all filters of a source.
//!
//! For each candidate line: its head by hand, which pattern is the first to match by one lazy DFA of
//! all patterns of the filter, the host from the line's end, and the date last, because most lines share
//! it with the line before. Each shortcut gives exactly what [`Filter::line`] gives; property tests hold them to it.

use std::sync::Arc;

use jiff::Timestamp;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::NFA;
use regex_automata::{Anchored, Input, MatchKind};

use super::date::Dates;
use super::fail2ban::{Ignored, Memory};
use super::matcher::{Dialect, Filter, Kind, LineVerdict};
use super::own::{Found, Own, Texts};
use super::pattern::Quick;
use super::prefilter::Prefilter;
use super::prefix::{self, DateText};
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
    /// Matches of the dialect whose host is a name, or anything else that is no address.
    pub named: u64,
    /// Failures on lines whose date does not exist (30 February), counted as happening now.
    pub undated: u64,
}

/// The filters of one source, ready to scan its blocks.
pub struct Scanner {
    filters: Vec<Armed>,
    prefilter: Prefilter,
    dates: Dates,
    counters: Counters,
}

/// A filter and what it needs to be run over the lines of one source.
enum Armed {
    Own(Box<Automata>),
    Dialect(Arc<Dialect>, Box<Memory>),
}

/// The automata of a filter in TOML.
struct Automata {
    own: Arc<Own>,
    /// None where it cannot be built: each pattern is then tried by itself.
    automaton: Option<(DFA, Cache)>,
    /// That of the patterns with `<DATE>`, for whole lines.
    dated: Option<(DFA, Cache)>,
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
                match self.filters.get_mut(index) {
                    Some(Armed::Own(automata)) => {
                        let texts = automata.own.texts(line, &head);
                        let Some(found) = automata.judge(texts, &mut self.counters) else { continue };
                        let time = moment(found.date(&head), clock, &mut self.dates, &mut self.counters);
                        let Found { address, pattern, .. } = found;
                        on_failure(index, Failure { time, address, pattern, attempts: head.attempts }, line);
                    }
                    Some(Armed::Dialect(dialect, memory)) => {
                        let mut on_failure = |failure| on_failure(index, failure, line);
                        match dialect.failures(memory, line, clock, &mut on_failure) {
                            Ok(named) => self.counters.named += named,
                            Err(Ignored) => self.counters.ignored += 1,
                        }
                    }
                    None => {}
                }
            }
        }
    }

    /// What the filter at `index` says of one line, given those before; a miss if there is no such filter.
    pub fn line(&mut self, index: usize, line: &[u8], clock: &Clock, all_patterns: bool) -> LineVerdict {
        match self.filters.get_mut(index) {
            Some(Armed::Own(automata)) => automata.own.line(line, clock, all_patterns),
            Some(Armed::Dialect(dialect, memory)) => dialect.line(memory, line, clock, all_patterns),
            None => LineVerdict::Miss,
        }
    }

    /// The formats of the dates that a filter in fail2ban's dialect has found so far, and how often.
    #[must_use]
    pub fn date_formats(&self, index: usize) -> Vec<(String, u64)> {
        match self.filters.get(index) {
            Some(Armed::Dialect(_, memory)) => memory.date_formats(),
            _ => Vec::new(),
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
            .flat_map(|armed| match armed {
                Armed::Own(automata) => [automata.automaton.as_ref(), automata.dated.as_ref()],
                Armed::Dialect(..) => [None, None],
            })
            .flatten()
            .map(|(_, cache)| cache.memory_usage())
            .sum()
    }
}

fn moment(
    date: Option<DateText<'_>>,
    clock: &Clock,
    dates: &mut Dates,
    counters: &mut Counters,
) -> Timestamp {
    match date {
        None => clock.now,
        Some(text) => dates.read(text, clock).unwrap_or_else(|| {
            counters.undated += 1;
            clock.now
        }),
    }
}

impl Armed {
    fn new(filter: &Filter, cache_capacity: usize) -> Self {
        match filter.kind() {
            Kind::Own(own) => Self::Own(Box::new(Automata::new(own, cache_capacity))),
            Kind::Dialect(dialect) => Self::Dialect(Arc::clone(dialect), Box::new(dialect.memory())),
        }
    }
}

impl Automata {
    fn new(own: &Arc<Own>, cache_capacity: usize) -> Self {
        let config = DFA::config()
            .match_kind(MatchKind::LeftmostFirst)
            .cache_capacity(if own.dated().is_some() { cache_capacity / 2 } else { cache_capacity })
            .skip_cache_capacity_check(true);
        let build = |nfa: &NFA| {
            let dfa = DFA::builder().configure(config.clone()).build_from_nfa(nfa.clone()).ok()?;
            let cache = dfa.create_cache();
            Some((dfa, cache))
        };
        Self {
            own: Arc::clone(own),
            automaton: build(own.union()),
            dated: own.dated().and_then(|(nfa, _)| build(nfa)),
        }
    }

    /// The first pattern that matches.
    fn judge<'l>(&mut self, texts: Texts<'l>, counters: &mut Counters) -> Option<Found<'l>> {
        let found = match self.first_match(texts) {
            Some(found) => found,
            None => self.own.first_rule(texts)?,
        };
        if self.own.ignores(texts) {
            counters.ignored += 1;
            return None;
        }
        Some(found)
    }

    fn first_match<'l>(&mut self, texts: Texts<'l>) -> Option<Found<'l>> {
        let Some(first) = self.first_index(texts) else { return self.own.first_from(0, texts) };
        let first = first?;
        let pattern = self.own.pattern(first)?;
        let quick = match texts.message {
            Some(message) if !pattern.dated => pattern.quick(message),
            _ => Quick::Unknown,
        };
        match quick {
            Quick::Decided(Some(address)) => {
                Some(Found { pattern: first, address, date: None, in_message: true })
            }
            Quick::Decided(None) => self.own.first_from(first + 1, texts),
            Quick::Unknown => self.own.first_from(first, texts),
        }
    }

    /// The first pattern whose expression matches; none at all if the automata cannot tell.
    fn first_index(&mut self, texts: Texts<'_>) -> Option<Option<usize>> {
        let in_message = match texts.message {
            Some(message) => search(self.automaton.as_mut()?, message)?,
            None => None,
        };
        let in_line = match (texts.whole, self.own.dated()) {
            // Where there is no head, the message is the line.
            (Some(whole), Some((_, indices))) if texts.message != Some(whole) => {
                search(self.dated.as_mut()?, whole)?.and_then(|at| indices.get(at).copied())
            }
            _ => None,
        };
        Some(match (in_message, in_line) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        })
    }
}

/// Which pattern is the first to match; none at all if the automaton gave up.
fn search((dfa, cache): &mut (DFA, Cache), text: &[u8]) -> Option<Option<usize>> {
    let found = dfa.try_search_fwd(cache, &Input::new(text).anchored(Anchored::Yes)).ok()?;
    Some(found.map(|half| half.pattern().as_usize()))
}
