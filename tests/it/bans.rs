//! From a log line to the kernel's set, and back out through banctl.

use std::fs;

use crate::harness::{Machine, addresses, eventually, failed_password, stdout};

#[test]
fn maxretry_lines_put_the_address_into_the_kernel_for_bantime() {
    let machine = Machine::new();
    machine.configure("maxretry = 3\nbantime = \"1h\"\n");
    let daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9").repeat(2));
    machine.log(&failed_password("203.0.113.10").repeat(3));
    eventually("the ban is listed", || machine.listed() == ["203.0.113.10"]);

    let in_kernel = machine.set("host4");
    assert_eq!(in_kernel.len(), 1);
    assert_eq!(in_kernel[0].0, "203.0.113.10");
    assert!((3590..=3600).contains(&in_kernel[0].1), "{in_kernel:?}");
    let listed = machine.banctl_json(&["list"]);
    assert_eq!(listed["schema"], 1);
    let ban = &listed["bans"][0];
    assert_eq!(
        (ban["jail"].as_str(), ban["count"].as_u64(), ban["in_kernel"].as_bool()),
        (Some("sshd"), Some(1), Some(true))
    );
    assert!(ban["seconds_left"].as_u64().unwrap().abs_diff(in_kernel[0].1) <= 2);
    assert!(ban["ports"].is_null());
    let kernel = machine.banctl_json(&["list", "--kernel"]);
    assert_eq!(
        (&kernel["bans"][0]["address"], &kernel["bans"][0]["set"]),
        (&"203.0.113.10".into(), &"host4".into())
    );
    daemon.stop();
    assert_eq!(machine.set("host4").len(), 1, "bans stay when the daemon stops");
}

#[test]
fn ipv6_is_banned_by_network_and_mapped_addresses_as_ipv4() {
    let machine = Machine::new();
    machine.configure("maxretry = 2\n");
    let _daemon = machine.start(machine.kband());
    for address in ["2001:db8:5::1", "2001:db8:5::2", "::ffff:203.0.113.7", "203.0.113.7"] {
        machine.log(&failed_password(address));
    }
    eventually("both are listed", || machine.listed() == ["203.0.113.7", "2001:db8:5::/64"]);
    let set = machine.nft("list set inet kban net6_64");
    assert!(set.to_string().contains("2001:db8:5::"), "{set}");
}

#[test]
fn a_ban_ends_in_the_kernel_and_in_the_list() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\nbantime = \"2s\"\n");
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9"));
    eventually("banned", || machine.listed() == ["203.0.113.9"]);
    eventually("over", || machine.listed().is_empty() && machine.set("host4").is_empty());
    eventually("told", || machine.kband_log().contains("[sshd] Unban 203.0.113.9 (expired)"));
    machine.log(&failed_password("203.0.113.9"));
    eventually("banned again", || machine.listed() == ["203.0.113.9"]);
    assert_eq!(machine.banctl_json(&["list"])["bans"][0]["count"], 2);
}

#[test]
fn packets_are_dropped_and_counted() {
    let machine = Machine::new();
    machine.sh("ip addr add 192.0.2.1/24 dev lo; ip addr add 203.0.113.0/24 dev lo");
    machine.configure("");
    let _daemon = machine.start(machine.kband());
    // The machine's own addresses are refused, so packets come from a neighbour: a second namespace.
    machine.sh("ip netns add other; ip link add here type veth peer name there netns other
                ip addr add 198.51.100.1/24 dev here; ip link set here up
                ip -n other addr add 198.51.100.2/24 dev there; ip -n other link set there up");
    let ping = "ip netns exec other ping -c 1 -W 1 198.51.100.1 >/dev/null";
    machine.sh(ping);
    assert!(machine.banctl(&["ban", "198.51.100.2", "--for", "1h"]).status.success());
    machine.sh(&format!("! {ping}"));
    assert!(machine.banctl_json(&["status"])["firewall"]["packets"].as_u64().unwrap() > 0);
    assert!(machine.banctl(&["unban", "198.51.100.2"]).status.success());
    machine.sh(ping);
}

#[test]
fn a_thousand_bans_start_no_process() {
    let machine = Machine::new();
    machine.configure("maxretry = 5\n");
    let trace = machine.path("trace");
    let mut command = machine.command("strace");
    command.args(["-f", "-qq", "-e", "trace=clone,clone3,fork,vfork,execve,execveat", "-o"]).arg(&trace);
    command.arg(env!("CARGO_BIN_EXE_kband")).args(machine.kband_arguments());
    let daemon = machine.start(command);
    let lines: String = addresses(1000).iter().map(|address| failed_password(address).repeat(5)).collect();
    machine.log(&lines);
    eventually("all are banned", || machine.listed().len() == 1000);
    assert_eq!(machine.set("host4").len(), 1000);
    // strace ends with the program that it traces.
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", daemon.pid())).unwrap();
    machine.sh(&format!("kill -TERM {children}"));
    daemon.wait();

    let trace = fs::read_to_string(trace).unwrap();
    let (programs, tasks): (Vec<&str>, Vec<&str>) = trace.lines().partition(|line| line.contains("exec"));
    assert_eq!(programs.len(), 1, "kband itself and nobody else: {programs:?}");
    let processes: Vec<&&str> =
        tasks.iter().filter(|line| line.contains("(") && !line.contains("CLONE_THREAD")).collect();
    assert!(processes.iter().all(|line| !line.contains("clone") && !line.contains("fork")), "{processes:?}");
}

#[test]
fn an_address_banned_by_hand_and_by_a_jail_stays_until_both_let_go() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\nbantime = \"1h\"\n");
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9"));
    eventually("banned", || machine.listed() == ["203.0.113.9"]);
    assert!(machine.banctl(&["ban", "203.0.113.9", "--for", "10h", "--reason", "again"]).status.success());
    assert!(machine.set("host4")[0].1 > 3600);
    let text = stdout(&machine.banctl(&["list"]));
    assert!(text.contains("manual") && text.contains("sshd") && text.contains("again"), "{text}");
    assert!(machine.banctl(&["unban", "203.0.113.9", "--jail", "manual"]).status.success());
    assert!((1..=3600).contains(&machine.set("host4")[0].1));
    assert!(machine.banctl(&["unban", "--all"]).status.success());
    assert!(machine.set("host4").is_empty());
}

