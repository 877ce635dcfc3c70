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
    use super::*;

    #[test]
    fn every_filter_does_what_its_examples_say() {
        let mut wrong = Vec::new();
        for (name, text) in FILTERS {
            assert!(!Definition::parse(name, text).unwrap().example.is_empty(), "{name} has no examples");
            wrong.extend(check(name).err().map(|error| error.to_string()));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
