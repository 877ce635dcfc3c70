//! How far a pattern gets in a text that it does not match.
//!
//! The pattern's syntax tree is walked with the set of all places that the text can have been read to. Each part maps
//! the set to the next; the part that leaves it empty is where the pattern stopped. No way through the pattern is
//! tried twice from the same place, and the steps of one line are counted: a hostile line costs no more than any.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use regex_syntax::hir::{Class, Dot, Hir, HirKind, Look, Repetition};

use super::Wanted;

/// How many steps all patterns of a filter together may make on one line.
const MOST_STEPS: usize = 1 << 21;
/// Of a class of so few members a text that has one shares it as it shares a literal: a letter in either case.
const FEW: usize = 2;

type Places = BTreeSet<usize>;

/// Walks patterns over one text.
pub(super) struct Walk<'t> {
    text: &'t [u8],
    /// The names of the groups of the pattern under way, by index, where the tree has none.
    names: &'t [Option<String>],
    steps: usize,
}

/// Where a part of a pattern leads.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// Where the text may have been read to; empty: nowhere, the pattern does not match.
    pub(super) places: Places,
    /// How many bytes of fixed text were found on the way.
    pub(super) shared: usize,
    /// The farthest place at which the pattern, or an optional part of it, could not go on.
    pub(super) stop: Option<Halt>,
}

/// A place at which a part of the pattern could not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Halt {
    /// The byte of the text.
    pub(super) at: usize,
    /// It stopped within the part, not where it begins.
    within: bool,
    pub(super) wanted: Wanted,
}

