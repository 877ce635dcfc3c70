//! Durations as administrators write them: `"90s"`, `"10m"`, `"1d 6h"`, `"2w"`, `"permanent"`.
//!
//! A bare number is refused rather than guessed at: fail2ban counts seconds, other tools minutes, and a ban
//! that is sixty times too short goes unnoticed. Everything is whole seconds, a day is 24 hours and a week 7
//! days, whatever the clocks do. The same types read the configuration and the command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Span;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;

/// What is longer than this is meant to be `"permanent"`: 100 years of 365 days.
const LONGEST: Duration = Duration::from_secs(36_500 * DAY);

/// How long a ban lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BanTime {
    /// It ends by itself; at least one second.
    For(Duration),
    /// It stays until somebody lifts it.
    Permanent,
}

/// A length of time that ends: whole seconds, from one second to 100 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

impl Period {
    /// Twelve hours.
    pub const HALF_A_DAY: Self = Self(Duration::from_secs(12 * HOUR));

    /// A length of time, cut to whole seconds; `None` if that is too short or too long.
    #[must_use]
    pub fn new(length: Duration) -> Option<Self> {
        let whole = Duration::from_secs(length.as_secs());
        (Duration::from_secs(1)..=LONGEST).contains(&whole).then_some(Self(whole))
    }

    /// The length.
    pub fn get(self) -> Duration {
        self.0
    }
}

/// Why a duration was refused. Its Display is the whole sentence; a report shows its two halves apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DurationError {
    /// A number without a unit, in seconds as fail2ban means it.
    NoUnit(u64),
    /// Nothing between the quotes.
    Empty,
    /// Zero seconds.
    Zero,
    /// Less than nothing; fail2ban's `-1` among them.
    Negative,
    /// Not a whole number of seconds.
    Fraction,
    /// Months and years, which have no fixed length.
    NoFixedLength,
    /// More than 100 years.
    TooLong,
    /// `"permanent"` for something that has to end.
    NeverEnds,
    /// None of the forms above; what was typed.
    Unreadable(String),
}

impl DurationError {
    /// What is wrong.
    pub fn what(&self) -> String {
        match self {
            DurationError::NoUnit(number) => format!("the duration {number} has no unit"),
            DurationError::Empty => "the duration is empty".to_owned(),
            DurationError::Zero => "the duration is zero".to_owned(),
            DurationError::Negative => "the duration is negative".to_owned(),
            DurationError::Fraction => "the duration has a fraction of a second".to_owned(),
            DurationError::NoFixedLength => "months and years have no fixed length".to_owned(),
            DurationError::TooLong => "the duration is longer than 100 years".to_owned(),
            DurationError::NeverEnds => "only a ban can be permanent".to_owned(),
            DurationError::Unreadable(typed) => format!("`{}` is not a duration", super::value::short(typed)),
        }
    }

    /// What to write instead.
    pub fn help(&self) -> String {
        match self {
            DurationError::NoUnit(0) | DurationError::Zero => {
                "write at least \"1s\", such as \"10m\"".to_owned()
            }
            DurationError::NoUnit(number) => {
                let seconds = format!("{number}s");
                let round = Short(Duration::from_secs(*number)).to_string();
                if Duration::from_secs(*number) > LONGEST {
                    "write a number and a unit, such as \"90s\", \"10m\" or \"1d 6h\"".to_owned()
                } else if round == seconds {
                    format!("write \"{seconds}\"")
                } else {
                    format!("write \"{round}\" (or \"{seconds}\")")
                }
            }
            DurationError::Negative => {
                "write a length such as \"10m\"; a ban without end is \"permanent\"".to_owned()
            }
            DurationError::Fraction => "write whole seconds, such as \"90s\"".to_owned(),
            DurationError::NoFixedLength => "write days or weeks, such as \"30d\" or \"52w\"".to_owned(),
            DurationError::TooLong => "a ban without end is \"permanent\"".to_owned(),
            DurationError::NeverEnds => "write a length such as \"10m\"".to_owned(),
            DurationError::Empty | DurationError::Unreadable(_) => {
                "write numbers with units (s, m, h, d, w), such as \"90s\", \"10m\" or \"1d 6h\"".to_owned()
            }
        }
    }
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what(), self.help())
    }
}

