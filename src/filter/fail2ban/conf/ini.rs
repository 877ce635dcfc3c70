//! One file in the format of Python's module `configparser`, as fail2ban sets it up.
//!
//! `#` and `;` begin a line of comment, ` ;` the rest of a line. A line that is indented deeper than its option
//! goes on with the value. Names of options are lower-cased, those of sections are not.

use indexmap::IndexMap;

/// Options by name, in the order of the file.
pub(super) type Section = IndexMap<String, String>;

/// The sections of a file, by name.
pub(super) type Sections = IndexMap<String, Section>;

/// On which line, from 1, each option of each section stands.
pub(super) type Lines = IndexMap<(String, String), usize>;

/// What a file says.
#[derive(Debug, Clone, Default)]
pub(super) struct Text {
    pub(super) sections: Sections,
    pub(super) lines: Lines,
}

/// A line that is neither section nor option: its number from 1, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misplaced {
    pub(super) line: usize,
    pub(super) problem: &'static str,
}

/// Reads a file.
pub(super) fn read(text: &str) -> Result<Text, Misplaced> {
    let mut sections = Sections::new();
    let mut lines = Lines::new();
    let mut section: Option<String> = None;
    let mut option: Option<String> = None;
    let mut indent = 0;
    for (number, raw) in text.lines().enumerate() {
        let line = raw.strip_suffix('\r').unwrap_or(raw);
        let (value, commented) = without_comment(line);
        let current = section.as_ref().and_then(|name| sections.get_mut(name));
        let open = match (current, &option) {
            (Some(section), Some(option)) => section.get_mut(option),
            _ => None,
        };
        if value.is_empty() {
            if let (Some(open), false) = (open, commented) {
                open.push('\n');
            }
            continue;
        }
        let depth = line.len() - line.trim_start().len();
        if let Some(open) = open.filter(|_| depth > indent) {
            open.push('\n');
            open.push_str(value);
            continue;
        }
        indent = depth;
        if let Some((name, _)) = value.strip_prefix('[').and_then(|rest| rest.rsplit_once(']')) {
            sections.entry(name.to_owned()).or_default();
            section = Some(name.to_owned());
            option = None;
            continue;
        }
        let Some(current) = section.as_ref().and_then(|name| sections.get_mut(name)) else {
            return Err(Misplaced { line: number + 1, problem: "an option before the first [section]" });
        };
        let Some((name, value)) = value.split_once(['=', ':']) else {
            return Err(Misplaced { line: number + 1, problem: "neither [section] nor NAME = VALUE" });
        };
        let name = name.trim_end().to_lowercase();
        current.insert(name.clone(), value.trim().to_owned());
        lines.insert((section.clone().unwrap_or_default(), name.clone()), number + 1);
        option = Some(name);
    }
    for value in sections.values_mut().flat_map(IndexMap::values_mut) {
        value.truncate(value.trim_end().len());
    }
    Ok(Text { sections, lines })
}

/// The line without comment and outer spaces, and whether there was a comment.
fn without_comment(line: &str) -> (&str, bool) {
    if line.trim_start().starts_with(['#', ';']) {
        return ("", true);
    }
    let begins = |at: usize| line.get(..at).is_some_and(|before| before.ends_with(char::is_whitespace));
    match line.match_indices(';').find(|(at, _)| begins(*at)) {
        Some((at, _)) => (line.get(..at).unwrap_or_default().trim(), true),
        None => (line.trim(), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_on_where_lines_are_indented() {
        let text = "# x\n[A]\nOne = 1 ; not this\n  two\n# nor this\n\n  three;four\nb:c=d\n[B]\n one=\n";
        let Text { sections: read, lines } = read(text).unwrap();
        assert_eq!(lines[&("B".into(), "one".into())], 10);
        assert_eq!(read["A"]["one"], "1\ntwo\n\nthree;four");
        assert_eq!(read["A"]["b"], "c=d");
        assert_eq!(read["B"]["one"], "");
    }

    #[test]
    fn what_is_no_option_is_told() {
        assert_eq!(read("a = 1\n").unwrap_err().line, 1);
        assert_eq!(read("[A]\nnothing\n").unwrap_err().line, 2);
    }
}
