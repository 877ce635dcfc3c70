//! `banctl status`: what the daemon says of itself, the warnings first.

use jiff::Timestamp;

use super::allowing;
use super::renewal;
use super::run::{Daemon, NOT_COUNTED};
use super::sources;
use crate::config::duration::BanTime;
use crate::config::judgement::Counts;
use crate::control::protocol::{
    AskedStatus, FeedRow, FirewallStatus, ForeignChange, JailStatus, Loading, Status,
};
use crate::feed::FeedStatus;
use crate::jail::engine::Engine;
use crate::jail::feed::FeedTally;
use crate::jail::{FEED, shown};
use crate::words::counted;

/// How everything is at this moment.
pub(super) fn status(daemon: &mut Daemon) -> Status {
    let (pipeline, today) = (&mut daemon.pipeline, &mut daemon.today);
    today.turn(&pipeline.engine, Timestamp::now());
    let dropped = pipeline.effect.firewall.dropped();
    let trouble = pipeline.effect.trouble().or_else(|| dropped.as_ref().err().map(ToString::to_string));
    let sources = sources::rows(&daemon.sources.statuses(), pipeline);
    let statuses = daemon.feeds.statuses();
    let feeds: Vec<(&FeedStatus, FeedTally)> = statuses
        .iter()
        .map(|feed| (feed, pipeline.engine.feed_tally(&feed.name).unwrap_or_default()))
        .collect();
    let jails = pipeline.engine.jails().iter().zip(&daemon.plan.jails).map(|(jail, plan)| JailStatus {
        name: jail.name.to_string(),
        filter: match plan.counts {
            Counts::Reports => "(reports)".to_owned(),
            _ => plan.filter.as_ref().map_or("(bans)", |filter| filter.name()).to_owned(),
        },
        failures: jail.tally.failures,
        ignored: jail.tally.ignored,
        proxied: jail.tally.proxied,
        stale: jail.tally.stale,
        already_banned: jail.tally.already_banned,
        banned_total: jail.tally.bans,
        banned: pipeline.engine.bans().count(&jail.name),
        asked: AskedStatus { times: jail.asked.times, spared: jail.asked.spared, failed: jail.asked.failed },
        tracked: jail.tracked(),
        waiting: jail.waiting(),
        today: today.of(&jail.name, &jail.tally),
    });
    let fleet = daemon.fleet.status();
    let mut warnings: Vec<String> = trouble.iter().cloned().collect();
    warnings.extend(sources::warnings(&sources));
    warnings.extend(jail_warnings(&pipeline.engine));
    if pipeline.beside.unasked() > 0 {
        warnings.push(format!(
            "{} not counted: too many names waited",
            counted(pipeline.beside.unasked(), "failure of a named host was", "failures of named hosts were")
        ));
    }
    if let Some((failures, last)) = pipeline.beside.unresolved() {
        warnings.push(format!(
            "{} against nobody, their hosts' names have no address (the last: {last}): have the service log addresses",
            counted(failures, "failure counts", "failures count")
        ));
    }
    warnings.extend(daemon.lookups.warnings());
    warnings.extend(allowing::warnings(&pipeline.engine));
    warnings.extend(daemon.fleet.warnings(fleet.as_ref()));
    warnings.extend(renewal::warnings(&pipeline.engine));
    let can_count = daemon.plan.firewall.count.then(|| pipeline.effect.firewall.counts());
    warnings.extend(can_count.filter(|can| !can).map(|_| NOT_COUNTED.to_owned()));
    warnings.extend(feeds.iter().flat_map(|(feed, tally)| feed_warnings(feed, tally)));
    if !pipeline.store.is_durable() && !daemon.plan.store.in_memory {
        warnings.push(Status::NOT_DURABLE.into());
    }
    warnings.extend(daemon.plan.warnings.iter().map(ToString::to_string));
    Status {
        version: env!("CARGO_PKG_VERSION").into(),
        started: daemon.started,
        warnings,
        bans: pipeline.engine.bans().len(),
        jails: jails.collect(),
        firewall: FirewallStatus {
            packets: dropped.as_ref().ok().map(|counter| counter.packets),
            bytes: dropped.as_ref().ok().map(|counter| counter.bytes),
            pending: pipeline.effect.pending(),
            owned: pipeline.effect.firewall.is_owned(),
            why_plain: pipeline.effect.why_plain.map(str::to_owned),
            can_renew: Some(pipeline.engine.can_renew()),
            can_count,
            changed_by_others: daemon.guard.intrusions,
            last_change: daemon.guard.last.clone().map(|(at, what)| ForeignChange { at, what }),
            restored: pipeline.effect.drift.restored,
            repaired: pipeline.effect.drift.repaired,
            error: trouble,
        },
        durable: pipeline.store.is_durable(),
        today_since: Some(today.since),
        fleet,
        feeds: feeds.iter().map(|(feed, tally)| feed_row(feed, tally, daemon)).collect(),
        sources,
    }
}

