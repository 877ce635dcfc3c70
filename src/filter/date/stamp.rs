//! The dates that services write into their own lines: what `<DATE>` stands for.
//!
//! [`SHAPES`] is deliberately generous about separators and strict about what surrounds them: it finds where a
//! date stands, [`read`] is the judge of what it means. A date is a weekday (skipped), day, month and year
//! in the order that the text itself shows, a time, and a zone:
//! - a four-digit number in front is the year (`2026-11-21`, `2026/11/21`, `2026:11:21`);
//! - a month's name says where the month is (`21/Nov/2026`, `Nov 21, 2026`, `Sat Nov 21 06:50:25 2026`);
//! - with numbers only, `/` puts the month first (`11/21/2026`), `-` and `.` the day (`21-11-2026`), unless
//!   that month does not exist;
//! - a date without a year gets the latest that is not in the future, one without a zone is the clock's.
//!
//! Seconds, milliseconds and microseconds since 1970 and TAI64N labels are dates too.

use jiff::civil::{Date, Time};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

use super::{Clock, fraction, in_zone, number, year_for};
use crate::filter::prefix::month;

/// The regular expression of a date. It holds no group and matches no line end.
pub(crate) const SHAPES: &str = concat!(
    r"(?-i:",
    // 2026-11-21 06:50:25,123 +0100, 2026-11-21T06:50:25Z, 2026/11/21 06:50:25, 2026 Nov 21 06:50:25
    r"\d{4}[-/.: ](?:\d{1,2}|[A-Z][a-z]{2})[-/.: ]\d{1,2}(?:[T:_-]| {1,2})\d{1,2}:\d\d:\d\d(?:[.,:]\d{1,9})?(?: ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?",
    // 20261121T065025Z, 20261121 06:50:25
    r"|\d{8}[T _-]\d\d:?\d\d:?\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?",
    // 21/Nov/2026:06:50:25 +0000, 21-11-2026 06:50:25, 11/21/2026 6:50:25 AM, Sat, 21 Nov 2026 06:50:25 GMT
    r"|(?:[A-Z][a-z]{2,8},? )?\d{1,2}[-/. ](?:\d{1,2}|[A-Z][a-z]{2,8})[-/. ](?:\d{4}|\d\d)(?:[:T-]|,? {1,2})\d{1,2}:\d\d:\d\d(?:[.,:]\d{1,9})?(?: ?[AP]M)?(?: ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?",
    // Nov 21 06:50:25, Sat Nov 21 06:50:25.123456 2026, Nov 21, 2026 6:50:25 AM, Nov-21-26 06:50:25
    r"|(?:[A-Z][a-z]{2,8},? )?[A-Z][a-z]{2,8}[ -]{1,2}\d{1,2}(?:[, -]{1,2}(?:\d{4}|\d\d))?,?(?: {1,2}|-|:)\d{1,2}:\d\d:\d\d(?:[.,:]\d{1,9})?(?: ?[AP]M)?(?: [A-Z]{3,4})?(?: [+-]\d{4})?(?: \d{4})?",
    // TAI64N
    r"|@4[0-9a-f]{23}",
    // 261121  6:50:25, as MySQL 5 and MariaDB write it
    r"|\d{6} {1,2}\d{1,2}:\d\d:\d\d",
    // seconds, milliseconds, microseconds since 1970
    r"|\d{10}(?:\.\d{1,9})?|\d{13}|\d{16}",
    r")"
);

/// TAI64 labels of UTC times: 2^62 seconds and, since TAI64N as daemontools writes it, 10 seconds more.
const TAI64_EPOCH: u64 = (1 << 62) + 10;

/// Which moment `text` names; none for a date that does not exist.
pub(super) fn read(text: &[u8], clock: &Clock) -> Option<Timestamp> {
    match text {
        [b'@', label @ ..] => tai64n(label),
        _ if text.iter().all(|b| b.is_ascii_digit() || *b == b'.') && digits(text) >= 10 => epoch(text),
        _ => civil(text, clock),
    }
}

/// The digits that `text` begins with.
fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|b| b.is_ascii_digit()).count()
}

fn epoch(text: &[u8]) -> Option<Timestamp> {
    let (whole, rest) = text.split_at_checked(digits(text))?;
    let number: i64 = std::str::from_utf8(whole).ok()?.parse().ok()?;
    match (whole.len(), rest) {
        (10, []) => Timestamp::from_second(number).ok(),
        (10, [b'.', part @ ..]) if digits(part) == part.len() => Timestamp::new(number, fraction(part)).ok(),
        (13, []) => Timestamp::from_millisecond(number).ok(),
        (16, []) => Timestamp::from_microsecond(number).ok(),
        _ => None,
    }
}

