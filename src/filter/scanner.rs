//! One pass over a block for all filters of a source.
//!
//! For each candidate line: its head by hand, whether the filter's first pattern matches by its two ends, else which is the first
//! to match by one lazy DFA of all patterns of the filter, the host from the line's end, and the date last, because most lines share
//! it with the line before. Each shortcut gives exactly what [`Scanner::line`] gives; property tests hold them to it.
//!
//! Lines that only say whose a connection is, or that it succeeded, are many, and hardly ever asked for: they are kept as they
//! stand, and read when a line comes that asks (see [`Backlog`]); or at once, if somebody wants to know who logged in.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::NFA;
use regex_automata::{Anchored, Input, MatchKind};

use super::backlog::Backlog;
use super::connection::{Connections, Outcome, Role};
use super::date::Dates;
use super::fail2ban::{Ignored, Memory};
use super::host::{self, Host};
use super::matcher::{self, Dialect, Filter, Kind, LineVerdict};
use super::own::{Found, Own, Texts};
use super::pattern::Quick;
use super::prefilter::Prefilter;
use super::prefix::{self, DateText, Head};
use super::{Clock, Failure, LONGEST_LINE, Named, Success};

/// How many failures of names are kept until somebody takes them.
const MOST_NAMED: usize = 1000;
/// How many bytes of their lines are kept.
const LONGEST_KEPT: usize = 1024;
/// What the lazy DFAs of all scanners of a program may take together, in bytes: their size is up to whoever writes the logs.
pub(super) const CACHE_BUDGET: usize = (16 << 20) - GUIDES_BUDGET;
/// What those that guide fail2ban's patterns may take together, in bytes.
pub(super) const GUIDES_BUDGET: usize = 4 << 20;

/// What a scanner has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Lines that held a literal and were therefore looked at.
    pub lines_looked_at: u64,
    /// Failures that an ignoreregex took out.
    pub ignored: u64,
    /// Failures of hosts of which only a name is known. They are not reported: a name cannot be banned.
    pub named: u64,
    /// Failures on lines whose date does not exist (30 February), counted as happening now.
    pub undated: u64,
}

/// The filters of one source, ready to scan its blocks.
pub struct Scanner {
    filters: Vec<Armed>,
    prefilter: Prefilter,
    /// The filters that keep lines for later; the prefilter names them behind all filters.
    late: Vec<usize>,
    dates: Dates,
    names: Names,
    /// Whether successes are told.
    successes: bool,
    counters: Counters,
}

/// A failure of a host of which only a name is known: which filter found it, and the beginning of its line.
type Kept = (usize, Named, Box<[u8]>);

/// Failures of hosts of which only a name is known, if somebody wants them.
#[derive(Default)]
struct Names {
    kept: Option<Vec<Kept>>,
}

impl Names {
    fn note(&mut self, filter: usize, named: Named, line: &[u8], counters: &mut Counters) {
        counters.named += u64::from(named.attempts);
        let room = self.kept.as_mut().filter(|kept| kept.len() < MOST_NAMED);
        if let (Some(kept), true) = (room, host::name(named.name.as_bytes()).is_some()) {
            kept.push((filter, named, line.get(..LONGEST_KEPT).unwrap_or(line).into()));
        }
    }
}

/// What a line tells whoever scans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Somebody failed.
    Failure(Failure),
    /// Somebody logged in; told only after [`Scanner::tell_successes`].
    Success(Success),
}

/// The same, or that somebody failed of whom only a name is known.
enum Heard {
    Told(Told),
    Named(Named),
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
    /// That of what the first pattern begins with.
    opening: Option<(DFA, Cache)>,
    /// That of the patterns with `<DATE>`, for whole lines.
    dated: Option<(DFA, Cache)>,
    /// What is known of connections, and lines that may tell more; none where lines stand alone.
    connections: Option<(Connections, Backlog)>,
}

impl Scanner {
    /// A scanner for the filters; their place in the list is the index that failures are reported with.
    #[must_use]
    pub fn new(filters: &[Arc<Filter>]) -> Self {
        Self::one_of(1, filters)
    }

    /// As [`Scanner::new`], one of so many `scanners` that share the memory for lazy DFAs.
    #[must_use]
    pub fn one_of(scanners: usize, filters: &[Arc<Filter>]) -> Self {
        let share = CACHE_BUDGET / scanners.max(1) / filters.len().max(1);
        Self {
            filters: filters.iter().map(|filter| Armed::new(filter, share)).collect(),
            prefilter: Prefilter::new(
                filters.iter().map(|filter| filter.literals()),
                filters.iter().map(|filter| filter.later()).filter(|later| !later.is_empty()),
            ),
            late: (0..)
                .zip(filters)
                .filter(|(_, filter)| !filter.later().is_empty())
                .map(|(at, _)| at)
                .collect(),
            dates: Dates::default(),
            names: Names::default(),
            successes: false,
            counters: Counters::default(),
        }
    }

