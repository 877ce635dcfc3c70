//! What holds for every block, whatever attackers write into it.

use std::sync::{Arc, LazyLock};

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::matcher::Kind;
use super::pattern::Quick;
use super::*;

mod tied;

fn clock() -> Clock {
    Clock { now: "2026-11-21T07:00:00Z".parse().unwrap(), zone: TimeZone::get("Europe/Berlin").unwrap() }
}

fn filter(text: &str) -> Arc<Filter> {
    let definition = Arc::new(Definition::parse("test", text).unwrap());
    Arc::new(Filter::compile("test", "test", definition, NORMAL).unwrap())
}

fn sshd(mode: &str) -> Arc<Filter> {
    Arc::new(Filter::load(&format!("sshd[mode={mode}]"), &[]).unwrap())
}

/// Filters of every kind: the real one, one with an ignoreregex and captures only, one without any literal.
fn filters() -> Vec<Arc<Filter>> {
    static FILTERS: LazyLock<Vec<Arc<Filter>>> = LazyLock::new(|| {
        vec![
            sshd("aggressive"),
            sshd("pam"),
            filter(
                "description='captures'\nignoreregex=['^Failed .*oracle']\nfailregex=['^Failed .* from <HOST> port', '^Failed .* from <IP4>.*$', '^Invalid user .* from <IP6>\\b']",
            ),
            filter(
                "description='whole lines'\nprograms=['sshd']\nignoreregex=['^<DATE> x y oracle']\nfailregex=['^<HOST> \\S+ \\[<DATE>\\] \"GET ', '^\\[?<DATE>\\]? x y .* from <HOST>$', '^x y .* from <HOST>$', '^(?:<DATE> )?root from <HOST>']",
            ),
            filter(
                "description='fields'\nformat='json'\nhost=['ip','peer']\ntime='ts'\nwhere.status=[401,22]\nwhere.user={regex='root|x'}",
            ),
            filter(
                "description='more fields'\nformat='logfmt'\nhost='ip'\nwhere.msg='Failed password for root'",
            ),
            filter("description='no literal'\nprograms=['x']\nfailregex=['^\\S+ \\S+ <HOST>$']"),
        ]
    });
    FILTERS.clone()
}

type Reported = (usize, Failure, Vec<u8>);

fn scanned(filters: &[Arc<Filter>], block: &[u8]) -> Vec<Reported> {
    let mut found = Vec::new();
    let mut scanner = Scanner::new(filters);
    scanner.scan(block, &clock(), &mut |index, failure, line| found.push((index, failure, line.to_vec())));
    found
}

fn line_by_line(filters: &[Arc<Filter>], block: &[u8]) -> Vec<Reported> {
    let mut found = Vec::new();
    let mut scanner = Scanner::new(filters);
    for line in block.split(|byte| *byte == b'\n') {
        for index in 0..filters.len() {
            if let LineVerdict::Match { first, .. } = scanner.line(index, line, &clock(), false) {
                let LineMatch { address, prefix_len, time, pattern, attempts, .. } = first;
                let Some(address) = address else { continue };
                found.push((index, Failure { time, address, prefix_len, pattern, attempts }, line.to_vec()));
            }
        }
    }
    found
}

