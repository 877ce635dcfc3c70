//! `banctl doctor` on machines that are well, and on some that are not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use serde_json::Value;

use crate::harness::{Background, Daemon, Machine, eventually, failed_password, stdout};

/// What kband needs of root's power, as `banctl doctor` says it.
const SANDBOX: &str = "--bounding-set=-all,+net_admin,+dac_read_search,+chown";

fn doctor(machine: &Machine) -> Output {
    let config = machine.path("kban.toml").display().to_string();
    machine.banctl(&["--config", &config, "--json", "doctor"])
}

fn diagnosis(output: &Output) -> Vec<Value> {
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["schema"], 1);
    document["checks"].as_array().unwrap().clone()
}

/// State, finding and remedy of the one check of this name.
#[track_caller]
fn check(output: &Output, name: &str) -> (String, String, String) {
    let checks = diagnosis(output);
    let found: Vec<&Value> = checks.iter().filter(|check| check["check"] == name).collect();
    let [check] = found.as_slice() else { panic!("{name}: {checks:#?}") };
    let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("found"), text("remedy"))
}

#[track_caller]
fn state(output: &Output, name: &str) -> String {
    check(output, name).0
}

/// kband with no more power than it needs, and perhaps less.
fn confined<'a>(machine: &'a Machine, capabilities: &str) -> Daemon<'a> {
    let mut command = machine.command("setpriv");
    command.args([capabilities, "--no-new-privs"]).arg(env!("CARGO_BIN_EXE_kband"));
    command.args(machine.kband_arguments());
    machine.start(command)
}

#[test]
fn without_a_daemon_that_is_the_failure_and_the_rest_is_looked_at() {
    let machine = Machine::new();
    machine.configure("");
    machine.log("");
    let output = doctor(&machine);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    let (state, found, remedy) = check(&output, "daemon.answers");
    assert_eq!(state, "fail");
    assert!(
        found.starts_with("kband does not answer: no kband listens at") && remedy.contains("start kband")
    );
    let failures = diagnosis(&output).iter().filter(|check| check["state"] == "fail").count();
    assert_eq!(failures, 1, "{}", stdout(&output));
    for name in ["config.loads", "logs.file", "kernel.nf_tables", "kernel.table", "machine.clock"] {
        assert_eq!(check(&output, name).0, "ok", "{name}");
    }
    assert_eq!(machine.sh("nft list ruleset"), "", "trying the kernel out leaves nothing");
}

#[test]
fn a_daemon_that_is_well_has_no_failure() {
    let machine = Machine::new();
    machine.configure("[firewall]\nownership = \"plain\"\ninterfaces = [\"lo\"]\n");
    machine.log("");
    let daemon = confined(&machine, SANDBOX);
    eventually("the log is followed", || state(&doctor(&machine), "logs.file") == "ok");
    let output = doctor(&machine);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    for name in [
        "daemon.answers",
        "daemon.store",
        "daemon.socket",
        "service.privileges",
        "service.memory",
        "kernel.nf_tables",
        "kernel.table",
        "drift.pending",
        "drift.changes",
        "machine.interfaces",
    ] {
        assert_eq!(state(&output, name), "ok", "{name}: {}", stdout(&output));
    }
    let ownership = check(&output, "kernel.ownership").1;
    assert!(ownership.contains("(so the configuration says)"), "{ownership}");
    let manager = check(&output, "service.manager").1;
    assert!(manager.contains(&format!("pid {}", daemon.pid())), "{manager}");
    // Somebody who looks for kband in the wrong place tries the kernel out; kband is not alarmed.
    let mut elsewhere = machine.command(env!("CARGO_BIN_EXE_banctl"));
    let elsewhere = elsewhere.args(["doctor", "--json"]).output().unwrap();
    assert_eq!(state(&elsewhere, "daemon.answers"), "fail");
    assert_eq!(state(&elsewhere, "kernel.table"), "ok");
    assert_eq!(state(&doctor(&machine), "drift.changes"), "ok");
    // With so little power kband still does its work.
    machine.log(&failed_password("203.0.113.9").repeat(5));
    eventually("banned", || machine.listed() == ["203.0.113.9"]);
    let text = stdout(&machine.banctl(&["doctor"]));
    assert!(!text.contains('\u{1b}'), "no colours where nobody looks: {text:?}");
    assert!(text.contains("\nok ") && text.lines().last().is_some_and(|line| !line.is_empty()), "{text}");
}

#[test]
fn drift_is_told_with_who_did_it() {
    let machine = Machine::new();
    machine.configure("[firewall]\nownership = \"plain\"\n");
    let _daemon = machine.start(machine.kband());
    machine.sh("nft delete table inet kban");
    eventually("it is put right and told", || {
        let output = doctor(&machine);
        let (state, found, _) = check(&output, "drift.changes");
        state == "warn"
            && found.contains("nft (pid ")
            && found.contains("removed table inet kban")
            && found.contains("made the table again once")
            && check(&output, "kernel.table").0 == "ok"
    });
}

