//! Whom failures are about; and lines without the names of users, for whoever may not keep those.

use std::collections::BTreeMap;

use memchr::memmem;

use super::matcher::{Field, Filter, LineVerdict};
use super::{Clock, prefix};

/// The capture that holds a user's name.
const USER: &str = "user";
/// What stands in its place.
const BLANK: &[u8] = b"<user>";

/// The user among what a pattern's captures caught.
pub(super) fn user(mut fields: BTreeMap<String, Field>) -> Option<String> {
    match fields.remove(USER) {
        Some(Field::Text(user)) => Some(user),
        _ => None,
    }
}

impl Filter {
    /// The user whom `pattern` has found in a line (with or without its `\n`). None if it does not say so, or (in the dialect) if the
    /// line means nothing without those before it, or means several users.
    #[must_use]
    pub fn user(&self, line: &[u8], pattern: usize, clock: &Clock) -> Option<String> {
        match self.own() {
            Some(own) => user(own.fields(pattern, own.texts(line, &prefix::parse(line)))),
            None => {
                self.found_users(line, clock).and_then(|mut users| users.pop().filter(|_| users.is_empty()))
            }
        }
    }

    /// The line, in which `pattern` has found a failure, with `<user>` for the name of its user, wherever that stands as a word.
    /// None if the filter cannot tell where that is: the pattern has no such capture, or (in the dialect) the line means
    /// nothing without those before it.
    #[must_use]
    pub fn without_user(&self, line: &[u8], pattern: usize, clock: &Clock) -> Option<Vec<u8>> {
        let names = if self.is_dialect() {
            self.found_users(line, clock)?
        } else {
            vec![self.user(line, pattern, clock)?]
        };
        let names = names.iter().filter(|name| !name.is_empty());
        names.map(String::as_bytes).try_fold(line.to_vec(), |line, name| blanked(&line, name))
    }

    /// The users of the first pattern that finds a failure in a line by itself.
    fn found_users(&self, line: &[u8], clock: &Clock) -> Option<Vec<String>> {
        let LineVerdict::Match { mut first, .. } = self.line(line, clock, false) else { return None };
        Some(match first.fields.remove(USER)? {
            Field::Text(name) => vec![name],
            Field::List(names) => names,
        })
    }
}

/// None if the name does not stand there.
fn blanked(line: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let in_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let (mut blanked, mut from) = (Vec::with_capacity(line.len()), 0);
    for at in memmem::find_iter(line, name) {
        let end = at + name.len();
        let inside = in_word(at.checked_sub(1).and_then(|before| line.get(before))) || in_word(line.get(end));
        if !inside && at >= from {
            blanked.extend_from_slice(line.get(from..at)?);
            blanked.extend_from_slice(BLANK);
            from = end;
        }
    }
    blanked.extend_from_slice(line.get(from..)?);
    (from > 0).then_some(blanked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::{Timestamp, tz::TimeZone};

    fn without_user(message: &str) -> Option<String> {
        let filter = Filter::load("sshd", &[]).unwrap();
        let clock = Clock { now: Timestamp::now(), zone: TimeZone::UTC };
        let line = format!("Nov 21 06:00:00 host sshd[1]: {message}");
        let LineVerdict::Match { first, .. } = filter.line(line.as_bytes(), &clock, false) else {
            return None;
        };
        let line = filter.without_user(line.as_bytes(), first.pattern, &clock)?;
        String::from_utf8(line).unwrap().split_once("sshd[1]: ").map(|(_, message)| message.to_owned())
    }

    #[test]
    fn names_of_users_are_blanked_where_the_filter_knows_them() {
        for (line, kept) in [
            (
                "Failed password for root from 192.0.2.1 port 22 ssh2",
                Some("Failed password for <user> from 192.0.2.1 port 22 ssh2"),
            ),
            (
                "Failed password for invalid user a from a from 192.0.2.1 port 22 ssh2",
                Some("Failed password for invalid user <user> from 192.0.2.1 port 22 ssh2"),
            ),
            (
                "Invalid user \u{1b}[2Jä\" from 192.0.2.1 port 22",
                Some("Invalid user <user> from 192.0.2.1 port 22"),
            ),
            ("Invalid user  from 192.0.2.1 port 22", Some("Invalid user  from 192.0.2.1 port 22")),
            ("refused connect from evil.example (192.0.2.1)", None),
            ("Accepted password for root from 192.0.2.1 port 22 ssh2", None),
        ] {
            assert_eq!(without_user(line).as_deref(), kept, "{line}");
        }
        assert_eq!(blanked(b"root=rooted root", b"root").as_deref(), Some(&b"<user>=rooted <user>"[..]));
        assert_eq!(blanked(b"rooted", b"root"), None);
    }
}