/// Lines made of the pieces that heads and messages are made of, true and forged.
fn line() -> impl Strategy<Value = String> {
    let head = prop::sample::select(vec![
        "Nov 21 06:50:25 gw sshd[12]: ",
        "Feb 30 06:50:25 gw sshd[12]: ",
        "Oct 25 02:30:00 sshd: ",
        "2026-11-21T06:50:25.5+01:00 gw sshd-session[9]: ",
        "<34>1 2026-11-21T06:50:25Z gw sshd 1 - [a b=\"]\"] ",
        "Nov 21 06:50:25 gw x[1]: ",
        "Nov 21 06:50:25 gw sshd[12]: message repeated 3 times: [ ",
        "2026-11-21 06:50:25,123 x y ",
        "Nov 21 06:50:25 gw sshd[1]: [Sat Nov 21 06:50:25 2026] x y ",
        "Sat Nov 21 06:50:25 2026 ",
        "192.0.2.1 - [21/Nov/2026:06:50:25 +0000] ",
        "{",
        "",
    ]);
    let piece = prop::sample::select(vec![
        "Failed password for ",
        "Failed publickey for ",
        "invalid user ",
        "Invalid user ",
        "root",
        "oracle",
        "x y",
        " from ",
        "192.0.2.1",
        "::ffff:192.0.2.2",
        "2001:db8::1",
        "fe80::1%eth0",
        "300.1.1.1",
        "host9",
        "[192.0.2.3]",
        " port ",
        "22",
        " ssh2",
        " ssh2: RSA SHA256:a",
        " [preauth]",
        "error: ",
        "PAM: Authentication failure for ",
        "illegal user ",
        " via a",
        "User ",
        " not allowed because listed in DenyUsers",
        "Connection closed by ",
        "Disconnected from ",
        "authenticating user ",
        "Received disconnect from ",
        ":3: a: Auth fail",
        ": Change of username or service not allowed: (a,b) -> (c,d)",
        "Disconnecting ",
        "drop connection #1 from ",
        ":22 on [::]:22 penalty: failed",
        "ROOT LOGIN REFUSED FROM ",
        "pam_unix(sshd:auth): authentication failure; ruser= rhost=",
        " user=a",
        " ",
        "\r",
        "]",
        "x y ",
        "[Nov 21 06:50:25] ",
        "2026/11/21 06:50:25 ",
        "- [21/Nov/2026:06:50:25 +0000] \"GET ",
        r#""ip":"192.0.2.1","#,
        r#""peer":"[2001:db8::1]:22","status":401,"user":"root"}"#,
        r#""ts":1795243825.5,"#,
        r#"msg="Failed password for root" "#,
        "ip=192.0.2.4 ",
        "\u{e9}",
    ]);
    let genuine = (
        prop::sample::select(vec![
            "Failed password for ",
            "Invalid user ",
            "Failed none for invalid user ",
            "Connection closed by invalid user ",
        ]),
        "[ -~]{0,40}",
        prop::sample::select(vec![
            " from 192.0.2.1 port 22 ssh2",
            " from 2001:db8::1 port 9",
            " 192.0.2.9 port 1 [preauth]",
            " from h port 22 ssh2",
        ]),
    )
        .prop_map(|(a, b, c)| format!("{a}{b}{c}"));
    let message =
        prop_oneof![prop::collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat()), genuine,];
    (head, message).prop_map(|(head, message)| format!("{head}{message}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_scan_says_what_each_line_says(lines in prop::collection::vec(line(), 0..20)) {
        let block = lines.join("\n");
        let filters = filters();
        prop_assert_eq!(scanned(&filters, block.as_bytes()), line_by_line(&filters, block.as_bytes()));
        // Without the filter that has no literals, only lines with a literal are looked at.
        prop_assert_eq!(scanned(&filters[..6], block.as_bytes()), line_by_line(&filters[..6], block.as_bytes()));
        // Whoever wants to know of successes hears of the same failures.
        let mut scanner = Scanner::new(&filters);
        scanner.tell_successes();
        let mut failures = Vec::new();
        scanner.scan_all(block.as_bytes(), &clock(), &mut |filter, told, line| {
            if let Told::Failure(failure) = told {
                failures.push((filter, failure, line.to_vec()));
            }
        });
        prop_assert_eq!(failures, scanned(&filters, block.as_bytes()));
    }

    #[test]
    fn the_host_from_the_end_is_the_captured_one(lines in prop::collection::vec(line(), 1..30)) {
        for filter in filters() {
            for line in &lines {
                let message = super::prefix::parse(line.as_bytes()).message;
                let Kind::Own(own) = filter.kind() else { unreachable!("filters() are in TOML") };
                for pattern in (0..filter.patterns().len()).filter_map(|index| own.pattern(index)) {
                    if !pattern.is_match(message) {
                        continue;
                    }
                    if let Quick::Decided(quick) = pattern.quick(message) {
                        let captured = pattern.find(message, false).and_then(|found| found.host.address());
                        prop_assert_eq!(quick, captured, "{} on {}", &pattern.written, line);
                    }
                }
            }
        }
    }

    #[test]
    fn bytes_of_any_kind_are_survived(block in prop::collection::vec(any::<u8>(), 0..400), head in line()) {
        let filters = filters();
        let mut block = block;
        block.splice(0..0, head.bytes());
        prop_assert_eq!(scanned(&filters, &block), line_by_line(&filters, &block));
    }

    /// The true address is what sshd wrote behind the name, whatever the name.
    #[test]
    fn no_name_forges_an_address(name in "[ -~]{0,60}", forged in line(), first in any::<bool>()) {
        let name = if first { format!("{name}{forged}") } else { format!("{forged}{name}") };
        let name = name.replace('\r', "");
        let filters = &filters()[..1];
        for line in [
            format!("Failed password for invalid user {name} from 203.0.113.9 port 40022 ssh2"),
            format!("Invalid user {name} from 203.0.113.9 port 40022"),
            format!("Failed publickey for invalid user {name} from 203.0.113.9 port 40022 ssh2: RSA SHA256:q7XyT0bq5p4c"),
            format!("error: PAM: Authentication failure for illegal user {name} from 203.0.113.9"),
            format!("error: maximum authentication attempts exceeded for invalid user {name} from 203.0.113.9 port 4 ssh2 [preauth]"),
            format!("Connection closed by invalid user {name} 203.0.113.9 port 40022 [preauth]"),
            format!("Disconnected from invalid user {name} 203.0.113.9 port 40022 [preauth]"),
        ] {
            let line = format!("Nov 21 06:50:25 gw sshd[12]: {line}\n");
            let found = scanned(filters, line.as_bytes());
            prop_assert_eq!(found.len(), 1, "{}", line);
            prop_assert_eq!(found[0].1.address.to_string(), "203.0.113.9", "{}", line);
        }
    }
}

