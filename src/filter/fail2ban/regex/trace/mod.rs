//! The first match of a pattern and its groups in one pass forwards and a shorter one back, however many ways lead to it.
//!
//! What the engine that backtracks finds is the first way, in the order of preference, that ends in a match. Pike's machine finds it
//! with one thread for each way that is still open, and copies each thread's groups at each byte. Here a lazy DFA remembers for each
//! such list of threads what a byte does to it, and from which thread each thread came; so the pass forwards only notes which
//! of these steps it took. Back from the match, the thread that made it is followed to where it began, and the groups are
//! read off.
//!
//! What it remembers is bounded (see `budget`). Where it may remember no more, the engines do it that remember nothing.

mod budget;
mod cache;
mod step;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use regex_automata::nfa::thompson::{NFA, backtrack::BoundedBacktracker, pikevm::PikeVM};
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Anchored, Input, MatchKind, PatternID, PatternSet};

use self::budget::Shared;
pub(in crate::filter) use self::budget::taken;
use self::cache::{Cache, Cell, DEAD, MATCHED, State, UNTAKEN};

/// Patterns, and the lazy DFA of their threads.
pub(super) struct Tracer {
    nfa: NFA,
    /// All patterns that match are wanted, not the one that is preferred.
    all: bool,
    /// The class of each byte.
    classes: Box<[u8; 256]>,
    /// A byte of each class.
    bytes: Vec<u8>,
    kinds: Kinds,
    shared: Arc<Shared>,
}

/// A trail of more steps is not kept for the next text.
const LONGEST_TRAIL: usize = 4096;

thread_local! {
    /// The origins of each byte of the last text.
    static TRAIL: std::cell::Cell<Vec<u32>> = const { std::cell::Cell::new(Vec::new()) };
}

/// Where a slot is that nothing set.
pub(super) const UNSET: u32 = u32::MAX;

/// What was found, and by which pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Traced {
    pub(super) pattern: PatternID,
    /// After how many bytes no way was left: texts that begin with these match alike, whatever follows. None if all of the
    /// text may matter.
    pub(super) decided: Option<usize>,
}

/// The lazy DFA cannot tell.
struct Unknown;

/// What the pass forwards saw.
struct Pass {
    /// Where the match ends, and the origins of its step.
    matched: Option<(usize, u32)>,
    decided: Option<usize>,
}

/// Bytes that are alike for `^`, `$` and `\b` beside them.
struct Kinds {
    lines: bool,
    words: bool,
    unicode: bool,
}

impl Kinds {
    fn of(&self, byte: u8) -> u8 {
        match byte {
            b'\n' if self.lines => 1,
            b'\r' if self.lines => 2,
            b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' if self.words => 3,
            0x80.. if self.unicode => 5,
            _ => 4,
        }
    }

    /// A byte of a kind; 0 is the text's start.
    fn byte(kind: u8) -> Option<u8> {
        match kind {
            1 => Some(b'\n'),
            2 => Some(b'\r'),
            3 => Some(b'a'),
            4 => Some(b' '),
            5 => Some(0x80),
            _ => None,
        }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").field("states", &self.nfa.states().len()).finish()
    }
}

impl Tracer {
    /// Of the pattern that is preferred.
    pub(super) fn new(nfa: NFA) -> Self {
        Self::of(nfa, false)
    }

    /// Of all patterns that match.
    pub(super) fn of_all(nfa: NFA) -> Self {
        Self::of(nfa, true)
    }

    fn of(nfa: NFA, all: bool) -> Self {
        let looks = nfa.look_set_any();
        let kinds = Kinds {
            lines: looks.contains_anchor_line(),
            words: looks.contains_word(),
            unicode: looks.contains_word_unicode(),
        };
        let (mut classes, mut bytes) = (Box::new([0; 256]), Vec::new());
        let like = |byte| (nfa.byte_classes().get(byte), kinds.of(byte));
        for (byte, class) in (0..=u8::MAX).zip(classes.iter_mut()) {
            let known = bytes.iter().position(|known| like(*known) == like(byte)).unwrap_or(bytes.len());
            if known == bytes.len() {
                bytes.push(byte);
            }
            *class = u8::try_from(known).unwrap_or(u8::MAX);
        }
        Self { nfa, all, classes, bytes, kinds, shared: Shared::register() }
    }

