//! Writes a tree of Python's syntax in that of Rust's engines.
//!
//! Shorthand classes are written out, so that they hold what they hold in Python: `\s` takes 0x1c to 0x1f, `\w`
//! no marks. Lines of ASCII alone are searched with ASCII classes, which is ten times as fast and gives the same.
//! Groups lose their names; their order is the same on both sides.

use super::syntax::{Class, Greed, Item, Node};

/// Whom the text is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// The pattern itself, which must be regular.
    Linear,
    /// A pattern that matches wherever the original does, and elsewhere. With `true`, no
    /// literal reaches over a place at which a date may be cut out.
    Superset(bool),
}

/// What the searched lines hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::filter::fail2ban) enum Alphabet {
    Ascii,
    Unicode,
}

/// How to write.
#[derive(Debug, Clone, Copy)]
pub(in crate::filter::fail2ban) struct Style {
    pub(in crate::filter::fail2ban) target: Target,
    pub(in crate::filter::fail2ban) alphabet: Alphabet,
    /// The searched text may hold several lines.
    pub(in crate::filter::fail2ban) lines: bool,
}

const NOTHING: &str = "[a&&b]";
const ANYTHING: &str = "(?s:.)*";

/// Whether the linear engine can do it.
pub(in crate::filter::fail2ban) fn is_regular(node: &Node, lines: bool) -> bool {
    let mut regular = true;
    node.walk(&mut |node| {
        regular &= match node {
            Node::Look(_) | Node::Backreference(_) | Node::Conditional(..) => false,
            Node::End(false) => !lines,
            Node::Repeat(repeat) => repeat.greed != Greed::Possessive,
            _ => true,
        };
    });
    regular
}

/// Writes `node` out.
pub(in crate::filter::fail2ban) fn write(node: &Node, style: Style) -> String {
    let mut out = String::new();
    Writer { style }.node(node, &mut out);
    out
}

struct Writer {
    style: Style,
}

impl Writer {
    fn node(&self, node: &Node, out: &mut String) {
        let superset = matches!(self.style.target, Target::Superset(_));
        match node {
            Node::Empty => {}
            Node::Literal(c) => self.literal(*c, out),
            Node::Any(true) => out.push_str("(?s:.)"),
            Node::Any(false) => out.push_str(r"[^\n]"),
            Node::Class(class) => self.class(class, out),
            Node::Start(true) => out.push_str("(?m:^)"),
            Node::Start(false) | Node::TextStart => out.push_str(r"\A"),
            // A single line has its line feed at its end only, where both mean the same.
            Node::End(false) if self.style.lines => {}
            Node::End(_) => out.push_str("(?m:$)"),
            Node::TextEnd => out.push_str(r"\z"),
            Node::Boundary(_) if superset => {}
            Node::Boundary(negated) => out.push_str(if *negated { r"\B" } else { r"\b" }),
            Node::Edge if superset => {}
            Node::Edge => out.push_str(r"(?:\b{start-half}|\b{end-half})"),
            Node::Group(group) if superset => self.wrapped("(?:", &group.inner, out),
            Node::Group(group) => self.wrapped("(", &group.inner, out),
            Node::Case(on, inner) => self.wrapped(if *on { "(?i:" } else { "(?-i:" }, inner, out),
            Node::Concat(parts) => self.concat(parts, out),
            Node::Alternation(branches) => {
                out.push_str("(?:");
                for (place, branch) in branches.iter().enumerate() {
                    out.push_str(if place > 0 { "|" } else { "" });
                    self.node(branch, out);
                }
                out.push(')');
            }
            Node::Repeat(repeat) => {
                self.wrapped("(?:", &repeat.inner, out);
                let count = match (repeat.min, repeat.max) {
                    (0, None) => "*".to_owned(),
                    (1, None) => "+".to_owned(),
                    (0, Some(1)) => "?".to_owned(),
                    (min, None) => format!("{{{min},}}"),
                    (min, Some(max)) => format!("{{{min},{max}}}"),
                };
                out.push_str(&count);
                out.push_str(if repeat.greed == Greed::Lazy { "?" } else { "" });
            }
            Node::Look(_) => {}
            Node::Backreference(_) => out.push_str(ANYTHING),
            Node::Conditional(_, yes, no) => {
                out.push_str("(?:");
                self.node(yes, out);
                out.push('|');
                self.node(no, out);
                out.push(')');
            }
        }
    }

    fn wrapped(&self, open: &str, inner: &Node, out: &mut String) {
        out.push_str(open);
        self.node(inner, out);
        out.push(')');
    }

    /// A date's ends are beside characters that are of no word, or at the line's ends. So a literal may stand
    /// around a cut only where two such characters meet.
    fn concat(&self, parts: &[Node], out: &mut String) {
        let is_of_word = |node: &Node| matches!(node, Node::Literal(c) if c.is_alphanumeric() || *c == '_');
        for (place, part) in parts.iter().enumerate() {
            let before = place.checked_sub(1).and_then(|before| parts.get(before));
            let gap = self.style.target == Target::Superset(true)
                && before.is_some_and(|before| !is_of_word(before) && !is_of_word(part));
            out.push_str(if gap { ANYTHING } else { "" });
            self.node(part, out);
        }
    }

    fn literal(&self, c: char, out: &mut String) {
        if !c.is_ascii() {
            match self.style.alphabet {
                Alphabet::Ascii => out.push_str(NOTHING),
                Alphabet::Unicode => out.push(c),
            }
        } else if c.is_ascii_alphanumeric()
            || matches!(c, ' ' | '_' | '"' | '\'' | ':' | ';' | '=' | ',' | '/')
        {
            out.push(c);
        } else {
            out.push_str(&format!(r"\x{:02x}", u32::from(c)));
        }
    }

    fn class(&self, class: &Class, out: &mut String) {
        let mut items = String::new();
        for item in &class.items {
            match *item {
                Item::Range(low, high) => self.range(low, high, &mut items),
                Item::Shorthand(kind, false) => items.push_str(self.shorthand(kind)),
                Item::Shorthand(kind, true) => items.push_str(&format!("[^{}]", self.shorthand(kind))),
            }
        }
        match (items.is_empty(), class.negated) {
            (true, false) => out.push_str(NOTHING),
            (true, true) => out.push_str("(?s:.)"),
            (false, negated) => {
                out.push_str(if negated { "[^" } else { "[" });
                out.push_str(&items);
                out.push(']');
            }
        }
    }

    fn range(&self, low: char, high: char, items: &mut String) {
        let high = match self.style.alphabet {
            Alphabet::Unicode => high,
            Alphabet::Ascii if low.is_ascii() => high.min('\x7f'),
            Alphabet::Ascii => return,
        };
        items.push_str(&match low == high {
            true => format!(r"\x{{{:x}}}", u32::from(low)),
            false => format!(r"\x{{{:x}}}-\x{{{:x}}}", u32::from(low), u32::from(high)),
        });
    }

    fn shorthand(&self, kind: char) -> &'static str {
        match (kind, self.style.alphabet) {
            ('d', Alphabet::Ascii) => "0-9",
            ('d', Alphabet::Unicode) => r"\p{Nd}",
            ('s', Alphabet::Ascii) => r"\x09-\x0d\x1c-\x20",
            ('s', Alphabet::Unicode) => r"\s\x1c-\x1f",
            (_, Alphabet::Ascii) => "0-9A-Za-z_",
            (_, Alphabet::Unicode) => r"\p{L}\p{N}_",
        }
    }
}
