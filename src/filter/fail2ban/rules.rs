//! A filter of fail2ban's, compiled: what it says, without what it remembers.

use std::path::Path;

use regex_syntax::hir::Hir;

use super::conf::{self, Options};
use super::date::Formats;
use super::groups::{IP4, IP6, Layout, MLFFORGET, MLFGAINED, MLFID, NOFAIL, Name, Names};
use super::regex::{Choice, Pattern, Prefix, SyntaxError};
use super::tags;
use crate::filter::error::FilterError;
use crate::filter::prefilter;

/// Where fail2ban has its filters, and therefore what they include.
const FAIL2BAN: &str = "/etc/fail2ban/filter.d";
/// No filter remembers more lines.
const MOST_LINES: usize = 1000;
/// Dates are at most so many years ahead of when the filter was read: other numbers of four digits are no years.
const YEARS_AHEAD: i16 = 3;
/// Groups of which a filter needs one.
const WHO: [&str; 5] = ["fid", "ip4", "ip6", "dns", "mlfid"];

/// A compiled filter.
#[derive(Debug)]
pub(in crate::filter) struct Rules {
    pub(super) prefix: Option<(Prefix, Layout)>,
    pub(super) fail: Vec<(Pattern, Layout)>,
    /// The names of their groups.
    pub(super) names: Names,
    /// Which of them may match; none where all are to be tried.
    pub(super) choice: Option<Choice>,
    pub(super) ignore: Vec<Pattern>,
    /// For each pattern, whether its lines tell nothing unless something is known of their connection.
    quiet: Vec<bool>,
    /// For each pattern, whether it tells of a login, and from where.
    logins: Vec<bool>,
    /// The patterns as they were before tags were expanded.
    written: Vec<String>,
    pub(super) formats: Formats,
    pub(super) max_lines: usize,
    /// Lines come from the journal, which knows their time.
    pub(super) journal: bool,
    journal_matches: Vec<String>,
}

impl Rules {
    /// Reads and compiles the filter at `path`, with the options of its reference.
    pub(in crate::filter) fn load(path: &Path, given: &[(String, String)]) -> Result<Self, FilterError> {
        let options = conf::load(path, Path::new(FAIL2BAN), given)?;
        let journal = given.iter().any(|(name, value)| name == "logtype" && value == "journal");
        Self::compile(&path.display().to_string(), &options, journal)
    }

    /// Compiles a filter that has these options and no file.
    pub(in crate::filter) fn of_options(
        origin: &str,
        options: Vec<(&str, String)>,
    ) -> Result<Self, FilterError> {
        Self::compile(origin, &options.into_iter().collect(), false)
    }

