//! Filters made of bare patterns, as a command line gives them.

use std::sync::Arc;

use toml::Spanned;

use super::definition::{Definition, NORMAL};
use super::error::FilterError;
use super::fail2ban::Rules;
use super::matcher::Filter;

/// What stands for a file's name in errors.
const ORIGIN: &str = "the command line";

/// Patterns and options without a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bare {
    /// Patterns of a failure, tried in this order.
    pub failregex: Vec<String>,
    /// Patterns of lines that are never failures.
    pub ignoreregex: Vec<String>,
    /// How dates are written; of fail2ban's dialect.
    pub datepattern: Option<String>,
    /// How many lines a pattern may match over; of fail2ban's dialect.
    pub maxlines: Option<u32>,
    /// Whether `<HOST>` takes names; of fail2ban's dialect.
    pub names: bool,
}

impl Bare {
    /// As our own pattern language has it.
    ///
    /// # Errors
    /// The first pattern that is refused, with its place.
    pub fn own(&self) -> Result<Filter, FilterError> {
        let spanned = |patterns: &[String]| {
            patterns.iter().map(|one| Spanned::new(0..one.len(), one.clone())).collect()
        };
        let mut definition = Definition::parse(ORIGIN, "description = 'patterns of the command line'")?;
        definition.failregex = spanned(&self.failregex);
        definition.ignoreregex = spanned(&self.ignoreregex);
        Filter::compile("bare", ORIGIN, Arc::new(definition), NORMAL)
    }

    /// As fail2ban's dialect has it.
    ///
    /// # Errors
    /// The first pattern or option that is refused.
    pub fn dialect(&self) -> Result<Filter, FilterError> {
        let mut options = vec![
            ("failregex", self.failregex.join("\n")),
            ("ignoreregex", self.ignoreregex.join("\n")),
            ("usedns", if self.names { "warn" } else { "no" }.to_owned()),
        ];
        options.extend(self.datepattern.clone().map(|pattern| ("datepattern", pattern)));
        options.extend(self.maxlines.map(|lines| ("maxlines", lines.to_string())));
        Ok(Filter::of_dialect("bare".to_owned(), Rules::of_options(ORIGIN, options)?))
    }

    /// Whether a text is a pattern rather than a filter's name: it has a tag or begins with `^`.
    #[must_use]
    pub fn looks_like_one(text: &str) -> bool {
        let tag = |(start, _): (usize, &str)| {
            let name = text.get(start + 1..).and_then(|rest| rest.split_once('>')).map(|(name, _)| name);
            let name = name.map(|name| name.trim_matches('/'));
            name.is_some_and(|name| {
                name.starts_with(|c: char| c.is_ascii_uppercase())
                    && name
                        .bytes()
                        .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b"-_".contains(&b))
            })
        };
        text.starts_with('^') || text.contains("(?P<") || text.match_indices('<').any(tag)
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::filter::{Clock, LineVerdict};

    fn host(filter: &Filter, line: &str) -> Option<String> {
        let clock = Clock { now: "2026-11-21T12:00:00Z".parse().unwrap(), zone: TimeZone::UTC };
        match filter.line(line.as_bytes(), &clock, false) {
            LineVerdict::Match { first, .. } => Some(first.host),
            _ => None,
        }
    }

    fn bare(patterns: &[&str]) -> Bare {
        Bare {
            failregex: patterns.iter().map(|one| (*one).to_owned()).collect(),
            names: true,
            ..Bare::default()
        }
    }

    #[test]
    fn patterns_are_told_from_names() {
        for pattern in ["^a", "from <HOST>", "<F-USER>x</F-USER>", "(?P<host>x)", "a <F-ID/>"] {
            assert!(Bare::looks_like_one(pattern), "{pattern}");
        }
        for name in ["sshd", "sshd[mode=aggressive]", "/etc/x.toml", "a<b>", "<>", "<"] {
            assert!(!Bare::looks_like_one(name), "{name}");
        }
    }

    #[test]
    fn both_languages_and_their_options() {
        let own =
            Bare { ignoreregex: vec!["^no from".into()], ..bare(&["^no from <HOST>", "^yes from <HOST>"]) };
        let own = own.own().unwrap();
        assert_eq!(host(&own, "yes from 192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(host(&own, "no from 192.0.2.1"), None);
        assert!(bare(&["from <HOST>"]).own().is_err());
        let dialect = bare(&["from <HOST>(?! ok)$"]).dialect().unwrap();
        assert_eq!(host(&dialect, "2026-11-21 06:50:25 from 192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(host(&dialect, "from example.org").as_deref(), Some("example.org"));
        let strict = Bare { names: false, ..bare(&["from <HOST>$"]) };
        assert_eq!(host(&strict.dialect().unwrap(), "from example.org"), None);
        let dated = Bare { datepattern: Some("^%%d".into()), ..bare(&["^ from <HOST>$"]) };
        assert!(dated.dialect().is_ok());
        let many = Bare { maxlines: Some(0), ..bare(&["<HOST>"]) };
        assert!(many.dialect().unwrap_err().to_string().contains("maxlines is 0"));
    }
}
