//! From the fields of a date to a moment.
//!
//! What a date leaves out is taken from the clock: a date without year is of this one, or of the last if that
//! would lie more than a day ahead; a time without date is of today, or of yesterday if it would lie ahead.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;
use jiff::{Span, Timestamp};

use super::zones;
use crate::filter::Clock;
use crate::filter::date::in_zone;

/// A %-code and what it caught.
pub(super) type Field<'a> = (&'a str, &'a str);

/// Seconds since 1970; with `long` 13 digits are milliseconds and 16 microseconds.
pub(super) fn of_epoch(digits: &str, long: bool) -> Option<Timestamp> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut scale: i128 = 1_000_000_000;
    if long && digits.len() >= 13 {
        scale = if digits.len() >= 16 && fraction.is_empty() { 1_000 } else { 1_000_000 };
    }
    let mut nanoseconds = whole.parse::<i128>().ok()?.checked_mul(scale)?;
    let mut unit = scale;
    for digit in fraction.bytes() {
        unit /= 10;
        nanoseconds += i128::from(digit - b'0') * unit;
    }
    Timestamp::from_nanosecond(nanoseconds).ok()
}

/// A TAI64N label (<https://cr.yp.to/libtai/tai64.html>): `@`, then hexadecimal seconds and nanoseconds.
pub(super) fn of_tai(label: &str) -> Option<Timestamp> {
    let seconds = i64::from_str_radix(label.get(2..17)?, 16).ok()?;
    Timestamp::from_second(seconds).ok()
}

#[derive(Default)]
struct Parts {
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    hour: i8,
    minute: i8,
    second: i8,
    day_of_year: Option<i16>,
    /// 0 is Monday.
    weekday: Option<i16>,
    /// The week, and whether it begins on Monday.
    week: Option<(i16, bool)>,
    /// Minutes east of Greenwich.
    offset: Option<i32>,
}

/// None if there is no such date.
pub(super) fn of_fields(fields: &[Field<'_>], clock: &Clock) -> Option<Timestamp> {
    let mut parts = Parts::default();
    for &(code, text) in fields {
        parts.take(code, text, fields)?;
    }
    let now = clock.now.to_zoned(clock.zone.clone()).datetime();
    let mut year = parts.year.unwrap_or(now.year());
    if (parts.month.is_none() || parts.day.is_none())
        && let Some(date) = parts.by_day_of_year(year)
    {
        // Day 366 may be of the next year.
        year = date.year();
        (parts.month, parts.day) = (Some(date.month()), Some(date.day()));
    }
    let today = parts.month.is_none() && parts.day.is_none();
    let (month, day) = match today {
        true => (now.month(), now.day()),
        false => (parts.month?, parts.day?),
    };
    let time = Time::new(parts.hour, parts.minute, parts.second, 0).ok()?;
    let mut moment = DateTime::from_parts(Date::new(year, month, day).ok()?, time);
    if let Some(offset) = parts.offset {
        moment = moment.checked_sub(Span::new().minutes(offset)).ok()?;
    }
    if today && moment > now {
        moment = moment.checked_sub(Span::new().days(1)).ok()?;
    }
    if parts.year.is_none() && moment > now.checked_add(Span::new().days(1)).ok()? {
        moment = DateTime::from_parts(Date::new(year - 1, month, day).ok()?, moment.time());
    }
    match parts.offset {
        Some(_) => Offset::UTC.to_timestamp(moment).ok(),
        None => in_zone(moment, clock),
    }
}

impl Parts {
    fn take(&mut self, code: &str, text: &str, fields: &[Field<'_>]) -> Option<()> {
        let number = || text.trim_start().parse::<i16>().ok();
        let small = || text.trim_start().parse::<i8>().ok();
        match code {
            "y" => self.year = Some(number()? + 2000),
            "Y" => self.year = number(),
            "m" => self.month = Some(small()?),
            "b" | "B" => self.month = Some(month(text)?),
            "d" => self.day = Some(small()?),
            "H" => self.hour = small()?,
            "I" => {
                let half =
                    fields.iter().find(|(code, _)| *code == "p").map(|(_, half)| half.to_ascii_lowercase());
                let hour = small()?;
                self.hour = match half.as_deref() {
                    Some("pm") if hour != 12 => hour + 12,
                    Some("pm") => 12,
                    _ if hour == 12 => 0,
                    _ => hour,
                };
            }
            "M" => self.minute = small()?,
            "S" => self.second = small()?,
            "a" | "A" => self.weekday = weekday(text),
            "w" => self.weekday = Some((number()? + 6) % 7),
            "j" => self.day_of_year = number(),
            "U" => self.week = Some((number()?, false)),
            "W" => self.week = Some((number()?, true)),
            "z" | "Z" => self.offset = Some(zones::offset(text)?),
            _ => {}
        }
        Some(())
    }

    fn by_day_of_year(&self, year: i16) -> Option<Date> {
        let by_week = || {
            let ((week, from_monday), weekday) = (self.week?, self.weekday?);
            let first = Date::new(year, 1, 1).ok()?.weekday().to_monday_zero_offset();
            // Both counted from the day on which a week begins.
            let (first, weekday) = match from_monday {
                true => (i16::from(first), weekday),
                false => ((i16::from(first) + 1) % 7, (weekday + 1) % 7),
            };
            let before_week_one = (7 - first) % 7;
            Some(match week {
                0 => 1 + weekday - first,
                week => 1 + before_week_one + 7 * (week - 1) + weekday,
            })
        };
        let day = self.day_of_year.or_else(by_week)?;
        Date::new(year, 1, 1).ok()?.checked_add(Span::new().days(i64::from(day) - 1)).ok()
    }
}

fn month(name: &str) -> Option<i8> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let place = place(&MONTHS, name)?;
    i8::try_from(place + 1).ok()
}

fn weekday(name: &str) -> Option<i16> {
    i16::try_from(place(&["mon", "tue", "wed", "thu", "fri", "sat", "sun"], name)?).ok()
}

fn place(names: &[&str], name: &str) -> Option<usize> {
    let short = name.get(..3)?.to_ascii_lowercase();
    names.iter().position(|known| *known == short)
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn a_repeated_hour_is_the_one_that_now_is_in() {
        let fields = [("b", "Oct"), ("d", "25"), ("H", "02"), ("M", "30"), ("S", "00")];
        for (now, expected) in [
            ("2026-10-25T00:30:01Z", "2026-10-25T00:30:00Z"),
            ("2026-10-25T01:30:01Z", "2026-10-25T01:30:00Z"),
        ] {
            let clock = Clock { now: now.parse().unwrap(), zone: TimeZone::get("Europe/Berlin").unwrap() };
            assert_eq!(of_fields(&fields, &clock).unwrap().to_string(), expected);
        }
    }
}