impl<'t> Walk<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self { text, names: &[], steps: 0 }
    }

    /// It took too many steps, and what it said since means nothing.
    pub(super) fn gave_up(&self) -> bool {
        self.steps > MOST_STEPS
    }

    /// Walks a whole pattern. Without `^` it may begin anywhere, as it does when it is searched for.
    pub(super) fn whole(&mut self, pattern: &Hir, names: &'t [Option<String>]) -> Way {
        self.names = names;
        let start = if pattern.properties().look_set_prefix().contains(Look::Start) {
            Places::from([0])
        } else {
            (0..=self.text.len()).collect()
        };
        self.part(pattern, &start)
    }

    fn part(&mut self, part: &Hir, from: &Places) -> Way {
        self.steps += from.len() + 1;
        if self.gave_up() {
            return Way::default();
        }
        match part.kind() {
            HirKind::Empty => Way { places: from.clone(), ..Way::default() },
            HirKind::Literal(literal) => self.literal(&literal.0, from),
            HirKind::Class(class) => self.class(class, part, from),
            HirKind::Look(look) => self.look(*look, from),
            HirKind::Capture(group) => {
                let mut way = self.part(&group.sub, from);
                let index = usize::try_from(group.index).unwrap_or(usize::MAX);
                let known = || self.names.get(index).and_then(Option::as_deref);
                let wanted = group.name.as_deref().or_else(known).and_then(Wanted::group);
                // A date's text is in every line and says nothing.
                way.shared = if wanted == Some(Wanted::Date) { 0 } else { way.shared };
                if let (Some(stop), Some(wanted)) = (&mut way.stop, wanted) {
                    stop.wanted = wanted;
                }
                way
            }
            HirKind::Concat(parts) => self.concat(parts, from),
            HirKind::Alternation(branches) => self.alternation(branches, part, from),
            HirKind::Repetition(repetition) => self.repetition(repetition, from),
        }
    }

    /// The text behind a place.
    fn behind(&self, place: usize) -> &'t [u8] {
        self.text.get(place..).unwrap_or_default()
    }

    fn literal(&mut self, literal: &[u8], from: &Places) -> Way {
        let mut way = Way::default();
        let mut best = (0, 0);
        for &place in from {
            let same = literal.iter().zip(self.behind(place)).take_while(|(a, b)| a == b).count();
            if same == literal.len() {
                way.places.insert(place + same);
            }
            best = best.max((same, place));
        }
        self.steps += from.len();
        let (same, place) = best;
        way.shared = same;
        if way.places.is_empty() {
            let rest = String::from_utf8_lossy(literal.get(same..).unwrap_or_default()).into_owned();
            way.stop = Some(Halt { at: place + same, within: same > 0, wanted: Wanted::Text(rest) });
        }
        way
    }

    fn class(&mut self, class: &Class, part: &Hir, from: &Places) -> Way {
        let places: Places =
            from.iter().filter_map(|&place| Some(place + self.member(class, place)?)).collect();
        let members: usize = match class {
            Class::Bytes(class) => class.ranges().iter().map(|range| range.len()).sum(),
            Class::Unicode(class) => class.ranges().iter().map(|range| range.len()).sum(),
        };
        let any = [Dot::AnyByte, Dot::AnyByteExceptLF, Dot::AnyChar, Dot::AnyCharExceptLF];
        let wanted = || match any.into_iter().any(|dot| *part == Hir::dot(dot)) {
            true => Wanted::Any,
            false => Wanted::Class(written(part)),
        };
        let stop = if places.is_empty() { halt(from, wanted()) } else { None };
        Way { shared: usize::from(members <= FEW && !places.is_empty()), places, stop }
    }

    /// How many bytes at `place` are a member of the class.
    fn member(&self, class: &Class, place: usize) -> Option<usize> {
        let rest = self.behind(place);
        match class {
            Class::Bytes(class) => {
                let byte = *rest.first()?;
                class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&byte)).then_some(1)
            }
            Class::Unicode(class) => {
                let c = first_char(rest)?;
                let known = class.ranges().binary_search_by(|range| {
                    if range.end() < c {
                        std::cmp::Ordering::Less
                    } else if range.start() > c {
                        std::cmp::Ordering::Greater
                    } else {
                        std::cmp::Ordering::Equal
                    }
                });
                known.is_ok().then(|| c.len_utf8())
            }
        }
    }

    fn look(&mut self, look: Look, from: &Places) -> Way {
        let text = self.text;
        let holds = |place: usize| match look {
            Look::Start => place == 0,
            Look::End => place == text.len(),
            Look::StartLF | Look::StartCRLF => place == 0 || text.get(place - 1) == Some(&b'\n'),
            Look::EndLF | Look::EndCRLF => place == text.len() || text.get(place) == Some(&b'\n'),
            _ => word_edge(look, text, place),
        };
        let places: Places = from.iter().copied().filter(|place| holds(*place)).collect();
        let wanted = match look {
            Look::Start | Look::StartLF | Look::StartCRLF => Wanted::Start,
            Look::End | Look::EndLF | Look::EndCRLF => Wanted::End,
            _ => Wanted::Boundary,
        };
        let stop = if places.is_empty() { halt(from, wanted) } else { None };
        Way { places, shared: 0, stop }
    }

    fn concat(&mut self, parts: &[Hir], from: &Places) -> Way {
        let mut way = Way { places: from.clone(), ..Way::default() };
        for part in parts {
            let next = self.part(part, &way.places);
            way.shared += next.shared;
            way.places = next.places;
            if way.places.is_empty() {
                // An optional part that was left further on is what the text was meant to have.
                let optional = way.stop.take().filter(|optional| {
                    optional.within && next.stop.as_ref().is_none_or(|stop| optional.at > stop.at)
                });
                way.stop = optional.or(next.stop);
                return way;
            }
            way.stop = farther(way.stop, next.stop);
        }
        way
    }

    fn alternation(&mut self, branches: &[Hir], part: &Hir, from: &Places) -> Way {
        let mut way = Way::default();
        let mut failed = Way::default();
        for branch in branches {
            let next = self.part(branch, from);
            if next.places.is_empty() {
                failed.shared = failed.shared.max(next.shared);
                failed.stop = farther(failed.stop, next.stop);
            } else {
                way.shared = way.shared.max(next.shared);
                way.places.extend(next.places);
                way.stop = farther(way.stop, next.stop);
            }
        }
        if !way.places.is_empty() {
            way.stop = farther(way.stop, failed.stop);
            return way;
        }
        if let Some(stop) = failed.stop.as_mut().filter(|stop| !stop.within && stop.wanted != Wanted::Host) {
            stop.wanted = Wanted::OneOf(written(part));
        }
        failed
    }

    fn repetition(&mut self, repetition: &Repetition, from: &Places) -> Way {
        let mut way = Way { places: from.clone(), ..Way::default() };
        for _ in 0..repetition.min {
            let next = self.part(&repetition.sub, &way.places);
            way.shared = way.shared.max(next.shared);
            way.places = next.places;
            way.stop = next.stop;
            if way.places.is_empty() {
                return way;
            }
        }
        let simple = matches!(repetition.sub.kind(), HirKind::Class(_));
        let mut frontier = way.places.clone();
        let mut count = repetition.min;
        while !frontier.is_empty() && repetition.max.is_none_or(|max| count < max) {
            let next = self.part(&repetition.sub, &frontier);
            if !simple {
                way.shared = way.shared.max(next.shared);
                way.stop = farther(way.stop, next.stop);
            }
            frontier = next.places.difference(&way.places).copied().collect();
            way.places.extend(&frontier);
            count += 1;
        }
        way
    }
}

