//! Certificates that have expired or are not valid yet, and clocks that are wrong: told by name, with a remedy.

use jiff::{SignedDuration, Timestamp};

use super::Site;
use crate::harness::{eventually, stdout};

/// Lines of a log are of the true time, whatever a machine's clock says.
const HOURS: &str = "findtime = \"2h\"\nbantime = \"2h\"\n";

fn told(site: &Site, who: &str, words: &[&str]) {
    eventually(&format!("{who} tells {words:?}"), || {
        let status = stdout(&site.banctl(who, &["fleet", "status"]));
        words.iter().all(|word| status.contains(word))
    });
}

#[test]
fn what_is_wrong_with_a_certificate_or_the_way_is_told_by_name() {
    let site = Site::new(&["web1", "web2", "web3", "other"]);
    ["fw", "web1", "web2", "web3", "other"].iter().for_each(|who| site.configure(who, ""));
    site.found(&[("web1", "host"), ("web2", "host"), ("web3", "host")]);
    site.start_server();
    site.set_clock("web1", "+12y");
    site.set_clock("web2", "-3y");
    // This one knows the authority of another fleet.
    let elsewhere = site.path("other", "fleet");
    let (directory, store) = (elsewhere.to_str().unwrap(), site.path("other", "nats"));
    let arguments =
        ["fleet", "init", "10.9.0.1:4222", "--directory", directory, "--store", store.to_str().unwrap()];
    site.said("other", &arguments);
    std::fs::copy(elsewhere.join("ca.pem"), site.path("web3", "fleet/ca.pem")).unwrap();
    let _daemons = ["web1", "web2", "web3"].map(|who| site.kband(who));
    told(
        &site,
        "web1",
        &[
            "the server's certificate has expired: it was good until",
            "set the clock, or `banctl fleet renew`",
        ],
    );
    told(&site, "web2", &["the server's certificate is not valid yet: it is good from", "set the clock"]);
    told(&site, "web3", &["the server's certificate is not of this fleet"]);
    site.stop_server();
    told(&site, "web1", &["Connection refused"]);
    // It bans for itself.
    site.attack("web3", "203.0.113.9");
    eventually("it bans", || site.banned("web3", "sshd") == ["203.0.113.9"]);
}

#[test]
fn a_certificate_is_renewed_in_time_and_nobody_joins_again() {
    let site = Site::new(&["web1"]);
    ["fw", "web1"].iter().for_each(|who| site.configure(who, ""));
    site.found(&[("web1", "host")]);
    site.start_server();
    // Twenty days before its end, on the first of January ten years from now.
    let now = Timestamp::now();
    let year = jiff::Zoned::now().year() + 10;
    let end: Timestamp = format!("{year}-01-01T00:00:00Z").parse().unwrap();
    let ahead = end.duration_since(now) - SignedDuration::from_hours(20 * 24);
    ["fw", "web1"].iter().for_each(|who| site.set_clock(who, &format!("+{}", ahead.as_secs())));
    let _firewall = site.kband("fw");
    let web1 = site.kband("web1");
    ["fw", "web1"].iter().for_each(|who| site.connected(who));
    let warning =
        format!("the server's certificate: it ends on {year}-01-01: `banctl fleet renew` makes another");
    told(&site, "fw", &[&warning]);
    assert!(site.said("fw", &["status"]).contains(&warning));

    let before = std::fs::read(site.path("fw", "fleet/ca.pem")).unwrap();
    let renewed = site.said("fw", &["fleet", "renew"]);
    assert_eq!(renewed, format!("the server has a new certificate, good until {}-01-01\n", year + 9));
    assert!(!site.said("fw", &["fleet", "status"]).contains("certificate"));
    assert_eq!(std::fs::read(site.path("fw", "fleet/ca.pem")).unwrap(), before);
    // By the time at which the one before has ended, a machine that was invited long ago connects to the running server.
    drop(web1);
    site.set_clock("web1", &format!("+{}", (ahead + SignedDuration::from_hours(60 * 24)).as_secs()));
    let _web1 = site.kband("web1");
    site.connected("web1");
    assert_eq!(site.banctl("web1", &["fleet", "renew"]).status.code(), Some(1), "only the firewall can");
}

#[test]
fn clocks_that_are_minutes_apart_are_told_by_name() {
    let site = Site::new(&["ahead", "behind", "early", "late"]);
    ["fw", "ahead", "behind", "early", "late"].iter().for_each(|who| site.configure(who, HOURS));
    site.found(&[("ahead", "host"), ("behind", "host"), ("early", "edge"), ("late", "edge")]);
    for (who, by) in [("ahead", "+15m"), ("behind", "-15m"), ("early", "+15m"), ("late", "-15m")] {
        site.set_clock(who, by);
    }
    // A ban has to last longer than clocks are apart.
    std::fs::write(site.path("fw", "etc/kban.d/60-more.toml"), "[jail.fleet]\nbantime = \"2h\"\n").unwrap();
    site.start_server();
    let _daemons = ["fw", "ahead", "behind", "early", "late"].map(|who| site.kband(who));
    ["fw", "ahead", "behind", "early", "late"].iter().for_each(|who| site.connected(who));
    site.attack("ahead", "203.0.113.1");
    site.attack("behind", "203.0.113.2");
    told(&site, "fw", &["1 report of ahead was refused: 1 from the future: is its clock right?"]);
    eventually("it counts", || site.banned("fw", "fleet") == ["203.0.113.2"]);
    told(
        &site,
        "early",
        &["clock is wrong", "minutes ahead of the firewall's, bans end too early here", "timedatectl"],
    );
    told(&site, "late", &["clock is wrong", "minutes behind the firewall's, bans end too late here"]);
    ["early", "late"].iter().for_each(|who| {
        eventually("it follows all the same", || site.banned(who, "fleet") == ["203.0.113.2"]);
    });
}