    fn compile(origin: &str, options: &Options, journal: bool) -> Result<Self, FilterError> {
        let broken = |problem: String| FilterError::Conf { origin: origin.to_owned(), problem };
        let refused =
            |key: &str, pattern: &str, error: &SyntaxError| broken(format!("{key}: {error}\n  {pattern}"));
        let names = options.get("usedns") != Some("no");
        let max_lines: usize = match options.get("maxlines") {
            None => 1,
            Some(typed) => {
                typed.trim().parse().map_err(|_| broken(format!("maxlines '{typed}' is no number")))?
            }
        };
        if !(1..=MOST_LINES).contains(&max_lines) {
            return Err(broken(format!("maxlines is {max_lines}; it may be 1 to {MOST_LINES}")));
        }
        let several = max_lines > 1;
        let compile = |key: &str, text: &str, multiline: bool| {
            Pattern::compile(&tags::expand(text, names), multiline, several)
                .map_err(|error| refused(key, text, &error))
        };
        let prefix = match options.get("prefregex").filter(|text| !text.is_empty()) {
            Some(text) => {
                let pattern = compile("prefregex", text, false)?;
                Some(Prefix::new(pattern).map_err(|error| refused("prefregex", text, &error))?)
            }
            None => None,
        };
        let written = options.lines("failregex");
        let fail = written.iter().map(|text| compile("failregex", text, several));
        let fail = fail.collect::<Result<Vec<_>, _>>()?;
        let ignore = options.lines("ignoreregex");
        let ignore = ignore.iter().map(|text| compile("ignoreregex", text, false));
        let ignore = ignore.collect::<Result<Vec<_>, _>>()?;
        if fail.is_empty() {
            return Err(broken("it has no failregex with these options".to_owned()));
        }
        let says_who =
            |pattern: &Pattern| pattern.names.iter().flatten().any(|name| WHO.contains(&name.as_str()));
        let prefix_says = prefix.as_ref().is_some_and(|prefix| says_who(&prefix.pattern));
        if let Some((_, text)) = fail.iter().zip(&written).find(|(one, _)| !prefix_says && !says_who(one)) {
            return Err(broken(format!("failregex: nothing in it says who, such as <HOST>\n  {text}")));
        }
        let dates: Vec<String> = options
            .lines("datepattern")
            .iter()
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty())
            .collect();
        let formats = Formats::compile(&dates, jiff::Zoned::now().year().saturating_add(YEARS_AHEAD))
            .map_err(|error| refused("datepattern", &dates.join("\n  "), &error))?;
        let choice = if several { None } else { Choice::of(&fail) };
        let mut numbers = Names::new();
        let fail: Vec<(Pattern, Layout)> = fail
            .into_iter()
            .map(|pattern| {
                let layout = numbers.layout(&pattern);
                (pattern, layout)
            })
            .collect();
        let prefix = prefix.map(|prefix| {
            let layout = numbers.layout(&prefix.pattern);
            (prefix, layout)
        });
        // What is ignored is told, too.
        let may_be_quiet = !several && ignore.is_empty();
        let quiet = |(pattern, layout): &(Pattern, Layout)| may_be_quiet && only_ends(pattern, layout);
        let tied = prefix.as_ref().is_some_and(|(_, layout)| !layout.lacks(MLFID));
        let login = |(_, layout): &(Pattern, Layout)| {
            let who = [IP4, IP6].iter().any(|name| !layout.lacks(*name));
            !layout.lacks(MLFGAINED) && who && (tied || !layout.lacks(MLFID))
        };
        Ok(Self {
            choice,
            logins: fail.iter().map(login).collect(),
            quiet: fail.iter().map(quiet).collect(),
            fail,
            prefix,
            names: numbers,
            ignore,
            written,
            formats,
            max_lines,
            journal,
            journal_matches: options.lines("journalmatch"),
        })
    }

    /// Whether a line of this pattern tells nothing where nothing is known of its connection.
    pub(super) fn says_nothing(&self, index: usize) -> bool {
        self.quiet.get(index) == Some(&true)
    }

    /// Whether a line of this pattern may tell who logged in.
    pub(super) fn tells_login(&self, index: usize) -> bool {
        self.logins.get(index) == Some(&true)
    }

    /// Whether any does.
    pub(in crate::filter) fn tells_logins(&self) -> bool {
        self.logins.contains(&true)
    }

    /// The patterns as they were written.
    pub(in crate::filter) fn written(&self) -> &[String] {
        &self.written
    }

    /// The journal matches of the service.
    pub(in crate::filter) fn journal_matches(&self) -> &[String] {
        &self.journal_matches
    }

    /// The patterns that need the backtracking engine.
    pub(in crate::filter) fn backtracking(&self) -> impl Iterator<Item = usize> {
        self.fail.iter().enumerate().filter(|(_, (pattern, _))| pattern.backtracks()).map(|(index, _)| index)
    }

    /// Literals of which every line that may matter holds one; none: any line may. Then those of lines that matter only where
    /// something is known of their connection.
    pub(in crate::filter) fn literals(&self) -> (Option<Vec<Vec<u8>>>, Vec<Vec<u8>>) {
        if self.max_lines > 1 || (!self.journal && self.formats.unbound()) {
            return (None, Vec::new());
        }
        let all: Option<Vec<_>> = self.fail.iter().map(|(pattern, _)| required(pattern)).collect();
        let Some(all) = all else {
            let prefix = self.prefix.as_ref().and_then(|(prefix, _)| required(&prefix.pattern));
            return (prefix.map(prefilter::join), Vec::new());
        };
        let (mut deciding, mut later) = (Vec::new(), Vec::new());
        for (index, literals) in all.into_iter().enumerate() {
            if self.says_nothing(index) { later.extend(literals) } else { deciding.extend(literals) }
        }
        (Some(prefilter::join(deciding)), prefilter::join(later))
    }

    /// Literals of which every line holds one that tells of a login and otherwise matters only where something is known of its
    /// connection.
    pub(in crate::filter) fn login_literals(&self) -> Vec<Vec<u8>> {
        let quiet = |index: &usize| self.says_nothing(*index) && self.tells_login(*index);
        let logins = self.fail.iter().enumerate().filter(|(index, _)| quiet(index));
        prefilter::join(logins.filter_map(|(_, (pattern, _))| required(pattern)).flatten().collect())
    }
}

/// Literals of which every line holds one that the pattern matches, if any are known.
fn required(pattern: &Pattern) -> Option<Vec<Vec<u8>>> {
    pattern.superset().as_ref().and_then(|hir: &Hir| prefilter::required_literals(hir))
}

/// Whether a match of the pattern is always of a line that ends its connection without a failure. Which connection that is the
/// prefix says.
fn only_ends(pattern: &Pattern, layout: &Layout) -> bool {
    let catches = |name| always_catches(pattern, layout, name);
    layout.lacks(MLFID) && catches(MLFFORGET) && (catches(NOFAIL) || catches(MLFGAINED))
}

/// Whether each match of the pattern has this group, and something in it.
fn always_catches(pattern: &Pattern, layout: &Layout, name: Name) -> bool {
    layout.plain(name).is_some_and(|group| pattern.always_catches(group))
}
