//! Lines that only end connections are not looked at, and nobody can tell.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::Rules;
use crate::filter::{Clock, Failure, Filter, LineMatch, LineVerdict, Scanner, Success, Told};

const PREFIX: &str = r"^<F-MLFID>\s*(?:host )?(?:d(?:\[\d+\])?: )?</F-MLFID><F-CONTENT>.+</F-CONTENT>$";
const PATTERNS: &str = "^no <F-USER>\\S+</F-USER>(?: at <HOST>)?$\n^<F-NOFAIL>hello</F-NOFAIL> <HOST>$\n\
    ^<F-NOFAIL>perhaps</F-NOFAIL> <F-USER>\\S+</F-USER>$\n^too <F-MLFFORGET>many</F-MLFFORGET>$\n\
    ^<F-MLFFORGET><F-MLFGAINED>welcome</F-MLFGAINED></F-MLFFORGET> <F-USER>\\S+</F-USER>(?: from <HOST>)?$\n\
    ^<F-NOFAIL><F-MLFFORGET>(?:closed|left)</F-MLFFORGET></F-NOFAIL>(?: by <HOST>)?$\n\
    ^<F-NOFAIL>(?:<F-MLFFORGET>maybe</F-MLFFORGET>|lost)</F-NOFAIL>";

fn filter(ignore: &str) -> Arc<Filter> {
    let options = vec![
        ("prefregex", PREFIX.to_owned()),
        ("failregex", PATTERNS.to_owned()),
        ("ignoreregex", ignore.to_owned()),
        ("datepattern", "{^LN-BEG}".to_owned()),
    ];
    Arc::new(Filter::of_dialect("tied".to_owned(), Rules::of_options("tied", options).unwrap()))
}

#[test]
fn what_always_ends_a_connection_without_a_failure_is_known() {
    let options = vec![("prefregex", PREFIX.to_owned()), ("failregex", PATTERNS.to_owned())];
    let rules = Rules::of_options("tied", options).unwrap();
    let quiet: Vec<usize> = (0..7).filter(|index| rules.says_nothing(*index)).collect();
    assert_eq!(quiet, [4, 5]);
    let (literals, later) = rules.literals();
    let has = |all: &[Vec<u8>], text: &str| all.iter().any(|one| one.starts_with(text.as_bytes()));
    assert!(has(&later, "welcome") && !has(&literals.unwrap(), "welcome"));
}

#[test]
fn who_logged_in_is_told_to_whoever_asks() {
    let now = Timestamp::from_second(1_763_600_000).unwrap();
    let clock = Clock { now, zone: TimeZone::UTC };
    let lines = "Nov 19 22:00:01 host d[1]: welcome root from 192.0.2.7\nNov 19 22:00:02 host d[2]: perhaps adm\n\
        Nov 19 22:00:03 host d[2]: welcome adm from 2001:db8::7\nNov 19 22:00:04 host d[3]: welcome root\n";
    let filter = filter("");
    assert!(filter.tells_successes());
    let told = |asked: bool| {
        let mut scanner = Scanner::new(&[Arc::clone(&filter)]);
        if asked {
            scanner.tell_successes();
        }
        let mut told = Vec::new();
        scanner.scan_all(lines.as_bytes(), &clock, &mut |_, one, _| told.push(one));
        told
    };
    let success = |address: &str, user: &str, after: i64| {
        let time = Timestamp::from_second(1_763_589_600 + after).unwrap();
        Told::Success(Success { time, address: address.parse().unwrap(), user: Some(user.into()) })
    };
    assert_eq!(told(true), [success("192.0.2.7", "root", 1), success("2001:db8::7", "adm", 3)]);
    assert_eq!(told(false), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn blocks_tell_what_their_lines_tell(
        ignore in prop::sample::select(vec!["", "nobody"]),
        lines in proptest::collection::vec(
            (
                prop::sample::select(vec![" host d[1]: ", " host d[1]: ", " host d[22]: ", " d[3]: ", " d: ", " host ", " "]),
                prop::sample::select(vec![
                    "no root", "no adm at 192.0.2.1", "no adm", "hello 192.0.2.1", "hello 192.0.2.2", "perhaps root",
                    "too many", "welcome root", "closed", "closed by 192.0.2.1", "left by 192.0.2.3", "maybe", "lost",
                    "welcome nobody", "welcome adm from 192.0.2.1", "welcome", "closed 1 no root at 192.0.2.9", "no closed at 192.0.2.4",
                ]),
            ),
            1..40,
        ),
    ) {
        let clock = Clock { now: Timestamp::from_second(1_763_600_000).unwrap(), zone: TimeZone::UTC };
        let filter = filter(ignore);
        let lines: Vec<String> =
            lines.into_iter().map(|(head, text)| format!("Nov 19 22:00:01{head}{text}")).collect();
        let mut of_block = Vec::new();
        let mut scanner = Scanner::new(&[Arc::clone(&filter)]);
        scanner.scan(lines.join("\n").as_bytes(), &clock, &mut |_, failure, line| {
            of_block.push((String::from_utf8(line.to_vec()).unwrap(), failure));
        });
        // Whoever wants to know of logins hears of the same failures.
        let mut scanner = Scanner::new(&[Arc::clone(&filter)]);
        scanner.tell_successes();
        let mut beside_logins = Vec::new();
        scanner.scan_all(lines.join("\n").as_bytes(), &clock, &mut |_, told, line| {
            if let Told::Failure(failure) = told {
                beside_logins.push((String::from_utf8(line.to_vec()).unwrap(), failure));
            }
        });
        prop_assert_eq!(&beside_logins, &of_block, "{:#?}", lines);
        let mut scanner = Scanner::new(&[filter]);
        let mut of_lines = Vec::new();
        for line in &lines {
            let LineVerdict::Match { first, others } = scanner.line(0, line.as_bytes(), &clock, false) else { continue };
            for found in std::iter::once(first).chain(others) {
                let LineMatch { time, prefix_len, pattern, attempts, .. } = found;
                let Some(address) = found.address else { continue };
                of_lines.push((line.clone(), Failure { time, address, prefix_len, pattern, attempts }));
            }
        }
        prop_assert_eq!(of_block, of_lines, "{:#?}", lines);
    }
}
