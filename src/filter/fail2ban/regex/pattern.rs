//! A compiled pattern: linear where it can be, backtracking under a limit where it must.
//!
//! A backtracking pattern is tried only where a linear superset of it matches, and gives up after a number of steps: a
//! line that drives it there does not match. So no line costs unbounded time.

use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use regex_automata::Input;
use regex_automata::meta;
use regex_automata::util::syntax;
use regex_syntax::hir::Hir;

use super::parse::{SyntaxError, parse};
use super::syntax::{Class, Item, Node};
use super::translate::{Alphabet, Style, Target, is_regular, write};

/// What one pattern may take once compiled, in bytes.
const SIZE_LIMIT: usize = 16 << 20;
/// What the lazy DFA of one pattern may take, in bytes, each way.
const CACHE: usize = 128 << 10;
/// How many steps back a pattern may make on one line.
const BACKTRACK_LIMIT: usize = 200_000;

/// A compiled pattern.
pub(in crate::filter::fail2ban) struct Pattern {
    /// As it was before translation, tags expanded.
    pub(in crate::filter::fail2ban) written: String,
    /// The names of the groups, by index.
    pub(in crate::filter::fail2ban) names: Vec<Option<String>>,
    node: Node,
    lines: bool,
    ascii: Engine,
    /// For lines with other characters; made when the first comes.
    unicode: OnceLock<Option<Engine>>,
}

enum Engine {
    Linear(meta::Regex),
    Backtracking { regex: fancy_regex::Regex, superset: meta::Regex },
}

/// Where a pattern and its groups matched, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::filter::fail2ban) struct Found {
    spans: Vec<Option<Range<usize>>>,
}

impl Found {
    pub(in crate::filter::fail2ban) fn group(&self, index: usize) -> Option<Range<usize>> {
        self.spans.get(index).cloned().flatten()
    }

    /// The whole match.
    pub(in crate::filter::fail2ban) fn whole(&self) -> Range<usize> {
        self.group(0).unwrap_or_default()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pattern").field("written", &self.written).finish()
    }
}

impl Pattern {
    /// Compiles Python's `text`. With `multiline`, `^` and `$` are those of each line; with `lines`, the searched text
    /// may hold several.
    pub(in crate::filter::fail2ban) fn compile(
        text: &str,
        multiline: bool,
        lines: bool,
    ) -> Result<Self, SyntaxError> {
        let parsed = parse(text, multiline)?;
        Self::of(text.to_owned(), parsed.node, parsed.names, lines)
    }

    /// Compiles a tree.
    pub(in crate::filter::fail2ban) fn of(
        written: String,
        node: Node,
        names: Vec<Option<String>>,
        lines: bool,
    ) -> Result<Self, SyntaxError> {
        let ascii = Engine::new(&node, Alphabet::Ascii, lines)?;
        Ok(Self { written, names, node, lines, ascii, unicode: OnceLock::new() })
    }

    /// Whether it needs the backtracking engine.
    pub(in crate::filter::fail2ban) fn backtracks(&self) -> bool {
        matches!(self.ascii, Engine::Backtracking { .. })
    }

    /// The leftmost match.
    pub(in crate::filter::fail2ban) fn find(&self, text: &str) -> Option<Found> {
        self.find_from(text, 0)
    }

    /// The leftmost match that starts at `start` or behind it.
    pub(in crate::filter::fail2ban) fn find_from(&self, text: &str, start: usize) -> Option<Found> {
        if text.is_ascii() {
            return self.ascii.find(text, start);
        }
        let made = || Engine::new(&self.node, Alphabet::Unicode, self.lines).ok();
        self.unicode.get_or_init(made).as_ref().and_then(|engine| engine.find(text, start))
    }

    /// A linear pattern that matches wherever this one does.
    pub(super) fn superset_text(&self, alphabet: Alphabet) -> String {
        write(&self.node, Style { target: Target::Superset(false), alphabet, lines: self.lines })
    }

    /// The tree of the pattern, or of a superset where it is not regular. Groups keep their indices.
    pub(in crate::filter::fail2ban) fn tree(&self) -> Option<Hir> {
        let regular = is_regular(&self.node, self.lines);
        let target = if regular { Target::Linear } else { Target::Superset(false) };
        let style = Style { target, alphabet: Alphabet::Unicode, lines: self.lines };
        regex_syntax::ParserBuilder::new().utf8(false).build().parse(&write(&self.node, style)).ok()
    }

