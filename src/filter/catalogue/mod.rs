//! kban's own filters: data, compiled in.

use std::sync::Arc;

use super::definition::Definition;
use super::error::FilterError;
use super::examples;

/// Name and text of each filter, by name.
const FILTERS: [(&str, &str); 106] = [
    ("3proxy", include_str!("3proxy.toml")),
    ("apache-auth", include_str!("apache-auth.toml")),
    ("apache-badbots", include_str!("apache-badbots.toml")),
    ("apache-botsearch", include_str!("apache-botsearch.toml")),
    ("apache-fakegooglebot", include_str!("apache-fakegooglebot.toml")),
    ("apache-modsecurity", include_str!("apache-modsecurity.toml")),
    ("apache-nohome", include_str!("apache-nohome.toml")),
    ("apache-noscript", include_str!("apache-noscript.toml")),
    ("apache-overflows", include_str!("apache-overflows.toml")),
    ("apache-pass", include_str!("apache-pass.toml")),
    ("apache-shellshock", include_str!("apache-shellshock.toml")),
    ("assp", include_str!("assp.toml")),
    ("asterisk", include_str!("asterisk.toml")),
    ("authelia", include_str!("authelia.toml")),
    ("bitwarden", include_str!("bitwarden.toml")),
    ("caddy", include_str!("caddy.toml")),
    ("centreon", include_str!("centreon.toml")),
    ("counter-strike", include_str!("counter-strike.toml")),
    ("courier-auth", include_str!("courier-auth.toml")),
    ("courier-smtp", include_str!("courier-smtp.toml")),
    ("cowrie", include_str!("cowrie.toml")),
    ("cyrus-imap", include_str!("cyrus-imap.toml")),
    ("dante", include_str!("dante.toml")),
    ("directadmin", include_str!("directadmin.toml")),
    ("domino-smtp", include_str!("domino-smtp.toml")),
    ("dovecot", include_str!("dovecot.toml")),
    ("dropbear", include_str!("dropbear.toml")),
    ("drupal-auth", include_str!("drupal-auth.toml")),
    ("ejabberd-auth", include_str!("ejabberd-auth.toml")),
    ("exim", include_str!("exim.toml")),
    ("exim-spam", include_str!("exim-spam.toml")),
    ("forgejo", include_str!("forgejo.toml")),
    ("freeswitch", include_str!("freeswitch.toml")),
    ("froxlor-auth", include_str!("froxlor-auth.toml")),
    ("gitlab", include_str!("gitlab.toml")),
    ("grafana", include_str!("grafana.toml")),
    ("groupoffice", include_str!("groupoffice.toml")),
    ("gssftpd", include_str!("gssftpd.toml")),
    ("guacamole", include_str!("guacamole.toml")),
    ("haproxy-http-auth", include_str!("haproxy-http-auth.toml")),
    ("horde", include_str!("horde.toml")),
    ("jellyfin", include_str!("jellyfin.toml")),
    ("kerio", include_str!("kerio.toml")),
    ("keycloak", include_str!("keycloak.toml")),
    ("lighttpd-auth", include_str!("lighttpd-auth.toml")),
    ("mongodb-auth", include_str!("mongodb-auth.toml")),
    ("monit", include_str!("monit.toml")),
    ("monitorix", include_str!("monitorix.toml")),
    ("mssql-auth", include_str!("mssql-auth.toml")),
    ("murmur", include_str!("murmur.toml")),
    ("mysqld-auth", include_str!("mysqld-auth.toml")),
    ("nagios", include_str!("nagios.toml")),
    ("named-refused", include_str!("named-refused.toml")),
    ("nextcloud", include_str!("nextcloud.toml")),
    ("nginx-bad-request", include_str!("nginx-bad-request.toml")),
    ("nginx-botsearch", include_str!("nginx-botsearch.toml")),
    ("nginx-forbidden", include_str!("nginx-forbidden.toml")),
    ("nginx-http-auth", include_str!("nginx-http-auth.toml")),
    ("nginx-limit-req", include_str!("nginx-limit-req.toml")),
    ("nsd", include_str!("nsd.toml")),
    ("openhab", include_str!("openhab.toml")),
    ("openvpn", include_str!("openvpn.toml")),
    ("openwebmail", include_str!("openwebmail.toml")),
    ("oracleims", include_str!("oracleims.toml")),
    ("pam-generic", include_str!("pam-generic.toml")),
    ("perdition", include_str!("perdition.toml")),
    ("php-url-fopen", include_str!("php-url-fopen.toml")),
    ("phpmyadmin-syslog", include_str!("phpmyadmin-syslog.toml")),
    ("portsentry", include_str!("portsentry.toml")),
    ("postfix", include_str!("postfix.toml")),
    ("postgresql", include_str!("postgresql.toml")),
    ("proftpd", include_str!("proftpd.toml")),
    ("proxmox", include_str!("proxmox.toml")),
    ("pure-ftpd", include_str!("pure-ftpd.toml")),
    ("qmail", include_str!("qmail.toml")),
    ("recidive", include_str!("recidive.toml")),
    ("roundcube-auth", include_str!("roundcube-auth.toml")),
    ("routeros-auth", include_str!("routeros-auth.toml")),
    ("scanlogd", include_str!("scanlogd.toml")),
    ("screensharingd", include_str!("screensharingd.toml")),
    ("selinux-ssh", include_str!("selinux-ssh.toml")),
    ("sendmail-auth", include_str!("sendmail-auth.toml")),
    ("sendmail-reject", include_str!("sendmail-reject.toml")),
    ("sieve", include_str!("sieve.toml")),
    ("slapd", include_str!("slapd.toml")),
    ("softethervpn", include_str!("softethervpn.toml")),
    ("sogo-auth", include_str!("sogo-auth.toml")),
    ("solid-pop3d", include_str!("solid-pop3d.toml")),
    ("squid", include_str!("squid.toml")),
    ("squirrelmail", include_str!("squirrelmail.toml")),
    ("sshd", include_str!("sshd.toml")),
    ("stunnel", include_str!("stunnel.toml")),
    ("suhosin", include_str!("suhosin.toml")),
    ("tine20", include_str!("tine20.toml")),
    ("traefik-auth", include_str!("traefik-auth.toml")),
    ("traefik-json", include_str!("traefik-json.toml")),
    ("uwimap-auth", include_str!("uwimap-auth.toml")),
    ("vaultwarden", include_str!("vaultwarden.toml")),
    ("vsftpd", include_str!("vsftpd.toml")),
    ("webmin-auth", include_str!("webmin-auth.toml")),
    ("wordpress", include_str!("wordpress.toml")),
    ("wuftpd", include_str!("wuftpd.toml")),
    ("xinetd-fail", include_str!("xinetd-fail.toml")),
    ("xrdp", include_str!("xrdp.toml")),
    ("znc-adminlog", include_str!("znc-adminlog.toml")),
    ("zoneminder", include_str!("zoneminder.toml")),
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

/// Tries the examples of a filter, as those of an administrator's file are tried whenever it is read; of an unknown one there are none.
///
/// # Errors
/// The first that fails.
pub fn check(name: &str) -> Result<(), FilterError> {
    let Some(text) = text(name) else { return Ok(()) };
    let definition = Arc::new(Definition::parse(name, text)?);
    examples::check(name, &format!("filter {name}"), &definition)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::filter::{Clock, Filter, Scanner, Success, Told};

    #[test]
    fn every_filter_does_what_its_examples_say() {
        let mut wrong = Vec::new();
        for (name, text) in FILTERS {
            assert!(!Definition::parse(name, text).unwrap().example.is_empty(), "{name} has no examples");
            wrong.extend(check(name).err().map(|error| error.to_string()));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// As the services write it; and what looks like it, but is a guess.
    #[test]
    fn who_logged_in_is_told() {
        let login = Some(("203.0.113.9", "deploy"));
        let (syslog, clock) = ("Nov 21 06:50:25 gw ", Clock { now: Timestamp::now(), zone: TimeZone::UTC });
        for (filter, line, found) in [
            ("dovecot", "dovecot: imap-login: Login: user=<deploy>, method=PLAIN, rip=203.0.113.9, lip=192.0.2.7, TLS", login),
            ("dovecot", "dovecot: pop3-login: Logged in: user=<deploy>, rip=203.0.113.9, lip=192.0.2.7", login),
            ("dovecot", "dovecot: imap-login: Disconnected (auth failed, 1 attempts): user=<imap-login: Login: user=<deploy>, rip=198.51.100.1, rip=203.0.113.9, lip=192.0.2.7", None),
            ("postfix", "postfix/submission/smtpd[42]: 4F1B2C3D: client=h.example.net[203.0.113.9], sasl_method=PLAIN, sasl_username=deploy", login),
            ("postfix", "postfix/smtpd[42]: 4F1B2C3D: client=h.example.net[203.0.113.9]", None),
            ("cyrus-imap", "cyrus/imaps[42]: login: h.example.net [203.0.113.9] deploy plaintext+TLS User logged in SESSIONID=<cyrus-1>", login),
            ("courier-auth", "imapd: LOGIN, user=deploy, ip=[::ffff:203.0.113.9], port=[40022], protocol=IMAP", login),
            ("courier-auth", "imapd: LOGIN FAILED, user=LOGIN, user=deploy, ip=[::ffff:203.0.113.9]", None),
            ("proftpd", "proftpd[42] ftp.example.org (h.example.net[203.0.113.9]): USER deploy: Login successful.", login),
            ("proftpd", "proftpd[42] ftp.example.org (h.example.net[203.0.113.9]): USER deploy: Login successful. (Login failed): Incorrect password", None),
            ("pure-ftpd", "pure-ftpd: (?@203.0.113.9) [INFO] deploy is now logged in", login),
            ("dropbear", "dropbear[42]: Password auth succeeded for 'deploy' from 203.0.113.9:40022", login),
            ("dropbear", "dropbear[42]: Pubkey auth succeeded for 'deploy' with ssh-ed25519 key SHA256:x from 203.0.113.9:40022", login),
            ("webmin-auth", "webmin[42]: Successful login as deploy from 203.0.113.9", login),
        ]
        .map(|(filter, line, found)| (filter, format!("{syslog}{line}"), found))
        .into_iter()
        .chain(
            [
                ("vsftpd", r#"Sat Nov 21 06:50:25 2026 [pid 42] [deploy] OK LOGIN: Client "::ffff:203.0.113.9""#, login),
                ("vsftpd", r#"Sat Nov 21 06:50:25 2026 [pid 42] [ftp] OK LOGIN: Client "203.0.113.9", anon password "x""#, None),
                ("roundcube-auth", "[21-Nov-2026 06:50:25 +0000]: <a1b2> Successful login for deploy (ID: 1) from 203.0.113.9 in session abc", login),
                ("vaultwarden", "[2026-11-21 06:50:25.123][vaultwarden::api::identity][INFO] User deploy logged in successfully. IP: 203.0.113.9", login),
            ]
            .map(|(filter, line, found)| (filter, line.to_owned(), found)),
        ) {
            let filter = Arc::new(Filter::load(filter, &[]).unwrap());
            assert!(filter.tells_successes(), "{line}");
            let mut scanner = Scanner::new(&[filter]);
            scanner.tell_successes();
            let mut told = None;
            scanner.scan_all(line.as_bytes(), &clock, &mut |_, one, _| {
                if let Told::Success(Success { address, user, .. }) = one {
                    told = Some((address.to_string(), user.unwrap()));
                }
            });
            let told = told.as_ref().map(|(address, user)| (address.as_str(), user.as_str()));
            assert_eq!(told, found, "{line}");
        }
    }

    #[test]
    fn a_free_name_is_followed_by_a_rigid_tail() {
        for (name, text) in FILTERS {
            let definition = Definition::parse(name, text).unwrap();
            let in_modes = definition.mode.values().flat_map(|mode| &mode.failregex);
            let tied = definition
                .connection
                .iter()
                .flat_map(|tied| [&tied.known, &tied.withheld, &tied.success, &tied.close]);
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
