//! A pattern that ends with a group for the rest of the line, as `prefregex` mostly does: `^head(?P<content>.+)$`.

use super::parse::SyntaxError;
use super::pattern::{Found, Pattern};
use super::syntax::{Greed, Node};

/// Such a pattern; or any other.
#[derive(Debug)]
pub(in crate::filter::fail2ban) struct Prefix {
    pub(in crate::filter::fail2ban) pattern: Pattern,
    /// The head by itself, and the group of the rest.
    head: Option<(Pattern, usize)>,
}

impl Prefix {
    pub(in crate::filter::fail2ban) fn new(pattern: Pattern) -> Result<Self, SyntaxError> {
        let head = match pattern.head() {
            Some((node, rest)) => {
                Some((Pattern::of(pattern.written.clone(), node, pattern.names.clone(), false)?, rest))
            }
            None => None,
        };
        Ok(Self { pattern, head })
    }

    /// What the whole pattern finds.
    ///
    /// Of all ways through the head the first is taken on which the rest matches, too. In a line that ends with its only
    /// line feed, the rest matches wherever at least one character is left before that. So it is the head's own first
    /// way, if that leaves one; and without a match of the head there is none of the whole.
    pub(in crate::filter::fail2ban) fn find(&self, text: &str) -> Option<Found> {
        let Some((head, rest)) = &self.head else { return self.pattern.find(text) };
        let Some(feed) = text.len().checked_sub(1) else { return self.pattern.find(text) };
        if memchr::memchr(b'\n', text.as_bytes()) != Some(feed) {
            return self.pattern.find(text);
        }
        let mut found = head.find(text)?;
        let whole = found.whole();
        if whole.end >= feed {
            return self.pattern.find(text);
        }
        found.set(0, &(whole.start..feed));
        found.set(*rest, &(whole.end..feed));
        Some(found)
    }
}

/// The head of `head(.+)$`, and the index of the group.
pub(super) fn head(node: &Node) -> Option<(Node, usize)> {
    let Node::Concat(parts) = node else { return None };
    let [head @ .., Node::Group(rest), Node::End(_)] = parts.as_slice() else { return None };
    let inner = match &rest.inner {
        Node::Concat(parts) => match parts.as_slice() {
            [one] => one,
            _ => return None,
        },
        one => one,
    };
    let Node::Repeat(repeat) = inner else { return None };
    let all = repeat.inner == Node::Any(false)
        && repeat.min == 1
        && repeat.max.is_none()
        && repeat.greed == Greed::Greedy;
    all.then(|| (Node::Concat(head.to_vec()), rest.index))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATTERNS: [&str; 5] = [
        r"^(?P<id>(?:\[\])?\s*(?:\S+\s+)?(?:kernel:\s?\[ *\d+\]:?\s+)?(?:(?:\[\d+\])?:\s+\S*|\S*(?:\[\d+\])?:?\s+)?)(?:error: )?(?P<content>.+)$",
        r"^(?P<a>a|ab)(?P<b>b?)(?P<content>.+)$",
        r"(?P<a>x)\s*(?P<content>.+)$",
        r"^(?P<a>\w*)(?!b)(?P<content>.+)$",
        r"^(?P<a>.*)\b(?P<content>.+)$",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_head_finds_what_the_whole_finds(
            at in 0..PATTERNS.len(),
            words in proptest::collection::vec(
                prop::sample::select(vec!["a", "b", "x", " ", "  ", "host ", "d[12]: ", "kernel: [ 5]: ", "error: ", ":", "é", "\r", "\n", "[]"]),
                0..9,
            ),
        ) {
            let prefix = Prefix::new(Pattern::compile(PATTERNS[at], false, false).unwrap()).unwrap();
            prop_assert!(prefix.head.is_some());
            let text = format!("{}\n", words.concat());
            let spans = |found: Option<Found>| found.map(|found| found.spans);
            prop_assert_eq!(spans(prefix.find(&text)), spans(prefix.pattern.find(&text)));
        }
    }
}
