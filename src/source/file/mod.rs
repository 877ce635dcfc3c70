//! Log files: one task reads them all, in turns, woken by one inotify instance.
//!
//! - `tail`: one open file, in whole lines; `window`: how it is known again
//! - `rotation`: one log through its rotations (which file when); `siblings` and `position` find what it missed
//! - `watch`: inotify
//! - `entry` and `follow`: one file within the task, and the task
//!
//! Everything but the last two lines is synchronous and takes time as an argument.

mod entry;
mod error;
mod follow;
mod open;
mod position;
mod rotation;
mod siblings;
mod tail;
mod watch;
mod window;

pub(super) use entry::Entry;
pub(super) use follow::follow;
