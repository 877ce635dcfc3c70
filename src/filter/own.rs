//! A filter in TOML, compiled, and its verdict on one line.
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
//! # What a pattern sees
//! The message behind the syslog head, if the program is one of `programs`; the whole line where there is no head. A
//! pattern with `<DATE>` describes a line that the service wrote itself: it is tried on the whole line
//! first, and then on the message, because many a service's own lines end up in syslog or the journal.
//!
//! # Order
//! `programs`, then `ignoreregex`, then `failregex` and the patterns of `[connection]` in order, then `where` in order; the first
//! whose host is an address wins. With `names`, and if there is none, the first whose host is a name.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::captures::Captures;
use regex_syntax::hir::Hir;

use super::connection::{Connections, Outcome, Role};
use super::definition::Definition;
use super::error::{Fault, FilterError};
use super::host::Host;
use super::matcher::{Field, LineMatch, LineVerdict};
use super::opening::Opening;
use super::pattern::{Exception, Matched, Pattern, compile_ignore};
use super::prefix::{self, DateText, Head};
use super::record::{Record, Rule};
use super::{Clock, LONGEST_LINE, date, prefilter};

/// What all patterns of a filter together may take, in bytes.
const SIZE_LIMIT: usize = 16 << 20;

/// A filter in TOML, compiled.
pub(super) struct Own {
    definition: Arc<Definition>,
    /// Those of failures first, then those of `[connection]`.
    patterns: Vec<Pattern>,
    /// What each pattern says.
    roles: Vec<Role>,
    rules: Vec<Rule>,
    ignore: Vec<Exception>,
    /// All patterns in one automaton: it says which of them is the first to match.
    union: NFA,
    /// That of the first pattern, which most failures match.
    opening: Option<Opening>,
    /// The same as `union` of the patterns with `<DATE>`, and their indices; none if there are none.
    dated: Option<(NFA, Vec<usize>)>,
    /// Something is to be tried on whole lines.
    whole_lines: bool,
    literals: Option<Vec<Vec<u8>>>,
    /// Those of lines that are needed only once a connection is asked about.
    later: Vec<Vec<u8>>,
}

/// What of a line is to be matched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Texts<'l> {
    /// The whole line, if a pattern wants it.
    pub(super) whole: Option<&'l [u8]>,
    /// The message, if it is of a program whose lines count.
    pub(super) message: Option<&'l [u8]>,
}

/// A match, before its date is read.
#[derive(Debug)]
pub(super) struct Found<'l> {
    pub(super) pattern: usize,
    pub(super) host: Host<'l>,
    /// What names the connection, if the pattern caught it.
    pub(super) connection: Option<&'l [u8]>,
    /// The date that it caught in the line or a field.
    pub(super) date: Option<Cow<'l, [u8]>>,
    /// It was found in the message rather than the whole line.
    pub(super) in_message: bool,
}

impl Found<'_> {
    /// A match in a message of a pattern that catches nothing but a host that matters.
    pub(super) fn of_address(pattern: usize, address: IpAddr) -> Self {
        Self { pattern, host: Host::Address(address), connection: None, date: None, in_message: true }
    }

    /// The date that counts: the syslog daemon's before the service's own, which may lack the zone of its container.
    pub(super) fn date<'a>(&'a self, head: &Head<'a>) -> Option<DateText<'a>> {
        let own = self.date.as_deref().map(DateText::Stamp);
        if self.in_message { head.date.or(own) } else { own.or(head.date) }
    }
}

