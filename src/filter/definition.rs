//! A filter as its TOML file spells it, and what its modes add up to.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::connection::Role;
use super::error::{FilterError, closest};
use super::fields::Format;
use super::record::{Condition, Keys, Names, Where};

/// The mode that is meant when none is named: the patterns of the top level alone.
pub const NORMAL: &str = "normal";

/// A filter file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// What it is for, in a sentence.
    pub description: String,
    /// The syslog identifiers whose lines count; empty: any. Each may hold one `*`: `postfix*/smtpd`.
    #[serde(default)]
    pub programs: Vec<String>,
    /// Where the service logs by default; the first file that exists is meant.
    #[serde(default)]
    pub logpath: Vec<String>,
    /// The ports of the service.
    #[serde(default)]
    pub port: Vec<Port>,
    /// Journal matches that select the service's entries.
    #[serde(default)]
    pub journalmatch: Vec<String>,
    /// Patterns of a failure, tried in this order.
    #[serde(default)]
    pub failregex: Vec<Spanned<String>>,
    /// Patterns of messages that are never failures.
    #[serde(default)]
    pub ignoreregex: Vec<Spanned<String>>,
    /// The service may write names of hosts in place of addresses; they are counted, and cannot be banned.
    #[serde(default)]
    pub names: bool,
    /// What else tells of the connections that failures belong to.
    pub connection: Option<Connection>,
    /// How structured lines are written; needed by `where`.
    pub format: Option<Format>,
    /// The field of a structured line that holds the address.
    pub host: Option<Names>,
    /// The field of a structured line that holds the time, in any of the shapes of `<DATE>`.
    pub time: Option<Names>,
    /// The field of a structured line that holds the user's name.
    pub user: Option<Names>,
    /// Conditions under which a structured line is a failure; several tables are alternatives.
    #[serde(rename = "where")]
    pub conditions: Option<Where>,
    /// What modes add to the top level.
    #[serde(default)]
    pub mode: BTreeMap<String, Mode>,
    /// Lines with what must come of them.
    #[serde(default)]
    pub example: Vec<Example>,
}

/// Lines that are no failures by themselves, but belong to a connection that may have some.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// Patterns of lines that say who it is.
    #[serde(default)]
    pub known: Vec<Spanned<String>>,
    /// Patterns of failures that count when the connection ends without success, unless one has counted by then.
    #[serde(default)]
    pub withheld: Vec<Spanned<String>>,
    /// Patterns of success: what is withheld is forgiven.
    #[serde(default)]
    pub success: Vec<Spanned<String>>,
    /// Patterns of its end.
    #[serde(default)]
    pub close: Vec<Spanned<String>>,
}

/// What one mode adds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mode {
    /// Other modes whose patterns it has too.
    #[serde(default)]
    pub includes: Vec<String>,
    /// More patterns of a failure.
    #[serde(default)]
    pub failregex: Vec<Spanned<String>>,
    /// More patterns of messages that are never failures.
    #[serde(default)]
    pub ignoreregex: Vec<Spanned<String>>,
    /// More conditions; each table is one more alternative.
    #[serde(rename = "where")]
    pub conditions: Option<Where>,
}

/// A port of the service: `22`, `"ssh"`, `"5901-5910"`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Port {
    /// One port.
    Number(u16),
    /// A service's name or a range.
    Text(String),
}

/// A log line and what must come of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// Lines that stood before it, which must not match.
    #[serde(default)]
    pub before: Vec<String>,
    /// The whole line.
    pub line: String,
    /// The address or name that it tells of; absent: the line must not match.
    pub host: Option<String>,
    /// The captured user.
    pub user: Option<String>,
    /// The mode in which it is tried; absent: normal.
    pub mode: Option<String>,
    /// Where the format is documented.
    pub source: Option<String>,
}

/// The patterns of one mode.
#[derive(Debug, Default)]
pub(super) struct Patterns<'a> {
    pub(super) fail: Vec<&'a Spanned<String>>,
    pub(super) ignore: Vec<&'a Spanned<String>>,
    pub(super) rules: Vec<&'a BTreeMap<String, Condition>>,
    pub(super) connection: Option<&'a Connection>,
}

impl<'a> Patterns<'a> {
    /// The key of each list, and what its patterns say.
    pub(super) fn by_role(&self) -> [(&'static str, Role, Vec<&'a Spanned<String>>); 5] {
        let of = |list: fn(&Connection) -> &Vec<Spanned<String>>| {
            self.connection.map_or(Vec::new(), |connection| list(connection).iter().collect())
        };
        [
            ("failregex", Role::Failure, self.fail.clone()),
            ("connection.known", Role::Known, of(|connection| &connection.known)),
            ("connection.withheld", Role::Withheld, of(|connection| &connection.withheld)),
            ("connection.success", Role::Success, of(|connection| &connection.success)),
            ("connection.close", Role::Close, of(|connection| &connection.close)),
        ]
    }
}

