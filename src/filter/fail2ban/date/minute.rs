//! The minute of the last date: most dates are of the same minute as the one before, and then only their seconds are read.

use jiff::{SignedDuration, Timestamp};
use smallvec::SmallVec;

use super::moment::{self, Field};
use crate::filter::Clock;

/// The last second of a minute.
const LAST_SECOND: i64 = 59;

/// What dates of one minute have in common.
#[derive(Debug, Default)]
pub(in crate::filter::fail2ban) struct Minute {
    /// All fields but the seconds and their fraction.
    front: String,
    /// Room for those of another date.
    room: String,
    clock: Option<Clock>,
    /// Its first second. None where its last is not 59 seconds behind: the year changes, or the offset of the zone.
    start: Option<Timestamp>,
}

impl Minute {
    /// What [`moment::of_fields`] reads.
    pub(super) fn read(&mut self, fields: &[Field<'_>], clock: &Clock) -> Option<Timestamp> {
        let second = fields.iter().find(|(code, _)| *code == "S").map(|(_, text)| text.as_bytes());
        let second = match second {
            Some([tens @ b'0'..=b'5', ones @ b'0'..=b'9']) => {
                10 * i64::from(tens - b'0') + i64::from(ones - b'0')
            }
            _ => return moment::of_fields(fields, clock),
        };
        self.room.clear();
        for (code, text) in fields.iter().filter(|(code, _)| !matches!(*code, "S" | "f")) {
            self.room.extend([code, text, "\n"]);
        }
        let same = |known: &Clock| known.now == clock.now && known.zone == clock.zone;
        if self.room != self.front || !self.clock.as_ref().is_some_and(same) {
            let at = |second: &'static str| {
                let with = |&(code, text)| (code, if code == "S" { second } else { text });
                let fields: SmallVec<[Field<'_>; 8]> = fields.iter().map(with).collect();
                moment::of_fields(&fields, clock)
            };
            let whole = |start: Timestamp, end: Timestamp| {
                end.duration_since(start) == SignedDuration::from_secs(LAST_SECOND)
            };
            self.start = at("00").filter(|start| at("59").is_some_and(|end| whole(*start, end)));
            std::mem::swap(&mut self.front, &mut self.room);
            self.clock = Some(clock.clone());
        }
        match self.start {
            Some(start) => start.checked_add(SignedDuration::from_secs(second)).ok(),
            None => moment::of_fields(fields, clock),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn what_is_known_of_the_date_before_changes_nothing(
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "Africa/Monrovia", "Australia/Lord_Howe"]),
            now in prop::sample::select(vec!["2026-10-25T00:59:30Z", "2026-12-31T23:00:10Z", "2026-03-29T01:00:20Z", "1972-01-07T00:44:40Z"]),
            ahead in -3700..3700_i64,
            dates in proptest::collection::vec(
                (
                    prop::sample::select(vec![None, Some(("Oct", "25")), Some(("Dec", "31")), Some(("Jan", "7")), Some(("Mar", "29")), Some(("Feb", "30"))]),
                    prop::option::of((0..25_u8, prop::sample::select(vec!["00", "1", "30", "44", "59"]))),
                    prop::sample::select(vec!["00", "07", "7", "10", "29", "30", "31", "59", "60", "61"]),
                    prop::sample::select(vec![None, None, Some(("z", "+0100")), Some(("Y", "2026")), Some(("f", "5"))]),
                ),
                1..25,
            ),
        ) {
            let now = now.parse::<Timestamp>().unwrap().checked_add(SignedDuration::from_secs(ahead)).unwrap();
            let clock = Clock { now, zone: TimeZone::get(zone).unwrap() };
            // Where nothing else is said, the date is of the clock's own minute, a day ahead or not: there the year and the day change.
            let shown = now.to_zoned(clock.zone.clone());
            let mut minute = Minute::default();
            for (day, time, second, other) in dates {
                let time = time.map_or_else(|| shown.strftime("%H:%M").to_string(), |(hour, minute)| format!("{hour:02}:{minute}"));
                let (hour, of_hour) = time.split_once(':').unwrap();
                let tomorrow = shown.tomorrow().unwrap();
                let (month, date) = (tomorrow.strftime("%b").to_string(), tomorrow.strftime("%d").to_string());
                let mut fields: Vec<Field<'_>> = vec![("H", hour), ("M", of_hour), ("S", second)];
                match day {
                    Some((month, date)) => fields.extend([("b", month), ("d", date)]),
                    None if second != "07" => fields.extend([("b", month.as_str()), ("d", date.as_str())]),
                    None => {}
                }
                fields.extend(other);
                prop_assert_eq!(minute.read(&fields, &clock), moment::of_fields(&fields, &clock), "{:?}", fields);
            }
        }
    }
}
