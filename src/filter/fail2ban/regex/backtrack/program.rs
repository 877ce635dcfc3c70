//! A pattern as steps for a machine that goes back.

use regex_syntax::hir::{Class, HirKind};

use crate::filter::fail2ban::regex::parse::SyntaxError;
use crate::filter::fail2ban::regex::syntax::{Greed, Look, Node, Repeat};
use crate::filter::fail2ban::regex::translate::{Alphabet, Style, Target, write};

/// No pattern has more steps.
const MOST_STEPS: usize = 100_000;

/// One step.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A character of this set.
    One(usize),
    /// As many characters of this set.
    Run {
        set: usize,
        min: u32,
        max: u32,
        greedy: bool,
    },
    /// Notes the place in a slot.
    Save(usize),
    /// Goes on at the first, and at the second if that leads nowhere.
    Split(usize, usize),
    Jump(usize),
    /// Notes where a round of a loop begins.
    Round(usize),
    /// Leaves a loop, to go on there, of which the last round read nothing.
    Leave {
        round: usize,
        end: usize,
    },
    Holds(Assertion),
    /// So many characters back.
    Back(usize),
    /// What follows up to [`Step::Done`] matches here, or does not; it goes on at `end`, from the same place.
    Look {
        negated: bool,
        end: usize,
    },
    /// What follows up to [`Step::Done`] matches in the way that is preferred, or not at all.
    Atomic {
        end: usize,
    },
    /// The text of a group.
    Again {
        group: usize,
        any_case: bool,
    },
    /// Goes on there if a group did not match.
    Unless {
        group: usize,
        otherwise: usize,
    },
    Done,
}

/// What holds at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assertion {
    TextStart,
    LineStart,
    TextEnd,
    LineEnd,
    /// The text's end, or before a line feed that ends it.
    LastLineEnd,
    Boundary(bool),
    Edge,
}

/// Characters.
#[derive(Debug)]
pub(super) struct Set {
    ascii: u128,
    ranges: Vec<(char, char)>,
}

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) steps: Vec<Step>,
    pub(super) sets: Vec<Set>,
    /// Those of words.
    pub(super) words: Set,
    pub(super) rounds: usize,
}

impl Set {
    /// The characters that one node takes.
    fn of(node: &Node, any_case: bool, style: Style) -> Result<Self, SyntaxError> {
        let text = write(node, style);
        let text = if any_case { format!("(?i:{text})") } else { text };
        let mut parser = regex_syntax::ParserBuilder::new()
            .utf8(false)
            .unicode(style.alphabet == Alphabet::Unicode)
            .build();
        let hir = parser.parse(&text).map_err(|error| refused(&error.to_string()))?;
        let ranges = match hir.kind() {
            HirKind::Literal(literal) => {
                String::from_utf8_lossy(&literal.0).chars().map(|c| (c, c)).collect()
            }
            HirKind::Class(Class::Unicode(class)) => {
                class.ranges().iter().map(|range| (range.start(), range.end())).collect()
            }
            HirKind::Class(Class::Bytes(class)) => class
                .ranges()
                .iter()
                .map(|range| (char::from(range.start()), char::from(range.end())))
                .collect(),
            _ => Vec::new(),
        };
        let mut set = Self { ascii: 0, ranges };
        set.ascii = (0..128_u8).filter(|c| set.lists(char::from(*c))).fold(0, |all, c| all | 1 << c);
        Ok(set)
    }

    fn lists(&self, c: char) -> bool {
        let place = self.ranges.partition_point(|(_, end)| *end < c);
        self.ranges.get(place).is_some_and(|(start, _)| *start <= c)
    }

    pub(super) fn has(&self, c: char) -> bool {
        if c.is_ascii() { self.ascii >> u32::from(c) & 1 == 1 } else { self.lists(c) }
    }
}

impl Program {
    /// `lines`: the searched text may hold several.
    pub(super) fn new(node: &Node, alphabet: Alphabet, lines: bool) -> Result<Self, SyntaxError> {
        let style = Style { target: Target::Linear, alphabet, lines };
        let words = Set::of(&Node::shorthand('w', false), false, style)?;
        let program = Self { steps: Vec::new(), sets: Vec::new(), words, rounds: 0 };
        let mut writer = Writer { program, style, any_case: false };
        writer.step(Step::Save(0))?;
        writer.node(node)?;
        writer.step(Step::Save(1))?;
        writer.step(Step::Done)?;
        Ok(writer.program)
    }
}

struct Writer {
    program: Program,
    style: Style,
    any_case: bool,
}

impl Writer {
    fn step(&mut self, step: Step) -> Result<usize, SyntaxError> {
        if self.program.steps.len() >= MOST_STEPS {
            return Err(refused("it is too big"));
        }
        self.program.steps.push(step);
        Ok(self.program.steps.len() - 1)
    }

    fn here(&self) -> usize {
        self.program.steps.len()
    }

    fn set(&mut self, place: usize, step: Step) {
        if let Some(old) = self.program.steps.get_mut(place) {
            *old = step;
        }
    }

    fn characters(&mut self, node: &Node) -> Result<usize, SyntaxError> {
        self.program.sets.push(Set::of(node, self.any_case, self.style)?);
        Ok(self.program.sets.len() - 1)
    }

