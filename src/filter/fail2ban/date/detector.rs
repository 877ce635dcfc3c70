//! Finds the date in a line, whatever its format, and learns from line to line.
//!
//! Many formats fit many lines: a message may hold a second date, or digits that look like one. So the format and the
//! place of the last date are tried first; another place is a warning that text of the message was taken, and the
//! match nearest to the line's start wins. Formats that hit move to the front of the list.
//!
//! Most lines begin as the line before did, with the same date. [`Repeated`] knows which bytes decided what was found in
//! that line; if the next begins with them the search would find the same, and is left out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use jiff::{Span, Timestamp};

use super::defaults;
use super::minute::Minute;
use super::template::{Place, Template, unbound};
use crate::filter::Clock;
use crate::filter::fail2ban::regex::SyntaxError;

/// Formats of a start weigh more than the same anywhere.
const WEIGHT_AT_START: f64 = 100.0;

/// The defaults by the latest year and their place, each for as long as a filter has it: all filters have the same, and what
/// their engines take grows with what is searched.
static SHARED: Mutex<BTreeMap<(i16, usize), Weak<Template>>> = Mutex::new(BTreeMap::new());

/// The formats of a filter, compiled.
#[derive(Debug)]
pub(in crate::filter::fail2ban) struct Formats {
    templates: Vec<Arc<Template>>,
}

impl Formats {
    /// Compiles the lines of `datepattern`; without any, the defaults. Years beyond the decade of `latest` are none.
    pub(in crate::filter::fail2ban) fn compile(
        patterns: &[String],
        latest: i16,
    ) -> Result<Self, SyntaxError> {
        let mut templates: Vec<Arc<Template>> = Vec::new();
        let mut add = |more: Vec<Arc<Template>>| {
            for template in more {
                if !templates.iter().any(|known| known.pattern.written == template.pattern.written) {
                    templates.push(template);
                }
            }
        };
        if patterns.is_empty() {
            add(all_defaults(latest)?);
        }
        for pattern in patterns {
            let upper = pattern.to_uppercase();
            match upper.as_str() {
                "{DEFAULT}" => add(all_defaults(latest)?),
                "{^LN-BEG}" => {
                    add(all_defaults(latest)?.into_iter().filter(|template| template.at_start).collect());
                }
                _ => match upper.find("{DATE}") {
                    Some(at) => {
                        let (before, after) = (pattern.get(..at), pattern.get(at + "{DATE}".len()..));
                        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
                        let inner = defaults::PATTERNS.iter().filter(|inner| inner.contains('%'));
                        let each = inner.map(|inner| {
                            Template::compile(&format!("{before}{}{after}", unbound(inner)), latest)
                                .map(Arc::new)
                        });
                        add(each.collect::<Result<_, _>>()?);
                    }
                    None => add(vec![Arc::new(Template::compile(pattern, latest)?)]),
                },
            }
        }
        Ok(Self { templates })
    }

    /// Whether a literal of the message may touch a cut date in any way.
    pub(in crate::filter::fail2ban) fn unbound(&self) -> bool {
        self.templates.iter().any(|template| template.unbound)
    }
}

/// Each default at the line's start, then each anywhere.
fn all_defaults(latest: i16) -> Result<Vec<Arc<Template>>, SyntaxError> {
    let at_start = defaults::PATTERNS.iter().filter(|pattern| !pattern.starts_with(['^', '{']));
    let at_start = at_start.map(|pattern| (format!("{{^LN-BEG}}{pattern}"), WEIGHT_AT_START));
    let anywhere = defaults::PATTERNS.iter().map(|pattern| ((*pattern).to_owned(), 1.0));
    // Whoever panicked meanwhile has left nothing half done.
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.retain(|_, template| template.strong_count() > 0);
    let made = at_start.chain(anywhere).enumerate().map(|(place, (pattern, weight))| {
        if let Some(template) = shared.get(&(latest, place)).and_then(Weak::upgrade) {
            return Ok(template);
        }
        let mut template = Template::compile(&pattern, latest)?;
        template.weight = weight;
        let template = Arc::new(template);
        shared.insert((latest, place), Arc::downgrade(&template));
        Ok(template)
    });
    made.collect()
}

