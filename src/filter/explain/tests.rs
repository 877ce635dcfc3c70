use std::fs;
use std::path::PathBuf;

use jiff::tz::TimeZone;

use super::*;
use crate::filter::NORMAL;
use crate::filter::{Definition, catalogue};

fn clock() -> Clock {
    Clock { now: "2026-11-21T12:00:00Z".parse().unwrap(), zone: TimeZone::UTC }
}

fn own(filter: &str) -> Filter {
    let definition = Definition::parse("x", &format!("description = 'x'\n{filter}")).unwrap();
    Filter::compile("x", "x", definition.into(), NORMAL).unwrap()
}

fn dialect(filter: &str) -> Filter {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.conf");
    fs::write(&path, format!("[Definition]\n{filter}\n")).unwrap();
    Filter::load(&path.display().to_string(), &[] as &[PathBuf]).unwrap()
}

fn explain(filter: &Filter, line: &[u8]) -> Explanation {
    let explained = filter.explainer().explain(line, &clock());
    let verdict = filter.line(line, &clock(), false);
    let matched = matches!(verdict, crate::filter::LineVerdict::Match { .. });
    assert_eq!(matched, matches!(explained.outcome, Outcome::Matched { .. }), "{explained:?} {verdict:?}");
    explained
}

/// `name=text` of each capture, the date first.
fn captures(filter: &Filter, line: &str) -> Vec<String> {
    let Explanation { text, date, outcome } = explain(filter, line.as_bytes());
    let Outcome::Matched { captures, .. } = outcome else { panic!("no match: {outcome:?}") };
    let date = date.map(|span| format!("date={}", &text[span]));
    let captures = captures.iter().map(|capture| format!("{}={}", capture.name, &text[capture.span.clone()]));
    date.into_iter().chain(captures).collect()
}

/// The nearest pattern, the text before the place at which it stopped, and what it wanted.
fn nearest(filter: &Filter, line: &[u8]) -> Option<(usize, String, Wanted)> {
    let Explanation { text, outcome, .. } = explain(filter, line);
    let Outcome::Missed { nearest, complete: true } = outcome else { panic!("not missed: {outcome:?}") };
    nearest.map(|Nearest { pattern, stop }| (pattern, text[..stop.at].to_owned(), stop.wanted))
}

const OWN: &str = r#"
programs = ["sshd"]
failregex = ['^Failed (?:password|none) for <F-USER>.*</F-USER> from <HOST> port \d+$', '^<DATE> refused <HOST>$']
ignoreregex = ['^Failed none for (?:nobody) from']
"#;
const HEAD: &str = "Nov 21 06:50:25 h sshd[1]: ";

#[test]
fn captures_are_places_of_the_line() {
    let filter = own(OWN);
    assert_eq!(
        captures(&filter, &format!("{HEAD}Failed password for wörld from 192.0.2.1 port 22\r\n")),
        ["date=Nov 21 06:50:25", "user=wörld", "host=192.0.2.1"]
    );
    assert_eq!(
        captures(&filter, "2026-11-21 06:50:25 refused 192.0.2.1"),
        ["date=2026-11-21 06:50:25", "host=192.0.2.1"]
    );
}

#[test]
fn the_nearest_pattern_and_where_it_stopped() {
    let filter = own(OWN);
    let message = |text: &str| nearest(&filter, format!("{HEAD}{text}").as_bytes());
    let at = |text: &str, wanted| Some((0, format!("{HEAD}{text}"), wanted));
    assert_eq!(
        message("Failed passwort for a from 192.0.2.1 port 22"),
        at("Failed passwor", Wanted::Text("d".into()))
    );
    assert_eq!(
        message("Failed none for a from 192.0.2.1 port 22 ssh2"),
        at("Failed none for a from 192.0.2.1 port 22", Wanted::End)
    );
    assert_eq!(
        message("Failed none for a from 192.0.2.300 port 22"),
        at("Failed none for a from ", Wanted::Host)
    );
    assert_eq!(message("Failed none for a from"), at("Failed none for a from", Wanted::Text(" ".into())));
    assert_eq!(message("Accepted password for a from 192.0.2.1 port 22"), None);
    assert_eq!(message(""), None);
    let dated = nearest(&filter, b"2026-11-21 06:50:25 refuse 192.0.2.1").unwrap();
    assert_eq!((dated.0, &*dated.1), (1, "2026-11-21 06:50:25 refuse"));
}

#[test]
fn lines_that_are_refused_before_any_pattern() {
    let filter = own(OWN);
    let outcome = |line: &str| explain(&filter, line.as_bytes()).outcome;
    assert!(matches!(
        outcome("Nov 21 06:50:25 h cron[1]: Failed password for a from 192.0.2.1 port 22"),
        Outcome::OtherProgram { program, programs } if program == "cron" && programs == ["sshd"]
    ));
    assert!(matches!(
        outcome(&format!("{HEAD}Failed none for nobody from 192.0.2.1 port 22")),
        Outcome::Ignored { exception: 0, .. }
    ));
    assert_eq!(outcome(&"x".repeat(LONGEST_LINE)), Outcome::TooLong);
}

