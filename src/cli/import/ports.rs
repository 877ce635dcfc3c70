//! `port` and `protocol` of fail2ban's jails, where their action looks at them.

use serde::Deserialize;

use super::Import;
use super::jail::quoted;
use super::keys::one_line;
use crate::config::ports::{Ports, Protocols};

/// What fail2ban's words come to.
#[derive(Deserialize)]
struct Typed {
    port: Ports,
    protocol: Protocols,
}

impl Import<'_> {
    /// The lines for a jail's ports; none where it closes everything.
    pub(super) fn ports(&mut self, jail: &str) -> String {
        let some = Some(jail);
        let value = |import: &mut Self, key: &str| {
            import.value(some, key).map(|typed| one_line(&typed)).unwrap_or_default()
        };
        // iptables-allports, nftables[type=allports] and their like close everything, whatever port says.
        if value(self, "action").contains("allports") {
            return String::new();
        }
        let typed = value(self, "port");
        let words: Vec<&str> = typed.split([',', ' ']).filter(|word| !word.is_empty()).collect();
        if words.is_empty() || words.iter().any(|word| matches!(*word, "0:65535" | "1:65535" | "all" | "any"))
        {
            return String::new();
        }
        let list = |words: &[String]| match words {
            [one] => one.clone(),
            words => format!("[{}]", words.join(", ")),
        };
        let port = |word: &&str| match word.parse::<u16>() {
            Ok(port) => port.to_string(),
            Err(_) => quoted(&word.replace(':', "-")),
        };
        let mut text = format!("port = {}\n", list(&words.iter().map(port).collect::<Vec<_>>()));
        let protocol = value(self, "protocol").to_lowercase();
        let protocols: Vec<String> = match protocol.as_str() {
            "" | "tcp" => Vec::new(),
            "all" | "any" => vec![quoted("tcp"), quoted("udp")],
            words => words.split([',', ' ']).filter(|word| !word.is_empty()).map(quoted).collect(),
        };
        let tcp = "protocol = \"tcp\"\n";
        if !protocols.is_empty() {
            text += &format!("protocol = {}\n", list(&protocols));
        }
        let whole = if protocols.is_empty() { text.clone() + tcp } else { text.clone() };
        let usable = toml::from_str::<Typed>(&whole)
            .map_err(|error| error.message().lines().next().unwrap_or_default().to_owned())
            .and_then(|typed| typed.port.services(&typed.protocol, &[]).map_err(|(what, _)| what));
        match usable {
            Ok(_) => text,
            Err(what) => {
                let message = format!("port = {typed} is not carried over: {what}; every port is closed");
                self.tell(some, "port", message, "name the ports in kban.toml");
                String::new()
            }
        }
    }
}
