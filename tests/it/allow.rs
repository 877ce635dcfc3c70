//! Who is never banned: entries at run time, and what becomes of bans that are in their way.

use std::fs;

use crate::harness::{Background, Machine, eventually, failed_password, stderr, stdout};
use crate::memory::why;

/// Beside the machine, which is 203.0.113.1, a host 203.0.113.9.
fn two_hosts() -> Machine {
    let machine = Machine::new();
    machine.sh("ip netns add other; ip link add here type veth peer name there netns other
                ip addr add 203.0.113.1/24 dev here; ip link set here up
                ip -n other addr add 203.0.113.9/24 dev there; ip -n other link set there up");
    machine
}

fn gets_through(machine: &Machine) -> bool {
    let ping = "ip netns exec other ping -c 1 -W 1 203.0.113.1 >/dev/null && echo open || echo shut";
    machine.sh(ping).trim() == "open"
}

fn allowed_in_kernel(machine: &Machine) -> String {
    machine.nft("list set inet kban allow4").to_string()
}

#[test]
fn who_is_allowed_connects_at_once_and_is_not_banned_again() {
    let machine = two_hosts();
    machine.configure("maxretry = 1\nbantime = \"1h\"\n");
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9"));
    eventually("banned", || machine.listed() == ["203.0.113.9"]);
    assert!(machine.banctl(&["ban", "203.0.113.0/30"]).status.code() == Some(5), "it has this machine in it");
    assert!(machine.banctl(&["ban", "203.0.113.8/29"]).status.success());
    assert!(!gets_through(&machine));

    let output = machine.banctl(&["allow", "add", "203.0.113.9", "--for", "8h", "--reason", "at a hotel"]);
    assert!(gets_through(&machine), "at once: {}", stderr(&output));
    assert_eq!(stdout(&output), "allowed 203.0.113.9 for 8h; lifted 2 bans\n");
    assert!(machine.listed().is_empty() && machine.set("host4").is_empty());
    assert!(allowed_in_kernel(&machine).contains("203.0.113.9"));
    machine.log(&failed_password("203.0.113.9"));
    eventually("seen", || machine.banctl_json(&["status"])["jails"][0]["ignored"] == 1);
    let refused = machine.banctl(&["ban", "203.0.113.9"]);
    assert_eq!(refused.status.code(), Some(5));
    assert!(stderr(&refused).contains("`banctl allow del 203.0.113.9`"), "{}", stderr(&refused));

    let text = stdout(&machine.banctl(&["allow", "list"]));
    assert!(
        text.contains("at a hotel") && text.contains("run time") && text.contains("own address"),
        "{text}"
    );
    assert!(machine.banctl(&["allow", "del", "203.0.113.9"]).status.success());
    assert!(!allowed_in_kernel(&machine).contains("203.0.113.9"));
    machine.log(&failed_password("203.0.113.9"));
    eventually("banned again", || machine.listed() == ["203.0.113.9"]);
    assert!(!gets_through(&machine));
}

#[test]
fn an_entry_survives_restarts_and_ends_by_itself() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\n");
    let daemon = machine.start(machine.kband());
    for (prefix, time) in [("203.0.113.9", "8h"), ("203.0.113.128/25", "permanent"), ("203.0.113.10", "1s")] {
        assert!(machine.banctl(&["allow", "add", prefix, "--for", time]).status.success());
    }
    eventually("the short one is over", || {
        let allowed = machine.banctl_json(&["allow", "list", "203.0.113.0/24"]);
        allowed["allowed"].as_array().unwrap().len() == 2
    });
    assert!(!allowed_in_kernel(&machine).contains("203.0.113.10\""), "the kernel knows that it is over");
    daemon.kill();
    let daemon = machine.start(machine.kband());
    let row = &machine.banctl_json(&["allow", "list", "203.0.113.200"])["allowed"][0];
    assert_eq!((&row["address"], &row["origin"]), (&"203.0.113.128/25".into(), &"run time".into()));
    assert!(allowed_in_kernel(&machine).contains("203.0.113.128"));
    machine.log(&["203.0.113.9", "203.0.113.200", "203.0.113.10"].map(failed_password).concat());
    eventually("only whose time is over", || machine.listed() == ["203.0.113.10"]);
    daemon.stop();
}

