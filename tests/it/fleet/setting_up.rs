//! `banctl fleet`: what a fleet is made of, who belongs to it, and what is said of mistakes.

use std::fs;

use super::Site;
use crate::harness::{eventually, stderr};

#[test]
fn a_fleet_is_founded_joined_listed_and_left() {
    let site = Site::new(&["web1", "web2"]);
    ["fw", "web1", "web2"].iter().for_each(|who| site.configure(who, ""));
    let alone = site.banctl("fw", &["fleet", "list"]);
    assert_eq!(alone.status.code(), Some(1));
    assert!(stderr(&alone).contains("banctl fleet init"), "{}", stderr(&alone));
    site.found(&[("web1", "both")]);
    let again = site
        .banctl("fw", &["fleet", "init", "x:1", "--directory", site.path("fw", "fleet").to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("is there already"), "{}", stderr(&again));
    site.start_server();
    let _daemons = ["fw", "web1"].map(|who| site.kband(who));
    site.connected("web1");

    // A machine that joins while everything runs.
    site.join("web2", "host");
    let _web2 = site.kband("web2");
    site.connected("web2");
    site.attack("web2", "203.0.113.9");
    eventually("its word counts", || site.banned("fw", "fleet") == ["203.0.113.9"]);
    eventually("an edge follows", || site.banned("web1", "fleet") == ["203.0.113.9"]);
    assert_eq!(
        site.fleet("fw")["hosts"].as_object().unwrap().len(),
        1,
        "what the firewall decides is reported by nobody"
    );
    let listed = site.said("fw", &["fleet", "list"]);
    assert!(listed.contains("web1") && listed.contains("host, edge") && listed.contains("web2"), "{listed}");
    assert!(site.said("web2", &["fleet", "status"]).contains("host web2 of the fleet at 10.9.0.1:4222"));

    // A machine that was broken into.
    let revoked = site.said("fw", &["fleet", "revoke", "web2", "--lift"]);
    assert!(revoked.contains("lifted 1 ban"), "{revoked}");
    eventually("an edge follows", || site.banned("web1", "fleet").is_empty());
    let gone = || site.fleet("web2")["connections"]["reports"]["error"].as_str().unwrap_or("").to_owned();
    eventually("the server does not know it", || gone().contains("does not know this machine's key"));
    site.attack("web2", "203.0.113.10");
    eventually("it bans for itself", || site.banned("web2", "sshd").len() == 2);
    assert!(site.said("fw", &["fleet", "list"]).contains("revoked"));
    let status = site.banctl("web2", &["fleet", "status"]);
    assert_eq!(status.status.code(), Some(1), "{status:?}");

    // Lines that are none.
    for (arguments, words) in [
        (&["fleet", "join", "kban1.AAAA"][..], "damaged"),
        (&["fleet", "accept", "kban1.AAAA"], "copy all of it"),
        (&["fleet", "revoke", "web3"], "no machine of the fleet is called web3"),
        (&["fleet", "invite", "a.b"], "cannot be the name"),
        (&["fleet", "invite", "web1"], "belongs to the fleet already"),
    ] {
        let output = site.banctl("fw", arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(words), "{arguments:?}: {}", stderr(&output));
    }
    // Without its keys a machine bans as ever, and says what is missing.
    fs::remove_file(site.path("web1", "fleet/host.seed")).unwrap();
    let drop_in = site.path("web1", "etc/kban.d/50-fleet.toml");
    let text = fs::read_to_string(&drop_in).unwrap();
    fs::write(&drop_in, text.replace("[\"host\", \"edge\"]", "\"host\"")).unwrap();
    site.said("web1", &["reload"]);
    eventually("it is told", || site.said("web1", &["status"]).contains("host.seed"));
    site.attack("web1", "203.0.113.11");
    eventually("it bans", || site.banned("web1", "sshd") == ["203.0.113.11"]);
}
