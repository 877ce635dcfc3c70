//! Dates of log lines.
//!
//! RFC 3164 dates have no year and no zone: the zone is the clock's, and the year is the latest in
//! which the date exists and is not more than a day in the future (so `Dec 31` read on 1 January is
//! last year's, and a clock that is some hours behind costs nothing). A time that daylight saving
//! repeats is its second, or its first as long as the second is still to come; one that it skips is moved
//! on by the gap. A leap second is read as the
//! second before it, which is what POSIX time has.
//!
//! Consecutive lines mostly share their date, or at least its minute, so the bytes of the last one are remembered.

mod stamp;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset};
use jiff::{SignedDuration, Timestamp};

use super::Clock;
use super::prefix::{DateText, month};
pub(super) use stamp::SHAPES;

/// The longest date that is remembered: 9 digits of fraction and an offset.
const LONGEST: usize = 35;

/// How far back the year of 29 February is looked for: two leap years can be eight years apart.
const YEARS_BACK: i16 = 8;

/// How far the clock of a writer may be ahead.
const AHEAD: SignedDuration = SignedDuration::from_secs(60);

/// The last second of a minute.
const LAST_SECOND: SignedDuration = SignedDuration::from_secs(59);

/// Which kind of date the remembered bytes were read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bsd,
    Iso,
    Stamp,
}

/// The reader of dates, with the one it saw last.
#[derive(Debug, Default)]
pub(super) struct Dates {
    last: Vec<u8>,
    kind: Option<Kind>,
    value: Option<Timestamp>,
    minute: Minute,
}

/// The last minute of dates without a year.
#[derive(Debug, Default)]
struct Minute {
    /// The date up to its seconds.
    front: Vec<u8>,
    /// Its first second. None where its last is not 59 seconds behind: the year changes, or the offset of the zone.
    start: Option<Timestamp>,
}

impl Minute {
    /// What [`bsd`] reads.
    fn read(&mut self, text: &[u8], clock: &Clock) -> Option<Timestamp> {
        let (front, second) = text.split_last_chunk::<2>()?;
        if self.front != front {
            let at = |second: &[u8]| bsd(&[front, second].concat(), clock);
            let is_last = |start: Timestamp, end: Timestamp| end.duration_since(start) == LAST_SECOND;
            self.start = at(b"00").filter(|start| at(b"59").is_some_and(|end| is_last(*start, end)));
            self.front.clear();
            self.front.extend_from_slice(front);
        }
        match (self.start, number(second)) {
            (Some(start), Some(second @ 0..=60)) => {
                start.checked_add(SignedDuration::from_secs(second.into()).min(LAST_SECOND)).ok()
            }
            _ => bsd(text, clock),
        }
    }
}

impl Dates {
    /// Forgets the last date, because the clock may have moved on.
    pub(super) fn forget(&mut self) {
        self.last.clear();
        self.kind = None;
        self.minute.front.clear();
    }

    /// The moment that `text` names; none for a date that does not exist.
    pub(super) fn read(&mut self, text: DateText<'_>, clock: &Clock) -> Option<Timestamp> {
        let (bytes, kind) = match text {
            DateText::Bsd(bytes) => (bytes, Kind::Bsd),
            DateText::Iso(bytes) => (bytes, Kind::Iso),
            DateText::Stamp(bytes) => (bytes, Kind::Stamp),
        };
        if self.last != bytes || self.kind != Some(kind) {
            self.value = match text {
                DateText::Bsd(text) => self.minute.read(text, clock),
                _ => read(text, clock),
            };
            self.kind = Some(kind);
            self.last.clear();
            if bytes.len() <= LONGEST {
                self.last.extend_from_slice(bytes);
            } else {
                self.kind = None;
            }
        }
        self.value
    }
}

/// The moment that `text` names; none for a date that does not exist.
pub(super) fn read(text: DateText<'_>, clock: &Clock) -> Option<Timestamp> {
    match text {
        DateText::Bsd(text) => bsd(text, clock),
        DateText::Iso(text) => iso(text, clock),
        DateText::Stamp(text) => stamp::read(text, clock),
    }
}

fn bsd(text: &[u8], clock: &Clock) -> Option<Timestamp> {
    let month = month(text)?;
    let (front, time) = text.split_at_checked(text.len().checked_sub(8)?)?;
    let day = i8::try_from(number(front.get(3..)?.trim_ascii())?).ok()?;
    year_for(month, day, clock_time(time, 0)?, clock)
}

/// The moment of a date without a year.
fn year_for(month: i8, day: i8, time: Time, clock: &Clock) -> Option<Timestamp> {
    let limit = clock.now.checked_add(SignedDuration::from_hours(24)).ok()?;
    let this_year = clock.now.to_zoned(clock.zone.clone()).year();
    (this_year.saturating_sub(YEARS_BACK)..=this_year.saturating_add(1))
        .rev()
        .filter_map(|year| Date::new(year, month, day).ok())
        .filter_map(|date| in_zone(date.to_datetime(time), clock))
        .find(|moment| *moment <= limit)
}

