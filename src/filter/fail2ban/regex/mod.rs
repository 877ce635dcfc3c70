//! Python's regular expressions, on Rust's engines.

mod choice;
mod eased;
mod escape;
mod guide;
mod linear;
mod parse;
mod pattern;
mod prefix;
mod reach;
mod syntax;
mod translate;

pub(super) use choice::{Choice, Chosen};
pub(super) use parse::{SyntaxError, parse};
pub(super) use pattern::{Found, Pattern};
pub(super) use prefix::Prefix;
pub(super) use reach::Reach;
pub(super) use syntax::{Group, Node};
