//! What a jail does to an offender, as far as kban has to know: which of its actions are bans, and whether it
//! bans at all.

/// Actions that ban in a firewall start with one of these; kban's own table takes their place.
const BANS: [&str; 14] = [
    "iptables",
    "ip6tables",
    "nftables",
    "firewallcmd",
    "ipset",
    "ufw",
    "shorewall",
    "route",
    "pf",
    "ipfw",
    "bsd-ipfw",
    "apf",
    "npf",
    "ipfilter",
];

/// What the value of `action` amounts to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Actions {
    /// The names of those that do something else than banning.
    pub(super) others: Vec<String>,
    /// One of them lets addresses in instead of keeping them out.
    pub(super) allows: bool,
}

/// Reads the value of `action`: names, each possibly with options in brackets, which may go over several lines.
pub(super) fn read(value: &str) -> Actions {
    let mut actions = Actions::default();
    let (mut name, mut depth) = (String::new(), 0_usize);
    let mut quote = None;
    for c in value.chars().chain(['\n']) {
        match (c, quote) {
            (_, Some(open)) => quote = Some(open).filter(|_| c != open),
            ('"' | '\'', None) if depth > 0 => quote = Some(c),
            ('[', None) => depth += 1,
            (']', None) => depth = depth.saturating_sub(1),
            (c, None) if depth == 0 && c.is_whitespace() => {
                let ended = std::mem::take(&mut name);
                if !ended.is_empty()
                    && !BANS.iter().any(|ban| ended.starts_with(ban))
                    && !actions.others.contains(&ended)
                {
                    actions.others.push(ended);
                }
            }
            (c, None) if depth == 0 => name.push(c),
            _ => {}
        }
    }
    let plain: String = value.to_lowercase().chars().filter(|c| !matches!(c, '"' | '\'' | ' ')).collect();
    actions.allows = plain.contains("blocktype=return") || plain.contains("blocktype=accept");
    actions
}
