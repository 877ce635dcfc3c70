//! The text that every match of a pattern holds.
//!
//! Literals are *inner* ones: of all places at which a pattern holds mandatory text, the text is chosen
//! that healthy logs hold most rarely (`Auth fail` rather than `Received disconnect from`).

use memchr::memmem;
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Dot, Hir, HirKind, Repetition};

use crate::filter::tags::DATE_GROUP;

/// Shorter literals are in every line.
const SHORTEST: usize = 3;

/// What a byte of a common word weighs; a letter of another word weighs 1.
const COMMONPLACE: f64 = 0.15;

/// A literal of this weight is rare; to be rarer still gains nothing.
const RARE: f64 = 6.0;

/// What a set of twice as many literals costs: each makes the searcher slower.
const DOUBLING: f64 = 0.3;

/// Words that a healthy system logs all day; their bytes say little.
const COMMON: [&[u8]; 25] = [
    b"from",
    b"for",
    b"port",
    b"user",
    b"session",
    b"connection",
    b"Connection",
    b"closed",
    b"opened",
    b"by",
    b"Received",
    b"disconnect",
    b"Disconnect",
    b"pam_unix",
    b"sshd",
    b"ssh2",
    b"invalid",
    b"error",
    b"publickey",
    b"Accepted",
    b"not",
    b"with",
    b"client",
    b"request",
    b"HTTP",
];

/// Of the literals in `pattern`, a set of which every match holds at least one; none if nothing usable is mandatory.
pub(in crate::filter) fn required_literals(pattern: &Hir) -> Option<Vec<Vec<u8>>> {
    let mut items = Vec::new();
    flatten(pattern, &mut items);
    let mut best: Option<(f64, Vec<Vec<u8>>)> = None;
    let mut rest = items.as_slice();
    while !rest.is_empty() {
        for set in leading_literals(rest) {
            let score = rarity(&set);
            if best.as_ref().is_none_or(|(top, _)| score > *top) {
                best = Some((score, set));
            }
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    best.map(|(_, set)| set)
}

/// The pieces of a concatenation, captures opened; but a date's text is in every line and says nothing.
fn flatten(hir: &Hir, items: &mut Vec<Hir>) {
    match hir.kind() {
        HirKind::Capture(group) if group.name.as_deref() == Some(DATE_GROUP) => {
            items.push(Hir::repetition(Repetition {
                min: 1,
                max: None,
                greedy: true,
                sub: Box::new(Hir::dot(Dot::AnyByteExceptLF)),
            }));
        }
        HirKind::Concat(parts) => parts.iter().for_each(|part| flatten(part, items)),
        HirKind::Capture(group) => flatten(&group.sub, items),
        _ => items.push(hir.clone()),
    }
}

/// The literals of which one must stand where `items` begin, and what they have in common.
fn leading_literals(items: &[Hir]) -> Vec<Vec<Vec<u8>>> {
    let sequence = Extractor::new().limit_total(64).extract(&Hir::concat(items.to_vec()));
    let common = sequence.longest_common_prefix().map(|common| vec![common.to_vec()]);
    let all: Option<Vec<Vec<u8>>> =
        sequence.literals().map(|all| all.iter().map(|literal| literal.as_bytes().to_vec()).collect());
    // Ten literals where a number begins say no more than one without its digit.
    let short = all.as_ref().map(|all| all.iter().map(|literal| without_digit(literal)).collect());
    let usable = |literal: &Vec<u8>| literal.len() >= SHORTEST && !literal.contains(&b'\n');
    let mut sets: Vec<Vec<Vec<u8>>> = [common, short, all].into_iter().flatten().collect();
    sets.retain(|set| !set.is_empty() && set.iter().all(usable));
    sets.iter_mut().for_each(keep_shortest);
    sets
}

fn without_digit(literal: &[u8]) -> Vec<u8> {
    match literal {
        [short @ .., b'0'..=b'9'] => short.to_vec(),
        _ => literal.to_vec(),
    }
}

/// The literals of all patterns of a filter as one set.
pub(in crate::filter) fn join(mut literals: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    keep_shortest(&mut literals);
    literals
}

/// Drops each literal that contains another one.
pub(super) fn keep_shortest(set: &mut Vec<Vec<u8>>) {
    set.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    let mut kept: Vec<Vec<u8>> = Vec::with_capacity(set.len());
    for literal in set.drain(..) {
        if !kept.iter().any(|short| memmem::find(&literal, short).is_some()) {
            kept.push(literal);
        }
    }
    *set = kept;
}

/// How rare the set is in healthy logs: its commonest literal counts, and each doubling of the set costs.
fn rarity(set: &[Vec<u8>]) -> f64 {
    let worst = set.iter().map(|literal| weight(literal)).fold(RARE, f64::min);
    worst - f64::from(set.len().max(1).ilog2()) * DOUBLING
}

fn weight(literal: &[u8]) -> f64 {
    let mut weights: Vec<f64> =
        literal.iter().map(|b| if b.is_ascii_alphanumeric() { 1.0 } else { 0.5 }).collect();
    for word in COMMON {
        for at in memmem::find_iter(literal, word) {
            weights.iter_mut().skip(at).take(word.len()).for_each(|weight| *weight = COMMONPLACE);
        }
    }
    weights.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::pattern::parse;

    fn required(pattern: &str) -> Option<Vec<String>> {
        let set = required_literals(&parse(pattern).unwrap())?;
        Some(set.into_iter().map(|text| String::from_utf8(text).unwrap()).collect())
    }

    #[test]
    fn the_rarest_mandatory_text_is_chosen() {
        assert_eq!(required(r"^Failed (?:password|none|pam) for \S+").unwrap(), ["Failed "]);
        assert_eq!(required(r"^Received disconnect from \S+: .*: Auth fail$").unwrap(), [": Auth fail"]);
        assert_eq!(required(r"^Failed \S+ for .* from \S+ port \d+$").unwrap(), ["Failed "]);
        assert_eq!(
            required(r"^(?:Invalid|Illegal) user .* from").unwrap(),
            ["Illegal user ", "Invalid user "]
        );
        assert_eq!(required(r"^\d+ ab \S+$"), Some(vec![" ab ".into()]));
        assert_eq!(required(r"^(?:NONE|NONE_NONE)/405 \d+ ").unwrap(), ["NONE/405 "]);
        assert_eq!(required(r"^\S+$"), None);
        assert_eq!(required(r"^(?:abc|\d+)$"), None);
    }
}
