//! The groups of a match in two passes, however many ways through the pattern there are.
//!
//! The engine that backtracks tries the ways in order and takes the first that ends in a match. Here a lazy DFA reads the text
//! backwards first and notes for each place which states of the NFA still lead to a match from there. The second pass goes
//! forwards and takes, wherever ways part, the first that leads to one. That is the same way, found without a step back.
//!
//! Of ASCII alone: what stands around a place decides what holds there (`\b`, `$`), and one byte on either side tells it.

mod cache;

use std::fmt;
use std::sync::Mutex;

use regex_automata::PatternID;
use regex_automata::nfa::thompson::{NFA, State};
use regex_automata::util::primitives::{NonMaxUsize, StateID};
use smallvec::{SmallVec, smallvec};

use self::cache::{Cache, Place, Set, Step, UNTAKEN};

/// No text of more bytes is looked at: the trail is as long as the text.
const LONGEST: usize = 4096;

/// A pattern's NFA, and the lazy DFA of what leads to its end.
pub(super) struct Guide {
    nfa: NFA,
    /// The NFA's states, each behind those that it leads to without reading a byte.
    order: Vec<StateID>,
    /// A byte of each class, and none for the text's start.
    classes: Vec<Option<u8>>,
    /// A match may end anywhere, not only where the search does.
    open: bool,
    cache: Mutex<Cache>,
}

/// What a guide says of a text.
pub(super) enum Way {
    None,
    /// By this pattern.
    Found(PatternID),
    /// The guide cannot tell.
    Unknown,
}

impl fmt::Debug for Guide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guide").field("states", &self.order.len()).finish()
    }
}

impl Guide {
    /// None if the same state can be entered twice at one place: then not every first way leads on.
    pub(super) fn of(nfa: NFA, open: bool) -> Option<Self> {
        let order = order(&nfa)?;
        let bytes = nfa.byte_classes();
        let mut classes = vec![None; bytes.alphabet_len()];
        for byte in 0..=u8::MAX {
            if let Some(place) = classes.get_mut(usize::from(bytes.get(byte))) {
                *place = Some(byte);
            }
        }
        Some(Self { nfa, order, classes, open, cache: Mutex::default() })
    }

    /// The first way to a match that begins at `start` or behind it, and ends at `end`; or anywhere before, if the guide is open.
    /// Fills the slots as [`regex_automata::meta::Regex::search_slots`] does.
    pub(super) fn find(
        &self,
        text: &[u8],
        (start, end): (usize, usize),
        slots: &mut [Option<NonMaxUsize>],
    ) -> Way {
        let Ok(mut cache) = self.cache.try_lock() else { return Way::Unknown };
        match self.look_back(&mut cache, text, start, end) {
            Some(()) => self.go(&cache, text, (start, end), slots),
            None => Way::Unknown,
        }
    }

    /// Fills the trail; none if the cache is of no use.
    fn look_back(&self, cache: &mut Cache, text: &[u8], start: usize, end: usize) -> Option<()> {
        if end.checked_sub(start)? > LONGEST {
            return None;
        }
        cache.make_room();
        if cache.rest > 0 {
            cache.rest -= 1;
            return None;
        }
        let mut trail = std::mem::take(&mut cache.trail);
        trail.clear();
        trail.reserve(text.len() + 1);
        cache.read += end - start;
        let mut place = self.last_place(cache, text.get(end).map(alike))?;
        let bytes = self.nfa.byte_classes();
        for byte in text.get(start..end)?.iter().rev() {
            let step = self.taken(cache, place, bytes.get(*byte).into())?;
            trail.push(step.leading);
            place = step.place;
        }
        let before = start.checked_sub(1).and_then(|before| text.get(before));
        let class = before.map_or(self.classes.len() - 1, |byte| bytes.get(*byte).into());
        trail.push(self.taken(cache, place, class)?.leading);
        cache.trail = trail;
        Some(())
    }

