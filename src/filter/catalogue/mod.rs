//! kban's own filters: data, compiled in.

/// Name and text of each filter, by name.
const FILTERS: [(&str, &str); 32] = [
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
    ("courier-auth", include_str!("courier-auth.toml")),
    ("courier-smtp", include_str!("courier-smtp.toml")),
    ("cyrus-imap", include_str!("cyrus-imap.toml")),
    ("dovecot", include_str!("dovecot.toml")),
    ("exim", include_str!("exim.toml")),
    ("exim-spam", include_str!("exim-spam.toml")),
    ("gssftpd", include_str!("gssftpd.toml")),
    ("mysqld-auth", include_str!("mysqld-auth.toml")),
    ("named-refused", include_str!("named-refused.toml")),
    ("nginx-bad-request", include_str!("nginx-bad-request.toml")),
    ("nginx-botsearch", include_str!("nginx-botsearch.toml")),
    ("nginx-http-auth", include_str!("nginx-http-auth.toml")),
    ("nginx-limit-req", include_str!("nginx-limit-req.toml")),
    ("postfix", include_str!("postfix.toml")),
    ("proftpd", include_str!("proftpd.toml")),
    ("pure-ftpd", include_str!("pure-ftpd.toml")),
    ("sendmail-auth", include_str!("sendmail-auth.toml")),
    ("sendmail-reject", include_str!("sendmail-reject.toml")),
    ("sieve", include_str!("sieve.toml")),
    ("sshd", include_str!("sshd.toml")),
    ("vsftpd", include_str!("vsftpd.toml")),
    ("wuftpd", include_str!("wuftpd.toml")),
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
        for (name, text) in FILTERS {
            let definition = Arc::new(Definition::parse(name, text).unwrap());
            assert!(!definition.example.is_empty(), "{name} has no examples");
            if let Err(error) = examples::check(name, name, &definition) {
                panic!("{error}");
            }
        }
    }

    #[test]
    fn a_free_name_is_followed_by_a_rigid_tail() {
        for (name, text) in FILTERS {
            let definition = Definition::parse(name, text).unwrap();
            let in_modes = definition.mode.values().flat_map(|mode| &mode.failregex);
            for pattern in definition.failregex.iter().chain(in_modes) {
                let pattern = pattern.get_ref();
                let before_host = pattern.split("<HOST>").next().unwrap();
                assert!(!before_host.contains(".*") || pattern.ends_with('$'), "{name}: {pattern}");
            }
        }
    }
}
