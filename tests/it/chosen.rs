//! What `[firewall]` says of offenders' packets and connections, from the file into the kernel, and through a reload.

use std::collections::BTreeSet;

use crate::firewall::{appliance, python, refusal, serve};
use crate::harness::{Background, Machine, eventually, failed_password};

/// Who is connected to port 2200 of the machine.
fn connected(machine: &Machine) -> BTreeSet<String> {
    let listed = machine.sh("ss -Htn state established '( sport = :2200 )'");
    let peer = |line: &str| {
        let peer = line.split_whitespace().nth(3)?.rsplit_once(':')?.0;
        Some(peer.trim_matches(['[', ']']).trim_start_matches("::ffff:").to_owned())
    };
    listed.lines().filter_map(peer).collect()
}

/// Both addresses of the attacker connect to port 2200 of the machine, and stay.
fn connect_both(machine: &Machine) -> (Background, Background) {
    let server = serve(machine, "", 2200);
    let connect = "import socket, time\n\
         def connect(address):\n\
         \x20 while True:\n\
         \x20   try: return socket.create_connection(('198.51.100.1', 2200), 5, (address, 0))\n\
         \x20   except OSError: time.sleep(0.05)\n\
         kept = [connect('198.51.100.9'), connect('198.51.100.10')]\n\
         time.sleep(600)";
    let attacker = Background(python("attacker", machine, connect).spawn().unwrap());
    eventually("both are connected", || {
        connected(machine) == ["198.51.100.9", "198.51.100.10"].map(str::to_owned).into()
    });
    (server, attacker)
}

/// The rules for whoever is banned.
fn offender(machine: &Machine) -> String {
    machine.sh("nft list chain inet kban offender")
}

#[test]
fn whoever_got_in_is_cut_although_the_set_is_full() {
    let machine = Machine::new();
    appliance(&machine);
    let _connections = connect_both(&machine);
    machine.configure(
        "maxretry = 1\nport = [\"22\", \"2200-2201\"]\n[firewall]\nset_size = 4\ncut_connections = true\n",
    );
    let _daemon = machine.start(machine.kband());
    // Three elements each: the second offender's do not all find room.
    machine.log(&["198.51.100.9", "198.51.100.10"].map(failed_password).concat());
    eventually("the first is cut", || connected(&machine) == ["198.51.100.10".to_owned()].into());
    let error = machine.banctl_json(&["status"])["firewall"]["error"].to_string();
    assert!(error.contains("port4"), "{error}");
    assert!(machine.banctl(&["unban", "198.51.100.9"]).status.success());
    eventually("so is the second when there is room", || connected(&machine).is_empty());
}

#[test]
fn what_is_chosen_reaches_the_kernel_and_so_does_another_choice() {
    let machine = Machine::new();
    appliance(&machine);
    let _connections = connect_both(&machine);
    let choose = |more: &str| machine.configure(&format!("maxretry = 1\n[firewall]\n{more}\n"));
    choose(
        "verdict = \"reject\"\nlog = true\nlog_group = 7\nlog_prefix = \"closed: \"\ncut_connections = true",
    );
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_password("198.51.100.9"));
    eventually("the connection is cut", || connected(&machine) == ["198.51.100.10".to_owned()].into());
    assert_eq!(refusal(&machine, "198.51.100.9", "198.51.100.1", 2200), "ConnectionRefusedError");
    let rules = offender(&machine);
    assert!(rules.contains("log prefix \"closed: \" group 7") && rules.contains("limit rate"), "{rules}");
    assert!(rules.contains("reject with tcp reset") && !rules.contains("drop"), "{rules}");

    // To the kernel's own log, and silently.
    choose("verdict = \"drop\"\nlog = true\nlog_prefix = \"other: \"");
    assert!(machine.banctl(&["reload"]).status.success());
    assert_eq!(refusal(&machine, "198.51.100.9", "198.51.100.1", 2200), "TimeoutError");
    let rules = offender(&machine);
    assert!(rules.contains("log prefix \"other: \"") && !rules.contains("group"), "{rules}");
    assert!(rules.contains("drop") && !rules.contains("reject"), "{rules}");
    assert!(machine.banctl(&["ban", "198.51.100.10"]).status.success());
    assert_eq!(connected(&machine).len(), 1, "it is not cut any more");
    assert_eq!(refusal(&machine, "198.51.100.10", "198.51.100.1", 2200), "TimeoutError");

    // What is left out is as it is without.
    choose("");
    assert!(machine.banctl(&["reload"]).status.success());
    let rules = offender(&machine);
    assert!(rules.contains("drop") && !rules.contains("log"), "{rules}");
    assert!(!rules.contains("reject"), "{rules}");
    choose("verdict = \"reject\"\ncut_connections = true");
    assert!(machine.banctl(&["reload"]).status.success());
    assert!(offender(&machine).contains("reject with icmpx admin-prohibited"));
    assert!(machine.banctl(&["ban", "198.51.100.10", "--for", "2h"]).status.success());
    assert!(connected(&machine).is_empty(), "and it is cut again");
    assert_eq!(refusal(&machine, "198.51.100.10", "198.51.100.1", 2200), "ConnectionRefusedError");
}