    /// Finds the failures in a block of whole lines. `on_failure` is told the filter's index, the failure,
    /// and the line without its `\n`; in the order of the lines, and within a line of the filters.
    pub fn scan(&mut self, block: &[u8], clock: &Clock, on_failure: &mut dyn FnMut(usize, Failure, &[u8])) {
        self.scan_all(block, clock, &mut |filter, told, line| {
            if let Told::Failure(failure) = told {
                on_failure(filter, failure, line);
            }
        });
    }

    /// As [`Scanner::scan`], and successes as well.
    pub fn scan_all(&mut self, block: &[u8], clock: &Clock, tell: &mut dyn FnMut(usize, Told, &[u8])) {
        self.dates.forget();
        let mut lines = self.prefilter.lines(block);
        while let Some((line, concerned)) = lines.next_line() {
            self.counters.lines_looked_at += 1;
            if line.len() >= LONGEST_LINE {
                continue;
            }
            let mut parsed = None;
            for &index in concerned {
                match self.filters.get_mut(index) {
                    Some(Armed::Own(automata)) => {
                        let head = parsed.get_or_insert_with(|| prefix::parse(line));
                        match automata.hear(line, head, clock, &mut self.dates, &mut self.counters) {
                            Some(Heard::Told(told)) => tell(index, told, line),
                            Some(Heard::Named(named)) => {
                                self.names.note(index, named, line, &mut self.counters);
                            }
                            None => {}
                        }
                    }
                    Some(Armed::Dialect(dialect, memory)) => {
                        let mut on_failure = |failure| tell(index, Told::Failure(failure), line);
                        match dialect.failures(memory, line, clock, &mut on_failure) {
                            Ok(named) => named
                                .into_iter()
                                .for_each(|one| self.names.note(index, one, line, &mut self.counters)),
                            Err(Ignored) => self.counters.ignored += 1,
                        }
                    }
                    None => {
                        let keeps = self.late.get(index - self.filters.len());
                        let keeps = keeps.filter(|filter| !concerned.contains(filter));
                        if let Some(filter) = keeps
                            && let Some(Armed::Own(automata)) = self.filters.get_mut(*filter)
                        {
                            if !self.successes {
                                automata.keep(line);
                                continue;
                            }
                            let head = parsed.get_or_insert_with(|| prefix::parse(line));
                            let heard = automata.hear(line, head, clock, &mut self.dates, &mut self.counters);
                            if let Some(Heard::Told(told)) = heard {
                                tell(*filter, told, line);
                            }
                        }
                    }
                }
            }
        }
    }

