//! What no linear engine can do: look-around, back-references, conditions, atomic groups.
//!
//! The ways through a pattern are tried one after another, as Python tries them, for so many steps and with so many places to
//! go back to; a text that needs more does not match. Nothing is kept from one text to the next.

mod program;
#[cfg(test)]
mod tests;

use self::program::{Assertion, Program, Step};
use super::linear::Spans;
use super::parse::SyntaxError;
use super::syntax::Node;
use super::translate::Alphabet;

/// How many steps a pattern may make on one text.
const MOST_STEPS: usize = 1_000_000;
/// How many places to go back to, and notes to undo, it may remember.
const MOST_FRAMES: usize = 100_000;

/// A pattern for the machine that goes back.
#[derive(Debug)]
pub(super) struct Backtracker {
    program: Program,
    groups: usize,
}

/// It took too many steps.
#[derive(Debug)]
struct GaveUp;

/// What is done when a way leads nowhere.
#[derive(Clone, Copy)]
enum Frame {
    /// Goes on there.
    Go {
        step: usize,
        at: usize,
    },
    /// Gives back one character of a run, down to `low`.
    Shorter {
        step: usize,
        low: usize,
        at: usize,
    },
    /// Takes one more character of a run.
    Longer {
        step: usize,
        at: usize,
        left: u32,
    },
    Slot {
        slot: usize,
        was: Option<usize>,
    },
    Round {
        round: usize,
        was: usize,
    },
}

/// One search.
struct Machine<'p, 't> {
    program: &'p Program,
    text: &'t str,
    slots: Vec<Option<usize>>,
    rounds: Vec<usize>,
    frames: Vec<Frame>,
    left: usize,
}

impl Backtracker {
    /// `groups` is the number of groups, the whole included; `lines`: the searched text may hold several.
    pub(super) fn new(
        node: &Node,
        alphabet: Alphabet,
        lines: bool,
        groups: usize,
    ) -> Result<Self, SyntaxError> {
        Ok(Self { program: Program::new(node, alphabet, lines)?, groups })
    }

    /// The first match that starts at `start`, or, unless `of_start` says that none does, behind it.
    pub(super) fn find(&self, text: &str, start: usize, of_start: bool) -> Option<Spans> {
        let mut machine = Machine {
            program: &self.program,
            text,
            slots: vec![None; 2 * self.groups],
            rounds: vec![usize::MAX; self.program.rounds],
            frames: Vec::new(),
            left: MOST_STEPS,
        };
        let last = if of_start { start } else { text.len() };
        for at in (start..=last).filter(|at| text.is_char_boundary(*at)) {
            if machine.run(0, at).ok()?.is_some() {
                let mut spans = Spans::unset(self.groups);
                for (group, slots) in machine.slots.chunks_exact(2).enumerate() {
                    if let &[Some(start), Some(end)] = slots {
                        spans.set(group, &(start..end));
                    }
                }
                return Some(spans);
            }
        }
        None
    }
}

impl Machine<'_, '_> {
    /// Where a match ends that begins with this step; what it may go back to is on top of the frames.
    fn run(&mut self, mut step: usize, mut at: usize) -> Result<Option<usize>, GaveUp> {
        let floor = self.frames.len();
        loop {
            self.cost(1)?;
            let program = self.program;
            let done = program.steps.get(step).unwrap_or(&Step::Done);
            let next = match *done {
                Step::Done => return Ok(Some(at)),
                Step::One(set) => self.one(set, at).map(|at| (step + 1, at)),
                Step::Run { set, min, max, greedy } => self.repeated(set, (min, max), greedy, (step, at))?,
                Step::Save(slot) => {
                    if let Some(place) = self.slots.get_mut(slot) {
                        let was = place.replace(at);
                        self.push(Frame::Slot { slot, was })?;
                    }
                    Some((step + 1, at))
                }
                Step::Split(first, second) => {
                    self.push(Frame::Go { step: second, at })?;
                    Some((first, at))
                }
                Step::Jump(to) => Some((to, at)),
                Step::Round(round) => {
                    if let Some(place) = self.rounds.get_mut(round) {
                        let was = std::mem::replace(place, at);
                        self.push(Frame::Round { round, was })?;
                    }
                    Some((step + 1, at))
                }
                Step::Leave { round, end } => {
                    let empty = self.rounds.get(round) == Some(&at);
                    Some((if empty { end } else { step + 1 }, at))
                }
                Step::Holds(assertion) => self.holds(assertion, at).then_some((step + 1, at)),
                Step::Back(count) => {
                    let before = self.text.get(..at).unwrap_or_default();
                    let mut back = before.char_indices().rev().map(|(at, _)| at);
                    let to = count.checked_sub(1).map_or(Some(at), |skipped| back.nth(skipped));
                    to.map(|to| (step + 1, to))
                }
                Step::Look { negated, end } => {
                    let inner = self.frames.len();
                    let found = self.run(step + 1, at)?.is_some();
                    self.close(inner, found && !negated);
                    (found != negated).then_some((end, at))
                }
                Step::Atomic { end } => {
                    let inner = self.frames.len();
                    let found = self.run(step + 1, at)?;
                    self.close(inner, found.is_some());
                    found.map(|at| (end, at))
                }
                Step::Again { group, any_case } => self.again(group, any_case, at)?.map(|at| (step + 1, at)),
                Step::Unless { group, otherwise } => {
                    let matched = matches!(self.slots.get(2 * group + 1), Some(Some(_)));
                    Some((if matched { step + 1 } else { otherwise }, at))
                }
            };
            (step, at) = match next {
                Some(next) => next,
                None => match self.go_back(floor)? {
                    Some(next) => next,
                    None => return Ok(None),
                },
            };
        }
    }

