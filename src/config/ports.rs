//! `port` and `protocol`: as they are typed, and the services that they come to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::sync::LazyLock;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::suggest;
use super::value::{OneOrMore, Text, TextVisitor, deserialize_text, refusal, short};
use crate::filter;
use crate::service::{Protocol, Service};

/// More pairs of port and protocol than this are as good as all of them, and cost an element each for every ban.
const MOST: usize = 64;

/// Names of services (services(5)); on a machine without this file the commonest are known.
const SERVICES: &str = "/etc/services";
const COMMON: &str = "ftp 21/tcp\nssh 22/tcp\ntelnet 23/tcp\nsmtp 25/tcp\ndomain 53/tcp\nhttp 80/tcp www\npop3 110/tcp\nimap2 143/tcp imap\n\
    ldap 389/tcp\nhttps 443/tcp\nsubmissions 465/tcp smtps ssmtp\nsubmission 587/tcp\nimaps 993/tcp\npop3s 995/tcp\nsieve 4190/tcp\nsip 5060/udp\n\
    sip-tls 5061/tcp\npostgresql 5432/tcp\nmysql 3306/tcp\nms-sql-s 1433/tcp\nopenvpn 1194/udp\n";

static NAMES: LazyLock<BTreeMap<String, u16>> = LazyLock::new(|| {
    let read = std::fs::read_to_string(SERVICES).unwrap_or_default();
    let mut names = names(COMMON);
    names.extend(self::names(&read));
    names
});

/// One entry of `port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    /// From one port to another, both included.
    Range(u16, u16),
    /// The name of a service.
    Name(String),
    /// The ports that the jail's filter names.
    Service,
}

/// `port = 22`, `"ssh"`, `"service"`, `[5900, "5901-5910"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports(pub Vec<Port>);

/// `protocol = "udp"`, `["tcp", "udp"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocols(pub Vec<Protocol>);

/// Why ports cannot be had, and what to write instead.
pub type Unusable = (String, String);

impl Ports {
    /// The services that are closed, in order. `own` are the ports of the jail's filter.
    ///
    /// # Errors
    /// What is wrong, and what to write instead.
    pub fn services(&self, protocols: &Protocols, own: &[filter::Port]) -> Result<Vec<Service>, Unusable> {
        let mut ports = BTreeSet::new();
        for port in &self.0 {
            match port {
                Port::Range(first, last) => ports.extend(*first..=*last),
                Port::Name(name) => {
                    ports.insert(numbered(name)?);
                }
                Port::Service => {
                    if own.is_empty() {
                        return Err((
                            "the jail's filter names no ports".to_owned(),
                            "list them, or leave port out to close all".to_owned(),
                        ));
                    }
                    for port in own {
                        match port {
                            filter::Port::Number(number) => {
                                ports.insert(*number);
                            }
                            filter::Port::Text(text) => match Port::read(text)? {
                                Port::Range(first, last) => ports.extend(first..=last),
                                Port::Name(name) => {
                                    ports.insert(numbered(&name)?);
                                }
                                Port::Service => {}
                            },
                        }
                    }
                }
            }
        }
        let pair = |port: &u16| {
            protocols
                .0
                .iter()
                .map(|protocol| Service { protocol: *protocol, port: *port })
                .collect::<Vec<_>>()
        };
        let services: BTreeSet<Service> = ports.iter().flat_map(pair).collect();
        if services.len() > MOST {
            return Err((
                format!(
                    "{} pairs of port and protocol are too many: each ban needs an element for each",
                    services.len()
                ),
                format!("name at most {MOST}, or leave port out to close all ports"),
            ));
        }
        Ok(services.into_iter().collect())
    }
}

fn numbered(name: &str) -> Result<u16, Unusable> {
    NAMES.get(name).copied().ok_or_else(|| {
        let near = suggest::nearest(name, NAMES.keys().map(String::as_str));
        let help = near.map_or_else(
            || format!("write its number, or a name of {SERVICES}"),
            |near| format!("did you mean \"{near}\"? a number does as well"),
        );
        (format!("no service is called `{}` here", short(name)), help)
    })
}

/// `NAME PORT/PROTOCOL ALIAS...` on each line (services(5)).
fn names(text: &str) -> BTreeMap<String, u16> {
    let mut names = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let (Some(name), Some(port)) = (words.next(), words.next()) else { continue };
        let Some(port) = port.split('/').next().and_then(|port| port.parse::<u16>().ok()) else { continue };
        for name in std::iter::once(name).chain(words) {
            names.entry(name.to_owned()).or_insert(port);
        }
    }
    names
}

