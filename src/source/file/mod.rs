//! Log files: one task reads them all, in turns, woken by one inotify instance.
//!
//! - `tail`: one open file, in whole lines; `window`: how it is known again; `container`: its lines unwrapped;
//!   `since`: which are too old
//! - `rotation`: one log through its rotations (which file when); `siblings` and `position` find what it missed
//! - `watch`: inotify; `watchdog`: what it did not tell of
//! - `pattern` and `family`: which files a path with wildcards means, and their coming and going; `stored`: where each was
//!   left off
//! - `entry` and `follow`: one file within the task, and the task
//!
//! Nothing waits but the task in `follow`, and it alone asks for the present instant.

mod container;
mod entry;
mod error;
mod family;
mod follow;
mod open;
mod pattern;
mod position;
mod rotation;
mod siblings;
mod since;
mod stored;
mod tail;
mod watch;
mod watchdog;
mod window;

pub use error::is_below_a_home;
pub(super) use follow::Files;
pub use pattern::{flaw, has_wildcards, is_there, matching};
pub(super) use watchdog::Watchdog;
