//! Bans that the offender's own packets renew: the kernel gives them their whole time anew with each packet, and their
//! ends here follow.
//!
//! A ban is asked for when it would be over, so that it is told as ended when it has; and some are asked for every minute,
//! in turn, so that the store, and a table that has to be made again, hardly fall behind.

use jiff::Timestamp;

use super::effect::{TOLERANCE, differs};
use super::intent;
use super::pipeline::Pipeline;
use crate::firewall::{Element, Target};
use crate::jail::bans::{Key, Slice};
use crate::jail::engine::Engine;
use crate::jail::{Ban, shown};
use crate::words::counted;

/// How many bans are ended in one go before others get their turn.
const EXPIRED_AT_ONCE: usize = 1000;
/// How many elements the kernel is asked for in one go: some 15 ms.
const ASKED: usize = 5_000;
/// How many bans become renewed, or not, in one go: each is asked for, taken out of one set and put into another.
const PLACED: usize = 2_000;

/// How far the ends have been followed.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    after: Option<Key>,
    /// Which bans have been looked at for whether they are renewed as their jails want it, while that goes on.
    placing: Option<Placed>,
    /// It was said that some bans are not renewed.
    told: bool,
}

/// All bans up to this one, if any.
#[derive(Debug, Default)]
struct Placed(Option<Key>);

impl Pipeline {
    /// Ends bans whose time is over, but for those that packets have renewed, so many at once that others get their turn;
    /// and makes those that had to wait.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let (mut verdicts, mut asked) = (Vec::new(), 0);
        while verdicts.len() < EXPIRED_AT_ONCE && asked < ASKED {
            let Some(due) = self.engine.due(now) else { break };
            if due.renew.is_some() {
                asked += due.closes().count();
                self.follow(&due, now);
                let ban = self.engine.bans().get(&due.prefix, &due.jail);
                if let Some(until) = ban.and_then(|ban| ban.until).filter(|until| *until > now) {
                    let address = shown(&due.prefix);
                    tracing::info!("[{}] {address} still knocks: banned until {until:.0}", due.jail);
                    continue;
                }
            }
            verdicts.extend(self.engine.expire_next(now));
        }
        verdicts.extend(self.engine.release(now));
        // The kernel has dropped those that ended by itself; lifting what is absent costs little and catches a slow clock.
        self.take(&verdicts, now);
    }

    /// Follows the ends of all renewed bans: the table may be made anew from what is known here.
    pub(super) fn follow_all(&mut self, now: Timestamp) {
        self.renewal.after = None;
        self.follow_some(now);
        while self.renewal.after.is_some() {
            self.follow_some(now);
        }
    }

    /// Follows the ends of some renewed bans, in turn.
    pub(super) fn follow_some(&mut self, now: Timestamp) {
        let (mut some, mut asked) = (Vec::new(), 0);
        for ban in self.engine.bans().renewed_after(self.renewal.after.as_ref()) {
            if asked >= ASKED {
                break;
            }
            asked += ban.closes().count();
            some.push(ban);
        }
        let last = some.last().filter(|_| asked >= ASKED);
        self.renewal.after = last.map(|ban| (ban.prefix, ban.jail.clone()));
        some.iter().for_each(|ban| self.follow(ban, now));
        self.effect.settle_in_turn(&self.engine, now);
        self.store.commit();
    }

    /// Has the bans in force renewed or not, as their jails want it now and the kernel can; those that [`Pipeline::work`] comes
    /// to.
    pub(super) fn place_bans(&mut self) {
        if self.engine.wants_renewal_in_vain() {
            tracing::warn!("{IN_VAIN}");
        }
        self.renewal.placing = Some(Placed::default());
    }

    /// Whether there are bans that [`Pipeline::place_some`] has not looked at.
    pub(super) fn is_placing(&self) -> bool {
        self.renewal.placing.is_some()
    }

    /// Does so for the next of them.
    pub(super) fn place_some(&mut self, now: Timestamp) {
        let Some(Placed(after)) = self.renewal.placing.take() else { return };
        let Slice { bans, next } = self.engine.misplaced(after.as_ref(), PLACED);
        self.renewal.placing = next.map(|last| Placed(Some(last)));
        for ban in bans {
            self.follow(&ban, now);
            let Some(placed) = self.engine.place(&ban) else { continue };
            self.effect.doubt([&ban, &placed].into_iter().flat_map(intent::targets));
            self.store.note_moved(&placed);
        }
        self.effect.settle_slice(&self.engine, now);
        self.store.commit();
    }

    /// Says once that bans are not renewed that were to be.
    pub(super) fn tell_unrenewed(&mut self) {
        if let Some(warning) = unrenewed(&self.engine).filter(|_| !self.renewal.told) {
            self.renewal.told = true;
            tracing::warn!("{warning}");
        }
    }

    /// Takes over the end that the kernel has for a ban, and that of others by the same elements. Ports that were not
    /// knocked at stay closed as long as those that were.
    fn follow(&mut self, ban: &Ban, now: Timestamp) {
        let (mut held, mut moved) = (Vec::new(), Vec::new());
        for target in intent::targets(ban).filter(|target| target.renew.is_some()) {
            // What the kernel will not say was not renewed.
            let element = self.effect.firewall.contains(target).ok().flatten();
            let end = element.as_ref().and_then(|element| end(element, now));
            if let (Some(tier), Some(until)) = (target.renew, end) {
                moved.extend(self.engine.renewed(&target.prefix, target.service, tier, until));
            }
            held.push((target, element.map(|element| element.left)));
        }
        if moved.is_empty() {
            return;
        }
        let engine = &self.engine;
        let behind =
            |(target, held): &(Target, _)| differs(target, *held, intent::remaining(engine, target, now));
        let behind: Vec<Target> = held.into_iter().filter(behind).map(|(target, _)| target).collect();
        self.effect.doubt(behind);
        moved.iter().for_each(|ban| self.store.note_moved(ban));
    }
}

/// When a renewed element ends if no more packets come.
pub(super) fn end(element: &Element, now: Timestamp) -> Option<Timestamp> {
    let tier = element.target.renew?.length();
    // No packet gives it more: somebody else has changed it, and it is put right.
    let left = element.left.filter(|left| *left <= tier + TOLERANCE)?;
    now.saturating_add(left).ok()
}

/// The ban with the end that the kernel has for it by now.
pub(super) fn as_renewed<'e>(ban: Ban, held: impl IntoIterator<Item = &'e Element>, now: Timestamp) -> Ban {
    let ends = held.into_iter().filter_map(|element| end(element, now));
    Ban { until: ban.until.map(|until| ends.fold(until, Timestamp::max)), ..ban }
}

/// What the administrator should know of bans that are not renewed although their jails want that.
pub(super) fn warnings(engine: &Engine) -> impl Iterator<Item = String> {
    let in_vain = engine.wants_renewal_in_vain().then(|| IN_VAIN.to_owned());
    in_vain.into_iter().chain(unrenewed(engine))
}

const IN_VAIN: &str = "renew_on_contact does nothing: this kernel cannot renew a ban when packets come (no nf_tables sets that rules update); bans last for bantime";

fn unrenewed(engine: &Engine) -> Option<String> {
    let bans = Some(engine.unrenewed()).filter(|bans| *bans > 0)?;
    Some(format!(
        "{} not renewed on contact: bans of 16 other lengths are, and none is longer; give jails with \
         renew_on_contact the same bantime",
        counted(bans, "ban is", "bans are")
    ))
}

#[cfg(test)]
#[path = "renewal_tests.rs"]
mod tests;
