//! The logs that the jails follow: by kband's account if it runs, by our own eyes if not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use super::check::{Check, State};
use super::root::Root;
use crate::config::Plan;
use crate::control::protocol::SourceRow;
use crate::source::journal::PLACES;
use crate::source::{Input, file};
use crate::words::counted;

/// What is read, by its name, and the jails that read it.
type Logs<'p> = BTreeMap<String, (Option<&'p Input>, Vec<String>)>;

/// A source that is so many bytes behind is told of.
const MUCH: u64 = 64 * 1024 * 1024;

/// Looks at every source of the plan, and at every one that kband reads.
pub(super) fn checks(root: &Root, plan: Option<&Plan>, sources: Option<&[SourceRow]>) -> Vec<Check> {
    let mut logs = Logs::new();
    for jail in plan.iter().flat_map(|plan| &plan.jails) {
        for input in &jail.sources {
            let (known, jails) = logs.entry(input.to_string()).or_default();
            *known = Some(input);
            jails.push(jail.name.to_string());
        }
    }
    for source in sources.unwrap_or_default() {
        logs.entry(source.source.clone()).or_default();
    }
    let journal = PLACES.iter().any(|directory| !root.names(directory).is_empty());
    let mut found = Vec::new();
    for (name, (input, jails)) in &logs {
        let with_jails = |log: &str| match jails.as_slice() {
            [] => log.to_owned(),
            jails => format!("{log} ({})", jails.join(", ")),
        };
        let rows: Vec<&SourceRow> =
            sources.iter().flat_map(|all| all.iter()).filter(|row| row.source == *name).collect();
        // Of the files of one pattern, those in trouble have a line of their own.
        let many = rows.iter().any(|row| row.whole);
        let told = rows.iter().filter(|row| !many || row.whole || row.error.is_some());
        found.extend(told.map(|row| by_kband(&with_jails(&row.path), row, journal)));
        match (input, input.and_then(Input::log_path)) {
            (Some(_), Some(path)) if rows.is_empty() => {
                found.push(by_ourselves(&with_jails(name), &root.at(path), sources.is_some(), journal));
            }
            (Some(_), None) if rows.is_empty() => found.push(unread(&with_jails(name), sources.is_some())),
            _ => {}
        }
    }
    if found.is_empty() && plan.is_some() {
        found.push(Check::ok("logs.none", "no jail follows a log"));
    }
    found
}

fn by_kband(log: &str, source: &SourceRow, journal: bool) -> Check {
    let name = "logs.file";
    match (&source.error, &*source.state) {
        (Some(error), state) => {
            let state = if state == "failed" { State::Fail } else { State::Warn };
            let said = Check::said(name, state, error);
            Check { found: format!("{log}: {}", said.found), ..said }
        }
        (None, "waiting") if source.source.starts_with("pipe ") => Check::warn(
            name,
            format!("{log} is not there: nobody is banned by it until it appears"),
            "make it with mkfifo, or have whoever writes to it make it",
        ),
        (None, "waiting") => missing(log, journal),
        (None, _) if source.lag.is_some_and(|lag| lag > MUCH) => Check::warn(
            name,
            format!(
                "{log} is read, but {} behind its end",
                counted(source.lag.unwrap_or_default(), "byte", "bytes")
            ),
            "look again: if it does not shrink, the log is written faster than it is judged, and bans come late",
        ),
        (None, _) if source.lines_broken > 0 => Check::warn(
            name,
            format!(
                "{log} is read, but {} not what the container runtime writes",
                counted(source.lines_broken, "line is", "lines are")
            ),
            "see that `format` in its jail is that of the runtime: docker or cri",
        ),
        (None, _) if source.undated > 0 => Check::warn(
            name,
            format!(
                "{log} is read, but {} matched whose date cannot be read: they count for nobody",
                counted(source.undated, "line", "lines")
            ),
            "see how it is written with `banctl test FILTER FILE --print-all-missed`",
        ),
        (None, _) => Check::ok(name, format!("{log} is read")),
    }
}

fn by_ourselves(log: &str, path: &Path, runs: bool, journal: bool) -> Check {
    let name = "logs.file";
    if file::has_wildcards(path) {
        return by_pattern(log, path, runs, journal);
    }
    // Asked before opening: opening a FIFO would wait for a writer.
    let opened = path
        .metadata()
        .and_then(|metadata| if metadata.is_file() { File::open(path).map(|_| true) } else { Ok(false) });
    match opened {
        Ok(true) if runs => not_in_effect(log),
        Ok(true) => Check::ok(name, format!("{log} can be read")),
        Ok(false) => {
            Check::fail(name, format!("{log} is no regular file, and is not read"), "name a log file")
        }
        Err(error) if error.kind() == ErrorKind::NotFound => missing(log, journal),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Check::unknown(
            name,
            format!("{log} may not be read by this user, which says nothing of kband"),
            "run banctl doctor as root",
        ),
        Err(error) => Check::fail(
            name,
            format!("{log} cannot be opened ({error})"),
            "check the path and its file system",
        ),
    }
}

