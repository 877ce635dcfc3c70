//! Values, one by one; whole configurations are imported by tests/it/import.rs.

use super::{action, value};

#[test]
fn lengths_of_time_are_read_in_all_their_forms() {
    for (typed, seconds) in [
        ("600", Some(600)),
        ("10m", Some(600)),
        ("1d12h", Some(129_600)),
        ("1d 12h", Some(129_600)),
        ("1 week", Some(604_800)),
        ("2 Hours 3 min 4", Some(7_384)),
        ("-1", Some(-1)),
        ("", None),
        ("ten", None),
        ("1x", None),
        ("99999999999999999999", None),
        ("9999999999999999y", None),
    ] {
        assert_eq!(value::seconds(typed), seconds, "{typed}");
    }
}

#[test]
fn addresses_are_made_canonical_or_refused_with_a_reason() {
    for (typed, net) in [
        ("127.0.0.1/8", "127.0.0.0/8"),
        ("192.0.2.9", "192.0.2.9/32"),
        ("10.1.2.3/255.255.0.0", "10.1.0.0/16"),
        ("2001:db8::1/32", "2001:db8::/32"),
        ("::ffff:192.0.2.1", "192.0.2.1/32"),
    ] {
        assert_eq!(value::network(typed).map(|net| net.to_string()), Ok(net.to_owned()));
    }
    for typed in
        ["host.example", "file:/etc/list", "0.0.0.0/0", "::/0", "192.0.2.1/33", "192.0.2.1/255.0.255.0"]
    {
        assert!(value::network(typed).is_err(), "{typed}");
    }
}

#[test]
fn commands_that_need_no_shell_are_split_into_words() {
    let words = value::command("/etc/f/apache-fakegooglebot <ip>\n  --key=<ip>").unwrap();
    assert_eq!(words, ["/etc/f/apache-fakegooglebot", "<ip>", "--key=<ip>"]);
    for shell in [
        "",
        "true <ip>",
        "/bin/x <ip> | cat",
        "/bin/x '<ip>'",
        "/bin/x <F-USER>",
        "/bin/x $(y)",
        "/bin/x <ip>; y",
    ] {
        assert_eq!(value::command(shell), None, "{shell}");
    }
    assert_eq!(value::ignored("Office.example.net").unwrap(), "office.example.net");
    assert_eq!(value::ignored("file:/etc/list").unwrap(), "/etc/list");
    assert_eq!(value::ignored("10.1.2.3/8").unwrap(), "10.0.0.0/8");
    assert!(value::ignored("file:list").is_err() && value::ignored("a b").is_err());
}

#[test]
fn actions_that_only_ban_are_kbans_own() {
    let others = |value: &str| action::read(value).others;
    assert!(others("iptables-multiport[name=x, port=\"a\n b]\", protocol=tcp]\nnftables").is_empty());
    assert_eq!(others("nftables[a=b,\n c=d]\nsendmail-whois[name=x]\nmy-ban"), ["sendmail-whois", "my-ban"]);
    assert!(action::read("iptables[blocktype=RETURN]").allows);
    assert!(action::read("iptables[blocktype = \"ACCEPT\"]").allows);
    assert!(!action::read("iptables[blocktype=DROP]").allows);
}
