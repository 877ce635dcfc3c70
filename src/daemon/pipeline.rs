//! One block's way: lines to failures, failures to verdicts, verdicts to the kernel and the store.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::adoption::Adoption;
use super::beside::Beside;
use super::effect::Effect;
use super::evidence::Evidence;
use super::fleet::Outlet;
use super::intent;
use super::judged::Judged;
use super::log;
use super::readers::Reader;
use super::renewal::Renewal;
use super::resolver::Question;
use super::trails::Trails;
use crate::config::choices::UseDns;
use crate::config::plan::StorePlan;
use crate::control::events::{Events, What};
use crate::filter::{Clock, Failure, Filter, Success, Told};
use crate::firewall::{FirewallError, Set};
use crate::jail::by_hand::{ByHand, Refusal};
use crate::jail::engine::Engine;
use crate::jail::jails::{Jail, JailId};
use crate::jail::lift::Lift;
use crate::jail::logins::Login;
use crate::jail::{Ban, FEED, Verdict, shown};
use crate::source::{Block, SourceId, SourceStatus, StreamKey};
use crate::store::Store;

// A line that a source has cut must not match: its author chose where it seems to end.
const _: () = assert!(crate::filter::LONGEST_LINE <= crate::source::lines::LONGEST_LINE);

/// Everything between a block and the kernel.
pub(super) struct Pipeline {
    pub(super) engine: Engine,
    pub(super) effect: Effect,
    pub(super) store: Store,
    pub(super) events: Events,
    pub(super) evidence: Evidence,
    /// Where the fleet is told of verdicts.
    pub(super) outlet: Option<Outlet>,
    /// Whether user names may be kept.
    keep_users: bool,
    pub(super) beside: Beside,
    adoption: Adoption,
    pub(super) renewal: Renewal,
    pub(super) readers: BTreeMap<SourceId, Reader>,
    /// The highest id that a source has ever had.
    pub(super) last_source: usize,
    pub(super) trails: Trails,
    pub(super) zone: TimeZone,
}

/// Why a ban by hand was not made.
#[derive(Debug)]
pub(super) enum NotBanned {
    /// The address may not be banned.
    Refused(Refusal),
    /// The kernel did not take it.
    Kernel(FirewallError),
}

impl Pipeline {
    pub(super) fn new(engine: Engine, effect: Effect, store: Store, trails: Trails, events: Events) -> Self {
        Self {
            events,
            engine,
            effect,
            store,
            evidence: Evidence::default(),
            outlet: None,
            keep_users: true,
            beside: Beside::default(),
            adoption: Adoption::default(),
            renewal: Renewal::default(),
            readers: BTreeMap::new(),
            last_source: 0,
            trails,
            zone: TimeZone::system(),
        }
    }

    /// What is remembered from now on.
    pub(super) fn set_memory(&mut self, plan: &StorePlan) {
        self.evidence.want(plan.evidence);
        self.keep_users = plan.keep_users;
    }

    /// Deals with one block: after this, whoever it convicts is in the kernel's set.
    pub(super) fn block(&mut self, block: &Block, now: Timestamp) {
        let Some(reader) = self.readers.get_mut(&block.source) else { return };
        // What a restart cannot go back to has no trail: its streams may be as many as there are senders.
        let mut trail = block.span.as_ref().map(|span| (self.trails.of(&reader.name, &block.stream), span));
        let stream: Arc<str> = reader.input.of_stream(&block.stream).into();
        let clock = Clock { now, zone: self.zone.clone() };
        let (engine, events, jails, name) = (&mut self.engine, &self.events, &reader.jails, &stream);
        let (evidence, store, keep_users) = (&mut self.evidence, &mut self.store, self.keep_users);
        let mut judged = Judged::default();
        reader.scanner.scan_all(&block.bytes, &clock, &mut |filter, told, line| {
            let Some((id, jail, filter)) = jails.get(filter) else { return };
            let failure = match told {
                Told::Failure(failure) => failure,
                Told::Success(success) => {
                    if engine.succeeded(*id, &success, now) {
                        let Success { time, address, user } = success;
                        let user = user.filter(|_| keep_users);
                        store.note_login(Login {
                            jail: Arc::clone(jail),
                            address,
                            user,
                            time: time.min(now),
                        });
                    }
                    return;
                }
            };
            let counted = if let (true, Some((trail, _))) = (block.again, &mut trail) {
                trail.counts(failure.time, now).then(|| engine.recall(*id, &failure, now)).flatten()
            } else {
                tell_failure(events, engine, *id, &failure, name, now);
                let asks = engine.asks_for_user(*id, &failure, now);
                let user = asks.then(|| filter.user(line, failure.pattern, &clock)).flatten();
                judged.take(engine.observe(*id, &failure, user.as_deref(), name, now))
            };
            let Some(prefix) = counted.filter(|_| evidence.is_wanted()) else { return };
            if let Some(line) = kept(keep_users, filter, line, failure.pattern, &clock) {
                evidence.note(prefix, jail, failure.time, &line);
            }
        });
        if let Some((trail, span)) = trail {
            let key = StreamKey { source: Arc::clone(&reader.name), stream: Arc::clone(&block.stream) };
            self.store.note_reading(key, trail.advance(span, block.again, now));
        }
        for (index, named, line) in reader.scanner.take_named() {
            // What is read again was asked for when it was read first.
            let reading = reader.jails.get(index).filter(|_| !block.again);
            let asking = reading.and_then(|(id, _, filter)| Some((reader.asking.get(id)?, filter)));
            if let Some(((jail, usedns), filter)) = asking {
                if *usedns == UseDns::Warn {
                    tracing::warn!("[{jail}] {} is a name: asking for its addresses", named.name);
                }
                let (jail, source) = (Arc::clone(jail), Arc::clone(&stream));
                let wanted = self.evidence.is_wanted();
                let line = wanted.then(|| kept(self.keep_users, filter, &line, named.pattern, &clock));
                let line = line.flatten().map(Into::into);
                self.beside.ask_name(Question { jail, source, named, line });
            }
        }
        self.execute(judged, now);
    }

