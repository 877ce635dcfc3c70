//! Lines one by one, as the daemon judges them, each with its explanation.

use std::io::{self, Write};

use serde::Serialize;

use super::names::Names;
use super::options::Options;
use super::view;
use crate::cli::output;
use crate::filter::explain::{Explainer, Explanation, Outcome};
use crate::filter::{Clock, Failure, Filter, LineVerdict, Scanner};
use crate::jail;

/// So many lines of each fate are shown if all were not asked for.
const SOME: u64 = 20;

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Matched,
    Ignored,
    Missed,
}

/// What a line came to.
pub(super) struct Judged {
    pub(super) fate: Fate,
    pub(super) failures: Vec<Failure>,
    /// Matches whose host is no address.
    pub(super) named: u64,
    note: Option<String>,
}

/// A line that is shown.
#[derive(Serialize)]
pub(super) struct Shown {
    /// Its number, from 1.
    line: u64,
    /// Whom it tells of.
    hosts: Vec<String>,
    /// What the line by itself does not tell.
    note: Option<String>,
    #[serde(flatten)]
    explanation: Explanation,
}

/// The lines that are shown, by fate.
#[derive(Default, Serialize)]
pub(super) struct Kept {
    pub(super) matched_lines: Vec<Shown>,
    pub(super) ignored_lines: Vec<Shown>,
    pub(super) missed_lines: Vec<Shown>,
}

/// Judges and shows lines.
pub(super) struct Lines<'f> {
    filter: &'f Filter,
    explainer: Explainer<'f>,
    clock: &'f Clock,
    names: Option<Names>,
    /// How many lines of each fate are shown at most.
    most: [u64; 3],
    /// How many there were.
    seen: [u64; 3],
    /// That of the terminal, in columns.
    width: usize,
}

impl<'f> Lines<'f> {
    /// None, if nothing was asked for that whole blocks do not tell. `alone`: a single line was given.
    pub(super) fn wanted(
        options: &Options,
        filter: &'f Filter,
        clock: &'f Clock,
        alone: bool,
    ) -> Option<Self> {
        let some = if options.verbose || alone { SOME } else { 0 };
        let all = [options.print_all_matched, options.print_all_ignored, options.print_all_missed];
        let most = all.map(|all| if all { u64::MAX } else { some });
        let names = (options.looks_up() && filter.is_dialect()).then(Names::default);
        (names.is_some() || most != [0; 3]).then(|| Self {
            filter,
            explainer: filter.explainer(),
            clock,
            names,
            most,
            seen: [0; 3],
            width: if output::is_terminal() { output::width() } else { usize::MAX },
        })
    }

    /// Whether any line may be shown.
    pub(super) fn shows(&self) -> bool {
        self.most != [0; 3]
    }

    /// What the scanner makes of a line, which ends with its `\n`.
    pub(super) fn judge(&mut self, scanner: &mut Scanner, line: &[u8]) -> Judged {
        if self.filter.is_dialect() {
            return self.recall(scanner.line(0, line, self.clock, false));
        }
        let ignored = scanner.counters().ignored;
        let mut failures = Vec::new();
        scanner.scan(line, self.clock, &mut |_, failure, _| failures.push(failure));
        let fate = match failures.is_empty() {
            false => Fate::Matched,
            true if scanner.counters().ignored > ignored => Fate::Ignored,
            true => Fate::Missed,
        };
        Judged { fate, failures, named: 0, note: None }
    }

    /// The verdict of a filter of the dialect, which may name hosts.
    fn recall(&mut self, verdict: LineVerdict) -> Judged {
        let mut judged = Judged { fate: Fate::Missed, failures: Vec::new(), named: 0, note: None };
        let (first, others) = match verdict {
            LineVerdict::Match { first, others } => (first, others),
            LineVerdict::Ignore => return Judged { fate: Fate::Ignored, ..judged },
            LineVerdict::Miss => return judged,
            other => {
                let note = match other {
                    LineVerdict::Forget => "its connection ended, and what was known of it is forgotten",
                    LineVerdict::Gain => "its connection succeeded, and its failures are forgiven",
                    _ => "a part of a failure: another line of its connection must follow",
                };
                return Judged { note: Some(note.to_owned()), ..judged };
            }
        };
        for found in std::iter::once(first).chain(others) {
            let addresses = match (found.address, &mut self.names) {
                (Some(address), _) => vec![address],
                (None, Some(names)) => names.look_up(&found.host),
                (None, None) => Vec::new(),
            };
            if addresses.is_empty() {
                judged.named += 1;
                judged.note = Some(format!("{} is no address: --usedns=yes looks names up", found.host));
            }
            judged.failures.extend(addresses.into_iter().map(|address| Failure {
                time: found.time,
                address,
                prefix_len: found.prefix_len,
                pattern: found.pattern,
                attempts: found.attempts,
            }));
        }
        if !judged.failures.is_empty() {
            judged.fate = Fate::Matched;
        }
        judged
    }

    /// The line as it is to be shown, if it is.
    pub(super) fn explain(&mut self, number: u64, line: &[u8], judged: Judged) -> Option<Shown> {
        let place = judged.fate as usize;
        let (seen, most) = (self.seen.get_mut(place)?, self.most.get(place)?);
        *seen += 1;
        if *seen > *most {
            return None;
        }
        let mut explanation = self.explainer.explain(line, self.clock);
        let mut note = judged.note;
        let alone = match &explanation.outcome {
            Outcome::Matched { pattern, .. } => Some(*pattern),
            _ => None,
        };
        if let Some(pattern) = judged.failures.first().map(|failure| failure.pattern)
            && alone != Some(pattern)
        {
            explanation.outcome = Outcome::Matched { pattern, captures: Vec::new() };
            note = Some("it matches together with other lines".to_owned());
        }
        let hosts = judged.failures.iter().map(|failure| jail::shown(&failure.logged())).collect();
        Some(Shown { line: number, hosts, note, explanation })
    }

    /// Prints a line.
    pub(super) fn print(&self, out: &mut dyn Write, fate: Fate, shown: &Shown) -> io::Result<()> {
        let fate = match fate {
            Fate::Matched => "matched",
            Fate::Ignored => "ignored",
            Fate::Missed => "missed",
        };
        let hosts = shown.hosts.iter().map(|host| format!(" {host}")).collect::<String>();
        writeln!(out, "line {} {fate}{hosts}", shown.line)?;
        let pattern = |index| self.filter.patterns().nth(index).unwrap_or_default().to_owned();
        view::print(out, &shown.explanation, &pattern, self.width)?;
        if let Some(note) = &shown.note {
            writeln!(out, "    {}", output::harmless(note))?;
        }
        writeln!(out)
    }

    /// What was not shown, as sentences.
    pub(super) fn left_out(&self) -> Vec<String> {
        let kinds = ["matched", "ignored", "missed"].iter().zip(self.seen).zip(self.most);
        kinds
            .filter(|((_, seen), most)| seen > most && *most > 0)
            .map(|((kind, seen), most)| {
                format!("{} more lines {kind}: --print-all-{kind} shows them", seen - most)
            })
            .collect()
    }

    /// The names that were looked up.
    pub(super) fn names(self) -> Option<Names> {
        self.names
    }
}
