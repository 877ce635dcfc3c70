//! The kernel's side: table `inet kban`, its sets and their elements.

use std::time::Duration;

use ipnet::IpNet;

/// One step from the kernel's state to the intent. Prefixes are canonical (no host bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Drop packets from `prefix` for `left` (`None`: until removed).
    Ban {
        /// Whom.
        prefix: IpNet,
        /// Time until the kernel drops the element by itself; `None` is permanent.
        left: Option<Duration>,
    },
    /// Let `prefix` through again; no error if it is not there (any more).
    Lift {
        /// Whom.
        prefix: IpNet,
    },
}

/// One element as the kernel holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// Whose packets are dropped.
    pub prefix: IpNet,
    /// Time left by the kernel's own clock; `None` is permanent.
    pub left: Option<Duration>,
}