    /// What it runs.
    pub(super) fn nfa(&self) -> &NFA {
        &self.nfa
    }

    /// The leftmost match that begins at `start` or behind it; with `anchored`, at `start`. Fills the slots, all of them
    /// [`UNSET`] before; none are wanted where there are none.
    pub(super) fn find(
        &self,
        text: &[u8],
        start: usize,
        anchored: bool,
        slots: &mut [u32],
    ) -> Option<Traced> {
        match self.trace(text, start, anchored, slots) {
            Ok(found) => found,
            Err(Unknown) => {
                let pattern = self.slowly(text, start, anchored, slots)?;
                Some(Traced { pattern, decided: None })
            }
        }
    }

    /// Adds the patterns that match anywhere.
    pub(super) fn find_all(&self, text: &[u8], found: &mut PatternSet) {
        let traced = self.with_cache(text.len(), |cache, trail| {
            self.forwards(cache, trail, text, 0, false, &mut |cache, origins| {
                for pattern in cache.matched(origins) {
                    found.insert(pattern);
                }
                found.is_full()
            })
        });
        if traced.is_err() {
            let config = PikeVM::config().match_kind(MatchKind::All);
            if let Ok(machine) = PikeVM::builder().configure(config).build_from_nfa(self.nfa.clone()) {
                machine.which_overlapping_matches(&mut machine.create_cache(), &Input::new(text), found);
            }
        }
    }

    fn trace(
        &self,
        text: &[u8],
        start: usize,
        anchored: bool,
        slots: &mut [u32],
    ) -> Result<Option<Traced>, Unknown> {
        self.with_cache(text.len().saturating_sub(start), |cache, trail| {
            let first = slots.is_empty();
            let pass = self.forwards(cache, trail, text, start, anchored, &mut |_, _| first)?;
            let Some((end, origins)) = pass.matched else { return Ok(None) };
            let pattern = cache.matched(origins).next().ok_or(Unknown)?;
            if !first {
                back(cache, trail, (start, end), origins, slots).ok_or(Unknown)?;
            }
            Ok(Some(Traced { pattern, decided: pass.decided }))
        })
    }

    /// Lends the cache, and the trail of so many steps.
    fn with_cache<T>(
        &self,
        length: usize,
        search: impl FnOnce(&mut Cache, &mut [u32]) -> Result<T, Unknown>,
    ) -> Result<T, Unknown> {
        let mut cache = self.shared.cache.try_lock().map_err(|_| Unknown)?;
        if cache.rest > 0 {
            cache.rest -= 1;
            return Err(Unknown);
        }
        self.shared.touch();
        cache.prepare();
        let mut trail = TRAIL.take();
        if trail.len() < length {
            trail.resize(length, 0);
        }
        let found = search(&mut cache, &mut trail);
        if trail.len() <= LONGEST_TRAIL {
            TRAIL.set(trail);
        }
        found
    }

    /// Notes the steps. `on_match` is told where patterns match, and says whether that is enough.
    fn forwards(
        &self,
        cache: &mut Cache,
        trail: &mut [u32],
        text: &[u8],
        start: usize,
        anchored: bool,
        on_match: &mut dyn FnMut(&Cache, u32) -> bool,
    ) -> Result<Pass, Unknown> {
        let mut pass = Pass { matched: None, decided: None };
        let before = start.checked_sub(1).and_then(|before| text.get(before));
        let mut state = self.start(cache, before.map_or(0, |byte| self.kinds.of(*byte)), anchored)?;
        let searched = text.get(start..).ok_or(Unknown)?;
        for (at, (byte, step)) in searched.iter().zip(trail.iter_mut()).enumerate() {
            let class = u32::from(self.classes.get(usize::from(*byte)).copied().unwrap_or_default());
            let mut cell = *cache.cells.get((state + class) as usize).ok_or(Unknown)?;
            if cell.next >= DEAD {
                if cell.next == UNTAKEN {
                    cell = self.untaken(cache, state, class)?;
                }
                if cell.next & MATCHED != 0 {
                    pass.matched = Some((start + at, cell.origins));
                    if on_match(cache, cell.origins) {
                        cache.read += at;
                        return Ok(pass);
                    }
                }
                cell.next &= !MATCHED;
                if cell.next == DEAD {
                    cache.read += at + 1;
                    pass.decided = Some(start + at + 1);
                    return Ok(pass);
                }
            }
            *step = cell.origins;
            state = cell.next;
        }
        cache.read += searched.len();
        let class = u32::try_from(self.bytes.len()).map_err(|_| Unknown)?;
        let mut cell = *cache.cells.get((state + class) as usize).ok_or(Unknown)?;
        if cell.next == UNTAKEN {
            cell = self.untaken(cache, state, class)?;
        }
        if cell.next & MATCHED != 0 {
            pass.matched = Some((text.len(), cell.origins));
            on_match(cache, cell.origins);
        }
        Ok(pass)
    }

