//! What can be wrong with a filter, as sentences for the administrator.
//!
//! A fault in a pattern carries the byte at which it sits, within the pattern and (when the filter
//! came from a file) the pattern's span within the file, so that a caret can be drawn under it.

use std::ops::Range;
use std::path::PathBuf;

use thiserror::Error;

/// Why a pattern is refused, and the byte of the pattern at which it went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Byte offset in the pattern as it was written, from 0; at most its length.
    pub offset: usize,
    /// What is wrong there.
    pub kind: FaultKind,
}

/// What is wrong in a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FaultKind {
    /// `<HOSST>`: no such tag.
    #[error("there is no tag <{tag}>{}", nearest(.near.as_deref(), "<", ">"))]
    UnknownTag {
        /// The tag as it was written.
        tag: String,
        /// The known tag that is spelled most alike.
        near: Option<String>,
    },
    /// A tag that only fail2ban's dialect gives a meaning.
    #[error(
        "<{tag}> has a meaning in fail2ban's .conf dialect only; leave it out, or name the capture differently"
    )]
    DialectTag {
        /// The tag as it was written.
        tag: String,
    },
    /// `<F-USER>` without its end, or an end without its start.
    #[error("<{tag}> has no partner; write <F-NAME>...</F-NAME>")]
    Unbalanced {
        /// The lonely tag.
        tag: String,
    },
    /// A second host tag, or the same capture twice.
    #[error("<{tag}> stands here for the second time; a pattern may hold it once")]
    Twice {
        /// The repeated tag.
        tag: String,
    },
    /// `where` without `format`.
    #[error("nothing says how its lines are written; add format = \"json\" or format = \"logfmt\"")]
    NoFormat,
    /// Nothing says where the address is.
    #[error(
        "no <HOST>, <ADDR>, <IP4> or <IP6> (for `where`: no `host`) says where the address is; add one, or a [connection] whose lines say it"
    )]
    NoHost,
    /// The pattern may match in the middle of a message, where attackers write.
    #[error("the pattern may start anywhere in the message, where log text can forge it; begin it with ^")]
    NotAnchored,
    /// The pattern matches a message without any text.
    #[error("the pattern matches an empty message; make some text of it mandatory")]
    MatchesNothing,
    /// The regular expression is not valid.
    #[error("{0}; correct the regular expression")]
    Syntax(String),
    /// It compiles to more than the limit.
    #[error("the pattern is too big once compiled; lower its repetition counts")]
    TooBig,
}

