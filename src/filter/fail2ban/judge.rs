//! What a filter says of one line, given the lines before.

use jiff::Timestamp;

use super::connection::{Connections, Known, shown};
use super::date::Detector;
use super::groups;
use super::host::{self, Host};
use super::lines::{Buffer, Line, Lines, Split};
use super::regex::{Chosen, Pattern};
use super::rules::Rules;
use crate::filter::Clock;
use crate::filter::matcher::{Field, LineMatch, LineVerdict};

/// Lines without date belong to the last date, if it is no older than this, in seconds.
const DATE_LASTS: i64 = 60;

/// What a filter remembers of a source's lines.
#[derive(Debug)]
pub(in crate::filter) struct Memory {
    detector: Detector,
    last_date: Option<Timestamp>,
    buffer: Buffer,
    connections: Connections,
}

/// What one pattern found.
struct Result {
    pattern: usize,
    known: Known,
    host: Option<Host>,
    forgotten: bool,
    gained: bool,
}

impl Memory {
    pub(in crate::filter) fn new(rules: &Rules) -> Self {
        Self {
            detector: Detector::new(&rules.formats),
            last_date: None,
            buffer: Buffer::new(rules.max_lines),
            connections: Connections::default(),
        }
    }

    /// The formats of the dates that were found, and how often.
    pub(in crate::filter) fn date_formats(&self) -> Vec<(String, u64)> {
        self.detector.hits()
    }

    /// The verdict on one line, without its `\n`.
    pub(in crate::filter) fn line(
        &mut self,
        rules: &Rules,
        line: &[u8],
        clock: &Clock,
        all_patterns: bool,
    ) -> LineVerdict {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\r', '\n']);
        let (line, time) = self.dated(rules, text, clock);
        let (results, ignored) = self.judge(rules, line, clock.now, all_patterns);
        verdict(results, ignored, time.unwrap_or(clock.now))
    }

    /// The line without its date, and when it was written, if that can be told.
    fn dated(&mut self, rules: &Rules, text: &str, clock: &Clock) -> (Line, Option<Timestamp>) {
        if rules.journal {
            self.last_date = Some(clock.now);
            return (Line::whole(text), Some(clock.now));
        }
        let last = self.last_date.filter(|last| clock.now.as_second() - last.as_second() < DATE_LASTS);
        let Some(dated) = self.detector.find(text, clock.now) else { return (Line::whole(text), last) };
        let span = dated.span();
        if span.is_empty() {
            return (Line::whole(text), last.or(Some(clock.now)));
        }
        match dated.moment(text, clock) {
            Some(time) => {
                self.last_date = Some(time);
                (Line::cut(text, span), Some(time))
            }
            None if last.is_some() => (Line::whole(text), last),
            None => (Line::cut(text, span), None),
        }
    }

