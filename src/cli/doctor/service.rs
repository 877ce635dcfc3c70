//! The process that kband is: who started it, what it may do, how much memory it takes.
//!
//! Read from `/proc/PID` (proc(5)).

use std::collections::BTreeMap;
use std::path::Path;

use super::check::Check;
use super::root::Root;

/// Changing the firewall (linux/capability.h).
const CAP_NET_ADMIN: u32 = 12;
/// Nearly everything else (the same).
const CAP_SYS_ADMIN: u32 = 21;
/// What kban.service does.
const SANDBOX: &str = "limit it in its unit, as kban.service does: CapabilityBoundingSet=CAP_NET_ADMIN and \
                       NoNewPrivileges=yes";

/// Looks at the process with this id; `owned`: it has to keep the table's socket over a restart.
pub(super) fn checks(root: &Root, pid: Option<i32>, owned: bool) -> Vec<Check> {
    let hidden = |what: &str| {
        vec![Check::unknown(
            "service.process",
            format!("kband's process cannot be looked at ({what})"),
            "run banctl doctor as root, where kband runs",
        )]
    };
    let Some(pid) = pid else { return hidden("it belongs to another process namespace") };
    let process = Path::new("/proc").join(pid.to_string());
    let status = match root.text(process.join("status")) {
        Ok(status) => status,
        Err(error) => return hidden(&format!("{}: {error}", process.join("status").display())),
    };
    let fields = fields(&status);
    let mut found = Vec::new();
    let unit = unit(root, pid);
    found.push(manager(unit.as_deref(), root.has("/run/systemd/system"), pid));
    if owned && unit.is_some() {
        found.push(kept_socket(root.text(process.join("environ")).ok().as_deref()));
    }
    found.push(privileges(&fields));
    found.push(memory(&fields));
    found
}

/// `Name:\tvalue` lines.
fn fields(status: &str) -> BTreeMap<&str, &str> {
    status.lines().filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim())).collect()
}

/// The unit of a service that a process belongs to.
pub(super) fn unit(root: &Root, pid: i32) -> Option<String> {
    root.text(Path::new("/proc").join(pid.to_string()).join("cgroup"))
        .ok()
        .and_then(|cgroup| unit_of(&cgroup))
}

/// By its `/proc/PID/cgroup` (cgroups(7)).
fn unit_of(cgroup: &str) -> Option<String> {
    let paths = cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    // Below user@ID.service is whatever a user has started by hand.
    let units = paths.filter(|path| !path.contains("/user@")).flat_map(|path| path.split('/').rev());
    units.filter(|part| part.ends_with(".service")).map(str::to_owned).next()
}

fn manager(unit: Option<&str>, systemd: bool, pid: i32) -> Check {
    let name = "service.manager";
    match (unit, systemd) {
        (Some(unit), _) => Check::ok(name, format!("systemd runs kband as {unit} (pid {pid})")),
        (None, true) => Check::warn(
            name,
            format!(
                "kband was started by hand (pid {pid}): after a crash or a reboot nobody starts it again"
            ),
            "run it as a service",
        ),
        (None, false) => {
            Check::ok(name, format!("kband runs with pid {pid}; there is no systemd here to start it again"))
        }
    }
}

/// Whether systemd keeps the socket that owns the table: systemd.exec(5), `$FDSTORE`, since systemd 254.
fn kept_socket(environment: Option<&str>) -> Check {
    let name = "service.kept_socket";
    let Some(environment) = environment else {
        return Check::unknown(name, "kband's environment cannot be read", "run banctl doctor as root");
    };
    let value = |wanted: &str| {
        let pairs = environment.split('\0').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(name, _)| *name == wanted).map(|(_, value)| value)
    };
    let room = value("FDSTORE").and_then(|room| room.parse::<u32>().ok());
    match (value("NOTIFY_SOCKET"), room) {
        (Some(_), Some(1..)) => {
            Check::ok(name, "systemd keeps the socket that owns the table while kband restarts")
        }
        (Some(_), None) => Check::unknown(
            name,
            "systemd does not say whether it keeps the socket that owns the table (before version 254 it never does)",
            "see that the unit has FileDescriptorStoreMax=64 and NotifyAccess=main",
        ),
        _ => Check::warn(
            name,
            "nobody keeps the socket that owns the table while kband restarts: anybody may remove it then",
            "give the unit FileDescriptorStoreMax=64 and NotifyAccess=main",
        ),
    }
}

