//! What the daemon answers to one request.

use std::net::IpAddr;
use std::sync::Arc;

use super::allowing;
use super::intent;
use super::lifts::Asker;
use super::pipeline::{NotBanned, Pipeline};
use super::renewal;
use super::run::Daemon;
use super::sources;
use super::why;
use crate::config::network::folded;
use crate::control::moved::Moved;
use crate::control::protocol::{
    Answer, AskedStatus, BanRow, Cursor, FeedRow, FirewallStatus, ForeignChange, JailStatus, Kind,
    LONGEST_REASON, PAGE, Refused, Request, Status, Unloaded,
};
use crate::control::recall::{self, Why};
use crate::control::server::Call;
use crate::feed::FeedStatus;
use crate::firewall::FirewallError;
use crate::jail::bans::{Bans, Key};
use crate::jail::by_hand::{ByHand, Refusal};
use crate::jail::feed::FeedTally;
use crate::jail::lift::Lift;
use crate::jail::{ADOPTED, Ban, FEED, MANUAL, shown};
use ipnet::IpNet;
use jiff::Timestamp;
use tokio::sync::oneshot;

/// Answers one request; what takes long is answered when it is done.
pub(super) fn answer(daemon: &mut Daemon, call: Call, now: Timestamp) {
    let Call { request, who, reply } = call;
    let who = who.shown(daemon.plan.store.keep_users);
    let answered = match request {
        Request::Status => Ok(status(daemon)),
        Request::List { jail, within, after } => {
            let after = after.map(|row| (row.prefix, Arc::from(row.jail)));
            known_jail(daemon, jail.as_deref())
                .and_then(|()| list(daemon, jail.as_deref(), within, after.as_ref(), now))
        }
        Request::Ban { prefix, jail, bantime, reason, force, caller } => {
            let reason = reason.unwrap_or_default();
            let wanted = ByHand { prefix, jail: jail.as_deref(), bantime, reason: &reason };
            let doubt = daemon.pipeline.engine.doubt(&wanted, caller, now).filter(|_| !force);
            let sure = doubt.map_or(Ok(()), |doubt| Err(Refused::new(Kind::Allowed, doubt)));
            known_jail(daemon, wanted.jail).and(sure).and_then(|()| ban(daemon, &wanted, &who, now))
        }
        Request::Unban { within, jail } => match known_jail(daemon, jail.as_deref()) {
            Ok(()) => return lift(daemon, Lift::by_hand(jail.as_deref(), within), Asker { who, reply }, now),
            Err(refused) => Err(refused),
        },
        Request::Allow { prefix, time, reason, force } => {
            let wanted = allowing::Wanted { prefix, time, reason: reason.unwrap_or_default(), force };
            match allowing::add(daemon, wanted, now) {
                Ok(lift) => {
                    return daemon.lifts.begin(lift, Some(Asker { who, reply }), &mut daemon.pipeline, now);
                }
                Err(refused) => Err(refused),
            }
        }
        Request::Disallow { prefix } => allowing::delete(daemon, &prefix, now),
        Request::Allowed { within } => Ok(allowing::list(&daemon.pipeline.engine, within, now)),
        Request::Why { address } => return tell_why(daemon, address, reply, now),
        past @ (Request::History { .. } | Request::Stats { .. }) => {
            return tell_past(daemon, past, reply);
        }
        Request::Load { bans } => Ok(load(daemon, &bans, &who, now)),
        Request::Reload => reload(daemon),
        // The server does that by itself.
        Request::Watch => Ok(Answer::Watching),
        Request::Flush => return lift(daemon, Lift::by_hand(None, None), Asker { who, reply }, now),
    };
    // A client that has gone away does not want its answer.
    let _ = reply.send(answered.unwrap_or_else(Answer::Refused));
}

