//! What an entry means: whether its service can have written it, when, and the line that filters see.
//!
//! The line is `DATE HOST IDENTIFIER[PID]: MESSAGE`, as rsyslog writes it into a file with its precise format, so that
//! filters need not know that there was no file.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::cursor::{Cursor, timestamp};
use super::export::Entry;
use super::matches::{Alternative, Matches};
use crate::source::lines::LONGEST_LINE;

/// The fields that are looked at, besides those of matches.
pub(super) const FIELDS: [&str; 10] = [
    "MESSAGE",
    "SYSLOG_IDENTIFIER",
    "SYSLOG_PID",
    "_COMM",
    "_HOSTNAME",
    "_PID",
    "_SOURCE_REALTIME_TIMESTAMP",
    "_SYSTEMD_SLICE",
    "_TRANSPORT",
    "_UID",
];

/// Users of services have ids below this, other than root's (systemd: `SYSTEM_UID_MAX`, 999).
const FIRST_PERSON: u32 = 1_000;
/// Users that systemd makes for services that have `DynamicUser=` (systemd: docs/UIDS-GIDS.md).
const DYNAMIC: std::ops::RangeInclusive<u32> = 61_184..=65_519;

/// What an entry is to those that want `matches`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It matches, and its service has written it.
    Counts,
    /// It matches, but anybody can have written it.
    Refused,
    /// It does not match.
    Other,
}

/// How the entry stands.
pub(super) fn standing(entry: &Entry, matches: &Matches) -> Standing {
    let has = |field: &str, value: &str| entry.values(field).any(|it| it == value.as_bytes());
    let mut standing = Standing::Other;
    for alternative in matches.alternatives().filter(|it| it.holds(has)) {
        if is_genuine(entry, alternative) {
            return Standing::Counts;
        }
        standing = Standing::Refused;
    }
    standing
}

/// Whether what matched was written by the service that is meant. Only fields that begin with `_` say so: journald
/// fills them in, and takes them from nobody (systemd.journal-fields(7)).
fn is_genuine(entry: &Entry, alternative: &Alternative) -> bool {
    if entry.value("_TRANSPORT") == Some(b"kernel") {
        return true;
    }
    if entry.values("_SYSTEMD_SLICE").any(is_of_users) {
        return false;
    }
    match entry.text("_UID").and_then(|uid| uid.parse::<u32>().ok()) {
        Some(0) => true,
        // A service may have a person's id, and a person's process may be left in a service's group: the administrator
        // has to say that it is meant.
        Some(uid) if alternative.names_service() => {
            uid < FIRST_PERSON || DYNAMIC.contains(&uid) || alternative.names_user()
        }
        _ => false,
    }
}

/// What runs in sessions of users and by their own managers is below `user.slice`.
fn is_of_users(slice: &[u8]) -> bool {
    slice == b"user.slice" || slice.starts_with(b"user-")
}

/// The name of the entry.
pub(super) fn cursor(entry: &Entry) -> Option<Cursor> {
    entry.text("__CURSOR")?.parse().ok()
}

/// When the entry was written: when the kernel took it from its sender, else when journald received it.
pub(super) fn written_at(entry: &Entry) -> Timestamp {
    let time = |field| entry.text(field).and_then(|digits| digits.parse().ok());
    time("_SOURCE_REALTIME_TIMESTAMP")
        .or_else(|| time("__REALTIME_TIMESTAMP"))
        .map_or(Timestamp::UNIX_EPOCH, timestamp)
}

/// Appends the entry as one line. Whether it had to be cut.
pub(super) fn render(entry: &Entry, zone: &TimeZone, block: &mut Vec<u8>) -> bool {
    let start = block.len();
    let date = written_at(entry).to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S.%6f%:z ").to_string();
    block.extend_from_slice(date.as_bytes());
    word(entry.value("_HOSTNAME").unwrap_or(b"localhost"), block);
    block.push(b' ');
    word(entry.value("SYSLOG_IDENTIFIER").or(entry.value("_COMM")).unwrap_or(b"unknown"), block);
    if let Some(pid) = entry.value("_PID").or(entry.value("SYSLOG_PID")) {
        block.push(b'[');
        word(pid, block);
        block.push(b']');
    }
    block.extend_from_slice(b": ");
    message(entry.value("MESSAGE").unwrap_or_default(), block);
    let cut = block.len() - start > LONGEST_LINE;
    block.truncate(start + LONGEST_LINE);
    block.push(b'\n');
    cut
}

/// One word of the line's head: its sender must not make it two.
fn word(text: &[u8], block: &mut Vec<u8>) {
    let text = if text.is_empty() { b"unknown" } else { text };
    block.extend(text.iter().map(|byte| if byte.is_ascii_graphic() || *byte > 0x7f { *byte } else { b'_' }));
}

