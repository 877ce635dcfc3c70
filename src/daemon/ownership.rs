//! Whose the table is: decided when kband starts or reloads, and handed to the service manager for the time
//! between one kband and the next.
//!
//! systemd keeps the socket that owns the table (`FileDescriptorStoreMax=` in the unit, `sd_notify(3)`), so that a
//! restart or an upgrade neither opens a gap nor lets anybody else have it. Without one, the kernel keeps the table
//! with all its bans, and the next kband claims it.

use std::os::fd::RawFd;

use sd_notify::NotifyState;

use super::manager;
use crate::config::choices::Ownership;
use crate::firewall::{Firewall, FirewallError, Options, nft_reads_owned_tables};

/// Opens the firewall: with the socket that was `kept`, if there is one.
pub(super) fn open(kept: Option<RawFd>, options: Options) -> Result<Firewall, FirewallError> {
    if let Some(descriptor) = kept {
        match Firewall::inherit(descriptor, options.clone()) {
            Ok(firewall) => return Ok(firewall),
            Err(error) => tracing::warn!("what the service manager has kept is of no use: {error}"),
        }
    }
    Firewall::open(options)
}

/// Decides whether the table is to be owned, and says why if not. Setting up makes it so.
pub(super) fn decide(
    firewall: &mut Firewall,
    wanted: Ownership,
) -> Result<Option<&'static str>, FirewallError> {
    // The kernel is not bothered about what is not wanted.
    let kernel = wanted != Ownership::Plain && firewall.can_own()?;
    let why_not = wanted.why_plain(kernel, nft_reads_owned_tables());
    match why_not {
        None => tracing::info!("table inet kban is owned by kband: nobody else can change it"),
        Some(why) => tracing::info!(
            "table inet kban is not owned by kband ({why}): what others change in it is noticed and put right"
        ),
    }
    if wanted == Ownership::Owned && why_not.is_some() {
        tracing::warn!("[firewall] ownership = \"owned\" cannot be had: {}", why_not.unwrap_or_default());
    }
    firewall.set_owned(why_not.is_none());
    Ok(why_not)
}

/// Gives the socket that owns the table to the service manager, if there is one; or takes it back.
pub(super) fn hand_over(firewall: &Firewall) {
    let handed = if firewall.is_owned() {
        // A netlink socket is never at its end, so there is nothing to poll it for.
        let store =
            [NotifyState::FdStore, NotifyState::FdName(manager::TABLE), NotifyState::Custom("FDPOLL=0")];
        sd_notify::notify_with_fds(&store, &[firewall.descriptor()])
    } else {
        sd_notify::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(manager::TABLE)])
    };
    if let Err(error) = handed {
        tracing::warn!(
            "the service manager does not take the table's socket ({error}): a restart leaves it unowned"
        );
    }
}
