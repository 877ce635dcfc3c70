//! Whether a line can name one of the connections that are known, at the cost of a glance.
//!
//! What names a connection mostly holds a number, that of a process. A line that names it holds the same number, wherever its date
//! and its names end; and hardly any other line does.

/// A set of numbers has so many places. Those of a hundred connections are found by chance in few lines of a hundred.
const PLACES: usize = 1 << 16;
/// After so many it is made anew, without those that are gone.
const LASTS: usize = 200;

/// The numbers in the names of connections.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// None until there is a number.
    places: Vec<u64>,
    noted: usize,
    /// Some connection has no number in its name.
    unnumbered: bool,
}

impl Numbers {
    /// Of these names.
    pub(super) fn of<'a>(names: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut all = Self::default();
        names.for_each(|name| all.note(name));
        all.noted = 0;
        all
    }

    /// Whether many have been noted since it was made.
    pub(super) fn are_old(&self) -> bool {
        self.noted >= LASTS
    }

    /// Notes the number of a name.
    pub(super) fn note(&mut self, name: &[u8]) {
        self.noted += 1;
        // Within the line, digits may go on before the name and behind it.
        let inner = name.iter().position(|byte| !byte.is_ascii_digit()).and_then(|first| name.get(first..));
        let inner = inner.and_then(|name| name.get(..=name.iter().rposition(|byte| !byte.is_ascii_digit())?));
        match numbers(inner.unwrap_or_default()).last() {
            Some(number) => {
                let (word, bit) = place(number);
                self.places.resize(PLACES / 64, 0);
                if let Some(word) = self.places.get_mut(word) {
                    *word |= bit;
                }
            }
            None => self.unnumbered = true,
        }
    }

    /// Whether a line may hold one of the names.
    pub(super) fn may_be_in(&self, line: &[u8]) -> bool {
        let known = |number| {
            let (word, bit) = place(number);
            self.places.get(word).is_some_and(|word| word & bit != 0)
        };
        self.unnumbered || numbers(line).any(known)
    }
}

/// The numbers in a text, of as many digits as stand together.
fn numbers(text: &[u8]) -> impl Iterator<Item = u32> {
    let mut rest = text.iter();
    std::iter::from_fn(move || {
        let digit = |byte: &u8| u32::from(byte.wrapping_sub(b'0'));
        let mut number = digit(rest.find(|byte| byte.is_ascii_digit())?);
        for byte in rest.by_ref().take_while(|byte| byte.is_ascii_digit()) {
            number = number.wrapping_mul(10).wrapping_add(digit(byte));
        }
        Some(number)
    })
}

/// The word and the bit of a number.
fn place(number: u32) -> (usize, u64) {
    let hash = number.wrapping_mul(0x9e37_79b1) >> 16;
    (hash as usize / 64, 1 << (hash % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_holds_a_name_is_never_overlooked() {
        for name in ["host sshd[12345]: ", "a[1]: b2", "[0042]", "9.5:", "7 x 8"] {
            let known = Numbers::of(std::iter::once(name.as_bytes()));
            for (before, after) in [("Nov 20 00:00:05 ", "Accepted"), ("1", "2"), ("", "")] {
                assert!(
                    known.may_be_in(format!("{before}{name}{after}").as_bytes()),
                    "{before}{name}{after}"
                );
            }
        }
        let known = Numbers::of(std::iter::once(b"host sshd[12345]: ".as_slice()));
        assert!(!known.may_be_in(b"Nov 20 00:00:05 host sshd[112345]: Accepted 1234 from 192.0.2.1"));
    }
}
