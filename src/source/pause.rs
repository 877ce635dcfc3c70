//! How long is waited before something is tried again that failed: twice as long each time.

use std::time::Duration;

/// The next pause.
#[derive(Debug)]
pub(super) struct Pause {
    next: Duration,
    shortest: Duration,
    longest: Duration,
}

impl Pause {
    /// The first one is the shortest.
    pub(super) const fn between(shortest: Duration, longest: Duration) -> Self {
        Self { next: shortest, shortest, longest }
    }

    /// It was tried, and has failed: how long to wait now.
    pub(super) fn take(&mut self) -> Duration {
        let pause = self.next;
        self.next = self.longest.min(pause * 2);
        pause
    }

    /// It went well.
    pub(super) fn reset(&mut self) {
        self.next = self.shortest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_grow_to_the_longest_and_begin_anew_when_it_went_well() {
        let mut pause = Pause::between(Duration::from_secs(1), Duration::from_secs(5));
        let mut taken = || pause.take().as_secs();
        assert_eq!([taken(), taken(), taken(), taken(), taken()], [1, 2, 4, 5, 5]);
        pause.reset();
        assert_eq!(pause.take().as_secs(), 1);
    }
}