#[test]
fn what_cannot_be_meant_is_refused_with_a_sentence() {
    let machine = Machine::new();
    machine.configure("ignoreip = [\"198.51.100.7\"]\n[defaults]\nignoreip = [\"192.0.2.0/24\"]\n");
    let daemon = machine.start(machine.kband());
    for (arguments, code, words) in [
        (["add", "0.0.0.0/0"], 2, "nobody in it would ever be banned"),
        (["add", "2001::/15"], 2, "or say --force"),
        (["add", "office"], 2, "neither an address nor a prefix"),
        (["del", "203.0.113.9"], 1, "203.0.113.9 is not allowed"),
        (["del", "192.0.2.7"], 1, "192.0.2.0/24 (ignoreip): take it out of `[defaults] ignoreip` and reload"),
        (["del", "127.0.0.1"], 1, "own address"),
        (["list", "203.0.113.9"], 1, "203.0.113.9 is not allowed"),
    ] {
        let output = machine.banctl(&[&["allow"][..], &arguments[..]].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{arguments:?}: {}", stderr(&output));
    }
    let row = &machine.banctl_json(&["allow", "list", "198.51.100.7"])["allowed"][0];
    assert_eq!((&row["origin"], &row["jail"]), (&"ignoreip".into(), &"sshd".into()));
    assert!(machine.banctl(&["allow", "add", "0.0.0.0/0", "--force"]).status.success());
    assert_eq!(machine.banctl(&["ban", "203.0.113.9"]).status.code(), Some(5));
    daemon.kill();
    let _daemon = machine.start(machine.kband());
    let warnings = machine.banctl_json(&["status"])["warnings"].to_string();
    assert!(warnings.contains("nobody in it is banned for good: `banctl allow del 0.0.0.0/0`"), "{warnings}");
    assert!(machine.banctl(&["allow", "del", "0.0.0.0/0"]).status.success());
    assert!(!machine.banctl_json(&["status"])["warnings"].to_string().contains("large part"));
}

#[test]
fn a_proxy_is_not_banned_and_status_says_what_to_do() {
    let machine = Machine::new();
    let jail = "maxretry = 1\nproxies = [\"198.51.100.0/24\"]\n";
    machine.configure(jail);
    let daemon = machine.start(machine.kband());
    machine.log(&["198.51.100.7", "198.51.100.8", "203.0.113.9"].map(failed_password).concat());
    eventually("only who is no proxy", || machine.listed() == ["203.0.113.9"]);
    let status = machine.banctl_json(&["status"]);
    let warning = status["warnings"].to_string();
    assert!(
        warning.contains("2 failures come from proxies, the last from 198.51.100.8: have the service log"),
        "{status}"
    );
    assert!(warning.contains("real_ip_header") && warning.contains("mod_remoteip"), "{status}");
    assert!(!machine.sh("nft list table inet kban").contains("198.51.100"), "it is not let pass either");

    let refused = machine.banctl(&["ban", "198.51.100.7"]);
    assert_eq!(refused.status.code(), Some(5));
    assert!(stderr(&refused).contains("everybody behind it"), "{}", stderr(&refused));
    assert!(machine.banctl(&["ban", "198.51.100.7", "--force"]).status.success());
    daemon.kill();
    machine.configure(&format!("{jail}[defaults]\nproxies = [\"203.0.113.9\"]\n"));
    let _daemon = machine.start(machine.kband());
    assert_eq!(machine.listed(), ["198.51.100.7"], "what was forced stays, what a jail banned does not");
    machine.configure(&format!("{jail}[defaults]\nignoreip = [\"198.51.100.7\"]\n"));
    assert!(machine.banctl(&["reload"]).status.success());
    eventually("who is allowed goes", || machine.listed().is_empty());
}

/// Names are what /run/hosts says; where that says nothing, a name server of the machine is asked.
fn with_names(machine: &Machine, hosts: &str, server: &str) {
    machine.sh(&format!(
        "printf '{hosts}' > /run/hosts; echo 'hosts: files dns' > /run/nsswitch.conf; echo 'nameserver {server}' > /run/resolv.conf
         for file in hosts nsswitch.conf resolv.conf; do mount --bind /run/$file /etc/$file; done"
    ));
}

#[test]
fn a_name_is_allowed_by_its_addresses_and_they_may_change() {
    let machine = Machine::new();
    with_names(&machine, "203.0.113.9 office.example.net\n2001:db8:5::9 office.example.net\n", "127.0.0.1");
    let names = "[defaults]\nignoreip = [\"office.example.net\", \"gone.example.net\"]\n";
    machine.configure("maxretry = 1\n");
    let _daemon = machine.start(machine.kband());
    machine.log(&["203.0.113.9", "2001:db8:5::7", "203.0.113.10"].map(failed_password).concat());
    eventually("banned", || machine.listed().len() == 3);
    machine.configure(&format!("maxretry = 1\n{names}"));
    assert!(machine.banctl(&["reload"]).status.success());
    eventually("the office is let in", || machine.listed() == ["203.0.113.10"]);
    assert!(allowed_in_kernel(&machine).contains("203.0.113.9"));
    let row = &machine.banctl_json(&["allow", "list", "203.0.113.9"])["allowed"][0];
    assert_eq!(row["origin"], "name office.example.net");
    eventually("the other name is told", || {
        machine.banctl_json(&["status"])["warnings"]
            .to_string()
            .contains("gone.example.net cannot be resolved")
    });
    assert!(stdout(&machine.banctl(&["allow", "list"])).contains("(nothing)"));

    machine.sh("echo '203.0.113.10 office.example.net' > /run/hosts");
    assert!(machine.banctl(&["reload"]).status.success());
    eventually("it has moved", || machine.listed().is_empty());
    machine.sh(": > /run/hosts");
    assert!(machine.banctl(&["reload"]).status.success());
    eventually("told", || {
        let warnings = machine.banctl_json(&["status"])["warnings"].to_string();
        warnings.contains("office.example.net cannot be resolved")
            && warnings.contains("who was allowed by it stays so")
    });
    machine.log(&["203.0.113.9", "203.0.113.10"].map(failed_password).concat());
    eventually("only where it was before", || machine.listed() == ["203.0.113.9"]);
    assert_eq!(machine.kband_log().matches("gone.example.net cannot be resolved").count(), 1, "said once");
}

/// Until a server answers, names are what they were when kband last ran.
#[test]
fn a_restart_without_dns_still_allows_names() {
    let machine = Machine::new();
    with_names(&machine, "203.0.113.9 office.example.net\n", "127.0.0.1");
    machine.configure("maxretry = 1\n[defaults]\nignoreip = [\"office.example.net\"]\n");
    let daemon = machine.start(machine.kband());
    eventually("allowed", || allowed_in_kernel(&machine).contains("203.0.113.9"));
    daemon.stop();
    machine.sh(": > /run/hosts; nft flush ruleset");
    let daemon = machine.start(machine.kband());
    eventually("allowed and told", || {
        allowed_in_kernel(&machine).contains("203.0.113.9")
            && machine.banctl_json(&["status"])["warnings"]
                .to_string()
                .contains("when kband last ran stays so")
    });
    machine.log(&["203.0.113.9", "203.0.113.10"].map(failed_password).concat());
    eventually("only the other", || machine.listed() == ["203.0.113.10"]);
    machine.sh("echo '203.0.113.10 office.example.net' > /run/hosts");
    assert!(machine.banctl(&["reload"]).status.success());
    eventually("who answers is believed", || machine.listed().is_empty());
    assert_eq!(machine.banctl_json(&["status"])["warnings"].as_array().unwrap().len(), 0);
    // Nobody wants to know any more.
    machine.configure("maxretry = 1\n");
    assert!(machine.banctl(&["reload"]).status.success());
    assert_eq!(fs::read_dir(machine.path("state/names")).unwrap().count(), 0);
    daemon.stop();
}

/// It takes every question and never answers.
const DEAF: &str = "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((\"127.0.0.1\", 53)); time.sleep(1000)";

#[test]
fn a_dns_server_that_is_down_delays_nobodys_ban() {
    let machine = Machine::new();
    with_names(&machine, "", "127.0.0.1");
    let server = machine.command("/usr/bin/python3").args(["-c", DEAF]).spawn().unwrap();
    let _server = Background(server);
    eventually("it listens", || machine.sh("ss -Hlun").contains("127.0.0.1:53"));
    machine.configure("maxretry = 1\nignoreip = [\"office.example.net\"]\n");
    let daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9"));
    eventually("banned", || machine.listed() == ["203.0.113.9"]);
    assert!(!machine.kband_log().contains("cannot be resolved"), "while the server is waited for");
    eventually("told", || {
        let warnings = machine.banctl_json(&["status"])["warnings"].to_string();
        warnings.contains("whether a DNS server answers") && warnings.contains("nobody is allowed by it yet")
    });
    daemon.stop();
}

#[test]
fn a_file_is_allowed_as_it_changes_and_stays_when_it_vanishes() {
    let machine = Machine::new();
    let file = machine.path("office");
    fs::write(&file, "203.0.113.9 # Anna\nBerlin\n").unwrap();
    machine.configure(&format!("maxretry = 1\nignoreip = [{file:?}]\n"));
    let _daemon = machine.start(machine.kband());
    let row = |machine: &Machine| machine.banctl_json(&["allow", "list"])["allowed"].to_string();
    eventually("read", || row(&machine).contains("203.0.113.9"));
    assert!(row(&machine).contains(&format!("file {}", file.display())), "{}", row(&machine));
    assert!(
        !machine.sh("nft list table inet kban").contains("203.0.113.9"),
        "a jail's own is not the kernel's"
    );
    let warnings = || machine.banctl_json(&["status"])["warnings"].to_string();
    assert!(warnings().contains("line 2 (`Berlin`) is neither an address nor a prefix"), "{}", warnings());
    machine.log(&["203.0.113.9", "203.0.113.10"].map(failed_password).concat());
    eventually("only who is not in it", || machine.listed() == ["203.0.113.10"]);

    fs::write(&file, "203.0.113.9\n203.0.113.10\n").unwrap();
    eventually("lifted by itself", || machine.listed().is_empty());
    fs::remove_file(&file).unwrap();
    eventually("told", || {
        warnings().contains("cannot be read") && warnings().contains("who was allowed by it stays so")
    });
    machine.log(&["203.0.113.10", "203.0.113.11"].map(failed_password).concat());
    eventually("it counts as it was", || machine.listed() == ["203.0.113.11"]);
}

/// A program, and the configuration of a jail that asks it.
fn asking(machine: &Machine, script: &str, more: &str) {
    let program = machine.path("is-ours");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    machine.sh(&format!("chmod +x {}", program.display()));
    machine.configure(&format!("maxretry = 1\nignorecommand = [{program:?}, \"<ip>\", \"<jail>\"]\n{more}"));
}

#[test]
fn a_program_says_who_is_not_banned() {
    let machine = Machine::new();
    let asked = machine.path("asked");
    asking(&machine, &format!("echo $1 $2 >> {}; test $1 = 203.0.113.9", asked.display()), "");
    let _daemon = machine.start(machine.kband());
    machine.log(&["203.0.113.9", "203.0.113.10", "2001:db8:5::7"].map(failed_password).concat());
    eventually("only whom it does not know", || machine.listed() == ["203.0.113.10", "2001:db8:5::/64"]);
    let jail = || machine.banctl_json(&["status"])["jails"][0].clone();
    eventually("all are asked about", || jail()["asked"]["times"] == 3);
    machine.log(&failed_password("203.0.113.9").repeat(3));
    eventually("spared again", || jail()["asked"]["spared"].as_u64() >= Some(2));
    assert_eq!(jail()["asked"]["failed"], 0);
    let mut lines: Vec<String> = fs::read_to_string(&asked).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(
        lines,
        ["2001:db8:5::7 sshd", "203.0.113.10 sshd", "203.0.113.9 sshd"],
        "each once: answers are remembered"
    );
    let notes = why(&machine, "203.0.113.9").1["notes"].to_string();
    assert!(notes.contains("sshd: its ignorecommand spared it at 20"), "{notes}");
    assert!(machine.banctl(&["ban", "203.0.113.9"]).status.success(), "an administrator is not asked about");
}

#[test]
fn a_program_that_hangs_floods_or_dies_has_no_say() {
    let machine = Machine::new();
    asking(
        &machine,
        "case $1 in *.1) sleep 1000;; *.2) exec yes;; *.3) kill -9 $$;; *.4) head -c 10000000 /dev/zero;; *) exit 3;; esac",
        "",
    );
    let _daemon = machine.start(machine.kband());
    let numbers =
        |numbers: std::ops::RangeInclusive<u8>| numbers.map(|n| format!("203.0.113.{n}")).collect::<Vec<_>>();
    machine.log(&numbers(1..=5).iter().map(|address| failed_password(address)).collect::<String>());
    eventually("all but whom it spares", || {
        machine.listed() == ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.5"]
    });
    let status = machine.banctl_json(&["status"]);
    assert_eq!(status["jails"][0]["asked"], serde_json::json!({"times": 5, "spared": 1, "failed": 3}));
    let warnings = status["warnings"].to_string();
    assert!(warnings.contains("gave no answer 3 of 5 times, and the ban went ahead"), "{status}");
    let log = machine.kband_log();
    assert!(log.contains("has not ended within 1s and was killed; 203.0.113.1 is banned"), "{log}");
    assert!(log.contains("died of SIGKILL; 203.0.113.3 is banned"), "{log}");

    machine.sh(&format!("rm {}", machine.path("is-ours").display()));
    machine.log(&failed_password("203.0.113.77"));
    eventually("no program, no say", || machine.listed().contains(&"203.0.113.77".to_owned()));
    assert!(machine.kband_log().contains("cannot be started"), "{}", machine.kband_log());
}

#[test]
fn an_administrator_is_not_locked_out_by_a_slip_of_the_pen() {
    let machine = Machine::new();
    machine.configure("");
    let _daemon = machine.start(machine.kband());
    let banctl =
        format!("{} --socket {}", env!("CARGO_BIN_EXE_banctl"), machine.path("run/control.sock").display());
    let from = |session: &str, line: &str| {
        let mut shell = machine.command("sh");
        shell.env("SSH_CONNECTION", session).args(["-c", &format!("{line}; exit $?")]).output().unwrap()
    };
    let session = "203.0.113.9 50022 198.51.100.1 22";
    for line in [
        format!("{banctl} ban 203.0.113.9"),
        format!("{banctl} ban 203.0.113.0/24"),
        // As sudo does it.
        format!("env -i {banctl} ban 203.0.113.9"),
    ] {
        let refused = from(session, &line);
        assert_eq!(refused.status.code(), Some(5), "{line}: {}", stderr(&refused));
        assert!(
            stderr(&refused).contains("203.0.113.9 is where your own SSH session comes from"),
            "{}",
            stderr(&refused)
        );
    }
    assert!(from(session, &format!("{banctl} ban 203.0.113.10")).status.success(), "a neighbour");
    assert!(from(session, &format!("{banctl} ban 203.0.113.9 --force")).status.success());
    assert_eq!(machine.listed(), ["203.0.113.9", "203.0.113.10"]);

    let now = jiff::Zoned::now().strftime("%b %e %H:%M:%S");
    machine.log(&format!("{now} host sshd[4711]: Accepted publickey for anna from 198.51.100.7 port 50022 ssh2: ED25519 SHA256:x\n"));
    eventually("the login is known", || {
        machine.banctl(&["ban", "198.51.100.0/29"]).status.code() == Some(5) || {
            machine.banctl(&["unban", "198.51.100.0/29"]);
            false
        }
    });
    let refused = machine.banctl(&["ban", "198.51.100.7"]);
    assert!(stderr(&refused).contains("somebody logged in from 198.51.100.7 at 20"), "{}", stderr(&refused));
    assert!(machine.banctl(&["ban", "198.51.100.7", "--force"]).status.success());

    // What is moved here locks nobody out either.
    let moved = machine.path("moved.jsonl");
    assert!(machine.banctl(&["export", moved.to_str().unwrap()]).status.success());
    assert!(machine.banctl(&["flush"]).status.success());
    let load = format!("{banctl} load {}", moved.display());
    let loaded = from(session, &load);
    assert_eq!(loaded.status.code(), Some(5), "{}", stderr(&loaded));
    let said = stdout(&loaded);
    assert!(said.starts_with("loaded 1 ban\n"), "{said}");
    assert!(said.contains("not loaded: 203.0.113.9: 203.0.113.9 is where your own SSH session"), "{said}");
    assert!(said.contains("not loaded: 198.51.100.7: somebody logged in from 198.51.100.7"), "{said}");
    assert_eq!(machine.listed(), ["203.0.113.10"]);
    assert!(from(session, &format!("{load} --force")).status.success());
    assert_eq!(machine.listed(), ["198.51.100.7", "203.0.113.9", "203.0.113.10"]);
}
