//! The diagnosis as it is printed.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::check::{Check, State};
use crate::cli::output::{self, harmless};

/// `{"schema":1,"checks":[...]}`.
#[derive(Serialize)]
struct Document<'a> {
    checks: &'a [Check],
}

/// Prints one JSON document.
pub(super) fn print_json(out: &mut dyn Write, checks: &[Check]) -> io::Result<()> {
    output::print_json(out, &Document { checks })
}

/// Prints a line for each check, themes apart, and what it comes to.
pub(super) fn print(out: &mut dyn Write, checks: &[Check]) -> io::Result<()> {
    let mut table = output::table(&[]);
    let mut theme = None;
    for check in checks {
        if theme.is_some_and(|theme| theme != check.theme()) {
            table.add_row([""]);
        }
        theme = Some(check.theme());
        let sentence = match &check.remedy {
            Some(remedy) => format!("{} -> {}", harmless(&check.found), harmless(remedy)),
            None => harmless(&check.found),
        };
        table.add_row([check.state.word(), check.check, &sentence]);
    }
    // The heading has no words.
    for line in table.lines().skip(1) {
        let line = line.strip_prefix(' ').unwrap_or(&line).trim_end();
        let word = line.split(' ').next().unwrap_or_default();
        let style = style(word);
        writeln!(out, "{style}{word}{style:#}{}", line.strip_prefix(word).unwrap_or_default())?;
    }
    writeln!(out, "\n{}", sum(checks))
}

fn style(word: &str) -> Style {
    match word {
        "ok" => AnsiColor::Green.on_default(),
        "warn" | "unknown" => AnsiColor::Yellow.on_default(),
        "fail" => AnsiColor::Red.on_default().bold(),
        _ => Style::new(),
    }
}

/// "1 failure, 3 warnings, 2 not known".
fn sum(checks: &[Check]) -> String {
    let count = |state: State| checks.iter().filter(|check| check.state == state).count();
    let some = |count: usize, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{count} {many}")),
    };
    let parts = [
        some(count(State::Fail), "failure", "failures"),
        some(count(State::Warn), "warning", "warnings"),
        some(count(State::Unknown), "not known", "not known"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "nothing is wrong".into() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Vec<Check> {
        vec![
            Check::ok("kernel.nf_tables", "takes it"),
            Check::fail("table.there", "it is not", "reload"),
            Check::warn("log.file", "\"/a\u{1b}[2Jb\" is gone", "name another"),
            Check::unknown("log.file", "\"/b\" is hidden", "be root"),
            Check::warn("log.file", "fail to see", "look"),
        ]
    }

    #[test]
    fn themes_stand_apart_and_columns_in_line() {
        let mut out = Vec::new();
        print(&mut out, &checks()).unwrap();
        let plain = String::from_utf8(anstream::adapter::strip_bytes(&out).into_vec()).unwrap();
        insta::assert_snapshot!(plain);
    }

    #[test]
    fn programs_get_everything_as_it_is() {
        let mut out = Vec::new();
        print_json(&mut out, &checks()).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn good_news_are_said() {
        assert_eq!(sum(&checks()[..1]), "nothing is wrong");
    }
}