impl Definition {
    /// Reads a filter. `origin` names the file, or the entry of the catalogue, in errors.
    ///
    /// # Errors
    /// [`FilterError::Toml`] with the place when the text is no filter.
    pub fn parse(origin: &str, text: &str) -> Result<Self, FilterError> {
        toml::from_str(text).map_err(|error| FilterError::Toml {
            origin: match error.span() {
                Some(Range { start, .. }) => format!("{origin}:{}", line_and_column(text, start)),
                None => origin.to_owned(),
            },
            message: error.message().trim_end().to_owned(),
            span: error.span(),
        })
    }

    /// All modes, `normal` first.
    #[must_use]
    pub fn modes(&self) -> Vec<String> {
        let added = self.mode.keys().filter(|name| *name != NORMAL).cloned();
        std::iter::once(NORMAL.to_owned()).chain(added).collect()
    }

    /// The patterns of a mode: the top level's, those of the modes that it includes, its own.
    pub(super) fn patterns(&self, filter: &str, mode: &str) -> Result<Patterns<'_>, FilterError> {
        let mut found = Patterns {
            fail: self.failregex.iter().collect(),
            ignore: self.ignoreregex.iter().collect(),
            rules: self.conditions.iter().flat_map(Where::rules).collect(),
            connection: self.connection.as_ref(),
        };
        let mut added = Vec::new();
        self.add_mode(filter, mode, &mut Vec::new(), &mut added)?;
        for mode in added.iter().filter_map(|name| self.mode.get(*name)) {
            found.fail.extend(&mode.failregex);
            found.ignore.extend(&mode.ignoreregex);
            found.rules.extend(mode.conditions.iter().flat_map(Where::rules));
        }
        Ok(found)
    }

    /// Where structured lines hold what.
    pub(super) fn keys(&self) -> Keys<'_> {
        Keys {
            format: self.format,
            host: self.host.as_ref(),
            time: self.time.as_ref(),
            user: self.user.as_ref(),
        }
    }

    fn add_mode<'a>(
        &'a self,
        filter: &str,
        mode: &str,
        path: &mut Vec<&'a str>,
        added: &mut Vec<&'a str>,
    ) -> Result<(), FilterError> {
        let Some((name, wanted)) = self.mode.get_key_value(mode) else {
            if mode == NORMAL {
                return Ok(());
            }
            let modes = self.modes();
            let near = closest(mode, modes.iter().map(String::as_str));
            return Err(FilterError::UnknownMode {
                filter: filter.to_owned(),
                mode: mode.to_owned(),
                near,
                modes,
            });
        };
        if path.contains(&name.as_str()) {
            return Err(FilterError::ModeLoop { filter: filter.to_owned(), mode: name.clone() });
        }
        if added.contains(&name.as_str()) {
            return Ok(());
        }
        path.push(name);
        for include in &wanted.includes {
            self.add_mode(filter, include, path, added)?;
        }
        path.pop();
        added.push(name);
        Ok(())
    }
}

/// `LINE:COLUMN`, both from 1, of the byte `at`.
fn line_and_column(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{line}:{column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
description = "x"
failregex = ['^a']
[mode.ddos]
failregex = ['^d']
[mode.extra]
failregex = ['^e']
[mode.aggressive]
includes = ["ddos", "extra"]
failregex = ['^g']
"#;

    fn fail(definition: &Definition, mode: &str) -> Vec<String> {
        let patterns = definition.patterns("x", mode).unwrap();
        patterns.fail.iter().map(|p| p.get_ref().clone()).collect()
    }

    #[test]
    fn modes_add_to_the_top_level() {
        let definition = Definition::parse("x", TEXT).unwrap();
        assert_eq!(fail(&definition, "normal"), ["^a"]);
        assert_eq!(fail(&definition, "ddos"), ["^a", "^d"]);
        assert_eq!(fail(&definition, "aggressive"), ["^a", "^d", "^e", "^g"]);
        assert_eq!(definition.modes(), ["normal", "aggressive", "ddos", "extra"]);
    }

    #[test]
    fn wrong_modes_are_told() {
        let definition = Definition::parse("x", TEXT).unwrap();
        let error = definition.patterns("x", "agressive").unwrap_err().to_string();
        assert!(error.contains("did you mean aggressive?"), "{error}");
        let looped = "description=''\n[mode.a]\nincludes=['b']\n[mode.b]\nincludes=['a']\n";
        let looped = Definition::parse("x", looped).unwrap();
        assert!(matches!(looped.patterns("x", "a"), Err(FilterError::ModeLoop { .. })));
    }

    #[test]
    fn unknown_keys_are_refused_with_their_place() {
        let error =
            Definition::parse("f.toml", "description = 'x'\nfailregx = []\n").unwrap_err().to_string();
        assert!(error.starts_with("f.toml:2:1: unknown field `failregx`"), "{error}");
    }
}
