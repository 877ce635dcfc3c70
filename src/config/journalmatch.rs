//! `journalmatch`: which entries of the journal a jail reads, and whether it reads the journal at all.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::Deserializer;

use super::report::Problem;
use super::value::{OneOrMore, Text, deserialize_text};
use crate::source::file::is_there;
use crate::source::journal::{Alternative, Matches};

/// One string of `journalmatch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalMatch(pub Matches);

impl Text for JournalMatch {
    const EXPECTED: &'static str = "a journal match such as \"_SYSTEMD_UNIT=ssh.service\"";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        typed.parse().map(Self).map_err(|error: crate::source::journal::NoMatch| {
            let text = error.to_string();
            let (what, help) = text.split_once(": ").unwrap_or((&text, Self::EXPECTED));
            (what.to_owned(), help.to_owned())
        })
    }
}

deserialize_text!(JournalMatch);

/// One or more of them: each is an alternative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalMatches(pub Vec<JournalMatch>);

impl<'de> Deserialize<'de> for JournalMatches {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMore::of(JournalMatch::EXPECTED)).map(JournalMatches)
    }
}

impl JournalMatches {
    /// All of them as one.
    pub(super) fn all(&self) -> Option<Matches> {
        Matches::of(self.0.iter().map(|one| one.0.to_string())).ok()
    }
}

/// A warning, if some of what matches can be written by any user.
pub(super) fn forgeable(matches: &Matches) -> Option<Problem> {
    let open: Vec<String> =
        matches.alternatives().filter(|it| it.is_forgeable()).map(Alternative::to_string).collect();
    if open.is_empty() {
        return None;
    }
    let what = format!(
        "any local user can write journal entries that match {}: only those count that root wrote, outside of users' \
         sessions",
        open.join(" or ")
    );
    Some(
        Problem::warning(what).help("name the service's unit: journalmatch = \"_SYSTEMD_UNIT=NAME.service\""),
    )
}

/// The files that syslog daemons of the distributions write, out of what the journal has as well.
const OF_SYSLOG: [&str; 9] = [
    "/var/log/auth.log",
    "/var/log/daemon.log",
    "/var/log/kern.log",
    "/var/log/mail.log",
    "/var/log/maillog",
    "/var/log/messages",
    "/var/log/secure",
    "/var/log/syslog",
    "/var/log/user.log",
];

/// The log file that is there and that the service itself writes: its lines are not in the journal.
pub(super) fn own_file(paths: &[PathBuf]) -> Option<&PathBuf> {
    let by_syslog = |path: &Path| OF_SYSLOG.iter().any(|file| Path::new(file) == path);
    paths.iter().find(|path| !by_syslog(path) && is_there(path))
}
