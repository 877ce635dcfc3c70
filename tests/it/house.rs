//! The house rules that no lint knows: which room may look into which, and where `unsafe` may be.

use std::fs;
use std::path::{Path, PathBuf};

/// Each room, and the rooms whose types it may use. Data goes one way, so nothing points back.
const ROOMS: &[(&str, &[&str])] = &[
    ("source", &[]),
    ("filter", &[]),
    ("config", &["filter"]),
    ("jail", &["config", "filter"]),
    ("firewall", &[]),
    ("store", &["jail", "source"]),
    ("control", &["config", "jail"]),
    ("daemon", &["config", "control", "filter", "firewall", "jail", "source", "store"]),
    ("cli", &["config", "control", "filter", "firewall", "jail", "source"]),
];

/// The longest file in lines, folders of tests and their snapshots aside.
const LONGEST: usize = 450;

fn files(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn room(file: &Path) -> Option<&str> {
    file.strip_prefix(source_root()).ok()?.components().next()?.as_os_str().to_str()
}

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn every_room_looks_only_where_it_may() {
    let mut found = Vec::new();
    files(&source_root(), &mut found);
    assert!(found.len() > 30);
    let mut wrong = Vec::new();
    for file in &found {
        let Some((name, may_use)) = ROOMS.iter().find(|(name, _)| Some(*name) == room(file)) else {
            continue;
        };
        for (number, line) in fs::read_to_string(file).unwrap().lines().enumerate() {
            let Some((_, used)) = line.split_once("crate::") else { continue };
            let used = used.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
            let known = ROOMS.iter().any(|(room, _)| *room == used);
            if known && used != *name && !may_use.contains(&used) {
                wrong.push(format!("{}:{}: {name} uses {used}", file.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn unsafe_lives_in_the_netlink_room_only_and_no_lint_is_switched_off() {
    let mut found = Vec::new();
    files(&source_root(), &mut found);
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), &mut found);
    let forbidden = [["#[", "allow("].concat(), ["#![", "allow("].concat(), ["#[", "expect("].concat()];
    let mut wrong = Vec::new();
    for file in &found {
        let text = fs::read_to_string(file).unwrap();
        let netlink = file.to_string_lossy().contains("firewall/netlink/");
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap();
            let place = || format!("{}:{}: {line}", file.display(), number + 1);
            if code.contains(&["un", "safe {"].concat()) && !netlink {
                wrong.push(place());
            }
            if forbidden.iter().any(|switch| code.contains(switch))
                && !(netlink && code.contains("unsafe_code"))
            {
                wrong.push(place());
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_stay_short_enough_to_read() {
    let mut found = Vec::new();
    files(&source_root(), &mut found);
    let long: Vec<String> = found
        .iter()
        .map(|file| (fs::read_to_string(file).unwrap().lines().count(), file))
        .filter(|(lines, file)| *lines > LONGEST && !file.iter().any(|part| part == "tests"))
        .map(|(lines, file)| format!("{lines} lines: {}", file.display()))
        .collect();
    assert!(long.is_empty(), "split these by their reasons to change: {long:#?}");
}
