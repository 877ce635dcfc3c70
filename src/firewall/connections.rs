//! The connections that offenders have when they are banned.
//!
//! The kernel drops their packets from the first one on, but this machine's side of the connection stays until it gives
//! up waiting, and a server holds a process or a slot for it as long.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::netlink::diag::{Connection, Diag};
use super::{Attempt, Firewall, FirewallError, Target};
use crate::service::{Protocol, Service};

impl Firewall {
    /// Ends every TCP connection of these targets, if the options say so, and says how many. One look at the sockets for all
    /// of them; needs `CAP_NET_ADMIN`.
    ///
    /// # Errors
    /// When the kernel cannot do it (`CONFIG_INET_DIAG_DESTROY`) or may not.
    pub fn cut_connections(&self, targets: &BTreeSet<Target>) -> Result<usize, FirewallError> {
        if !self.options.cut_connections || targets.is_empty() {
            return Ok(0);
        }
        // Connections know nothing of how a ban ends.
        let targets: BTreeSet<Target> =
            targets.iter().map(|target| Target { renew: None, ..*target }).collect();
        let failed = |reason| FirewallError::of(Attempt::Cut, reason);
        let mut diag = Diag::open().map_err(failed)?;
        let mut cut = 0;
        for connection in diag.connections(|connection| belongs(connection, &targets)).map_err(failed)? {
            cut += usize::from(diag.destroy(&connection).map_err(failed)?);
        }
        Ok(cut)
    }
}

fn belongs(connection: &Connection, targets: &BTreeSet<Target>) -> bool {
    let service = Service { protocol: Protocol::Tcp, port: connection.port };
    // From the single address to everything: few steps, whatever is banned.
    (1..=IpNet::from(connection.peer).max_prefix_len()).any(|length| {
        let Ok(prefix) = IpNet::new(connection.peer, length) else { return false };
        let prefix = prefix.trunc();
        [None, Some(service)]
            .into_iter()
            .any(|service| targets.contains(&Target { service, ..prefix.into() }))
    })
}