    fn start(&self, cache: &mut Cache, before: u8, anchored: bool) -> Result<u32, Unknown> {
        let known = cache.starts.iter().find(|start| (start.0, start.1) == (before, anchored));
        if let Some((.., state)) = known {
            return Ok(*state);
        }
        let first = if anchored { self.nfa.start_anchored() } else { self.nfa.start_unanchored() };
        let state = State { before, threads: [first].into() };
        let state = cache.number(state, self.bytes.len() + 1).ok_or(Unknown)?;
        cache.starts.push((before, anchored, state));
        cache.count();
        Ok(state)
    }

    /// None if there is no room for another step.
    #[cold]
    fn untaken(&self, cache: &mut Cache, state: u32, class: u32) -> Result<Cell, Unknown> {
        if !cache.has_room() {
            return Err(Unknown);
        }
        let number = state as usize / (self.bytes.len() + 1);
        let cell = self.step(cache, number, class as usize).ok_or(Unknown)?;
        *cache.cells.get_mut((state + class) as usize).ok_or(Unknown)? = cell;
        cache.count();
        Ok(cell)
    }

    /// By engines that remember nothing from text to text.
    #[cold]
    fn slowly(&self, text: &[u8], start: usize, anchored: bool, slots: &mut [u32]) -> Option<PatternID> {
        let anchored = if anchored { Anchored::Yes } else { Anchored::No };
        let input = Input::new(text).range(start..).anchored(anchored);
        let mut places: Vec<Option<NonMaxUsize>> = vec![None; slots.len()];
        let backtracker = BoundedBacktracker::new_from_nfa(self.nfa.clone()).ok();
        let pattern = match backtracker.filter(|engine| input.get_span().len() < engine.max_haystack_len()) {
            Some(engine) => {
                engine.try_search_slots(&mut engine.create_cache(), &input, &mut places).ok()??
            }
            None => {
                let engine = PikeVM::new_from_nfa(self.nfa.clone()).ok()?;
                engine.search_slots(&mut engine.create_cache(), &input, &mut places)?
            }
        };
        for (slot, place) in slots.iter_mut().zip(places) {
            *slot = place.and_then(|place| u32::try_from(place.get()).ok()).unwrap_or(UNSET);
        }
        Some(pattern)
    }
}

/// Follows the thread of a match back to where it began. What was set last counts.
fn back(
    cache: &Cache,
    trail: &[u32],
    (start, end): (usize, usize),
    origins: u32,
    slots: &mut [u32],
) -> Option<()> {
    let mut set = |notes: u16, at: usize| {
        for slot in cache.notes.get(usize::from(notes)).into_iter().flatten() {
            if let Some(slot) = slots.get_mut(*slot as usize)
                && *slot == UNSET
            {
                *slot = u32::try_from(at).unwrap_or(UNSET);
            }
        }
    };
    let patterns_and_their_count = 2;
    let mut origin = *cache.origins.get((origins as usize).checked_sub(patterns_and_their_count + 1)?)?;
    set(origin.notes, end);
    for (at, step) in (start..end).zip(trail.get(..end.checked_sub(start)?)?).rev() {
        origin = *cache.origins.get(*step as usize + usize::from(origin.thread))?;
        if origin.notes != 0 {
            set(origin.notes, at);
        }
    }
    Some(())
}
