//! Escapes and classes of Python's regular expressions.

use super::parse::{Parser, SyntaxError};
use super::syntax::{Class, Item, Node};

impl Parser<'_> {
    /// Behind the `\`, outside of classes.
    pub(super) fn escape(&mut self) -> Result<Node, SyntaxError> {
        let Some(c) = self.peek() else { return Err(self.error("a lonely \\ at the end")) };
        if matches!(c, '1'..='9') {
            let digits: String = self.rest().chars().take(2).take_while(char::is_ascii_digit).collect();
            self.at += digits.len();
            return self.reference(&digits).map(Node::Backreference);
        }
        self.next();
        Ok(match c {
            'A' => Node::TextStart,
            'Z' => Node::TextEnd,
            'b' => Node::Boundary(false),
            'B' => Node::Boundary(true),
            'd' | 's' | 'w' => Node::shorthand(c, false),
            'D' | 'S' | 'W' => Node::shorthand(c.to_ascii_lowercase(), true),
            _ => Node::Literal(self.character(c)?),
        })
    }

    /// The character that an escape stands for; `c` is the one behind the `\`, already read.
    fn character(&mut self, c: char) -> Result<char, SyntaxError> {
        let length = match c {
            'n' => return Ok('\n'),
            't' => return Ok('\t'),
            'r' => return Ok('\r'),
            'f' => return Ok('\x0c'),
            'v' => return Ok('\x0b'),
            'a' => return Ok('\x07'),
            '0' => {
                let digits: String =
                    self.rest().chars().take(2).take_while(|c| matches!(c, '0'..='7')).collect();
                self.at += digits.len();
                return Ok(u32::from_str_radix(&digits, 8).ok().and_then(char::from_u32).unwrap_or('\0'));
            }
            'x' => 2,
            'u' => 4,
            'U' => 8,
            other => return Ok(other),
        };
        let digits = self.rest().get(..length).unwrap_or_default().to_owned();
        let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
        self.at += digits.len();
        code.ok_or_else(|| self.error(format!("\\{c} takes {length} hexadecimal digits")))
    }

    pub(super) fn class(&mut self) -> Result<Class, SyntaxError> {
        let negated = self.eat("^");
        let mut items = Vec::new();
        loop {
            let first = items.is_empty();
            let item = match self.next() {
                None => return Err(self.error("a [ without its ]")),
                Some(']') if !first => return Ok(Class { negated, items }),
                Some(c) => self.class_item(c)?,
            };
            let Item::Range(low, _) = item else {
                items.push(item);
                continue;
            };
            if !self.rest().starts_with('-') || self.rest().starts_with("-]") {
                items.push(item);
                continue;
            }
            self.next();
            let Some(c) = self.next() else { return Err(self.error("a [ without its ]")) };
            match self.class_item(c)? {
                Item::Range(high, _) if low <= high => items.push(Item::Range(low, high)),
                _ => return Err(self.error("a range of a class that ends before it begins")),
            }
        }
    }

    fn class_item(&mut self, c: char) -> Result<Item, SyntaxError> {
        if c != '\\' {
            return Ok(Item::Range(c, c));
        }
        let Some(escaped) = self.next() else { return Err(self.error("a lonely \\ at the end")) };
        Ok(match escaped {
            'd' | 's' | 'w' => Item::Shorthand(escaped, false),
            'D' | 'S' | 'W' => Item::Shorthand(escaped.to_ascii_lowercase(), true),
            'b' => Item::Range('\x08', '\x08'),
            other => {
                let c = self.character(other)?;
                Item::Range(c, c)
            }
        })
    }
}