    /// A superset of the pattern, for the prefilter: of the line as it was before its date was cut out.
    pub(in crate::filter::fail2ban) fn superset(&self) -> Option<Hir> {
        let style = Style { target: Target::Superset(true), alphabet: Alphabet::Unicode, lines: self.lines };
        let mut parser = regex_syntax::ParserBuilder::new().utf8(false).build();
        parser.parse(&write(&self.node, style)).ok()
    }
}

impl Engine {
    fn new(node: &Node, alphabet: Alphabet, lines: bool) -> Result<Self, SyntaxError> {
        let variants = unfolded(node);
        let regular = variants.iter().all(|variant| is_regular(variant, lines));
        let text = |node: &Node, target| write(node, Style { target, alphabet, lines });
        if regular {
            let texts: Vec<String> = variants.iter().map(|variant| text(variant, Target::Linear)).collect();
            return linear(&texts, alphabet).map(Self::Linear);
        }
        let superset = linear(&[text(node, Target::Superset(false))], alphabet)?;
        let regex = fancy_regex::RegexBuilder::new(&text(node, Target::Backtracking))
            .backtrack_limit(BACKTRACK_LIMIT)
            .delegate_size_limit(SIZE_LIMIT)
            .build()
            .map_err(|error| refused(&error))?;
        Ok(Self::Backtracking { regex, superset })
    }

    fn find(&self, text: &str, start: usize) -> Option<Found> {
        match self {
            Self::Linear(regex) => {
                let input = Input::new(text).range(start.min(text.len())..);
                let mut captures = regex.create_captures();
                regex.search_captures(&input, &mut captures);
                captures.pattern()?;
                let spans = (0..captures.group_len())
                    .map(|group| captures.get_group(group).map(|span| span.start..span.end));
                Some(Found { spans: spans.collect() })
            }
            Self::Backtracking { regex, superset } => {
                if !superset.is_match(Input::new(text).range(start.min(text.len())..)) {
                    return None;
                }
                let captures = regex.captures_from_pos(text, start).ok().flatten()?;
                let spans = captures.iter().map(|group| group.map(|group| group.range()));
                Some(Found { spans: spans.collect() })
            }
        }
    }
}

fn linear(texts: &[String], alphabet: Alphabet) -> Result<meta::Regex, SyntaxError> {
    linear_with(meta::Config::new().hybrid_cache_capacity(CACHE), texts, alphabet)
}

/// Patterns for the linear engine, as one.
pub(super) fn linear_with(
    config: meta::Config,
    texts: &[String],
    alphabet: Alphabet,
) -> Result<meta::Regex, SyntaxError> {
    let config = config.utf8_empty(false).nfa_size_limit(Some(SIZE_LIMIT));
    let syntax = syntax::Config::new().utf8(false).unicode(alphabet == Alphabet::Unicode);
    meta::Builder::new().configure(config).syntax(syntax).build_many(texts).map_err(|error| refused(&error))
}

fn refused(error: &dyn std::error::Error) -> SyntaxError {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    SyntaxError { problem: format!("{error}{cause}"), offset: 0 }
}

/// A pattern with back-references to a group of one character out of a few, as dates have (`(?P<s>[-/])...(?P=s)`), is as
/// many patterns without.
fn unfolded(node: &Node) -> Vec<Node> {
    let mut referenced = None;
    node.walk(&mut |node| {
        if let Node::Backreference(group) = node {
            referenced = Some(*group);
        }
    });
    let Some(wanted) = referenced else { return vec![node.clone()] };
    let mut characters = Vec::new();
    node.walk(&mut |node| {
        if let Node::Group(group) = node
            && group.index == wanted
            && let Node::Class(Class { negated: false, items }) = &group.inner
        {
            characters = items
                .iter()
                .map_while(|item| match item {
                    Item::Range(low, high) if low == high => Some(*low),
                    _ => None,
                })
                .collect();
            if characters.len() != items.len() || characters.len() > 4 {
                characters.clear();
            }
        }
    });
    let instance = |c: char| {
        node.map(&|node| match node {
            Node::Backreference(group) if *group == wanted => Some(Node::Literal(c)),
            Node::Group(group) if group.index == wanted => {
                let mut group = group.clone();
                group.inner = Node::Literal(c);
                Some(Node::Group(group))
            }
            _ => None,
        })
    };
    if characters.is_empty() { vec![node.clone()] } else { characters.into_iter().map(instance).collect() }
}
