//! The drop-ins that are missing are named, by the unit that kban brings along.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::cli::root::tests::machine;
use crate::config::plan::JailPlan;
use crate::source::syslog::Syslog;

const UNIT: (&str, &str) =
    ("/usr/lib/systemd/system/kban.service", include_str!("../../../systemd/kban.service"));
const NETWORK: &str = include_str!("../../../systemd/drop-ins/network.conf");
const HOMES: &str = include_str!("../../../systemd/drop-ins/home-logs.conf");
const ROOTS: &str = include_str!("../../../systemd/drop-ins/root-logs.conf");
const PASSWD: (&str, &str) = ("/etc/passwd", "root:x:0:0::/root:/bin/sh\nkban:x:4990:4990::/:/bin/false\n");

fn all(root: &Root, unit: &str, plan: &Plan) -> Vec<Need> {
    needs(root, unit, plan, |_| false)
}

#[track_caller]
fn asks_for(need: &Need, drop_ins: &[&str]) {
    let remedy = need.remedy.as_deref().unwrap_or_default();
    for drop_in in ["network.conf", "low-ports.conf", "home-logs.conf", "root-logs.conf"] {
        assert_eq!(
            remedy.contains(&format!("/systemd/{drop_in}")),
            drop_ins.contains(&drop_in),
            "{drop_in}: {need:?}"
        );
    }
}

#[test]
fn what_needs_the_network_or_a_low_port_asks_for_it() {
    let quiet = Plan::of(vec![JailPlan::named("sshd")], &[]);
    let asking = Plan::of(vec![JailPlan { usedns: UseDns::Yes, ..JailPlan::named("sshd") }], &[]);
    let (_directory, root) = machine(&[UNIT]);
    assert_eq!(installed(&root), Some("kban.service"));
    assert_eq!(all(&root, "kban.service", &quiet), []);
    let [found] = &all(&root, "kban.service", &asking)[..] else { panic!() };
    assert!(found.found.contains("[jail.sshd] usedns"), "{found:?}");
    asks_for(found, &["network.conf"]);
    let (_directory, root) = machine(&[UNIT, ("/etc/systemd/system/kban.service.d/network.conf", NETWORK)]);
    let [found] = &all(&root, "kban.service", &asking)[..] else { panic!() };
    assert_eq!((found.found.contains("may use"), &found.remedy), (true, &None), "{found:?}");
    let edge = Syslog {
        name: "edge".into(),
        listen: vec!["udp://0.0.0.0:514".parse().unwrap()],
        allow: Vec::new(),
        group: None,
    };
    let jail = JailPlan { sources: vec![Input::Syslog(edge)], ..JailPlan::named("sshd") };
    let [open, low] = &all(&root, "kban.service", &Plan::of(vec![jail], &[]))[..] else { panic!() };
    assert_eq!((open.found.contains("syslog edge"), &open.remedy), (true, &None), "{open:?}");
    asks_for(low, &["low-ports.conf"]);
    let (_directory, root) = machine(&[]);
    let [found] = &all(&root, "mine.service", &asking)[..] else { panic!() };
    assert_eq!(
        (installed(&root), &found.remedy),
        (None, &None),
        "a unit of somebody else's that restricts nothing"
    );
}

fn reading(path: &str) -> Plan {
    Plan::of(vec![JailPlan { sources: vec![Input::File(path.into())], ..JailPlan::named("sshd") }], &[])
}

/// A machine whose log has this mode, and belongs to a group that the service is in, or is not in.
fn logging(mode: u32, in_group: bool, more: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
    let group = if in_group { nix::unistd::getegid().as_raw() } else { 4991 };
    let groups = format!("kban:x:4990:\nadm:x:{group}:\n");
    let files =
        [UNIT, PASSWD, ("/etc/group", &groups), ("/var/log/secure", ""), ("/home/ann/.vnc/h.log", "")];
    let made = machine(&[&files[..], more].concat());
    for log in ["/var/log/secure", "/home/ann/.vnc/h.log"] {
        fs::set_permissions(made.1.at(log), fs::Permissions::from_mode(mode)).unwrap();
    }
    // Whatever the umask of the test, others may go there.
    for directory in ["/var", "/var/log", "/home", "/home/ann", "/home/ann/.vnc"] {
        fs::set_permissions(made.1.at(directory), fs::Permissions::from_mode(0o755)).unwrap();
    }
    made
}

#[test]
fn a_log_that_is_not_readable_by_the_services_groups_asks_for_root_logs() {
    let plan = reading("/var/log/secure");
    for (mode, in_group, denied) in [
        (0o600, true, true),
        (0o640, true, false),
        (0o640, false, true),
        (0o604, false, false),
        (0o604, true, true),
    ] {
        let (_directory, root) = logging(mode, in_group, &[]);
        let found = all(&root, "kban.service", &plan);
        assert_eq!(found.len(), usize::from(denied), "{mode:o}, {in_group}: {found:?}");
        for need in &found {
            assert!(
                need.found.contains(&format!("(mode {mode:o}), which /var/log/secure of jail sshd needs")),
                "{need:?}"
            );
            asks_for(need, &["root-logs.conf"]);
        }
        assert_eq!(needs(&root, "kban.service", &plan, |_| true), [], "kband reads it: by an ACL perhaps");
    }
    let (_directory, root) = logging(0o644, true, &[]);
    fs::set_permissions(root.at("/var/log"), fs::Permissions::from_mode(0o700)).unwrap();
    let [need] = &all(&root, "kban.service", &reading("/var/l*/*ure"))[..] else { panic!() };
    assert!(need.found.contains("(mode 700)"), "{need:?}");
    let (_directory, root) =
        logging(0o600, true, &[("/etc/systemd/system/kban.service.d/root-logs.conf", ROOTS)]);
    let [need] = &all(&root, "kban.service", &plan)[..] else { panic!() };
    assert_eq!((need.found.starts_with("kban.service may read"), &need.remedy), (true, &None), "{need:?}");
}

#[test]
fn a_log_below_a_home_asks_for_home_logs_and_never_for_root_logs_alone() {
    let homes = ("/etc/systemd/system/kban.service.d/home-logs.conf", HOMES);
    let plan = reading("/home/*/.vnc/*.log");
    for (mode, more, expected) in [
        (0o644, &[][..], &[&["home-logs.conf"][..]][..]),
        (0o600, &[], &[&["home-logs.conf", "root-logs.conf"]]),
        (0o644, &[homes], &[&[]]),
        (0o600, &[homes], &[&[], &["root-logs.conf"]]),
    ] {
        let (_directory, root) = logging(mode, false, more);
        let found = all(&root, "kban.service", &plan);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        found.iter().zip(expected).for_each(|(need, drop_ins)| asks_for(need, drop_ins));
    }
    let (_directory, root) = logging(0o600, false, &[]);
    let [need] = &all(&root, "kban.service", &reading("/root/none.log"))[..] else { panic!() };
    asks_for(need, &["home-logs.conf"]);
}
