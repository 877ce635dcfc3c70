//! What an administrator can choose: ports, networks, interfaces, neighbours; through the daemon, and by what becomes of
//! connections.

use std::fs;
use std::process::Command;

use crate::harness::{Background, Machine, eventually, failed_password, stdout};

/// Two jails over one log, each closing its own ports.
fn two_jails(machine: &Machine) {
    let log = machine.path("auth.log");
    fs::write(
        machine.path("kban.toml"),
        format!(
            "[defaults]\nmaxretry = 1\n\
             [jail.sshd]\nenabled = true\nlogpath = {log:?}\nbantime = \"1h\"\nport = [\"ssh\", \"2200-2201\"]\n\
             [jail.mail]\nenabled = true\nfilter = \"sshd\"\nlogpath = {log:?}\nbantime = \"2h\"\nport = [\"smtp\", 22]\nprotocol = [\"tcp\", \"udp\"]\n"
        ),
    )
    .unwrap();
}

/// The elements of `port4`, as `ADDRESS PROTOCOL PORT`, with the seconds left.
fn port4(machine: &Machine) -> Vec<(String, u64)> {
    let listed = machine.sh("nft -j list set inet kban port4 2>/dev/null || echo '{}'");
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let elements = listed["nftables"][1]["set"]["elem"].as_array().cloned().unwrap_or_default();
    let mut shown: Vec<(String, u64)> = elements
        .iter()
        .map(|element| {
            let parts = element["elem"]["val"]["concat"].as_array().unwrap();
            let text = |part: &serde_json::Value| part.as_str().map_or(part.to_string(), str::to_owned);
            let words: Vec<String> = parts.iter().map(text).collect();
            (words.join(" "), element["elem"]["expires"].as_u64().unwrap())
        })
        .collect();
    shown.sort();
    shown
}

fn ports(machine: &Machine) -> Vec<String> {
    port4(machine).into_iter().map(|(element, _)| element.replace("203.0.113.9 ", "")).collect()
}

#[test]
fn each_jail_closes_its_own_ports_until_its_own_end() {
    let machine = Machine::new();
    two_jails(&machine);
    let daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9"));
    let all = ["tcp 22", "tcp 2200", "tcp 2201", "tcp 25", "udp 22", "udp 25"];
    eventually("both jails have banned", || ports(&machine) == all);
    assert!(machine.set("host4").is_empty(), "other ports stay open");
    // Port 22 is held by both jails: the longer one counts.
    let left = |wanted: &str| {
        port4(&machine)
            .into_iter()
            .find(|(element, _)| element.ends_with(wanted))
            .map(|(_, left)| left)
            .unwrap()
    };
    assert!(left("tcp 22") > 3600 && left("udp 25") > 3600 && left("tcp 2200") <= 3600);
    let bans = machine.banctl_json(&["list"])["bans"].clone();
    assert_eq!(bans[0]["ports"], serde_json::json!(["tcp/22", "tcp/25", "udp/22", "udp/25"]));
    assert_eq!(bans[1]["ports"], serde_json::json!(["tcp/22", "tcp/2200", "tcp/2201"]));
    assert!(bans[0]["in_kernel"].as_bool().unwrap() && bans[1]["in_kernel"].as_bool().unwrap());
    let text = stdout(&machine.banctl(&["list"]));
    assert!(text.contains("tcp/22 tcp/25 udp/22 +1"), "{text}");

    // A ban of everything beside them is one more element, with its own end.
    assert!(machine.banctl(&["ban", "203.0.113.9", "--for", "5h"]).status.success());
    assert_eq!((machine.set("host4").len(), ports(&machine).len()), (1, 6));
    assert!(machine.banctl(&["unban", "203.0.113.9", "--jail", "manual"]).status.success());
    assert_eq!((machine.set("host4").len(), ports(&machine).len()), (0, 6));

    // They outlive a restart, and each other.
    daemon.stop();
    let _daemon = machine.start(machine.kband());
    assert_eq!(ports(&machine), all);
    assert!(machine.banctl(&["unban", "203.0.113.9", "--jail", "mail"]).status.success());
    assert_eq!(ports(&machine), ["tcp 22", "tcp 2200", "tcp 2201"]);
    assert!(left("tcp 22") <= 3600, "the shorter ban of the other jail is left");
    assert!(machine.banctl(&["unban", "203.0.113.9"]).status.success());
    assert_eq!(ports(&machine), [""; 0]);
}

