//! What clocks do that are set: leap seconds and daylight saving, from the lines of a log that names no zone to a ban.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::config::plan::{JailPlan, Plan};
use crate::filter::{Clock, Filter, Scanner};
use crate::jail::engine::{Engine, Judgement};
use crate::jail::jails::JailId;

/// One jail that reads lines as they are written.
struct Desk {
    engine: Engine,
    scanner: Scanner,
    zone: TimeZone,
}

impl Desk {
    fn new(zone: &str, maxretry: u32, findtime: u64) -> Self {
        let mut engine = Engine::new();
        let findtime = std::time::Duration::from_secs(findtime);
        engine.configure(&Plan::of(vec![JailPlan { maxretry, findtime, ..JailPlan::named("sshd") }], &[]));
        let filters = [std::sync::Arc::new(Filter::load("sshd", &[]).unwrap())];
        Self { engine, scanner: Scanner::new(&filters), zone: TimeZone::get(zone).unwrap() }
    }

    /// A failure that the log dates so, read at `now`; whether it bans.
    fn fails(&mut self, date: &str, now: &str) -> bool {
        let line =
            format!("{date} host sshd[7]: Failed password for root from 203.0.113.9 port 50022 ssh2\n");
        let now: Timestamp = now.parse().unwrap();
        let clock = Clock { now, zone: self.zone.clone() };
        let (mut failures, mut banned) = (0, false);
        let engine = &mut self.engine;
        self.scanner.scan(line.as_bytes(), &clock, &mut |_, failure, _| {
            failures += 1;
            let judged = engine.observe(JailId(0), &failure, None, &"auth.log".into(), now);
            banned |= matches!(judged, Judgement::Verdicts(_));
        });
        assert_eq!(failures, 1, "{line}");
        banned
    }

    fn stale(&self) -> u64 {
        self.engine.jails()[0].tally.stale
    }
}

#[test]
fn a_leap_second_counts_once_and_in_its_place() {
    // RFC 3164 and ISO, in a zone of its own as well: there the leap second is in the middle of the night.
    for (zone, dates) in [
        ("UTC", ["Dec 31 23:59:59", "Dec 31 23:59:60", "Jan  1 00:00:00", "Jan  1 00:00:01"]),
        ("Europe/Berlin", ["Jan  1 00:59:59", "Jan  1 00:59:60", "Jan  1 01:00:00", "Jan  1 01:00:01"]),
        (
            "UTC",
            [
                "2016-12-31T23:59:59+00:00",
                "2016-12-31T23:59:60.25+00:00",
                "2017-01-01T00:00:00+00:00",
                "2017-01-01T00:00:01+00:00",
            ],
        ),
    ] {
        // The system's clock shows the second before twice.
        let nows = [
            "2016-12-31T23:59:59Z",
            "2016-12-31T23:59:59.5Z",
            "2017-01-01T00:00:00Z",
            "2017-01-01T00:00:01Z",
        ];
        for (maxretry, bans) in [(4, [false, false, false, true]), (5, [false; 4])] {
            let mut desk = Desk::new(zone, maxretry, 2);
            let banned = [0, 1, 2, 3].map(|at| desk.fails(dates[at], nows[at]));
            assert_eq!((banned, desk.stale()), (bans, 0), "{dates:?} maxretry {maxretry}");
        }
    }
}

#[test]
fn an_hour_that_is_repeated_neither_joins_failures_nor_parts_them() {
    // 25 October 2026, Berlin: 02:00 to 03:00 from 00:00 UTC on, and again from 01:00 UTC on.
    for day in ["Oct 25", "2026-10-25"] {
        let at = |time: &str| format!("{day} {time}");
        // The clock goes back between two failures that are 20 seconds apart.
        let mut desk = Desk::new("Europe/Berlin", 2, 60);
        assert!(!desk.fails(&at("02:59:50"), "2026-10-25T00:59:50Z"));
        assert!(desk.fails(&at("02:00:10"), "2026-10-25T01:00:10Z"), "20 seconds");
        // The same text is another time an hour later.
        let mut desk = Desk::new("Europe/Berlin", 2, 600);
        assert!(!desk.fails(&at("02:30:00"), "2026-10-25T00:30:00Z"));
        assert!(!desk.fails(&at("02:30:00"), "2026-10-25T01:30:00Z"), "an hour");
        assert!(desk.fails(&at("02:30:05"), "2026-10-25T01:30:05Z"), "five seconds");
        // All through both hours, a failure every ten minutes and a window of twenty-one: every third bans.
        let mut desk = Desk::new("Europe/Berlin", 3, 1260);
        let passes = (0..12).map(|step| (step % 6 * 10, step / 6, step % 6 * 10));
        let bans = passes.map(|(shown, hour, minute)| {
            let banned = desk
                .fails(&at(&format!("02:{shown:02}:00")), &format!("2026-10-25T{hour:02}:{minute:02}:00Z"));
            if banned {
                desk.engine.put_back(&"203.0.113.9/32".parse().unwrap(), []);
            }
            banned
        });
        let third = [false, false, true];
        assert_eq!(bans.collect::<Vec<_>>(), [third, third, third, third].concat());
        assert_eq!(desk.stale(), 0);
    }
}

#[test]
fn an_hour_that_is_left_out_parts_nothing() {
    // 29 March 2026, Berlin: 02:00 to 03:00 does not exist.
    for day in ["Mar 29", "2026-03-29"] {
        let at = |time: &str| format!("{day} {time}");
        let mut desk = Desk::new("Europe/Berlin", 2, 60);
        assert!(!desk.fails(&at("01:59:50"), "2026-03-29T00:59:50Z"));
        assert!(desk.fails(&at("03:00:10"), "2026-03-29T01:00:10Z"), "20 seconds");
        // A clock that does not know of it writes times that do not exist: they count as now, once, and hold nobody up.
        let mut desk = Desk::new("Europe/Berlin", 3, 60);
        assert!(!desk.fails(&at("02:00:10"), "2026-03-29T01:00:10Z"));
        assert!(!desk.fails(&at("02:00:20"), "2026-03-29T01:00:20Z"));
        assert!(desk.fails(&at("03:00:30"), "2026-03-29T01:00:30Z"));
        assert_eq!(desk.stale(), 0);
    }
}
