//! Whose packets are dropped, and which of them.

use std::fmt;

use ipnet::IpNet;

use crate::service::Service;
use crate::tier::Tier;

/// What one element of a set of bans stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Whose packets; canonical (no host bits).
    pub prefix: IpNet,
    /// Those to this service; `None`: all of them.
    pub service: Option<Service>,
    /// Each of these packets renews the element, so that it ends so long after the last one; `None`: its end is fixed.
    pub renew: Option<Tier>,
}

impl Target {
    /// The target with the prefix's host bits cleared.
    pub(crate) fn trunc(self) -> Self {
        Self { prefix: self.prefix.trunc(), ..self }
    }
}

impl From<IpNet> for Target {
    fn from(prefix: IpNet) -> Self {
        Self { prefix, service: None, renew: None }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.prefix)?;
        self.service.map_or(Ok(()), |service| write!(f, " on {service}"))?;
        self.renew.map_or(Ok(()), |tier| write!(f, " (renewed for {tier} s)"))
    }
}