#[test]
fn elements_with_ports_that_nobody_remembers_are_adopted() {
    let machine = Machine::new();
    two_jails(&machine);
    let daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9"));
    eventually("banned", || ports(&machine).len() == 6);
    daemon.kill();
    fs::remove_dir_all(machine.path("state")).unwrap();
    let _daemon = machine.start(machine.kband());
    assert_eq!(ports(&machine).len(), 6, "nothing was opened");
    assert_eq!(machine.banctl(&["list", "adopted"]).status.code(), Some(0));
}

#[test]
fn networks_of_any_length_are_banned_by_hand() {
    let machine = Machine::new();
    machine.configure("");
    let daemon = machine.start(machine.kband());
    for (prefix, time) in
        [("203.0.113.0/24", "1h"), ("198.18.0.0/15", "2h"), ("198.18.4.0/22", "4h"), ("2001:db8::/32", "1h")]
    {
        let output = machine.banctl(&["ban", prefix, "--for", time]);
        assert!(output.status.success(), "{prefix}: {output:?}");
    }
    // Host bits are cleared, and an IPv4 network in IPv6's clothes is IPv4.
    assert!(machine.banctl(&["ban", "192.0.2.77/25", "--for", "permanent"]).status.success());
    assert!(machine.banctl(&["ban", "::ffff:192.0.2.5/121", "--for", "permanent"]).status.success());
    let listed = machine.listed();
    assert_eq!(listed, ["192.0.2.0/25", "198.18.0.0/15", "198.18.4.0/22", "203.0.113.0/24", "2001:db8::/32"]);
    let bans = machine.banctl_json(&["list"])["bans"].clone();
    assert!(bans.as_array().unwrap().iter().all(|ban| ban["in_kernel"] == true), "{bans}");
    let kernel = machine.sh("nft list set inet kban net4_any");
    assert!(kernel.contains("198.18.4.0/22 timeout 3h59m5") && kernel.contains("192.0.2.0/25"), "{kernel}");
    assert!(machine.sh("nft list set inet kban net4_24").contains("203.0.113.0"));

    daemon.stop();
    let _daemon = machine.start(machine.kband());
    assert_eq!(machine.listed(), listed, "nothing is adopted twice");
    assert!(machine.banctl(&["unban", "198.18.4.0/22"]).status.success());
    let kernel = machine.sh("nft list set inet kban net4_any");
    assert!(
        !kernel.contains("3h59m59s") && kernel.contains("198.18.0.0/15"),
        "the wider ban holds again: {kernel}"
    );
    assert!(machine.banctl(&["unban", "--all"]).status.success());
    assert!(machine.banctl(&["list", "--kernel"]).status.success());
    let output = machine.banctl(&["ban", "198.18.4.0/22", "--jail", "sshd", "--for", "1h"]);
    assert!(output.status.success(), "without port the jail closes everything");
}

