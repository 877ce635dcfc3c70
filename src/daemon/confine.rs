//! What kband can no longer do once it has started: write anywhere but where it has to, and gain privileges.
//!
//! By Landlock (landlock(7)), which needs no privilege and holds for every thread and program that is started from now on.
//! Reading is not restricted: a reload may bring logs from anywhere.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, AccessFs, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus,
};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::config::Plan;
use crate::source::Input;
use crate::source::syslog::Endpoint;

/// Where everybody may write: programs that kband runs (`ignorecommand`, feeds) expect it.
const SHARED: [&str; 4] = ["/tmp", "/var/tmp", "/dev/null", "/dev/shm"];

/// Where the plan has kband write: unix sockets are made there. Those of a later reload may be elsewhere, and are refused with
/// an error that says so.
pub(super) fn places(plan: &Plan) -> Vec<PathBuf> {
    let inputs = plan.jails.iter().flat_map(|jail| &jail.sources);
    let endpoints = inputs.flat_map(|input| match input {
        Input::Syslog(syslog) => &*syslog.listen,
        _ => &[],
    });
    let sockets = endpoints.filter_map(|endpoint| match endpoint {
        Endpoint::Unix(path) => path.parent(),
        Endpoint::Udp(_) | Endpoint::Tcp(_) => None,
    });
    sockets.map(Path::to_path_buf).collect()
}

/// Restricts this thread and those that it starts. What the kernel does not know is left out (below 5.13: everything).
///
/// # Errors
/// The kernel knows Landlock and refuses.
pub(super) fn to(own: &[PathBuf]) -> Result<bool, RulesetError> {
    restrict(own.iter().map(|own| &**own).chain(SHARED.iter().map(Path::new)))
}

fn restrict<'p>(places: impl Iterator<Item = &'p Path>) -> Result<bool, RulesetError> {
    let write = AccessFs::from_write(ABI::V5);
    let mut ruleset =
        Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(write)?.create()?;
    for path in places {
        // What is not there needs no rule. Only named, not opened: AppArmor lets nobody read /tmp. (With musl, the standard library
        // leaves O_PATH out, as part of its O_ACCMODE.)
        let Ok(place) = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()) else { continue };
        let allowed = if path.is_dir() { write } else { write & AccessFs::from_file(ABI::V5) };
        ruleset = ruleset.add_rule(PathBeneath::new(place, allowed))?;
    }
    // It sets PR_SET_NO_NEW_PRIVS as well.
    Ok(ruleset.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ones_own_can_be_written() {
        let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(other.path().join("log"), "line\n").unwrap();
        // A thread of its own: there is no way back.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(
                    restrict([own.path(), Path::new("/dev/null")].into_iter()).unwrap(),
                    "this kernel has no Landlock: run the tests on 5.13 or later"
                );
                std::fs::write(own.path().join("new"), "x").unwrap();
                let refused = std::fs::write(other.path().join("new"), "x").unwrap_err();
                assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
                assert_eq!(std::fs::read_to_string(other.path().join("log")).unwrap(), "line\n");
                let child = std::process::Command::new("/bin/sh")
                    .args(["-c", "echo x > new; echo y > /dev/null"])
                    .current_dir(other.path())
                    .output()
                    .unwrap();
                assert!(child.status.success() && !other.path().join("new").exists(), "{child:?}");
            });
        });
    }
}
