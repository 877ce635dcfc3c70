//! Which entries of the journal are wanted: `journalmatch`, evaluated as journalctl(1) does.
//!
//! Terms of one field are alternatives, terms of different fields have to hold together, and `+` stands between
//! alternatives of several terms. One journalctl serves every jail, so each entry is matched again here, to know whose it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// The longest name of a field, in bytes (systemd.journal-fields(7): `field_name_validate`).
pub(super) const LONGEST_NAME: usize = 64;

/// Fields that journald itself fills in and that tell the service, so that nobody else can be meant.
const SERVICES: [&str; 2] = ["_SYSTEMD_UNIT", "_SYSTEMD_SLICE"];

/// Which entries are wanted: those that match one of the alternatives. Never empty; written in one order, however
/// it was typed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Matches(BTreeSet<Alternative>);

/// Terms that hold together: the values that each field may have.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alternative(BTreeMap<String, BTreeSet<String>>);

/// Why a text says nothing of entries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoMatch {
    /// A word of it.
    #[error("`{0}` is no journal match: write FIELD=value, such as _SYSTEMD_UNIT=ssh.service")]
    Term(String),
    /// Nothing stands on one side of a `+`, or nowhere.
    #[error("a journal match is empty: write FIELD=value, such as _SYSTEMD_UNIT=ssh.service")]
    Empty,
    /// A quote is not closed.
    #[error("a quote in the journal match is not closed: close it")]
    Quote,
}

impl Matches {
    /// What any of these texts wants.
    ///
    /// # Errors
    /// One of them is no match, or there is none.
    pub fn of<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Result<Self, NoMatch> {
        let mut all = BTreeSet::new();
        for text in texts {
            all.append(&mut text.as_ref().parse::<Self>()?.0);
        }
        if all.is_empty() { Err(NoMatch::Empty) } else { Ok(Self(all)) }
    }

    /// What any of these wants, as the arguments of journalctl.
    pub fn arguments<'m>(all: impl IntoIterator<Item = &'m Self>) -> Vec<String> {
        let alternatives: BTreeSet<&Alternative> = all.into_iter().flat_map(|matches| &matches.0).collect();
        let mut words: Vec<String> = Vec::new();
        for alternative in alternatives {
            if !words.is_empty() {
                words.push("+".to_owned());
            }
            words.extend(alternative.terms().map(|(field, value)| format!("{field}={value}")));
        }
        words
    }

    /// The alternatives.
    pub fn alternatives(&self) -> impl Iterator<Item = &Alternative> {
        self.0.iter()
    }

    /// Every field that is asked for.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|alternative| alternative.0.keys().map(String::as_str))
    }
}

impl Alternative {
    /// Whether every field has one of its values; `has` says whether the entry has this value in this field.
    pub(super) fn holds(&self, has: impl Fn(&str, &str) -> bool) -> bool {
        self.0.iter().all(|(field, values)| values.iter().any(|value| has(field, value)))
    }

    /// Whether only the entries of a service match: its unit, or the slice of its instances, is named.
    pub fn names_service(&self) -> bool {
        SERVICES.iter().any(|field| self.0.contains_key(*field))
    }

    /// Whether the user is named whose entries these are.
    pub(super) fn names_user(&self) -> bool {
        self.0.contains_key("_UID")
    }

    /// Whether any user of the machine can write entries that match: nothing in it is filled in by journald and tells
    /// the service, root or the kernel.
    pub fn is_forgeable(&self) -> bool {
        let only = |field: &str, value: &str| {
            self.0.get(field).is_some_and(|values| values.iter().all(|it| it == value))
        };
        !self.names_service() && !only("_UID", "0") && !only("_TRANSPORT", "kernel")
    }

    fn terms(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|(field, values)| values.iter().map(|value| (field.as_str(), value.as_str())))
    }
}

impl FromStr for Matches {
    type Err = NoMatch;

    /// Words are parted by blanks, which quotes, double or single, may keep.
    fn from_str(text: &str) -> Result<Self, NoMatch> {
        let mut all = BTreeSet::new();
        let mut alternative = Alternative::default();
        for word in words(text)? {
            if word == "+" {
                all.insert(whole(std::mem::take(&mut alternative))?);
                continue;
            }
            let term = word.split_once('=').filter(|(field, value)| is_field(field) && is_value(value));
            let Some((field, value)) = term else {
                return Err(NoMatch::Term(word.escape_debug().to_string()));
            };
            alternative.0.entry(field.to_owned()).or_default().insert(value.to_owned());
        }
        all.insert(whole(alternative)?);
        Ok(Self(all))
    }
}

impl fmt::Display for Matches {
    /// As it may be typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alternatives: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&alternatives.join(" + "))
    }
}

