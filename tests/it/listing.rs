//! `banctl list`: which bans, in which order, and what else is known of an address.

use std::fs;

use crate::harness::{Machine, eventually, stderr, stdout};
use crate::shown::redacted;

fn banned(machine: &Machine, bans: &[(&str, &str, &str)]) {
    for (address, time, jail) in bans {
        let output = machine.banctl(&["ban", address, "--for", time, "--jail", jail]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
}

#[test]
fn bans_are_chosen_and_sorted() {
    let machine = Machine::new();
    machine.configure("");
    let _daemon = machine.start(machine.kband());
    banned(
        &machine,
        &[
            ("203.0.113.1", "2h", "sshd"),
            ("203.0.113.2", "4m", "manual"),
            ("203.0.113.3", "permanent", "manual"),
            ("198.51.100.4", "1h", "manual"),
        ],
    );
    assert!(machine.banctl(&["unban", "198.51.100.4"]).status.success());
    banned(&machine, &[("198.51.100.4", "1h", "manual")]);
    assert_eq!(machine.listed_by(&["--jail", "sshd"]), ["203.0.113.1"]);
    assert_eq!(machine.listed_by(&["203.0.113.0/24", "--jail", "manual"]), ["203.0.113.2", "203.0.113.3"]);
    assert_eq!(machine.listed_by(&["--expiring", "5m"]), ["203.0.113.2"]);
    assert_eq!(
        machine.listed_by(&["--sort", "left"]),
        ["203.0.113.2", "198.51.100.4", "203.0.113.1", "203.0.113.3"]
    );
    assert_eq!(machine.listed_by(&["--sort", "times"])[0], "198.51.100.4");
    assert_eq!(machine.listed_by(&["--sort", "since"])[0], "198.51.100.4");
    assert_eq!(machine.listed_by(&["--sort", "jail"])[3], "203.0.113.1");
    let none = stdout(&machine.banctl(&["list", "--expiring", "1s", "--jail", "sshd"]));
    assert_eq!(none, "no ban ends so soon by sshd\n");
    let output = machine.banctl(&["list", "sshd", "--jail", "manual"]);
    assert_eq!((output.status.code(), stderr(&output).contains("name one jail")), (Some(2), true));
}

/// The machine's own hosts file answers: no name server is asked.
#[test]
fn names_are_asked_for_on_request_and_harmless() {
    let machine = Machine::new();
    machine.configure("");
    let _daemon = machine.start(machine.kband());
    fs::write(machine.path("hosts"), "203.0.113.1 crawler.example.net\n").unwrap();
    fs::write(machine.path("nsswitch.conf"), "hosts: files\n").unwrap();
    for file in ["hosts", "nsswitch.conf"] {
        machine.sh(&format!("mount --bind {} /etc/{file}", machine.path(file).display()));
    }
    banned(
        &machine,
        &[("203.0.113.1", "1h", "sshd"), ("203.0.113.2", "1h", "sshd"), ("203.0.113.0/24", "1h", "sshd")],
    );
    let bans = machine.banctl_json(&["list", "--names"])["bans"].clone();
    let named = |address: &str| {
        let row = bans.as_array().unwrap().iter().find(|row| row["address"] == address).unwrap();
        row["name"].clone()
    };
    assert_eq!(named("203.0.113.1"), "crawler.example.net");
    assert!(named("203.0.113.2").is_null() && named("203.0.113.0/24").is_null());
    insta::assert_snapshot!("names", both(&machine, &["list", "--names"]));
    assert!(machine.banctl_json(&["list"])["bans"][0].get("name").is_none(), "unasked, nobody is asked");
}

#[test]
fn countries_come_from_a_database_on_request() {
    let machine = Machine::new();
    machine.configure("");
    let _daemon = machine.start(machine.kband());
    banned(&machine, &[("203.0.113.1", "1h", "sshd"), ("2.0.0.1", "1h", "sshd")]);
    let file = machine.path("country.mmdb");
    fs::write(&file, database("DE")).unwrap();
    let option = format!("--country={}", file.display());
    let bans = machine.banctl_json(&["list", &option])["bans"].clone();
    assert_eq!((&bans[0]["address"], &bans[0]["country"]), (&"2.0.0.1".into(), &serde_json::Value::Null));
    assert_eq!((&bans[1]["address"], &bans[1]["country"]), (&"203.0.113.1".into(), &"DE".into()));
    insta::assert_snapshot!("countries", both(&machine, &["list", &option]));
    fs::write(&file, "no database").unwrap();
    let output = machine.banctl(&["list", &option]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("name one in MaxMind's format"), "{}", stderr(&output));
}

/// What a command shows to people, and as JSON.
fn both(machine: &Machine, arguments: &[&str]) -> String {
    let json = [arguments, &["--json"]].concat();
    redacted(&(stdout(&machine.banctl(arguments)) + &stdout(&machine.banctl(&json))), machine)
}

/// A database in MaxMind's format (https://maxmind.github.io/MaxMind-DB/) of IPv4, where addresses from 128.0.0.0 on
/// are in one country, and nothing is known of the others.
fn database(country: &str) -> Vec<u8> {
    fn text(text: &str) -> Vec<u8> {
        let mut coded = vec![0b0100_0000 | u8::try_from(text.len()).unwrap()];
        coded.extend(text.as_bytes());
        coded
    }
    fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut coded = vec![0b1110_0000 | u8::try_from(entries.len()).unwrap()];
        for (key, value) in entries {
            coded.extend(text(key));
            coded.extend(value);
        }
        coded
    }
    let number = |size: u8| vec![0b1010_0001, size];
    let (nodes, nothing, first) = (1, 1_u8, 1_u8 + 16);
    let mut file = vec![0, 0, nothing, 0, 0, first];
    file.extend([0; 16]);
    file.extend(map(&[("country", map(&[("iso_code", text(country))]))]));
    file.extend(b"\xab\xcd\xefMaxMind.com");
    file.extend(map(&[
        ("binary_format_major_version", number(2)),
        ("binary_format_minor_version", vec![0b1010_0000]),
        ("build_epoch", vec![0b0000_0001, 2, 1]),
        ("database_type", text("Test")),
        ("description", map(&[("en", text("Test"))])),
        ("ip_version", number(4)),
        ("languages", vec![0b0000_0001, 4, 0b0100_0010, b'e', b'n']),
        ("node_count", vec![0b1100_0001, nodes]),
        ("record_size", number(24)),
    ]));
    file
}

/// As many as a busy server has, through pages: none is lost or told twice.
#[test]
fn very_many_bans_are_listed() {
    const MANY: u32 = 20_000;
    let machine = Machine::new();
    let list = machine.path("many.netset");
    let lines: String =
        (0..MANY).map(|number| format!("{}\n", std::net::Ipv4Addr::from(0x0b00_0000 + number))).collect();
    fs::write(&list, lines).unwrap();
    machine.configure(&format!("[feed.x]\nfile = {list:?}\n"));
    let _daemon = machine.start(machine.kband());
    eventually("all are listed", || machine.listed().len() == MANY as usize);
    let text = stdout(&machine.banctl(&["list", "--sort", "left"]));
    assert_eq!(text.lines().count(), MANY as usize + 1);
}
