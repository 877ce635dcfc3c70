//! Chance that nobody outside can foresee.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};

use indexmap::IndexMap;

/// How many entries are compared before one leaves.
const DRAWN: usize = 8;

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

    /// Makes room for `key` in a map of at most `most`: if it is full, anybody leaves.
    pub(super) fn make_room<K: Hash + Eq, V>(&mut self, map: &mut IndexMap<K, V>, key: &K, most: usize) {
        if !map.contains_key(key)
            && map.len() >= most
            && let Some(any) = self.below(map.len())
        {
            map.swap_remove_index(any);
        }
    }

    /// Takes out the entry of a few drawn that has the least of what `rank` says: constant work, however many there are.
    pub(super) fn drop_least<K, V, R: Ord>(
        &mut self,
        map: &mut IndexMap<K, V>,
        rank: impl Fn(&V) -> R,
    ) -> Option<(K, V)> {
        let drawn = (0..DRAWN).filter_map(|_| {
            let index = self.below(map.len())?;
            Some((rank(map.get_index(index)?.1), index))
        });
        let (_, index) = drawn.min()?;
        map.swap_remove_index(index)
    }
}
