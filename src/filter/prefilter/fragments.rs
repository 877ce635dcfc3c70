//! Few short texts in place of many literals.
//!
//! Where filters together have hundreds of literals, texts are searched for that several of them share and that healthy logs
//! hold rarely (`uthenti`), and where one stands the literals are compared.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::ops::RangeInclusive;

use super::literals::keep_shortest;
use super::{COMPARED, HEALTHY};

/// How long fragments are, in bytes. A literal below this is its own fragment.
const LENGTHS: RangeInclusive<usize> = COMPARED..=8;

/// How much more than its cheapest fragment another may cost a literal.
const SLACK: i64 = 400;

/// What a fragment gains with each literal that it serves, beside its cost.
const WORTH: i64 = 100;

/// How often each short text stands in [`HEALTHY`]: half a megabyte, which nobody needs once a searcher is built.
struct Seen(HashMap<&'static [u8], i64>);

/// Fragments of which every literal holds at least one; none holds another.
pub(super) fn cover(literals: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let seen = Seen::count();
    let cost = |piece: &[u8]| seen.cost(piece);
    let mut serves: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
    for (index, literal) in literals.iter().enumerate() {
        let pieces = pieces(literal);
        let cheapest = pieces.iter().copied().map(cost).min().unwrap_or_default();
        for piece in pieces.into_iter().filter(|piece| cost(piece) <= cheapest + SLACK) {
            let served = serves.entry(piece).or_default();
            if served.last() != Some(&index) {
                served.push(index);
            }
        }
    }
    let mut left = vec![true; literals.len()];
    let worth = |piece: &[u8], served: &[usize]| {
        WORTH * i64::try_from(served.len()).unwrap_or(i64::MAX) - cost(piece)
    };
    let offered = serves.into_iter().map(|(piece, served)| (worth(piece, &served), Reverse(piece), served));
    let mut queue: BinaryHeap<_> = offered.collect();
    let mut chosen: Vec<Vec<u8>> = Vec::new();
    while let Some((promised, Reverse(piece), mut served)) = queue.pop() {
        served.retain(|index| left.get(*index) == Some(&true));
        if served.is_empty() {
            continue;
        }
        // Others have taken some of its literals since: it waits for its turn.
        let worth = worth(piece, &served);
        if worth < promised {
            queue.push((worth, Reverse(piece), served));
            continue;
        }
        chosen.push(piece.to_vec());
        for index in served {
            if let Some(left) = left.get_mut(index) {
                *left = false;
            }
        }
    }
    keep_shortest(&mut chosen);
    chosen
}

/// All that may stand for a literal.
fn pieces(literal: &[u8]) -> Vec<&[u8]> {
    if literal.len() < COMPARED {
        return vec![literal];
    }
    LENGTHS.flat_map(|length| literal.windows(length)).collect()
}

impl Seen {
    fn count() -> Self {
        let mut seen = HashMap::new();
        for text in LENGTHS.flat_map(|length| HEALTHY.windows(length)) {
            *seen.entry(text).or_default() += 1;
        }
        Self(seen)
    }

    /// What a search for it costs in healthy text: wherever it stands a line is cut out, and wherever its first bytes do the search stops.
    fn cost(&self, piece: &[u8]) -> i64 {
        let seen = |text: Option<&[u8]>| text.and_then(|text| self.0.get(text)).copied().unwrap_or_default();
        400 * seen(Some(piece)) + 200 * seen(piece.get(..COMPARED))
    }
}

#[cfg(test)]
mod tests {
    use memchr::memmem;

    use super::*;

    #[test]
    fn every_literal_holds_a_fragment_and_no_fragment_another() {
        let texts = ["Login failed for ", "failed login from ", "login failure", "ab", "NOTICE", "warning: "];
        let literals: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        let fragments = cover(&literals);
        assert!(fragments.len() < literals.len(), "{fragments:?}");
        for literal in &literals {
            assert!(fragments.iter().any(|fragment| memmem::find(literal, fragment).is_some()));
        }
        for fragment in &fragments {
            let holders = fragments.iter().filter(|other| memmem::find(other, fragment).is_some());
            assert_eq!(holders.count(), 1);
        }
    }

    #[test]
    fn what_healthy_logs_say_is_avoided() {
        let fragments = cover(&[b"pam_unix(sshd:session): refused".to_vec()]);
        let chosen = String::from_utf8(fragments.into_iter().next().unwrap()).unwrap();
        assert!(": refused".contains(&chosen), "{chosen}");
    }
}
