//! Who is never banned: entries at run time, and what becomes of bans that are in their way.

use crate::harness::{Machine, eventually, failed_password, stderr, stdout};

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
    let _daemon = machine.start(machine.kband());
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