impl Text for Port {
    const EXPECTED: &'static str = "a port, a range such as \"5901-5910\", or the name of a service";

    fn read(typed: &str) -> Result<Self, Unusable> {
        let help = || {
            "write a port from 1 to 65535, a range such as \"5901-5910\", or the name of a service".to_owned()
        };
        let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
        if typed == "service" {
            return Ok(Self::Service);
        }
        if !typed.starts_with(|c: char| c.is_ascii_digit()) {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-._+".contains(c);
            return match !typed.is_empty() && typed.chars().all(allowed) {
                true => Ok(Self::Name(typed.to_owned())),
                false => Err((format!("`{}` is no port", short(typed)), help())),
            };
        }
        let (first, last) = typed.split_once(['-', ':']).unwrap_or((typed, typed));
        match (port(first), port(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self::Range(first, last)),
            _ => Err((format!("`{}` is no port", short(typed)), help())),
        }
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrText;
        impl Visitor<'_> for NumberOrText {
            type Value = Port;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Port::EXPECTED)
            }

            fn visit_i64<E: de::Error>(self, typed: i64) -> Result<Port, E> {
                let port = u16::try_from(typed).ok().filter(|port| *port > 0);
                port.map(|port| Port::Range(port, port))
                    .ok_or_else(|| refusal(&format!("{typed} is no port"), "write a number from 1 to 65535"))
            }

            fn visit_str<E: de::Error>(self, typed: &str) -> Result<Port, E> {
                TextVisitor(PhantomData).visit_str(typed)
            }
        }
        deserializer.deserialize_any(NumberOrText)
    }
}

impl Text for Protocol {
    const EXPECTED: &'static str = "\"tcp\", \"udp\", \"sctp\" or \"dccp\"";

    fn read(typed: &str) -> Result<Self, Unusable> {
        typed.parse().map_err(|()| {
            let help = match typed {
                "all" | "any" => "leave port and protocol out to close everything".to_owned(),
                _ => format!("write {}", Self::EXPECTED),
            };
            (format!("`{}` is no protocol with ports", short(typed)), help)
        })
    }
}

deserialize_text!(Protocol);

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMore::of(Port::EXPECTED)).map(Ports)
    }
}

impl<'de> Deserialize<'de> for Protocols {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMore::of(Protocol::EXPECTED)).map(Protocols)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services(port: &str, protocol: &str) -> Result<String, String> {
        #[derive(Deserialize)]
        struct File {
            port: Ports,
            protocol: Protocols,
        }
        let file: File =
            toml::from_str(&format!("port = {port}\nprotocol = {protocol}")).map_err(|e| e.to_string())?;
        let own = [filter::Port::Text("ssh".into()), filter::Port::Number(2222)];
        let services =
            file.port.services(&file.protocol, &own).map_err(|(what, help)| format!("{what}: {help}"))?;
        Ok(services.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn ports_are_numbers_names_and_ranges() {
        assert_eq!(services("22", "'tcp'").unwrap(), "tcp/22");
        assert_eq!(
            services("[5900, '5901-5903', 'ssh']", "'tcp'").unwrap(),
            "tcp/22 tcp/5900 tcp/5901 tcp/5902 tcp/5903"
        );
        assert_eq!(services("'domain'", "['udp', 'tcp']").unwrap(), "tcp/53 udp/53");
        assert_eq!(services("'service'", "'tcp'").unwrap(), "tcp/22 tcp/2222");
        assert_eq!(services("'imaps'", "'tcp'").unwrap(), "tcp/993");
    }

    #[test]
    fn what_is_no_port_is_told() {
        for (port, protocol, says) in [
            ("0", "'tcp'", "0 is no port"),
            ("65536", "'tcp'", "65536 is no port"),
            ("'22-21'", "'tcp'", "`22-21` is no port"),
            ("'sshh'", "'tcp'", "did you mean \"ssh\"?"),
            ("'a b'", "'tcp'", "`a b` is no port"),
            ("[]", "'tcp'", "the list is empty"),
            ("'1-65'", "'tcp'", "65 pairs of port and protocol are too many"),
            ("22", "'icmp'", "`icmp` is no protocol with ports"),
            ("22", "'all'", "leave port and protocol out"),
            ("22", "6", "invalid type"),
        ] {
            let error = services(port, protocol).unwrap_err();
            assert!(error.contains(says), "{port} {protocol}: {error}");
        }
    }

    #[test]
    fn services_have_aliases() {
        let names = names("# x\nhttp\t\t80/tcp\t\twww\t# WorldWideWeb\n broken\nbad x/tcp\n");
        assert_eq!(names, BTreeMap::from([("http".into(), 80), ("www".into(), 80)]));
    }
}
