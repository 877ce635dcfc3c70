//! What a filter says of one line, given the lines before.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use jiff::Timestamp;
use smallvec::SmallVec;

use super::connection::{Connections, Known, shown};
use super::date::{Detector, Minute};
use super::groups::{CONTENT, Groups, Layout, MLFID, NOFAIL, USER};
use super::host::{self, Host};
use super::lines::{Buffer, Line, Split, text_of};
use super::regex::{Found, Pattern};
use super::rules::Rules;
use crate::filter::date;
use crate::filter::matcher::{Field, LineMatch, LineVerdict};
use crate::filter::prefix::DateText;
use crate::filter::{Clock, Failure, Named, Success, Told};
use crate::syslog::iso_length;

/// Lines without date belong to the last date, if it is no older than this, in seconds.
const DATE_LASTS: i64 = 60;

/// What a filter remembers of a source's lines.
#[derive(Debug)]
pub(in crate::filter) struct Memory {
    detector: Detector,
    last_date: Option<Timestamp>,
    /// Of the last date that was found, if it can be, and the clock it was read with.
    moment: Option<(Option<Timestamp>, Clock)>,
    minute: Minute,
    buffer: Buffer,
    connections: Connections,
    /// Room for the text that is searched.
    text: String,
    /// Room for the name of the line's connection.
    id: String,
}

/// What is asked of a line.
#[derive(Debug, Clone, Copy)]
struct Asked {
    now: Timestamp,
    /// Every pattern, not only the first that matches.
    all: bool,
    /// What the groups caught.
    groups: bool,
    /// Who logged in.
    logins: bool,
}

/// A pattern that matched, what it and the prefix caught, and how many lines it took.
#[derive(Debug)]
struct Fit {
    pattern: usize,
    groups: Groups,
    lines: u32,
}

/// The line is ignored.
pub(in crate::filter) struct Ignored;

/// What the patterns found.
#[derive(Debug, Default)]
struct Results {
    /// Those that name somebody and count.
    matches: SmallVec<[Match; 1]>,
    /// Something was found, though perhaps nothing that counts.
    any: bool,
    ignored: bool,
    forgotten: bool,
    gained: bool,
    /// From where somebody logged in, and who.
    login: Option<(IpAddr, Option<String>)>,
}

/// One pattern's match that counts.
#[derive(Debug)]
struct Match {
    pattern: usize,
    attempts: u32,
    host: Host,
    /// If wanted.
    known: Option<Box<Known>>,
}

/// The date that our own journal source, or journalctl, puts before a line, with the blank behind it, and what it
/// says. fail2ban's filters never see one there.
pub(super) fn journal_head(line: &str, clock: &Clock) -> Option<(Range<usize>, Timestamp)> {
    let length = iso_length(line.as_bytes())?;
    let text = line.as_bytes().get(..length)?;
    // A date that the service wrote itself is left to its filter: few put a T into it.
    text.get(10).filter(|separator| **separator == b'T')?;
    Some((0..length + 1, date::read(DateText::Iso(text), clock)?))
}

impl Memory {
    pub(in crate::filter) fn new(rules: &Rules) -> Self {
        Self {
            detector: Detector::new(&rules.formats),
            last_date: None,
            moment: None,
            minute: Minute::default(),
            buffer: Buffer::new(rules.max_lines),
            connections: Connections::default(),
            text: String::new(),
            id: String::new(),
        }
    }

    /// The formats of the dates that were found, and how often.
    pub(in crate::filter) fn date_formats(&self) -> Vec<(String, u64)> {
        self.detector.hits()
    }

    /// Whether a line may tell something that holds only literals of [`Rules::literals`]' second kind.
    pub(in crate::filter) fn may_matter(&self, line: &[u8]) -> bool {
        self.connections.may_know(line)
    }

    /// The verdict on one line, without its `\n`.
    pub(in crate::filter) fn line(
        &mut self,
        rules: &Rules,
        line: &[u8],
        clock: &Clock,
        all_patterns: bool,
    ) -> LineVerdict {
        let (results, time) = self.results(
            rules,
            line,
            clock,
            Asked { now: clock.now, all: all_patterns, groups: true, logins: false },
        );
        let matches = results.matches.into_iter();
        let mut matches = matches.map(|found| LineMatch {
            host: found.host.text.to_string(),
            address: found.host.address,
            prefix_len: found.host.prefix_len,
            time,
            pattern: found.pattern,
            attempts: found.attempts,
            fields: fields(rules, found.known.as_deref(), &found.host),
        });
        match matches.next() {
            Some(first) => LineVerdict::Match { first, others: matches.collect() },
            None if results.gained => LineVerdict::Gain,
            None if results.forgotten => LineVerdict::Forget,
            None if results.any => LineVerdict::Partial,
            None if results.ignored => LineVerdict::Ignore,
            None => LineVerdict::Miss,
        }
    }

