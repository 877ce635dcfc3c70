//! What kband says of itself, or that it says nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use jiff::Timestamp;

use super::check::{Check, State};
use super::root::Root;
use crate::cli::output;
use crate::control::client::ClientError;
use crate::control::protocol::{Kind, Refused, Status};

/// Others than owner and group may connect (chmod(2)).
const OTHERS: u32 = 0o007;

/// No kband answers.
pub(super) fn silent(error: &ClientError) -> Check {
    let state = match error {
        ClientError::Permission { .. } | ClientError::Refused(Refused { kind: Kind::Permission, .. }) => {
            State::Unknown
        }
        _ => State::Fail,
    };
    let mut check = Check::said("daemon.answers", state, &error.to_string());
    if state == State::Fail {
        check.found = format!("kband does not answer: {}", check.found);
    }
    check
}

/// What kband says, as far as no other theme looks at it. `known` are warnings that the configuration gives as well.
pub(super) fn checks(status: &Status, known: &[String], now: Timestamp) -> Vec<Check> {
    let mut found = vec![answers(status, now), store(status)];
    found.extend(warnings(status, known));
    found
}

fn answers(status: &Status, now: Timestamp) -> Check {
    let (name, ours) = ("daemon.answers", env!("CARGO_PKG_VERSION"));
    let up = output::duration(output::between(status.started, now));
    let found = format!("kband {} answers, up {up}, {} banned", status.version, status.bans);
    if status.version == ours {
        return Check::ok(name, found);
    }
    Check::warn(
        name,
        format!("{found}; this is banctl {ours}"),
        "install the same version of both, and restart kband",
    )
}

fn store(status: &Status) -> Check {
    if status.durable {
        return Check::ok("daemon.store", "bans and positions survive a restart");
    }
    Check::fail(
        "daemon.store",
        Status::NOT_DURABLE,
        "check owner and free space of its directory (/var/lib/kban, or what kband's --state-dir says), and see its log",
    )
}

/// What kband warns of and nobody else here tells.
fn warnings(status: &Status, known: &[String]) -> Vec<Check> {
    let told = |warning: &&String| {
        status.firewall.error.as_ref() == Some(warning)
            || status.sources.iter().any(|source| source.error.as_ref() == Some(warning))
            || *warning == Status::NOT_DURABLE
            || known.contains(warning)
    };
    let rest = status.warnings.iter().filter(|warning| !told(warning));
    rest.map(|warning| Check {
        check: "daemon.warning",
        state: State::Warn,
        found: warning.clone(),
        remedy: None,
    })
    .collect()
}

/// Who may connect to the socket at `path`.
pub(super) fn socket(root: &Root, path: &Path) -> Check {
    let name = "daemon.socket";
    let shown = path.display();
    match root.at(path).metadata().map(|metadata| metadata.permissions().mode()) {
        Ok(mode) if mode & OTHERS != 0 => Check::warn(
            name,
            format!(
                "{shown} is open to everybody (mode {:o}); kband still asks who it is, and refuses strangers",
                mode & 0o777
            ),
            format!("chmod 660 {shown}"),
        ),
        Ok(mode) => {
            Check::ok(name, format!("{shown} is open to its owner and group only (mode {:o})", mode & 0o777))
        }
        Err(error) => Check::unknown(
            name,
            format!("{shown} cannot be looked at ({error})"),
            "run banctl doctor as root",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::status;
    use super::*;

    #[test]
    fn a_kband_that_may_not_be_asked_is_no_kband_that_fails() {
        let path = Path::new("/run/kban/control.sock").to_owned();
        let denied = silent(&ClientError::Permission { path: path.clone() });
        assert_eq!(denied.state, State::Unknown);
        assert!(denied.remedy.unwrap().starts_with("run banctl as root"));
        let refused = Refused::new(Kind::Permission, "only root");
        assert_eq!(silent(&ClientError::Refused(refused)).state, State::Unknown);
        let error = std::io::ErrorKind::NotFound.into();
        let gone = silent(&ClientError::NotRunning { path: path.clone(), error });
        assert_eq!(gone.state, State::Fail);
        assert!(gone.found.starts_with("kband does not answer: no kband listens at /run/kban"), "{gone:?}");
        assert!(gone.remedy.unwrap().starts_with("start kband"));
        assert_eq!(
            silent(&ClientError::Silent { path, patience: crate::control::client::PATIENCE }).state,
            State::Fail
        );
    }

    #[test]
    fn each_trouble_is_told_once() {
        let now = "2026-11-21T06:00:00Z".parse().unwrap();
        let mut status = status();
        assert!(checks(&status, &[], now).iter().all(|check| check.state == State::Ok));
        status.durable = false;
        status.firewall.error = Some("the kernel is out of sorts".into());
        status.sources[0].error = Some("a log is hidden".into());
        let warnings = [
            "the kernel is out of sorts",
            "a log is hidden",
            Status::NOT_DURABLE,
            "a key is odd",
            "feed.x: late",
        ];
        status.warnings = warnings.map(str::to_owned).to_vec();
        let told: Vec<_> = checks(&status, &["a key is odd".into()], now)
            .into_iter()
            .filter(|check| check.state != State::Ok)
            .map(|check| (check.check, check.found))
            .collect();
        assert_eq!(
            told,
            [("daemon.store", Status::NOT_DURABLE.to_owned()), ("daemon.warning", "feed.x: late".to_owned())]
        );
        status.version = "0.0.9".into();
        let other = answers(&status, now);
        assert!(other.state == State::Warn && other.found.contains("kband 0.0.9 answers"), "{other:?}");
    }

    #[test]
    fn a_socket_for_everybody_is_seen() {
        let (_directory, root) = super::super::root::tests::machine(&[("/run/kban/x", "")]);
        let path = root.at("/run/kban/control.sock");
        let _listens = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let socket = |name: &str| socket(&root, &Path::new("/run/kban").join(name));
        for (mode, state) in [(0o660, State::Ok), (0o666, State::Warn)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(socket("control.sock").state, state);
        }
        assert_eq!(socket("none").state, State::Unknown);
    }
}
