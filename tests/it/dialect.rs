//! fail2ban's own filters through our engine: its corpus, and its own engine beside ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use kban::filter::{Clock, Field, Filter, LineMatch, LineVerdict, Scanner};
use serde_json::Value;

use crate::corpus::{Case, Package, cases};
use crate::harness::{Machine, eventually, stderr, stdout};

/// The moment and the zone that the corpus is written for.
pub(crate) fn clock() -> Clock {
    let zone = TimeZone::posix("CET-01CEST-02,M3.5.0,M10.5.0").unwrap();
    Clock { now: Timestamp::from_second(1_124_013_600).unwrap(), zone }
}

pub(crate) fn reference(path: &Path, options: &BTreeMap<String, String>) -> String {
    let options: Vec<String> = options.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
    format!("{}[{}]", path.display(), options.join(", "))
}

#[test]
fn the_installed_corpus_gets_the_verdicts_it_asks_for() {
    let package = Package::find();
    let clock = clock();
    let (mut evaluated, mut matching, mut wrong) = (0, 0, Vec::new());
    for (name, path) in package.filters() {
        let mut scanners: BTreeMap<String, (Scanner, Vec<(String, bool)>)> = BTreeMap::new();
        for case in cases(&package, &name) {
            let reference = reference(&path, &case.options);
            if !scanners.contains_key(&reference) {
                match Filter::load(&reference, &[]) {
                    Ok(filter) => {
                        let hit = filter.patterns().map(|pattern| (pattern.to_owned(), false)).collect();
                        scanners.insert(reference.clone(), (Scanner::new(&[filter.into()]), hit));
                    }
                    Err(error) => {
                        wrong.push(format!("{name}: {error}"));
                        break;
                    }
                }
            }
            let (scanner, hit) = scanners.get_mut(&reference).unwrap();
            evaluated += 1;
            matching += usize::from(case.must_match());
            let verdict = scanner.line(0, &case.line, &clock, true);
            if let LineVerdict::Match { first, others } = &verdict {
                for found in std::iter::once(first).chain(others) {
                    hit[found.pattern].1 = true;
                }
            }
            if let Some(problem) = problem(&case, &verdict, &clock) {
                wrong.push(format!(
                    "{name} {:?} {}: {problem}: {}",
                    case.options,
                    case.place,
                    String::from_utf8_lossy(&case.line)
                ));
            }
        }
        // fail2ban's own tests ask for this too, over all options of a filter.
        let patterns = || scanners.values().flat_map(|(_, patterns)| patterns);
        let hit: BTreeSet<&str> =
            patterns().filter(|(_, hit)| *hit).map(|(pattern, _)| pattern.as_str()).collect();
        let idle: BTreeSet<&str> = patterns()
            .map(|(pattern, _)| pattern.as_str())
            .filter(|pattern| !hit.contains(pattern))
            .collect();
        let told =
            idle.into_iter().filter(|pattern| !is_heard(&path, pattern, &cases(&package, &name), &clock));
        wrong.extend(told.map(|pattern| format!("{name}: no line hits {pattern}")));
    }
    assert!(
        wrong.is_empty(),
        "{} of {evaluated} ({matching} must match):\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(evaluated > 1000, "only {evaluated} evaluations: is the corpus complete?");
}

/// Whether a pattern that finds nobody by itself says something of a connection: asked alone, with some options of the corpus.
fn is_heard(path: &Path, pattern: &str, cases: &[Case], clock: &Clock) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let alone = directory.path().join("alone.conf");
    let text = format!(
        "[INCLUDES]\nbefore = {}\n[Definition]\nfailregex = {}\n",
        path.display(),
        pattern.replace('%', "%%")
    );
    fs::write(&alone, text).unwrap();
    let options: BTreeSet<_> = cases.iter().map(|case| &case.options).collect();
    options.into_iter().any(|options| {
        let filter = Filter::load(&reference(&alone, options), &[]).unwrap();
        let mut scanner = Scanner::new(&[filter.into()]);
        cases.iter().filter(|case| case.options == *options).any(|case| {
            let verdict = scanner.line(0, &case.line, clock, false);
            !matches!(verdict, LineVerdict::Miss | LineVerdict::Ignore)
        })
    })
}

fn problem(case: &Case, verdict: &LineVerdict, clock: &Clock) -> Option<String> {
    match verdict {
        LineVerdict::Match { first, .. } if !case.must_match() => {
            Some(format!("matches pattern {}, should not", first.pattern))
        }
        LineVerdict::Match { others, .. } if !others.is_empty() => {
            Some(format!("{} patterns match", others.len() + 1))
        }
        LineVerdict::Match { first, .. } => differs(case, first, clock),
        other if case.must_match() => Some(format!("{other:?}")),
        _ => None,
    }
}

