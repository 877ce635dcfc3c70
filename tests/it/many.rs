//! Very many bans: the kernel's table changes seldom, and nobody waits while they go.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::harness::{Background, Machine, eventually, failed_password, stdout};

/// nft says of each transaction: `# new generation 7 by process 42 (kband)`.
#[test]
fn a_flood_of_offenders_changes_the_table_four_times_a_second() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\n");
    let _daemon = machine.start(machine.kband());
    let heard = machine.path("generations");
    let mut monitor = machine.command("nft");
    monitor.args(["monitor"]).stdout(Stdio::from(fs::File::create(&heard).unwrap()));
    let _monitor = Background(monitor.spawn().unwrap());
    let commits = || {
        let text = fs::read_to_string(&heard).unwrap();
        text.lines().filter(|line| line.contains("new generation") && line.contains("(kband)")).count()
    };
    machine.log(&failed_password("203.0.113.255"));
    eventually("the monitor hears", || {
        machine.banctl(&["unban", "--all"]);
        machine.banctl(&["ban", "203.0.113.254"]);
        commits() > 0
    });
    std::thread::sleep(Duration::from_secs(4));
    let (before, begin) = (commits(), Instant::now());
    const OFFENDERS: u32 = 1_000;
    for number in 0..OFFENDERS {
        machine.log(&failed_password(&Ipv4Addr::from(0x0b00_0000 + number).to_string()));
        std::thread::sleep(Duration::from_millis(3));
    }
    eventually("all of them", || machine.listed().len() > OFFENDERS as usize);
    eventually("in the kernel", || {
        let bans = machine.banctl_json(&["list"]);
        bans["bans"].as_array().unwrap().iter().all(|ban| ban["in_kernel"] == true)
    });
    let (commits, seconds) = (commits() - before, begin.elapsed().as_secs());
    let most = 16 + 4 * (usize::try_from(seconds).unwrap() + 1);
    assert!((1..=most).contains(&commits), "{commits} in {seconds} s");
}

#[test]
fn lifting_very_many_is_answered_when_it_is_done_and_others_are_answered_meanwhile() {
    const LISTED: u32 = 60_000;
    let machine = Machine::new();
    let list = machine.path("many.netset");
    let lines: String =
        (0..LISTED).map(|number| format!("{}\n", Ipv4Addr::from(0x0b00_0000 + number))).collect();
    fs::write(&list, lines + "198.51.100.0/22\n").unwrap();
    machine.configure(&format!("maxretry = 1\n[firewall]\nset_size = 1000000\n[feed.x]\nfile = {list:?}\n"));
    let _daemon = machine.start(machine.kband());
    let banned = |jail: &str| {
        let status = machine.banctl_json(&["status"]);
        let rows = ["feeds", "jails"].into_iter().flat_map(|rows| status[rows].as_array().unwrap().clone());
        rows.filter(|row| row["name"] == jail).find_map(|row| row["banned"].as_u64()).unwrap()
    };
    eventually("all are listed", || banned("x") == u64::from(LISTED) + 1);
    machine.log(&failed_password("203.0.113.9"));
    eventually("one by the jail", || banned("sshd") == 1);

    let mut unban = machine.command(env!("CARGO_BIN_EXE_banctl"));
    unban.arg("--socket").arg(machine.path("run/control.sock")).args(["unban", "--jail", "feed.x"]);
    let unban = unban.stdout(Stdio::piped()).spawn().unwrap();
    eventually("some are gone, not all", || (1..u64::from(LISTED)).contains(&banned("x")));
    let lifted = unban.wait_with_output().unwrap();
    assert_eq!(stdout(&lifted), format!("lifted {} bans\n", LISTED + 1));
    let left = machine.nft("list table inet kban").to_string();
    assert!(left.contains("203.0.113.9") && !left.contains("11.0.") && !left.contains("198.51."), "{left}");
}
