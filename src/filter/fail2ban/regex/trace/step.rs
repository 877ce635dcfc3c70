//! What one byte does to the threads of an NFA.

use regex_automata::nfa::thompson::{NFA, State as NfaState};
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;
use smallvec::SmallVec;

use super::cache::{Cache, Cell, DEAD, MATCHED, Origin, State};
use super::{Kinds, Tracer, Unknown};

/// Threads of one place, on their way to the next.
struct Walk<'t> {
    nfa: &'t NFA,
    /// All patterns that match are wanted, not the one that is preferred.
    all: bool,
    /// The bytes around the place.
    around: SmallVec<[u8; 2]>,
    at: usize,
    /// States where a thread of this place has been.
    been: Vec<bool>,
    /// States where one goes.
    taken: Vec<bool>,
    /// Where threads go, and from which they came with which slots.
    reached: Vec<(StateID, usize, Slots)>,
    /// Which thread matched with which slots, and which patterns.
    matched: Option<(usize, Slots)>,
    patterns: Vec<usize>,
}

type Slots = SmallVec<[u32; 8]>;

impl Walk<'_> {
    /// Follows a thread as far as it goes without and with the next byte; whether threads that are preferred less go on.
    fn thread(&mut self, number: usize, first: StateID) -> Result<bool, Unknown> {
        let mut slots = Slots::new();
        let mut open: SmallVec<[(StateID, usize); 16]> = SmallVec::new();
        open.push((first, 0));
        while let Some((state, noted)) = open.pop() {
            slots.truncate(noted);
            match self.been.get_mut(state.as_usize()) {
                Some(been) if !*been => *been = true,
                _ => continue,
            }
            match self.nfa.state(state) {
                NfaState::Look { look, next } => {
                    if self.holds(*look)? {
                        open.push((*next, noted));
                    }
                }
                NfaState::Union { alternates } => {
                    open.extend(alternates.iter().rev().map(|next| (*next, noted)));
                }
                NfaState::BinaryUnion { alt1, alt2 } => open.extend([(*alt2, noted), (*alt1, noted)]),
                NfaState::Capture { next, slot, .. } => {
                    slots.push(u32::try_from(slot.as_usize()).unwrap_or(u32::MAX));
                    open.push((*next, noted + 1));
                }
                NfaState::Match { pattern_id } => {
                    self.patterns.push(pattern_id.as_usize());
                    self.matched = Some((number, slots.clone()));
                    if !self.all {
                        return Ok(false);
                    }
                }
                reading => {
                    let next = self.around.get(self.at).and_then(|byte| read(reading, *byte));
                    if let Some(next) = next
                        && let Some(taken @ false) = self.taken.get_mut(next.as_usize())
                    {
                        *taken = true;
                        self.reached.push((next, number, slots.clone()));
                    }
                }
            }
        }
        Ok(true)
    }

    fn holds(&self, look: Look) -> Result<bool, Unknown> {
        let of_unicode = matches!(
            look,
            Look::WordUnicode
                | Look::WordUnicodeNegate
                | Look::WordStartUnicode
                | Look::WordEndUnicode
                | Look::WordStartHalfUnicode
                | Look::WordEndHalfUnicode
        );
        if of_unicode && !self.around.is_ascii() {
            // Beside a character that is not of ASCII, only a whole text says what is a word.
            return Err(Unknown);
        }
        Ok(self.nfa.look_matcher().matches(look, &self.around, self.at))
    }
}

impl Tracer {
    /// What a byte of this class, or the text's end, does in a state; none where that cannot be told.
    pub(super) fn step(&self, cache: &mut Cache, state: usize, class: usize) -> Option<Cell> {
        let state = cache.state(state)?;
        let before = Kinds::byte(state.before);
        let byte = self.bytes.get(class).copied();
        let mut walk = Walk {
            nfa: &self.nfa,
            all: self.all,
            around: before.into_iter().chain(byte).collect(),
            at: usize::from(before.is_some()),
            been: vec![false; self.nfa.states().len()],
            taken: vec![false; self.nfa.states().len()],
            reached: Vec::new(),
            matched: None,
            patterns: Vec::new(),
        };
        for (number, thread) in state.threads.iter().enumerate() {
            if !walk.thread(number, *thread).ok()? {
                break;
            }
        }
        self.cell(cache, walk, byte)
    }

    fn cell(&self, cache: &mut Cache, walk: Walk<'_>, byte: Option<u8>) -> Option<Cell> {
        let Walk { mut reached, matched, mut patterns, .. } = walk;
        if self.all {
            // In which order does not matter.
            reached.sort_by_key(|(next, ..)| *next);
            patterns.sort_unstable();
            patterns.dedup();
        }
        let mut flag = 0;
        if let Some((thread, slots)) = matched {
            flag = MATCHED;
            let notes = cache.note(&slots)?;
            cache.origins.push(Origin { thread: u16::try_from(thread).ok()?, notes });
            for pattern in &patterns {
                cache.origins.push(Origin { thread: u16::try_from(*pattern).ok()?, notes: 0 });
            }
            cache.origins.push(Origin { thread: u16::try_from(patterns.len()).ok()?, notes: 0 });
        }
        let origins = u32::try_from(cache.origins.len()).ok()?;
        if !self.all {
            for (_, thread, slots) in &reached {
                let notes = cache.note(slots)?;
                cache.origins.push(Origin { thread: u16::try_from(*thread).ok()?, notes });
            }
        }
        let next = match byte {
            Some(byte) if !reached.is_empty() => {
                let threads = reached.iter().map(|(next, ..)| *next).collect();
                cache.number(State { before: self.kinds.of(byte), threads }, self.bytes.len() + 1)?
            }
            _ => DEAD,
        };
        Some(Cell { next: next | flag, origins })
    }
}

/// Where a state leads that reads this byte.
fn read(state: &NfaState, byte: u8) -> Option<StateID> {
    match state {
        NfaState::ByteRange { trans } => trans.matches_byte(byte).then_some(trans.next),
        NfaState::Sparse(sparse) => sparse.matches_byte(byte),
        NfaState::Dense(dense) => dense.matches_byte(byte),
        _ => None,
    }
}