fn tai64n(label: &[u8]) -> Option<Timestamp> {
    let hex = |part: &[u8]| u64::from_str_radix(std::str::from_utf8(part).ok()?, 16).ok();
    let (seconds, nanoseconds) = label.split_at_checked(16)?;
    let seconds = i64::try_from(hex(seconds)?.checked_sub(TAI64_EPOCH)?).ok()?;
    Timestamp::new(seconds, i32::try_from(hex(nanoseconds)?).ok()?).ok()
}

/// A part of a date: a number with its count of digits, or a month by its name.
#[derive(Clone, Copy)]
enum Part {
    Number(u32, usize),
    Month(i8),
}

fn civil(text: &[u8], clock: &Clock) -> Option<Timestamp> {
    let (first, rest) = part(skip_weekday(text))?;
    if let Part::Number(packed, length @ (6 | 8)) = first {
        let (hour, rest) = compact_time(rest.trim_ascii_start())?;
        let packed = if length == 6 { packed + 20_000_000 } else { packed };
        let small = |n: u32| i8::try_from(n).ok();
        let year = i16::try_from(packed / 10_000).ok()?;
        let date = Date::new(year, small(packed / 100 % 100)?, small(packed % 100)?).ok()?;
        return finish(date, hour, rest, clock);
    }
    let separator = *rest.first()?;
    let (second, rest) = part(skip_separators(rest))?;
    let behind = skip_separators(rest);
    let (third, rest) = match time(behind) {
        Some(_) => (None, behind),
        None => part(behind).map(|(third, rest)| (Some(third), skip_separators(rest)))?,
    };
    let (time, rest) = time(rest.strip_prefix(b"T").unwrap_or(rest))?;
    let (time, rest) = half_day(time, rest)?;
    let (year, rest) = match (third, trailing_year(rest)) {
        (None, Some((year, before))) => (Some(year), before),
        _ => (None, rest),
    };
    let (day, month, year) = order(first, second, third, separator, year)?;
    match year {
        Some(year) => finish(Date::new(year, month, day).ok()?, time, rest, clock),
        None => year_for(month, day, time, clock),
    }
}

/// Day, month and year, as the text shows which is which.
fn order(
    first: Part,
    second: Part,
    third: Option<Part>,
    separator: u8,
    trailing: Option<i16>,
) -> Option<(i8, i8, Option<i16>)> {
    let small = |number: u32| i8::try_from(number).ok();
    let year = |part: Option<Part>| match part {
        Some(Part::Number(year, 4)) => i16::try_from(year).ok(),
        // POSIX strptime's %y: 69 to 99 are of the last century.
        Some(Part::Number(year, 2)) => i16::try_from(if year < 69 { 2000 + year } else { 1900 + year }).ok(),
        _ => None,
    };
    match (first, second, third) {
        (Part::Number(_, 4), Part::Number(month, _), Some(Part::Number(day, _))) => {
            Some((small(day)?, small(month)?, year(Some(first))))
        }
        (Part::Number(_, 4), Part::Month(month), Some(Part::Number(day, _))) => {
            Some((small(day)?, month, year(Some(first))))
        }
        (Part::Number(day, _), Part::Month(month), Some(_)) => Some((small(day)?, month, Some(year(third)?))),
        (Part::Month(month), Part::Number(day, _), Some(_)) => Some((small(day)?, month, Some(year(third)?))),
        (Part::Month(month), Part::Number(day, _), None) => Some((small(day)?, month, trailing)),
        (Part::Number(a, _), Part::Number(b, _), Some(_)) => {
            let month_first = if separator == b'/' { a <= 12 } else { b > 12 };
            let (month, day) = if month_first { (a, b) } else { (b, a) };
            Some((small(day)?, small(month)?, Some(year(third)?)))
        }
        _ => None,
    }
}

fn part(text: &[u8]) -> Option<(Part, &[u8])> {
    let length = digits(text);
    if length > 0 {
        let (digits, rest) = text.split_at_checked(length)?;
        return Some((Part::Number(number(digits)?, length), rest));
    }
    let letters = text.iter().take_while(|b| b.is_ascii_alphabetic()).count();
    let (name, rest) = text.split_at_checked(letters)?;
    Some((Part::Month(month(name)?), rest))
}