#[test]
fn gateways_and_resolvers_are_spared() {
    let machine = Machine::new();
    machine.sh("ip link add wan0 type veth peer name other; ip addr add 198.51.100.1/24 dev wan0
                ip link set wan0 up; ip link set other up; ip route add default via 198.51.100.254
                echo 'nameserver 192.0.2.53' > /run/resolv.conf; mount --bind /run/resolv.conf /etc/resolv.conf");
    machine.configure("maxretry = 1\n");
    let _daemon = machine.start(machine.kband());
    for neighbour in ["198.51.100.254", "192.0.2.53"] {
        machine.log(&failed_password(neighbour));
        let output = machine.banctl(&["ban", neighbour]);
        assert_eq!(output.status.code(), Some(5));
        assert!(String::from_utf8_lossy(&output.stderr).contains("gateway or resolver"), "{output:?}");
    }
    machine.log(&failed_password("203.0.113.9"));
    eventually("somebody else is banned", || machine.listed() == ["203.0.113.9"]);
    assert!(machine.sh("nft list set inet kban allow4").contains("198.51.100.254"));
    machine.configure("maxretry = 1\n[firewall]\nprotect = []\n");
    assert!(machine.banctl(&["reload"]).status.success());
    assert!(machine.banctl(&["ban", "198.51.100.254"]).status.success(), "as the administrator wishes");
    // One of them alone, which lifts the ban that is in the way.
    for (protect, spared, other) in
        [("gateway", "198.51.100.254", "192.0.2.53"), ("resolvers", "192.0.2.53", "198.51.100.254")]
    {
        machine.configure(&format!("maxretry = 1\n[firewall]\nprotect = [\"{protect}\"]\n"));
        assert!(machine.banctl(&["reload"]).status.success());
        assert_eq!(machine.banctl(&["ban", spared]).status.code(), Some(5), "{protect}");
        assert!(machine.banctl(&["ban", other]).status.success(), "{protect}");
        let allowed = machine.sh("nft list set inet kban allow4");
        assert!(allowed.contains(spared) && !allowed.contains(other), "{protect}: {allowed}");
    }
}

/// attacker (198.51.100.9) -- wan0 [firewall] lan0 -- server (10.0.0.2), port 8080 of the firewall led to it; and the same in
/// IPv6.
pub(crate) fn appliance(machine: &Machine) {
    machine.sh("
        ip netns add attacker; ip netns add server
        ip link add wan0 type veth peer name eth0 netns attacker
        ip link add lan0 type veth peer name eth0 netns server
        ip addr add 198.51.100.1/24 dev wan0; ip link set wan0 up
        ip addr add 10.0.0.1/24 dev lan0; ip link set lan0 up
        for address in 9 10; do ip -n attacker addr add 198.51.100.$address/24 dev eth0; done
        ip addr add 2001:db8:51::1/64 dev wan0 nodad; ip addr add 2001:db8:10::1/64 dev lan0 nodad
        for address in 9 10; do ip -n attacker addr add 2001:db8:51::$address/64 dev eth0 nodad; done
        ip -n server addr add 2001:db8:10::2/64 dev eth0 nodad
        ip -n attacker link set eth0 up; ip -n attacker route add default via 198.51.100.1
        ip -n attacker route add default via 2001:db8:51::1
        ip -n server addr add 10.0.0.2/24 dev eth0; ip -n server link set eth0 up
        ip -n server route add default via 10.0.0.1; ip -n server route add default via 2001:db8:10::1
        mount -t proc proc /proc; echo 1 > /proc/sys/net/ipv4/ip_forward
        echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
        nft 'table ip nat { chain prerouting { type nat hook prerouting priority dstnat; iifname wan0 tcp dport 8080 dnat to 10.0.0.2:80
        }
        }
        table ip6 nat { chain prerouting { type nat hook prerouting priority dstnat; iifname wan0 tcp dport 8080 dnat to [2001:db8:10::2]:80
        }
        }'
    ");
}

/// Whether a TCP connection of the attacker's address comes about.
pub(crate) fn reaches(machine: &Machine, from: &str, to: &str, port: u16) -> bool {
    refusal(machine, from, to, port).is_empty()
}

/// Why it does not, as python names it; nothing if it does.
pub(crate) fn refusal(machine: &Machine, from: &str, to: &str, port: u16) -> String {
    let script = format!(
        "import socket\n\
         try: socket.create_connection(('{to}', {port}), 1, ('{from}', 0))\n\
         except OSError as error: print(type(error).__name__, end='')"
    );
    stdout(&python("attacker", machine, &script).output().unwrap())
}

/// A server on a port of a namespace, which keeps whoever comes.
pub(crate) fn serve(machine: &Machine, namespace: &str, port: u16) -> Background {
    let script = format!(
        "import socket; s = socket.create_server(('::', {port}), family=socket.AF_INET6, dualstack_ipv6=True)\n\
         kept = []\n\
         while True: kept.append(s.accept())"
    );
    Background(python(namespace, machine, &script).spawn().unwrap())
}

/// A script in a namespace, or in the machine's own (``).
pub(crate) fn python(namespace: &str, machine: &Machine, script: &str) -> Command {
    let mut command = machine.command(if namespace.is_empty() { "/usr/bin/env" } else { "ip" });
    if !namespace.is_empty() {
        command.args(["netns", "exec", namespace]);
    }
    command.args(["/usr/bin/python3", "-c", script]);
    command
}