    fn node(&mut self, node: &Node) -> Result<(), SyntaxError> {
        match node {
            Node::Empty => {}
            Node::Literal(_) | Node::Any(_) | Node::Class(_) => {
                let set = self.characters(node)?;
                self.step(Step::One(set))?;
            }
            Node::Group(group) => {
                self.step(Step::Save(2 * group.index))?;
                self.node(&group.inner)?;
                self.step(Step::Save(2 * group.index + 1))?;
            }
            Node::Case(on, inner) => {
                let before = std::mem::replace(&mut self.any_case, *on);
                self.node(inner)?;
                self.any_case = before;
            }
            Node::Concat(parts) => parts.iter().try_for_each(|part| self.node(part))?,
            Node::Alternation(branches) => self.branches(branches)?,
            Node::Repeat(repeat) => self.repeat(repeat)?,
            Node::Look(look) => self.look(look)?,
            Node::Backreference(group) => {
                self.step(Step::Again { group: *group, any_case: self.any_case })?;
            }
            Node::Conditional(group, yes, no) => {
                let test = self.step(Step::Done)?;
                self.node(yes)?;
                let jump = self.step(Step::Done)?;
                self.set(test, Step::Unless { group: *group, otherwise: jump + 1 });
                self.node(no)?;
                self.set(jump, Step::Jump(self.here()));
            }
            place => {
                let assertion = assertion(place, self.style.lines);
                self.step(Step::Holds(assertion))?;
            }
        }
        Ok(())
    }

    fn branches(&mut self, branches: &[Node]) -> Result<(), SyntaxError> {
        let mut jumps = Vec::new();
        for (place, branch) in branches.iter().enumerate() {
            let last = place + 1 == branches.len();
            let split = if last { None } else { Some(self.step(Step::Done)?) };
            self.node(branch)?;
            if let Some(split) = split {
                jumps.push(self.step(Step::Done)?);
                self.set(split, Step::Split(split + 1, self.here()));
            }
        }
        for jump in jumps {
            self.set(jump, Step::Jump(self.here()));
        }
        Ok(())
    }

    fn repeat(&mut self, repeat: &Repeat) -> Result<(), SyntaxError> {
        let atomic = match repeat.greed {
            Greed::Possessive => Some(self.step(Step::Done)?),
            Greed::Greedy | Greed::Lazy => None,
        };
        let greedy = repeat.greed != Greed::Lazy;
        match &repeat.inner {
            one @ (Node::Literal(_) | Node::Any(_) | Node::Class(_)) => {
                let (min, max) = (repeat.min, repeat.max.unwrap_or(u32::MAX));
                let set = self.characters(one)?;
                self.step(Step::Run { set, min, max, greedy })?;
            }
            inner => self.rounds(inner, (repeat.min, repeat.max), greedy)?,
        }
        if let Some(atomic) = atomic {
            self.step(Step::Done)?;
            self.set(atomic, Step::Atomic { end: self.here() });
        }
        Ok(())
    }

    fn rounds(
        &mut self,
        inner: &Node,
        (min, max): (u32, Option<u32>),
        greedy: bool,
    ) -> Result<(), SyntaxError> {
        for _ in 0..min {
            self.node(inner)?;
        }
        let split = |to, end| if greedy { Step::Split(to, end) } else { Step::Split(end, to) };
        let mut splits = Vec::new();
        match max {
            None => {
                let round = self.program.rounds;
                self.program.rounds += 1;
                let first = self.step(Step::Done)?;
                splits.push(first);
                self.step(Step::Round(round))?;
                self.node(inner)?;
                let leave = self.step(Step::Done)?;
                self.step(Step::Jump(first))?;
                self.set(leave, Step::Leave { round, end: self.here() });
            }
            Some(max) => {
                for _ in min..max {
                    splits.push(self.step(Step::Done)?);
                    self.node(inner)?;
                }
            }
        }
        for place in splits {
            self.set(place, split(place + 1, self.here()));
        }
        Ok(())
    }

    fn look(&mut self, look: &Look) -> Result<(), SyntaxError> {
        let start = self.step(Step::Done)?;
        if !look.ahead {
            let width = width(&look.inner).ok_or_else(|| refused("a look-behind of no fixed width"))?;
            self.step(Step::Back(width))?;
        }
        self.node(&look.inner)?;
        self.step(Step::Done)?;
        self.set(start, Step::Look { negated: look.negated, end: self.here() });
        Ok(())
    }
}

fn assertion(node: &Node, lines: bool) -> Assertion {
    match node {
        Node::Start(true) => Assertion::LineStart,
        Node::End(false) if lines => Assertion::LastLineEnd,
        // A single line has its line feed at its end only, where both mean the same.
        Node::End(_) => Assertion::LineEnd,
        Node::TextEnd => Assertion::TextEnd,
        Node::Boundary(negated) => Assertion::Boundary(*negated),
        Node::Edge => Assertion::Edge,
        _ => Assertion::TextStart,
    }
}

/// How many characters it takes, if always as many.
fn width(node: &Node) -> Option<usize> {
    match node {
        Node::Literal(_) | Node::Any(_) | Node::Class(_) => Some(1),
        Node::Group(group) => width(&group.inner),
        Node::Case(_, inner) => width(inner),
        Node::Concat(parts) => parts.iter().map(width).sum(),
        Node::Alternation(branches) => {
            let mut widths = branches.iter().map(width);
            let first = widths.next()??;
            widths.all(|other| other == Some(first)).then_some(first)
        }
        Node::Repeat(repeat) if repeat.max == Some(repeat.min) => {
            Some(usize::try_from(repeat.min).ok()? * width(&repeat.inner)?)
        }
        Node::Repeat(_) | Node::Backreference(_) | Node::Conditional(..) => None,
        _ => Some(0),
    }
}

fn refused(problem: &str) -> SyntaxError {
    SyntaxError { problem: problem.to_owned(), offset: 0 }
}