    fn cost(&mut self, steps: usize) -> Result<(), GaveUp> {
        self.left = self.left.checked_sub(steps).ok_or(GaveUp)?;
        Ok(())
    }

    fn push(&mut self, frame: Frame) -> Result<(), GaveUp> {
        if self.frames.len() >= MOST_FRAMES {
            return Err(GaveUp);
        }
        self.frames.push(frame);
        Ok(())
    }

    /// Another way, of those above `floor`.
    fn go_back(&mut self, floor: usize) -> Result<Option<(usize, usize)>, GaveUp> {
        while self.frames.len() > floor {
            match self.frames.pop() {
                Some(Frame::Go { step, at }) => return Ok(Some((step, at))),
                Some(Frame::Shorter { step, low, at }) => {
                    let before = self.text.get(..at).and_then(|before| before.chars().next_back());
                    let at = at - before.map_or(0, char::len_utf8);
                    if at > low {
                        self.push(Frame::Shorter { step, low, at })?;
                    }
                    return Ok(Some((step, at)));
                }
                Some(Frame::Longer { step, at, left }) => {
                    let Some(Step::Run { set, .. }) = self.program.steps.get(step) else { continue };
                    let Some(at) = self.one(*set, at) else { continue };
                    if left > 1 {
                        self.push(Frame::Longer { step, at, left: left - 1 })?;
                    }
                    return Ok(Some((step + 1, at)));
                }
                Some(undo) => self.undo(undo),
                None => break,
            }
        }
        Ok(None)
    }

    fn undo(&mut self, frame: Frame) {
        match frame {
            Frame::Slot { slot, was } => {
                if let Some(place) = self.slots.get_mut(slot) {
                    *place = was;
                }
            }
            Frame::Round { round, was } => {
                if let Some(place) = self.rounds.get_mut(round) {
                    *place = was;
                }
            }
            Frame::Go { .. } | Frame::Shorter { .. } | Frame::Longer { .. } => {}
        }
    }

    /// Forgets the other ways above `floor`. With `keep`, what was noted stays noted, until what is below goes back.
    fn close(&mut self, floor: usize, keep: bool) {
        if keep {
            let mut at = 0;
            self.frames.retain(|frame| {
                at += 1;
                at <= floor || matches!(frame, Frame::Slot { .. } | Frame::Round { .. })
            });
            return;
        }
        while self.frames.len() > floor
            && let Some(frame) = self.frames.pop()
        {
            self.undo(frame);
        }
    }

    /// Behind one character of a set.
    fn one(&self, set: usize, at: usize) -> Option<usize> {
        let c = self.text.get(at..)?.chars().next()?;
        self.program.sets.get(set)?.has(c).then(|| at + c.len_utf8())
    }

    fn repeated(
        &mut self,
        set: usize,
        (min, max): (u32, u32),
        greedy: bool,
        (step, mut at): (usize, usize),
    ) -> Result<Option<(usize, usize)>, GaveUp> {
        for _ in 0..min {
            self.cost(1)?;
            match self.one(set, at) {
                Some(next) => at = next,
                None => return Ok(None),
            }
        }
        let low = at;
        if !greedy {
            if max > min {
                self.push(Frame::Longer { step, at, left: max - min })?;
            }
            return Ok(Some((step + 1, at)));
        }
        let mut left = max - min;
        while let Some(next) = self.one(set, at).filter(|_| left > 0) {
            at = next;
            left -= 1;
            self.cost(1)?;
        }
        if at > low {
            self.push(Frame::Shorter { step: step + 1, low, at })?;
        }
        Ok(Some((step + 1, at)))
    }

    /// Behind the text of a group.
    fn again(&mut self, group: usize, any_case: bool, at: usize) -> Result<Option<usize>, GaveUp> {
        let slot = |slot| self.slots.get(slot).copied().flatten();
        let (Some(start), Some(end)) = (slot(2 * group), slot(2 * group + 1)) else { return Ok(None) };
        let (Some(wanted), Some(rest)) = (self.text.get(start..end), self.text.get(at..)) else {
            return Ok(None);
        };
        self.cost(wanted.len())?;
        if !any_case {
            return Ok(rest.starts_with(wanted).then(|| at + wanted.len()));
        }
        let mut characters = rest.chars();
        let alike =
            |wanted: char| characters.next().is_some_and(|c| c.to_lowercase().eq(wanted.to_lowercase()));
        let all = wanted.chars().all(alike);
        Ok(all.then(|| at + rest.len() - characters.as_str().len()))
    }

    fn holds(&self, assertion: Assertion, at: usize) -> bool {
        let before = self.text.get(..at).and_then(|before| before.chars().next_back());
        let rest = self.text.get(at..).unwrap_or_default();
        let word = |c: Option<char>| c.is_some_and(|c| self.program.words.has(c));
        match assertion {
            Assertion::TextStart => before.is_none(),
            Assertion::LineStart => before.is_none_or(|c| c == '\n'),
            Assertion::TextEnd => rest.is_empty(),
            Assertion::LineEnd => rest.is_empty() || rest.starts_with('\n'),
            Assertion::LastLineEnd => matches!(rest, "" | "\n"),
            Assertion::Boundary(negated) => (word(before) != word(rest.chars().next())) != negated,
            Assertion::Edge => !(word(before) && word(rest.chars().next())),
        }
    }
}
