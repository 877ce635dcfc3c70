//! What is wrong with a configuration: all of it at once, each with file, line, column and caret.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use super::excerpt::{Place, in_excerpt, in_sentence};

/// A line longer than this (in bytes) is named, not shown.
const LONGEST_EXCERPT: usize = 16 * 1024;

/// One file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path as given or found.
    pub path: PathBuf,
    /// Its text; invalid UTF-8 replaced.
    pub text: String,
}

/// Whether it keeps kban from running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It runs, but perhaps not as meant.
    Warning,
}

/// One thing to mend. Its Display is one line: place, message, help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// The file, if the problem is in one.
    pub file: Option<Arc<SourceFile>>,
    /// Bytes of that file's text; none if the problem is the file itself.
    pub span: Option<Range<usize>>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Problem {
    /// An error that stands in no file.
    pub fn error(message: impl Into<String>) -> Self {
        Problem { severity: Severity::Error, file: None, span: None, message: message.into(), help: None }
    }

    /// A warning that stands in no file.
    pub fn warning(message: impl Into<String>) -> Self {
        Problem { severity: Severity::Warning, ..Problem::error(message) }
    }

    /// The same problem, at a place.
    #[must_use]
    pub fn at(mut self, file: &Arc<SourceFile>, span: Range<usize>) -> Self {
        self.file = Some(Arc::clone(file));
        self.span = Some(span);
        self
    }

    /// The same problem, with what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The path of the file it is in.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }

    /// The line, from 1.
    pub fn line(&self) -> Option<usize> {
        self.place().map(|place| place.line)
    }

    /// The column in characters, from 1.
    pub fn column(&self) -> Option<usize> {
        self.place().map(|place| place.column)
    }

    fn place(&self) -> Option<Place<'_>> {
        Some(Place::find(&self.file.as_ref()?.text, self.span.as_ref()?))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = self.path() {
            write!(f, "{}:", in_sentence(&path.to_string_lossy()))?;
            if let Some(place) = self.place() {
                write!(f, "{}:{}:", place.line, place.column)?;
            }
            f.write_str(" ")?;
        }
        f.write_str(&in_sentence(&self.message))?;
        match &self.help {
            Some(help) => write!(f, ": {}", in_sentence(help)),
            None => Ok(()),
        }
    }
}

/// Every problem of every file, in the order of the files and their lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Errors and warnings.
    pub problems: Vec<Problem>,
}

impl From<Vec<Problem>> for Report {
    fn from(problems: Vec<Problem>) -> Self {
        Report { problems }
    }
}

impl Report {
    /// Whether kban cannot run with this.
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// For people: an excerpt with carets for each problem, and a count. Lines of the files are cut to `width`
    /// columns around the carets; nothing is padded to it.
    pub fn render(&self, colour: bool, width: usize) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() }.term_width(width.max(40));
        let shown = self.problems.iter().map(|problem| renderer.render(&[group(problem)]));
        let mut out: Vec<String> = shown.collect();
        if let Some(count) = self.count() {
            out.push(count);
        }
        out.join("\n\n") + "\n"
    }

    /// "2 errors, 1 warning"; nothing for a single problem.
    fn count(&self) -> Option<String> {
        let errors = self.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
        let some = |count: usize, word: &str| match count {
            0 => None,
            1 => Some(format!("1 {word}")),
            _ => Some(format!("{count} {word}s")),
        };
        let both = [some(errors, "error"), some(self.problems.len() - errors, "warning")];
        (self.problems.len() > 1).then(|| both.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }

    /// For programs: `{"schema":1,"problems":[{file,line,column,severity,message,help}]}`, one document.
    pub fn to_json(&self) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct Document<'r> {
            schema: u8,
            problems: Vec<Entry<'r>>,
        }
        #[derive(Serialize)]
        struct Entry<'r> {
            file: Option<String>,
            line: Option<usize>,
            column: Option<usize>,
            severity: Severity,
            message: &'r str,
            help: Option<&'r str>,
        }
        let problems = self.problems.iter().map(|problem| Entry {
            file: problem.path().map(|path| path.to_string_lossy().into_owned()),
            line: problem.line(),
            column: problem.column(),
            severity: problem.severity,
            message: &problem.message,
            help: problem.help.as_deref(),
        });
        serde_json::to_string(&Document { schema: 1, problems: problems.collect() })
    }
}

/// One sentence a line, without excerpts: for a log. [`Report::render`] is for a terminal.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            let newline = if number == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