fn iso(text: &[u8], clock: &Clock) -> Option<Timestamp> {
    let year = i16::try_from(number(text.get(..4)?)?).ok()?;
    let month = i8::try_from(number(text.get(5..7)?)?).ok()?;
    let day = i8::try_from(number(text.get(8..10)?)?).ok()?;
    let rest = text.get(19..)?;
    let (nanoseconds, rest) = match rest {
        [b'.' | b',', digits @ ..] => {
            let length = digits.iter().take_while(|b| b.is_ascii_digit()).count();
            let (digits, rest) = digits.split_at_checked(length)?;
            (fraction(digits), rest)
        }
        _ => (0, rest),
    };
    let moment = Date::new(year, month, day).ok()?.to_datetime(clock_time(text.get(11..19)?, nanoseconds)?);
    match rest {
        [] => in_zone(moment, clock),
        [b'Z'] => Offset::UTC.to_timestamp(moment).ok(),
        [sign, hours @ .., m1, m2] => {
            let hours = i32::try_from(number(hours.get(..2)?)?).ok()?;
            let minutes = i32::try_from(number(&[*m1, *m2])?).ok()?;
            if minutes > 59 {
                return None;
            }
            let seconds = (hours * 60 + minutes) * 60;
            let seconds = if *sign == b'-' { -seconds } else { seconds };
            Offset::from_seconds(seconds).ok()?.to_timestamp(moment).ok()
        }
        _ => None,
    }
}

/// `hh:mm:ss`; second 60 is read as 59.
fn clock_time(text: &[u8], nanoseconds: i32) -> Option<Time> {
    let part = |at: usize| i8::try_from(number(text.get(at..at + 2)?)?).ok();
    let second = match part(6)? {
        60 => 59,
        second => second,
    };
    Time::new(part(0)?, part(3)?, second, nanoseconds).ok()
}

/// The moment at which the clock's zone shows `shown`: of two the later one that is not to come, of a gap its later
/// side. Lines are mostly read as they are written; so in the repeated hour they are of the pass that now is in.
pub(super) fn in_zone(shown: DateTime, clock: &Clock) -> Option<Timestamp> {
    let moment = clock.zone.to_ambiguous_timestamp(shown);
    if let AmbiguousOffset::Fold { .. } = moment.offset() {
        let limit = clock.now.checked_add(AHEAD).ok()?;
        let later = moment.later().ok()?;
        return if later <= limit { Some(later) } else { moment.earlier().ok() };
    }
    moment.compatible().ok()
}

/// The number that up to nine digits are.
fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits.iter().try_fold(0_u32, |sum, b| b.is_ascii_digit().then(|| sum * 10 + u32::from(b - b'0')))
}

