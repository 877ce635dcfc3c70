//! The daemon's own log: what it says of bans, and where it goes (the journal when systemd started it, standard error otherwise).

use std::fmt;
use std::os::unix::fs::MetadataExt;

use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::jail::{Verdict, shown};

/// What lines about bans are marked with.
const BANS: &str = "kban::bans";

/// What is told unless `KBAN_LOG` says otherwise. What a fleet's connections go through is told by `fleet` itself.
const USUAL: &str = "info,async_nats=off";

/// Sets up the log of this process. To be called once.
pub(super) fn init() {
    let level = EnvFilter::try_from_env("KBAN_LOG").unwrap_or_else(|_| EnvFilter::new(USUAL));
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
                    .event_format(Line),
            )
            .init();
    }
}

/// One line for each ban and its end, so that what reads fail2ban's log can read this one: logwatch, and fail2ban's own
/// recidive, whose pattern wants `NOTICE` and nothing behind a banned address.
pub(super) fn verdict(verdict: &Verdict) {
    let ban = verdict.ban();
    let address = shown(&ban.prefix);
    match verdict {
        Verdict::Ban(_) if ban.is_observed() => tracing::info!("[{}] Would ban {address}", ban.jail),
        Verdict::Unban(..) if ban.is_observed() => {}
        Verdict::Ban(_) => tracing::info!(target: BANS, "NOTICE [{}] Ban {address}", ban.jail),
        Verdict::Unban(_, ending) => {
            tracing::info!(target: BANS, "NOTICE [{}] Unban {address} ({ending})", ban.jail);
        }
    }
}

/// One line on standard error: the time, the level and the message.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        SystemTime.format_time(&mut to)?;
        // Bans say theirs themselves.
        if event.metadata().target() != BANS {
            write!(to, " {:>5}", event.metadata().level())?;
        }
        to.write_char(' ')?;
        context.field_format().format_fields(to.by_ref(), event)?;
        writeln!(to)
    }
}

/// systemd.exec(5): `$JOURNAL_STREAM` holds device and inode of the stream that it connected to the journal.
fn stderr_is_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Some((device, inode)) = stream.split_once(':') else { return false };
    let Ok(stderr) = std::fs::metadata("/dev/stderr") else { return false };
    device.parse() == Ok(stderr.dev()) && inode.parse() == Ok(stderr.ino())
}
