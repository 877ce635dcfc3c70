//! From bytes as they come to whole lines: the one place that knows how long a line may be.
//!
//! What follows the last newline is held back until its newline comes, so that no line is ever handed over in two
//! parts. A line longer than [`LONGEST_LINE`] costs no more memory than that: its rest is counted and dropped, and its
//! beginning is handed over when its newline has come.

use memchr::{memchr, memrchr};

/// The longest line that is handed over, in bytes without its newline (64 KiB).
///
/// What is longer is cut here. A line of exactly this length may therefore be the beginning of a longer one, whose
/// author chose where it ends: let no pattern that wants the end of a line match there.
pub const LONGEST_LINE: usize = 64 * 1024;

/// Holds back the beginning of a line until its end has come. Constant memory, whatever comes.
#[derive(Debug, Default)]
pub struct Lines {
    /// The beginning of the line that has no newline yet.
    held: Vec<u8>,
    /// Bytes of that line that are not held.
    skipped: u64,
    cut: u64,
}

impl Lines {
    /// Nothing is held back.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes `bytes`, and appends every line that is whole now to `block`, each with its newline.
    pub fn take(&mut self, bytes: &[u8], block: &mut Vec<u8>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let whole = if self.is_holding() { 0 } else { whole_lines(rest) };
            if whole > 0 {
                let (run, after) = rest.split_at(whole);
                block.extend_from_slice(run);
                rest = after;
                continue;
            }
            let Some(end) = memchr(b'\n', rest) else { return self.hold(rest) };
            let (line, after) = rest.split_at(end);
            self.hold(line);
            self.end(block);
            rest = after.get(1..).unwrap_or_default();
        }
    }

    /// What was held back, if anything, is a whole line.
    pub fn end(&mut self, block: &mut Vec<u8>) {
        if self.is_holding() {
            block.append(&mut std::mem::take(&mut self.held));
            block.push(b'\n');
            self.cut += u64::from(self.skipped > 0);
            self.skipped = 0;
        }
    }

    /// How many lines were handed over cut since the last call.
    pub fn take_cut(&mut self) -> u64 {
        std::mem::take(&mut self.cut)
    }

    /// Whether a line is under way.
    #[must_use]
    pub fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Bytes taken so far of the line that is under way, those that are not held included.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.held.len() as u64 + self.skipped
    }

    fn hold(&mut self, part: &[u8]) {
        let room = LONGEST_LINE - self.held.len();
        let (kept, dropped) = part.split_at(room.min(part.len()));
        self.held.extend_from_slice(kept);
        self.skipped += dropped.len() as u64;
    }
}

/// How many bytes of `bytes` are whole lines of which none can be too long. Looks only for the last newline within
/// the length of one line, so that short lines are passed over together.
fn whole_lines(bytes: &[u8]) -> usize {
    let window = bytes.get(..=LONGEST_LINE).unwrap_or(bytes);
    memrchr(b'\n', window).map_or(0, |newline| newline + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn in_pieces(bytes: &[u8], piece: usize) -> (Vec<u8>, u64) {
        let (mut lines, mut block) = (Lines::new(), Vec::new());
        for piece in bytes.chunks(piece) {
            lines.take(piece, &mut block);
            assert!(lines.held.capacity() <= 2 * LONGEST_LINE);
        }
        lines.end(&mut block);
        assert_eq!(lines.pending(), 0);
        (block, lines.take_cut())
    }

    #[test]
    fn lines_around_the_longest() {
        for (length, cut) in
            [(LONGEST_LINE - 1, 0), (LONGEST_LINE, 0), (LONGEST_LINE + 1, 1), (3 * LONGEST_LINE, 1)]
        {
            let bytes = [b"a\n".to_vec(), vec![b'x'; length], b"\nb\n".to_vec()].concat();
            let kept = vec![b'x'; length.min(LONGEST_LINE)];
            let expected = [b"a\n".to_vec(), kept, b"\nb\n".to_vec()].concat();
            for piece in [1000, LONGEST_LINE - 1, LONGEST_LINE, LONGEST_LINE + 1, bytes.len()] {
                assert!(in_pieces(&bytes, piece) == (expected.clone(), cut), "{length} in {piece}");
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(text in "[a\n]{0,200}", piece in 1usize..20) {
            let ended = if text.is_empty() || text.ends_with('\n') { text.clone() } else { format!("{text}\n") };
            prop_assert_eq!(in_pieces(text.as_bytes(), piece), (ended.into_bytes(), 0));
        }
    }
}
