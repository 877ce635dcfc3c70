//! Durations as administrators write them: `"90s"`, `"10m"`, `"1d 6h"`, `"2w"`, `"permanent"`.

use std::fmt;
use std::time::Duration;

/// How long a ban lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BanTime {
    /// It ends by itself; at least one second.
    For(Duration),
    /// It stays until somebody lifts it.
    Permanent,
}
