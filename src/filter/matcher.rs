//! A compiled filter, and its verdict on one line.
//!
//! # How forged lines are defeated
//! A remote user chooses his name, and may choose `x from 192.0.2.1 port 22 ssh2` or a whole log line.
//! - Every pattern is anchored at the start of the message, after the head that the logging daemon
//!   wrote; a log line inside a name is never at the start.
//! - A name is written as a greedy `.*`, followed by a rigid tail that is anchored with `$`. The service
//!   writes the true address behind the name, and nothing that a client chooses stands behind it: the
//!   last place at which the tail fits is the true one, and greediness finds the last.
//! - Where a service does write chosen text behind the address (key identifiers, reasons), the tail
//!   allows no text in which a second ` from ADDRESS port N` could stand, or the address comes first.
//!
//! # Order
//! `programs`, then `ignoreregex`, then `failregex` in order; the first whose host is an address wins.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};

use super::definition::{Definition, Port};
use super::error::{Fault, FilterError};
use super::pattern::{Pattern, compile_ignore};
use super::prefix::{self, Head};
use super::{Clock, LONGEST_LINE, date, examples, prefilter, reference};

/// What all patterns of a filter together may take, in bytes.
const SIZE_LIMIT: usize = 16 << 20;

/// A compiled filter. Immutable; shared by jails and scanners.
pub struct Filter {
    name: String,
    definition: Arc<Definition>,
    patterns: Vec<Pattern>,
    ignore: Vec<Regex>,
    /// All patterns in one automaton: it says which of them is the first to match.
    union: NFA,
    literals: Option<Vec<Vec<u8>>>,
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter").field("name", &self.name).field("patterns", &self.patterns.len()).finish()
    }
}

/// What a filter says of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineVerdict {
    /// A failure.
    Match {
        /// The first pattern that matches.
        first: LineMatch,
        /// The others, in order, when all patterns were to be tried.
        others: Vec<LineMatch>,
    },
    /// An ignoreregex matches.
    Ignore,
    /// Nothing matches, or the line is another program's.
    Miss,
}

/// One pattern's match of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineMatch {
    /// Who; IPv4-mapped IPv6 is folded to IPv4.
    pub address: IpAddr,
    /// When, by the line's own date, else the clock's now.
    pub time: Timestamp,
    /// Which pattern of the filter, from 0.
    pub pattern: usize,
    /// How many failures the line stands for.
    pub attempts: u32,
    /// What the other named captures caught, by lower-case name (`<F-USER>` is `user`). Bytes that are no
    /// UTF-8 are replaced. The text is the attacker's: escape it before it reaches a terminal.
    pub fields: BTreeMap<String, String>,
}

