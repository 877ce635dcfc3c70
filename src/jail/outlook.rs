//! What would become of somebody: questions that change nothing.

use std::net::IpAddr;

use ipnet::IpNet;

use super::engine::Engine;
use crate::config::duration::BanTime;

impl Engine {
    /// How long the next ban of `prefix` by this jail would last; none if there is no such jail.
    #[must_use]
    pub fn next_bantime(&self, _prefix: &IpNet, jail: &str) -> Option<BanTime> {
        self.jails.iter().find(|known| &*known.name == jail).map(|jail| jail.bantime)
    }

    /// The jails that never ban `address` by their own `ignoreip`, and the entry that covers it.
    pub fn excepted_by(&self, address: IpAddr) -> impl Iterator<Item = (&str, &IpNet)> {
        self.jails.iter().filter_map(move |jail| Some((&*jail.name, jail.allow.covering(address)?)))
    }
}