    /// What the filter at `index` says of one line, given those before; a miss if there is no such filter.
    pub fn line(&mut self, index: usize, line: &[u8], clock: &Clock, all_patterns: bool) -> LineVerdict {
        match self.filters.get_mut(index) {
            Some(Armed::Own(automata)) => {
                let connections = automata.connections.as_mut().map(|(connections, _)| connections);
                automata.own.line(connections, line, clock, all_patterns)
            }
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

    /// From now on, keeps failures of hosts of which only a name is known: see [`Scanner::take_named`].
    pub fn keep_named(&mut self) {
        self.names.kept.get_or_insert_default();
    }

    /// The failures of hosts of which only a name is known since this was last asked, with the index of the filter and the
    /// first 1,024 bytes of the line; a thousand at most.
    pub fn take_named(&mut self) -> Vec<Kept> {
        self.names.kept.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// From now on, [`Scanner::scan_all`] tells successes, too; those of filters in TOML.
    pub fn tell_successes(&mut self) {
        self.successes = true;
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
                Armed::Own(automata) => [&automata.automaton, &automata.opening, &automata.dated],
                Armed::Dialect(..) => [&None; 3],
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
        let automata = 1 + usize::from(own.dated().is_some()) + usize::from(own.opening().is_some());
        let config = DFA::config()
            .match_kind(MatchKind::LeftmostFirst)
            .cache_capacity(cache_capacity / automata)
            .skip_cache_capacity_check(true);
        let build = |nfa: &NFA| {
            let dfa = DFA::builder().configure(config.clone()).build_from_nfa(nfa.clone()).ok()?;
            let cache = dfa.create_cache();
            Some((dfa, cache))
        };
        Self {
            own: Arc::clone(own),
            automaton: build(own.union()),
            opening: own.opening().and_then(|opening| build(opening.nfa())),
            dated: own.dated().and_then(|(nfa, _)| build(nfa)),
            connections: own.connections().map(|connections| (connections, Backlog::default())),
        }
    }

    /// Keeps a line for later.
    fn keep(&mut self, line: &[u8]) {
        if let Some((_, backlog)) = &mut self.connections {
            backlog.push(line);
        }
    }

    /// What a line tells, given those before it.
    fn hear(
        &mut self,
        line: &[u8],
        head: &Head<'_>,
        clock: &Clock,
        dates: &mut Dates,
        counters: &mut Counters,
    ) -> Option<Heard> {
        let found = self.judge(self.own.texts(line, head), counters)?;
        let role = self.own.role(found.pattern);
        if let Some((connections, _)) = &self.connections
            && connections.is_asked(role, &found, head)
        {
            self.catch_up(clock, dates);
        }
        let time = moment(found.date(head), clock, dates, counters);
        let outcome = match &mut self.connections {
            Some((connections, _)) => connections.hear(role, &found, head, time),
            None => Outcome::Failed(found.host.address(), head.attempts),
        };
        match outcome {
            Outcome::Failed(Some(address), attempts) => {
                let (pattern, prefix_len) = (found.pattern, None);
                Some(Heard::Told(Told::Failure(Failure { time, address, prefix_len, pattern, attempts })))
            }
            Outcome::Failed(None, attempts) => {
                let Host::Name(name) = found.host else { return None };
                Some(Heard::Named(Named { name: name.to_owned(), time, pattern: found.pattern, attempts }))
            }
            Outcome::Gain => {
                let address = found.host.address()?;
                let user = matcher::user(self.own.fields(found.pattern, self.own.texts(line, head)));
                Some(Heard::Told(Told::Success(Success { time, address, user })))
            }
            Outcome::Partial | Outcome::Forget | Outcome::Nobody => None,
        }
    }

    /// Reads the lines that were kept.
    fn catch_up(&mut self, clock: &Clock, dates: &mut Dates) {
        let Some((mut connections, mut backlog)) = self.connections.take() else { return };
        // Dates that do not exist are of no failure, and lines that are ignored neither.
        let mut counters = Counters::default();
        for line in backlog.lines() {
            let head = prefix::parse(line);
            let Some(found) = self.judge(self.own.texts(line, &head), &mut counters) else { continue };
            let role = self.own.role(found.pattern);
            if role.is_late() {
                let time = moment(found.date(&head), clock, dates, &mut counters);
                connections.hear(role, &found, &head, time);
            }
        }
        backlog.clear();
        self.connections = Some((connections, backlog));
    }

    /// The first pattern that matches.
    fn judge<'l>(&mut self, texts: Texts<'l>, counters: &mut Counters) -> Option<Found<'l>> {
        let found = match self.first_match(texts) {
            Some(found) => found,
            None => self.own.first_rule(texts)?,
        };
        if self.own.ignores(texts) {
            counters.ignored += u64::from(self.own.role(found.pattern) == Role::Failure);
            return None;
        }
        Some(found)
    }

    fn first_match<'l>(&mut self, texts: Texts<'l>) -> Option<Found<'l>> {
        if let Some(address) = texts.message.and_then(|message| self.matches_first(message)) {
            return Some(Found::of_address(0, address));
        }
        let Some(first) = self.first_index(texts) else { return self.own.first_from(0, texts) };
        let first = first?;
        let pattern = self.own.pattern(first)?;
        let quick = match texts.message {
            Some(message) if !pattern.dated => pattern.quick(message),
            _ => Quick::Unknown,
        };
        match quick {
            Quick::Decided(Some(address)) => Some(Found::of_address(first, address)),
            Quick::Decided(None) | Quick::Unknown => self.own.first_from(first, texts),
        }
    }

    /// The address, if the first pattern is known to match the message.
    fn matches_first(&mut self, message: &[u8]) -> Option<IpAddr> {
        let (dfa, cache) = self.opening.as_mut()?;
        let (before, address) = self.own.pattern(0)?.end(message)?;
        let before = self.own.opening()?.before_link(before)?;
        let input = Input::new(before).anchored(Anchored::Yes).earliest(true);
        dfa.try_search_fwd(cache, &input).ok()?.map(|_| address)
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