impl Filter {
    /// Compiles the patterns of one mode. `origin` names the file in errors, `name` the filter.
    ///
    /// # Errors
    /// An unknown mode, or the first pattern that is refused, with its place.
    pub fn compile(
        name: &str,
        origin: &str,
        definition: Arc<Definition>,
        mode: &str,
    ) -> Result<Self, FilterError> {
        let wanted = definition.patterns(name, mode)?;
        let refused = |key, index, written: &toml::Spanned<String>, fault: Fault| FilterError::Pattern {
            origin: origin.to_owned(),
            key,
            index,
            pattern: written.get_ref().clone(),
            span: written.span(),
            fault: Box::new(fault),
        };
        let mut patterns = Vec::with_capacity(wanted.fail.len());
        let mut trees = Vec::with_capacity(wanted.fail.len());
        for (index, written) in wanted.fail.iter().enumerate() {
            let (pattern, tree) = Pattern::compile(written.get_ref())
                .map_err(|fault| refused("failregex", index, written, fault))?;
            patterns.push(pattern);
            trees.push(tree);
        }
        let mut ignore = Vec::with_capacity(wanted.ignore.len());
        for (index, written) in wanted.ignore.iter().enumerate() {
            ignore.push(
                compile_ignore(written.get_ref())
                    .map_err(|fault| refused("ignoreregex", index, written, fault))?,
            );
        }
        let empty = || FilterError::Empty { origin: origin.to_owned(), mode: mode.to_owned() };
        if patterns.is_empty() {
            return Err(empty());
        }
        let config = thompson::Config::new()
            .utf8(false)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(SIZE_LIMIT));
        let union = match NFA::compiler().configure(config).build_many_from_hir(&trees) {
            Ok(union) => union,
            Err(_) => return Err(empty()),
        };
        let literals: Option<Vec<Vec<Vec<u8>>>> = trees.iter().map(prefilter::required_literals).collect();
        let literals = literals.map(|sets| prefilter::join(sets.into_iter().flatten().collect()));
        Ok(Self { name: name.to_owned(), definition, patterns, ignore, union, literals })
    }

    /// Loads what a reference (`sshd`, `sshd[mode=aggressive]`, `/path/x.toml`) names, from `directories` or the
    /// catalogue, compiles it, and tries the examples of a file of the administrator's.
    ///
    /// # Errors
    /// Whatever is wrong with the reference, the file, its patterns or its examples.
    pub fn load(reference: &str, directories: &[PathBuf]) -> Result<Self, FilterError> {
        let found = reference::resolve(reference, directories)?;
        let definition = Arc::new(Definition::parse(&found.origin, &found.text)?);
        if !found.built_in {
            examples::check(&found.name, &found.origin, &definition)?;
        }
        Self::compile(&found.name, &found.origin, definition, &found.mode)
    }

    /// The filter's name, without options.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for, in a sentence.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.definition.description
    }

    /// The syslog identifiers whose lines count; empty: any.
    #[must_use]
    pub fn programs(&self) -> &[String] {
        &self.definition.programs
    }

    /// Where the service logs by default.
    pub fn log_paths(&self) -> impl Iterator<Item = &Path> {
        self.definition.logpath.iter().map(Path::new)
    }

    /// The first of [`Filter::log_paths`] that `exists` says is there.
    pub fn default_log(&self, exists: impl Fn(&Path) -> bool) -> Option<&Path> {
        self.log_paths().find(|path| exists(path))
    }

    /// The ports of the service.
    #[must_use]
    pub fn ports(&self) -> &[Port] {
        &self.definition.port
    }

    /// Journal matches that select the service's entries.
    #[must_use]
    pub fn journal_matches(&self) -> &[String] {
        &self.definition.journalmatch
    }

    /// The patterns as they were written; the index is that of [`LineMatch::pattern`].
    pub fn patterns(&self) -> impl ExactSizeIterator<Item = &str> {
        self.patterns.iter().map(|pattern| pattern.written.as_str())
    }

    /// The full verdict on one line (with or without its `\n`). Production stops at the first pattern that
    /// matches; with `all_patterns` every one is tried.
    #[must_use]
    pub fn line(&self, line: &[u8], clock: &Clock, all_patterns: bool) -> LineVerdict {
        if line.strip_suffix(b"\n").unwrap_or(line).len() >= LONGEST_LINE {
            return LineVerdict::Miss;
        }
        let head = prefix::parse(line);
        if !self.is_ours(&head) {
            return LineVerdict::Miss;
        }
        if self.ignores(head.message) {
            return LineVerdict::Ignore;
        }
        let time = head.date.and_then(|text| date::read(text, clock)).unwrap_or(clock.now);
        let mut matches = self.patterns.iter().enumerate().filter_map(|(index, pattern)| {
            let (address, captures) = pattern.captures(head.message)?;
            let fields = pattern
                .fields(head.message, &captures)
                .map(|(name, caught)| (name.to_owned(), String::from_utf8_lossy(caught).into_owned()))
                .collect();
            Some(LineMatch { address, time, pattern: index, attempts: 1, fields })
        });
        match matches.next() {
            None => LineVerdict::Miss,
            Some(first) if all_patterns => LineVerdict::Match { first, others: matches.collect() },
            Some(first) => LineVerdict::Match { first, others: Vec::new() },
        }
    }

    /// Whether the line is of a program whose lines count. A line without program counts: `sshd -E` writes such.
    pub(super) fn is_ours(&self, head: &Head<'_>) -> bool {
        let programs = &self.definition.programs;
        match head.program {
            Some(program) => programs.is_empty() || programs.iter().any(|known| known.as_bytes() == program),
            None => true,
        }
    }

    /// Whether an ignoreregex matches the message.
    pub(super) fn ignores(&self, message: &[u8]) -> bool {
        self.ignore.iter().any(|regex| regex.is_match(message))
    }

    /// One of the patterns.
    pub(super) fn pattern(&self, index: usize) -> Option<&Pattern> {
        self.patterns.get(index)
    }

    /// The first pattern from `start` on that matches, with its address.
    pub(super) fn first_from(&self, start: usize, message: &[u8]) -> Option<(usize, IpAddr)> {
        self.patterns
            .iter()
            .enumerate()
            .skip(start)
            .find_map(|(index, pattern)| pattern.captures(message).map(|(address, _)| (index, address)))
    }

    /// All patterns in one automaton.
    pub(super) fn union(&self) -> &NFA {
        &self.union
    }

    /// Literals of which every matching message holds one; none: any line may match.
    pub(super) fn literals(&self) -> Option<&[Vec<u8>]> {
        self.literals.as_deref()
    }
}