fn privileges(fields: &BTreeMap<&str, &str>) -> Check {
    let name = "service.privileges";
    let user = fields.get("Uid").and_then(|ids| ids.split_whitespace().nth(1)).unwrap_or("?");
    let effective = fields.get("CapEff").and_then(|mask| u64::from_str_radix(mask, 16).ok());
    let Some(effective) = effective else {
        return Check::unknown(name, "/proc does not say what kband may do", "mount /proc");
    };
    let may = |capability: u32| effective & (1 << capability) != 0;
    let closed = fields.get("NoNewPrivs") == Some(&"1");
    let many = format!("user {user} with {} capabilities", effective.count_ones());
    if !may(CAP_NET_ADMIN) {
        return Check::fail(
            name,
            "kband lacks the capability CAP_NET_ADMIN: it cannot change the firewall",
            "start it as root, or with AmbientCapabilities=CAP_NET_ADMIN in its unit",
        );
    }
    if may(CAP_SYS_ADMIN) {
        return Check::warn(
            name,
            format!(
                "kband runs as {many}, and needs few: whoever broke into it would have the whole machine"
            ),
            SANDBOX,
        );
    }
    if !closed {
        return Check::warn(name, format!("kband runs as {many}, and may gain more"), SANDBOX);
    }
    Check::ok(name, format!("kband runs as {many}, CAP_NET_ADMIN among them, and can gain no more"))
}

fn memory(fields: &BTreeMap<&str, &str>) -> Check {
    let kilobytes =
        |field: &str| fields.get(field).and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok());
    match (kilobytes("VmRSS"), kilobytes("VmHWM")) {
        (Some(now), Some(peak)) => Check::ok(
            "service.memory",
            format!(
                "kband takes {} MB of memory, {} at most so far",
                now.div_ceil(1024),
                peak.div_ceil(1024)
            ),
        ),
        _ => {
            Check::unknown("service.memory", "/proc does not say how much memory kband takes", "mount /proc")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::super::root::tests::machine;
    use super::*;

    const STATUS: &str = "Name:\tkband\nUid:\t0\t0\t0\t0\nCapEff:\t0000000000001005\nNoNewPrivs:\t1\n\
                          VmHWM:\t   40960 kB\nVmRSS:\t   34816 kB\n";

    fn states(checks: &[Check]) -> Vec<(&str, State)> {
        checks.iter().map(|check| (check.check, check.state)).collect()
    }

    #[test]
    fn a_sandboxed_service_is_fine() {
        let (_directory, root) = machine(&[
            ("/proc/7/status", STATUS),
            ("/proc/7/cgroup", "0::/system.slice/kban.service\n"),
            ("/proc/7/environ", "A=b\0NOTIFY_SOCKET=/run/systemd/notify\0FDSTORE=1\0"),
            ("/run/systemd/system/x", ""),
        ]);
        let checks = checks(&root, Some(7), true);
        let ok = ["manager", "kept_socket", "privileges", "memory"].map(|what| format!("service.{what}"));
        assert_eq!(states(&checks), ok.each_ref().map(|name| (name.as_str(), State::Ok)));
        assert!(checks[0].found.contains("kban.service (pid 7)"));
        assert!(checks[3].found.contains("34 MB of memory, 40 at most"), "{:?}", checks[3]);
    }

    #[test]
    fn what_cannot_be_seen_is_said() {
        let (_directory, root) = machine(&[]);
        for pid in [None, Some(7)] {
            assert_eq!(states(&checks(&root, pid, true)), [("service.process", State::Unknown)]);
        }
        assert_eq!(kept_socket(None).state, State::Unknown);
        assert_eq!(privileges(&fields("")).state, State::Unknown);
        assert_eq!(memory(&fields("")).state, State::Unknown);
    }

    #[test]
    fn units_are_told_from_what_somebody_started() {
        for (cgroup, expected) in [
            ("0::/system.slice/kban.service\n", Some("kban.service")),
            ("0::/system.slice/kban.service/payload\n", Some("kban.service")),
            ("12:cpu:/\n1:name=systemd:/system.slice/kban.service\n0::/\n", Some("kban.service")),
            ("0::/user.slice/user-0.slice/session-3.scope\n", None),
            ("0::/user.slice/user-1.slice/user@1.service/app.slice/term.service\n", None),
            ("0::/\n", None),
            ("", None),
        ] {
            assert_eq!(unit_of(cgroup).as_deref(), expected, "{cgroup}");
        }
        assert_eq!(manager(None, true, 7).state, State::Warn);
        assert_eq!(manager(None, false, 7).state, State::Ok);
    }

    #[test]
    fn a_socket_that_nobody_keeps_is_told() {
        for (environment, state) in [
            ("NOTIFY_SOCKET=/n\0FDSTORE=3\0", State::Ok),
            ("NOTIFY_SOCKET=/n\0FDSTORE=0\0", State::Warn),
            ("NOTIFY_SOCKET=/n\0", State::Unknown),
            ("FDSTORE=3\0", State::Warn),
        ] {
            assert_eq!(kept_socket(Some(environment)).state, state, "{environment}");
        }
    }

    #[test]
    fn too_little_and_too_much_power_are_told() {
        for (capabilities, closed, state) in [
            ("0000000000001000", 1, State::Ok),
            ("0000000000001000", 0, State::Warn),
            ("000001ffffffffff", 1, State::Warn),
            ("0000000000000004", 1, State::Fail),
        ] {
            let status = format!("Uid:\t9\t9\t9\t9\nCapEff:\t{capabilities}\nNoNewPrivs:\t{closed}\n");
            assert_eq!(privileges(&fields(&status)).state, state, "{status}");
        }
    }
}
