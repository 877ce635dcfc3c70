//! The way of a ban through a fleet: from a host's log to the firewall, and from there to an edge; and back.

use std::path::Path;

use super::{Site, nats_server, peer};
use crate::harness::eventually;

const ATTACKER: &str = "203.0.113.9";

#[test]
fn what_one_host_sees_the_firewall_bans_and_every_edge_follows() {
    goes_through(&nats_server());
}

#[test]
fn a_newer_server_carries_it_as_well() {
    let newer = peer("nats-server-trixie/usr/sbin/nats-server");
    assert!(newer.exists(), "there is no newer nats-server: scripts/newer-nats fetches one");
    goes_through(&newer);
}

fn goes_through(server: &Path) {
    let site = Site::new(&["web1", "edge1"]);
    site.configure("fw", "[defaults]\nignoreip = [\"192.0.2.0/24\"]\n");
    site.configure("web1", "");
    site.configure("edge1", "[defaults]\nignoreip = [\"198.51.100.0/24\"]\n");
    site.found(&[("web1", "host"), ("edge1", "edge")]);
    site.start_server_of(server);
    let _daemons = ["fw", "web1", "edge1"].map(|who| site.kband(who));
    ["fw", "web1", "edge1"].iter().for_each(|who| site.connected(who));

    site.attack("web1", ATTACKER);
    eventually("the host bans", || site.banned("web1", "sshd") == [ATTACKER]);
    eventually("the firewall bans", || site.banned("fw", "fleet") == [ATTACKER]);
    eventually("the edge follows", || site.banned("edge1", "fleet") == [ATTACKER]);
    assert_eq!(site.machine.set("host4")[0].0, ATTACKER, "in the firewall's kernel");
    // The store is a moment behind.
    eventually("who said so", || site.said("fw", &["why", ATTACKER]).contains("web1: banned by sshd at"));
    let (here, there) = (site.json("fw", &["list"]), site.json("edge1", &["list"]));
    assert_eq!(here["bans"][0]["until"], there["bans"][0]["until"], "they end together");
    assert_eq!(here["bans"][0]["source"], "web1");

    // Who is spared on the firewall is not banned on a host's word, nor is anybody in a private network.
    for spared in ["192.0.2.7", "10.1.2.3"] {
        site.attack("web1", spared);
    }
    // Who is spared on an edge is not banned there on the firewall's word.
    site.attack("web1", "198.51.100.7");
    eventually("the firewall bans", || site.banned("fw", "fleet") == ["198.51.100.7", ATTACKER]);
    eventually("the edge has decided", || site.fleet("edge1")["spared"] == 1);
    assert_eq!(site.banned("edge1", "fleet"), [ATTACKER]);
    assert_eq!(site.banned("web1", "sshd").len(), 4, "a host bans for itself whatever the firewall thinks");
    let web1 = site.fleet("fw")["hosts"]["web1"].clone();
    assert_eq!(
        (&web1["reports"], &web1["refused"]["of a private address"]),
        (&3.into(), &1.into()),
        "{web1}"
    );
    assert!(site.said("fw", &["status"]).contains("1 report of web1 was refused: 1 of a private address"));

    // A host's own unban changes nothing elsewhere; the firewall's reaches everybody.
    site.said("web1", &["unban", ATTACKER]);
    site.said("fw", &["ban", "203.0.113.10", "--for", "1h"]);
    eventually("by hand as well", || site.banned("edge1", "fleet") == [ATTACKER, "203.0.113.10"]);
    site.said("fw", &["unban", ATTACKER]);
    eventually("it is lifted", || site.banned("edge1", "fleet") == ["203.0.113.10"]);
    eventually("it is history", || site.said("edge1", &["history", ATTACKER]).contains("withdrawn"));
    site.said("fw", &["allow", "add", "203.0.113.10"]);
    eventually("it is allowed", || site.banned("edge1", "fleet").is_empty());
    assert_eq!(site.banned("fw", "fleet"), ["198.51.100.7"]);
}

#[test]
fn a_firewall_may_want_more_than_one_host() {
    let site = Site::new(&["web1", "web2"]);
    site.configure("fw", "");
    ["web1", "web2"].iter().for_each(|who| site.configure(who, "[fleet]\nevidence = true\n"));
    site.found(&[("web1", "host"), ("web2", "host")]);
    let drop_in = site.path("fw", "etc/kban.d/60-more.toml");
    std::fs::write(drop_in, "[jail.fleet]\nmaxretry = 2\nescalate = true\nbantime = \"1h\"\n").unwrap();
    site.start_server();
    let firewall = site.kband("fw");
    let _hosts = ["web1", "web2"].map(|who| site.kband(who));
    site.attack("web1", ATTACKER);
    site.said("web1", &["status"]);
    eventually("it is taken", || site.fleet("fw")["hosts"]["web1"]["reports"] == 1);
    site.said("web1", &["unban", ATTACKER]);
    site.attack("web1", ATTACKER);
    eventually("it is taken", || site.fleet("fw")["hosts"]["web1"]["reports"] == 2);
    assert!(site.banned("fw", "fleet").is_empty(), "one host is one host");
    // What one host has said is known after a restart.
    drop(firewall);
    let firewall = site.kband("fw");
    site.attack("web2", ATTACKER);
    eventually("two are enough", || site.banned("fw", "fleet") == [ATTACKER]);
    // The store is a moment behind.
    eventually("it is stored", || site.said("fw", &["why", ATTACKER]).contains("web2: banned by sshd at"));
    let why = site.said("fw", &["why", ATTACKER]);
    for host in ["web1: banned by sshd at", "web2: banned by sshd at", "Failed password for root"] {
        assert!(why.contains(host), "{host}: {why}");
    }
    let ban = site.json("fw", &["list"])["bans"][0].clone();
    assert_eq!(ban["reason"], "2 reports within 1h");

    // What has led to a ban does not lead to another.
    site.said("fw", &["unban", ATTACKER]);
    drop(firewall);
    let _firewall = site.kband("fw");
    site.said("web2", &["unban", ATTACKER]);
    site.attack("web2", ATTACKER);
    eventually("it is taken", || site.fleet("fw")["hosts"]["web2"]["reports"] == 1);
    assert!(site.banned("fw", "fleet").is_empty(), "one host is one host");
}
