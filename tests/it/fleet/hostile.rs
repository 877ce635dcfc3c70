//! A host and an edge that were broken into: their keys in the hands of a client that tries whatever the server may let it.

use serde_json::Value;

use super::Site;
use crate::harness::eventually;

/// The streams' state, as the firewall's own keys see it.
fn state(site: &Site, stream: &str) -> Value {
    let seed = if stream == "REPORTS" { "reports.seed" } else { "decisions.seed" };
    let info = format!("req $JS.API.STREAM.INFO.{stream} {{}}");
    let said = site.client("fw", &site.path("fw", &format!("fleet/{seed}")), "fleet", &[info]);
    let answer = said[0].split_once(": ").unwrap().1;
    serde_json::from_str::<Value>(answer).unwrap()["state"].clone()
}

fn report(host: &str, address: &str) -> String {
    format!(
        r#"{{"v":1,"host":"{host}","address":"{address}","jail":"sshd","time":"2026-01-01T00:00:00Z","until":null,"count":1}}"#
    )
}

#[test]
fn a_host_that_was_broken_into_harms_nobody_but_itself() {
    let site = Site::new(&["web1", "web2", "edge1"]);
    ["fw", "web1", "web2", "edge1"].iter().for_each(|who| site.configure(who, ""));
    site.found(&[("web1", "host"), ("web2", "host"), ("edge1", "edge")]);
    site.start_server();
    let firewall = site.kband("fw");
    let _daemons = ["web2", "edge1"].map(|who| site.kband(who));
    ["fw", "web2", "edge1"].iter().for_each(|who| site.connected(who));
    site.attack("web2", "203.0.113.1");
    eventually("an honest ban", || site.banned("edge1", "fleet") == ["203.0.113.1"]);
    // Reports that wait, so that there is something to destroy.
    drop(firewall);
    site.attack("web2", "203.0.113.2");
    eventually("it waits", || state(&site, "REPORTS")["messages"] == 1);
    let (reports, decisions) = (state(&site, "REPORTS"), state(&site, "DECISIONS"));

    let seed = site.path("web1", "fleet/host.seed");
    let refused = |lines: &[&str]| {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let said = site.client("web1", &seed, "web1", &lines);
        for line in &lines {
            let is_told = said
                .iter()
                .any(|told| told.starts_with(&format!("refused {line}: ")) && told.contains("ermissions"));
            assert!(is_told, "{line} was not refused: {said:?}");
        }
    };
    refused(&[
        "pub ban.report.web2 - x",
        "pub ban.decision.v4.203-0-113-1-32 - x",
        "pub ban.edge.edge1 - x",
        "pub $JS.API.STREAM.PURGE.REPORTS - {}",
        "pub $JS.API.STREAM.DELETE.REPORTS - {}",
        "pub $JS.API.STREAM.DELETE.DECISIONS - {}",
        "pub $JS.API.STREAM.CREATE.MINE - {\"name\":\"MINE\",\"subjects\":[\"ban.>\"]}",
        "pub $JS.API.CONSUMER.DURABLE.CREATE.REPORTS.mine - {}",
        "pub $JS.API.CONSUMER.MSG.NEXT.DECISIONS.edge1 - {}",
        "pub $JS.ACK.DECISIONS.edge1.1.1.1.1.0 - +ACK",
        "pub $SYS.REQ.ACCOUNT.PING.CONNZ - {}",
        "pub _INBOX.edge1.x - x",
        "sub ban.report.*",
        "sub ban.decision.>",
        "sub _INBOX.web2.>",
        "sub >",
        "sub _R_.>",
        "pub ban.report.web1 _R_.x x",
        "pub ban.report.web1 $JS.ACK.REPORTS.firewall.1.1.1.1.0 x",
    ]);
    assert_eq!((state(&site, "REPORTS"), state(&site, "DECISIONS")), (reports.clone(), decisions.clone()));

    // Its own subject, with every reply that could make the server do something in its stead.
    let injected: Vec<String> = [
        "ban.report.web2",
        "ban.decision.v4.203-0-113-1-32",
        "$JS.API.STREAM.PURGE.REPORTS",
        "$JS.API.STREAM.DELETE.REPORTS",
        "$JS.API.STREAM.PURGE.DECISIONS",
        "$JS.API.CONSUMER.DELETE.REPORTS.firewall",
        "$JS.API.CONSUMER.MSG.NEXT.REPORTS.firewall",
        "ban.edge.edge1",
        "_INBOX.edge1.x",
    ]
    .iter()
    .map(|reply| format!("pub ban.report.web1 {reply} {}", report("web2", "203.0.113.66")))
    .collect();
    site.client("web1", &seed, "web1", &injected);
    eventually("they wait beside the honest one", || state(&site, "REPORTS")["messages"] == 10);
    assert_eq!(state(&site, "DECISIONS"), decisions);
    assert_eq!(state(&site, "REPORTS")["num_subjects"], 2);

    // The firewall looks at them: a forged name, junk, addresses that nobody may have banned.
    let wrong: Vec<String> = ["127.0.0.1", "0.0.0.0/0", "10.9.0.1", "224.0.0.1", "::/0", "203.0.113.0/24"]
        .iter()
        .map(|address| format!("pub ban.report.web1 - {}", report("web1", address)))
        .chain(["pub ban.report.web1 - \u{1b}[2J{".to_owned()])
        .collect();
    site.client("web1", &seed, "web1", &wrong);
    let _firewall = site.kband("fw");
    eventually("the honest one was not lost", || {
        site.banned("fw", "fleet") == ["203.0.113.1", "203.0.113.2"]
    });
    let refused = || site.fleet("fw")["hosts"]["web1"]["refused"].clone();
    eventually("they are counted", || {
        refused().as_object().is_some_and(|all| all.values().filter_map(Value::as_u64).sum::<u64>() == 16)
    });
    let refused = refused();
    assert_eq!(
        (&refused["in another host's name"], &refused["not a report"]),
        (&9.into(), &1.into()),
        "{refused}"
    );
    assert_eq!(site.banned("fw", "fleet").len(), 2);
    eventually("an edge follows", || site.banned("edge1", "fleet") == ["203.0.113.1", "203.0.113.2"]);
}

