//! Values that are one of a few words, and the names that `[firewall]` takes; each checked while it is read.

use super::value::{Text, deserialize_text, short};
use crate::source::Runtime;

/// What becomes of an offender's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirewallVerdict {
    /// Nothing comes back.
    Drop,
    /// A TCP reset, or an ICMP message.
    Reject,
}

/// What becomes of hosts of which a log has only the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UseDns {
    /// They are counted, and nothing else.
    No,
    /// Their addresses are asked for, and counted.
    Yes,
    /// The same, and the log says it.
    Warn,
}

/// What is around each line of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Nothing.
    Plain,
    /// What a container runtime writes.
    Container(Runtime),
}

/// `[firewall] ownership`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// Owned, where the kernel keeps such a table over a crash and this machine's nft can save and load it.
    Auto,
    /// Owned, where the kernel keeps such a table over a crash.
    Owned,
    /// Not owned: what others change is put right.
    Plain,
}

/// `[store] mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreMode {
    /// In the state directory.
    Disk,
    /// Nowhere: it ends with the daemon.
    Memory,
}

/// Which neighbours are never dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Neighbour {
    /// The routers behind which everything else is.
    Gateway,
    /// The DNS servers that this machine asks.
    Resolvers,
}

/// The name of an interface (linux/if.h: at most 15 bytes), perhaps with a `*` at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface(pub String);

/// How log entries begin; the kernel takes 127 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPrefix(pub String);

impl Text for FirewallVerdict {
    const EXPECTED: &'static str = "\"drop\" or \"reject\"";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        match typed {
            "drop" => Ok(Self::Drop),
            "reject" => Ok(Self::Reject),
            _ => Err((format!("`{}` is no verdict", short(typed)), format!("write {}", Self::EXPECTED))),
        }
    }
}

impl Text for UseDns {
    const EXPECTED: &'static str = "\"no\", \"yes\" or \"warn\"";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        match typed {
            "no" => Ok(Self::No),
            "yes" => Ok(Self::Yes),
            "warn" => Ok(Self::Warn),
            "raw" => Err((
                "usedns = \"raw\" means nothing here".to_owned(),
                "write \"no\": names are never banned as they are".to_owned(),
            )),
            _ => {
                Err((format!("`{}` is no way to use DNS", short(typed)), format!("write {}", Self::EXPECTED)))
            }
        }
    }
}

impl Text for LogFormat {
    const EXPECTED: &'static str = "\"plain\", \"docker\" or \"cri\"";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        match typed {
            "plain" => Ok(Self::Plain),
            "docker" => Ok(Self::Container(Runtime::Docker)),
            "cri" => Ok(Self::Container(Runtime::Cri)),
            _ => Err((
                format!("`{}` is no format of logs", short(typed)),
                format!("write {} (containerd and CRI-O write cri)", Self::EXPECTED),
            )),
        }
    }
}

impl Text for Ownership {
    const EXPECTED: &'static str = "\"auto\", \"owned\" or \"plain\"";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        match typed {
            "auto" => Ok(Self::Auto),
            "owned" => Ok(Self::Owned),
            "plain" => Ok(Self::Plain),
            _ => Err((
                format!("`{}` is no way to own the table", short(typed)),
                format!("write {}", Self::EXPECTED),
            )),
        }
    }
}

impl Text for StoreMode {
    const EXPECTED: &'static str = "\"disk\" or \"memory\"";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        match typed {
            "disk" => Ok(Self::Disk),
            "memory" => Ok(Self::Memory),
            _ => Err((
                format!("`{}` is no place for the store", short(typed)),
                format!("write {}; the directory is kband's --state-dir", Self::EXPECTED),
            )),
        }
    }
}

impl Ownership {
    /// Why the table is not to be kband's alone; `None` if it is to be. `kernel` is whether the kernel keeps such a
    /// table over a crash, `nft` whether this machine's nft can load again what it prints of one.
    #[must_use]
    pub fn why_plain(self, kernel: bool, nft: bool) -> Option<&'static str> {
        match self {
            Self::Plain => Some("so the configuration says"),
            _ if !kernel => Some("this kernel keeps no owned table over a crash (Linux 6.9 and later do)"),
            Self::Auto if !nft => Some(
                "this machine's nft cannot load again what it prints of an owned table; with nft 1.1, or with \
                 ownership = \"owned\", it is",
            ),
            Self::Auto | Self::Owned => None,
        }
    }
}

impl Text for Neighbour {
    const EXPECTED: &'static str = "\"gateway\" or \"resolvers\"";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        match typed {
            "gateway" => Ok(Self::Gateway),
            "resolvers" => Ok(Self::Resolvers),
            _ => Err((
                format!("`{}` is nobody that can be protected", short(typed)),
                format!("write {}; addresses belong into [defaults] ignoreip", Self::EXPECTED),
            )),
        }
    }
}

impl Text for Interface {
    const EXPECTED: &'static str = "the name of an interface";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        let name = typed.strip_suffix('*').unwrap_or(typed);
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == '/' || c == '*' || c == '"';
        if name.is_empty() || name.len() > 15 || name.contains(bad) {
            return Err((
                format!("`{}` cannot be the name of an interface", short(typed)),
                "write a name such as \"wan0\", or its beginning: \"ppp*\"".to_owned(),
            ));
        }
        Ok(Self(typed.to_owned()))
    }
}

impl Text for LogPrefix {
    const EXPECTED: &'static str = "the beginning of log entries";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        if typed.len() > 127 || typed.contains(|c: char| c.is_control()) {
            return Err((
                "the log prefix is too long or has control characters".to_owned(),
                "write at most 127 bytes, such as \"kban: \"".to_owned(),
            ));
        }
        Ok(Self(typed.to_owned()))
    }
}

deserialize_text!(LogFormat, UseDns, FirewallVerdict, Ownership, StoreMode, Neighbour, Interface, LogPrefix);
