//! docs/kban.toml: that it is right, and that it names every key.

use std::collections::BTreeSet;

use super::Etc;

/// As it is shipped.
pub(super) const DOCUMENTED: &str = include_str!("../../../docs/kban.toml");

/// With every commented value (of two for one key, the first), and the keys that there are.
pub(super) fn opened() -> (String, BTreeSet<String>) {
    let mut seen = BTreeSet::new();
    let mut table = String::new();
    let mut open = String::new();
    for line in DOCUMENTED.lines() {
        let line = line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line);
        if line.starts_with('[') {
            table = line.to_owned();
        }
        let key = line.split_once(" = ").map(|(key, _)| format!("{table} {key}"));
        if key.is_none_or(|key| line.starts_with('#') || seen.insert(key)) {
            open.push_str(line);
            open.push('\n');
        }
    }
    (open, seen)
}

#[test]
fn the_documented_example_is_right_and_complete() {
    let plan = |text: &str| {
        let plan = Etc::new(&[("kban.toml", text)]).load();
        plan.unwrap_or_else(|report| panic!("{}", report.render(false, 100)))
    };
    assert_eq!(plan(DOCUMENTED).jails.len(), 1);
    let (open, seen) = opened();
    plan(&open);
    // Every key that the structs have is in it: an unknown one makes them say which there are.
    for (table, documented) in [
        ("defaults", "defaults"),
        ("jail.any", "jail.sshd"),
        ("source.any", "source."),
        ("feed.any", "feed.example"),
        ("firewall", "firewall"),
        ("control", "control"),
        ("fleet", "fleet"),
        ("fleet.peer.any", "fleet.peer."),
    ] {
        let report =
            Etc::new(&[("kban.toml", &format!("[{table}]\nqqqqqqqqqqqq = 1\n"))]).load().unwrap_err();
        let known = report.problems[0].help.clone().unwrap();
        let keys: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        assert!(!keys.is_empty());
        for key in keys {
            let (table, key) = (format!("[{documented}"), format!("] {key}"));
            let is_seen = seen.iter().any(|seen| {
                seen.starts_with(&table) && (seen.ends_with(&key) || seen.contains(&key.replace("] ", ".")))
            });
            assert!(is_seen, "{table}{key} is not documented");
        }
    }
}
