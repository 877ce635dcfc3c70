//! `[store]`.

use super::*;
use crate::config::plan::StorePlan;

#[test]
fn what_is_remembered_has_defaults_and_can_be_chosen() {
    let store = |text: &str| Etc::new(&[("kban.toml", text)]).load().unwrap().store;
    let days = |days: u64| Duration::from_secs(days * 86_400);
    let usual =
        StorePlan { in_memory: false, keep: days(90), max_size: 256 << 20, evidence: 5, keep_users: true };
    assert_eq!(store(""), usual);
    let text =
        "[store]\nmode = \"memory\"\nkeep = \"1w\"\nmax_size = \"8 MiB\"\nevidence = 0\nkeep_users = false\n";
    let chosen =
        StorePlan { in_memory: true, keep: days(7), max_size: 8 << 20, evidence: 0, keep_users: false };
    assert_eq!(store(text), chosen);
}

#[test]
fn what_cannot_be_meant_is_said() {
    let text = "[store]\nmode = \"ram\"\nkeep = \"permanent\"\nmax_size = \"256\"\nevidence = 101\nkeep_users = \"no\"\nkeep_user = true\n";
    let told = told(text);
    for sentence in [
        "`ram` is no place for the store",
        "write \"disk\" or \"memory\"; the directory is kband's --state-dir",
        "only a ban can be permanent",
        "`256` is not a size",
        "write a whole number and a unit (KiB, MiB, GiB, kB, MB, GB), such as \"256MiB\"",
        "101 is too large",
        "unknown key `keep_user`",
    ] {
        assert!(told.contains(sentence), "{sentence}\n{told}");
    }
    assert_eq!(told.matches("error: ").count(), 6, "{told}");
}
