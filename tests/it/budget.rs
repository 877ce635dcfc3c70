//! What filters of fail2ban's remember of hostile text stays within one budget for all of them.

use std::collections::BTreeMap;
use std::fs;

use kban::filter::{Filter, LineVerdict, Scanner, dialect_cache_bytes};

use crate::corpus::{Package, cases};
use crate::dialect::{clock, reference};
use crate::mutate::{Dice, mutated};

/// What [`dialect_cache_bytes`] promises.
const BUDGET: usize = 4 << 20;
/// Lines of noise for each filter, of each kind.
const NOISE: usize = 180;

/// Memory of the process that no file is behind, in KiB (proc(5)).
fn anonymous() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// With characters in it that are not of ASCII.
fn foreign(line: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut line = line.to_vec();
    for _ in 0..4 {
        let at = dice.below(line.len() + 1);
        let text = ["é", "я", "٣", "中", "\u{a0}", "ß"][dice.below(6)];
        line.splice(at..at, text.bytes());
    }
    line
}

#[test]
fn hostile_text_through_all_filters_fills_no_more_than_the_budget() {
    let (package, clock) = (Package::find(), clock());
    let mut dice = Dice::new(11);
    let mut filters = Vec::new();
    for (name, path) in package.filters() {
        let cases = cases(&package, &name);
        let options = cases.first().map_or_else(BTreeMap::new, |case| case.options.clone());
        let Ok(filter) = Filter::load(&reference(&path, &options), &[]) else { panic!("{name} is refused") };
        let lines: Vec<Vec<u8>> =
            cases.into_iter().filter(|case| case.options == options).map(|case| case.line).collect();
        filters.push((Scanner::new(&[filter.into()]), lines));
    }
    assert!(filters.len() > 50, "only {} filters: is the corpus complete?", filters.len());
    println!("loaded: {} KiB of the process", anonymous());
    let (mut most, mut matching) = (0, 0);
    for kind in ["corpus", "noise", "foreign noise", "corpus again"] {
        for (scanner, lines) in &mut filters {
            let mut judge = |line: &[u8]| {
                let verdict = scanner.line(0, line, &clock, true);
                most = most.max(dialect_cache_bytes());
                matches!(verdict, LineVerdict::Match { .. })
            };
            if kind.starts_with("corpus") {
                matching += lines.iter().filter(|line| judge(line)).count();
                continue;
            }
            for _ in 0..NOISE {
                let line = &lines[dice.below(lines.len())];
                let line = mutated(line, &lines[dice.below(lines.len())], &mut dice);
                judge(&if kind == "noise" { line } else { foreign(&line, &mut dice) });
            }
        }
        println!("{kind}: {} KiB of the process, {most} bytes at most, {matching} match", anonymous());
        assert!(most <= BUDGET, "{most} bytes after the {kind}");
    }
    assert!(most > BUDGET / 2, "{most} bytes: the noise is not hostile");
    assert!(matching > 1000, "{matching} lines of the corpus match");
}
