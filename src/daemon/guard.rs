//! The guard at the table: what others do to it is heard, told and put right at once.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::io::unix::AsyncFd;

use super::effect::Effect;
use crate::firewall::{Deed, FirewallError, Intrusion, Monitor, Target};
use crate::jail::engine::Engine;
use crate::words::counted;

/// So many repairs without a pause are made at once; then somebody fights, and they become rarer.
const AT_ONCE: u32 = 5;
/// The first wait of a fight, doubled with each repair.
const WAIT: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A fight is over when nothing was to be repaired for so long.
const PEACE: Duration = Duration::from_secs(10);
/// So many bans are restored without listening.
const MANY: usize = 10_000;
/// How long to wait after the kernel has refused a repair.
const RETRY: Duration = Duration::from_secs(2);

/// Hears what others do to the table.
pub(super) struct Guard {
    monitor: Monitor,
    readiness: AsyncFd<OwnedFd>,
    pace: Pace,
    /// It does not listen while very many bans are written.
    deaf: bool,
    /// The table could not be put right and is not whole.
    broken: bool,
    /// How many times others have changed the table.
    pub(super) intrusions: u64,
    /// The last such change: when it was heard, and who did what.
    pub(super) last: Option<(Timestamp, String)>,
}

impl Guard {
    /// Begins to listen; whatever is done from here on by another port than `own` is an intrusion.
    pub(super) fn new(own: u32) -> Result<Self, FirewallError> {
        let mut monitor = Monitor::open()?;
        monitor.ignore(own)?;
        let readiness = monitor.readiness()?;
        let pace = Pace::default();
        Ok(Self { monitor, readiness, pace, deaf: false, broken: false, intrusions: 0, last: None })
    }

    /// Waits until there may be something to repair. To be dropped and called again at any time.
    pub(super) async fn heard(&mut self) {
        if let Some(wait) = self.pace.not_before {
            tokio::time::sleep_until(wait.into()).await;
        }
        if self.broken {
            return;
        }
        match self.readiness.readable().await {
            // Everything is read after this, so the next readiness is a new one.
            Ok(mut ready) => ready.clear_ready(),
            // The runtime ends.
            Err(_) => std::future::pending().await,
        }
    }

    /// Stops listening while very many bans are written, since that doubles what they cost; what others did meanwhile is
    /// looked for afterwards.
    pub(super) fn listen_unless(
        &mut self,
        many: bool,
        effect: &mut Effect,
        engine: &Engine,
        now: Timestamp,
    ) -> Result<(), FirewallError> {
        if many == self.deaf {
            return Ok(());
        }
        self.deaf = many;
        if many {
            effect.firewall.others_committed()?;
            return self.monitor.pause();
        }
        self.monitor.resume()?;
        effect.look_for_drift(engine, now)
    }

