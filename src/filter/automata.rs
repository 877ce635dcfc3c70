//! A filter in TOML over the lines of one source: its automata, and what it knows of connections.
//!
//! Of a line its head is read by hand; then whether the filter's first pattern matches by its two ends, else which is the first to
//! match by one lazy DFA of all its patterns; the host from the line's end; and the date last, because most lines share it with
//! the line before.
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
use super::host::Host;
use super::own::{Found, Own, Texts};
use super::pattern::Quick;
use super::prefix::{self, DateText, Head};
use super::scanner::{Counters, Told};
use super::users;
use super::{Clock, Failure, Named, Success};

/// What a line tells: of an address, or of a host of which only a name is known.
pub(super) enum Heard {
    Told(Told),
    Named(Named),
}

/// The automata of a filter in TOML.
pub(super) struct Automata {
    pub(super) own: Arc<Own>,
    /// None where it cannot be built: each pattern is then tried by itself.
    automaton: Option<(DFA, Cache)>,
    /// That of what the first pattern begins with.
    opening: Option<(DFA, Cache)>,
    /// That of the patterns with `<DATE>`, for whole lines.
    dated: Option<(DFA, Cache)>,
    /// What is known of connections, and lines that may tell more; none where lines stand alone.
    pub(super) connections: Option<(Connections, Backlog)>,
}

impl Automata {
    pub(super) fn new(own: &Arc<Own>, cache_capacity: usize) -> Self {
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

    /// What the lazy DFAs take at this moment, in bytes.
    pub(super) fn cache_bytes(&self) -> usize {
        let all = [&self.automaton, &self.opening, &self.dated];
        all.into_iter().flatten().map(|(_, cache)| cache.memory_usage()).sum()
    }

    /// Keeps a line for later.
    pub(super) fn keep(&mut self, line: &[u8]) {
        if let Some((_, backlog)) = &mut self.connections {
            backlog.push(line);
        }
    }

    /// What a line tells, given those before it.
    pub(super) fn hear(
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
                let user = users::user(self.own.fields(found.pattern, self.own.texts(line, head)));
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

/// Which pattern is the first to match; none at all if the automaton gave up.
fn search((dfa, cache): &mut (DFA, Cache), text: &[u8]) -> Option<Option<usize>> {
    let found = dfa.try_search_fwd(cache, &Input::new(text).anchored(Anchored::Yes)).ok()?;
    Some(found.map(|half| half.pattern().as_usize()))
}
