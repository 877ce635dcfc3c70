//! The house rules that no lint knows: which room may look into which, and where `unsafe` may be.

use std::fs;
use std::path::{Path, PathBuf};

/// Each room, and the rooms whose types it may use. Data goes one way, so nothing points back.
const ROOMS: &[(&str, &[&str])] = &[
    ("source", &[]),
    ("filter", &[]),
    ("config", &["filter", "source"]),
    ("feed", &["config"]),
    ("jail", &["config", "filter"]),
    ("firewall", &[]),
    ("store", &["jail", "source"]),
    ("fleet", &["config", "control", "jail"]),
    ("control", &["config", "jail", "store"]),
    ("daemon", &["config", "control", "feed", "filter", "firewall", "fleet", "jail", "source", "store"]),
    ("cli", &["config", "control", "filter", "firewall", "fleet", "jail", "source", "store"]),
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
        for (line, used) in looks_into(&fs::read_to_string(file).unwrap(), depth(file)) {
            let known = ROOMS.iter().any(|(room, _)| *room == used);
            if known && used != *name && !may_use.contains(&&*used) {
                wrong.push(format!("{}:{line}: {name} uses {used}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// How many modules a file is below the crate's root: 1 for `src/jail/mod.rs`, 2 for `src/jail/window.rs`.
fn depth(file: &Path) -> usize {
    let below = file.strip_prefix(source_root()).unwrap();
    below.components().count() - usize::from(below.ends_with("mod.rs"))
}

/// Every name that follows the crate's root in a path, with its line: after `crate::`, each in the braces after it,
/// and after so many `super::` that they lead there from a file `depth` modules down (or one more, inside `mod tests`).
fn looks_into(text: &str, depth: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let roots = ["crate::".to_owned(), "super::".repeat(depth), "super::".repeat(depth + 1)];
    for root in roots {
        for (at, _) in text.match_indices(&root) {
            let whole =
                !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '$');
            let rest = &text[at + root.len()..];
            if whole && !rest.starts_with("super::") {
                let line = text[..at].matches('\n').count() + 1;
                found.extend(first_names(rest).into_iter().map(|name| (line, name)));
            }
        }
    }
    found
}

/// `jail::Ban` is `jail`; `{jail::{Ban, Verdict}, store}` is `jail` and `store`.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned();
    let Some(inside) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut names, mut open, mut begin) = (Vec::new(), 1, 0);
    for (at, c) in inside.char_indices() {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 || (open == 1 && c == ',') {
            names.push(name(inside[begin..at].trim_start()));
            begin = at + 1;
        }
        if open == 0 {
            break;
        }
    }
    names
}

/// The rule above is only as good as its eyes.
#[test]
fn every_way_to_look_into_a_room_is_seen() {
    let seen = |text, depth| looks_into(text, depth).into_iter().map(|(_, name)| name).collect::<Vec<_>>();
    assert_eq!(seen("fn f(a: crate::jail::Ban) -> crate::store::Store", 1), ["jail", "store"]);
    assert_eq!(seen("use crate::{\n    jail::{Ban, bans::Key},\n    store,\n};", 1), ["jail", "store", ""]);
    assert_eq!(seen("use super::super::store::Store;", 2), ["store"]);
    assert_eq!(seen("use super::Store;", 2), [""; 0]);
    assert_eq!(seen("mod tests { use super::super::super::store::Store; }", 2), ["store"]);
    assert_eq!(seen("use my_crate::jail; use $crate_::x;", 1), [""; 0]);
    assert_eq!(looks_into("//\nuse crate::jail;", 1), [(2, "jail".to_owned())]);
    assert_eq!(
        [depth(&source_root().join("jail/mod.rs")), depth(&source_root().join("jail/window.rs"))],
        [1, 2]
    );
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
