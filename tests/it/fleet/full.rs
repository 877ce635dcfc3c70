//! Disks that are full, and messages that come faster than they are taken: told by name, and nothing is lost.

use super::Site;
use crate::harness::eventually;

fn numbered(from: u8, to: u8) -> Vec<String> {
    (from..=to).map(|number| format!("203.0.113.{number}")).collect()
}

/// Makes `directory` a small disk of its own; [`fill`] fills it.
fn small_disk(site: &Site, who: &str, name: &str, size: &str) {
    let directory = site.path(who, name);
    std::fs::create_dir_all(&directory).unwrap();
    site.machine.sh(&format!("mount -t tmpfs -o size={size} tmpfs {}", directory.display()));
}

fn fill(site: &Site, who: &str, name: &str) {
    let ballast = site.path(who, name).join("ballast");
    site.machine.sh(&format!("dd if=/dev/zero of={} bs=4k 2>/dev/null || true", ballast.display()));
}

fn empty(site: &Site, who: &str, name: &str) {
    site.machine.sh(&format!("rm {}", site.path(who, name).join("ballast").display()));
}

#[test]
fn a_host_whose_disk_is_full_keeps_its_reports_in_memory() {
    let site = Site::new(&["web1"]);
    ["fw", "web1"].iter().for_each(|who| site.configure(who, ""));
    site.found(&[("web1", "host")]);
    small_disk(&site, "web1", "state", "4m");
    let _daemons = ["fw", "web1"].map(|who| site.kband(who));
    fill(&site, "web1", "state");
    let all = numbered(1, 20);
    all.iter().for_each(|address| site.attack("web1", address));
    eventually("it bans", || site.banned("web1", "sshd").len() == 20);
    eventually("it is told", || {
        let status = site.said("web1", &["status"]);
        status.contains("reports cannot be kept") && status.contains("full") && status.contains("free space")
    });
    assert_eq!(site.fleet("web1")["spooled"], 20);
    empty(&site, "web1", "state");
    eventually("it works again", || !site.said("web1", &["status"]).contains("reports cannot be kept"));
    site.start_server();
    eventually("nothing is lost", || site.banned("fw", "fleet").len() == 20);
    assert_eq!(site.fleet("web1")["dropped"], 0);
}

#[test]
fn a_server_whose_disk_is_full_says_so_and_goes_on_when_there_is_room() {
    let site = Site::new(&["web1", "edge1"]);
    ["fw", "web1", "edge1"].iter().for_each(|who| site.configure(who, ""));
    small_disk(&site, "fw", "../nats", "8m");
    site.found(&[("web1", "host"), ("edge1", "edge")]);
    site.start_server();
    let _daemons = ["fw", "web1", "edge1"].map(|who| site.kband(who));
    ["fw", "web1", "edge1"].iter().for_each(|who| site.connected(who));
    site.attack("web1", "203.0.113.1");
    eventually("the edge follows", || site.banned("edge1", "fleet").len() == 1);
    fill(&site, "fw", "../nats");
    numbered(2, 20).iter().for_each(|address| site.attack("web1", address));
    eventually("it bans for itself", || site.banned("web1", "sshd").len() == 20);
    eventually("it is told", || {
        let status = site.said("web1", &["status"]);
        // From 2.15 on it does not answer.
        let words = ["cannot keep them: write ", "does not answer: is there room on its disk?"];
        words.iter().any(|word| status.contains(&format!("reports do not arrive: the server {word}")))
    });
    empty(&site, "fw", "../nats");
    site.stop_server();
    site.start_server();
    eventually("nothing is lost", || site.banned("fw", "fleet").len() == 20);
    eventually("the edge follows", || site.banned("edge1", "fleet").len() == 20);
    assert_eq!(site.fleet("web1")["dropped"], 0);
}

#[test]
fn who_asks_faster_than_the_firewall_listens_keeps_nobody_else_waiting() {
    let site = Site::new(&["web1", "edge1", "edge2"]);
    ["fw", "web1", "edge1", "edge2"].iter().for_each(|who| site.configure(who, ""));
    site.found(&[("web1", "host"), ("edge1", "edge"), ("edge2", "edge")]);
    site.start_server();
    let _daemons = ["fw", "web1", "edge1"].map(|who| site.kband(who));
    ["fw", "web1", "edge1"].iter().for_each(|who| site.connected(who));
    // An edge that was broken into asks its firewall for something all the time, which the library calls a slow consumer.
    let flood = ["flood ban.edge.edge2 60000".to_owned()];
    let seed = site.path("edge2", "fleet/edge.seed");
    eventually("it is told by name", || {
        site.client("edge2", &seed, "edge2", &flood);
        let status = site.said("fw", &["status"]);
        status.contains("fleet: messages were lost: they came faster than this machine could take them")
    });
    site.attack("web1", "203.0.113.1");
    eventually("the others go on", || site.banned("edge1", "fleet") == ["203.0.113.1"]);
    eventually("no message is left", || site.fleet("fw")["edges"]["edge1"]["lag"] == 0);
}
