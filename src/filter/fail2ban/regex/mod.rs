//! Python's regular expressions, on Rust's engines.

mod choice;
mod escape;
mod parse;
mod pattern;
mod syntax;
mod translate;

pub(super) use choice::{Choice, Chosen};
pub(super) use parse::{SyntaxError, parse};
pub(super) use pattern::{Found, Pattern};
pub(super) use syntax::{Group, Node};