    fn judge(&mut self, rules: &Rules, line: Line, now: Timestamp, all: bool) -> (Vec<Result>, bool) {
        let mut results = Vec::new();
        let mut ignored = false;
        // Most filters look at one line at a time, and need no buffer.
        let several = rules.max_lines > 1;
        let (mut text, original) = match several {
            true => {
                let original = self.buffer.push(line);
                (self.buffer.text(), original)
            }
            false => (line.text(), Lines::default()),
        };
        if rules.ignore.len() + 2 < rules.fail.len() && ignores(rules, &text) {
            return (results, true);
        }
        let mut common = groups::Groups::new();
        if let Some(prefix) = &rules.prefix {
            let Some(found) = prefix.find(&text) else { return (results, ignored) };
            common = groups::of(prefix, &text, &found);
            let content = common.remove("content").flatten();
            if let Some(content) =
                content.as_ref().and_then(groups::Caught::text).filter(|text| !text.is_empty())
            {
                let content = Line::whole(content);
                text = content.text();
                self.buffer.replace(content);
            }
        }
        let chosen = rules.choice.as_ref().and_then(|choice| choice.choose(&text));
        if chosen.as_ref().is_some_and(Chosen::is_empty) {
            return (results, ignored);
        }
        for (index, pattern) in rules.fail.iter().enumerate() {
            if chosen.as_ref().is_some_and(|chosen| !chosen.contains(index)) {
                continue;
            }
            let Some(found) = pattern.find(&text) else { continue };
            let split = if several { original.split(&text, &found, pattern) } else { Split::default() };
            if !rules.ignore.is_empty() {
                let concerned = if several { split.matched_text() } else { text.clone() };
                if ignores(rules, &concerned) {
                    ignored = true;
                    if several {
                        self.buffer.set(split.unmatched);
                        text = self.buffer.text();
                    }
                    if !all {
                        break;
                    }
                    continue;
                }
            }
            let caught = groups::of(pattern, &text, &found);
            let lines = if several { u32::try_from(split.matched.len()).unwrap_or(u32::MAX) } else { 1 };
            if several {
                self.buffer.set(split.unmatched);
                text = self.buffer.text();
            }
            let mut groups = common.clone();
            groups.extend(caught);
            // A match in which nothing says who leaves the line to the other patterns.
            let Some(result) = self.conclude(rules, index, groups, lines, now) else { continue };
            results.push(result);
            if !all {
                break;
            }
        }
        (results, ignored)
    }

    /// One match becomes a result; none if nothing says who, nor which connection.
    fn conclude(
        &mut self,
        rules: &Rules,
        pattern: usize,
        groups: groups::Groups,
        lines: u32,
        now: Timestamp,
    ) -> Option<Result> {
        let id =
            groups.get("mlfid").and_then(Option::as_ref).and_then(groups::Caught::text).map(str::to_owned);
        let (known, forgotten, gained) = match &id {
            Some(id) => {
                let merge = self.connections.merge(id, groups, lines, now);
                (merge.known, merge.forgotten, merge.gained)
            }
            None => (Known { groups, matches: lines, ..Known::default() }, false, false),
        };
        let host = host::of(&known, rules.raw_ids);
        if host.is_none() {
            self.connections.set_pending(id.as_ref()?);
        }
        Some(Result { pattern, known, host, forgotten, gained })
    }
}

fn ignores(rules: &Rules, text: &str) -> bool {
    rules.ignore.iter().any(|pattern: &Pattern| pattern.find(text).is_some())
}

/// Results that name somebody and count are matches; without any, the line may have done something to its connection.
fn verdict(results: Vec<Result>, ignored: bool, time: Timestamp) -> LineVerdict {
    let (mut forgotten, mut gained, any) = (false, false, !results.is_empty());
    let mut matches = Vec::new();
    for result in results {
        forgotten |= result.forgotten;
        gained |= result.gained;
        if result.known.has("nofail") {
            continue;
        }
        let Some(host) = result.host else { continue };
        let caught = result.known.groups.iter();
        let mut fields: std::collections::BTreeMap<String, Field> =
            caught.filter_map(|(name, caught)| Some((name.clone(), shown(caught.as_ref()?)))).collect();
        if let Some(users) = result.known.users {
            fields.insert("users".to_owned(), Field::List(users.into_iter().collect()));
        }
        if let Some(address) = host.beside {
            fields.insert("ip".to_owned(), Field::Text(address));
        }
        matches.push(LineMatch {
            host: host.text,
            address: host.address,
            time,
            pattern: result.pattern,
            attempts: result.known.matches,
            fields,
        });
    }
    let mut matches = matches.into_iter();
    match matches.next() {
        Some(first) => LineVerdict::Match { first, others: matches.collect() },
        None if gained => LineVerdict::Gain,
        None if forgotten => LineVerdict::Forget,
        None if any => LineVerdict::Partial,
        None if ignored => LineVerdict::Ignore,
        None => LineVerdict::Miss,
    }
}
