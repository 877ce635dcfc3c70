//! One pass over a block for all filters of a source.
//!
//! The prefilter tells which lines may concern which filter; each of these is judged by `automata` if the filter is our own, by
//! `fail2ban` if it is of that dialect. What a whole block gives is exactly what [`Scanner::line`] gives for each of its lines;
//! property tests hold them to it.

use std::sync::Arc;

use super::automata::{Automata, Heard};
use super::date::Dates;
use super::fail2ban::{Ignored, Memory};
use super::host;
use super::matcher::{Dialect, Filter, Kind, LineVerdict};
use super::prefilter::Prefilter;
use super::prefix;
use super::{Clock, DIALECT_BUDGET, Failure, LONGEST_LINE, Named, Success};

/// How many failures of names are kept until somebody takes them.
const MOST_NAMED: usize = 1000;
/// How many bytes of their lines are kept.
const LONGEST_KEPT: usize = 1024;
/// What the lazy DFAs of all scanners of a program may take together, in bytes: their size is up to whoever writes the logs.
pub(super) const CACHE_BUDGET: usize = (16 << 20) - DIALECT_BUDGET;

/// What a scanner has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Lines that held a literal and were therefore looked at.
    pub lines_looked_at: u64,
    /// Failures that an ignoreregex took out.
    pub ignored: u64,
    /// Failures of hosts of which only a name is known: whoever wants them looks the names up.
    pub named: u64,
    /// Failures on lines whose date does not exist (30 February), counted as happening now.
    pub undated: u64,
}

/// The filters of one source, ready to scan its blocks.
pub struct Scanner {
    filters: Vec<Armed>,
    prefilter: Prefilter,
    /// The filters with lines that matter only for what is known of connections; the prefilter names them behind all filters.
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
    /// What a filter in fail2ban's dialect said of a line, beside the failures of addresses.
    fn note_all(
        &mut self,
        filter: usize,
        said: Result<Vec<Named>, Ignored>,
        line: &[u8],
        counters: &mut Counters,
    ) {
        match said {
            Ok(named) => named.into_iter().for_each(|one| self.note(filter, one, line, counters)),
            Err(Ignored) => counters.ignored += 1,
        }
    }

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

/// A filter and what it needs to be run over the lines of one source.
enum Armed {
    Own(Box<Automata>),
    Dialect(Arc<Dialect>, Box<Memory>),
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
                let is_late = index >= self.filters.len();
                let filter = match is_late.then(|| self.late.get(index - self.filters.len())) {
                    None => index,
                    Some(Some(&filter)) if !concerned.contains(&filter) => filter,
                    Some(_) => continue,
                };
                match self.filters.get_mut(filter) {
                    Some(Armed::Own(automata)) if is_late && !self.successes => automata.keep(line),
                    Some(Armed::Own(automata)) => {
                        let head = parsed.get_or_insert_with(|| prefix::parse(line));
                        match automata.hear(line, head, clock, &mut self.dates, &mut self.counters) {
                            Some(Heard::Told(told)) => tell(filter, told, line),
                            Some(Heard::Named(named)) => {
                                self.names.note(filter, named, line, &mut self.counters);
                            }
                            None => {}
                        }
                    }
                    Some(Armed::Dialect(dialect, memory))
                        if is_late
                            && !memory.may_matter(line)
                            && !(self.successes && dialect.may_tell_login(line)) => {}
                    Some(Armed::Dialect(dialect, memory)) => {
                        let mut told = |told| tell(filter, told, line);
                        let named = dialect.hear(memory, line, clock, self.successes, &mut told);
                        self.names.note_all(filter, named, line, &mut self.counters);
                    }
                    None => {}
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

    /// From now on, [`Scanner::scan_all`] tells successes, too.
    pub fn tell_successes(&mut self) {
        self.successes = true;
    }

    /// What it has seen since it was made.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// How many bytes the lazy DFAs of its filters in TOML take now; see [`super::dialect_cache_bytes`] for the others.
    #[must_use]
    pub fn cache_bytes(&self) -> usize {
        self.filters
            .iter()
            .map(|armed| match armed {
                Armed::Own(automata) => automata.cache_bytes(),
                Armed::Dialect(..) => 0,
            })
            .sum()
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