impl std::error::Error for DurationError {}

impl FromStr for Period {
    type Err = DurationError;

    fn from_str(typed: &str) -> Result<Self, DurationError> {
        let typed = typed.trim();
        if typed.is_empty() {
            return Err(DurationError::Empty);
        }
        if typed == "permanent" {
            return Err(DurationError::NeverEnds);
        }
        if let Some(number) = bare_number(typed) {
            return Err(number);
        }
        let span: Span = typed.parse().map_err(|_| DurationError::Unreadable(typed.to_owned()))?;
        if span.is_negative() {
            return Err(DurationError::Negative);
        }
        if span.get_years() != 0 || span.get_months() != 0 {
            return Err(DurationError::NoFixedLength);
        }
        Ok(Period(length(&span)?))
    }
}

/// A string of digits only, with or without a sign.
fn bare_number(typed: &str) -> Option<DurationError> {
    let digits = typed.strip_prefix(['-', '+']).unwrap_or(typed);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(if typed.starts_with('-') {
        DurationError::Negative
    } else {
        digits.parse().map_or(DurationError::TooLong, DurationError::NoUnit)
    })
}

/// The seconds of a span that is not negative and has neither months nor years.
fn length(span: &Span) -> Result<Duration, DurationError> {
    let nanoseconds = i128::from(span.get_milliseconds()) * 1_000_000
        + i128::from(span.get_microseconds()) * 1_000
        + i128::from(span.get_nanoseconds());
    let whole = [
        (i128::from(span.get_weeks()), WEEK),
        (i128::from(span.get_days()), DAY),
        (i128::from(span.get_hours()), HOUR),
        (i128::from(span.get_minutes()), MINUTE),
        (i128::from(span.get_seconds()), 1),
    ];
    let seconds: i128 = whole.iter().map(|(count, unit)| count * i128::from(*unit)).sum();
    let seconds = seconds + nanoseconds / 1_000_000_000;
    if nanoseconds % 1_000_000_000 != 0 {
        return Err(DurationError::Fraction);
    }
    let length = u64::try_from(seconds).map(Duration::from_secs).map_err(|_| DurationError::TooLong)?;
    if length.is_zero() {
        Err(DurationError::Zero)
    } else if length > LONGEST {
        Err(DurationError::TooLong)
    } else {
        Ok(length)
    }
}

impl FromStr for BanTime {
    type Err = DurationError;

    fn from_str(typed: &str) -> Result<Self, DurationError> {
        match typed.parse::<Period>() {
            Ok(period) => Ok(BanTime::For(period.get())),
            Err(DurationError::NeverEnds) => Ok(BanTime::Permanent),
            Err(error) => Err(error),
        }
    }
}

/// Whole seconds in the short form that the parser reads back: `1d 6h`. Weeks only where nothing is left over.
struct Short(Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0.as_secs();
        if left == 0 {
            return f.write_str("0s");
        }
        if left.is_multiple_of(WEEK) {
            return write!(f, "{}w", left / WEEK);
        }
        let mut separator = "";
        for (unit, seconds) in [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", 1)] {
            let count = left / seconds;
            left %= seconds;
            if count > 0 {
                write!(f, "{separator}{count}{unit}")?;
                separator = " ";
            }
        }
        Ok(())
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Short(self.0).fmt(f)
    }
}

/// As it is read: `"1d 6h"`, `"permanent"`.
impl serde::Serialize for BanTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for BanTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BanTime::For(length) => Short(*length).fmt(f),
            BanTime::Permanent => f.write_str("permanent"),
        }
    }
}

