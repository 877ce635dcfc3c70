//! The configuration as the next start or reload would read it.

use std::fs::{self, File};
use std::io::ErrorKind;

use super::check::{Check, State};
use crate::cli::output::counted;
use crate::config::validate::NO_LOG_FILE;
use crate::config::{Layout, Plan, Report, Severity};

/// Says whether it loads, and what it warns of.
pub(super) fn checks(layout: &Layout, loaded: Result<&Plan, &Report>) -> Vec<Check> {
    let plan = match loaded {
        Ok(plan) => plan,
        Err(report) => return vec![refused(layout, report)],
    };
    let found = format!(
        "the configuration loads: {}, {}",
        counted(plan.jails.len(), "jail", "jails"),
        counted(plan.feeds.len(), "feed", "feeds")
    );
    let mut checks = vec![Check::ok("config.loads", found)];
    // A log that is missing is looked for by `logs`.
    let warnings = plan.warnings.iter().filter(|problem| !problem.message.contains(NO_LOG_FILE));
    checks.extend(warnings.map(|problem| {
        let bare = crate::config::Problem { help: None, ..problem.clone() };
        Check {
            check: "config.warning",
            state: State::Warn,
            found: bare.to_string(),
            remedy: problem.help.clone(),
        }
    }));
    checks
}

fn refused(layout: &Layout, report: &Report) -> Check {
    let name = "config.loads";
    if is_hidden(layout) {
        return Check::unknown(
            name,
            "the configuration may not be read by this user",
            "run banctl doctor as root",
        );
    }
    let errors: Vec<_> =
        report.problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    let first = errors.first().map(|problem| problem.to_string()).unwrap_or_default();
    Check::fail(
        name,
        format!(
            "the configuration has {}, so kband would not start with it; the first: {first}",
            counted(errors.len(), "error", "errors")
        ),
        "`banctl check` shows all of them with their places",
    )
}

/// Whether a part of it may not be read by this user.
fn is_hidden(layout: &Layout) -> bool {
    let denied = |error: std::io::Error| error.kind() == ErrorKind::PermissionDenied;
    let is_file = |path: &std::path::Path| path.metadata().is_ok_and(|metadata| metadata.is_file());
    let hidden = |path: &std::path::Path| match path.metadata() {
        Err(error) => denied(error),
        Ok(_) => is_file(path) && File::open(path).is_err_and(denied),
    };
    let drop_ins = layout.drop_ins.as_deref().map(fs::read_dir);
    hidden(&layout.main)
        || match drop_ins {
            Some(Err(error)) => denied(error),
            Some(Ok(entries)) => entries.flatten().any(|entry| hidden(&entry.path())),
            None => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<Check> {
        let (_directory, layout) = single(text);
        let loaded = crate::config::load(&layout);
        checks(&layout, loaded.as_ref())
    }

    #[test]
    fn errors_are_counted_and_the_first_is_told() {
        let [check] =
            told("[jail.sshd]\nenabled = true\nmaxretri = 3\nbantime = \"x\"\n").try_into().unwrap();
        assert_eq!(check.state, State::Fail);
        assert!(check.found.contains("has 2 errors") && check.found.contains("kban.toml:3:1"), "{check:?}");
    }

    #[test]
    fn warnings_are_told_but_for_logs() {
        let [loads, none] = told("[jail.sshd]\nenabled = false\n").try_into().unwrap();
        assert_eq!((loads.state, &*loads.found), (State::Ok, "the configuration loads: 0 jails, 0 feeds"));
        assert_eq!((none.state, &*none.found), (State::Warn, "no jail is enabled: nothing will be banned"));
        assert!(none.remedy.unwrap().starts_with("write enabled = true"));
        let waits = "[jail.sshd]\nenabled = true\nfilter = \"waits\"\n";
        let filter = "description = \"waits\"\nlogpath = [\"/nonexistent/waits.log\"]\nfailregex = ['^no <HOST>$']\n\
                      [[example]]\nline = 'no 192.0.2.1'\nhost = '192.0.2.1'\n";
        let (directory, layout) = single(waits);
        fs::create_dir(directory.path().join("filter.d")).unwrap();
        fs::write(directory.path().join("filter.d/waits.toml"), filter).unwrap();
        let plan = crate::config::load(&layout).unwrap();
        assert!(plan.warnings[0].message.contains(NO_LOG_FILE));
        assert_eq!(checks(&layout, Ok(&plan)).len(), 1);
    }

    fn single(text: &str) -> (tempfile::TempDir, Layout) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("kban.toml");
        fs::write(&file, text).unwrap();
        (directory, Layout::single(file))
    }
}
