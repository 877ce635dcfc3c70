//! What a fleet goes through: a server that is away, a firewall that is, an edge that was, a disk that was replaced.

use std::fs;

use super::Site;
use crate::harness::eventually;

fn numbered(count: u32) -> Vec<String> {
    (1..=count).map(|number| format!("203.0.113.{number}")).collect()
}

/// In the order of addresses.
fn sorted(mut addresses: Vec<String>) -> Vec<String> {
    addresses.sort_by_key(|address| address.parse::<std::net::Ipv4Addr>().unwrap());
    addresses
}

#[test]
fn nothing_is_lost_while_the_server_the_firewall_or_an_edge_is_away() {
    let site = Site::new(&["web1", "edge1"]);
    ["fw", "web1", "edge1"].iter().for_each(|who| site.configure(who, ""));
    site.found(&[("web1", "host"), ("edge1", "edge")]);
    site.start_server();
    let firewall = site.kband("fw");
    let web1 = site.kband("web1");
    let edge = site.kband("edge1");
    ["fw", "web1", "edge1"].iter().for_each(|who| site.connected(who));
    let all = numbered(40);

    // The server is away, and the host is killed meanwhile.
    site.stop_server();
    all[..10].iter().for_each(|address| site.attack("web1", address));
    eventually("it bans at once", || site.banned("web1", "sshd").len() == 10);
    eventually("it keeps its reports", || site.fleet("web1")["spooled"] == 10);
    let waiting = site.said("web1", &["status"]);
    assert!(waiting.contains("no connection to 10.9.0.1:4222 (reports)"), "{waiting}");
    nix::sys::signal::kill(kband_below(web1.0.id()), nix::sys::signal::Signal::SIGKILL).unwrap();
    drop(web1);
    let _web1 = site.kband("web1");
    site.start_server();
    eventually("the firewall hears of all", || sorted(site.banned("fw", "fleet")) == all[..10]);
    eventually("none waits", || site.fleet("web1")["spooled"] == 0);
    eventually("the edge follows all", || sorted(site.banned("edge1", "fleet")) == all[..10]);

    // The edge is cut off: it goes on with what it has, and catches up, also with what was lifted.
    site.machine.sh("ip link set edge1 down");
    all[10..20].iter().for_each(|address| site.attack("web1", address));
    eventually("the firewall bans", || site.banned("fw", "fleet").len() == 20);
    site.said("fw", &["unban", &all[0]]);
    assert_eq!(sorted(site.banned("edge1", "fleet")), all[..10]);
    site.machine.sh("ip link set edge1 up");
    eventually("it catches up", || sorted(site.banned("edge1", "fleet")) == all[1..20]);

    // The firewall's kband is away: the server keeps what hosts report, edges keep what they know.
    drop(firewall);
    eventually("none waits", || site.fleet("web1")["spooled"] == 0);
    // More than twenty by now, if the host was killed before its store had them: it reads its log again.
    let reported = || site.fleet("web1")["reported"].as_u64().unwrap();
    let before = reported();
    all[20..30].iter().for_each(|address| site.attack("web1", address));
    eventually("the server has it", || reported() == before + 10);
    let _firewall = site.kband("fw");
    eventually("the firewall bans", || sorted(site.banned("fw", "fleet")) == all[1..30]);
    eventually("the edge follows", || sorted(site.banned("edge1", "fleet")) == all[1..30]);

    // The server comes back with an empty disk: what is in force is published again.
    drop(edge);
    site.stop_server();
    fs::remove_dir_all(site.machine.path("nats/jetstream")).unwrap();
    fs::remove_dir_all(site.path("edge1", "state")).unwrap();
    site.command("edge1", std::path::Path::new("nft"))
        .args(["delete", "table", "inet", "kban"])
        .status()
        .unwrap();
    site.start_server();
    let _edge = site.kband("edge1");
    eventually("the edge follows all of it", || sorted(site.banned("edge1", "fleet")) == all[1..30]);
}

#[test]
fn an_edge_that_lost_its_memory_or_its_place_holds_what_is_in_force_and_nothing_else() {
    let site = Site::new(&["edge1"]);
    ["fw", "edge1"].iter().for_each(|who| site.configure(who, ""));
    site.found(&[("edge1", "edge")]);
    site.start_server();
    let _firewall = site.kband("fw");
    // So many need several pages, and are followed in several goes.
    let many: Vec<String> =
        (0..2_500).map(|number| format!("11.0.{}.{}", number / 256, number % 256)).collect();
    for some in many.chunks(500) {
        let some: Vec<&str> = some.iter().map(String::as_str).collect();
        site.said("fw", &[&["ban", "--for", "2h"], &some[..]].concat());
    }
    let edge = site.kband("edge1");
    let followed = || sorted(site.banned("edge1", "fleet"));
    eventually("a late edge has all of them", || followed() == many);
    assert_eq!(site.fleet("edge1")["followed"], 2_500);
    site.said("fw", &["unban", &many[1]]);
    eventually("from then on it hears what changes", || followed().len() == 2_499);

    // What it knows of the firewall's decisions is gone, its bans are not.
    drop(edge);
    for address in [&many[0], &many[500], &many[2_499]] {
        site.said("fw", &["unban", address]);
    }
    site.said("fw", &["ban", "11.1.0.1", "--for", "2h"]);
    fs::remove_file(site.path("edge1", "state/fleet.sqlite3")).unwrap();
    let _edge = site.kband("edge1");
    let mut left: Vec<String> = many
        .iter()
        .enumerate()
        .filter(|(at, _)| ![0, 1, 500, 2_499].contains(at))
        .map(|(_, one)| one.clone())
        .collect();
    left.push("11.1.0.1".to_owned());
    eventually("it has what is in force", || followed() == left);

    // Its place in the stream is gone.
    let delete = "req $JS.API.CONSUMER.DELETE.DECISIONS.edge1 {}".to_owned();
    site.client("fw", &site.path("fw", "fleet/decisions.seed"), "fleet", &[delete]);
    site.said("fw", &["unban", "11.1.0.1"]);
    left.pop();
    eventually("it asks for all of it", || followed() == left);
    assert!(site.fleet("edge1")["distrusted"].as_object().unwrap().is_empty(), "{}", site.fleet("edge1"));
}

/// The kband behind `ip netns exec`, which replaces itself, and nsenter(1), which may not.
fn kband_below(pid: u32) -> nix::unistd::Pid {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let child = children.split_whitespace().next().and_then(|child| child.parse::<i32>().ok());
    nix::unistd::Pid::from_raw(child.unwrap_or(pid.cast_signed()))
}