/// All filters on one log, as a single scanner would run them.
#[test]
fn the_catalogue_scans_as_it_judges_lines() {
    let mut filters = Vec::new();
    let mut block = String::new();
    for name in catalogue::names() {
        let definition = Arc::new(Definition::parse(name, catalogue::text(name).unwrap()).unwrap());
        for mode in definition.modes() {
            // `normal` is empty where all patterns belong to modes.
            if let Ok(filter) = Filter::compile(name, name, Arc::clone(&definition), &mode) {
                filters.push(Arc::new(filter));
            }
        }
        for line in definition.example.iter().flat_map(|example| example.before.iter().chain([&example.line]))
        {
            block.push_str(line);
            block.push('\n');
        }
    }
    let scanned = scanned(&filters, block.as_bytes());
    assert!(scanned.len() > catalogue::names().count());
    assert_eq!(scanned, line_by_line(&filters, block.as_bytes()));
}

#[test]
fn every_filter_of_the_catalogue_has_literals() {
    for name in catalogue::names() {
        let filter = Filter::load(name, &[]).unwrap();
        assert!(filter.literals().is_some(), "{name}: every line of a log would have to be looked at");
    }
}

#[test]
fn counters_and_times() {
    let filters = [sshd("normal")];
    let mut scanner = Scanner::new(&filters);
    let block = b"Nov 21 06:50:25 gw sshd[1]: Failed password for a from 192.0.2.1 port 1 ssh2\n\
        Feb 30 06:50:25 gw sshd[1]: Failed password for a from 192.0.2.1 port 1 ssh2\n\
        Nov 21 06:50:25 gw cron[1]: nothing\n\
        Failed password for a from 192.0.2.1 port 1 ssh2\r\n";
    let mut times = Vec::new();
    scanner.scan(block, &clock(), &mut |_, failure, _| times.push(failure.time.to_string()));
    assert_eq!(times, ["2026-11-21T05:50:25Z", "2026-11-21T07:00:00Z", "2026-11-21T07:00:00Z"]);
    assert_eq!(scanner.counters(), Counters { lines_looked_at: 3, ignored: 0, named: 0, undated: 1 });
}

#[test]
fn hostile_lines_do_not_fill_more_than_the_share_of_memory() {
    let filters: Vec<_> = ["sshd[mode=aggressive]", "postfix", "dovecot", "asterisk"]
        .map(|name| Arc::new(Filter::load(name, &[]).unwrap()))
        .into();
    let mut scanner = Scanner::one_of(8, &filters);
    let mut seed = 7_u32;
    for _ in 0..2_000 {
        let mut block = b"Nov 21 06:50:25 gw sshd[1]: Failed password for invalid user ".to_vec();
        for _ in 0..400 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            block.push(match (seed >> 24) as u8 {
                b'\n' => b' ',
                byte => byte,
            });
        }
        block.extend(b" from 192.0.2.1 port 22 ssh2\n");
        scanner.scan(&block, &clock(), &mut |_, _, _| {});
    }
    let share = super::scanner::CACHE_BUDGET / 8;
    assert!(scanner.cache_bytes() <= share, "{} of {share} bytes", scanner.cache_bytes());
}

