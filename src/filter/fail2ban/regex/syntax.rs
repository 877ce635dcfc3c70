//! The regular expressions that Python's `re` knows, as a tree.
//!
//! Reference: the syntax section of the documentation of Python's module `re`. Two things are laxer than
//! there: global flags may stand anywhere, and unknown escapes of letters stand for the letter.

/// A regular expression, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::filter::fail2ban) enum Node {
    Empty,
    Literal(char),
    /// `.`; with `true` it takes a line feed, too.
    Any(bool),
    Class(Class),
    /// `^`: of each line with `true`, else of the text.
    Start(bool),
    /// `$`: of each line with `true`, else of the text, also before a last line feed.
    End(bool),
    /// `\A`.
    TextStart,
    /// `\Z`.
    TextEnd,
    /// `\b`, or `\B` with `true`.
    Boundary(bool),
    /// Anywhere but inside a word; not of Python, but what surrounds a date.
    Edge,
    Group(Box<Group>),
    /// `(?i:...)`, or `(?-i:...)` with `false`.
    Case(bool, Box<Node>),
    Concat(Vec<Node>),
    Alternation(Vec<Node>),
    Repeat(Box<Repeat>),
    Look(Box<Look>),
    /// `\1` or `(?P=name)`.
    Backreference(usize),
    /// `(?(1)yes|no)`.
    Conditional(usize, Box<Node>, Box<Node>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::filter::fail2ban) struct Group {
    /// From 1.
    pub(in crate::filter::fail2ban) index: usize,
    pub(in crate::filter::fail2ban) name: Option<String>,
    pub(in crate::filter::fail2ban) inner: Node,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::filter::fail2ban) struct Repeat {
    pub(in crate::filter::fail2ban) inner: Node,
    pub(in crate::filter::fail2ban) min: u32,
    /// None: without end.
    pub(in crate::filter::fail2ban) max: Option<u32>,
    pub(in crate::filter::fail2ban) greed: Greed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::filter::fail2ban) enum Greed {
    Greedy,
    Lazy,
    Possessive,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::filter::fail2ban) struct Look {
    pub(in crate::filter::fail2ban) ahead: bool,
    pub(in crate::filter::fail2ban) negated: bool,
    pub(in crate::filter::fail2ban) inner: Node,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::filter::fail2ban) struct Class {
    pub(in crate::filter::fail2ban) negated: bool,
    pub(in crate::filter::fail2ban) items: Vec<Item>,
}

/// What a class lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::filter::fail2ban) enum Item {
    Range(char, char),
    /// `\d`, `\s` or `\w`; negated with `true`.
    Shorthand(char, bool),
}

impl Node {
    /// A class of one shorthand.
    pub(in crate::filter::fail2ban) fn shorthand(kind: char, negated: bool) -> Self {
        Self::Class(Class { negated: false, items: vec![Item::Shorthand(kind, negated)] })
    }

    /// Calls `visit` for this node and all below it.
    pub(in crate::filter::fail2ban) fn walk(&self, visit: &mut dyn FnMut(&Node)) {
        visit(self);
        match self {
            Self::Group(group) => group.inner.walk(visit),
            Self::Case(_, inner) => inner.walk(visit),
            Self::Concat(parts) | Self::Alternation(parts) => {
                parts.iter().for_each(|part| part.walk(visit));
            }
            Self::Repeat(repeat) => repeat.inner.walk(visit),
            Self::Look(look) => look.inner.walk(visit),
            Self::Conditional(_, yes, no) => {
                yes.walk(visit);
                no.walk(visit);
            }
            _ => {}
        }
    }

    /// Whether each match has this group, and something in it.
    pub(in crate::filter::fail2ban) fn always_catches(&self, index: usize) -> bool {
        match self {
            Self::Group(group) if group.index == index => group.inner.always_reads(),
            Self::Group(group) => group.inner.always_catches(index),
            Self::Case(_, inner) => inner.always_catches(index),
            Self::Concat(parts) => parts.iter().any(|part| part.always_catches(index)),
            _ => false,
        }
    }

    /// Whether each match reads something.
    fn always_reads(&self) -> bool {
        match self {
            Self::Literal(_) | Self::Any(_) | Self::Class(_) => true,
            Self::Group(group) => group.inner.always_reads(),
            Self::Case(_, inner) => inner.always_reads(),
            Self::Concat(parts) => parts.iter().any(Self::always_reads),
            Self::Alternation(parts) => parts.iter().all(Self::always_reads),
            Self::Repeat(repeat) => repeat.min > 0 && repeat.inner.always_reads(),
            _ => false,
        }
    }

    /// The same tree with every node replaced for which `replace` has something else.
    pub(in crate::filter::fail2ban) fn map(&self, replace: &dyn Fn(&Node) -> Option<Node>) -> Node {
        if let Some(other) = replace(self) {
            return other;
        }
        let all = |parts: &[Node]| parts.iter().map(|part| part.map(replace)).collect();
        match self {
            Self::Group(group) => Self::Group(Box::new(Group {
                index: group.index,
                name: group.name.clone(),
                inner: group.inner.map(replace),
            })),
            Self::Case(on, inner) => Self::Case(*on, Box::new(inner.map(replace))),
            Self::Concat(parts) => Self::Concat(all(parts)),
            Self::Alternation(parts) => Self::Alternation(all(parts)),
            Self::Repeat(repeat) => {
                Self::Repeat(Box::new(Repeat { inner: repeat.inner.map(replace), ..(**repeat).clone() }))
            }
            Self::Look(look) => {
                Self::Look(Box::new(Look { inner: look.inner.map(replace), ..(**look).clone() }))
            }
            Self::Conditional(group, yes, no) => {
                Self::Conditional(*group, Box::new(yes.map(replace)), Box::new(no.map(replace)))
            }
            other => other.clone(),
        }
    }
}