/// Whom the jails do not ban although they would, and why.
fn jail_warnings(engine: &Engine) -> Vec<String> {
    let mut told = Vec::new();
    for jail in engine.jails() {
        let (name, tally, asked) = (&jail.name, &jail.tally, &jail.asked);
        if tally.no_room > 0 {
            told.push(format!(
                "{name}: {} not made, too many are in force: raise [firewall] set_size",
                counted(tally.no_room, "ban was", "bans were")
            ));
        }
        if jail.waiting() > 0 {
            told.push(format!(
                "{name}: {}, more than max_bans_per_minute were made: is it an attack, or \
                 does a service refuse everybody?",
                counted(jail.waiting(), "offender waits for its ban", "offenders wait for their ban")
            ));
        }
        if let Some(why) = &asked.last_failure {
            told.push(format!(
                "{name}: ignorecommand gave no answer {} of {}, and the ban went ahead; the last time: {why}",
                asked.failed,
                counted(asked.times, "time", "times")
            ));
        }
        if tally.ahead > 0 {
            let last = BanTime::For(tally.last_ahead.unsigned_abs());
            told.push(format!(
                "{name}: {} dated in the future, the last by {last}: set the clock, or the time zone, of whoever writes \
                 them; they count as of when they were read",
                counted(tally.ahead, "line is", "lines are")
            ));
        }
        if let Some(proxy) = tally.last_proxy {
            told.push(format!(
                "{name}: {} from proxies, the last from {proxy}: have the service log the real client (nginx: real_ip_header, Apache: mod_remoteip)",
                counted(tally.proxied, "failure comes", "failures come")
            ));
        }
    }
    told
}

fn feed_row(feed: &FeedStatus, tally: &FeedTally, daemon: &Daemon) -> FeedRow {
    let notes = &feed.notes;
    let loading = daemon.swaps.progress(&feed.name);
    FeedRow {
        name: feed.name.to_string(),
        source: feed.source.clone(),
        entries: feed.entries,
        banned: daemon.pipeline.engine.bans().count(&format!("{FEED}{}", feed.name)),
        loading: loading.map(|(settled, of)| Loading { settled, of }),
        skipped: tally.spared + tally.no_room + notes.unreadable + notes.no_hosts,
        spared: tally.spared,
        no_room: tally.no_room,
        unreadable: notes.unreadable,
        no_hosts: notes.no_hosts,
        rounded: notes.rounded,
        read: feed.read,
        next: feed.next,
        error: feed.error.clone(),
    }
}

/// What is wrong with a feed, and whom it does not ban although they are listed.
fn feed_warnings(feed: &FeedStatus, tally: &FeedTally) -> Vec<String> {
    let mut told = Vec::new();
    told.extend(feed.error.clone());
    told.extend(feed.unkept.clone());
    if let Some(first) = &tally.first_spared {
        told.push(format!(
            "{} not banned ({} first): an allowed address or one of this machine is in them",
            counted(tally.spared, "entry is", "entries are"),
            shown(first)
        ));
    }
    if tally.no_room > 0 {
        told.push(format!(
            "{} not banned: raise [firewall] set_size, of which feeds may fill one half",
            counted(tally.no_room, "entry is", "entries are")
        ));
    }
    if let Some((line, text)) = &feed.notes.first_unreadable {
        told.push(format!(
            "{} cannot be read, the first is line {line} (`{text}`)",
            counted(feed.notes.unreadable, "line", "lines")
        ));
    }
    told.into_iter().map(|what| format!("{FEED}{}: {what}", feed.name)).collect()
}
