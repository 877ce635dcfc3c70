//! Words of sentences that several rooms write.

use std::fmt::Display;

/// `1 ban`, `2 bans`: a count with its word; or with its words, where a verb follows.
#[must_use]
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(count: N, one: &str, many: &str) -> String {
    let word = if count == N::from(1) { one } else { many };
    format!("{count} {word}")
}