    /// Notes where sources begin that have not sent anything yet, and forgets what is gone.
    pub(super) fn note_beginnings(&mut self, sources: &[SourceStatus], now: Timestamp) {
        let mut read = BTreeSet::new();
        for source in sources {
            let Some(reader) = self.readers.get(&source.id) else { continue };
            let key = StreamKey { source: Arc::clone(&reader.name), stream: Arc::clone(&source.stream) };
            if let Some(began) = &source.began
                && let Some(reading) = self.trails.of(&key.source, &key.stream).begin(began.clone(), now)
            {
                self.store.note_reading(key.clone(), reading);
            }
            read.insert(key);
        }
        self.trails.forget_gone(&read).into_iter().for_each(|key| self.store.forget_reading(key));
        self.store.commit();
    }

    /// Makes verdicts true: in the kernel when it is their turn, in the store, in the log.
    pub(super) fn take(&mut self, verdicts: &[Verdict], now: Timestamp) {
        self.doubt(verdicts);
        self.effect.settle_in_turn(&self.engine, now);
        self.tell(verdicts, None, now);
        self.tell_unrenewed();
    }

    /// The same while somebody waits for it.
    pub(super) fn take_now(&mut self, verdicts: &[Verdict], who: Option<&Arc<str>>, now: Timestamp) {
        self.doubt(verdicts);
        self.effect.settle(&self.engine, now);
        self.tell(verdicts, who, now);
    }

    /// The same for one slice of many.
    pub(super) fn take_slice(&mut self, verdicts: &[Verdict], who: Option<&Arc<str>>, now: Timestamp) {
        self.doubt(verdicts);
        self.effect.settle_slice(&self.engine, now);
        self.tell(verdicts, who, now);
    }

    /// The kernel may have to be told of them.
    pub(super) fn doubt(&mut self, verdicts: &[Verdict]) {
        verdicts.iter().for_each(|verdict| self.effect.doubt_verdict(verdict, &self.engine));
    }

    fn tell(&mut self, verdicts: &[Verdict], who: Option<&Arc<str>>, now: Timestamp) {
        if let Some(jail) = self.engine.take_alarm() {
            tracing::error!(
                "[{jail}] more bans than max_bans_per_minute allows: the other offenders wait, the worst are banned \
                 first; is it an attack, or does a service refuse everybody?"
            );
            let waiting =
                self.engine.jails().iter().find(|known| known.name == jail).map_or(0, Jail::waiting);
            self.events.tell(now, || What::Alarm { jail: jail.to_string(), waiting });
        }
        self.note(verdicts, who, now);
        // A list has one line for all.
        for verdict in verdicts.iter().filter(|verdict| !verdict.ban().jail.starts_with(FEED)) {
            log::verdict(verdict);
            self.events.tell(now, || verdict.into());
        }
    }

    /// Tells those who remember: the fleet, and the store.
    pub(super) fn note(&mut self, verdicts: &[Verdict], who: Option<&Arc<str>>, now: Timestamp) {
        for verdict in verdicts {
            let lines = match verdict {
                Verdict::Ban(ban) => self.evidence.take(ban.prefix, &ban.jail),
                Verdict::Unban(..) => Vec::new(),
            };
            if let Some(outlet) = &self.outlet {
                outlet.tell(verdict, &lines, self.engine.bans(), now);
            }
            self.store.note(verdict, now, who, lines);
        }
        self.store.commit();
    }