#[test]
fn a_firewall_guards_what_is_behind_it() {
    let machine = Machine::new();
    appliance(&machine);
    let _server = (serve(&machine, "server", 80), serve(&machine, "server", 22));
    machine.configure("maxretry = 1\nport = 8080\n[firewall]\ninterfaces = [\"wan*\"]\n");
    let _daemon = machine.start(machine.kband());
    for (attacker, other, outside, server, inside) in [
        ("198.51.100.9", "198.51.100.10", "198.51.100.1", "10.0.0.2", "10.0.0.1"),
        // Its /64 is this machine's too.
        ("2001:db8:51::9", "2001:db8:51::10", "2001:db8:51::1", "2001:db8:10::2", "2001:db8:10::1"),
    ] {
        eventually("the server answers", || {
            reaches(&machine, attacker, outside, 8080) && reaches(&machine, attacker, server, 22)
        });
        // One port: as the attacker sees it, before it is led elsewhere.
        machine.log(&failed_password(attacker));
        eventually("banned", || machine.listed() == [attacker]);
        assert!(!reaches(&machine, attacker, outside, 8080));
        assert!(reaches(&machine, attacker, server, 22) && reaches(&machine, attacker, server, 80));
        assert!(reaches(&machine, other, outside, 8080));
        // Everything, forwarded or led elsewhere.
        assert!(machine.banctl(&["ban", attacker, "--for", "1h"]).status.success());
        for (to, port) in [(outside, 8080), (server, 22), (server, 80)] {
            assert!(!reaches(&machine, attacker, to, port), "{to} {port}");
            assert!(reaches(&machine, other, to, port), "{to} {port}");
        }
        // The other side is not looked at: whoever is inside may have any address.
        let ping = format!("ip netns exec server ping -c 1 -W 2 {inside} >/dev/null");
        machine.sh(&ping);
        assert!(machine.banctl(&["ban", server, "--for", "1h"]).status.success());
        machine.sh(&ping);
        assert!(machine.banctl(&["unban", attacker]).status.success());
        assert!(reaches(&machine, attacker, outside, 8080));
        assert!(machine.banctl(&["unban", server]).status.success());
    }
}

#[test]
fn names_are_asked_for_where_a_jail_wants_it() {
    let machine = Machine::new();
    machine.sh("printf '127.0.0.1 localhost\n203.0.113.9 bad.example.net\n2001:db8:5::9 bad.example.net\n' > /run/hosts
                echo 'hosts: files' > /run/nsswitch.conf
                mount --bind /run/hosts /etc/hosts; mount --bind /run/nsswitch.conf /etc/nsswitch.conf");
    machine.configure("maxretry = 1\n");
    let _daemon = machine.start(machine.kband());
    let line = failed_password("bad.example.net");
    machine.log(&line);
    eventually("the name is told", || {
        stdout(&machine.banctl(&["status"])).contains("1 failure names a host without addresses")
    });
    assert_eq!(machine.listed(), [""; 0]);
    machine.configure("maxretry = 1\nusedns = \"warn\"\n");
    assert!(machine.banctl(&["reload"]).status.success());
    machine.log(&failed_password("nobody.example.net"));
    machine.log(&line);
    eventually("both addresses are banned", || machine.listed() == ["203.0.113.9", "2001:db8:5::/64"]);
    assert!(machine.kband_log().contains("bad.example.net is a name"), "{}", machine.kband_log());
    eventually("the line is kept", || {
        let why = stdout(&machine.banctl(&["why", "203.0.113.9"]));
        why.contains("Failed password for root from bad.example.net")
    });
    // Who has no address is not forgotten silently.
    eventually("told", || {
        let warnings = machine.banctl_json(&["status"])["warnings"].to_string();
        warnings.contains("1 failure counts against nobody") && warnings.contains("nobody.example.net")
    });
    assert!(machine.kband_log().contains("nobody.example.net has no address"), "{}", machine.kband_log());
    // Whoever has an address is banned as ever.
    machine.log(&failed_password("203.0.113.10"));
    eventually("and others", || machine.listed().contains(&"203.0.113.10".to_owned()));
}
