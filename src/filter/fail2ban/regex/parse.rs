//! Reads a regular expression in Python's syntax.

use thiserror::Error;

use super::syntax::{Greed, Group, Look, Node, Repeat};

/// How deep groups may nest.
const DEEPEST: usize = 200;

/// Why a regular expression is refused, and the byte at which it went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{problem} (at byte {offset}); correct the regular expression")]
pub(in crate::filter::fail2ban) struct SyntaxError {
    /// What is wrong.
    pub(in crate::filter::fail2ban) problem: String,
    /// Where, in bytes of the expanded pattern.
    pub(in crate::filter::fail2ban) offset: usize,
}

/// A regular expression, and the names of its groups (by index; 0 is the whole).
#[derive(Debug, Clone)]
pub(in crate::filter::fail2ban) struct Parsed {
    pub(in crate::filter::fail2ban) node: Node,
    pub(in crate::filter::fail2ban) names: Vec<Option<String>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    multiline: bool,
    dotall: bool,
    verbose: bool,
}

pub(super) struct Parser<'a> {
    text: &'a str,
    pub(super) at: usize,
    depth: usize,
    names: Vec<Option<String>>,
    flags: Flags,
    /// `(?i)` stood somewhere: it holds for everything.
    ignore_case: bool,
}

/// Reads `text`. With `multiline`, `^` and `$` are those of each line.
pub(in crate::filter::fail2ban) fn parse(text: &str, multiline: bool) -> Result<Parsed, SyntaxError> {
    let flags = Flags { multiline, ..Flags::default() };
    let mut parser = Parser { text, at: 0, depth: 0, names: vec![None], flags, ignore_case: false };
    let node = parser.alternation()?;
    if parser.peek().is_some() {
        return Err(parser.error("a ) without its ("));
    }
    let node = if parser.ignore_case { Node::Case(true, Box::new(node)) } else { node };
    Ok(Parsed { node, names: parser.names })
}

