//! What is said survives the wire.

use super::*;

#[test]
fn requests_survive_the_wire() {
    let requests = [
        Request::Status,
        Request::List {
            jail: Some("sshd".into()),
            within: "192.0.2.0/24".parse().ok(),
            after: Some(Cursor { prefix: "192.0.2.1/32".parse().unwrap(), jail: "sshd".into() }),
        },
        Request::Ban {
            prefix: "2001:db8::1/128".parse().unwrap(),
            jail: None,
            bantime: Some(BanTime::Permanent),
            reason: Some("\u{1b}[2J".into()),
            force: true,
            caller: "203.0.113.9".parse().ok(),
        },
        Request::Unban { within: None, jail: None },
    ];
    for request in requests {
        let line = serde_json::to_string(&request).unwrap();
        assert!(!line.contains('\n') && !line.contains('\u{1b}'));
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
    }
}

#[test]
fn unknown_requests_and_fields_are_errors() {
    for line in [r#"{"request":"dance"}"#, r#"{"request":"ban","address":"1.2.3.4","forever":true}"#] {
        assert!(serde_json::from_str::<Request>(line).is_err(), "{line}");
    }
}

#[test]
fn the_time_left_is_rounded_up() {
    let now: Timestamp = "2026-11-21T06:00:00.4Z".parse().unwrap();
    let mut ban = Ban {
        prefix: "192.0.2.1/32".parse().unwrap(),
        jail: "sshd".into(),
        since: now,
        until: Some("2026-11-21T06:00:10Z".parse().unwrap()),
        count: 1,
        source: "s".into(),
        reason: "".into(),
        services: None,
        renew: None,
    };
    assert_eq!(BanRow::new(&ban, now, true).seconds_left, Some(10));
    ban.until = Some(now - std::time::Duration::from_secs(1));
    assert_eq!(BanRow::new(&ban, now, true).seconds_left, Some(0));
}