/// A part as a regular expression, without what says that it is one on bytes. Unicode's classes of words and digits, which
/// are hundreds of ranges, have their names.
fn written(part: &Hir) -> String {
    static NAMED: OnceLock<Vec<(String, &str)>> = OnceLock::new();
    let named = NAMED.get_or_init(|| {
        let ranges = |class: &str| {
            let shown = regex_syntax::parse(class).map(|hir| hir.to_string()).unwrap_or_default();
            shown.trim_start_matches('[').trim_end_matches(']').to_owned()
        };
        let known = [(r"[\p{L}\p{N}_]", r"\w"), (r"\p{Nd}", r"\d")];
        let known = known.map(|(class, name)| (ranges(class), name));
        known.into_iter().filter(|(ranges, _)| !ranges.is_empty()).collect()
    });
    let text =
        named.iter().fold(part.to_string(), |text, (ranges, name)| text.replace(ranges.as_str(), name));
    match text.strip_prefix("(?-u:").and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) if !inner.contains('(') => inner.to_owned(),
        _ => text,
    }
}

fn halt(from: &Places, wanted: Wanted) -> Option<Halt> {
    from.last().map(|&at| Halt { at, within: false, wanted })
}

/// The one that is further on; of two at one place, the first.
fn farther(a: Option<Halt>, b: Option<Halt>) -> Option<Halt> {
    match (a, b) {
        (Some(a), Some(b)) if (b.at, b.within) > (a.at, a.within) => Some(b),
        (a, b) => a.or(b),
    }
}

/// The character that the bytes begin with.
fn first_char(bytes: &[u8]) -> Option<char> {
    let start = bytes.get(..4.min(bytes.len()))?;
    match std::str::from_utf8(start) {
        Ok(text) => text.chars().next(),
        Err(error) => std::str::from_utf8(start.get(..error.valid_up_to())?).ok()?.chars().next(),
    }
}

