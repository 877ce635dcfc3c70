//! Allowing somebody at run time, and telling who is.

use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use super::answer::short_enough;
use super::lookups::Found;
use super::pipeline::Pipeline;
use super::run::Daemon;
use crate::config::duration::BanTime;
use crate::config::network::{folded, too_wide};
use crate::control::allowed::AllowRow;
use crate::control::events::{Events, What};
use crate::control::protocol::{Answer, Kind, Refused};
use crate::jail::allowance::{NotAllowed, NotDeleted};
use crate::jail::engine::Engine;
use crate::jail::lift::Lift;
use crate::jail::shown;
use crate::jail::spared::{Allowance, Origin};

/// What an administrator wants.
pub(super) struct Wanted {
    pub(super) prefix: IpNet,
    pub(super) time: Option<BanTime>,
    pub(super) reason: String,
    pub(super) force: bool,
}

/// Allows somebody: the kernel lets them pass when this returns, and the bans that are returned are to be lifted.
pub(super) fn add(
    daemon: &mut Daemon,
    wanted: Wanted,
    who: &Arc<str>,
    now: Timestamp,
) -> Result<Lift, Refused> {
    short_enough(&wanted.reason)?;
    let until = match wanted.time {
        Some(BanTime::For(length)) => Some(now.saturating_add(length).unwrap_or(Timestamp::MAX)),
        Some(BanTime::Permanent) | None => None,
    };
    let prefix = folded(wanted.prefix.trunc());
    let allowance =
        Allowance { prefix, since: now, until, reason: Arc::from(wanted.reason), who: Some(Arc::clone(who)) };
    let Pipeline { engine, effect, store, events, .. } = &mut daemon.pipeline;
    let (lift, before) = engine.allow(allowance.clone(), wanted.force).map_err(|error| match error {
        NotAllowed::TooWide { .. } => Refused::new(Kind::Usage, error),
        NotAllowed::NoRoom => Refused::new(Kind::No, error),
    })?;
    if let Err(error) = effect.allow(engine, now) {
        engine.undo_allow(&prefix, before);
        return Err(Refused::new(Kind::Kernel, error));
    }
    tracing::info!(
        "Allow {}{} ({who})",
        shown(&prefix),
        until.map_or_else(String::new, |until| format!(" until {until:.0}"))
    );
    let (address, reason) = (shown(&prefix), allowance.reason.to_string());
    events.tell(now, || What::Allow { address, until, reason, who: Some(who.to_string()) });
    store.note_allowed(&allowance);
    store.commit();
    Ok(lift)
}

/// Takes back an entry at run time.
pub(super) fn delete(
    daemon: &mut Daemon,
    prefix: &IpNet,
    who: &Arc<str>,
    now: Timestamp,
) -> Result<Answer, Refused> {
    let prefix = folded(prefix.trunc());
    let Pipeline { engine, effect, store, events, .. } = &mut daemon.pipeline;
    let taken = engine.disallow(&prefix).map_err(|error: NotDeleted| Refused::new(Kind::No, error))?;
    if let Err(error) = effect.allow(engine, now) {
        engine.undo_allow(&prefix, Some(taken));
        return Err(Refused::new(Kind::Kernel, error));
    }
    tell_end(events, &prefix, Some(who), now);
    store.note_disallowed(&taken, Some(who), now);
    store.commit();
    Ok(Answer::Disallowed)
}

/// A name or a file has come to other addresses: they are allowed, and what bans them is lifted.
pub(super) fn take_found(daemon: &mut Daemon, found: Found, now: Timestamp) {
    let Found { lookup, prefixes } = found;
    if let Some(lift) = daemon.pipeline.engine.take_found(&lookup, prefixes) {
        daemon.allow();
        daemon.lifts.begin(lift, None, &mut daemon.pipeline, now);
    }
}

/// Ends entries whose time is over; whether there were any.
pub(super) fn expire(pipeline: &mut Pipeline, now: Timestamp) -> bool {
    let over = pipeline.engine.expire_allowed(now);
    for entry in &over {
        tell_end(&pipeline.events, &entry.prefix, None, now);
        pipeline.store.note_disallowed(entry, None, now);
    }
    pipeline.store.commit();
    !over.is_empty()
}

fn tell_end(events: &Events, prefix: &IpNet, who: Option<&Arc<str>>, now: Timestamp) {
    let address = shown(prefix);
    let why = if who.is_some() { "by hand" } else { "expired" };
    let by = who.map_or_else(String::new, |who| format!(", {who}"));
    tracing::info!("{address} is not allowed any more ({why}{by})");
    let who = who.map(ToString::to_string);
    events.tell(now, || What::Disallow { address, why: why.to_owned(), who });
}

/// What was allowed by force and is forgotten easily: nobody in it is banned, and a restart does not change that.
pub(super) fn warnings(engine: &Engine) -> impl Iterator<Item = String> {
    let wide = engine.spared().by_hand().filter(|entry| too_wide(&entry.prefix).is_some());
    wide.map(|Allowance { prefix, until, .. }| {
        let end = until.map_or_else(|| "for good".to_owned(), |until| format!("until {until:.0}"));
        format!(
            "{prefix} is a large part of the Internet, and nobody in it is banned {end}: `banctl allow del {prefix}` takes it back"
        )
    })
}

/// Who is never banned: first who was allowed at run time.
pub(super) fn list(engine: &Engine, within: Option<IpNet>, now: Timestamp) -> Answer {
    let wanted =
        |prefix: &IpNet| within.is_none_or(|within| within.contains(prefix) || prefix.contains(&within));
    let spared = engine.spared();
    let by_hand =
        spared.by_hand().filter(|entry| wanted(&entry.prefix)).map(|entry| AllowRow::by_hand(entry, now));
    let configured = spared.configured().filter(|(prefix, _)| wanted(prefix));
    let configured = configured.map(|(prefix, origin)| AllowRow::configured(&prefix, origin, None));
    let jails = engine.jails().iter().flat_map(|jail| {
        let own = spared.entries(jail.ignoreip()).filter(|(prefix, _)| wanted(prefix));
        own.map(|(prefix, origin)| AllowRow::configured(&prefix, origin, Some(&jail.name)))
    });
    let mut allowed: Vec<AllowRow> = by_hand.chain(configured).chain(jails).collect();
    if within.is_none() {
        let jails = engine.jails().iter().map(|jail| (jail.ignoreip(), Some(&*jail.name)));
        for (ignored, jail) in [(spared.ignoreip(), None)].into_iter().chain(jails) {
            let unknown = ignored.lookups.iter().filter(|lookup| spared.is_unknown(lookup));
            allowed.extend(unknown.map(|lookup| AllowRow::unknown(Origin::Lookup(lookup.clone()), jail)));
        }
    }
    Answer::Spared { allowed }
}
