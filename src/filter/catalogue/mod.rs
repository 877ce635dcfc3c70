//! kban's own filters: data, compiled in.

/// Name and text of a filter. What programs hold ends where the examples begin: those are for the tests, and most of the text.
macro_rules! own {
    ($name:literal) => {{
        const WHOLE: &str = include_str!(concat!($name, ".toml"));
        #[cfg(test)]
        const TEXT: &str = WHOLE;
        #[cfg(not(test))]
        const TEXT: &str = {
            const BYTES: [u8; before_examples(WHOLE)] = beginning(WHOLE);
            text_of(&BYTES)
        };
        ($name, TEXT)
    }};
}

/// How many bytes are before the first example.
const fn before_examples(text: &str) -> usize {
    let mut rest = text.as_bytes();
    while let [_, tail @ ..] = rest {
        if let [b'\n', b'[', b'[', b'e', b'x', b'a', b'm', b'p', b'l', b'e', b']', b']', ..] = rest {
            break;
        }
        rest = tail;
    }
    text.len() - rest.len()
}

/// The first LENGTH bytes of a text that has as many.
const fn beginning<const LENGTH: usize>(text: &str) -> [u8; LENGTH] {
    match text.as_bytes().first_chunk() {
        Some(bytes) => *bytes,
        None => [0; LENGTH],
    }
}

/// The text that those bytes are: they end before a line feed.
const fn text_of(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => "",
    }
}

/// Name and text of each filter, by name.
const FILTERS: [(&str, &str); 106] = [
    own!("3proxy"),
    own!("apache-auth"),
    own!("apache-badbots"),
    own!("apache-botsearch"),
    own!("apache-fakegooglebot"),
    own!("apache-modsecurity"),
    own!("apache-nohome"),
    own!("apache-noscript"),
    own!("apache-overflows"),
    own!("apache-pass"),
    own!("apache-shellshock"),
    own!("assp"),
    own!("asterisk"),
    own!("authelia"),
    own!("bitwarden"),
    own!("caddy"),
    own!("centreon"),
    own!("counter-strike"),
    own!("courier-auth"),
    own!("courier-smtp"),
    own!("cowrie"),
    own!("cyrus-imap"),
    own!("dante"),
    own!("directadmin"),
    own!("domino-smtp"),
    own!("dovecot"),
    own!("dropbear"),
    own!("drupal-auth"),
    own!("ejabberd-auth"),
    own!("exim"),
    own!("exim-spam"),
    own!("forgejo"),
    own!("freeswitch"),
    own!("froxlor-auth"),
    own!("gitlab"),
    own!("grafana"),
    own!("groupoffice"),
    own!("gssftpd"),
    own!("guacamole"),
    own!("haproxy-http-auth"),
    own!("horde"),
    own!("jellyfin"),
    own!("kerio"),
    own!("keycloak"),
    own!("lighttpd-auth"),
    own!("mongodb-auth"),
    own!("monit"),
    own!("monitorix"),
    own!("mssql-auth"),
    own!("murmur"),
    own!("mysqld-auth"),
    own!("nagios"),
    own!("named-refused"),
    own!("nextcloud"),
    own!("nginx-bad-request"),
    own!("nginx-botsearch"),
    own!("nginx-forbidden"),
    own!("nginx-http-auth"),
    own!("nginx-limit-req"),
    own!("nsd"),
    own!("openhab"),
    own!("openvpn"),
    own!("openwebmail"),
    own!("oracleims"),
    own!("pam-generic"),
    own!("perdition"),
    own!("php-url-fopen"),
    own!("phpmyadmin-syslog"),
    own!("portsentry"),
    own!("postfix"),
    own!("postgresql"),
    own!("proftpd"),
    own!("proxmox"),
    own!("pure-ftpd"),
    own!("qmail"),
    own!("recidive"),
    own!("roundcube-auth"),
    own!("routeros-auth"),
    own!("scanlogd"),
    own!("screensharingd"),
    own!("selinux-ssh"),
    own!("sendmail-auth"),
    own!("sendmail-reject"),
    own!("sieve"),
    own!("slapd"),
    own!("softethervpn"),
    own!("sogo-auth"),
    own!("solid-pop3d"),
    own!("squid"),
    own!("squirrelmail"),
    own!("sshd"),
    own!("stunnel"),
    own!("suhosin"),
    own!("tine20"),
    own!("traefik-auth"),
    own!("traefik-json"),
    own!("uwimap-auth"),
    own!("vaultwarden"),
    own!("vsftpd"),
    own!("webmin-auth"),
    own!("wordpress"),
    own!("wuftpd"),
    own!("xinetd-fail"),
    own!("xrdp"),
    own!("znc-adminlog"),
    own!("zoneminder"),
];

/// The names of all filters.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILTERS.iter().map(|(name, _)| *name)
}

/// The TOML text of a filter.
#[must_use]
pub fn text(name: &str) -> Option<&'static str> {
    FILTERS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::filter::Definition;
    use crate::filter::examples;

    #[test]
    fn every_filter_does_what_its_examples_say() {
        let mut wrong = Vec::new();
        for (name, text) in FILTERS {
            let definition = Arc::new(Definition::parse(name, text).unwrap());
            assert!(!definition.example.is_empty(), "{name} has no examples");
            wrong.extend(examples::check(name, name, &definition).err().map(|error| error.to_string()));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn programs_hold_everything_but_the_examples() {
        for (name, text) in FILTERS {
            let whole = Definition::parse(name, text).unwrap();
            let held = text_of(text.as_bytes().get(..before_examples(text)).unwrap());
            let mut held = Definition::parse(name, held).unwrap();
            assert!(held.example.is_empty(), "{name}: there are examples before the first");
            held.example = whole.example.clone();
            assert_eq!(
                format!("{held:?}"),
                format!("{whole:?}"),
                "{name}: something comes after the examples"
            );
        }
        assert_eq!(beginning::<3>("kban"), *b"kba");
    }

    #[test]
    fn a_free_name_is_followed_by_a_rigid_tail() {
        for (name, text) in FILTERS {
            let definition = Definition::parse(name, text).unwrap();
            let in_modes = definition.mode.values().flat_map(|mode| &mode.failregex);
            let tied =
                definition.connection.iter().flat_map(|tied| [&tied.known, &tied.withheld, &tied.close]);
            for pattern in definition.failregex.iter().chain(in_modes).chain(tied.flatten()) {
                let pattern = pattern.get_ref();
                let Some((before_host, behind)) = pattern.split_once("<HOST>") else { continue };
                if before_host.contains(".*") {
                    assert!(pattern.ends_with('$') && !behind.contains(".*"), "{name}: {pattern}");
                }
            }
        }
    }
}
