//! What the administrator chooses about the table.

/// The choices, for the whole table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How many elements each set of bans holds at most.
    pub set_size: u32,
    /// What becomes of an offender's packets.
    pub reply: Reply,
    /// Whether and where they are logged.
    pub log: Option<Log>,
    /// Only packets that arrive at these interfaces are looked at; none named: all of them. A name may end in `*`.
    pub interfaces: Vec<String>,
    /// Whether an offender's TCP connections are ended with a ban.
    pub cut_connections: bool,
    /// Whether packets are counted by element.
    pub count: bool,
}

/// What becomes of an offender's packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reply {
    /// Nothing comes back.
    #[default]
    Drop,
    /// TCP gets a reset, everything else an ICMP message: "administratively prohibited".
    Reject,
}

/// Where packets of offenders are logged; so many a second at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// An NFLOG group, for `ulogd2`; none: the kernel's log.
    pub group: Option<u16>,
    /// How each entry begins.
    pub prefix: String,
}

impl Options {
    /// Sets of this size, and otherwise what is usual.
    #[must_use]
    pub fn sized(set_size: u32) -> Self {
        Self {
            set_size,
            reply: Reply::Drop,
            log: None,
            interfaces: Vec::new(),
            cut_connections: false,
            count: false,
        }
    }
}
