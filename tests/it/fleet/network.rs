//! A whole network: an attacker outside, a firewall that forwards, and three hosts with real sshd behind it.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use jiff::Timestamp;

use super::{FIREWALL, Site};
use crate::harness::{Background, eventually};

const HOSTS: [&str; 3] = ["web1", "web2", "web3"];
const ATTACKER: &str = "198.51.100.66";
const OTHER: &str = "198.51.100.67";

fn network() -> Site {
    let site = Site::of_root(&HOSTS);
    site.machine.sh(&format!(
        "echo 1 > /proc/sys/net/ipv4/ip_forward
         ip netns add attacker; ip link add wan0 type veth peer name eth0 netns attacker
         ip addr add 198.51.100.1/24 dev wan0; ip link set wan0 up; ip -n attacker link set lo up
         ip -n attacker link set eth0 up; ip -n attacker addr add {ATTACKER}/24 dev eth0
         ip -n attacker addr add {OTHER}/24 dev eth0; ip -n attacker route add 10.9.0.0/24 via 198.51.100.1
         mkdir -m 755 /run/sshd"
    ));
    fs::set_permissions(site.machine.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    for host in HOSTS {
        site.machine.sh(&format!("ip -n {host} route add default via {FIREWALL}"));
    }
    site
}

fn start_sshd(site: &Site, host: &str) -> Background {
    let (key, configuration) = (site.path(host, "host_key"), site.path(host, "sshd_config"));
    site.machine.sh(&format!("ssh-keygen -q -t ed25519 -N '' -f {}", key.display()));
    let text = format!(
        "HostKey {}\nUsePAM no\nPasswordAuthentication yes\nPermitRootLogin yes\nPidFile none\n",
        key.display()
    );
    fs::write(&configuration, text).unwrap();
    let sshd = site.machine.sh("command -v sshd || echo /usr/sbin/sshd");
    let mut command = site.command(host, Path::new(sshd.trim()));
    command.arg("-D").arg("-f").arg(&configuration).arg("-E").arg(site.path(host, "auth.log"));
    let sshd = Background(command.stdin(Stdio::null()).spawn().unwrap());
    eventually("sshd listens", || {
        site.machine.sh(&format!("ip netns exec {host} ss -Hltn sport = :22")).contains(":22")
    });
    sshd
}

fn address(host: &str) -> String {
    format!("10.9.0.{}", 10 + HOSTS.iter().position(|one| *one == host).unwrap())
}

/// One login with a wrong password.
fn guess(site: &Site, from: &str, host: &str) {
    let askpass = site.machine.path("askpass");
    if !askpass.exists() {
        site.machine
            .sh(&format!("printf '#!/bin/sh\\necho wrong\\n' > {0}; chmod 755 {0}", askpass.display()));
    }
    let options = "-F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o NumberOfPasswordPrompts=1 \
                   -o PreferredAuthentications=password -o ConnectTimeout=3";
    let mut command = site.command("attacker", Path::new("ssh"));
    command.args(options.split_whitespace()).args(["-b", from, &format!("root@{}", address(host)), "true"]);
    command.env("SSH_ASKPASS", askpass).env("SSH_ASKPASS_REQUIRE", "force");
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
}

/// Whether a host's banner reaches the attacker.
fn reachable(site: &Site, from: &str, host: &str) -> bool {
    let script = format!(
        "import socket; s = socket.create_connection(('{}', 22), 2, ('{from}', 0)); s.settimeout(2); print(s.recv(8))",
        address(host)
    );
    let output =
        site.command("attacker", Path::new("/usr/bin/python3")).args(["-c", &script]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).contains("SSH-2.0-")
}

fn since(site: &Site, who: &str, whom: &str) -> Timestamp {
    let bans = site.json(who, &["list"])["bans"].as_array().unwrap().clone();
    let ban = bans.iter().find(|ban| ban["address"] == whom).unwrap();
    ban["since"].as_str().unwrap().parse().unwrap()
}

#[test]
fn who_attacks_one_host_is_cut_off_from_all_of_them() {
    let site = network();
    site.configure("fw", "[firewall]\ninterfaces = [\"wan0\"]\n");
    HOSTS.iter().for_each(|host| site.configure(host, ""));
    site.found(&HOSTS.map(|host| (host, "host")));
    site.start_server();
    let _servers = HOSTS.map(|host| start_sshd(&site, host));
    let _daemons = ["fw", "web1", "web2", "web3"].map(|who| site.kband(who));
    ["fw", "web1", "web2", "web3"].iter().for_each(|who| site.connected(who));
    HOSTS.iter().for_each(|host| assert!(reachable(&site, ATTACKER, host), "{host}"));

    guess(&site, ATTACKER, "web1");
    eventually("the firewall bans", || site.banned("fw", "fleet") == [ATTACKER]);
    HOSTS.iter().for_each(|host| assert!(!reachable(&site, ATTACKER, host), "{host}"));
    assert!(reachable(&site, OTHER, "web2"), "nobody else is");
    assert!(site.banned("web2", "sshd").is_empty(), "it is the firewall that cuts him off");
    let later = since(&site, "fw", ATTACKER).duration_since(since(&site, "web1", ATTACKER));
    eprintln!("the firewall's ban came {later:?} after the host's own");

    // One host is cut off from the server, but not from attackers.
    let cut = "add table inet cut; add chain inet cut out { type filter hook output priority 0; }; \
               add rule inet cut out tcp dport 4222 drop";
    site.machine.sh(&format!("ip netns exec web2 nft '{cut}'"));
    guess(&site, OTHER, "web2");
    eventually("it bans for itself", || site.banned("web2", "sshd") == [OTHER]);
    assert!(!reachable(&site, OTHER, "web2") && reachable(&site, OTHER, "web3"));
    site.machine.sh("ip netns exec web2 nft delete table inet cut");
    eventually("nothing was lost", || site.banned("fw", "fleet") == [ATTACKER, OTHER]);
    assert!(!reachable(&site, OTHER, "web3"));
}