    /// The failures that [`Memory::line`] would tell of, and with `logins` who logged in; an error if it would say that the line
    /// is ignored. Failures of hosts that are no addresses are returned.
    pub(in crate::filter) fn hear(
        &mut self,
        rules: &Rules,
        line: &[u8],
        clock: &Clock,
        logins: bool,
        tell: &mut dyn FnMut(Told),
    ) -> Result<Vec<Named>, Ignored> {
        let asked = Asked { now: clock.now, all: false, groups: false, logins };
        let (results, time) = self.results(rules, line, clock, asked);
        if let Some((address, user)) = results.login.filter(|_| logins) {
            tell(Told::Success(Success { time, address, user }));
        }
        let nothing = results.matches.is_empty() && !results.any;
        let mut named = Vec::new();
        for Match { pattern, attempts, host, .. } in results.matches {
            match host.address {
                Some(address) => {
                    let prefix_len = host.prefix_len;
                    tell(Told::Failure(Failure { time, address, prefix_len, pattern, attempts }));
                }
                None => named.push(Named { name: host.text.to_string(), time, pattern, attempts }),
            }
        }
        if nothing && results.ignored { Err(Ignored) } else { Ok(named) }
    }

    fn results(&mut self, rules: &Rules, line: &[u8], clock: &Clock, asked: Asked) -> (Results, Timestamp) {
        // Far quicker than to look for what is to be replaced.
        let line = std::str::from_utf8(line).map_or_else(|_| String::from_utf8_lossy(line), Cow::Borrowed);
        let line = line.trim_end_matches(['\r', '\n']);
        let (date, time) = self.dated(rules, line, clock);
        let (before, after) = (line.get(..date.start), line.get(date.end..));
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        text.extend([before, after, "\n"]);
        let results = match rules.max_lines {
            // Most filters look at one line at a time, and need no buffer.
            ..=1 => self.judge(rules, &text, asked),
            _ => self.judge_several(rules, Line::new(&[before, after].concat()), asked),
        };
        self.text = text;
        (results, time.unwrap_or(clock.now))
    }

    /// Where the date is that is to be cut out, and when the line was written, if that can be told.
    fn dated(&mut self, rules: &Rules, text: &str, clock: &Clock) -> (Range<usize>, Option<Timestamp>) {
        if rules.journal {
            let (head, time) = journal_head(text, clock).unwrap_or((0..0, clock.now));
            self.last_date = Some(time);
            return (head, Some(time));
        }
        let last = self.last_date.filter(|last| clock.now.as_second() - last.as_second() < DATE_LASTS);
        let Some(dated) = self.detector.find(text, clock.now) else { return (0..0, last) };
        let span = dated.span();
        if span.is_empty() {
            return (0..0, last.or(Some(clock.now)));
        }
        let same = |clock_then: &Clock| clock_then.now == clock.now && clock_then.zone == clock.zone;
        let moment = match &self.moment {
            Some((moment, clock_then)) if dated.repeated && same(clock_then) => *moment,
            _ => {
                let moment = dated.moment(text, clock, &mut self.minute);
                self.moment = Some((moment, clock.clone()));
                moment
            }
        };
        match moment {
            Some(time) => {
                self.last_date = Some(time);
                (span, Some(time))
            }
            None if last.is_some() => (0..0, last),
            None => (span, None),
        }
    }

    /// For filters that look at one line at a time; `text` is the line, without its date, and a line feed.
    fn judge(&mut self, rules: &Rules, text: &str, asked: Asked) -> Results {
        let mut results = Results::default();
        if ignores_first(rules, text) {
            results.ignored = true;
            return results;
        }
        let mut prefix = None;
        let mut content = String::new();
        let mut searched = text;
        if let Some((pattern, layout)) = &rules.prefix {
            let Some(found) = pattern.find(text) else { return results };
            if let Some(span) = layout.group(CONTENT).and_then(|group| found.group(group))
                && !span.is_empty()
            {
                // Mostly it is all up to the line feed.
                if span.end + 1 == text.len() {
                    searched = text.get(span.start..).unwrap_or_default();
                } else {
                    content.extend([text.get(span).unwrap_or_default(), "\n"]);
                    searched = &content;
                }
            }
            prefix = Some((layout, found));
        }
        let chosen = match &rules.choice {
            Some(choice) => choice.choose(searched),
            None => (0..rules.fail.len()).collect(),
        };
        let prefix = prefix.as_ref().map(|(layout, found): &(&Layout, Found)| (*layout, text, found));
        let silent =
            |index: &usize| rules.says_nothing(*index) && !(asked.logins && rules.tells_login(*index));
        let may_skip = !asked.groups && chosen.last().is_some_and(silent);
        let unknown = may_skip && prefix.is_some_and(|prefix| self.knows_nothing(prefix, asked.now));
        for (tried, index) in chosen.iter().enumerate() {
            let left = chosen.get(tried..).unwrap_or_default();
            if unknown && left.iter().all(silent) {
                break;
            }
            let Some((pattern, layout)) = rules.fail.get(*index) else { continue };
            let Some(found) = pattern.find(searched) else { continue };
            if ignores(rules, searched) {
                results.ignored = true;
                if !asked.all {
                    break;
                }
                continue;
            }
            let mut groups = Groups::of(layout, searched, &found);
            if let Some(prefix) = prefix {
                groups.complete(layout, prefix);
            }
            if self.conclude(asked, Fit { pattern: *index, groups, lines: 1 }, &mut results) && !asked.all {
                break;
            }
        }
        results
    }

