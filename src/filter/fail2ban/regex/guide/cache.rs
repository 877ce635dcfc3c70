//! What a guide's lazy DFA remembers, bounded.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use regex_automata::util::primitives::StateID;
use smallvec::SmallVec;

use crate::filter::scanner::GUIDES_BUDGET;

/// What the lazy DFA of one pattern may take, in bytes.
pub(super) const CACHE: usize = 512 << 10;
/// A DFA that is full again before each of its states was entered so many times costs more than it saves.
const WORTH: usize = 10;
/// For so many texts it is then left alone.
const REST: usize = 10_000;

/// What the guides of the program take now, in bytes.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// A set of the NFA's states.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Set(Box<[u64]>);

/// What is known before a byte is read backwards.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// States that read the next byte and lead to a match, or are one.
    pub(super) ready: Set,
    /// The next byte, or one that is like it beside a `\b`; none at the text's end.
    pub(super) after: Option<u8>,
}

/// What a byte before a place tells: the states that lead to a match from the place, and the place before that byte.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) leading: u32,
    /// Where its own steps begin.
    pub(super) place: u32,
}

/// A step that nobody has taken yet.
pub(super) const UNTAKEN: Step = Step { leading: u32::MAX, place: u32::MAX };

/// The lazy DFA.
#[derive(Default)]
pub(super) struct Cache {
    pub(super) places: Vec<Place>,
    /// Where the steps of each begin.
    numbers: HashMap<Place, u32>,
    /// One for each class of bytes.
    pub(super) steps: Vec<Step>,
    pub(super) leading: Vec<Set>,
    leading_numbers: HashMap<Set, u32>,
    /// Where a search may end, by the byte that follows.
    pub(super) last_places: SmallVec<[(Option<u8>, u32); 4]>,
    /// The numbers of the sets of the last text, last place first.
    pub(super) trail: Vec<u32>,
    /// Bytes read since the cache was empty.
    pub(super) read: usize,
    /// It filled up too fast, and is not asked about the next so many texts.
    pub(super) rest: usize,
    pub(super) room: Room,
}

/// What a cache takes, in bytes, counted in [`TAKEN`] until it is dropped.
#[derive(Default)]
pub(super) struct Room(pub(super) usize);

impl Room {
    pub(super) fn take(&mut self, bytes: usize) {
        self.0 += bytes;
        TAKEN.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn is_full(&self) -> bool {
        self.0 > CACHE || TAKEN.load(Ordering::Relaxed) > GUIDES_BUDGET
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.0, Ordering::Relaxed);
    }
}

impl Set {
    pub(super) fn of(states: usize) -> Self {
        Self(vec![0; states.div_ceil(64)].into_boxed_slice())
    }

    pub(super) fn add(&mut self, state: StateID) {
        if let Some(word) = self.0.get_mut(state.as_usize() / 64) {
            *word |= 1 << (state.as_usize() % 64);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.0) + size_of::<Place>()
    }

    pub(super) fn has(&self, state: StateID) -> bool {
        self.0.get(state.as_usize() / 64).is_some_and(|word| word >> (state.as_usize() % 64) & 1 == 1)
    }
}

impl Cache {
    /// Empties a full cache.
    pub(super) fn make_room(&mut self) {
        if self.room.is_full() {
            let rest = if self.read < WORTH * self.places.len().max(1) { REST } else { 0 };
            *self = Self { rest, ..Self::default() };
        }
    }

    pub(super) fn place(&mut self, place: Place, classes: usize) -> Option<u32> {
        if let Some(number) = self.numbers.get(&place) {
            return Some(*number);
        }
        let number = u32::try_from(self.steps.len()).ok()?;
        // Each is kept twice.
        self.room.take(2 * place.ready.bytes() + classes * size_of::<Step>());
        self.places.push(place.clone());
        self.steps.resize(self.places.len() * classes, UNTAKEN);
        self.numbers.insert(place, number);
        Some(number)
    }

    pub(super) fn leading(&mut self, set: Set) -> Option<u32> {
        if let Some(number) = self.leading_numbers.get(&set) {
            return Some(*number);
        }
        let number = u32::try_from(self.leading.len()).ok()?;
        self.room.take(2 * set.bytes());
        self.leading.push(set.clone());
        self.leading_numbers.insert(set, number);
        Some(number)
    }
}
