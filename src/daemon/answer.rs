//! What the daemon answers to one request.

use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::allowing;
use super::intent;
use super::lifts::Client;
use super::pipeline::NotBanned;
use super::renewal;
use super::run::Daemon;
use super::status;
use super::why;
use crate::config::network::folded;
use crate::control::moved::Moved;
use crate::control::protocol::{
    Answer, BanRow, Cursor, Kind, LONGEST_REASON, PAGE, Page, Refused, Request, Unloaded,
};
use crate::control::recall::{self, Why};
use crate::control::server::Call;
use crate::firewall::{Element, FirewallError, Target};
use crate::jail::bans::{Bans, Key};
use crate::jail::by_hand::{ByHand, Refusal};
use crate::jail::engine::Engine;
use crate::jail::lift::Lift;
use crate::jail::{ADOPTED, Ban, FEED, MANUAL, shown, written};

/// Answers one request; what takes long is answered when it is done.
pub(super) fn answer(daemon: &mut Daemon, call: Call, now: Timestamp) {
    let Call { request, who, reply } = call;
    let who = who.shown(daemon.plan.store.keep_users);
    let answered = match request {
        Request::Status => Ok(Answer::Status(Box::new(status::status(daemon)))),
        Request::List { jail, within, after } => {
            let after = after.map(|row| (row.prefix, Arc::from(row.jail)));
            known_jail(daemon, jail.as_deref())
                .and_then(|()| list(daemon, jail.as_deref(), within, after.as_ref(), now))
        }
        Request::Ban { prefix, jail, bantime, reason, force, caller } => {
            let reason = reason.unwrap_or_default();
            let wanted = ByHand { prefix, jail: jail.as_deref(), bantime, reason: &reason };
            let doubt = daemon.pipeline.engine.doubt(prefix, caller, now).filter(|_| !force);
            let sure = doubt.map_or(Ok(()), |doubt| Err(Refused::new(Kind::Allowed, doubt)));
            known_jail(daemon, wanted.jail).and(sure).and_then(|()| ban(daemon, &wanted, &who, now))
        }
        Request::Unban { within, jail } => match known_jail(daemon, jail.as_deref()) {
            Ok(()) => {
                return lift(daemon, Lift::by_hand(jail.as_deref(), within), Client { who, reply }, now);
            }
            Err(refused) => Err(refused),
        },
        Request::Allow { prefix, time, reason, force } => {
            let wanted = allowing::Wanted { prefix, time, reason: reason.unwrap_or_default(), force };
            match allowing::add(daemon, wanted, &who, now) {
                Ok(lift) => {
                    return daemon.lifts.begin(lift, Some(Client { who, reply }), &mut daemon.pipeline, now);
                }
                Err(refused) => Err(refused),
            }
        }
        Request::Disallow { prefix } => allowing::delete(daemon, &prefix, &who, now),
        Request::Allowed { within } => Ok(allowing::list(&daemon.pipeline.engine, within, now)),
        Request::Why { address } => return tell_why(daemon, address, reply, now),
        past @ (Request::History { .. } | Request::Stats { .. }) => {
            return tell_past(daemon, past, reply);
        }
        Request::Load { bans, force, caller } => {
            let doubt = |engine: &Engine, prefix| engine.doubt(prefix, caller, now).filter(|_| !force);
            Ok(load(daemon, &bans, doubt, &who, now))
        }
        Request::Reload => reload(daemon),
        Request::Config => {
            Ok(Answer::Config { read_from: daemon.layout.named(), settings: daemon.plan.settings.clone() })
        }
        // The server does that by itself.
        Request::Watch => Ok(Answer::Watching),
        Request::Flush => return lift(daemon, Lift::by_hand(None, None), Client { who, reply }, now),
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

fn lift(daemon: &mut Daemon, lift: Lift, client: Client, now: Timestamp) {
    if lift.means_all()
        && let Err(error) = daemon.pipeline.empty(now)
    {
        let _ = client.reply.send(Answer::Refused(Refused::new(Kind::Kernel, error)));
        return;
    }
    daemon.lifts.begin(lift, Some(client), &mut daemon.pipeline, now);
}

fn tell_why(daemon: &mut Daemon, address: IpNet, reply: oneshot::Sender<Answer>, now: Timestamp) {
    let why = why::why(&mut daemon.pipeline, address, daemon.plan.firewall.count, now);
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

fn load(
    daemon: &mut Daemon,
    bans: &[Moved],
    doubt: impl Fn(&Engine, IpNet) -> Option<Refusal>,
    who: &Arc<str>,
    now: Timestamp,
) -> Answer {
    let engine = &mut daemon.pipeline.engine;
    let (mut verdicts, mut refused, mut known, mut other_jail) = (Vec::new(), Vec::new(), 0, 0);
    for moved in bans {
        let Some(prefix) = written(&moved.address) else {
            let why = "it is neither an address nor a prefix".to_owned();
            refused.push(Unloaded { address: moved.address.clone(), why });
            continue;
        };
        if let Some(doubt) = doubt(engine, prefix) {
            refused.push(Unloaded { address: moved.address.clone(), why: doubt.to_string() });
            continue;
        }
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
    daemon.pipeline.take_now(&verdicts, Some(who), now);
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
    let targets: Vec<Target> = slice.bans.iter().flat_map(intent::targets).collect();
    let held = match firewall.contains_each(&targets) {
        Ok(held) => held,
        Err(error) if error.is_missing() => vec![None; targets.len()],
        Err(error) => return Err(Refused::new(Kind::Kernel, error)),
    };
    let mut held = held.into_iter();
    let told = |ban: Ban| {
        let own: Vec<_> = held.by_ref().take(intent::targets(&ban).count()).collect();
        row(ban, &own, now)
    };
    let bans = slice.bans.into_iter().map(told).collect();
    let next = slice.next.map(|(prefix, jail)| Cursor { prefix, jail: jail.to_string() });
    Ok(Answer::Page(Page { bans, next }))
}

/// A ban as it is told, with what the kernel holds of it: the element of each of its targets.
pub(super) fn row(ban: Ban, held: &[Option<Element>], now: Timestamp) -> BanRow {
    let in_kernel = !ban.is_observed() && held.iter().all(Option::is_some);
    let packets = held.iter().flatten().filter_map(|element| element.packets).reduce(u64::saturating_add);
    let ban = renewal::as_renewed(ban, held.iter().flatten(), now);
    BanRow { packets, ..BanRow::new(&ban, now, in_kernel) }
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