/// Reads a duration from whatever TOML type was typed, so that a number gets the answer that helps.
struct DurationVisitor<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = DurationError>> Visitor<'_> for DurationVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"10m\"")
    }

    fn visit_str<E: de::Error>(self, typed: &str) -> Result<T, E> {
        typed.parse().map_err(|error: DurationError| super::value::refusal(&error.what(), &error.help()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DurationVisitor(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for BanTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DurationVisitor(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(typed: &str) -> Result<u64, DurationError> {
        typed.parse::<Period>().map(|period| period.get().as_secs())
    }

    #[test]
    fn reads_what_administrators_write() {
        for (typed, expected) in [
            ("90s", 90),
            ("10m", 600),
            ("1d 6h", 108_000),
            ("1d6h", 108_000),
            ("2w", 1_209_600),
            (" 12h ", 43_200),
            ("10 minutes", 600),
            ("36500d", 36_500 * DAY),
        ] {
            assert_eq!(seconds(typed), Ok(expected), "{typed}");
        }
        assert_eq!("permanent".parse(), Ok(BanTime::Permanent));
        assert_eq!("1h".parse(), Ok(BanTime::For(Duration::from_secs(3600))));
    }

    #[test]
    fn a_day_is_24_hours_and_a_week_7_days() {
        assert_eq!(seconds("1d"), seconds("24h"));
        assert_eq!(seconds("1w"), seconds("7d"));
    }

    #[test]
    fn refuses_the_rest_and_says_what_to_write() {
        let told = |typed: &str| typed.parse::<BanTime>().map_err(|error| error.to_string());
        for (typed, sentence) in [
            ("600", "the duration 600 has no unit: write \"10m\" (or \"600s\")"),
            ("45", "the duration 45 has no unit: write \"45s\""),
            ("0", "the duration 0 has no unit: write at least \"1s\", such as \"10m\""),
            ("0s", "the duration is zero: write at least \"1s\", such as \"10m\""),
            (
                "-1",
                "the duration is negative: write a length such as \"10m\"; a ban without end is \"permanent\"",
            ),
            (
                "-10m",
                "the duration is negative: write a length such as \"10m\"; a ban without end is \"permanent\"",
            ),
            (
                "1h ago",
                "the duration is negative: write a length such as \"10m\"; a ban without end is \"permanent\"",
            ),
            ("1500ms", "the duration has a fraction of a second: write whole seconds, such as \"90s\""),
            ("1y", "months and years have no fixed length: write days or weeks, such as \"30d\" or \"52w\""),
            ("1mo", "months and years have no fixed length: write days or weeks, such as \"30d\" or \"52w\""),
            ("36501d", "the duration is longer than 100 years: a ban without end is \"permanent\""),
            (
                "99999999999999999999",
                "the duration is longer than 100 years: a ban without end is \"permanent\"",
            ),
        ] {
            assert_eq!(told(typed), Err(sentence.to_owned()), "{typed}");
        }
        for typed in ["", "  ", "ten minutes", "10 q", "s", "forever", "10m\n5"] {
            assert!(told(typed).is_err(), "{typed}");
        }
        assert_eq!(seconds("permanent"), Err(DurationError::NeverEnds));
    }

    #[test]
    fn is_written_short() {
        for (seconds, short) in
            [(1, "1s"), (90, "1m 30s"), (108_000, "1d 6h"), (14 * DAY, "2w"), (15 * DAY, "15d")]
        {
            assert_eq!(Short(Duration::from_secs(seconds)).to_string(), short);
        }
        assert_eq!(BanTime::Permanent.to_string(), "permanent");
    }

    proptest! {
        #[test]
        fn round_trips(seconds in 1..=LONGEST.as_secs()) {
            let bantime = BanTime::For(Duration::from_secs(seconds));
            prop_assert_eq!(bantime.to_string().parse(), Ok(bantime));
        }

        #[test]
        fn never_panics(typed in "\\PC*|[0-9wdhms. +-]{0,30}") {
            let _ = typed.parse::<BanTime>();
        }
    }
}
