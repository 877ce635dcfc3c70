//! Finds a match's host from the end of the message, without captures.
//!
//! Captures cost ten times what it costs to know which pattern matches. Most patterns end in a rigid
//! tail, `from <HOST> port \d+ ssh2$`, and such a tail can be read backwards: at each step the next
//! byte alone says how it goes on, so there is only one way to read it. Where that holds (it is
//! checked when the pattern is compiled) every match puts the host at the same place, hence so does
//! the one that captures would report. Where it does not hold there is no [`Tail`], and captures decide.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::tags::HOST_GROUP;

/// A set of byte values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bytes(Box<[bool; 256]>);

impl Bytes {
    fn none() -> Self {
        Self(Box::new([false; 256]))
    }

    fn one(byte: u8) -> Self {
        let mut set = Self::none();
        set.add(byte);
        set
    }

    fn add(&mut self, byte: u8) {
        if let Some(slot) = self.0.get_mut(usize::from(byte)) {
            *slot = true;
        }
    }

    fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).copied().unwrap_or(false)
    }

    fn join(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0.iter()) {
            *mine |= theirs;
        }
    }

    fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0.iter()).any(|(mine, theirs)| *mine && *theirs)
    }

    fn of_class(class: &Class) -> Option<Self> {
        let Class::Bytes(class) = class else { return None };
        let mut set = Self::none();
        for range in class.ranges() {
            (range.start()..=range.end()).for_each(|byte| set.add(byte));
        }
        Some(set)
    }
}

/// One piece of the tail; pieces are kept in the order in which they are read, last first.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Literal(Box<[u8]>),
    Run { set: Bytes, min: usize, max: usize },
    Optional(Vec<Step>),
}

/// How to read the host backwards from the end of a message that the pattern matches.
#[derive(Debug, Clone)]
pub(super) struct Tail {
    steps: Vec<Step>,
    host: Bytes,
}

impl Tail {
    /// The tail of a pattern; none if there is more than one way to read it backwards.
    pub(super) fn of(pattern: &Hir) -> Option<Self> {
        let HirKind::Concat(items) = pattern.kind() else { return None };
        let at = items.iter().position(is_host)?;
        let (before, from) = items.split_at_checked(at)?;
        let (host, after) = from.split_first()?;
        let (end, tail) = after.split_last()?;
        if !matches!(end.kind(), HirKind::Look(Look::End)) {
            return None;
        }
        let HirKind::Capture(group) = host.kind() else { return None };
        let HirKind::Repetition(run) = group.sub.kind() else { return None };
        let HirKind::Class(class) = run.sub.kind() else { return None };
        let host = Bytes::of_class(class)?;
        if run.min != 1 || run.max.is_some() || last_of(before)?.0.meets(&host) {
            return None;
        }
        let mut steps = Vec::new();
        for item in tail.iter().rev() {
            backwards(item, &mut steps)?;
        }
        is_forced(&steps, &host).then_some(Self { steps, host })
    }

    /// Where the host is, in a message that the pattern matches.
    pub(super) fn host<'m>(&self, message: &'m [u8]) -> Option<&'m [u8]> {
        self.split(message).map(|(_, host)| host)
    }

    /// The host in a message that ends as the pattern does, and all that is before it. Whoever matches ends so.
    pub(super) fn split<'m>(&self, message: &'m [u8]) -> Option<(&'m [u8], &'m [u8])> {
        let rest = read(&self.steps, message)?;
        let length = rest.iter().rev().take_while(|byte| self.host.has(**byte)).count();
        let (before, host) = rest.split_at_checked(rest.len().checked_sub(length)?)?;
        (!host.is_empty()).then_some((before, host))
    }
}

pub(super) fn is_host(item: &Hir) -> bool {
    matches!(item.kind(), HirKind::Capture(group) if group.name.as_deref() == Some(HOST_GROUP))
}

/// Reads `steps` from the end of `text`; what stands before them.
pub(super) fn read<'m>(steps: &[Step], mut text: &'m [u8]) -> Option<&'m [u8]> {
    for step in steps {
        text = match step {
            Step::Literal(literal) => text.strip_suffix(&**literal)?,
            Step::Run { set, min, max } => {
                let length = text.iter().rev().take(*max).take_while(|byte| set.has(**byte)).count();
                if length < *min {
                    return None;
                }
                text.get(..text.len().checked_sub(length)?)?
            }
            Step::Optional(inner) => match text.last() {
                Some(byte) if first(inner, &Bytes::none()).has(*byte) => read(inner, text)?,
                _ => text,
            },
        };
    }
    Some(text)
}

