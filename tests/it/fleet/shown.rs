//! What `banctl fleet` shows, to people and as JSON: kept, so that a change of it is meant.

use serde_json::Value;

use super::{FIREWALL, Site};
use crate::harness::{eventually, stderr, stdout};
use crate::shown::redacted;

/// What is typed on machines of a fleet, and shown there.
struct Session<'s> {
    site: &'s Site,
    json: bool,
    shown: String,
}

impl Session<'_> {
    /// Types a line; what it shows.
    fn types(&mut self, who: &str, line: &str, more: &[&str]) -> String {
        let words = line.split(' ').chain(more.iter().copied()).chain(self.json.then_some("--json"));
        let output = self.site.banctl(who, &words.collect::<Vec<_>>());
        let said = stdout(&output) + &stderr(&output);
        self.shown += &format!("{who}$ banctl {line}\n{said}[{}]\n\n", output.status.code().unwrap());
        said
    }

    /// Types a line that prints one to be carried elsewhere: that one, which differs each time.
    fn carries(&mut self, who: &str, line: &str, more: &[&str]) -> String {
        let said = self.types(who, line, more);
        let carried = match serde_json::from_str::<Value>(&said) {
            Ok(document) => document["line"].as_str().unwrap().to_owned(),
            Err(_) => said.split_whitespace().last().unwrap().to_owned(),
        };
        self.shown = self.shown.replace(&carried, "LINE");
        carried
    }
}

fn session(json: bool) -> String {
    let site = Site::new(&["web1"]);
    site.configure("fw", "");
    site.configure("web1", "");
    let mut session = Session { site: &site, json, shown: String::new() };
    let [store, fw, web1] = [site.machine.path("nats"), site.path("fw", "fleet"), site.path("web1", "fleet")]
        .map(|path| path.display().to_string());
    session.types("fw", &format!("fleet init {FIREWALL}:4222"), &["--store", &store, "--directory", &fw]);
    site.start_server();
    let _firewall = site.kband("fw");
    let invitation = session.carries("fw", "fleet invite web1 --role both", &[]);
    let answer = session.carries("web1", "fleet join", &[&invitation, "--directory", &web1]);
    session.types("fw", "fleet accept", &[&answer]);
    session.types("fw", "fleet invite web1", &[]);
    let _host = site.kband("web1");
    site.connected("fw");
    site.connected("web1");
    site.attack("web1", "203.0.113.9");
    eventually("everybody knows", || {
        let members = site.json("fw", &["fleet", "list"])["members"].clone();
        let member = &members[0];
        (&member["reports"], &member["lag"]) == (&1.into(), &0.into())
            && site.fleet("fw")["published"] == 1
            && site.fleet("fw")["edges"]["web1"]["last_seen"].is_string()
            && site.fleet("web1")["reported"] == 1
            && site.fleet("web1")["followed"] == 1
    });
    for (who, line) in [
        ("fw", "fleet list"),
        ("fw", "fleet status"),
        ("web1", "fleet status"),
        ("web1", "fleet list"),
        ("fw", "fleet renew"),
        ("fw", "fleet revoke nobody"),
        ("fw", "fleet revoke web1 --lift"),
        ("fw", "fleet list"),
    ] {
        session.types(who, line, &[]);
    }
    redacted(&session.shown, &site.machine)
}

#[test]
fn to_people() {
    insta::assert_snapshot!(session(false));
}

#[test]
fn to_programs() {
    insta::assert_snapshot!(session(true));
}