impl Own {
    /// Compiles the patterns of one mode. `origin` names the file in errors, `name` the filter.
    ///
    /// # Errors
    /// An unknown mode, or the first pattern that is refused, with its place.
    pub(super) fn compile(
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
        let mut roles = Vec::with_capacity(wanted.fail.len());
        for (key, role, all) in wanted.by_role() {
            for (index, written) in all.iter().enumerate() {
                let needs_host =
                    role == Role::Known || role == Role::Failure && definition.connection.is_none();
                let compiled = match needs_host {
                    true => Pattern::compile_with_host(written.get_ref()),
                    false => Pattern::compile(written.get_ref()),
                };
                let (pattern, tree) = compiled.map_err(|fault| refused(key, index, written, fault))?;
                patterns.push(pattern);
                trees.push(tree);
                roles.push(role);
            }
        }
        let mut ignore = Vec::with_capacity(wanted.ignore.len());
        for (index, written) in wanted.ignore.iter().enumerate() {
            ignore.push(
                compile_ignore(written.get_ref())
                    .map_err(|fault| refused("ignoreregex", index, written, fault))?,
            );
        }
        let mut rules = Vec::with_capacity(wanted.rules.len());
        for (index, conditions) in wanted.rules.iter().enumerate() {
            let rule = Rule::compile(definition.keys(), conditions);
            rules.push(rule.map_err(|(field, _, fault)| FilterError::Where {
                origin: origin.to_owned(),
                index,
                field: Some(field).filter(|field| !field.is_empty()),
                fault: Box::new(fault),
            })?);
        }
        let empty = || FilterError::Empty { origin: origin.to_owned(), mode: mode.to_owned() };
        if !roles.contains(&Role::Failure) && rules.is_empty() {
            return Err(empty());
        }
        let config = thompson::Config::new()
            .utf8(false)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(SIZE_LIMIT));
        let compiler = || {
            let mut compiler = NFA::compiler();
            compiler.configure(config.clone());
            compiler
        };
        let union = compiler().build_many_from_hir(&trees).map_err(|_| empty())?;
        let indices: Vec<usize> = patterns
            .iter()
            .enumerate()
            .filter(|(_, pattern)| pattern.dated)
            .map(|(index, _)| index)
            .collect();
        let dated_trees: Vec<&Hir> = indices.iter().filter_map(|index| trees.get(*index)).collect();
        let dated = match indices.is_empty() {
            true => None,
            false => Some((compiler().build_many_from_hir(&dated_trees).map_err(|_| empty())?, indices)),
        };
        let opening = trees.first().and_then(Opening::of);
        let whole_lines = dated.is_some() || ignore.iter().any(|exception| exception.dated);
        let joined = |late: bool, rules: &[Rule]| {
            let trees = trees.iter().zip(&roles).filter(|(_, role)| role.is_late() == late);
            let sets = trees.map(|(tree, _)| prefilter::required_literals(tree));
            let sets: Option<Vec<_>> = sets.chain(rules.iter().map(Rule::literals)).collect();
            sets.map(|sets| prefilter::join(sets.into_iter().flatten().collect()))
        };
        let (literals, later) = match (joined(false, &rules), joined(true, &[])) {
            (Some(literals), Some(later)) => (Some(literals), later),
            // Every line is looked at.
            _ => (None, Vec::new()),
        };
        Ok(Self {
            definition,
            patterns,
            roles,
            rules,
            ignore,
            union,
            opening,
            dated,
            whole_lines,
            literals,
            later,
        })
    }

    pub(super) fn definition(&self) -> &Definition {
        &self.definition
    }

    /// The patterns as they were written, then the conditions; the index is that of [`LineMatch::pattern`].
    pub(super) fn patterns(&self) -> impl Iterator<Item = &str> {
        let patterns = self.patterns.iter().map(|pattern| pattern.written.as_str());
        patterns.chain(self.rules.iter().map(|rule| rule.written.as_str()))
    }

    /// What a pattern says; conditions are of failures.
    pub(super) fn role(&self, index: usize) -> Role {
        self.roles.get(index).copied().unwrap_or(Role::Failure)
    }

    /// What a scanner remembers of connections; nothing, yet. None where lines stand alone.
    pub(super) fn connections(&self) -> Option<Connections> {
        self.definition.connection.as_ref().map(|_| Connections::default())
    }

    /// The ignoreregexes as they were written.
    pub(super) fn exceptions(&self) -> impl Iterator<Item = &str> {
        self.ignore.iter().map(|exception| exception.written.as_str())
    }

    /// The full verdict on one line (with or without its `\n`), given those before. Production stops at the first pattern
    /// that matches; with `all_patterns` every one of a failure is tried.
    pub(super) fn line(
        &self,
        connections: Option<&mut Connections>,
        line: &[u8],
        clock: &Clock,
        all_patterns: bool,
    ) -> LineVerdict {
        if line.strip_suffix(b"\n").unwrap_or(line).len() >= LONGEST_LINE {
            return LineVerdict::Miss;
        }
        let head = prefix::parse(line);
        let texts = self.texts(line, &head);
        if self.ignores(texts) {
            return LineVerdict::Ignore;
        }
        let Some(found) = self.first_from(0, texts).or_else(|| self.first_rule(texts)) else {
            return LineVerdict::Miss;
        };
        let time = |found: &Found<'_>| {
            found.date(&head).and_then(|text| date::read(text, clock)).unwrap_or(clock.now)
        };
        let outcome = match connections {
            Some(connections) => connections.hear(self.role(found.pattern), &found, &head, time(&found)),
            None => Outcome::Failed(found.host.address(), head.attempts),
        };
        let (address, attempts) = match outcome {
            Outcome::Failed(address, attempts) => (address, attempts),
            Outcome::Partial => return LineVerdict::Partial,
            Outcome::Forget => return LineVerdict::Forget,
            Outcome::Gain => return LineVerdict::Gain,
            Outcome::Nobody => return LineVerdict::Miss,
        };
        let told = |found: &Found<'_>, address: Option<IpAddr>, attempts| LineMatch {
            host: match (address, found.host) {
                (None, Host::Name(name)) => name.to_owned(),
                (address, _) => address.map(|address| address.to_string()).unwrap_or_default(),
            },
            address,
            prefix_len: None,
            time: time(found),
            pattern: found.pattern,
            attempts,
            fields: self.fields(found.pattern, texts),
        };
        let first = told(&found, address, attempts);
        let others = (first.pattern + 1..self.patterns.len() + self.rules.len()).filter_map(|index| {
            let other = self.at(index, texts, false)?;
            let fails = self.role(index) == Role::Failure && other.host != Host::Absent;
            fails.then(|| told(&other, other.host.address(), head.attempts))
        });
        let others = if all_patterns { others.collect() } else { Vec::new() };
        LineVerdict::Match { first, others }
    }

    /// What the captures of a pattern or condition caught.
    pub(super) fn fields(&self, index: usize, texts: Texts<'_>) -> BTreeMap<String, Field> {
        let text = |bytes: &[u8]| Field::Text(String::from_utf8_lossy(bytes).into_owned());
        let Some(pattern) = self.patterns.get(index) else {
            let rule = self.rules.get(index - self.patterns.len());
            let user = rule.zip(texts.message).and_then(|(rule, message)| rule.find(message)?.user);
            return user.map(|user| ("user".to_owned(), Field::Text(user))).into_iter().collect();
        };
        let found = [false, true].into_iter().find_map(|names| find(index, pattern, texts, names));
        let Some((_, whole, captures)) = found else { return BTreeMap::new() };
        pattern.fields(whole, &captures).map(|(name, caught)| (name.to_owned(), text(caught))).collect()
    }

    /// What of the line is to be matched.
    pub(super) fn texts<'l>(&self, line: &'l [u8], head: &Head<'l>) -> Texts<'l> {
        Texts {
            whole: self.whole_lines.then(|| prefix::trim_end(line)),
            message: self.is_ours(head).then_some(head.message),
        }
    }

    /// Whether the line is of a program whose lines count. A line without program counts: `sshd -E` writes such.
    fn is_ours(&self, head: &Head<'_>) -> bool {
        let programs = &self.definition.programs;
        match head.program {
            Some(program) => programs.is_empty() || programs.iter().any(|known| is_program(known, program)),
            None => true,
        }
    }

    /// Whether an ignoreregex matches.
    pub(super) fn ignores(&self, texts: Texts<'_>) -> bool {
        self.ignored_by(texts).is_some()
    }

    /// Which ignoreregex matches.
    pub(super) fn ignored_by(&self, texts: Texts<'_>) -> Option<usize> {
        self.ignore.iter().position(|exception| {
            let matches = |text: &[u8]| exception.regex.is_match(text);
            exception.dated && texts.whole.is_some_and(matches) || texts.message.is_some_and(matches)
        })
    }

    /// One of the patterns.
    pub(super) fn pattern(&self, index: usize) -> Option<&Pattern> {
        self.patterns.get(index)
    }

    /// The first pattern from `start` on that matches, with a name in place of the address if it must be.
    pub(super) fn first_from<'l>(&self, start: usize, texts: Texts<'l>) -> Option<Found<'l>> {
        let first = |names| {
            let mut patterns = self.patterns.iter().enumerate().skip(start);
            patterns.find_map(|(index, pattern)| Some(find(index, pattern, texts, names)?.0))
        };
        first(false).or_else(|| if self.definition.names { first(true) } else { None })
    }

    /// The first rule on structured lines that matches.
    pub(super) fn first_rule<'l>(&self, texts: Texts<'l>) -> Option<Found<'l>> {
        (self.patterns.len()..self.patterns.len() + self.rules.len())
            .find_map(|index| self.at(index, texts, false))
    }

    /// What the pattern or rule at `index` finds.
    fn at<'l>(&self, index: usize, texts: Texts<'l>, names: bool) -> Option<Found<'l>> {
        if let Some(pattern) = self.patterns.get(index) {
            return Some(find(index, pattern, texts, names)?.0);
        }
        let Record { address, date, .. } =
            self.rules.get(index - self.patterns.len())?.find(texts.message?)?;
        let date = date.map(|date| Cow::Owned(date.into_bytes()));
        let host = Host::Address(address);
        Some(Found { pattern: index, host, connection: None, date, in_message: true })
    }

    /// Whether the pattern or rule at `index`, by itself, matches.
    pub(super) fn tries(&self, index: usize, texts: Texts<'_>) -> bool {
        match self.patterns.get(index) {
            Some(pattern) => find(index, pattern, texts, self.definition.names).is_some(),
            None => {
                let rule = index.checked_sub(self.patterns.len()).and_then(|rule| self.rules.get(rule));
                rule.zip(texts.message).is_some_and(|(rule, message)| rule.find(message).is_some())
            }
        }
    }

    /// The rules on structured lines; their indices follow those of the patterns.
    pub(super) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// All patterns in one automaton.
    pub(super) fn union(&self) -> &NFA {
        &self.union
    }

    /// What the first pattern begins with.
    pub(super) fn opening(&self) -> Option<&Opening> {
        self.opening.as_ref()
    }

    /// The patterns with `<DATE>` in one automaton, and their indices.
    pub(super) fn dated(&self) -> Option<&(NFA, Vec<usize>)> {
        self.dated.as_ref()
    }

    /// Literals of which every message holds one that may be a failure; none: any line may be.
    pub(super) fn literals(&self) -> Option<&[Vec<u8>]> {
        self.literals.as_deref()
    }

    /// Literals of messages that matter only once a connection is asked about.
    pub(super) fn later(&self) -> &[Vec<u8>] {
        &self.later
    }
}

