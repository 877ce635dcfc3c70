//! Log lines as nobody wrote them, made of those of a corpus.

/// A generator of numbers, always the same (xorshift; Marsaglia 2003).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// What attackers and odd programs put into lines.
const INJECTED: &[&[u8]] = &[
    b" from 192.0.2.99 port 22 ssh2",
    b"root",
    b"user=<root> rip=192.0.2.77",
    b"2005-08-14 11:00:00",
    b"Aug 14 11:58:58",
    b"[",
    b"]",
    b"<",
    b">",
    b"\"",
    b"'",
    b": ",
    b" ",
    b"  ",
    b"\t",
    b"2001:db8::5",
    b"::ffff:192.0.2.5",
    b"host.example.com",
    b"999.999.999.999",
    b"[1234]: ",
    b"sshd[1]: ",
    b"\x1c",
    b"\x00",
    b"\xc3\xa9\xd1\x8f",
    b"\xff\xfe",
    b"\xc2\xa0",
    b"1124013600",
    b"authentication failure",
    b"invalid user ",
    b"%s",
    b"\\",
    b"-",
];

/// One of several changes to `line`; `other` is another line of the corpus.
pub(crate) fn mutated(line: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut line = line.to_vec();
    for _ in 0..=dice.below(2) {
        let at = dice.below(line.len() + 1);
        match dice.below(10) {
            0 => line.truncate(at),
            1 => drop(line.drain(..at)),
            2 => line.extend_from_within(..),
            3 => {
                let end = (at + 1 + dice.below(12)).min(line.len());
                line.drain(at..end);
            }
            4 | 5 => {
                let text = dice.one(INJECTED);
                line.splice(at..at, text.iter().copied());
            }
            6 => {
                // Where a word begins: user names are words.
                let places: Vec<usize> = (1..line.len()).filter(|at| line[at - 1] == b' ').collect();
                let at = places.get(dice.below(places.len())).copied().unwrap_or(0);
                let text = dice.one(INJECTED);
                line.splice(at..at, text.iter().copied());
            }
            7 => {
                let from = dice.below(other.len() + 1);
                line.splice(at..at, other[from..].iter().copied());
            }
            8 => {
                if let Some(byte) = line.get_mut(at) {
                    *byte = dice.one(&[b"0", b"9", b"a", b"Z", b" ", b":", b".", b"["])[0];
                }
            }
            _ => line = [&line[at..], &line[..at]].concat(),
        }
    }
    line.retain(|byte| *byte != b'\n');
    line
}
