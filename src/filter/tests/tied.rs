//! Lines of one connection, and hosts that have only a name.

use super::*;

fn failures(filters: &[Arc<Filter>], lines: &[&str]) -> Vec<(String, u32)> {
    let block = lines.join("\n");
    let found = scanned(filters, block.as_bytes());
    assert_eq!(found, line_by_line(filters, block.as_bytes()), "{block}");
    found.into_iter().map(|(_, failure, _)| (failure.address.to_string(), failure.attempts)).collect()
}

const TIED: &str = "description='tied'\nnames=true\nfailregex=['^no <HOST>$','^too many$']\n[connection]\n\
    known=['^hello <HOST>$']\nwithheld=['^perhaps <HOST>$','^perhaps$']\nsuccess=['^yes$']\nclose=['^bye <HOST>$','^bye$']";

#[test]
fn the_lines_of_a_connection_add_up_and_nothing_counts_twice() {
    let filters = [filter(TIED)];
    let head = |line: &&str| format!("Nov 21 06:50:25 gw x[{}", line.replacen(' ', "]: ", 1));
    for (lines, expected) in [
        (&["1 hello 192.0.2.1", "1 too many", "1 too many"][..], &[1, 1][..]),
        (&["1 too many", "1 bye 192.0.2.1", "1 bye 192.0.2.1"], &[1]),
        (&["1 hello 192.0.2.1", "1 no 192.0.2.1", "1 too many"], &[1]),
        (&["1 hello 192.0.2.1", "1 too many", "1 no 192.0.2.1", "1 no 192.0.2.1"], &[1, 1]),
        (&["1 perhaps", "1 perhaps", "1 bye 192.0.2.1"], &[2]),
        (&["1 perhaps 192.0.2.1", "1 no 192.0.2.1", "1 bye"], &[1]),
        (&["1 perhaps 192.0.2.1", "1 yes", "1 bye 192.0.2.1"], &[]),
        (&["1 perhaps 192.0.2.1", "1 bye"], &[1]),
        (&["1 perhaps 192.0.2.7", "1 bye 192.0.2.1"], &[]),
        (&["1 hello 192.0.2.7", "1 hello 192.0.2.1", "1 too many"], &[1]),
        (&["1 hello 192.0.2.1", "2 too many", "1 bye", "1 too many"], &[]),
        (&["1 no 192.0.2.1", "1 bye", "1 hello 192.0.2.1", "1 too many"], &[1, 1]),
        (&["1 no host.example", "1 hello 192.0.2.1", "1 no host.example"], &[1]),
    ] {
        let lines: Vec<String> = lines.iter().map(head).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let expected: Vec<_> = expected.iter().map(|attempts| ("192.0.2.1".to_owned(), *attempts)).collect();
        assert_eq!(failures(&filters, &lines), expected, "{lines:#?}");
    }
}

#[test]
fn names_are_told_and_counted_and_never_reported() {
    let filters = [filter(TIED)];
    let line = b"no host9.example.net";
    let LineVerdict::Match { first, .. } = filters[0].line(line, &clock(), false) else { panic!("no match") };
    assert_eq!((first.host.as_str(), first.address), ("host9.example.net", None));
    let mut scanner = Scanner::new(&filters);
    scanner.scan(line, &clock(), &mut |_, failure, _| panic!("{failure:?}"));
    assert_eq!(scanner.counters().named, 1);
    assert_eq!(filters[0].line(b"no localhost", &clock(), false), LineVerdict::Miss);
}

#[test]
fn success_and_end_are_told() {
    let mut scanner = Scanner::new(&[filter(TIED)]);
    let mut verdict = |text: &str| scanner.line(0, format!("<38>x[1]: {text}").as_bytes(), &clock(), false);
    assert_eq!(verdict("hello 192.0.2.1"), LineVerdict::Partial);
    assert_eq!(verdict("yes"), LineVerdict::Gain);
    assert_eq!(verdict("perhaps"), LineVerdict::Partial);
    assert_eq!(verdict("bye"), LineVerdict::Forget);
}

/// The text of a message names no connection, and a line without a process id belongs to none.
#[test]
fn no_message_chooses_its_connection() {
    let filters = [filter(TIED)];
    assert!(failures(&filters, &["hello 192.0.2.1", "too many"]).is_empty());
    assert!(
        failures(&filters, &["Nov 21 06:50:25 gw x: hello 192.0.2.1", "Nov 21 06:50:25 gw x: too many"])
            .is_empty()
    );
    let forged = "Nov 21 06:50:25 gw x[2]: Nov 21 06:50:25 gw x[1]: hello 192.0.2.1";
    assert!(failures(&filters, &[forged, "Nov 21 06:50:25 gw x[1]: too many"]).is_empty());
}