    /// Bans by the hand of `who`: in the kernel when this returns, or everything is as it was.
    pub(super) fn ban_by_hand(
        &mut self,
        wanted: &ByHand<'_>,
        who: &Arc<str>,
        now: Timestamp,
    ) -> Result<Ban, NotBanned> {
        let before = self.engine.bans().of(&wanted.folded());
        let verdict = self.engine.ban(wanted, now).map_err(NotBanned::Refused)?;
        let ban = verdict.ban().clone();
        // A ban that this one replaces may have closed other ports.
        self.effect.doubt(before.iter().chain([&ban]).flat_map(intent::targets));
        self.effect.settle(&self.engine, now);
        if let Some(error) = self.effect.refusal(&ban).cloned() {
            self.engine.put_back(&ban.prefix, before);
            // Whatever became of it in the kernel is put right as well.
            self.effect.doubt(intent::targets(&ban));
            self.effect.settle(&self.engine, now);
            return Err(NotBanned::Kernel(error));
        }
        self.tell(&[verdict], Some(who), now);
        Ok(ban)
    }

    /// One slice of a lift, which `who` asked for. Says why the kernel has not let go of somebody yet, if so; it is asked again.
    pub(super) fn lift(
        &mut self,
        lift: &mut Lift,
        who: Option<&Arc<str>>,
        most: usize,
        now: Timestamp,
    ) -> Option<FirewallError> {
        let lifted = self.engine.lift(lift, most);
        if lift.is_done() {
            self.take_now(&lifted, who, now);
        } else {
            self.take_slice(&lifted, who, now);
        }
        lifted.iter().find_map(|verdict| self.effect.refusal(verdict.ban()).cloned())
    }

    /// Takes whatever there is out of the kernel's sets, before every ban is lifted. What is intended comes back with
    /// an error.
    pub(super) fn empty(&mut self, now: Timestamp) -> Result<(), FirewallError> {
        self.effect.empty(&self.engine, now)
    }

    /// Whether there is work that waits for nobody.
    pub(super) fn has_work(&self) -> bool {
        self.is_placing() || self.effect.sweep.is_some()
    }

    /// What is in these sets of the kernel was not listed: whatever of it nobody knows is found out in time. Feeds have
    /// left there what is `gone` from their lists.
    pub(super) fn adopt_later(&mut self, unlisted: BTreeSet<Set>, gone: Vec<IpNet>) {
        self.adoption = Adoption::new(unlisted, gone);
    }

    /// Takes the rules of unused sets away, puts right what has drifted, and adopts what nobody knows.
    pub(super) fn tidy(&mut self, now: Timestamp) {
        self.follow_some(now);
        self.effect.tidy(&self.engine, now);
        self.adoption.go_on(&mut self.engine, &mut self.effect, now);
    }

    /// Does some of it: first what makes bans last as they should, since a sweep then does not write them twice.
    pub(super) fn work(&mut self, now: Timestamp) {
        if self.is_placing() {
            self.place_some(now);
        } else {
            self.effect.sweep(&self.engine, now);
        }
    }

    /// Ends every ban, and removes the table.
    pub(super) fn flush(&mut self, now: Timestamp) -> Result<(), FirewallError> {
        let lifted = self.engine.lift_all(Lift::by_hand(None, None));
        self.tell(&lifted, Some(&"kband --flush-on-exit".into()), now);
        self.effect.firewall.remove_table()
    }

    /// How long until there is something to do without any block or request.
    pub(super) fn until_deadline(&self, now: Timestamp) -> Option<Duration> {
        let until = |end: Timestamp| Duration::try_from(end.duration_since(now)).unwrap_or_default();
        let next_end = self.engine.bans().next_end().map(until);
        let next_release = self.engine.next_release(now).map(until);
        let next_try = self.effect.next_try().map(|again| again.saturating_duration_since(Instant::now()));
        let next_allowed = self.engine.spared().next_end().map(until);
        [next_end, next_release, next_try, next_allowed].into_iter().flatten().min()
    }
}

/// What of a line may be kept: without whom it names, unless that may be; then none if nobody knows where the name stands.
fn kept<'l>(
    keep_users: bool,
    filter: &Filter,
    line: &'l [u8],
    pattern: usize,
    clock: &Clock,
) -> Option<Cow<'l, [u8]>> {
    if keep_users {
        Some(Cow::Borrowed(line))
    } else {
        filter.without_user(line, pattern, clock).map(Cow::Owned)
    }
}

/// Tells watchers of a failure.
pub(super) fn tell_failure(
    events: &Events,
    engine: &Engine,
    jail: JailId,
    failure: &Failure,
    source: &str,
    now: Timestamp,
) {
    let Some(jail) = engine.jails().get(jail.0) else { return };
    let Failure { time: logged, attempts, .. } = *failure;
    events.tell(now, || What::Failure {
        jail: jail.name.to_string(),
        address: shown(&failure.logged()),
        source: source.to_owned(),
        logged,
        attempts,
    });
}
