//! The whole diagnosis of machines that are made of a few files.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::*;
use crate::control::protocol::{FirewallStatus, ForeignChange, SourceRow};
use crate::firewall::{Firewall, Options};
use crate::namespace::{in_namespace, without_privilege};

/// A kband that is well.
pub(super) fn status() -> Status {
    Status {
        today_since: None,
        fleet: None,
        version: env!("CARGO_PKG_VERSION").into(),
        started: "2026-11-21T04:30:00Z".parse().unwrap(),
        warnings: Vec::new(),
        bans: 5,
        jails: Vec::new(),
        feeds: Vec::new(),
        sources: vec![SourceRow {
            path: "/var/log/auth.log".into(),
            source: "/var/log/auth.log".into(),
            whole: false,
            lines_per_second: 0,
            bytes_per_second: 0,
            lag: Some(0),
            position: None,
            lines_broken: 0,
            state: "following".into(),
            error: None,
            lines: 10,
            bytes: 1_000,
            lines_cut: 0,
            undated: 0,
            restarts: 0,
            lost: 0,
            refused: 0,
            broken: 0,
            closed: 0,
            named: 0,
            untrusted: 0,
            gaps: 0,
            behind_ms: None,
        }],
        firewall: FirewallStatus {
            packets: Some(3),
            bytes: Some(180),
            pending: 0,
            owned: false,
            why_plain: Some("so the configuration says".into()),
            can_renew: Some(true),
            can_count: None,
            changed_by_others: 0,
            last_change: None,
            restored: 0,
            repaired: 0,
            error: None,
        },
        durable: true,
    }
}

/// A machine of these files, with a configuration.
fn patient(config: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, Patient) {
    let all: Vec<(&str, &str)> = files.iter().copied().chain([("/etc/kban/kban.toml", config)]).collect();
    let (directory, root) = root::tests::machine(&all);
    let patient = Patient {
        layout: Layout::single(root.at("/etc/kban/kban.toml")),
        root,
        socket: "/run/kban/control.sock".into(),
        zone: Ok(TimeZone::UTC),
    };
    std::fs::set_permissions(patient.root.at(&patient.socket), PermissionsExt::from_mode(0o660)).unwrap();
    (directory, patient)
}

fn now() -> Timestamp {
    "2030-11-21T06:00:00Z".parse().unwrap()
}

fn printed(checks: &[Check]) -> String {
    let mut out = Vec::new();
    view::print(&mut out, checks).unwrap();
    view::print_json(&mut out, checks).unwrap();
    String::from_utf8(anstream::adapter::strip_bytes(&out).into_vec()).unwrap()
}

const SSHD: &str = "[jail.sshd]\nenabled = true\nlogpath = \"/var/log/auth.log\"\n";

#[test]
fn of_a_machine_that_is_well() {
    in_namespace("cli::doctor::tests::of_a_machine_that_is_well", || {
        let (_directory, patient) = patient(
            &format!("{SSHD}[firewall]\ninterfaces = [\"wan0\"]\n"),
            &[
                ("/run/kban/control.sock", ""),
                ("/run/systemd/system/x", ""),
                ("/proc/1/comm", "systemd\n"),
                ("/proc/7/comm", "kband\n"),
                (
                    "/proc/7/status",
                    "Uid:\t0\t0\t0\t0\nCapEff:\t0000000000001005\nNoNewPrivs:\t1\nVmHWM:\t 9000 kB\nVmRSS:\t 8000 kB\n",
                ),
                ("/proc/7/cgroup", "0::/system.slice/kban.service\n"),
                ("/proc/7/environ", "NOTIFY_SOCKET=/run/systemd/notify\0FDSTORE=1\0"),
                ("/proc/self/net/dev", "Inter-|\n face |\n  wan0: 0\n"),
                ("/etc/nftables.conf", "flush ruleset\ntable inet filter {\n}\n"),
            ],
        );
        Firewall::open(Options::sized(65_536)).unwrap().set_up(&[]).unwrap();
        let mut status = status();
        (status.started, status.firewall.owned) = (now() - Duration::from_secs(5_400), true);
        let checks = diagnose(&patient, &Ok((Box::new(status), Some(7))), now());
        assert!(checks.iter().all(|check| check.state == State::Ok && check.remedy.is_none()));
        insta::assert_snapshot!(printed(&checks));
    });
}

#[test]
fn of_a_machine_that_is_not() {
    in_namespace("cli::doctor::tests::of_a_machine_that_is_not", || {
        let (_directory, patient) = patient(
            &format!("{SSHD}[firewall]\ninterfaces = [\"wan1\"]\n"),
            &[
                ("/run/kban/control.sock", ""),
                ("/run/systemd/system/x", ""),
                ("/run/log/journal/1/system.journal", ""),
                ("/proc/1/comm", "systemd\n"),
                ("/proc/8/comm", "fail2ban-server\n"),
                (
                    "/proc/7/status",
                    "Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\nVmHWM:\t 9000 kB\nVmRSS:\t 8000 kB\n",
                ),
                ("/proc/7/cgroup", "0::/user.slice/user-0.slice/session-3.scope\n"),
                ("/proc/self/net/dev", "Inter-|\n face |\n  wan0: 0\n"),
                ("/etc/nftables.conf", "table inet kban {\n\tflags \n"),
            ],
        );
        let mut status = status();
        status.started = now() - Duration::from_secs(5_400);
        status.durable = false;
        status.sources[0].state = "waiting".into();
        (status.firewall.changed_by_others, status.firewall.restored) = (1, 1);
        status.firewall.last_change = Some(ForeignChange {
            at: now() - Duration::from_secs(61),
            what: "nft (pid 12) removed table inet kban".into(),
        });
        status.warnings = vec!["feed.drop: \u{1b}[31m is late".into()];
        let checks = diagnose(&patient, &Ok((Box::new(status), Some(7))), now());
        insta::assert_snapshot!(printed(&checks));
    });
}

#[test]
fn without_kband_everything_else_is_looked_at() {
    without_privilege("cli::doctor::tests::without_kband_everything_else_is_looked_at", || {
        let (_directory, patient) = patient(SSHD, &[("/run/kban/control.sock", "")]);
        let nobody = ClientError::NotRunning {
            path: patient.socket.clone(),
            error: std::io::ErrorKind::ConnectionRefused.into(),
        };
        let checks = diagnose(&patient, &Err(nobody), now());
        let told: Vec<_> = checks.iter().map(|check| (check.check, check.state)).collect();
        assert_eq!(
            told,
            [
                ("daemon.answers", State::Fail),
                ("config.loads", State::Ok),
                ("logs.file", State::Warn),
                ("kernel.nf_tables", State::Unknown),
                ("kernel.table", State::Unknown),
                ("kernel.saved_ruleset", State::Ok),
                ("neighbours.processes", State::Unknown),
                ("machine.clock", State::Ok),
                ("machine.time_zone", State::Ok),
            ]
        );
    });
}
