//! Host names in logs, looked up where `--usedns` says so.

use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs};

use serde::Serialize;

/// More names are not looked up: each may take as long as the resolver likes.
const MOST: usize = 64;

/// The names that were looked up.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, Vec<IpAddr>>);

/// A name and what it stands for.
#[derive(Debug, Serialize)]
pub(super) struct Name {
    pub(super) name: String,
    /// None, if it does not exist or was one too many.
    pub(super) addresses: Vec<IpAddr>,
}

impl Names {
    /// The addresses of a name, by the system's resolver.
    pub(super) fn look_up(&mut self, name: &str) -> Vec<IpAddr> {
        if let Some(known) = self.0.get(name) {
            return known.clone();
        }
        if self.0.len() >= MOST {
            return Vec::new();
        }
        let found = (name, 0).to_socket_addrs().map(|all| all.map(|one| one.ip().to_canonical()).collect());
        let mut addresses: Vec<IpAddr> = found.unwrap_or_default();
        addresses.sort_unstable();
        addresses.dedup();
        self.0.insert(name.to_owned(), addresses.clone());
        addresses
    }

    pub(super) fn list(self) -> Vec<Name> {
        self.0.into_iter().map(|(name, addresses)| Name { name, addresses }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_a_few_names_are_looked_up() {
        let mut names = Names::default();
        let local = names.look_up("localhost");
        assert!(!local.is_empty() && local.iter().all(IpAddr::is_loopback), "{local:?}");
        // Addresses are names that need no server.
        (0..MOST).for_each(|n| drop(names.look_up(&format!("192.0.2.{n}"))));
        assert_eq!(names.look_up("192.0.2.200"), [] as [IpAddr; 0]);
        assert_eq!(names.look_up("localhost"), local);
        assert_eq!(names.list().len(), MOST);
    }
}