/// A date found in a line.
#[derive(Debug, Clone)]
pub(in crate::filter::fail2ban) struct Dated {
    place: Arc<Place>,
    template: Arc<Template>,
    /// The same date as that of the line before, in the same bytes and format.
    pub(in crate::filter::fail2ban) repeated: bool,
}

impl Dated {
    /// What is to be cut out of the line.
    pub(in crate::filter::fail2ban) fn span(&self) -> std::ops::Range<usize> {
        self.place.date()
    }

    /// None for a date that cannot be.
    pub(in crate::filter::fail2ban) fn moment(
        &self,
        line: &str,
        clock: &Clock,
        minute: &mut Minute,
    ) -> Option<Timestamp> {
        self.template.moment(line, &self.place, clock, minute)
    }
}

/// Looks for dates in the lines of one source.
#[derive(Debug)]
pub(in crate::filter::fail2ban) struct Detector {
    slots: Vec<Slot>,
    last: Option<Last>,
    repeated: Option<Repeated>,
    /// The first format that has not hit yet stands here.
    first_unused: usize,
}

#[derive(Debug)]
struct Slot {
    template: Arc<Template>,
    /// How often it was the winner.
    hits: u32,
    /// How often it matched at all.
    matched: u32,
    used: Timestamp,
    /// Where its last date began.
    distance: usize,
}

impl Slot {
    fn weight(&self) -> f64 {
        let distance = u32::try_from(self.distance.max(1)).unwrap_or(u32::MAX);
        f64::from(self.hits) * self.template.weight / f64::from(distance)
    }

    fn find(&mut self, line: &str, start: usize, end: usize) -> Option<Arc<Place>> {
        let place = Arc::new(self.template.find(line, start, end)?);
        self.matched += 1;
        Some(place)
    }
}

/// The last date: its format, and where it stood between which characters.
#[derive(Debug, Clone, Copy)]
struct Last {
    slot: usize,
    start: usize,
    end: usize,
    before: Option<char>,
    first: Option<char>,
    final_: Option<char>,
    after: Option<char>,
}

impl Last {
    fn of(slot: usize, line: &str, (start, end): (usize, usize)) -> Self {
        let (before, first) = around(line, start);
        let (final_, after) = around(line, end);
        Self { slot, start, end, before, first, final_, after }
    }

    /// Whether the line has the same characters outside the same place, or the same non-words inside.
    fn fits(&self, line: &str) -> bool {
        let same = |outside, known_outside, inside, known_inside: Option<char>| {
            outside == known_outside
                || (inside == known_inside && !known_inside.is_some_and(char::is_alphanumeric))
        };
        let (before, first) = around(line, self.start);
        let (final_, after) = around(line, self.end);
        same(before, self.before, first, self.first) && same(after, self.after, final_, self.final_)
    }
}

/// The characters before and behind a place.
fn around(line: &str, at: usize) -> (Option<char>, Option<char>) {
    let before = line.get(..at).and_then(|before| before.chars().next_back());
    (before, line.get(at..).and_then(|behind| behind.chars().next()))
}

struct Best {
    slot: usize,
    place: Arc<Place>,
}

/// What was found in the last line, by which format, and the first bytes of that line, which decided it.
#[derive(Debug)]
struct Repeated {
    text: String,
    slot: usize,
    place: Arc<Place>,
}

impl Detector {
    pub(in crate::filter::fail2ban) fn new(formats: &Formats) -> Self {
        let slot = |template: &Arc<Template>| Slot {
            template: Arc::clone(template),
            hits: 0,
            matched: 0,
            used: Timestamp::MIN,
            distance: usize::MAX,
        };
        let slots = formats.templates.iter().map(slot).collect();
        Self { slots, last: None, repeated: None, first_unused: 0 }
    }

