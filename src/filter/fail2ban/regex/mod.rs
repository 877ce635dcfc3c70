//! Python's regular expressions, on Rust's engines.

mod backtrack;
mod choice;
mod eased;
mod escape;
mod linear;
mod parse;
mod pattern;
mod prefix;
mod resolve;
mod syntax;
mod trace;
mod translate;

pub(super) use choice::Choice;
pub(super) use parse::{SyntaxError, parse};
pub(super) use pattern::{Found, Pattern};
pub(super) use prefix::Prefix;
pub(super) use syntax::{Group, Node};
pub(in crate::filter) use trace::taken;