/// The nanoseconds that the digits behind a point are; more than nine are cut.
fn fraction(digits: &[u8]) -> i32 {
    let padded = digits.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    padded.fold(0, |sum, b| sum * 10 + i32::from(b.saturating_sub(b'0')))
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_is_known_of_the_date_before_changes_nothing(
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "Africa/Monrovia", "Australia/Lord_Howe"]),
            now in prop::sample::select(vec!["2026-10-25T00:59:30Z", "2026-12-31T23:00:10Z", "2026-03-29T01:00:20Z", "1972-01-07T00:44:40Z"]),
            ahead in -3700..3700_i64,
            days in proptest::collection::vec(prop::sample::select(vec!["Oct 25", "Oct 26", "Oct  4", "Dec 31", "Jan  1", "Jan  7", "Mar 29", "Feb 29", "Feb 30"]), 1..3),
            times in proptest::collection::vec((0..4_usize, 0..25, prop::sample::select(vec![0, 1, 30, 44, 59, 60]), 0..62), 1..20),
        ) {
            let now = now.parse::<Timestamp>().unwrap().checked_add(SignedDuration::from_secs(ahead)).unwrap();
            let clock = Clock { now, zone: TimeZone::get(zone).unwrap() };
            // Half of the times are of the clock's own minute, a day ahead: there the year changes.
            let limit = now.to_zoned(clock.zone.clone()).checked_add(jiff::Span::new().days(1)).unwrap();
            let mut dates = Dates::default();
            for (day, hour, minute, second) in times {
                let text = match days.get(day) {
                    Some(day) => format!("{day} {hour:02}:{minute:02}:{second:02}"),
                    None => format!("{}:{second:02}", limit.strftime("%b %e %H:%M")),
                };
                let text = DateText::Bsd(text.as_bytes());
                prop_assert_eq!(dates.read(text, &clock), read(text, &clock), "{:?}", text);
            }
        }
    }

    fn clock(now: &str, zone: &str) -> Clock {
        Clock { now: now.parse().unwrap(), zone: TimeZone::get(zone).unwrap() }
    }

    fn bsd_at(text: &str, now: &str, zone: &str) -> Option<String> {
        read(DateText::Bsd(text.as_bytes()), &clock(now, zone)).map(|t| t.to_string())
    }

    fn iso_in(text: &str, zone: &str) -> Option<String> {
        read(DateText::Iso(text.as_bytes()), &clock("2026-11-21T00:00:00Z", zone)).map(|t| t.to_string())
    }

    #[test]
    fn the_year_is_the_latest_that_is_not_in_the_future() {
        let year = |text: &str, now: &str| bsd_at(text, now, "UTC").unwrap()[..4].to_owned();
        assert_eq!(year("Nov 21 06:50:25", "2026-11-21T07:00:00Z"), "2026");
        assert_eq!(year("Nov 22 06:50:25", "2026-11-21T07:00:00Z"), "2026");
        assert_eq!(year("Nov 22 07:00:01", "2026-11-21T07:00:00Z"), "2025");
        assert_eq!(year("Dec 31 23:59:59", "2027-01-01T00:00:10Z"), "2026");
        assert_eq!(year("Jan  1 00:00:10", "2026-12-31T23:59:59Z"), "2027");
        assert_eq!(year("Feb 29 12:00:00", "2027-03-01T00:00:00Z"), "2024");
        assert_eq!(year("Feb 29 12:00:00", "1903-03-01T00:00:00Z"), "1896");
    }

    #[test]
    fn daylight_saving_is_deterministic() {
        let berlin = |text: &str| bsd_at(text, "2026-11-21T00:00:00Z", "Europe/Berlin").unwrap();
        assert_eq!(berlin("Jul  1 12:00:00"), "2026-07-01T10:00:00Z");
        assert_eq!(berlin("Nov  1 12:00:00"), "2026-11-01T11:00:00Z");
        // 29 March 2026, 02:30 does not exist; 25 October 2026, 02:30 exists twice.
        assert_eq!(berlin("Mar 29 02:30:00"), "2026-03-29T01:30:00Z");
        assert_eq!(berlin("Oct 25 02:30:00"), "2026-10-25T01:30:00Z");
    }

    #[test]
    fn a_repeated_hour_is_the_one_that_now_is_in() {
        // 25 October 2026: 02:00 to 03:00 from 00:00 UTC on, and again from 01:00 UTC on.
        let berlin = |text: &str, now: &str| bsd_at(text, now, "Europe/Berlin").unwrap();
        assert_eq!(berlin("Oct 25 02:30:00", "2026-10-25T00:30:01Z"), "2026-10-25T00:30:00Z");
        assert_eq!(berlin("Oct 25 02:30:00", "2026-10-25T01:30:01Z"), "2026-10-25T01:30:00Z");
        assert_eq!(berlin("Oct 25 02:30:10", "2026-10-25T01:30:00Z"), "2026-10-25T01:30:10Z", "ahead");
        assert_eq!(berlin("Oct 25 02:59:59", "2026-10-25T01:00:00Z"), "2026-10-25T00:59:59Z");
        let iso = |now: &str| {
            read(DateText::Iso(b"2026-10-25 02:30:00"), &clock(now, "Europe/Berlin")).unwrap().to_string()
        };
        assert_eq!(iso("2026-10-25T00:30:01Z"), "2026-10-25T00:30:00Z");
        assert_eq!(iso("2026-10-25T01:30:01Z"), "2026-10-25T01:30:00Z");
    }

    #[test]
    fn iso_dates_with_and_without_zone() {
        assert_eq!(iso_in("2026-11-21T06:50:25.123456+00:00", "UTC").unwrap(), "2026-11-21T06:50:25.123456Z");
        assert_eq!(iso_in("2026-11-21T06:50:25Z", "Europe/Berlin").unwrap(), "2026-11-21T06:50:25Z");
        assert_eq!(iso_in("2026-11-21 06:50:25", "Europe/Berlin").unwrap(), "2026-11-21T05:50:25Z");
        assert_eq!(iso_in("2026-11-21T06:50:25,5-0330", "UTC").unwrap(), "2026-11-21T10:20:25.5Z");
        assert_eq!(
            iso_in("2026-11-21T06:50:25.1234567899Z", "UTC").unwrap(),
            "2026-11-21T06:50:25.123456789Z"
        );
    }

    #[test]
    fn leap_seconds_and_impossible_dates() {
        assert_eq!(iso_in("2016-12-31T23:59:60Z", "UTC").unwrap(), "2016-12-31T23:59:59Z");
        for wrong in [
            "2026-13-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00+99:00",
            "2026-01-01T00:00:00+01:60",
        ] {
            assert_eq!(iso_in(wrong, "UTC"), None, "{wrong}");
        }
        assert_eq!(bsd_at("Feb 30 00:00:00", "2026-11-21T00:00:00Z", "UTC"), None);
        assert_eq!(bsd_at("Nov  0 00:00:00", "2026-11-21T00:00:00Z", "UTC"), None);
    }

    #[test]
    fn the_last_date_is_remembered_only_for_its_own_bytes() {
        let clock = clock("2026-11-21T00:00:00Z", "UTC");
        let mut dates = Dates::default();
        for text in ["Nov 20 06:50:25", "Nov 20 06:50:25", "Feb 30 06:50:25", "Nov 20 06:50:26"] {
            let text = DateText::Bsd(text.as_bytes());
            assert_eq!(dates.read(text, &clock), read(text, &clock));
        }
    }
}