    /// The formats that were found, as they are written, and how often.
    pub(in crate::filter::fail2ban) fn hits(&self) -> Vec<(String, u64)> {
        let used = self.slots.iter().filter(|slot| slot.hits > 0);
        used.map(|slot| (slot.template.written.clone(), slot.hits.into())).collect()
    }

    /// The date of a line.
    pub(in crate::filter::fail2ban) fn find(&mut self, line: &str, now: Timestamp) -> Option<Dated> {
        let mut reserve = None;
        let mut skip = None;
        if let Some(place) = self.repeats(line) {
            let slot = self.last?.slot;
            let used = self.slots.get_mut(slot)?;
            used.matched += 1;
            used.hits += 1;
            used.used = now;
            return Some(Dated { place, template: Arc::clone(&used.template), repeated: true });
        }
        self.repeated = None;
        let winner = match self.as_last(line, &mut skip) {
            Some((best, true)) => Some(best),
            other => {
                reserve = other.map(|(best, _)| best);
                self.search(line, skip, &mut reserve)
            }
        };
        let Best { slot, place } = winner.or(reserve)?;
        let (start, end) = place.ends();
        let used = self.slots.get_mut(slot)?;
        used.hits += 1;
        used.used = now;
        used.distance = start;
        let template = Arc::clone(&used.template);
        if self.first_unused == slot {
            self.first_unused += 1;
        }
        let was = self.last.map(|last| last.slot);
        let moved = if slot > 0 && was != Some(slot) { self.promote(slot) } else { slot };
        self.last = Some(Last::of(moved, line, (start, end)));
        Some(Dated { place, template, repeated: false })
    }

    /// What [`Detector::as_last`] would find for certain, if the bytes that decide it are those of the line before. All
    /// else that a search changes is as the search of that line left it: its format is the last, and cannot move.
    fn repeats(&self, line: &str) -> Option<Arc<Place>> {
        let known = self.repeated.as_ref()?;
        let same = line.starts_with(&known.text) && line.is_ascii() && self.last?.slot == known.slot;
        same.then(|| Arc::clone(&known.place))
    }

    /// With the format and at the place of the last date; `true` if nothing speaks against it.
    fn as_last(&mut self, line: &str, skip: &mut Option<usize>) -> Option<(Best, bool)> {
        let last = self.last?;
        let single = self.slots.len() == 1;
        let slot = self.slots.get_mut(last.slot)?;
        let anchored = slot.template.anchored;
        let nearby = !anchored && last.fits(line);
        let place = if nearby {
            slot.find(line, last.start, last.end.min(line.len()))
        } else {
            *skip = Some(last.slot);
            slot.find(line, 0, line.len())
        }?;
        let same = place.ends() == (last.start, last.end);
        // What was found nearby depends on the bytes up to its end; that the place fits, on the one behind, too. A
        // format of the line's start knows how far it looked.
        let decisive = match nearby {
            true => (same && last.after.is_some()).then_some(last.end + 1),
            false => slot.template.decided(&place),
        };
        if line.is_ascii()
            && let Some(text) = decisive.and_then(|end| line.get(..end))
        {
            let text = text.to_owned();
            self.repeated = Some(Repeated { text, slot: last.slot, place: Arc::clone(&place) });
        }
        let certain = single || anchored || same;
        Some((Best { slot: last.slot, place }, certain))
    }

    fn search(&mut self, line: &str, skip: Option<usize>, reserve: &mut Option<Best>) -> Option<Best> {
        let last_start = self.last.map_or(1, |last| last.start);
        for index in (0..self.slots.len()).filter(|index| Some(*index) != skip) {
            let next_matched = self.slots.get(index + 1).map(|next| next.matched);
            let slot = self.slots.get_mut(index)?;
            let Some(place) = slot.find(line, 0, line.len()) else { continue };
            let (start, _) = place.ends();
            let settled = next_matched.is_none()
                || slot.template.anchored
                || (start == 0 && slot.hits > 0 && next_matched == Some(0));
            if settled || (start <= slot.distance && start <= last_start) {
                return Some(Best { slot: index, place });
            }
            // Further behind than before: perhaps of the message. A nearer one may follow.
            if reserve.as_ref().is_none_or(|best| start < best.place.ends().0) {
                *reserve = Some(Best { slot: index, place });
            }
        }
        None
    }

