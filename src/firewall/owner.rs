//! Who owns the table: our socket where the kernel can keep it for us, and nobody elsewhere.
//!
//! An owned table (`NFT_TABLE_F_OWNER`, since Linux 5.12) can be changed and removed by nobody but the socket that
//! owns it; `nft flush ruleset` passes it by. With `NFT_TABLE_F_PERSIST` (since 6.9) it outlives that socket, with
//! everything in it, and whoever comes next can claim it. Without, a crash would lose every ban: owner alone is
//! never used. What the kernel can do is found out by trying, never by its version.

use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::netlink::NetlinkError;
use super::netlink::constants::{NFT_TABLE_F_OWNER, NFT_TABLE_F_PERSIST};
use super::netlink::socket::Socket;
use super::ruleset::Table;
use super::{Attempt, Firewall, FirewallError, Options, ruleset};

/// The table whose making is tried, and undone in the same transaction.
pub(super) const TRIAL: &str = "kban_trial";
/// Where distributions have nft's library, and nft itself where that is not shared.
const LIBRARY: &str = "libnftables.so.1";
const LIBRARY_DIRECTORIES: [&str; 6] =
    ["/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib", "/usr/local/lib64"];
const PROGRAMS: [&str; 3] = ["/usr/sbin/nft", "/sbin/nft", "/usr/local/sbin/nft"];
/// The word for `NFT_TABLE_F_PERSIST` in nft's table of flags.
const PERSIST: &[u8] = b"\0persist\0";
/// No such library is longer (that of nft 1.1.3 has 1 MB).
const LONGEST: u64 = 32 << 20;

/// Whose the table is, by the kernel's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Belonging {
    /// It outlives the socket that owns it (`NFT_TABLE_F_PERSIST`).
    pub persists: bool,
    /// The netlink port of the socket that owns it; `None` if nobody does, at present or ever.
    pub owner: Option<u32>,
}

impl Firewall {
    /// As [`Firewall::open`], on with the socket of an earlier kband that a service manager has kept: what that
    /// owns is ours without a gap. `descriptor` is given away.
    ///
    /// # Errors
    /// If it is no socket to the kernel's netfilter.
    pub fn inherit(descriptor: RawFd, options: Options) -> Result<Self, FirewallError> {
        let socket =
            Socket::inherited(descriptor).map_err(|reason| FirewallError::of(Attempt::Open, reason))?;
        Ok(Self { socket, options, owned: false, known: None, table: None, guessed_wrong: None })
    }

    /// Whether the kernel can keep a table that we own when we are gone.
    ///
    /// # Errors
    /// Anything but a kernel that cannot.
    pub fn can_own(&mut self) -> Result<bool, FirewallError> {
        let tried = self.socket.batch(None).and_then(|mut batch| {
            ruleset::add_named_table(&mut batch, TRIAL, NFT_TABLE_F_OWNER | NFT_TABLE_F_PERSIST)?;
            ruleset::delete_named_table(&mut batch, TRIAL)?;
            self.socket.commit(batch)
        });
        match tried {
            Ok(()) => Ok(true),
            Err(NetlinkError::Refused { errno: Errno::EOPNOTSUPP | Errno::EINVAL, .. }) => Ok(false),
            Err(reason) => Err(FirewallError::of(Attempt::SetUp, reason)),
        }
    }

    /// Whether the table is to be ours alone; [`Firewall::set_up`] makes it so. See [`Firewall::can_own`].
    pub fn set_owned(&mut self, owned: bool) {
        self.owned = owned;
    }

    /// Whether the table is to be ours alone.
    pub fn is_owned(&self) -> bool {
        self.owned
    }

    /// What the table is to be from now on; [`Firewall::set_up`] makes it so.
    pub fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// Whose the table that is there is; `None` if there is no table.
    ///
    /// # Errors
    /// Any but a missing table.
    pub fn belonging(&mut self) -> Result<Option<Belonging>, FirewallError> {
        let head = ruleset::read_head(&mut self.socket);
        let head = head.map_err(|reason| FirewallError::of(Attempt::Read, reason))?;
        Ok(head.map(|(flags, owner)| Belonging { persists: flags & NFT_TABLE_F_PERSIST != 0, owner }))
    }

    /// The socket that owns the table, to be kept by somebody else as well.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The netlink port by which the kernel knows our changes.
    pub fn port(&self) -> u32 {
        self.socket.port()
    }

