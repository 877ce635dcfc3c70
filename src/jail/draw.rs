//! Chance that nobody outside can foresee.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// xorshift64 (Marsaglia 2003) with a random seed: not for secrets, but nobody outside can aim at it.
#[derive(Debug)]
pub(super) struct Draw(u64);

impl Default for Draw {
    fn default() -> Self {
        Self(RandomState::new().hash_one(0) | 1)
    }
}

impl Draw {
    /// A number below `end`; `None` if there is none.
    pub(super) fn below(&mut self, end: usize) -> Option<usize> {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).ok()?.checked_rem(end)
    }
}