#[test]
fn a_kband_elsewhere_is_not_judged_by_the_table_that_is_here() {
    let machine = Machine::new();
    machine.configure("");
    let _daemon = machine.start(machine.kband());
    let mut command = machine.command("unshare");
    command
        .arg("--net")
        .arg(env!("CARGO_BIN_EXE_banctl"))
        .arg("--socket")
        .arg(machine.path("run/control.sock"));
    let output = command.args(["--json", "doctor"]).output().unwrap();
    let (state, found, _) = check(&output, "kernel.table");
    assert!(state == "unknown" && found.contains("another network namespace"), "{found}");
}

/// What doctor says of a saved ruleset is what the nft of this machine makes of it.
#[test]
fn a_saved_ruleset_fails_if_nft_cannot_load_it() {
    let save = "{ echo flush ruleset; nft list ruleset; } > /etc/nftables.conf";
    for ownership in ["plain", "owned"] {
        let machine = Machine::new();
        machine.sh("mount -t tmpfs tmpfs /etc");
        machine.configure(&format!("[firewall]\nownership = \"{ownership}\"\n"));
        let load = |program: &[&str]| {
            let mut command = machine.command(program[0]);
            command.args(&program[1..]).args(["-f", "/etc/nftables.conf"]).output().unwrap().status.success()
        };
        let judge = || {
            let (state, found, remedy) = check(&doctor(&machine), "kernel.saved_ruleset");
            let loads = load(&["unshare", "--net", "nft"]);
            assert!(found.starts_with("/etc/nftables.conf:2: "), "{found}");
            assert!(remedy.starts_with("take the block out of the file"), "{remedy}");
            assert_eq!(state, if loads { "warn" } else { "fail" }, "{found}");
            found
        };
        let daemon = machine.start(machine.kband());
        assert_eq!(state(&doctor(&machine), "kernel.saved_ruleset"), "ok");
        machine.sh(save);
        let found = judge();
        assert_eq!(load(&["nft"]), !found.contains("while kband runs nothing"), "{found}");
        daemon.stop();
        machine.sh(save);
        judge();
    }
}

#[test]
fn a_log_that_kband_may_not_read_is_a_failure() {
    let machine = Machine::new();
    machine.configure("");
    machine.log("");
    fs::set_permissions(machine.path("auth.log"), fs::Permissions::from_mode(0o000)).unwrap();
    let _daemon = confined(&machine, "--bounding-set=-all,+net_admin");
    eventually("told", || {
        let output = doctor(&machine);
        let (state, found, remedy) = check(&output, "logs.file");
        output.status.code() == Some(1)
            && state == "fail"
            && found.contains("auth.log\" is denied")
            && remedy.contains("in the group that owns it")
            && diagnosis(&output).iter().all(|check| check["check"] != "daemon.warning")
    });
}

#[test]
fn another_ban_manager_is_noticed() {
    let machine = Machine::new();
    machine.configure("");
    let server = machine.path("fail2ban-server");
    machine.sh(&format!("cp $(command -v sleep) {}", server.display()));
    let seen = || diagnosis(&doctor(&machine)).iter().any(|check| check["check"] == "neighbours.fail2ban");
    assert!(!seen());
    let running = machine.command(&server).arg("600").spawn().unwrap();
    let _running = Background(running);
    eventually("seen", seen);
    assert_eq!(state(&doctor(&machine), "neighbours.fail2ban"), "warn");
}

#[test]
fn mistakes_of_the_configuration_are_failures() {
    let machine = Machine::new();
    machine.configure("maxretri = 3\n");
    let (state, found, remedy) = check(&doctor(&machine), "config.loads");
    assert!(state == "fail" && found.contains("kban.toml:4:1: ") && found.contains("1 error"), "{found}");
    assert!(remedy.contains("banctl check"));
}

#[test]
fn whoever_may_little_is_told_what_could_not_be_looked_at() {
    let machine = Machine::of_root();
    machine.configure("");
    machine.log("");
    let _daemon = machine.start(machine.kband());
    machine.sh(&format!("chmod 755 {0} {0}/run && chmod 600 {0}/auth.log", machine.dir.path().display()));
    let banctl = machine.path("banctl");
    // By a process of its own: a child of another test could hold a file open that this one writes (ETXTBSY).
    machine.sh(&format!("cp {} {}", env!("CARGO_BIN_EXE_banctl"), banctl.display()));
    let nobody = || {
        let mut command = machine.command("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&banctl);
        command.arg("--config").arg(machine.path("kban.toml"));
        command.arg("--socket").arg(machine.path("run/control.sock"));
        command.args(["--json", "doctor"]).output().unwrap()
    };
    let output = nobody();
    for name in ["daemon.answers", "logs.file", "kernel.nf_tables", "kernel.table"] {
        let (state, _, remedy) = check(&output, name);
        assert!(state == "unknown" && remedy.contains("as root"), "{name}: {}", stdout(&output));
    }
    assert_eq!(state(&output, "config.loads"), "ok");
    assert_eq!(output.status.code(), Some(0), "what is not known is no failure");
    machine.sh(&format!("chmod 600 {}", machine.path("kban.toml").display()));
    assert_eq!(state(&nobody(), "config.loads"), "unknown");
}