fn skip_weekday(text: &[u8]) -> &[u8] {
    let letters = text.iter().take_while(|b| b.is_ascii_alphabetic()).count();
    let rest = text.get(letters..).unwrap_or_default();
    let rest = rest.strip_prefix(b",").unwrap_or(rest);
    match rest.strip_prefix(b" ") {
        // `Sat Nov 21`, `Sat, 21 Nov`; but `Nov 21` has no weekday.
        Some(after) if letters > 0 && month(text).is_none() => after,
        _ => text,
    }
}

fn skip_separators(mut text: &[u8]) -> &[u8] {
    while let [b'-' | b'/' | b'.' | b':' | b'_' | b',' | b' ', rest @ ..] = text {
        text = rest;
    }
    text
}

/// `h:mm:ss` with its fraction, and what follows.
fn time(text: &[u8]) -> Option<(Time, &[u8])> {
    let (hour, rest) = text.split_at_checked(digits(text))?;
    let [b':', m1, m2, b':', s1, s2, rest @ ..] = rest else { return None };
    if hour.len() > 2 {
        return None;
    }
    let (nanoseconds, rest) = match rest {
        [b'.' | b',' | b':', part @ ..] if digits(part) > 0 => {
            let (part, rest) = part.split_at_checked(digits(part))?;
            (fraction(part), rest)
        }
        _ => (0, rest),
    };
    Some((clock(hour, &[*m1, *m2], &[*s1, *s2], nanoseconds)?, rest))
}

/// `T065025` or ` 06:50:25`, with its fraction, and what follows.
fn compact_time(text: &[u8]) -> Option<(Time, &[u8])> {
    let text = match text {
        [b'T' | b' ' | b'_' | b'-', rest @ ..] => rest,
        _ => text,
    };
    if let Some(found) = time(text) {
        return Some(found);
    }
    let [h1, h2, m1, m2, s1, s2, rest @ ..] = text else { return None };
    let (nanoseconds, rest) = match rest {
        [b'.' | b',', part @ ..] => {
            let (part, rest) = part.split_at_checked(digits(part))?;
            (fraction(part), rest)
        }
        _ => (0, rest),
    };
    Some((clock(&[*h1, *h2], &[*m1, *m2], &[*s1, *s2], nanoseconds)?, rest))
}

fn clock(hour: &[u8], minute: &[u8], second: &[u8], nanoseconds: i32) -> Option<Time> {
    let small = |text| i8::try_from(number(text)?).ok();
    // A leap second is read as the second before it.
    let second = match small(second)? {
        60 => 59,
        second => second,
    };
    Time::new(small(hour)?, small(minute)?, second, nanoseconds).ok()
}

/// ` AM` and ` PM`.
fn half_day(time: Time, rest: &[u8]) -> Option<(Time, &[u8])> {
    let trimmed = rest.strip_prefix(b" ").unwrap_or(rest);
    let after = trimmed.get(2..).unwrap_or_default();
    let hour = match (trimmed.first_chunk::<2>(), time.hour()) {
        (Some(b"AM"), 12) => 0,
        (Some(b"PM"), 1..=11) => time.hour() + 12,
        (Some(b"AM" | b"PM"), 1..=12) => time.hour(),
        (Some(b"AM" | b"PM"), _) => return None,
        _ => return Some((time, rest)),
    };
    Some((time.with().hour(hour).build().ok()?, after))
}

/// The year at the end, as in `Sat Nov 21 06:50:25 CET 2026`, and what stands before it.
fn trailing_year(rest: &[u8]) -> Option<(i16, &[u8])> {
    let (before, year) = rest.split_at_checked(rest.len().checked_sub(5)?)?;
    let year = year.strip_prefix(b" ").filter(|year| digits(year) == 4)?;
    Some((i16::try_from(number(year)?).ok()?, before))
}

