//! The man pages under docs/man are made from the command lines themselves. `KBAN_BLESS=1 cargo test manual` renews them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

fn page(command: clap::Command, section: &str, see_also: &str) -> String {
    let command = command.disable_help_subcommand(true);
    let mut text = Vec::new();
    let man = Man::new(command.clone())
        .section(section)
        .source(format!("kban {}", env!("CARGO_PKG_VERSION")))
        .manual("kban");
    man.render_title(&mut text).unwrap();
    man.render_name_section(&mut text).unwrap();
    man.render_synopsis_section(&mut text).unwrap();
    man.render_description_section(&mut text).unwrap();
    man.render_options_section(&mut text).unwrap();
    for (full, verb) in verbs(command.get_name(), &command) {
        let mut heading = Roff::new();
        heading.control("SH", [full.to_uppercase().as_str()]);
        heading.text([roman(verb.get_about().map(ToString::to_string).unwrap_or_default())]);
        text.extend(heading.render().into_bytes());
        let mut options = Vec::new();
        Man::new(verb).render_options_section(&mut options).unwrap();
        text.extend(String::from_utf8(options).unwrap().replacen(".SH OPTIONS\n", "", 1).into_bytes());
    }
    man.render_extra_section(&mut text).unwrap();
    let mut end = Roff::new();
    end.control("SH", ["SEE ALSO"]);
    end.text([roman(see_also)]);
    text.extend(end.render().into_bytes());
    String::from_utf8(text).unwrap()
}

/// The verbs with their full names, each followed by those below it.
fn verbs(above: &str, command: &clap::Command) -> Vec<(String, clap::Command)> {
    let each = command.get_subcommands().filter(|verb| !verb.is_hide_set()).flat_map(|verb| {
        let full = format!("{above} {}", verb.get_name());
        let below = verbs(&full, verb);
        [(full, verb.clone().disable_help_flag(true))].into_iter().chain(below)
    });
    each.collect()
}

#[track_caller]
fn compare(name: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/man").join(name);
    if std::env::var_os("KBAN_BLESS").is_some() {
        fs::write(&path, made).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "{name} is not what the command line says: run KBAN_BLESS=1 cargo test manual");
}

#[test]
fn the_man_pages_say_what_the_programs_take() {
    compare("banctl.1", &page(kban::cli::command(), "1", "kband(8), kban.toml(5), nft(8)"));
    compare("kband.8", &page(kban::daemon::command(), "8", "banctl(1), kban.toml(5), nft(8)"));
}

/// The page is written by hand; the keys are those of the struct that reads them.
#[test]
fn every_key_of_a_filter_has_a_word_in_its_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/man/kban-filter.5")).unwrap().replace("\\-", "-");
    let source = fs::read_to_string(root.join("src/filter/definition.rs")).unwrap();
    let keys: Vec<&str> = source
        .lines()
        .filter_map(|line| line.strip_prefix("    pub ")?.split_once(':'))
        .filter(|(key, _)| !key.contains(' '))
        .map(|(key, _)| if key == "conditions" { "where" } else { key })
        .collect();
    assert!(keys.len() > 20, "{keys:?}");
    for key in keys {
        assert!(has_word(&page, key), "docs/man/kban-filter.5 does not say what {key} is");
    }
}

/// The example is complete (config's own tests see to that), so the page has to say what each of its keys is.
#[test]
fn every_key_of_the_configuration_has_a_word_in_its_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/man/kban.toml.5")).unwrap().replace("\\-", "-");
    let example = fs::read_to_string(root.join("docs/kban.toml")).unwrap();
    let lines = example.lines().map(|line| line.trim_start_matches('#'));
    let keys: BTreeSet<&str> =
        lines.filter_map(|line| Some(line.split_once(" = ")?.0)).filter(|key| is_word(key)).collect();
    assert!(keys.len() > 45, "{keys:?}");
    for key in keys {
        assert!(has_word(&page, key), "docs/man/kban.toml.5 does not say what {key} is");
    }
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn has_word(page: &str, key: &str) -> bool {
    page.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == key)
}