fn ban(daemon: &mut Daemon, wanted: &ByHand<'_>, who: &Arc<str>, now: Timestamp) -> Result<Answer, Refused> {
    short_enough(wanted.reason)?;
    if wanted.jail.is_some_and(|jail| jail.starts_with(FEED)) {
        let message = "whom a feed bans is what its list says: leave --jail out, or name another jail";
        return Err(Refused::new(Kind::Usage, message));
    }
    let banned = daemon.pipeline.ban_by_hand(wanted, who, now);
    let ban = banned.map_err(|error| match error {
        NotBanned::Refused(refusal @ Refusal::NoRoom(_)) => Refused::new(Kind::Kernel, refusal),
        NotBanned::Refused(refusal) => Refused::new(Kind::Allowed, refusal),
        NotBanned::Kernel(error) => Refused::new(Kind::Kernel, error),
    })?;
    Ok(Answer::Banned(BanRow::new(&ban, now, true)))
}

/// Reasons are kept and shown for as long as what they are for.
pub(super) fn short_enough(reason: &str) -> Result<(), Refused> {
    if reason.len() > LONGEST_REASON {
        let message = format!("the reason is too long: at most {LONGEST_REASON} bytes");
        return Err(Refused::new(Kind::Usage, message));
    }
    Ok(())
}

fn lift(daemon: &mut Daemon, lift: Lift, asker: Asker, now: Timestamp) {
    if lift.means_all()
        && let Err(error) = daemon.pipeline.empty(now)
    {
        let _ = asker.reply.send(Answer::Refused(Refused::new(Kind::Kernel, error)));
        return;
    }
    daemon.lifts.begin(lift, Some(asker), &mut daemon.pipeline, now);
}

fn tell_why(daemon: &mut Daemon, address: IpNet, reply: oneshot::Sender<Answer>, now: Timestamp) {
    let why = why::why(&mut daemon.pipeline, address, now);
    let tell = |why: Why| Answer::Why(Box::new(why));
    match daemon.pipeline.store.archive() {
        Some(archive) => {
            daemon.recall.ask(archive, reply, move |archive| tell(why.with_history(archive, address)));
        }
        None => {
            // A client that has gone away does not want its answer.
            let _ = reply.send(tell(why));
        }
    }
}

/// Has a question about the past answered.
fn tell_past(daemon: &mut Daemon, question: Request, reply: oneshot::Sender<Answer>) {
    let none = || Answer::Refused(Refused::new(Kind::No, "kband has no history: see its log"));
    match daemon.pipeline.store.archive() {
        Some(archive) => daemon
            .recall
            .ask(archive, reply, move |archive| recall::answer(archive, &question).unwrap_or_else(none)),
        None => {
            // As above.
            let _ = reply.send(none());
        }
    }
}

/// What has come of a lift by hand.
pub(super) fn lifted(bans: &Bans, lift: &Lift, refused: Option<FirewallError>) -> Answer {
    match (refused, lift.within()) {
        (Some(error), _) => {
            let message = format!("{error}; it is lifted as soon as the kernel takes it");
            Answer::Refused(Refused::new(Kind::Kernel, message))
        }
        (None, Some(within)) if lift.lifted() == 0 && lift.is_by_hand() => {
            Answer::Refused(Refused::new(Kind::No, not_banned(bans, &within, lift.jail())))
        }
        (None, _) => Answer::Lifted { bans: lift.lifted() },
    }
}

/// Why nothing within `within` was lifted.
fn not_banned(bans: &Bans, within: &IpNet, jail: Option<&str>) -> String {
    let address = shown(within);
    if let (Some(jail), Some(other)) = (jail, bans.of(within).first()) {
        return format!("{address} is not banned by {jail}, but by {}", other.jail);
    }
    match bans.prefixes().find(|prefix| prefix != within && prefix.contains(within)) {
        Some(wider) => format!("{address} is banned as part of {wider}: lift that"),
        None => format!("{address} is not banned"),
    }
}