/// What a pattern finds, the text in which it does, and its captures.
fn find<'l>(
    index: usize,
    pattern: &Pattern,
    texts: Texts<'l>,
    names: bool,
) -> Option<(Found<'l>, &'l [u8], Captures)> {
    let whole = texts.whole.filter(|_| pattern.dated);
    [(whole, false), (texts.message, true)].into_iter().find_map(|(text, in_message)| {
        let text = text?;
        let Matched { host, connection, captures } = pattern.find(text, names)?;
        let date = pattern.date(text, &captures).map(Cow::Borrowed);
        Some((Found { pattern: index, host, connection, date, in_message }, text, captures))
    })
}

/// Whether `known`, which may hold one `*`, names the program.
fn is_program(known: &str, program: &[u8]) -> bool {
    known.as_bytes() == program
        || known.split_once('*').is_some_and(|(start, end)| {
            program.len() >= start.len() + end.len()
                && program.starts_with(start.as_bytes())
                && program.ends_with(end.as_bytes())
        })
}

#[cfg(test)]
mod tests {
    use super::is_program;

    #[test]
    fn programs_may_hold_one_star() {
        for (known, program, is) in [
            ("sshd", "sshd", true),
            ("sshd", "sshd2", false),
            ("postfix*/smtpd", "postfix/smtpd", true),
            ("postfix*/smtpd", "postfix-in/submission/smtpd", true),
            ("postfix*/smtpd", "postfix/qmgr", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(is_program(known, program.as_bytes()), is, "{known} {program}");
        }
    }
}