/// The assertions about words; those of Unicode are judged by whole characters.
fn word_edge(look: Look, text: &[u8], place: usize) -> bool {
    let ascii = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let wide = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let (before, behind) = text.split_at_checked(place).unwrap_or((text, b""));
    let unicode = !matches!(
        look,
        Look::WordAscii
            | Look::WordAsciiNegate
            | Look::WordStartAscii
            | Look::WordEndAscii
            | Look::WordStartHalfAscii
            | Look::WordEndHalfAscii
    );
    let (left, right) = if unicode {
        let last = String::from_utf8_lossy(before.get(before.len().saturating_sub(4)..).unwrap_or_default())
            .chars()
            .next_back();
        (wide(last), wide(first_char(behind)))
    } else {
        (ascii(before.last()), ascii(behind.first()))
    };
    match look {
        Look::WordAscii | Look::WordUnicode => left != right,
        Look::WordAsciiNegate | Look::WordUnicodeNegate => left == right,
        Look::WordStartAscii | Look::WordStartUnicode => !left && right,
        Look::WordEndAscii | Look::WordEndUnicode => left && !right,
        Look::WordStartHalfAscii | Look::WordStartHalfUnicode => !left,
        _ => !right,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex_automata::meta::Regex;

    use super::*;
    use crate::filter::pattern::parse;

    fn stop(pattern: &str, text: &str) -> (usize, Wanted) {
        let way = Walk::new(text.as_bytes()).whole(&parse(pattern).unwrap(), &[]);
        assert!(way.places.is_empty(), "{pattern} matches {text}");
        let Halt { at, wanted, .. } = way.stop.unwrap();
        (at, wanted)
    }

    fn text(text: &str) -> Wanted {
        Wanted::Text(text.into())
    }

    #[test]
    fn the_place_is_where_no_way_leads_on() {
        assert_eq!(stop("^abc", "abd"), (2, text("c")));
        assert_eq!(stop("^a(?:bcd|xyz)", "abcx"), (3, text("d")));
        assert_eq!(stop("^a(?:b|c)", "ax"), (1, Wanted::Class("[bc]".into())));
        assert_eq!(stop("^a(?:bb|cc)", "ax"), (1, Wanted::OneOf("(?:(?:bb)|(?:cc))".into())));
        assert_eq!(stop("^user .* from x", "user a from b from y"), (19, text("x")));
        assert_eq!(stop("^user .* from", "user a"), (6, text(" from")));
        assert_eq!(stop(r"^port \d+ ssh\d?$", "port 22 ssh2x"), (12, Wanted::End));
        assert_eq!(stop(r"^port \d+ ssh", "port 22x"), (7, text(" ssh")));
        assert_eq!(stop(r"^port \d+", "port x").0, 5);
        assert_eq!(stop("^a.b", "a"), (1, Wanted::Any));
        assert_eq!(stop("^a[^ ]b", "a "), (1, Wanted::Class("[\\x00-\\x1F!-\\xFF]".into())));
        assert_eq!(stop("^for (?:invalid user )?root", "for invalid uzer root"), (13, text("ser ")));
        assert_eq!(stop("^a{3}b", "aaab b".strip_prefix('a').unwrap()), (2, text("a")));
        assert_eq!(stop("^(?P<host>[0-9.]+) x", "- x"), (0, Wanted::Host));
    }

    #[test]
    fn wide_classes_are_shown_by_name() {
        let shown = |pattern: &str| written(&regex_syntax::parse(pattern).unwrap());
        assert_eq!(shown(r"[\p{L}\p{N}_]+x"), r"(?:[\w]+x)");
        assert_eq!(shown(r"\p{Nd}"), r"[\d]");
        assert_eq!(shown("[ab]"), "[ab]");
    }

    #[test]
    fn hostile_lines_cost_a_bounded_number_of_steps() {
        let hir = parse("^(?:(?:(?:a*)*b?)*)*c").unwrap();
        let long = "a".repeat(60_000);
        let mut walk = Walk::new(long.as_bytes());
        walk.whole(&hir, &[]);
        assert!(walk.steps < 2 * MOST_STEPS);
    }

    proptest! {
        /// It says that a pattern matches exactly where the engine says so.
        #[test]
        fn it_agrees_with_the_engine(
            pattern in r"\^?(a|b|\[ab\]|\.|(\(a\|bc\)|\(\?:ab\)|\(b\*\)|\\b|\\w|a)[*+?]?){1,6}\$?",
            text in "[abc ]{0,8}",
        ) {
            let Ok(hir) = parse(&pattern) else { return Ok(()) };
            let regex = Regex::builder().build_from_hir(&hir).unwrap();
            let way = Walk::new(text.as_bytes()).whole(&hir, &[]);
            prop_assert_eq!(!way.places.is_empty(), regex.is_match(&text));
            prop_assert!(!way.places.is_empty() || way.stop.is_some_and(|stop| stop.at <= text.len()));
        }
    }
}