impl fmt::Display for Alternative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = |(field, value): (&str, &str)| match value {
            plain if !plain.contains([' ', '"', '\'']) => format!("{field}={plain}"),
            quoted if !quoted.contains('"') => format!("\"{field}={quoted}\""),
            mixed => format!("{field}={}", mixed.replace('"', "'\"'").replace(' ', "' '")),
        };
        let terms: Vec<String> = self.terms().map(written).collect();
        f.write_str(&terms.join(" "))
    }
}

fn whole(alternative: Alternative) -> Result<Alternative, NoMatch> {
    if alternative.0.is_empty() { Err(NoMatch::Empty) } else { Ok(alternative) }
}

/// systemd.journal-fields(7).
pub(super) fn is_field(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

fn is_value(value: &str) -> bool {
    !value.is_empty() && !value.contains(char::is_control)
}

fn words(text: &str) -> Result<Vec<String>, NoMatch> {
    let mut all = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => all.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    all.extend(word);
    if quote.is_some() { Err(NoMatch::Quote) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(text: &str) -> Matches {
        text.parse().unwrap()
    }

    fn hold(text: &str, fields: &[(&str, &str)]) -> bool {
        matches(text).alternatives().any(|it| it.holds(|field, value| fields.contains(&(field, value))))
    }

    #[test]
    fn terms_hold_as_journalctl_has_it() {
        let ssh = [("_SYSTEMD_UNIT", "ssh.service"), ("_COMM", "sshd"), ("PRIORITY", "6")];
        for (text, expected) in [
            ("_SYSTEMD_UNIT=ssh.service", true),
            ("_SYSTEMD_UNIT=ssh.service _COMM=login", false),
            ("_COMM=login _COMM=sshd _SYSTEMD_UNIT=ssh.service", true),
            ("_COMM=login + _SYSTEMD_UNIT=ssh.service PRIORITY=6", true),
            ("_COMM=login + _SYSTEMD_UNIT=ssh.service PRIORITY=5", false),
            ("_SYSTEMD_UNIT=ssh", false),
        ] {
            assert_eq!(hold(text, &ssh), expected, "{text}");
        }
    }

    #[test]
    fn the_same_is_the_same_however_it_is_typed() {
        let one = matches("B=2 A=1 + C=3");
        assert_eq!(one, Matches::of(["C=3", "A=1  B=2", "A=1 B=2"]).unwrap());
        assert_eq!(one.to_string(), "A=1 B=2 + C=3");
        let other = matches("C=3 + D=4");
        assert_eq!(Matches::arguments([&one, &other]), ["A=1", "B=2", "+", "C=3", "+", "D=4"]);
        assert!(hold("\"A=x y\"", &[("A", "x y")]));
        assert!(hold(r"_SYSTEMD_UNIT=a\x2db.service", &[("_SYSTEMD_UNIT", r"a\x2db.service")]));
    }

    #[test]
    fn nothing_else_is_a_match() {
        for bad in ["", " ", "+", "A=1 +", "+ A=1", "A=1 + + B=2"] {
            assert_eq!(bad.parse::<Matches>(), Err(NoMatch::Empty), "{bad:?}");
        }
        for bad in ["--file=/etc/shadow", "x", "=x", "a=b", "A=", "1A=b", "/usr/sbin/sshd", "A=\u{7}"] {
            assert!(matches!(bad.parse::<Matches>(), Err(NoMatch::Term(_))), "{bad:?}");
        }
        assert_eq!("A=\"b".parse::<Matches>(), Err(NoMatch::Quote));
        assert_eq!(Matches::of::<&str>([]), Err(NoMatch::Empty));
    }

    #[test]
    fn what_anybody_can_write_is_known() {
        let forgeable = |text: &str| matches(text).alternatives().any(Alternative::is_forgeable);
        for text in
            ["SYSLOG_IDENTIFIER=sshd", "_COMM=sshd", "_SYSTEMD_UNIT=a.service + _COMM=a", "_TRANSPORT=syslog"]
        {
            assert!(forgeable(text), "{text}");
        }
        for text in [
            "_SYSTEMD_UNIT=a.service",
            "_UID=0 _COMM=a",
            "_TRANSPORT=kernel",
            "_SYSTEMD_SLICE=system-a.slice",
        ] {
            assert!(!forgeable(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_typed(values in prop::collection::vec("[A-Z]=[a-z \"']{1,6}", 1..4)) {
            let quoted = |text: &String| text.replace('"', "'\"'").replace(' ', "' '");
            let typed: Vec<String> = values.iter().filter(|it| !it.contains('\'')).map(quoted).collect();
            if let Ok(matches) = Matches::of(&typed) {
                prop_assert_eq!(matches.to_string().parse::<Matches>(), Ok(matches));
            }
        }
    }
}