/// Why a filter cannot be used.
#[derive(Debug, Error)]
pub enum FilterError {
    /// The reference itself (`sshd[mode=...]`) is malformed.
    #[error(
        "the filter reference '{reference}' {problem}; write NAME, NAME[mode=MODE] or /path/to/file.toml"
    )]
    Reference {
        /// The reference as it was typed.
        reference: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An option that filters do not have.
    #[error("filter '{filter}' has no option '{option}'{}; the options are: mode, logtype", nearest(.near.as_deref(), "", ""))]
    UnknownOption {
        /// The filter's name.
        filter: String,
        /// The option as it was typed.
        option: String,
        /// The option spelled most alike.
        near: Option<String>,
    },
    /// A mode that the filter does not have.
    #[error("filter '{filter}' has no mode '{mode}'{}; its modes are: {}", nearest(.near.as_deref(), "", ""), .modes.join(", "))]
    UnknownMode {
        /// The filter's name.
        filter: String,
        /// The mode as it was typed.
        mode: String,
        /// The mode spelled most alike.
        near: Option<String>,
        /// All modes of the filter.
        modes: Vec<String>,
    },
    /// Modes that include each other.
    #[error("filter '{filter}': mode '{mode}' includes itself; take it out of `includes`")]
    ModeLoop {
        /// The filter's name.
        filter: String,
        /// The mode at which the circle closes.
        mode: String,
    },
    /// No filter of that name anywhere.
    #[error("there is no filter '{name}'{}; `banctl filters` lists them", nearest(.near.as_deref(), "", ""))]
    Unknown {
        /// The name as it was typed.
        name: String,
        /// The name spelled most alike.
        near: Option<String>,
    },
    /// Both NAME.toml and NAME.conf exist.
    #[error("filter '{name}' exists twice, {} and {}; remove one of them", .toml.display(), .conf.display())]
    Ambiguous {
        /// The filter's name.
        name: String,
        /// The one in TOML.
        toml: PathBuf,
        /// The one in fail2ban's dialect.
        conf: PathBuf,
    },
    /// NAME.local without NAME.conf.
    #[error("{} has no .conf beside it to change; rename it or add the .conf", .local.display())]
    LonelyLocal {
        /// The file without its partner.
        local: PathBuf,
    },
    /// A .conf of fail2ban's that cannot be used.
    #[error("{origin}: {problem}; correct the file")]
    Conf {
        /// The file, with the line where one is at fault.
        origin: String,
        /// What is wrong.
        problem: String,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {error}; check its name and permissions", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is not a filter in TOML.
    #[error("{origin}: {message}; correct the file")]
    Toml {
        /// The file, or the name in the catalogue.
        origin: String,
        /// What the TOML reader said.
        message: String,
        /// Where in the file, in bytes.
        span: Option<Range<usize>>,
    },
    /// One pattern is refused.
    #[error("{origin}: {key} {index}: {}\n  {pattern}\n  {:>width$}", .fault.kind, "^", width = column(.pattern, .fault.offset))]
    Pattern {
        /// The file, or the name in the catalogue.
        origin: String,
        /// `failregex`, `ignoreregex`, `connection.known` or the like.
        key: &'static str,
        /// Which of that key's in this mode, from 0.
        index: usize,
        /// The pattern as it was written.
        pattern: String,
        /// Where the pattern's string stands in the file, in bytes.
        span: Range<usize>,
        /// What is wrong with it.
        fault: Box<Fault>,
    },
    /// The conditions on a structured line are refused.
    #[error("{origin}: where {index}: {}{}", .field.as_deref().map(|field| format!("{field}: ")).unwrap_or_default(), .fault.kind)]
    Where {
        /// The file, or the name in the catalogue.
        origin: String,
        /// Which of the alternatives in this mode, from 0.
        index: usize,
        /// The field whose regular expression is wrong.
        field: Option<String>,
        /// What is wrong with it.
        fault: Box<Fault>,
    },
    /// Nothing to match with.
    #[error("{origin}: the filter has neither failregex nor where in mode '{mode}'; add one")]
    Empty {
        /// The file, or the name in the catalogue.
        origin: String,
        /// The mode.
        mode: String,
    },
    /// One of the filter's own examples fails.
    #[error("{origin}: example {index} failed: {problem}; correct the example or the patterns\n  {line}")]
    Example {
        /// The file, or the name in the catalogue.
        origin: String,
        /// Which example, from 0.
        index: usize,
        /// Its line.
        line: String,
        /// What happened instead of what it says.
        problem: String,
    },
}

fn nearest(near: Option<&str>, open: &str, close: &str) -> String {
    near.map(|near| format!(" (did you mean {open}{near}{close}?)")).unwrap_or_default()
}

/// How wide the caret line is: as many characters as stand before the fault, plus the caret.
fn column(pattern: &str, offset: usize) -> usize {
    pattern.char_indices().take_while(|(at, _)| *at < offset).count() + 1
}

/// The candidate spelled most like `typed`, if any is near enough to be meant.
#[must_use]
pub fn closest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(typed, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Definition, Filter, NORMAL};

    #[test]
    fn a_refused_pattern_is_shown_with_a_caret_under_the_fault() {
        let text = "description = 'x'\nfailregex = ['^a <HOST>$', '^b from <HOSST>$']\n";
        let definition = Definition::parse("f.toml", text).unwrap();
        let error = Filter::compile("f", "f.toml", definition.into(), NORMAL).unwrap_err();
        assert_eq!(
            error.to_string(),
            "f.toml: failregex 1: there is no tag <HOSST> (did you mean <HOST>?)\n  ^b from <HOSST>$\n          ^"
        );
        let FilterError::Pattern { span, .. } = error else { panic!("another error") };
        assert_eq!(&text[span], "'^b from <HOSST>$'");
    }
}