/// The moment of a whole date; `zone` is what follows it.
fn finish(date: Date, time: Time, zone: &[u8], clock: &Clock) -> Option<Timestamp> {
    let moment = date.to_datetime(time);
    match zone.trim_ascii_start() {
        b"Z" | b"UTC" | b"GMT" => Offset::UTC.to_timestamp(moment).ok(),
        [sign @ (b'+' | b'-'), h1, h2, minutes @ ..] => {
            let minutes = minutes.strip_prefix(b":").unwrap_or(minutes);
            let (hours, minutes) = (number(&[*h1, *h2])?, number(minutes)?);
            if minutes > 59 {
                return None;
            }
            let offset = i64::from(hours * 60 + minutes) * 60;
            let offset = if *sign == b'-' { -offset } else { offset };
            let utc = moment.checked_sub(SignedDuration::from_secs(offset)).ok()?;
            (hours < 26).then_some(())?;
            Offset::UTC.to_timestamp(utc).ok()
        }
        // Other abbreviations of zones name several each: the clock's zone is the best guess.
        _ => in_zone(moment, clock),
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use regex_automata::meta::Regex;

    use super::*;

    fn berlin(text: &str) -> Option<String> {
        let clock = Clock {
            now: "2026-11-21T12:00:00Z".parse().unwrap(),
            zone: TimeZone::get("Europe/Berlin").unwrap(),
        };
        read(text.as_bytes(), &clock).map(|moment| moment.to_string())
    }

    /// The shape covers the whole text, and this is what it means.
    #[test]
    fn every_shape_is_found_and_understood() {
        let shape = Regex::new(&format!("^{SHAPES}$")).unwrap();
        for (text, moment) in [
            ("21/Nov/2026:06:50:25 +0000", "2026-11-21T06:50:25Z"),
            ("21/Nov/2026:06:50:25 -0330", "2026-11-21T10:20:25Z"),
            ("Sat Nov 21 06:50:25.123456 2026", "2026-11-21T05:50:25.123456Z"),
            ("Sat Nov 21 06:50:25 2026", "2026-11-21T05:50:25Z"),
            ("Sat Nov  7 06:50:25 2026", "2026-11-07T05:50:25Z"),
            ("Sat Nov 21 06:50:25 CET 2026", "2026-11-21T05:50:25Z"),
            ("2026/11/21 06:50:25", "2026-11-21T05:50:25Z"),
            ("2026-11-21 06:50:25,123", "2026-11-21T05:50:25.123Z"),
            ("2026-11-21T06:50:25.5+01:00", "2026-11-21T05:50:25.5Z"),
            ("2026-11-21T06:50:25Z", "2026-11-21T06:50:25Z"),
            ("2026-11-21 06:50:25.123 UTC", "2026-11-21T06:50:25.123Z"),
            ("2026:11:21-06:50:25", "2026-11-21T05:50:25Z"),
            ("2026.11.21 6:50:25", "2026-11-21T05:50:25Z"),
            ("2026-11-21_06:50:25", "2026-11-21T05:50:25Z"),
            ("2026 Nov 21 06:50:25", "2026-11-21T05:50:25Z"),
            ("20261121T065025Z", "2026-11-21T06:50:25Z"),
            ("20261121 06:50:25", "2026-11-21T05:50:25Z"),
            ("261121  6:50:25", "2026-11-21T05:50:25Z"),
            ("1795243825", "2026-11-21T06:50:25Z"),
            ("1795243825.25", "2026-11-21T06:50:25.25Z"),
            ("1795243825123", "2026-11-21T06:50:25.123Z"),
            ("21-Nov-2026 06:50:25.123", "2026-11-21T05:50:25.123Z"),
            ("21-11-2026 06:50:25 +0100", "2026-11-21T05:50:25Z"),
            ("11/21/2026 06:50:25", "2026-11-21T05:50:25Z"),
            ("21/11/2026 06:50:25", "2026-11-21T05:50:25Z"),
            ("11/21/26 06:50:25", "2026-11-21T05:50:25Z"),
            ("11/09/2026 06:50:25", "2026-11-09T05:50:25Z"),
            ("09-11-2026 06:50:25", "2026-11-09T05:50:25Z"),
            ("Nov 21, 2026 6:50:25 AM", "2026-11-21T05:50:25Z"),
            ("Nov 21, 2026 12:50:25 AM", "2026-11-20T23:50:25Z"),
            ("11/21/2026 1:50:25 PM", "2026-11-21T12:50:25Z"),
            ("Nov-21-26 06:50:25", "2026-11-21T05:50:25Z"),
            ("Sat, 21 Nov 2026 06:50:25 GMT", "2026-11-21T06:50:25Z"),
            ("Nov 21 06:50:25", "2026-11-21T05:50:25Z"),
            ("Nov  7 06:50:25", "2026-11-07T05:50:25Z"),
            ("Dec 31 06:50:25", "2025-12-31T05:50:25Z"),
            ("@400000006b013f3b1dcd6500", "2026-11-21T06:50:25.5Z"),
        ] {
            assert!(shape.is_match(text), "{text} has no known shape");
            assert_eq!(berlin(text).as_deref(), Some(moment), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "2026-13-21 06:50:25",
            "30/Feb/2026:06:50:25 +0000",
            "Sat Foo 21 06:50:25 2026",
            "2026-11-21 25:50:25",
            "2026-11-21 06:50:25 +0199",
            "12345678901",
            "@4fffffffffffffffffffffff",
            "Nov 21, 2026 13:50:25 PM",
        ] {
            assert_eq!(berlin(text), None, "{text}");
        }
    }
}