/// Appends the steps that read `item` backwards.
pub(super) fn backwards(item: &Hir, steps: &mut Vec<Step>) -> Option<()> {
    match item.kind() {
        HirKind::Empty => {}
        HirKind::Literal(literal) => steps.push(Step::Literal(literal.0.clone())),
        HirKind::Class(class) => steps.push(Step::Run { set: Bytes::of_class(class)?, min: 1, max: 1 }),
        HirKind::Capture(group) => backwards(&group.sub, steps)?,
        HirKind::Concat(items) => {
            for item in items.iter().rev() {
                backwards(item, steps)?;
            }
        }
        HirKind::Repetition(repetition) => {
            let min = usize::try_from(repetition.min).ok()?;
            let max = match repetition.max {
                Some(max) => usize::try_from(max).ok()?,
                None => usize::MAX,
            };
            let set = match repetition.sub.kind() {
                HirKind::Class(class) => Bytes::of_class(class),
                HirKind::Literal(literal) => match &*literal.0 {
                    [byte] => Some(Bytes::one(*byte)),
                    _ => None,
                },
                _ => None,
            };
            match set {
                Some(set) => steps.push(Step::Run { set, min, max }),
                None if min == 0 && max == 1 => {
                    let mut inner = Vec::new();
                    backwards(&repetition.sub, &mut inner)?;
                    steps.push(Step::Optional(inner));
                }
                None => return None,
            }
        }
        HirKind::Look(_) | HirKind::Alternation(_) => return None,
    }
    Some(())
}

/// The bytes that may be read first; `beyond` is what may follow if all steps read nothing.
fn first(steps: &[Step], beyond: &Bytes) -> Bytes {
    let mut set = Bytes::none();
    for step in steps {
        match step {
            Step::Literal(literal) => {
                if let Some(byte) = literal.last() {
                    set.add(*byte);
                    return set;
                }
            }
            Step::Run { set: run, min, .. } => {
                set.join(run);
                if *min > 0 {
                    return set;
                }
            }
            Step::Optional(inner) => set.join(&first(inner, &Bytes::none())),
        }
    }
    set.join(beyond);
    set
}

/// Whether the next byte alone always says how reading goes on.
fn is_forced(steps: &[Step], beyond: &Bytes) -> bool {
    let mut rest = steps;
    while let Some((step, after)) = rest.split_first() {
        let next = first(after, beyond);
        let forced = match step {
            Step::Literal(_) => true,
            Step::Run { set, min, max } => min == max || !set.meets(&next),
            // An inner part that can be nothing would be two ways to read nothing.
            Step::Optional(inner) => {
                !is_nullable(inner) && !first(inner, &Bytes::none()).meets(&next) && is_forced(inner, &next)
            }
        };
        if !forced {
            return false;
        }
        rest = after;
    }
    true
}

fn is_nullable(steps: &[Step]) -> bool {
    steps.iter().all(|step| match step {
        Step::Literal(literal) => literal.is_empty(),
        Step::Run { min, .. } => *min == 0,
        Step::Optional(_) => true,
    })
}

/// The bytes that may end what `items` match, and whether they may match nothing.
fn last_of(items: &[Hir]) -> Option<(Bytes, bool)> {
    let mut set = Bytes::none();
    for item in items.iter().rev() {
        let (last, nullable) = last(item)?;
        set.join(&last);
        if !nullable {
            return Some((set, false));
        }
    }
    Some((set, true))
}

fn last(item: &Hir) -> Option<(Bytes, bool)> {
    Some(match item.kind() {
        HirKind::Empty | HirKind::Look(_) => (Bytes::none(), true),
        HirKind::Literal(literal) => (Bytes::one(*literal.0.last()?), false),
        HirKind::Class(class) => (Bytes::of_class(class)?, false),
        HirKind::Repetition(repetition) => {
            let (set, nullable) = last(&repetition.sub)?;
            (set, nullable || repetition.min == 0)
        }
        HirKind::Capture(group) => last(&group.sub)?,
        HirKind::Concat(items) => last_of(items)?,
        HirKind::Alternation(branches) => {
            let mut all = (Bytes::none(), false);
            for branch in branches {
                let (set, nullable) = last(branch)?;
                all.0.join(&set);
                all.1 |= nullable;
            }
            all
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::pattern::parse;
    use crate::filter::tags::expand;

    fn tail(pattern: &str) -> Option<Tail> {
        let expanded = expand(pattern).unwrap();
        Tail::of(&parse(&expanded.regex).unwrap())
    }

    #[test]
    fn rigid_tails_are_read_backwards() {
        let rigid = tail(r"^a .* from <HOST> port \d+(?: ssh)?(?: \[preauth\])?$").unwrap();
        for line in [
            "a x from 1.2.3.4 port 9 from 5.6.7.8 port 22 ssh",
            "a b from 5.6.7.8 port 1",
            "a from [5.6.7.8] port 7 [preauth]",
        ] {
            assert_eq!(rigid.host(line.as_bytes()), Some(&b"5.6.7.8"[..]), "{line}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_left_to_captures() {
        for pattern in [
            r"^a .* from <HOST>",          // no end
            r"^a .*<HOST> port$",          // the text before may hold host bytes
            r"^a .* from <HOST>.*$",       // the run goes into the host
            r"^a .* from <HOST>\d* port$", // likewise
            r"^a .* from <HOST>(?: a| b)$",
            r"^a .* from <HOST>(?: port \d+)?$", // a digit at the end may be either's
            r"^(?:a .* from <HOST>|b)$",
            r"^a .* from <HOST>(?:x?)? port$",
        ] {
            assert!(tail(pattern).is_none(), "{pattern}");
        }
    }
}