    /// The step from a place over a byte of this class.
    #[inline]
    fn taken(&self, cache: &mut Cache, place: u32, class: usize) -> Option<Step> {
        let step = *cache.steps.get(place as usize + class)?;
        if step.leading == UNTAKEN.leading { self.untaken(cache, place, class) } else { Some(step) }
    }

    /// None if there is no room for another place.
    #[cold]
    fn untaken(&self, cache: &mut Cache, place: u32, class: usize) -> Option<Step> {
        if cache.room.is_full() {
            return None;
        }
        let step = self.step(cache, place as usize / self.classes.len(), class)?;
        *cache.steps.get_mut(place as usize + class)? = step;
        Some(step)
    }

    /// The place at which the search ends, before this byte.
    fn last_place(&self, cache: &mut Cache, after: Option<u8>) -> Option<u32> {
        if let Some((_, place)) = cache.last_places.iter().find(|(known, _)| *known == after) {
            return Some(*place);
        }
        let mut ready = Set::of(self.order.len());
        self.order.iter().filter(|state| self.is_match(**state)).for_each(|state| ready.add(*state));
        let place = cache.place(Place { ready, after }, self.classes.len())?;
        cache.last_places.push((after, place));
        Some(place)
    }

    /// Follows the trail forwards.
    fn go(
        &self,
        cache: &Cache,
        text: &[u8],
        (start, end): (usize, usize),
        slots: &mut [Option<NonMaxUsize>],
    ) -> Way {
        let leads = |state, at| {
            let number = end.checked_sub(at).and_then(|back| cache.trail.get(back));
            number.and_then(|number| cache.leading.get(*number as usize)).is_some_and(|set| set.has(state))
        };
        let first = self.nfa.start_anchored();
        let last = if self.nfa.is_always_start_anchored() { start } else { end };
        let Some(mut at) = (start..=last).find(|at| leads(first, *at)) else { return Way::None };
        let mut state = first;
        loop {
            let next = match self.nfa.state(state) {
                State::ByteRange { trans } => {
                    at += 1;
                    Some(trans.next)
                }
                State::BinaryUnion { alt1, alt2 } => Some(if leads(*alt1, at) { *alt1 } else { *alt2 }),
                State::Union { alternates } => alternates.iter().copied().find(|next| leads(*next, at)),
                State::Capture { next, slot, .. } => {
                    if let Some(slot) = slots.get_mut(slot.as_usize()) {
                        *slot = NonMaxUsize::new(at);
                    }
                    Some(*next)
                }
                State::Look { next, .. } => Some(*next),
                State::Match { pattern_id } => return Way::Found(*pattern_id),
                reading => {
                    let next = text.get(at).and_then(|byte| read(reading, *byte));
                    at += 1;
                    next
                }
            };
            let Some(next) = next else { return Way::Unknown };
            state = next;
        }
    }

    /// What a byte of this class before the place tells.
    fn step(&self, cache: &mut Cache, place: usize, class: usize) -> Option<Step> {
        let Place { ready, after } = cache.places.get(place)?;
        let before = *self.classes.get(class)?;
        let around: SmallVec<[u8; 2]> = before.into_iter().chain(*after).collect();
        let at = usize::from(before.is_some());
        let mut leading = Set::of(self.order.len());
        for state in &self.order {
            let leads = match self.nfa.state(*state) {
                State::Look { look, next } => {
                    leading.has(*next) && self.nfa.look_matcher().matches(*look, &around, at)
                }
                State::Union { alternates } => alternates.iter().any(|next| leading.has(*next)),
                State::BinaryUnion { alt1, alt2 } => leading.has(*alt1) || leading.has(*alt2),
                State::Capture { next, .. } => leading.has(*next),
                _ => ready.has(*state),
            };
            if leads {
                leading.add(*state);
            }
        }
        let mut ready = Set::of(self.order.len());
        for state in &self.order {
            let reads = |byte| read(self.nfa.state(*state), byte).is_some_and(|next| leading.has(next));
            if before.is_some_and(reads) || self.open && self.is_match(*state) {
                ready.add(*state);
            }
        }
        let place = cache.place(Place { ready, after: before.as_ref().map(alike) }, self.classes.len())?;
        Some(Step { leading: cache.leading(leading)?, place })
    }

