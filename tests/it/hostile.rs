//! Logs made by attackers: nothing is banned wrongly, nothing grows.

use std::fs;
use std::io::Write;

use crate::harness::{Machine, eventually, failed_password};

/// Resident memory's peak in KiB (proc(5), VmHWM).
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn forged_lines_ban_nobody_but_their_sender() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\n");
    let _daemon = machine.start(machine.kband());
    let head = jiff::Zoned::now().strftime("%b %e %H:%M:%S host sshd[1]: ").to_string();
    let inner = failed_password("1.2.3.4").trim().to_owned();
    for forged in [
        "Failed password for from 1.2.3.4 from 5.6.7.8 port 22 ssh2".to_owned(),
        format!("Failed password for invalid user {inner} from 5.6.7.9 port 22 ssh2"),
        format!("Invalid user {inner} from 5.6.7.10 port 22"),
        "Accepted password for Failed password for root from 1.2.3.4 port 22 ssh2 from 192.0.2.1 port 22 ssh2".to_owned(),
        format!("Connection closed by invalid user {inner} 5.6.7.11 port 22 [preauth]"),
    ] {
        machine.log(&format!("{head}{forged}\n"));
    }
    // Other programs may say what they like.
    machine.log(&inner.replace("sshd[4711]", "myapp[1]"));
    machine.log(&format!("\n{}", failed_password("5.6.7.99")));
    eventually("the last line was read", || machine.listed().contains(&"5.6.7.99".to_owned()));
    let listed = machine.listed();
    assert!(listed.iter().all(|address| address.starts_with("5.6.7.")), "{listed:?}");
    assert!(
        listed.contains(&"5.6.7.8".into())
            && listed.contains(&"5.6.7.9".into())
            && listed.contains(&"5.6.7.10".into())
    );
}

#[test]
fn a_gigabyte_without_a_newline_and_random_bytes_grow_nothing() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\n");
    let daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.1"));
    eventually("warm", || machine.listed().len() == 1);
    let before = peak(daemon.pid());

    let mut log = fs::OpenOptions::new().append(true).open(machine.path("auth.log")).unwrap();
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..1024 {
        log.write_all(&chunk).unwrap();
    }
    log.write_all(b"\n").unwrap();
    let mut state = 1_u64;
    let random: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(8 << 20)
    .collect();
    log.write_all(&random).unwrap();
    machine.log(&format!("\n{}", failed_password("203.0.113.2")));
    eventually("what comes after is read", || machine.listed() == ["203.0.113.1", "203.0.113.2"]);
    let grown = peak(daemon.pid()) - before;
    assert!(grown < 8 << 10, "{grown} KiB more than before");
    assert!(machine.banctl_json(&["status"])["sources"][0]["lines_cut"].as_u64().unwrap() >= 1);
}

#[test]
fn a_flood_of_forged_addresses_grows_nothing_and_hides_nobody() {
    let machine = Machine::new();
    machine.configure("maxretry = 3\nmax_tracked = 10000\n");
    let daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.1").repeat(2));
    for block in 0..20_u32 {
        let lines: String = (0..10_000)
            .map(|n| failed_password(&std::net::Ipv4Addr::from(0x0a00_0000 + block * 10_000 + n).to_string()))
            .collect();
        machine.log(&lines);
    }
    machine.log(&failed_password("203.0.113.1"));
    eventually("who keeps trying is caught", || machine.listed() == ["203.0.113.1"]);
    assert!(machine.banctl_json(&["status"])["jails"][0]["tracked"].as_u64().unwrap() <= 10_000);
    assert!(peak(daemon.pid()) < 64 << 10);
}

#[test]
fn old_lines_and_strange_dates_ban_nobody() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\nfindtime = \"10m\"\n");
    let _daemon = machine.start(machine.kband());
    let old = jiff::Zoned::now()
        .checked_sub(jiff::Span::new().hours(2))
        .unwrap()
        .strftime("%b %e %H:%M:%S")
        .to_string();
    machine.log(&format!("{old} host sshd[1]: Failed password for root from 203.0.113.50 port 22 ssh2\n"));
    machine.log(
        "2001-02-03T04:05:06+00:00 host sshd[1]: Failed password for root from 203.0.113.51 port 22 ssh2\n",
    );
    machine.log(&failed_password("203.0.113.1"));
    eventually("the fresh one is banned", || machine.listed() == ["203.0.113.1"]);
    assert_eq!(machine.banctl_json(&["status"])["jails"][0]["stale"], 2);
}