fn load(daemon: &mut Daemon, bans: &[Moved], who: &Arc<str>, now: Timestamp) -> Answer {
    let engine = &mut daemon.pipeline.engine;
    let (mut verdicts, mut refused, mut known, mut other_jail) = (Vec::new(), Vec::new(), 0, 0);
    for moved in bans {
        let address = moved.address.parse::<IpAddr>().map(IpNet::from);
        let Ok(prefix) = address.or_else(|_| moved.address.parse::<IpNet>()) else {
            let why = "it is neither an address nor a prefix".to_owned();
            refused.push(Unloaded { address: moved.address.clone(), why });
            continue;
        };
        // Whatever is replaced may have closed other ports.
        daemon.pipeline.effect.doubt(intent::targets_of(engine, &folded(prefix.trunc())));
        let is_here = engine.knows(&moved.jail) && !moved.jail.starts_with(FEED);
        match engine.take_over(moved.ban(prefix, if is_here { &moved.jail } else { MANUAL }, now)) {
            Ok(Some(verdict)) => {
                other_jail += usize::from(!is_here);
                verdicts.push(verdict);
            }
            Ok(None) => known += 1,
            Err(refusal) => {
                refused.push(Unloaded { address: moved.address.clone(), why: refusal.to_string() });
            }
        }
    }
    daemon.pipeline.take_now(&verdicts, who, now);
    Answer::Loaded { loaded: verdicts.len(), known, other_jail, refused }
}

fn reload(daemon: &mut Daemon) -> Result<Answer, Refused> {
    match daemon.reload() {
        Ok(()) => Ok(Answer::Reloaded { warnings: warnings(daemon).collect() }),
        Err(report) => {
            let message = format!("the running configuration stays, the new one has errors:\n{report}");
            Err(Refused::new(Kind::No, message))
        }
    }
}

fn list(
    daemon: &mut Daemon,
    jail: Option<&str>,
    within: Option<IpNet>,
    after: Option<&Key>,
    now: Timestamp,
) -> Result<Answer, Refused> {
    let wanted = |ban: &Ban| {
        jail.is_none_or(|jail| &*ban.jail == jail)
            && within.is_none_or(|within| within.contains(&ban.prefix) || ban.prefix.contains(&within))
    };
    let (engine, firewall) = (&daemon.pipeline.engine, &mut daemon.pipeline.effect.firewall);
    let slice = engine.bans().slice(after, PAGE, wanted);
    let mut bans = Vec::with_capacity(slice.bans.len());
    for ban in slice.bans {
        let held = intent::targets(&ban).map(|target| firewall.contains(target));
        let held = match held.collect::<Result<Vec<_>, _>>() {
            Ok(held) => held,
            Err(error) if error.is_missing() => vec![None],
            Err(error) => return Err(Refused::new(Kind::Kernel, error)),
        };
        let in_kernel = !ban.is_observed() && held.iter().all(Option::is_some);
        let ban = renewal::as_renewed(ban, held.iter().flatten(), now);
        bans.push(BanRow::new(&ban, now, in_kernel));
    }
    let next = slice.next.map(|(prefix, jail)| Cursor { prefix, jail: jail.to_string() });
    Ok(Answer::Page { bans, next })
}