    /// Whether anybody but us has committed a change to any table since this was last asked; `true` the first time.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn others_committed(&mut self) -> Result<bool, FirewallError> {
        let generation = ruleset::generation(&mut self.socket);
        let generation = generation.map_err(|reason| FirewallError::of(Attempt::Read, reason))?;
        let commits = self.socket.commits();
        let expected = self.known.map(|(known, before)| known.wrapping_add(commits.wrapping_sub(before)));
        self.known = generation.map(|generation| (generation, commits));
        Ok(generation.is_none() || generation != expected)
    }

    /// The flags that the table is to have.
    pub(super) fn table_flags(&self) -> u32 {
        if self.owned { NFT_TABLE_F_OWNER | NFT_TABLE_F_PERSIST } else { 0 }
    }

    /// Whether the table that is there can become owned, or not owned, as it is to be, without being made anew.
    pub(super) fn fits_ownership(&self, table: &Table) -> bool {
        let persists = table.flags & NFT_TABLE_F_PERSIST != 0;
        let is_owned = table.flags & NFT_TABLE_F_OWNER != 0;
        // The kernel lets an orphan be claimed, and nothing else.
        persists == self.owned && (self.owned || !is_owned)
    }

    /// An error if the table is somebody else's.
    pub(super) fn check_owner(&self, attempt: Attempt, table: &Table) -> Result<(), FirewallError> {
        match table.owner {
            Some(port) if port != self.socket.port() => Err(FirewallError::Owned { attempt, port }),
            _ => Ok(()),
        }
    }

    /// If a privilege seems to be missing only because the table is somebody else's, says so.
    pub(super) fn name_owner(&mut self, error: FirewallError) -> FirewallError {
        match error {
            FirewallError::Permission { attempt } => match ruleset::read_head(&mut self.socket) {
                Ok(Some((_, Some(port)))) if port != self.socket.port() => {
                    FirewallError::Owned { attempt, port }
                }
                _ => error,
            },
            error => error,
        }
    }
}

/// Whether what this machine's `nft list ruleset` prints of an owned table could be loaded again.
///
/// nft before 1.1 does not know the flag: it prints `flags` without a word behind it, which it then refuses, and
/// some versions crash. The words that nft knows are in its library, so that is read, and no program is started.
/// Without any nft there is nobody who could print it.
pub fn nft_reads_owned_tables() -> bool {
    reads_owned_tables(&installed())
}

fn reads_owned_tables(found: &[PathBuf]) -> bool {
    found.iter().all(|path| knows(path, PERSIST))
}

/// nft's library, wherever it is; nft itself if there is none.
fn installed() -> Vec<PathBuf> {
    let libraries: Vec<PathBuf> = LIBRARY_DIRECTORIES
        .into_iter()
        .map(PathBuf::from)
        .flat_map(|directory| {
            // Debian and its kin have one directory for each architecture.
            let below =
                std::fs::read_dir(&directory).into_iter().flatten().flatten().map(|entry| entry.path());
            let below: Vec<PathBuf> = below.filter(|path| is_multiarch(path)).collect();
            std::iter::once(directory).chain(below)
        })
        .map(|directory| directory.join(LIBRARY))
        .filter(|path| path.exists())
        .collect();
    if !libraries.is_empty() {
        return libraries;
    }
    PROGRAMS.into_iter().map(PathBuf::from).filter(|path| path.exists()).collect()
}

fn is_multiarch(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains("-linux-")) && path.is_dir()
}

fn knows(path: &Path, word: &[u8]) -> bool {
    let short = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() <= LONGEST);
    short && std::fs::read(path).is_ok_and(|bytes| memchr::memmem::find(&bytes, word).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_nft_is_judged_by_the_words_it_knows() {
        let directory = tempfile::tempdir().unwrap();
        let library = |name: &str, bytes: &[u8]| {
            let path = directory.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let old = library("old", b"\0dormant\0owner\0persistent\0");
        let new = library("new", b"\0dormant\0owner\0persist\0");
        assert!(reads_owned_tables(&[]), "nobody prints anything");
        assert!(!reads_owned_tables(std::slice::from_ref(&old)));
        assert!(reads_owned_tables(std::slice::from_ref(&new)));
        assert!(!reads_owned_tables(&[old, new]), "either may be used");
    }

    #[test]
    fn the_nft_of_this_machine_is_found() {
        assert!(!installed().is_empty(), "the tests need nft");
    }
}