/// A message of several lines is one line, its line feeds written as rsyslog writes them: what its sender puts behind
/// one must not pass for a line of its own. All other bytes stay.
fn message(text: &[u8], block: &mut Vec<u8>) {
    let text = text.trim_ascii_end();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if index > 0 {
            block.extend_from_slice(b"#012");
        }
        block.extend_from_slice(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing_of(fields: &[(&str, &[u8])], matches: &str) -> Standing {
        standing(&Entry::of(fields), &matches.parse().unwrap())
    }

    #[test]
    fn only_what_the_service_wrote_counts() {
        let by_unit = "_SYSTEMD_UNIT=ssh.service";
        let unit: (&str, &[u8]) = ("_SYSTEMD_UNIT", b"ssh.service");
        let uid = |uid: &'static str| ("_UID", uid.as_bytes());
        for (fields, expected) in [
            (vec![unit, uid("0")], Standing::Counts),
            (vec![unit, uid("110")], Standing::Counts),
            (vec![unit, uid("61184")], Standing::Counts),
            (vec![unit, uid("1000")], Standing::Refused),
            (vec![unit, uid("65534")], Standing::Refused),
            (vec![unit], Standing::Refused),
            (vec![unit, uid("0"), ("_SYSTEMD_SLICE", b"system.slice")], Standing::Counts),
            (vec![unit, uid("0"), ("_SYSTEMD_SLICE", b"user-1000.slice")], Standing::Refused),
            (vec![unit, uid("0"), ("_SYSTEMD_SLICE", b"user.slice")], Standing::Refused),
            (vec![("_SYSTEMD_UNIT", b"cron.service"), uid("0")], Standing::Other),
        ] {
            assert_eq!(standing_of(&fields, by_unit), expected, "{fields:?}");
        }
        let own = "_SYSTEMD_UNIT=ssh.service _UID=1000";
        assert_eq!(standing_of(&[unit, uid("1000")], own), Standing::Counts, "the administrator has said so");
    }

    #[test]
    fn names_that_anybody_can_take_count_for_nothing() {
        let named: [(&str, &[u8]); 2] = [("SYSLOG_IDENTIFIER", b"sshd"), ("_COMM", b"sshd")];
        for matches in ["SYSLOG_IDENTIFIER=sshd", "_COMM=sshd", "_SYSTEMD_UNIT=ssh.service + _COMM=sshd"] {
            for (uid, expected) in [
                (b"0".as_slice(), Standing::Counts),
                (b"33", Standing::Refused),
                (b"1000", Standing::Refused),
                (b"-1", Standing::Refused),
            ] {
                let fields = [named.as_slice(), &[("_UID", uid)]].concat();
                assert_eq!(standing_of(&fields, matches), expected, "{matches} {}", uid.escape_ascii());
            }
        }
        assert_eq!(standing_of(&[("_TRANSPORT", b"kernel")], "_TRANSPORT=kernel"), Standing::Counts);
        assert_eq!(standing_of(&[("TRANSPORT", b"kernel")], "TRANSPORT=kernel"), Standing::Refused);
        let also_own = [("_UID", b"1000".as_slice()), ("_COMM", b"sshd")];
        assert_eq!(standing_of(&also_own, "_UID=1000 _COMM=sshd"), Standing::Refused, "no service is named");
    }

    fn line(fields: &[(&str, &[u8])]) -> String {
        let mut block = Vec::new();
        let cut = render(&Entry::of(fields), &TimeZone::get("Europe/Paris").unwrap(), &mut block);
        assert_eq!(cut, block.len() == LONGEST_LINE + 1);
        block.escape_ascii().to_string()
    }

    #[test]
    fn an_entry_is_one_line() {
        let time: (&str, &[u8]) = ("__REALTIME_TIMESTAMP", b"1795290402964155");
        let head = "2026-11-21T20:46:42.964155+01:00";
        assert_eq!(
            line(&[
                time,
                ("_HOSTNAME", b"vm"),
                ("SYSLOG_IDENTIFIER", b"sshd"),
                ("_PID", b"12"),
                ("MESSAGE", b"Hi\xff\0")
            ]),
            format!("{head} vm sshd[12]: Hi\\xff\\x00\\n")
        );
        let source: (&str, &[u8]) = ("_SOURCE_REALTIME_TIMESTAMP", b"1795290402000001");
        assert_eq!(
            line(&[
                time,
                source,
                ("_COMM", b"a b"),
                ("SYSLOG_PID", b"1]: x"),
                ("MESSAGE", b"two\nlines\r\n\n")
            ]),
            "2026-11-21T20:46:42.000001+01:00 localhost a_b[1]:_x]: two#012lines\\n"
        );
        assert_eq!(line(&[]), "1970-01-01T01:00:00.000000+01:00 localhost unknown: \\n");
    }

    #[test]
    fn a_long_message_is_cut() {
        let long = vec![b'x'; LONGEST_LINE + 1];
        assert!(line(&[("MESSAGE", &long)]).ends_with("x\\n"));
    }
}