fn status(daemon: &mut Daemon) -> Answer {
    let plan_warnings: Vec<String> = warnings(daemon).collect();
    let pipeline = &mut daemon.pipeline;
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
        filter: plan.filter.as_ref().map_or("(bans)", |filter| filter.name()).to_owned(),
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
    });
    let mut warnings: Vec<String> = trouble.iter().cloned().collect();
    warnings.extend(sources::warnings(&sources));
    for jail in pipeline.engine.jails().iter().filter(|jail| jail.tally.no_room > 0) {
        let (name, bans) = (&jail.name, jail.tally.no_room);
        warnings.push(format!(
            "{name}: {bans} bans were not made, too many are in force: raise [firewall] set_size"
        ));
    }
    for jail in pipeline.engine.jails().iter().filter(|jail| jail.waiting() > 0) {
        warnings.push(format!(
            "{}: {} offenders wait for their ban, more than max_bans_per_minute were made: is it an attack, or does \
             a service refuse everybody?",
            jail.name,
            jail.waiting()
        ));
    }
    for jail in pipeline.engine.jails() {
        if let Some(why) = &jail.asked.last_failure {
            let (name, asked) = (&jail.name, &jail.asked);
            warnings.push(format!(
                "{name}: ignorecommand gave no answer {} of {} times, and the ban went ahead; the last time: {why}",
                asked.failed, asked.times
            ));
        }
        if let Some(proxy) = jail.tally.last_proxy {
            let (name, failures) = (&jail.name, jail.tally.proxied);
            warnings.push(format!(
                "{name}: {failures} failures come from proxies, the last from {proxy}: have the service log the real client (nginx: real_ip_header, Apache: mod_remoteip)"
            ));
        }
    }
    if pipeline.beside.unasked() > 0 {
        warnings.push(format!(
            "{} failures of named hosts were not counted: too many names waited",
            pipeline.beside.unasked()
        ));
    }
    warnings.extend(daemon.lookups.warnings());
    warnings.extend(renewal::warnings(&pipeline.engine));
    warnings.extend(feeds.iter().flat_map(|(feed, tally)| feed_warnings(feed, tally)));
    if !pipeline.store.is_durable() && !daemon.plan.store.in_memory {
        warnings.push(Status::NOT_DURABLE.into());
    }
    warnings.extend(plan_warnings);
    Answer::Status(Box::new(Status {
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
            changed_by_others: daemon.guard.intrusions,
            last_change: daemon.guard.last.clone().map(|(at, what)| ForeignChange { at, what }),
            restored: pipeline.effect.drift.restored,
            repaired: pipeline.effect.drift.repaired,
            error: trouble,
        },
        durable: pipeline.store.is_durable(),
        feeds: feeds.iter().map(|(feed, tally)| feed_row(feed, tally, pipeline)).collect(),
        sources,
    }))
}

fn feed_row(feed: &FeedStatus, tally: &FeedTally, pipeline: &Pipeline) -> FeedRow {
    let notes = &feed.notes;
    FeedRow {
        name: feed.name.to_string(),
        source: feed.source.clone(),
        entries: feed.entries,
        banned: pipeline.engine.bans().count(&format!("{FEED}{}", feed.name)),
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
            "{} entries are not banned ({} first): an allowed address or one of this machine is in them",
            tally.spared,
            shown(first)
        ));
    }
    if tally.no_room > 0 {
        told.push(format!(
            "{} entries are not banned: raise [firewall] set_size, of which feeds may fill one half",
            tally.no_room
        ));
    }
    if let Some((line, text)) = &feed.notes.first_unreadable {
        told.push(format!(
            "{} lines cannot be read, the first is line {line} (`{text}`)",
            feed.notes.unreadable
        ));
    }
    told.into_iter().map(|what| format!("{FEED}{}: {what}", feed.name)).collect()
}

fn warnings(daemon: &Daemon) -> impl Iterator<Item = String> {
    daemon.plan.warnings.iter().map(ToString::to_string)
}

/// A jail that is neither configured nor reserved is a slip of the pen.
fn known_jail(daemon: &Daemon, jail: Option<&str>) -> Result<(), Refused> {
    let Some(jail) = jail else { return Ok(()) };
    let engine = &daemon.pipeline.engine;
    if engine.knows(jail) {
        return Ok(());
    }
    let feeds = daemon.plan.feeds.iter().map(|feed| format!("{FEED}{}", feed.name));
    let names = engine.jails().iter().map(|jail| jail.name.to_string());
    let names = names.chain([MANUAL, ADOPTED].map(str::to_owned)).chain(feeds);
    let nearest =
        names.max_by(|a, b| strsim::jaro_winkler(a, jail).total_cmp(&strsim::jaro_winkler(b, jail)));
    let hint = nearest.map_or_else(String::new, |nearest| format!(": did you mean {nearest}?"));
    Err(Refused::new(Kind::Usage, format!("there is no jail '{jail}'{hint}")))
}