    /// Puts right what others have done; says who it was, and how many bans were put back.
    pub(super) fn repair(
        &mut self,
        effect: &mut Effect,
        engine: &Engine,
        now: Timestamp,
    ) -> Option<(String, usize)> {
        let begin = Instant::now();
        let heard = self.monitor.heard().unwrap_or_else(|error| {
            tracing::error!("{error}");
            vec![Intrusion { by: None, deed: Deed::Unknown }]
        });
        self.intrusions += u64::try_from(heard.len()).unwrap_or(0);
        let broken = std::mem::take(&mut self.broken);
        let Some(worst) = heard.iter().max_by_key(|intrusion| gravity(&intrusion.deed)) else {
            if broken {
                self.rebuild(effect, engine, now);
            }
            return None;
        };
        let others = match heard.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more changes)"),
        };
        let by = worst.by.as_ref().map_or_else(|| "somebody".to_owned(), ToString::to_string);
        let targets: Vec<_> = heard.iter().flat_map(|intrusion| bans(&intrusion.deed)).collect();
        let single_bans = !broken && matches!(worst.deed, Deed::Bans(_));
        let what = match &worst.deed {
            Deed::Removed => format!("{by} removed table inet kban"),
            Deed::Unknown => "too much was changed in the firewall at once to follow it".to_owned(),
            Deed::Bans(_) if single_bans => {
                let bans = if targets.len() == 1 { "ban" } else { "bans" };
                format!("{by} changed {} {bans} in table inet kban", targets.len())
            }
            Deed::Parts | Deed::Bans(_) => format!("{by} changed table inet kban"),
        };
        let what = format!("{what}{others}");
        let restored = if single_bans {
            let changed = targets.len();
            effect.put_right(targets, engine, now);
            Some(changed)
        } else {
            self.rebuild(effect, engine, now)
        };
        let took = begin.elapsed().as_millis();
        let outcome = match restored {
            Some(_) if single_bans => format!(": put right in {took} ms"),
            Some(bans) => format!(": {} restored in {took} ms", counted(bans, "ban", "bans")),
            None => String::new(),
        };
        tracing::warn!("{what}{outcome}");
        self.last = Some((now, what));
        if self.pace.repaired(Instant::now()) {
            tracing::warn!(
                "{by} changes table inet kban again and again: it is restored less often from now on, at the latest \
                 every {} s; stop that program from doing it",
                LONGEST_WAIT.as_secs()
            );
        }
        restored.map(|bans| (by, bans))
    }

    /// Makes a large table anew, which is twice as fast while nobody listens.
    fn rebuild_unheard(
        &mut self,
        effect: &mut Effect,
        engine: &Engine,
        now: Timestamp,
    ) -> Result<usize, FirewallError> {
        self.monitor.pause()?;
        effect.firewall.others_committed()?;
        let made = effect.make_anew(engine, now);
        self.monitor.resume()?;
        // What others did meanwhile was not heard.
        effect.look_for_drift(engine, now)?;
        made
    }

    /// Makes the table anew; says with how many bans, or that this is to be tried again.
    fn rebuild(&mut self, effect: &mut Effect, engine: &Engine, now: Timestamp) -> Option<usize> {
        let made = if engine.bans().len() < MANY {
            effect.make_anew(engine, now)
        } else {
            self.rebuild_unheard(effect, engine, now)
        };
        match made {
            Ok(bans) => Some(bans),
            Err(error) => {
                tracing::error!("{error}");
                self.broken = true;
                self.pace.not_before = Some(Instant::now() + RETRY);
                None
            }
        }
    }
}

/// What others did, by how much of the table it may have taken.
fn gravity(deed: &Deed) -> u8 {
    match deed {
        Deed::Bans(_) => 0,
        Deed::Parts => 1,
        Deed::Unknown => 2,
        Deed::Removed => 3,
    }
}

fn bans(deed: &Deed) -> impl Iterator<Item = Target> {
    let bans = match deed {
        Deed::Bans(bans) => Some(bans.iter().copied()),
        _ => None,
    };
    bans.into_iter().flatten()
}

/// How soon the next repair may be made.
#[derive(Debug, Default)]
struct Pace {
    /// Repairs since there was peace.
    repairs: u32,
    not_before: Option<Instant>,
    /// The last repair.
    last: Option<Instant>,
}

impl Pace {
    /// A repair was made at `now`; says whether a fight has begun with it.
    fn repaired(&mut self, now: Instant) -> bool {
        let allowed = self.not_before.max(self.last);
        let peace = allowed.is_none_or(|allowed| now.saturating_duration_since(allowed) > PEACE);
        self.repairs = if peace { 1 } else { self.repairs.saturating_add(1) };
        self.last = Some(now);
        let wait = match self.repairs.checked_sub(AT_ONCE) {
            None => Duration::ZERO,
            Some(doublings) => WAIT.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_WAIT),
        };
        self.not_before = self.not_before.max(Some(now + wait));
        self.repairs == AT_ONCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repairs_of_a_fight_become_rare_and_peace_ends_it() {
        let mut pace = Pace::default();
        let begin = Instant::now();
        let mut now = begin;
        let (mut fights, mut repairs) = (0, 0);
        while now < begin + Duration::from_secs(600) {
            fights += u32::from(pace.repaired(now));
            repairs += 1;
            now = pace.not_before.unwrap() + Duration::from_millis(1);
        }
        assert_eq!(fights, 1, "said once");
        assert!((25..40).contains(&repairs), "{repairs} in ten minutes");
        now += PEACE + Duration::from_secs(1);
        assert!(!pace.repaired(now));
        assert!(pace.not_before.unwrap() <= now, "the next one is made at once");
    }
}
