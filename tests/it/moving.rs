//! Bans move from one kban to another, and from fail2ban to kban, with the time that is left to them.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::corpus::Package;
use crate::harness::{Machine, addresses, eventually, failed_password, stderr, stdout};

fn bans(machine: &Machine) -> Vec<Value> {
    machine.banctl_json(&["list"])["bans"].as_array().unwrap().clone()
}

#[test]
fn what_one_exports_another_loads() {
    let here = Machine::new();
    here.configure("maxretry = 1\nbantime = \"1h\"\nport = [22, \"8000-8001\"]\n[defaults]\nignoreip = []\n");
    let _here = here.start(here.kband());
    here.log(&failed_password("203.0.113.9"));
    for arguments in [
        &["ban", "203.0.113.0/24", "--for", "permanent", "--reason", "a \u{1b}[31mreason"][..],
        &["ban", "192.0.2.7", "--for", "2h"],
        &["ban", "198.51.100.7", "--jail", "sshd", "--for", "2h"],
    ] {
        assert!(here.banctl(arguments).status.success());
    }
    eventually("banned", || bans(&here).len() == 4);
    let file = here.path("bans.jsonl");
    let exported = here.banctl(&["export", file.to_str().unwrap()]);
    assert!(exported.status.success(), "{}", stderr(&exported));
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 4);
    let again = here.banctl(&["export", file.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(2), "a file that exists is not touched");

    let there = Machine::new();
    there.configure("maxretry = 1\n[defaults]\nignoreip = [\"192.0.2.0/24\"]\n");
    let _there = there.start(there.kband());
    assert!(there.banctl(&["ban", "198.51.100.7", "--jail", "sshd", "--for", "3h"]).status.success());
    let loaded = there.banctl(&["load", file.to_str().unwrap()]);
    assert_eq!(loaded.status.code(), Some(5), "{}", stderr(&loaded));
    let said = stdout(&loaded);
    assert!(said.starts_with("loaded 2 bans; 1 more are banned for as long already\n"), "{said}");
    assert!(said.contains("not loaded: 192.0.2.7: 192.0.2.7 is allowed by 192.0.2.0/24"), "{said}");
    let row = |address: &str| bans(&there).into_iter().find(|ban| ban["address"] == address).unwrap();
    let one = row("203.0.113.9");
    assert_eq!((&one["jail"], &one["in_kernel"]), (&"sshd".into(), &true.into()));
    assert_eq!(one["ports"], serde_json::json!(["tcp/22", "tcp/8000", "tcp/8001"]));
    assert!((3_000..=3_600).contains(&one["seconds_left"].as_u64().unwrap()), "{one}");
    assert_eq!(row("203.0.113.0/24")["reason"], "a \u{1b}[31mreason");
    let json = there.banctl(&["--json", "load", file.to_str().unwrap()]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    // What lasts longer by the file's account, counted from now, is loaded again.
    assert_eq!((&json["loaded"], &json["known"]), (&1.into(), &2.into()));

    // A file that is none loads nothing, and says where.
    for (bad, words) in [
        ("nonsense", ":5: "),
        (
            "{\"schema\":2,\"address\":\"203.0.113.1\",\"jail\":\"x\",\"since\":\"2026-11-21T06:00:00Z\",\"seconds_left\":9,\"count\":1}",
            "schema 1, not 2",
        ),
    ] {
        fs::write(&file, format!("{text}{bad}\n")).unwrap();
        let loaded = there.banctl(&["load", file.to_str().unwrap()]);
        assert_eq!(loaded.status.code(), Some(2));
        let said = stderr(&loaded);
        assert!(said.contains(words) && said.contains("nothing was loaded"), "{said}");
    }
}

/// fail2ban's own code writes its database.
#[test]
fn fail2bans_bans_are_taken_over() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\n");
    let _daemon = machine.start(machine.kband());
    let database = machine.path("fail2ban.sqlite3");
    let script = "
import sys, time
sys.path.insert(0, sys.argv[2])
from fail2ban.server.database import Fail2BanDb
from fail2ban.server.ticket import FailTicket
class Jail:
    def __init__(self, name): self.name, self.actions = name, self
    def getBanTime(self): return 600
db = Fail2BanDb(sys.argv[1])
now = time.time()
for jail, ip, began, length, count in [
    ('sshd', '203.0.113.1', now - 600, 3600, 3),
    ('sshd', '203.0.113.2', now - 600, 300, 1),
    ('sshd', '2001:db8::1', now, -1, 1),
    ('postfix', '203.0.113.3', now, 3600, 1),
]:
    jail = Jail(jail)
    db.addJail(jail)
    ticket = FailTicket(ip, began, ['a line'])
    ticket.setBanTime(length)
    ticket.setBanCount(count)
    db.addBan(jail, ticket)
";
    let peers = Package::find().python;
    let made = Command::new("python3").args(["-c", script]).arg(&database).arg(peers).output().unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
    let import = |database: &str| machine.banctl(&["config", "import", "/etc/fail2ban", "--bans", database]);
    let taken = import(database.to_str().unwrap());
    assert_eq!(
        stdout(&taken),
        "loaded 3 bans\n1 of them belong to jail manual now: theirs is not configured here\n",
        "{}",
        stderr(&taken)
    );
    let rows: Vec<(String, String)> = bans(&machine)
        .iter()
        .map(|ban| (ban["address"].as_str().unwrap().to_owned(), ban["jail"].as_str().unwrap().to_owned()))
        .collect();
    let row = |address: &str, jail: &str| (address.to_owned(), jail.to_owned());
    assert_eq!(rows, [row("203.0.113.1", "sshd"), row("203.0.113.3", "manual"), row("2001:db8::1", "sshd")]);
    let first = &bans(&machine)[0];
    assert!((2_900..=3_001).contains(&first["seconds_left"].as_u64().unwrap()), "{first}");
    assert_eq!((&first["count"], &first["in_kernel"]), (&3.into(), &true.into()));
    assert_eq!(bans(&machine)[2]["seconds_left"], Value::Null);

    fs::write(&database, "nonsense").unwrap();
    let refused = import(database.to_str().unwrap());
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("name its database"), "{}", stderr(&refused));
}

#[test]
fn who_loads_many_sees_how_many_are_done() {
    let machine = Machine::new();
    machine.configure("");
    let _daemon = machine.start(machine.kband());
    let line = |address: &String| {
        format!(
            r#"{{"schema":1,"address":"{address}","jail":"sshd","since":"2026-11-21T06:50:25Z","seconds_left":7200,"count":1,"ports":null,"source":"log","reason":""}}"#
        ) + "\n"
    };
    let bans: String = addresses(2_000).iter().map(line).collect();
    fs::write(machine.path("bans.jsonl"), bans).unwrap();
    let banctl = format!(
        "{} --socket {} load {}",
        env!("CARGO_BIN_EXE_banctl"),
        machine.path("run/control.sock").display(),
        machine.path("bans.jsonl").display()
    );
    let output = machine.command("script").args(["-qec", &banctl, "/dev/null"]).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("/2000 bans") && shown.contains("loaded 2000 bans"), "{shown:?}");
    assert_eq!(machine.listed().len(), 2_000);
}