    /// Moves a format towards the front; returns its new place.
    fn promote(&mut self, index: usize) -> usize {
        let Some(slot) = self.slots.get(index) else { return index };
        let weight = slot.weight();
        let long_ago = slot.used.saturating_sub(Span::new().minutes(5)).unwrap_or(Timestamp::MIN);
        let beats = |place: usize| {
            self.slots.get(place).is_some_and(|other| weight > other.weight() || long_ago > other.used)
        };
        let mut target = if self.first_unused < index { self.first_unused } else { index / 2 };
        if !beats(target) {
            if target == index - 1 {
                return index;
            }
            target = index - 1;
            if !beats(target) {
                return index;
            }
        }
        let slot = self.slots.remove(index);
        self.slots.insert(target, slot);
        while self.slots.get(self.first_unused).is_some_and(|slot| slot.hits > 0) {
            self.first_unused += 1;
        }
        target
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn filters_share_the_defaults_for_as_long_as_they_have_them() {
        // No other test reads dates of this decade.
        let compile = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
            Formats::compile(&patterns, 2049).unwrap().templates
        };
        let (all, at_start) = (compile(&[]), compile(&["{^LN-BEG}", "%Y~%m~%d"]));
        let shared = at_start.iter().filter(|one| all.iter().any(|other| Arc::ptr_eq(one, other)));
        assert_eq!(shared.count(), at_start.len() - 1, "all but the filter's own");
        let first = Arc::downgrade(&all[0]);
        drop((all, at_start));
        assert!(first.upgrade().is_none());
        assert!(!compile(&["{^LN-BEG}"]).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn what_is_known_of_the_line_before_changes_nothing(
            formats in prop::sample::select(vec!["", "{^LN-BEG}", "%b %d %H:%M:%S\n{^LN-BEG}", "EPOCH", "{NONE}", "{^LN-BEG}\nat {DATE}$"]),
            lines in proptest::collection::vec(
                (
                    prop::sample::select(vec!["", "", "[", "at ", "x ", "é "]),
                    prop::sample::select(vec!["Aug 14 11:58:58", "Aug 14 11:58:58", "2005-08-14 11:00:00", "1124013600", "11:58:58"]),
                    prop::sample::select(vec![" m", " m", "", ".5 m", " 2005 m", "] m", "x", " é", " Aug 15 11:00:00", " 2004"]),
                ),
                1..25,
            ),
        ) {
            let formats: Vec<String> = formats.lines().map(str::to_owned).collect();
            let formats = Formats::compile(&formats, 2009).unwrap();
            let (mut quick, mut slow) = (Detector::new(&formats), Detector::new(&formats));
            let clock = Clock { now: Timestamp::from_second(1_124_013_600).unwrap(), zone: TimeZone::UTC };
            for (before, date, after) in lines {
                let line = format!("{before}{date}{after}");
                slow.repeated = None;
                let seen = |detector: &mut Detector| {
                    let dated = detector.find(&line, clock.now)?;
                    Some((dated.span(), dated.moment(&line, &clock, &mut Minute::default())))
                };
                prop_assert_eq!(seen(&mut quick), seen(&mut slow), "{}", line);
                let state = |detector: &Detector| -> Vec<_> {
                    let slots = detector.slots.iter();
                    slots.map(|slot| (slot.template.pattern.written.clone(), slot.hits, slot.matched, slot.distance)).collect()
                };
                prop_assert_eq!(state(&quick), state(&slow));
                prop_assert_eq!(quick.first_unused, slow.first_unused);
            }
        }
    }
}