/// What each pattern is for, an example says.
#[test]
fn every_pattern_of_the_catalogue_is_hit_by_an_example() {
    let mut idle = Vec::new();
    for name in catalogue::names() {
        let definition = Arc::new(Definition::parse(name, catalogue::text(name).unwrap()).unwrap());
        let mut hit = std::collections::BTreeMap::<String, bool>::new();
        for mode in definition.modes() {
            let Ok(filter) = Filter::compile(name, name, Arc::clone(&definition), &mode) else { continue };
            let Kind::Own(own) = filter.kind() else { unreachable!("the catalogue is in TOML") };
            let examples =
                definition.example.iter().filter(|example| example.mode.as_deref().unwrap_or(NORMAL) == mode);
            let mut found = vec![false; filter.patterns().len()];
            for line in examples.flat_map(|example| example.before.iter().chain([&example.line])) {
                let texts = own.texts(line.as_bytes(), &super::prefix::parse(line.as_bytes()));
                let first = own.first_from(0, texts).or_else(|| own.first_rule(texts));
                if let Some(first) = first.filter(|_| !own.ignores(texts)) {
                    found[first.pattern] = true;
                }
            }
            for (pattern, found) in filter.patterns().zip(found) {
                *hit.entry(pattern.to_owned()).or_default() |= found;
            }
        }
        idle.extend(hit.iter().filter(|(_, hit)| !**hit).map(|(pattern, _)| format!("{name}: {pattern}")));
    }
    assert!(idle.is_empty(), "{} patterns:\n{}", idle.len(), idle.join("\n"));
}

#[test]
fn a_line_that_may_have_been_cut_never_matches() {
    let filter = &filters()[0];
    let line = |length: usize| {
        let tail = " from 192.0.2.1 port 22 ssh2";
        let head = "Failed password for ";
        format!("{head}{}{tail}", "x".repeat(length - head.len() - tail.len()))
    };
    assert!(matches!(
        filter.line(line(LONGEST_LINE - 1).as_bytes(), &clock(), false),
        LineVerdict::Match { .. }
    ));
    assert_eq!(filter.line(line(LONGEST_LINE).as_bytes(), &clock(), false), LineVerdict::Miss);
}

#[test]
fn a_long_line_costs_linear_memory_only() {
    let filters = filters();
    let mut scanner = Scanner::new(&filters);
    let block = "Failed password for x from 1.2.3.4 port 22 ".repeat(1_500);
    let mut found = 0;
    scanner.scan(block.as_bytes(), &clock(), &mut |_, _, _| found += 1);
    assert_eq!(found, 1, "only the filter whose pattern has no end matches");
    assert!(scanner.cache_bytes() < 16 << 20);
}

#[test]
fn all_patterns_are_tried_when_asked() {
    let filter = filter(
        "description='x'\nfailregex=['^a .*<HOST>$', '^b <HOST>', '^a <F-USER>\\S+</F-USER> <HOST>$']",
    );
    let line = b"a u 192.0.2.1";
    let LineVerdict::Match { first, others } = filter.line(line, &clock(), true) else { panic!("no match") };
    assert_eq!((first.pattern, others.len()), (2, 0), "the greedy .* of pattern 0 leaves no address");
    let line = b"a u [192.0.2.1]";
    let LineVerdict::Match { first, others } = filter.line(line, &clock(), true) else { panic!("no match") };
    assert_eq!((first.pattern, others.len()), (2, 0));
    assert_eq!(first.fields.get("user").and_then(Field::text), Some("u"));
}

/// Messages around the shape of a first pattern that is known by its two ends.
#[test]
fn a_first_pattern_known_by_its_ends_is_judged_as_by_captures() {
    let filters = [filter(
        "description='x'\nnames=true\nfailregex=['^(?:Failed \\w+|No [ab]{2}) for (?:a )?<F-USER>.*</F-USER> from <HOST> port \\d+$', '^No \\w+ for .* from <HOST>(?: x)?$']",
    )];
    let heads =
        ["Failed pw for ", "Failed pw for", "No ab for a ", "No abb for ", "Failed  for ", "failed pw for "];
    let names = ["", "b", "b from ", "x from 192.0.2.1 port 9", " from"];
    let links = [" from ", "from ", " from", " from ["];
    let hosts = ["192.0.2.7", "2001:db8::1", "192.0.2.300", "host.example", "", "192.0.2.7]", "192.0.2.7."];
    let ends = ["", " port 22", " port", " port 22 ", " port x", " x"];
    let mut block = String::new();
    for head in heads {
        for (name, link) in names.iter().flat_map(|name| links.map(|link| (name, link))) {
            for (host, end) in hosts.iter().flat_map(|host| ends.map(|end| (host, end))) {
                block += &format!("Nov 21 06:50:25 gw sshd[1]: {head}{name}{link}{host}{end}\n");
            }
        }
    }
    let found = scanned(&filters, block.as_bytes());
    assert_eq!(found, line_by_line(&filters, block.as_bytes()));
    let firsts = found.iter().filter(|(_, failure, _)| failure.pattern == 0).count();
    assert!(firsts > 50 && found.len() > firsts, "{firsts} of {}", found.len());
}