    /// Whether nothing is known of the connection that the prefix names, so that lines tell nothing that only end it.
    fn knows_nothing(&mut self, (layout, text, found): (&Layout, &str, &Found), now: Timestamp) -> bool {
        let id = layout.plain(MLFID).and_then(|group| text.get(found.group(group)?));
        id.is_some_and(|id| !self.connections.knows(id, now))
    }

    /// For filters that look at the last lines together.
    fn judge_several(&mut self, rules: &Rules, line: Line, asked: Asked) -> Results {
        let mut results = Results::default();
        let original = self.buffer.push(line);
        let mut text = self.buffer.text();
        if ignores_first(rules, &text) {
            results.ignored = true;
            return results;
        }
        let mut before = None;
        if let Some((prefix, layout)) = &rules.prefix {
            let Some(found) = prefix.find(&text) else { return results };
            let whole = text.clone();
            let content = layout.group(CONTENT).and_then(|group| whole.get(found.group(group)?));
            if let Some(content) = content.filter(|text| !text.is_empty()) {
                self.buffer.replace(Line::new(content));
                text = self.buffer.text();
            }
            before = Some((layout, whole, found));
        }
        for (index, (pattern, layout)) in rules.fail.iter().enumerate() {
            let Some(found) = pattern.find(&text) else { continue };
            let Split { matched, unmatched } = original.split(&text, &found, pattern);
            let ignored = !rules.ignore.is_empty() && ignores(rules, &text_of(&matched));
            let mut groups = Groups::of(layout, &text, &found);
            if let Some((prefix, whole, found)) = &before {
                groups.complete(layout, (prefix, whole, found));
            }
            self.buffer.set(unmatched);
            text = self.buffer.text();
            let done = match ignored {
                true => {
                    results.ignored = true;
                    true
                }
                false => {
                    let lines = u32::try_from(matched.len()).unwrap_or(u32::MAX);
                    self.conclude(asked, Fit { pattern: index, groups, lines }, &mut results)
                }
            };
            if done && !asked.all {
                break;
            }
        }
        results
    }

    /// One match becomes a result; false if nothing says who, nor which connection: the line is left to the others.
    fn conclude(&mut self, asked: Asked, fit: Fit, results: &mut Results) -> bool {
        let Fit { pattern, groups, lines } = fit;
        if groups.text(MLFID).is_none() {
            let known = Known::of(groups, lines);
            let Some(host) = host::of(&known.groups) else { return false };
            results.add(asked, pattern, host, Cow::Owned(known));
            return true;
        }
        self.id.clear();
        self.id.push_str(groups.text(MLFID).unwrap_or_default());
        let Some(merge) = self.connections.merge(&self.id, groups, lines, asked.now) else { return false };
        results.any = true;
        results.forgotten |= merge.forgotten;
        results.gained |= merge.gained;
        let host = host::of(&merge.known.groups);
        if let (true, Some(Host { address: Some(address), prefix_len: None, .. })) = (merge.gained, &host) {
            results.login = Some((*address, merge.known.groups.text(USER).map(str::to_owned)));
        }
        match host {
            Some(host) => results.add(asked, pattern, host, merge.known),
            None => self.connections.set_pending(&self.id, asked.now),
        }
        true
    }
}

impl Results {
    fn add(&mut self, asked: Asked, pattern: usize, host: Host, known: Cow<'_, Known>) {
        self.any = true;
        if known.groups.has(NOFAIL) {
            return;
        }
        let attempts = known.matches;
        let known = asked.groups.then(|| Box::new(known.into_owned()));
        self.matches.push(Match { pattern, attempts, host, known });
    }
}

fn ignores(rules: &Rules, text: &str) -> bool {
    rules.ignore.iter().any(|pattern: &Pattern| pattern.find(text).is_some())
}

/// With many patterns, the few that say what is ignored are tried first, and on the whole line.
fn ignores_first(rules: &Rules, text: &str) -> bool {
    rules.ignore.len() + 2 < rules.fail.len() && ignores(rules, text)
}

/// What is known of a match, for output.
fn fields(rules: &Rules, known: Option<&Known>, host: &Host) -> BTreeMap<String, Field> {
    let mut fields = BTreeMap::new();
    for (name, caught) in known.iter().flat_map(|known| known.groups.iter()) {
        fields.insert(rules.names.of(name).to_owned(), shown(caught));
    }
    if let Some(known) = known.filter(|known| !known.users.is_empty()) {
        fields.insert("users".to_owned(), Field::List(known.users.clone()));
    }
    if let Some(address) = &host.beside {
        fields.insert("ip".to_owned(), Field::Text(address.to_string()));
    }
    fields
}