#[test]
fn a_foreign_flush_is_repaired_without_any_new_ban() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\n");
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9"));
    eventually("banned", || machine.listed() == ["203.0.113.9"]);
    machine.sh("nft flush ruleset");
    eventually("restored", || machine.banctl_json(&["list"])["bans"][0]["in_kernel"] == true);
    machine.log(&failed_password("203.0.113.10"));
    eventually("both are listed", || machine.listed().len() == 2);
    assert_eq!(machine.set("host4").len(), 2);
}

#[test]
fn a_full_set_holds_up_its_own_bans_only_and_takes_them_when_there_is_room() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\n[firewall]\nset_size = 2\n");
    let _daemon = machine.start(machine.kband());
    for address in ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4", "2001:db8:5::1"] {
        machine.log(&failed_password(address));
    }
    eventually("all are intended", || machine.listed().len() == 5);
    let bans = machine.banctl_json(&["list"]);
    let in_kernel = |address: &str| {
        let bans = bans["bans"].as_array().unwrap();
        bans.iter().find(|ban| ban["address"] == address).unwrap()["in_kernel"].as_bool().unwrap()
    };
    assert!(in_kernel("203.0.113.1") && !in_kernel("203.0.113.4") && in_kernel("2001:db8:5::/64"));
    let status = machine.banctl_json(&["status"]);
    assert_eq!(status["firewall"]["pending"], 2);
    assert!(status["warnings"][0].as_str().unwrap().contains("set host4 is full"), "{status}");
    assert!(machine.banctl(&["unban", "203.0.113.1"]).status.success());
    eventually("the next one gets its room", || machine.banctl_json(&["status"])["firewall"]["pending"] == 1);
    assert_eq!(machine.set("host4").len(), 2);
}

/// The kernel counts elements that have ended until it collects them.
#[test]
fn a_full_set_has_room_again_when_its_bans_have_ended() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\nbantime = \"1h\"\n[firewall]\nset_size = 2\n");
    let _daemon = machine.start(machine.kband());
    for round in 1..=3 {
        for host in [1, 2] {
            // Whoever bans by hand is told that the set is full, until those of the round before are collected.
            let ban = ["ban", &format!("203.0.113.{host}"), "--for", "2s"];
            eventually("there is room", || machine.banctl(&ban).status.success());
        }
        let third = format!("198.51.100.{round}");
        machine.log(&failed_password(&third));
        eventually("it is intended", || machine.listed().contains(&third));
        eventually("it gets in", || machine.set("host4").iter().any(|(address, _)| *address == third));
        eventually("nothing waits", || machine.banctl_json(&["status"])["firewall"]["pending"] == 0);
        eventually("the others are over", || machine.listed() == [&*third]);
        assert!(machine.banctl(&["unban", &third]).status.success());
    }
}

#[test]
fn whoever_is_banned_and_still_heard_is_put_back_into_the_kernel() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\nbantime = \"1h\"\n");
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9"));
    eventually("banned", || machine.listed() == ["203.0.113.9"]);
    machine.sh("nft flush set inet kban host4");
    eventually("put back", || {
        std::thread::sleep(std::time::Duration::from_millis(500));
        machine.log(&failed_password("203.0.113.9"));
        machine.set("host4").len() == 1
    });
    assert_eq!(machine.listed(), ["203.0.113.9"]);
}

#[test]
fn a_table_whose_rules_were_flushed_is_repaired_without_any_new_ban() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\nbantime = \"1h\"\n");
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9"));
    eventually("banned", || machine.listed() == ["203.0.113.9"]);
    machine.sh("nft flush table inet kban");
    assert!(machine.banctl(&["reload"]).status.success());
    eventually("repaired", || {
        machine.sh("nft list table inet kban").contains("ip saddr @host4 goto offender")
    });
    machine.sh("nft delete table inet kban");
    assert!(machine.banctl(&["reload"]).status.success());
    eventually("made again", || machine.set("host4").len() == 1);
}