/// How the match differs from what was expected.
fn differs(case: &Case, found: &LineMatch, clock: &Clock) -> Option<String> {
    for (key, wanted) in &case.expected {
        let actual = match key.as_str() {
            "match" | "desc" | "constraint" => continue,
            "time" if wanted.is_null() => continue,
            "time" => {
                let text = wanted.as_str().unwrap();
                let civil = DateTime::strptime("%Y-%m-%dT%H:%M:%S%.f", text)
                    .unwrap_or_else(|error| panic!("{}: {error}", case.place));
                let wanted = clock.zone.to_ambiguous_timestamp(civil).compatible().unwrap();
                // fail2ban leaves the fraction of most dates out.
                if wanted != found.time {
                    return Some(format!("time {} instead of {wanted}", found.time));
                }
                continue;
            }
            "attempts" => Value::from(found.attempts),
            key => match found.fields.get(key) {
                Some(Field::Text(text)) => Value::from(text.as_str()),
                Some(Field::List(list)) => Value::from(list.clone()),
                None if key == "host" => Value::from(found.host.as_str()),
                None => Value::Null,
            },
        };
        let same = match (&actual, wanted) {
            (Value::Array(actual), Value::Array(wanted)) => {
                let sorted = |list: &[Value]| {
                    let mut list: Vec<String> = list.iter().map(Value::to_string).collect();
                    list.sort();
                    list
                };
                sorted(actual) == sorted(wanted)
            }
            (Value::String(actual), Value::String(wanted)) if key == "host" => {
                // Addresses are shown in their canonical form.
                actual == wanted || actual.parse::<IpAddr>().is_ok_and(|ip| wanted.parse() == Ok(ip))
            }
            (actual, wanted) => actual == wanted,
        };
        if !same {
            return Some(format!("{key} is {actual} instead of {wanted}"));
        }
    }
    None
}

/// The whole way: a .conf with its .local and the built-in prefixes, in the running daemon.
#[test]
fn kband_bans_by_a_filter_in_the_dialect() {
    let machine = Machine::new();
    let conf = machine.path("door.conf");
    let filter = "[INCLUDES]\nbefore = common.conf\n[Definition]\n_daemon = doord\nfailregex = ^%(__prefix_line)sno <HOST>$\n";
    fs::write(&conf, filter).unwrap();
    fs::write(
        machine.path("door.local"),
        "[Definition]\nfailregex = %(known/failregex)s\n ^%(__prefix_line)snever (?!192\\.)<ADDR>$\n",
    )
    .unwrap();
    machine.configure(&format!("filter = {conf:?}\nmaxretry = 2\n"));
    let checked = machine.banctl(&["check", "--config", machine.path("kban.toml").to_str().unwrap()]);
    let daemon = machine.start(machine.kband());
    let now = jiff::Zoned::now().strftime("%b %e %H:%M:%S");
    for line in
        ["no 203.0.113.1", "never 203.0.113.1", "never 192.0.2.1", "never 192.0.2.1", "no such 203.0.113.2"]
    {
        machine.log(&format!("{now} host doord[7]: {line}\n"));
    }
    eventually("the ban is listed", || machine.listed() == ["203.0.113.1"]);
    let told = stdout(&checked);
    assert!(told.contains("need backtracking") && told.contains(": 1\n"), "{told}{}", stderr(&checked));
    daemon.stop();
}

/// A network that a line names is banned whole, unless it is too wide to be one offender's or holds somebody allowed.
#[test]
fn networks_that_the_log_names_reach_the_kernel() {
    let machine = Machine::new();
    let conf = machine.path("net.conf");
    fs::write(&conf, "[Definition]\nfailregex = ^\\s*bad net <SUBNET>$\n ^\\s*bad cidr <ADDR>/<CIDR>$\n")
        .unwrap();
    let file = machine
        .configure(&format!("filter = {conf:?}\nmaxretry = 2\n[defaults]\nignoreip = [\"192.0.2.200\"]\n"));
    let daemon = machine.start(machine.kband());
    let now = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S");
    let lines = [
        "net 203.0.112.77/24",
        "cidr 203.0.112.9/24",
        "net 203.0.96.1/20",
        "net 203.0.97.1/20",
        "net [2001:db8:1:2::9/48]",
        "net 2001:db8:1:3::9/48",
        "net 198.51.100.1/24",
        "net 198.51.100.1",
        "cidr 203.0.113.5/0",
        "net 203.0.113.5/1",
        "net 192.0.2.9/24",
        "cidr 192.0.2.9/24",
    ];
    let log: String = lines.iter().map(|line| format!("{now} bad {line}\n")).collect();
    machine.log(&log);
    let banned = ["192.0.2.9", "2001:db8:1::/48", "203.0.112.0/24", "203.0.113.5", "203.0.96.0/20"];
    let listed = || machine.listed().into_iter().collect::<BTreeSet<_>>();
    eventually("all are listed", || listed() == banned.map(str::to_owned).into());
    for (set, element) in
        [("net4_24", "203.0.112.0"), ("net4_any", "203.0.96.0"), ("net6_48", "2001:db8:1::")]
    {
        let set = machine.nft(&format!("list set inet kban {set}"));
        assert!(set.to_string().contains(element), "{set}");
    }
    let hosts: BTreeSet<String> = machine.set("host4").into_iter().map(|(address, _)| address).collect();
    assert_eq!(hosts, ["192.0.2.9", "203.0.113.5"].map(str::to_owned).into());
    daemon.stop();

    let path = |path: &Path| path.display().to_string();
    let (file, log) = (path(&file), path(&machine.path("auth.log")));
    let options = ["--config", &file, "--jail", "sshd", "--print-all-matched"];
    let tested = machine.banctl_json(&[&["test", &path(&conf), &log], &options[..]].concat());
    assert_eq!(tested["matched_lines"][0]["hosts"][0], "203.0.112.77/24", "{tested}");
    let would_ban = tested["would_ban"].as_array().unwrap().iter();
    let would_ban: BTreeSet<_> = would_ban.map(|convict| convict["address"].as_str().unwrap()).collect();
    assert_eq!(would_ban, banned.into());
}