impl Parser<'_> {
    pub(super) fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    pub(super) fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    /// The text before `end`, which is skipped, too.
    fn until(&mut self, end: char) -> Option<String> {
        let (before, _) = self.rest().split_once(end)?;
        let before = before.to_owned();
        self.at += before.len() + end.len_utf8();
        Some(before)
    }

    pub(super) fn error(&self, problem: impl Into<String>) -> SyntaxError {
        SyntaxError { problem: problem.into(), offset: self.at }
    }

    fn alternation(&mut self) -> Result<Node, SyntaxError> {
        let mut branches = vec![self.concat()?];
        while self.eat("|") {
            branches.push(self.concat()?);
        }
        Ok(match branches.pop() {
            Some(only) if branches.is_empty() => only,
            last => {
                branches.extend(last);
                Node::Alternation(branches)
            }
        })
    }

    fn concat(&mut self) -> Result<Node, SyntaxError> {
        let mut parts = Vec::new();
        while let Some(c) = self.peek() {
            if c == '|' || c == ')' {
                break;
            }
            if self.flags.verbose && self.skip_comment(c) {
                continue;
            }
            if let Some(atom) = self.atom()? {
                parts.push(self.quantified(atom)?);
            }
        }
        Ok(match parts.pop() {
            None => Node::Empty,
            Some(only) if parts.is_empty() => only,
            last => {
                parts.extend(last);
                Node::Concat(parts)
            }
        })
    }

    fn skip_comment(&mut self, c: char) -> bool {
        if c == '#' {
            let skipped = self.rest().find('\n').unwrap_or(self.rest().len());
            self.at += skipped;
        } else if c.is_ascii_whitespace() {
            self.next();
        } else {
            return false;
        }
        true
    }

    /// None for what matches nothing by itself: comments, global flags.
    fn atom(&mut self) -> Result<Option<Node>, SyntaxError> {
        Ok(Some(match self.next() {
            Some('.') => Node::Any(self.flags.dotall),
            Some('^') => Node::Start(self.flags.multiline),
            Some('$') => Node::End(self.flags.multiline),
            Some('[') => Node::Class(self.class()?),
            Some('\\') => self.escape()?,
            Some('(') => return self.group(),
            Some('*' | '+' | '?') => return Err(self.error("nothing to repeat")),
            Some(c) => Node::Literal(c),
            None => Node::Empty,
        }))
    }

    fn quantified(&mut self, mut inner: Node) -> Result<Node, SyntaxError> {
        let mut repeated = false;
        loop {
            let (min, max) = match self.peek() {
                Some('*') => (0, None),
                Some('+') => (1, None),
                Some('?') => (0, Some(1)),
                Some('{') => match self.counts()? {
                    Some((min, max, length)) => {
                        self.at += length - 1;
                        (min, max)
                    }
                    None => return Ok(inner),
                },
                _ => return Ok(inner),
            };
            self.next();
            let greed = if self.eat("?") {
                Greed::Lazy
            } else if self.eat("+") {
                Greed::Possessive
            } else {
                Greed::Greedy
            };
            if std::mem::replace(&mut repeated, true) {
                return Err(self.error("a repetition of a repetition"));
            }
            // What has no width cannot be repeated elsewhere; once is enough, or not at all.
            inner = match inner {
                Node::Start(_) | Node::End(_) | Node::Boundary(_) | Node::TextStart | Node::TextEnd
                    if min > 0 =>
                {
                    inner
                }
                inner => Node::Repeat(Box::new(Repeat { inner, min, max, greed })),
            };
        }
    }

    /// `{2}`, `{2,}`, `{,3}`, `{2,3}` and its length; any other `{` is a literal.
    fn counts(&self) -> Result<Option<(u32, Option<u32>, usize)>, SyntaxError> {
        let Some((inside, _)) = self.rest().strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
            return Ok(None);
        };
        let number = |text: &str| text.parse::<u32>().map_err(|_| self.error("the count is too big"));
        let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let (min, max) = match inside.split_once(',') {
            Some((min, max)) if is_number(min) && is_number(max) => (
                if min.is_empty() { 0 } else { number(min)? },
                if max.is_empty() { None } else { Some(number(max)?) },
            ),
            None if !inside.is_empty() && is_number(inside) => (number(inside)?, Some(number(inside)?)),
            _ => return Ok(None),
        };
        if max.is_some_and(|max| max < min) {
            return Err(self.error("the least count is above the greatest"));
        }
        Ok(Some((min, max, inside.len() + 2)))
    }

    fn group(&mut self) -> Result<Option<Node>, SyntaxError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error("groups nest too deep"));
        }
        let found = self.opened()?;
        self.depth -= 1;
        Ok(found)
    }

    fn opened(&mut self) -> Result<Option<Node>, SyntaxError> {
        if !self.eat("?") {
            return self.capture(None).map(Some);
        }
        if self.eat(":") {
            return self.inner().map(Some);
        }
        if self.eat("P<") {
            let name = self.until('>').ok_or_else(|| self.error("a group's name without its >"))?;
            let well_formed = name.chars().all(|c| c.is_alphanumeric() || c == '_');
            if !well_formed || name.chars().next().is_none_or(|c| c.is_numeric()) {
                return Err(self.error(format!("'{name}' cannot name a group")));
            }
            return self.capture(Some(name)).map(Some);
        }
        if self.eat("P=") {
            let name = self.until(')').ok_or_else(|| self.error("a reference without its )"))?;
            return self.reference(&name).map(|index| Some(Node::Backreference(index)));
        }
        if self.eat("#") {
            self.until(')').ok_or_else(|| self.error("a comment without its )"))?;
            return Ok(None);
        }
        if self.eat(">") {
            let inner = self.inner()?;
            let (min, max, greed) = (1, Some(1), Greed::Possessive);
            return Ok(Some(Node::Repeat(Box::new(Repeat { inner, min, max, greed }))));
        }
        for (sign, ahead, negated) in
            [("=", true, false), ("!", true, true), ("<=", false, false), ("<!", false, true)]
        {
            if self.eat(sign) {
                let inner = self.inner()?;
                return Ok(Some(Node::Look(Box::new(Look { ahead, negated, inner }))));
            }
        }
        if self.eat("(") {
            return self.conditional().map(Some);
        }
        self.flagged()
    }

    /// Up to and with the closing parenthesis; flags set inside end there.
    fn inner(&mut self) -> Result<Node, SyntaxError> {
        let node = self.alternation()?;
        if self.eat(")") { Ok(node) } else { Err(self.error("a ( without its )")) }
    }

    fn capture(&mut self, name: Option<String>) -> Result<Node, SyntaxError> {
        if let Some(name) =
            name.as_ref().filter(|name| self.names.iter().flatten().any(|known| known == *name))
        {
            return Err(self.error(format!("two groups are named '{name}'")));
        }
        let index = self.names.len();
        self.names.push(name.clone());
        let inner = self.inner()?;
        Ok(Node::Group(Box::new(Group { index, name, inner })))
    }

    /// The index of a group, by name or number.
    pub(super) fn reference(&self, name: &str) -> Result<usize, SyntaxError> {
        let by_name = || self.names.iter().position(|known| known.as_deref() == Some(name));
        let index = name.parse().ok().filter(|index| *index > 0).or_else(by_name);
        index
            .filter(|index| *index < self.names.len())
            .ok_or_else(|| self.error(format!("there is no group '{name}' before this place")))
    }

    fn conditional(&mut self) -> Result<Node, SyntaxError> {
        let name = self.until(')').ok_or_else(|| self.error("a condition without its )"))?;
        let group = self.reference(&name)?;
        let yes = self.concat()?;
        let no = if self.eat("|") { self.concat()? } else { Node::Empty };
        if !self.eat(")") {
            return Err(self.error("a condition takes two alternatives and a )"));
        }
        Ok(Node::Conditional(group, Box::new(yes), Box::new(no)))
    }

    fn flagged(&mut self) -> Result<Option<Node>, SyntaxError> {
        let (mut on, mut case) = (true, None);
        let mut flags = self.flags;
        loop {
            match self.next() {
                Some('-') => on = false,
                Some('i') => case = Some(on),
                Some('m') => flags.multiline = on,
                Some('s') => flags.dotall = on,
                Some('x') => flags.verbose = on,
                Some('a' | 'u' | 'L') => {}
                Some(')') => {
                    self.flags = flags;
                    self.ignore_case |= case == Some(true);
                    return Ok(None);
                }
                Some(':') => break,
                _ => return Err(self.error("an unknown kind of group")),
            }
        }
        let outer = std::mem::replace(&mut self.flags, flags);
        let inner = self.inner()?;
        self.flags = outer;
        Ok(Some(match case {
            Some(on) => Node::Case(on, Box::new(inner)),
            None => inner,
        }))
    }
}
