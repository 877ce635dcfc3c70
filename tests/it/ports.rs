//! Jails with `port`, by what becomes of packets: networks of any length, IPv6, and protocols that hardly anybody speaks.

use std::fs;

use crate::firewall::{appliance, python, reaches, serve};
use crate::harness::{Machine, eventually};

/// A machine between the attacker and the server, whose jail bans whom a line names, from some ports.
fn machine(ports: &str) -> Machine {
    let machine = Machine::new();
    appliance(&machine);
    // Networks of the attacker's, to which this machine answers.
    machine.sh(
        "for address in 203.0.113.9 203.0.127.9; do ip -n attacker addr add $address/32 dev eth0; done
        ip route add 203.0.112.0/20 via 198.51.100.9
        for address in 2001:db8:9::9 2001:db8:9::77 2001:db8:9:8::9; do ip -n attacker addr add $address/128 dev eth0 nodad; done
        ip route add 2001:db8:9::/48 via 2001:db8:51::9",
    );
    let filter = machine.path("bad.conf");
    fs::write(&filter, "[Definition]\nfailregex = ^\\s*bad net <SUBNET>$\n ^\\s*bad host <ADDR>$\n").unwrap();
    machine.configure(&format!("filter = {filter:?}\nmaxretry = 1\nbantime = \"1h\"\n{ports}\n"));
    machine
}

fn bad(machine: &Machine, what: &str) {
    let now = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S");
    machine.log(&format!("{now} bad {what}\n"));
}

#[test]
fn networks_of_any_length_are_closed_out_of_some_ports() {
    let machine = machine("port = 8080");
    let _server = (serve(&machine, "server", 80), serve(&machine, "server", 22));
    let daemon = machine.start(machine.kband());
    let hosts = ["203.0.113.9", "203.0.127.9"];
    let is_open = |host: &str| reaches(&machine, host, "198.51.100.1", 8080);
    eventually("the server answers", || hosts.into_iter().all(is_open));
    bad(&machine, "net 203.0.113.9/20");
    eventually("the network is banned", || machine.listed() == ["203.0.112.0/20"]);
    let is_closed = || {
        let ban = machine.banctl_json(&["list"])["bans"][0].clone();
        assert_eq!((&ban["ports"][0], &ban["in_kernel"]), (&"tcp/8080".into(), &true.into()), "{ban}");
        for host in hosts {
            assert!(!is_open(host) && reaches(&machine, host, "10.0.0.2", 22), "{host}");
        }
        assert!(is_open("198.51.100.9"));
    };
    is_closed();
    // By hand as well, and what is around it or in it has an end of its own.
    for (prefix, time) in [("203.0.112.0/21", "2h"), ("2001:db8:8::/45", "1h")] {
        let output = machine.banctl(&["ban", prefix, "--jail", "sshd", "--for", time]);
        assert!(output.status.success(), "{output:?}");
    }
    let held = machine.sh("nft list set inet kban port4_any; nft list set inet kban port6_any");
    for element in
        ["203.0.112.0/21 . tcp . 8080", "203.0.120.0/21 . tcp . 8080", "2001:db8:8::/45 . tcp . 8080"]
    {
        assert!(held.contains(element), "{held}");
    }
    assert!(!reaches(&machine, "2001:db8:9::9", "2001:db8:51::1", 8080));
    assert!(reaches(&machine, "2001:db8:9::9", "2001:db8:10::2", 22));

    // What is known is not adopted at a restart; what is not, is.
    daemon.stop();
    let daemon = machine.start(machine.kband());
    is_closed();
    assert_eq!(machine.listed().len(), 3);
    daemon.kill();
    fs::remove_dir_all(machine.path("state")).unwrap();
    let daemon = machine.start(machine.kband());
    is_closed();
    assert_eq!(machine.listed_by(&["adopted"]).len(), 3);
    assert!(machine.banctl(&["unban", "203.0.112.0/21"]).status.success());
    assert!(is_open("203.0.113.9") && !is_open("203.0.127.9"));
    daemon.kill();
    for prefix in ["203.0.112.0/20", "2001:db8:8::/45"] {
        assert!(machine.banctl(&["unban", "--kernel", prefix]).status.success());
    }
    assert!(is_open("203.0.127.9") && reaches(&machine, "2001:db8:9::9", "2001:db8:51::1", 8080));
}

#[test]
fn an_ipv6_network_is_closed_out_of_some_ports() {
    let machine = machine("port = [22, 8080]");
    let _server = (serve(&machine, "server", 80), serve(&machine, "server", 22));
    let _daemon = machine.start(machine.kband());
    let firewall = |host: &str| reaches(&machine, host, "2001:db8:51::1", 8080);
    eventually("the server answers", || firewall("2001:db8:9::9") && firewall("2001:db8:9::77"));
    bad(&machine, "host 2001:db8:9::9");
    eventually("its network is banned", || machine.listed() == ["2001:db8:9::/64"]);
    for host in ["2001:db8:9::9", "2001:db8:9::77"] {
        assert!(!firewall(host) && !reaches(&machine, host, "2001:db8:10::2", 22), "{host}");
        assert!(reaches(&machine, host, "2001:db8:10::2", 80), "{host}: another port is open");
    }
    assert!(firewall("2001:db8:9:8::9"), "another network is");
}

/// How many packets came to ports 5000 and 5001, of SCTP and of DCCP.
fn counted(machine: &Machine) -> Vec<u64> {
    let rules = machine.sh("nft list chain inet see input");
    let number =
        |line: &str| line.split_whitespace().skip_while(|word| *word != "packets").nth(1)?.parse().ok();
    rules.lines().filter_map(number).collect()
}

#[test]
fn sctp_and_dccp_have_ports_too() {
    let machine = machine("port = 5000\nprotocol = [\"sctp\", \"dccp\"]");
    machine.sh(
        "nft 'table inet see { chain input { type filter hook input priority 0; sctp dport 5000 counter; sctp dport 5001 counter
        dccp dport 5000 counter; dccp dport 5001 counter; }; }'",
    );
    let _daemon = machine.start(machine.kband());
    // The beginning of either header is the ports; nobody has to speak the rest.
    let script = "import socket, struct\n\
         for protocol in (132, 33):\n\
         \x20 s = socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol); s.bind(('203.0.113.9', 0))\n\
         \x20 for port in (5000, 5001): s.sendto(struct.pack('!HHQII', 40000, port, 0, 0, 0), ('198.51.100.1', 0))";
    let send = || assert!(python("attacker", &machine, script).status().unwrap().success());
    send();
    eventually("all arrive", || counted(&machine) == [1, 1, 1, 1]);
    bad(&machine, "host 203.0.113.9");
    eventually("banned", || machine.listed() == ["203.0.113.9"]);
    send();
    // Each of these is sent after one to the closed port.
    eventually("the others arrive", || counted(&machine)[1] == 2 && counted(&machine)[3] == 2);
    assert_eq!(counted(&machine), [1, 2, 1, 2]);
}
