//! Whether a message matches a pattern, from its two ends.
//!
//! Most patterns are an opening, a name that may be anything, a link (` from `), the host, and a rigid [`Tail`]. Where link, host
//! and tail can be read from the end, what is before them only has to begin with the opening, which is much shorter than the
//! message.
//!
//! [`Tail`]: super::tail::Tail

use regex_automata::nfa::thompson::{NFA, WhichCaptures};
use regex_syntax::hir::{Dot, Hir, HirKind, Look, LookSet};

use super::tail::{self, Step};

/// What stands before a host.
#[derive(Debug)]
pub(super) struct Opening {
    nfa: NFA,
    link: Vec<Step>,
}

impl Opening {
    /// The opening of a pattern with a tail; none if more than this stands before its host.
    pub(super) fn of(pattern: &Hir) -> Option<Self> {
        let HirKind::Concat(items) = pattern.kind() else { return None };
        let (before, _) = items.split_at_checked(items.iter().position(tail::is_host)?)?;
        let (opening, link) = before.split_at_checked(before.iter().rposition(is_anything)?)?;
        let mut steps = Vec::new();
        for item in link.iter().skip(1).rev() {
            tail::backwards(item, &mut steps)?;
        }
        // The opening is tried on less than the message: it must not ask for what follows.
        let opening = Hir::concat(opening.to_vec());
        if opening.properties().look_set() != LookSet::singleton(Look::Start) {
            return None;
        }
        let config = NFA::config().utf8(false).which_captures(WhichCaptures::None);
        let nfa = NFA::compiler().configure(config).build_from_hir(&opening).ok()?;
        Some(Self { nfa, link: steps })
    }

    /// The opening, anchored.
    pub(super) fn nfa(&self) -> &NFA {
        &self.nfa
    }

    /// What must begin with the opening, of all that is before the host.
    pub(super) fn before_link<'m>(&self, before_host: &'m [u8]) -> Option<&'m [u8]> {
        tail::read(&self.link, before_host)
    }
}

/// `.*`; lines hold no line feed.
fn is_anything(item: &Hir) -> bool {
    match item.kind() {
        HirKind::Capture(group) => is_anything(&group.sub),
        HirKind::Repetition(run) => {
            run.min == 0 && run.max.is_none() && *run.sub == Hir::dot(Dot::AnyByteExceptLF)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::pattern::parse;
    use crate::filter::tags::expand;

    fn opening(pattern: &str) -> Option<Opening> {
        Opening::of(&parse(&expand(pattern).unwrap().regex).unwrap())
    }

    #[test]
    fn an_opening_a_name_and_a_link() {
        let known = opening(r"^(?:a|b) for <F-USER>.*</F-USER> from <HOST> port \d+$").unwrap();
        for before in [&b"a for x from "[..], b"a for x from ["] {
            assert_eq!(known.before_link(before), Some(&b"a for x"[..]));
        }
        assert_eq!(known.before_link(b"a for x"), None);
    }

    #[test]
    fn whatever_else_stands_before_the_host_has_none() {
        for pattern in [
            r"^a <F-USER>\S*</F-USER> from <HOST>$",
            r"^a <F-USER>.+</F-USER> from <HOST>$",
            r"^a .*(?: from| of) <HOST>$",
            r"^a .* from \S+ (?:to|of) <HOST>$",
            r"^a\b.* from <HOST>$",
            r"^from <HOST>$",
        ] {
            assert!(opening(pattern).is_none(), "{pattern}");
        }
    }
}