#[test]
fn an_edge_that_was_broken_into_changes_no_decision() {
    let site = Site::new(&["web1", "edge1", "edge2"]);
    ["fw", "web1", "edge1", "edge2"].iter().for_each(|who| site.configure(who, ""));
    site.found(&[("web1", "host"), ("edge1", "edge"), ("edge2", "edge")]);
    site.start_server();
    let _daemons = ["fw", "web1", "edge2"].map(|who| site.kband(who));
    ["fw", "web1", "edge2"].iter().for_each(|who| site.connected(who));
    site.attack("web1", "203.0.113.1");
    site.attack("web1", "203.0.113.2");
    eventually("honest bans", || site.banned("edge2", "fleet") == ["203.0.113.1", "203.0.113.2"]);
    let decisions = state(&site, "DECISIONS");

    let seed = site.path("edge1", "fleet/edge.seed");
    let mine = r#"{"batch":1,"no_wait":true}"#;
    let lines: Vec<String> = [
        "pub ban.decision.v4.203-0-113-1-32 - x",
        "pub ban.report.web1 - x",
        "pub ban.edge.edge2 - {\"v\":1,\"anew\":true}",
        "pub $JS.API.CONSUMER.MSG.NEXT.DECISIONS.edge2 - {}",
        "pub $JS.ACK.DECISIONS.edge2.1.2.2.1.0 - +ACK",
        "pub $JS.API.STREAM.INFO.DECISIONS - {}",
        "pub $JS.API.STREAM.PURGE.DECISIONS - {}",
        "pub $JS.API.CONSUMER.DURABLE.CREATE.DECISIONS.edge1 - {\"stream_name\":\"DECISIONS\",\"config\":{\"durable_name\":\"edge1\",\"deliver_subject\":\"ban.decision.v4.203-0-113-1-32\",\"ack_policy\":\"none\"}}",
        "pub $JS.API.CONSUMER.CREATE.DECISIONS - {}",
        "pub $JS.API.DIRECT.GET.DECISIONS - {\"seq\":1}",
        "sub ban.decision.>",
        "sub _INBOX.edge2.>",
    ]
    .map(str::to_owned)
    .to_vec();
    let said = site.client("edge1", &seed, "edge1", &lines);
    for line in &lines {
        assert!(
            said.iter().any(|told| told.starts_with(&format!("refused {line}: "))),
            "{line} was not refused: {said:?}"
        );
    }
    // What it may ask for, with replies that would have the server publish, purge or confirm in its stead.
    let injected: Vec<String> = [
        "ban.decision.v4.203-0-113-1-32",
        "$JS.API.STREAM.PURGE.DECISIONS",
        "$JS.API.STREAM.DELETE.DECISIONS",
        "$JS.API.CONSUMER.DELETE.DECISIONS.edge2",
        "$JS.ACK.DECISIONS.edge2.1.2.2.1.0",
        "ban.edge.edge2",
        "_INBOX.edge2.x",
    ]
    .iter()
    .flat_map(|reply| {
        [
            format!("pub $JS.API.CONSUMER.MSG.NEXT.DECISIONS.edge1 {reply} {mine}"),
            format!("pub $JS.ACK.DECISIONS.edge1.1.1.1.1.0 {reply} +NXT"),
            format!("pub ban.edge.edge1 {reply} {{\"v\":1,\"anew\":true}}"),
            format!(
                "pub ban.edge.edge1 {reply} {{\"v\":1,\"anew\":true,\"page\":{{\"nonce\":\"x\",\"number\":0}}}}"
            ),
        ]
    })
    .collect();
    site.client("edge1", &seed, "edge1", &injected);
    let known =
        |state: &Value| (state["messages"].clone(), state["last_seq"].clone(), state["num_subjects"].clone());
    assert_eq!(known(&state(&site, "DECISIONS")), known(&decisions));

    // The decisions' own key, but not the firewall's signature: whoever has the server has no edge.
    let forged = "pub ban.decision.v4.203-0-113-3-32 - {\"v\":1,\"serial\":9,\"prefix\":\"203.0.113.3/32\",\"since\":\"2026-01-01T00:00:00Z\",\"until\":null}";
    site.client("fw", &site.path("fw", "fleet/decisions.seed"), "fleet", &[forged.to_owned()]);
    eventually("it is told", || site.fleet("edge2")["distrusted"]["it is no decision"] == 1);
    assert_eq!(site.banned("edge2", "fleet"), ["203.0.113.1", "203.0.113.2"]);
    site.attack("web1", "203.0.113.4");
    eventually("all goes on", || site.banned("edge2", "fleet").len() == 3);
}
