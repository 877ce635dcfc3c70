//! The daemon's own log: what it says of bans, and where it goes (the journal when systemd started it, standard error otherwise).

use std::os::unix::fs::MetadataExt;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::jail::{Verdict, shown};

/// Sets up the log of this process. To be called once.
pub(super) fn init() {
    let level = EnvFilter::try_from_env("KBAN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(level);
    if stderr_is_the_journal()
        && let Ok(journal) = tracing_journald::layer()
    {
        registry.with(journal).init();
    } else {
        registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_writer(std::io::stderr)
                    .with_ansi(false)
                    .with_target(false),
            )
            .init();
    }
}

/// One line for each ban and its end.
pub(super) fn verdict(verdict: &Verdict) {
    let ban = verdict.ban();
    let address = shown(&ban.prefix);
    match verdict {
        Verdict::Ban(_) if ban.is_observed() => tracing::info!("[{}] Would ban {address}", ban.jail),
        Verdict::Unban(..) if ban.is_observed() => {}
        Verdict::Ban(_) => match ban.until {
            Some(until) => tracing::info!("[{}] Ban {address} until {until:.0}", ban.jail),
            None => tracing::info!("[{}] Ban {address} permanently", ban.jail),
        },
        Verdict::Unban(_, ending) => tracing::info!("[{}] Unban {address} ({ending})", ban.jail),
    }
}

/// systemd.exec(5): `$JOURNAL_STREAM` holds device and inode of the stream that it connected to the journal.
fn stderr_is_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Some((device, inode)) = stream.split_once(':') else { return false };
    let Ok(stderr) = std::fs::metadata("/dev/stderr") else { return false };
    device.parse() == Ok(stderr.dev()) && inode.parse() == Ok(stderr.ino())
}
