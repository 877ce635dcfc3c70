//! What is remembered for a while: so many things at most, the oldest goes first.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

/// Values by identifier, bounded in number and age.
#[derive(Debug)]
pub(in crate::filter) struct Recent<V> {
    known: HashMap<Arc<[u8]>, (V, Timestamp)>,
    /// The oldest first; may name some that are gone.
    order: VecDeque<(Arc<[u8]>, Timestamp)>,
    most: usize,
    longest: Duration,
}

impl<V> Recent<V> {
    /// Nothing yet; `most` values at once, each for `longest` after it was put in.
    pub(in crate::filter) fn new(most: usize, longest: Duration) -> Self {
        Self { known: HashMap::new(), order: VecDeque::new(), most, longest }
    }

    pub(in crate::filter) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// What there are values of, over or not, in any order.
    pub(in crate::filter) fn ids(&self) -> impl Iterator<Item = &[u8]> {
        self.known.keys().map(|id| &**id)
    }

    /// Whether there is a value, over or not.
    pub(in crate::filter) fn contains(&self, id: &[u8]) -> bool {
        self.known.contains_key(id)
    }

    /// The value of `id`, if it is not over.
    pub(in crate::filter) fn get(&mut self, id: &[u8], now: Timestamp) -> Option<&mut V> {
        self.known.get_mut(id).filter(|(_, until)| *until > now).map(|(value, _)| value)
    }

    /// Puts in a value that is not there yet, or over, and makes room for it.
    pub(in crate::filter) fn insert(&mut self, id: &[u8], value: V, now: Timestamp) -> &mut V {
        if self.known.len() >= self.most {
            // Drops what is over up to the oldest that is not.
            while let Some((oldest, until)) = self.order.pop_front() {
                if let Entry::Occupied(known) = self.known.entry(oldest)
                    && known.get().1 == until
                {
                    known.remove();
                    if until > now {
                        break;
                    }
                }
            }
        }
        let until = now.saturating_add(self.longest).unwrap_or(Timestamp::MAX);
        // What was removed leaves its name here.
        if self.order.len() >= 2 * self.most {
            let known = &self.known;
            self.order.retain(|(id, until)| known.get(id).is_some_and(|(_, own)| own == until));
        }
        let id: Arc<[u8]> = Arc::from(id);
        self.order.push_back((Arc::clone(&id), until));
        &mut self.known.entry(id).insert_entry((value, until)).into_mut().0
    }

    /// The value of `id`; a new one if there is none, or it is over.
    pub(in crate::filter) fn get_or_default(&mut self, id: &[u8], now: Timestamp) -> &mut V
    where
        V: Default,
    {
        if self.get(id, now).is_none() {
            return self.insert(id, V::default(), now);
        }
        &mut self.known.entry(id.into()).or_insert_with(|| (V::default(), now)).0
    }

    /// Takes a value out, if it is not over.
    pub(in crate::filter) fn remove(&mut self, id: &[u8], now: Timestamp) -> Option<V> {
        self.known.remove(id).filter(|(_, until)| *until > now).map(|(value, _)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_and_nothing_lasts_for_ever() {
        let mut recent = Recent::new(3, Duration::from_secs(10));
        let at = |second| Timestamp::from_second(second).unwrap();
        for (second, id) in [(0, b"a"), (1, b"b"), (2, b"c"), (3, b"d")] {
            recent.insert(id, second, at(second));
        }
        assert_eq!(recent.get(b"a", at(4)), None);
        assert_eq!(recent.get(b"b", at(4)), Some(&mut 1));
        assert_eq!(recent.remove(b"c", at(4)), Some(2));
        assert_eq!(recent.get(b"b", at(11)), None);
        assert_eq!(recent.remove(b"d", at(13)), None);
        for second in 20..200 {
            recent.insert(b"e", second, at(second));
            recent.remove(b"e", at(second));
        }
        assert!(recent.known.len() <= 1 && recent.order.len() <= 6, "{recent:?}");
    }
}
