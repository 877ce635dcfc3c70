//! How long a ban lasts after the offender's last packet, where that counts.

use std::fmt;
use std::num::{NonZeroU32, ParseIntError};
use std::str::FromStr;
use std::time::Duration;

/// The length of bans that the offender's own packets renew, in whole seconds: bans of one length share sets and rules of
/// the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tier(NonZeroU32);

impl Tier {
    /// The tier of bans of this length, rounded up to seconds; `None` if it is longer than 136 years.
    #[must_use]
    pub fn of(length: Duration) -> Option<Self> {
        let seconds = length.as_secs().checked_add(u64::from(length.subsec_nanos() > 0))?;
        NonZeroU32::new(u32::try_from(seconds.max(1)).ok()?).map(Self)
    }

    /// How long a ban lasts after the offender's last packet.
    #[must_use]
    pub fn length(self) -> Duration {
        Duration::from_secs(self.seconds().into())
    }

    /// The same, in seconds.
    #[must_use]
    pub fn seconds(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Tier {
    type Err = ParseIntError;

    /// Seconds.
    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_rounded_up_to_seconds() {
        let seconds = |length| Tier::of(length).map(Tier::seconds);
        assert_eq!(seconds(Duration::from_secs(3_600)), Some(3_600));
        assert_eq!(seconds(Duration::from_millis(1_001)), Some(2));
        assert_eq!(seconds(Duration::ZERO), Some(1));
        assert_eq!(seconds(Duration::from_secs(1 << 32)), None);
        assert_eq!("0".parse::<Tier>().ok(), None);
        assert_eq!("3600".parse::<Tier>().unwrap().length(), Duration::from_secs(3_600));
    }
}