    fn is_match(&self, state: StateID) -> bool {
        matches!(self.nfa.state(state), State::Match { .. })
    }
}

/// A byte that is to `\b`, `^` and `$` what this one is.
fn alike(byte: &u8) -> u8 {
    match byte {
        b'\n' | b'\r' => *byte,
        b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => b'a',
        _ => b' ',
    }
}

/// Where a state leads that reads this byte.
fn read(state: &State, byte: u8) -> Option<StateID> {
    match state {
        State::ByteRange { trans } => trans.matches_byte(byte).then_some(trans.next),
        State::Sparse(sparse) => sparse.matches_byte(byte),
        State::Dense(dense) => dense.matches_byte(byte),
        _ => None,
    }
}

/// Where a state leads without reading a byte.
fn unread(state: &State) -> SmallVec<[StateID; 4]> {
    match state {
        State::Look { next, .. } | State::Capture { next, .. } => smallvec![*next],
        State::Union { alternates } => alternates.iter().copied().collect(),
        State::BinaryUnion { alt1, alt2 } => smallvec![*alt1, *alt2],
        _ => SmallVec::new(),
    }
}

/// The states, each behind those that it leads to without reading a byte; none if one leads to itself so.
fn order(nfa: &NFA) -> Option<Vec<StateID>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        Never,
        Open,
        Done,
    }
    let mut seen = vec![Seen::Never; nfa.states().len()];
    let mut order = Vec::with_capacity(seen.len());
    for first in (0..seen.len()).filter_map(|state| StateID::new(state).ok()) {
        let mut stack = vec![first];
        while let Some(state) = stack.last().copied() {
            let mark = seen.get_mut(state.as_usize())?;
            match mark {
                Seen::Done => drop(stack.pop()),
                Seen::Open => {
                    *mark = Seen::Done;
                    order.push(state);
                    stack.pop();
                }
                Seen::Never => {
                    *mark = Seen::Open;
                    for next in unread(nfa.state(state)) {
                        match seen.get(next.as_usize())? {
                            Seen::Never => stack.push(next),
                            Seen::Open => return None,
                            Seen::Done => {}
                        }
                    }
                }
            }
        }
    }
    Some(order)
}

#[cfg(test)]
mod tests {
    use super::cache::CACHE;
    use super::*;

    fn guide(pattern: &str) -> Option<Guide> {
        let config = NFA::config().utf8(false);
        Guide::of(NFA::compiler().configure(config).build(pattern).unwrap(), true)
    }

    #[test]
    fn what_could_go_round_without_a_byte_is_left_to_the_engine() {
        assert!(guide(r"(?:a*)*b").is_none());
        assert!(guide(r"(?:a+)*b").is_some());
    }

    #[test]
    fn hostile_texts_fill_no_more_than_the_cache_and_are_left_to_the_engine() {
        // Backwards, each of the last bytes may be the one before the run: the DFA has 2^14 states.
        let guide = guide(r"^[ab]*?([ab]{14}a[ab]*)$").unwrap();
        let (mut seed, mut unknown) = (1_u64, 0);
        for _ in 0..3000 {
            let text: Vec<u8> = (0..200)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    if seed >> 60 & 1 == 0 { b'a' } else { b'b' }
                })
                .collect();
            let mut slots = [None; 4];
            unknown += usize::from(matches!(guide.find(&text, (0, text.len()), &mut slots), Way::Unknown));
            let taken = guide.cache.lock().unwrap().room.0;
            assert!(taken <= CACHE + (8 << 10), "{taken}");
        }
        assert!(unknown > 0);
        assert!(matches!(guide.find(&[b'a'; LONGEST + 1], (0, LONGEST + 1), &mut []), Way::Unknown));
    }
}