#[test]
fn bytes_that_are_no_text_move_nothing() {
    let filter = own(OWN);
    let line = [HEAD.as_bytes(), b"Failed password for \xff\xc3\x1b[2J from 192.0.2.1 port 2x"].concat();
    let (_, before, wanted) = nearest(&filter, &line).unwrap();
    assert!(before.ends_with("from 192.0.2.1 port 2"), "{before}");
    assert_eq!(wanted, Wanted::End);
    let line = [HEAD.as_bytes(), b"Failed password for \xff\xc3 from 192.0.2.1 port 2"].concat();
    assert!(captures(&filter, &String::from_utf8_lossy(&line)).contains(&"host=192.0.2.1".to_owned()));
    let explained = explain(&filter, &line);
    let Outcome::Matched { captures, .. } = explained.outcome else { panic!() };
    assert_eq!(&explained.text[captures[1].span.clone()], "192.0.2.1");
}

#[test]
fn conditions_say_what_does_not_hold() {
    let filter = own("format = 'json'\nhost = 'ip'\nwhere.status = 401\nwhere.msg = 'denied'\n");
    let wanted = |line: &str| match nearest(&filter, line.as_bytes()) {
        Some((0, _, Wanted::Condition(condition))) => condition,
        other => panic!("{other:?}"),
    };
    assert_eq!(wanted(r#"{"ip":"192.0.2.1","status":200,"msg":"denied"}"#), "another status than \"200\"");
    assert_eq!(wanted(r#"{"ip":"192.0.2.1","status":401}"#), "a field msg");
    assert_eq!(wanted(r#"{"ip":"x","status":401,"msg":"denied"}"#), "an address in ip");
    assert_eq!(nearest(&filter, br#"{"ip":"x"}"#), None);
}

#[test]
fn the_dialect_is_explained_in_the_places_of_the_whole_line() {
    let filter = dialect(
        "prefregex = ^\\s*srv: <F-CONTENT>.+</F-CONTENT>$\n\
         failregex = ^login of <F-USER>\\S+</F-USER> from <HOST> failed$\n    ^(?!no)\\w+ denied <ADDR>$",
    );
    assert_eq!(
        captures(&filter, "2026-11-21 06:50:25 srv: login of é from 192.0.2.1 failed"),
        ["date=2026-11-21 06:50:25", "user=é", "host=192.0.2.1"]
    );
    let missed = |line: &str| nearest(&filter, line.as_bytes()).unwrap();
    let (pattern, before, wanted) = missed("2026-11-21 06:50:25 srv: login of é from 192.0.2.1 refused");
    assert_eq!((pattern, &*before), (0, "2026-11-21 06:50:25 srv: login of é from 192.0.2.1 "));
    assert_eq!(wanted, Wanted::Text("failed".into()));
    assert_eq!(missed("2026-11-21 06:50:25 srv: not denied 192.0.2.1").2, Wanted::Around);
    let explained = explain(&filter, b"2026-11-21 06:50:25 svr: login of a from 192.0.2.1 failed");
    let Outcome::NoPrefix { stop: Some(stop) } = explained.outcome else { panic!("{explained:?}") };
    assert_eq!(
        (&explained.text[..stop.at], stop.wanted),
        ("2026-11-21 06:50:25 s", Wanted::Text("rv: ".into()))
    );
}

#[test]
fn patterns_are_tried_one_by_one() {
    let filter = own(OWN);
    let mut explainer = filter.explainer();
    let line =
        explainer.prepare(format!("{HEAD}Failed password for a from 192.0.2.1 port 22").as_bytes(), &clock());
    assert_eq!(
        [explainer.tries(0, &line), explainer.tries(1, &line), explainer.tries(9, &line)],
        [true, false, false]
    );
    let filter = dialect("failregex = ^a <HOST>$\n    ^b <HOST>$");
    let mut explainer = filter.explainer();
    let line = explainer.prepare(b"2026-11-21 06:50:25 b 192.0.2.1\n", &clock());
    assert_eq!(
        [explainer.tries(0, &line), explainer.tries(1, &line)],
        [false, false],
        "the blank behind the date stays"
    );
}

/// Of every filter of the catalogue: its examples, and each of them cut short, is explained as it is judged.
#[test]
fn the_whole_catalogue_is_explained_as_it_is_judged() {
    let mut missed = 0;
    for name in catalogue::names() {
        let definition =
            std::sync::Arc::new(Definition::parse(name, catalogue::text(name).unwrap()).unwrap());
        for mode in definition.modes() {
            let filter = Filter::compile(name, name, definition.clone(), &mode).unwrap();
            let mut explainer = filter.explainer();
            for example in
                definition.example.iter().filter(|one| one.mode.as_deref().unwrap_or(NORMAL) == mode)
            {
                let cut = example.line.len() * 3 / 4;
                for line in [example.line.as_bytes(), &example.line.as_bytes()[..cut]] {
                    let explained = explainer.explain(line, &clock());
                    let verdict = filter.line(line, &clock(), false);
                    let matched = matches!(verdict, crate::filter::LineVerdict::Match { .. });
                    let told = matches!(explained.outcome, Outcome::Matched { .. });
                    // A line that tells of a connection matches a pattern, and may lead to nothing by itself.
                    let tied = definition.connection.is_some();
                    assert!(matched == told || (told && tied), "{name}: {explained:?}");
                    if let Outcome::Missed { nearest: Some(Nearest { stop, .. }), complete } =
                        explained.outcome
                    {
                        assert!(complete && explained.text.is_char_boundary(stop.at), "{name}");
                        missed += 1;
                    }
                }
            }
        }
    }
    assert!(missed > 100, "only {missed} nearest patterns");
}
