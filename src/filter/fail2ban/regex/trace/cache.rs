//! What a tracer's lazy DFA remembers, bounded.

use std::collections::HashMap;
use std::sync::Arc;

use regex_automata::PatternID;
use regex_automata::util::primitives::StateID;

use super::budget::{self, Room};

/// What the lazy DFA of one pattern may take, in bytes.
pub(super) const CACHE: usize = 512 << 10;
/// A DFA that is full again before each of its states was entered so many times costs more than it saves.
const WORTH: usize = 10;
/// For so many texts it is then left alone.
const REST: usize = 10_000;

/// Where the threads of the NFA stand before a byte is read, in the order in which they are preferred.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// Of which kind the byte before is.
    pub(super) before: u8,
    pub(super) threads: Box<[StateID]>,
}

/// What a byte does in a state.
#[derive(Clone, Copy)]
pub(super) struct Cell {
    /// Where the cells of the next state begin; [`DEAD`], [`UNTAKEN`]; with [`MATCHED`], a match ends before the byte.
    pub(super) next: u32,
    /// Where the origins of the next state's threads begin. Before these stand those of the match.
    pub(super) origins: u32,
}

/// No byte has been seen here yet.
pub(super) const UNTAKEN: u32 = u32::MAX;
/// No thread is left.
pub(super) const DEAD: u32 = MATCHED - 2;
/// The flag of a match.
pub(super) const MATCHED: u32 = 1 << 31;

/// Which thread of the state before a thread comes from, and what it noted on the way (see [`Cache::notes`]).
#[derive(Clone, Copy, Default)]
pub(super) struct Origin {
    pub(super) thread: u16,
    pub(super) notes: u16,
}

/// The lazy DFA.
#[derive(Default)]
pub(super) struct Cache {
    states: Vec<Arc<State>>,
    /// Where the cells of each begin.
    numbers: HashMap<Arc<State>, u32>,
    /// One for each class of bytes, and one for the text's end.
    pub(super) cells: Vec<Cell>,
    pub(super) origins: Vec<Origin>,
    /// The slots that are set at one place; the first list is empty.
    pub(super) notes: Vec<Box<[u32]>>,
    note_numbers: HashMap<Box<[u32]>, u16>,
    /// Where searches begin, by the kind of the byte before, anchored or not.
    pub(super) starts: Vec<(u8, bool, u32)>,
    /// Bytes read since the cache was empty.
    pub(super) read: usize,
    /// It filled up too fast, and is not asked about the next so many texts.
    pub(super) rest: usize,
    /// What states and notes hold, in bytes.
    boxed: usize,
    room: Room,
}

impl Cache {
    /// Empties it, since others need the room.
    pub(super) fn empty(&mut self) {
        *self = Self { rest: self.rest, ..Self::default() };
    }

    /// Whether there is room for another state.
    pub(super) fn has_room(&self) -> bool {
        self.room.bytes() < CACHE && budget::make_room()
    }

    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.room.bytes()
    }

    /// Gets ready for another text.
    pub(super) fn prepare(&mut self) {
        if self.room.bytes() >= CACHE {
            let rest = if self.read < WORTH * self.states.len() { REST } else { 0 };
            *self = Self { rest, ..Self::default() };
        }
    }

    pub(super) fn state(&self, number: usize) -> Option<Arc<State>> {
        self.states.get(number).cloned()
    }

    /// Where the cells of a state begin; each state has so many.
    pub(super) fn number(&mut self, state: State, cells: usize) -> Option<u32> {
        if let Some(number) = self.numbers.get(&state) {
            return Some(*number);
        }
        let number = u32::try_from(self.cells.len()).ok().filter(|number| *number < DEAD)?;
        self.boxed += size_of::<State>() + size_of_val(&*state.threads) + 2 * size_of::<usize>();
        let state = Arc::new(state);
        self.states.push(Arc::clone(&state));
        self.numbers.insert(state, number);
        self.cells.resize(self.cells.len() + cells, Cell { next: UNTAKEN, origins: 0 });
        Some(number)
    }

    /// The number of a list of slots; none if there are too many.
    pub(super) fn note(&mut self, slots: &[u32]) -> Option<u16> {
        if self.notes.is_empty() {
            self.notes.push(Box::default());
        }
        if slots.is_empty() {
            return Some(0);
        }
        if let Some(number) = self.note_numbers.get(slots) {
            return Some(*number);
        }
        let number = u16::try_from(self.notes.len()).ok()?;
        self.boxed += 2 * size_of_val(slots);
        self.notes.push(slots.into());
        self.note_numbers.insert(slots.into(), number);
        Some(number)
    }

    /// Adds up what it holds.
    pub(super) fn count(&mut self) {
        let map = |capacity: usize, entry: usize| capacity * 8 / 7 * (entry + 1);
        self.room.set(
            self.boxed
                + self.states.capacity() * size_of::<Arc<State>>()
                + map(self.numbers.capacity(), size_of::<(Arc<State>, u32)>())
                + self.cells.capacity() * size_of::<Cell>()
                + self.origins.capacity() * size_of::<Origin>()
                + self.notes.capacity() * size_of::<Box<[u32]>>()
                + map(self.note_numbers.capacity(), size_of::<(Box<[u32]>, u16)>()),
        );
    }

    /// The patterns that match where these origins say so.
    pub(super) fn matched(&self, origins: u32) -> impl Iterator<Item = PatternID> + '_ {
        let end = (origins as usize).checked_sub(1);
        let count = end.and_then(|end| self.origins.get(end)).map_or(0, |count| usize::from(count.thread));
        let patterns = end.and_then(|end| self.origins.get(end.checked_sub(count)?..end));
        let patterns = patterns.unwrap_or_default().iter();
        patterns.filter_map(|pattern| PatternID::new(pattern.thread.into()).ok())
    }
}