/// The worst of its files stands for all.
fn by_pattern(log: &str, path: &Path, runs: bool, journal: bool) -> Check {
    let files = file::matching(path);
    let each =
        files.iter().map(|file| by_ourselves(&format!("{log}: {}", file.display()), file, runs, journal));
    match each.max_by_key(|check| check.state) {
        None => missing(log, journal),
        Some(check) if check.state == State::Ok => {
            Check::ok("logs.file", format!("{log}: {} files can be read", files.len()))
        }
        Some(check) => check,
    }
}

/// What only kband itself can read.
fn unread(log: &str, runs: bool) -> Check {
    if runs {
        return not_in_effect(log);
    }
    Check::unknown("logs.file", format!("{log} is read by kband, which does not run"), "start kband")
}

fn not_in_effect(log: &str) -> Check {
    Check::warn(
        "logs.file",
        format!("{log} is in the configuration, but kband does not read it"),
        "`banctl reload` puts the configuration into effect",
    )
}

fn missing(log: &str, journal: bool) -> Check {
    let found = format!("{log} is not there: nobody is banned by it until it appears");
    let remedy = match journal {
        true => {
            "name another with logpath; if the messages are only in the journal, name the unit that writes them: \
             journalmatch = \"_SYSTEMD_UNIT=NAME.service\""
        }
        false => "name another with logpath, or have the service write it",
    };
    Check::warn("logs.file", found, remedy)
}

#[cfg(test)]
mod tests {
    use super::super::root::tests::machine;
    use super::super::tests::status;
    use super::*;

    fn row(state: &str, error: Option<&str>) -> SourceRow {
        let mut row = status().sources.remove(0);
        row.state = state.into();
        row.error = error.map(str::to_owned);
        row
    }

    #[test]
    fn kband_knows_best() {
        let denied = "permission to read \"/var/log/auth.log\" is denied: let kband run as root";
        for (source, state, part) in [
            (row("following", None), State::Ok, "is read"),
            (row("waiting", None), State::Warn, "not there"),
            (SourceRow { source: "pipe app".into(), ..row("waiting", None) }, State::Warn, "not there"),
            (row("failed", Some(denied)), State::Fail, "is denied"),
            (row("following", Some("it cannot be watched: raise it")), State::Warn, "cannot be watched"),
            (SourceRow { lag: Some(1 << 30), ..row("following", None) }, State::Warn, "bytes behind"),
            (SourceRow { lines_broken: 3, ..row("following", None) }, State::Warn, "3 lines are not"),
            (SourceRow { undated: 3, ..row("following", None) }, State::Warn, "3 lines matched"),
        ] {
            let check = by_kband("x", &source, false);
            assert!(check.state == state && check.found.contains(part), "{check:?}");
        }
        let (_directory, root) = machine(&[]);
        let checks = checks(&root, None, Some(&[row("following", None)]));
        assert_eq!((checks.len(), checks[0].state), (1, State::Ok), "there without a plan as well");
        let of = |whole, error: Option<&str>| SourceRow {
            whole,
            source: "/var/log/*.log".into(),
            path: format!("{error:?}"),
            ..row(if error.is_some() { "failed" } else { "following" }, error)
        };
        let rows = [of(true, None), of(false, None), of(false, Some("it cannot be read"))];
        let states: Vec<State> =
            super::checks(&root, None, Some(&rows)).iter().map(|check| check.state).collect();
        assert_eq!(states, [State::Ok, State::Fail], "the pattern, and what has trouble");
    }

    #[test]
    fn without_kband_the_files_are_looked_at() {
        let (_directory, root) = machine(&[("/var/log/auth.log", ""), ("/var/log/directory/x", "")]);
        let look = |path: &str, runs| by_ourselves("x", &root.at(path), runs, false).state;
        assert_eq!(look("/var/log/auth.log", false), State::Ok);
        assert_eq!(look("/var/log/auth.log", true), State::Warn, "not in effect");
        assert_eq!(look("/var/log/directory", false), State::Fail);
        assert_eq!(look("/var/log/none", false), State::Warn);
        assert_eq!(look("/var/log/auth.log/x", false), State::Fail, "ENOTDIR");
        assert_eq!(look("/var/*/*.log", false), State::Ok);
        assert_eq!(look("/var/*/*.none", false), State::Warn);
        let dev = Root::new("/");
        assert_eq!(by_ourselves("x", &dev.at("/dev/null"), false, false).state, State::Fail);
    }

    #[test]
    fn a_machine_with_only_a_journal_is_told_what_to_do() {
        assert!(missing("x", true).remedy.unwrap().contains("journalmatch"));
        assert!(!missing("x", false).remedy.unwrap().contains("journalmatch"));
    }
}
