//! Who had to leave a full window: a trace of the last failure of each, in eight bytes.
//!
//! In a flood of addresses that come once, who guesses slowly is pushed out between two guesses, for the window has no room; here
//! is room for many more. A newer trace takes the place of an older one wherever its hash falls, so that each lasts for as long as
//! as many others come as there are places, about. Nobody outside can foresee which.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use ipnet::IpNet;

use super::window::Second;

/// So many places for each prefix that the window tracks;
const EACH: usize = 8;
/// but no more than these: 8 MiB.
const MOST: usize = 1 << 20;

/// The traces. They take no memory until there is one.
#[derive(Debug, Default)]
pub(super) struct Faint {
    /// Half a hash of the prefix, and when it failed, if it did; a power of two of them, or none.
    places: Vec<(u32, Second)>,
    keys: RandomState,
}

impl Faint {
    /// Keeps a trace of `prefix`, which failed at `time` and leaves a window of so much `capacity`.
    pub(super) fn keep(&mut self, prefix: &IpNet, time: Second, capacity: usize) {
        if self.places.is_empty() {
            let places = capacity.saturating_mul(EACH).min(MOST).next_power_of_two();
            self.places = vec![(0, Second::NEVER); places];
        }
        let (half, place) = self.place(prefix);
        if let Some(place) = place {
            *place = (half, time);
        }
    }

    /// When `prefix` failed before it had to leave, if that is known; from now on it is not.
    pub(super) fn take(&mut self, prefix: &IpNet) -> Option<Second> {
        if self.places.is_empty() {
            return None;
        }
        let (half, place) = self.place(prefix);
        let (_, time) = place.filter(|(known, _)| *known == half)?;
        Some(std::mem::replace(time, Second::NEVER)).filter(|time| *time != Second::NEVER)
    }

    /// The flood is over.
    pub(super) fn clear(&mut self) {
        self.places = Vec::new();
    }

    fn place(&mut self, prefix: &IpNet) -> (u32, Option<&mut (u32, Second)>) {
        let hash = self.keys.hash_one(prefix);
        let half = u32::try_from(hash >> 32).unwrap_or_default();
        let last = u64::try_from(self.places.len()).unwrap_or_default().wrapping_sub(1);
        (half, usize::try_from(hash & last).ok().and_then(|place| self.places.get_mut(place)))
    }
}
