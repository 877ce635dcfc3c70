//! Lines that are kept as they stand, for the case that somebody asks for them.

/// One half holds at most so many bytes, and so many lines of 100 bytes are some minutes of a busy server.
const HALF: usize = 256 << 10;

/// The last lines, bounded: when the younger half is full, the older one goes.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    older: Vec<u8>,
    younger: Vec<u8>,
}

impl Backlog {
    /// Keeps a line, which has no `\n`.
    pub(super) fn push(&mut self, line: &[u8]) {
        if self.younger.len() + line.len() >= HALF {
            std::mem::swap(&mut self.older, &mut self.younger);
            self.younger.clear();
        }
        self.younger.extend_from_slice(line);
        self.younger.push(b'\n');
    }

    /// The lines, oldest first.
    pub(super) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let halves = [&self.older, &self.younger].into_iter();
        halves.flat_map(|half| half.split(|byte| *byte == b'\n')).filter(|line| !line.is_empty())
    }

    /// Forgets them.
    pub(super) fn clear(&mut self) {
        self.older.clear();
        self.younger.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_in_order() {
        let mut backlog = Backlog::default();
        for number in 0..100_000 {
            backlog.push(format!("line {number}").as_bytes());
        }
        let kept: Vec<&[u8]> = backlog.lines().collect();
        assert_eq!(kept.last().unwrap(), b"line 99999");
        assert!(kept.len() > 20_000 && kept.len() < 60_000, "{}", kept.len());
        let first = 100_000 - kept.len();
        assert_eq!(kept[0], format!("line {first}").as_bytes());
        assert!(backlog.older.len() + backlog.younger.len() <= 2 * HALF);
        backlog.clear();
        assert_eq!(backlog.lines().count(), 0);
    }
}