fn group(problem: &Problem) -> Group<'_> {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(in_sentence(&problem.message)));
    if let Some(path) = problem.path() {
        let path = in_sentence(&path.to_string_lossy());
        group = match problem.place() {
            Some(place) if place.text.len() <= LONGEST_EXCERPT => {
                let (line, span) = in_excerpt(place.text, &place.span);
                let caret = AnnotationKind::Primary.span(span);
                group.element(Snippet::source(line).path(path).line_start(place.line).annotation(caret))
            }
            Some(place) => group.element(Origin::path(path).line(place.line).char_column(place.column)),
            None => group.element(Origin::path(path)),
        };
    }
    match &problem.help {
        Some(help) => group.element(Level::HELP.message(in_sentence(help))),
        None => group,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str, span: Range<usize>) -> Problem {
        let file = Arc::new(SourceFile { path: PathBuf::from("/k.toml"), text: text.to_owned() });
        Problem::error("it is wrong").at(&file, span).help("mend it")
    }

    fn rendered(problem: Problem, width: usize) -> String {
        Report::from(vec![problem]).render(false, width)
    }

    #[test]
    fn shows_the_place() {
        insta::assert_snapshot!(rendered(problem("a = 1\nb = 2\n", 10..11), 80), @r#"
        error: it is wrong
         --> /k.toml:2:5
          |
        2 | b = 2
          |     ^
          |
          = help: mend it
        "#);
    }

    #[test]
    fn finds_a_place_for_every_span() {
        let text = "a = 1\r\nb\u{e9} = 2";
        for start in 0..20 {
            for end in 0..20 {
                let problem = problem(text, start..end);
                assert!(problem.line().is_some_and(|line| (1..=2).contains(&line)));
                assert!(rendered(problem, 80).contains('^'), "{start}..{end}");
            }
        }
    }

    #[test]
    fn the_end_of_the_file_has_a_place() {
        insta::assert_snapshot!(rendered(problem("a = 1\n", 6..6), 80), @r#"
        error: it is wrong
         --> /k.toml:2:1
          |
        2 |
          | ^
          |
          = help: mend it
        "#);
    }

    #[test]
    fn control_characters_are_shown_not_sent() {
        let evil = "a = \"\u{1b}[2J\u{9b}31m\u{202e}\u{7}x\" # y";
        let text = rendered(problem(evil, 4..evil.len() - 4), 80);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        insta::assert_snapshot!(text, @r#"
        error: it is wrong
         --> /k.toml:1:5
          |
        1 | a = "␛[2J�31m�␇x" # y
          |     ^^^^^^^^^^^^^
          |
          = help: mend it
        "#);
        let said = Problem::error("say \u{1b}[31m \u{202e}").to_string();
        assert_eq!(said, "say \\u{1b}[31m \\u{202e}");
    }

    #[test]
    fn long_lines_are_cut_around_the_caret() {
        let text = format!("a = [{}\"here\", {}]", "\"xx\", ".repeat(200), "\"yy\", ".repeat(200));
        let at = text.find("\"here\"").unwrap();
        let out = rendered(problem(&text, at..at + 6), 80);
        assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
        insta::assert_snapshot!(out, @r#"
        error: it is wrong
         --> /k.toml:1:1206
          |
        1 | ..., "xx", "xx", "xx", "xx", "xx", "here", "yy", "yy", "yy", "yy", "yy", ...
          |                                    ^^^^^^
          |
          = help: mend it
        "#);
    }

    #[test]
    fn a_monstrous_line_is_named() {
        let text = "x".repeat(LONGEST_EXCERPT + 1);
        insta::assert_snapshot!(rendered(problem(&text, 1000..1001), 80), @r#"
        error: it is wrong
        --> /k.toml:1:1001
         = help: mend it
        "#);
    }

    #[test]
    fn json_has_stable_keys() {
        let report =
            Report::from(vec![problem("a = 1\nb = 2\n", 10..11), Problem::warning("none \"is\" enabled")]);
        insta::assert_snapshot!(report.to_json().unwrap(), @r#"{"schema":1,"problems":[{"file":"/k.toml","line":2,"column":5,"severity":"error","message":"it is wrong","help":"mend it"},{"file":null,"line":null,"column":null,"severity":"warning","message":"none \"is\" enabled","help":null}]}"#);
    }

    #[test]
    fn colour_only_on_request() {
        let report = Report::from(vec![problem("a = 1\n", 0..1)]);
        assert!(report.render(true, 80).contains('\u{1b}'));
        assert!(!report.render(false, 80).contains('\u{1b}'));
    }
}
