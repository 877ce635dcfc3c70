//! What `banctl test` reads: files, standard input, the journal, or one line.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use indicatif::{ProgressBar, ProgressStyle};

use super::options::usage;
use crate::cli::exit::Failure;
use crate::filter::Filter;
use crate::source::lines::Lines;

/// How much is read in one go.
const CHUNK: usize = 256 * 1024;
/// Longer files show how far they are read, in bytes.
const LONG: u64 = 8 << 20;
/// What gzip's files begin with (RFC 1952, 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// One input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    /// `-`.
    Standard,
    /// A file.
    File(String),
    /// The journal; of this directory or file, if one is named.
    Journal(Option<String>),
    /// The line itself.
    Line(String),
}

impl Input {
    /// What an argument means; what is assumed is added to `notes`.
    pub(super) fn of(typed: &str, notes: &mut Vec<String>) -> Self {
        let exists = Path::new(typed).exists();
        match typed.strip_prefix("systemd-").unwrap_or(typed).split_once(':') {
            None if typed == "-" => Self::Standard,
            _ if exists => Self::File(typed.to_owned()),
            None if matches!(typed, "journal" | "systemd-journal") => Self::Journal(None),
            Some(("journal", path)) if !path.is_empty() => Self::Journal(Some(path.to_owned())),
            _ if typed.contains([' ', '\t']) => {
                notes.push("no file has that name, and it has blanks: taken as a log line".to_owned());
                Self::Line(typed.to_owned())
            }
            _ => Self::File(typed.to_owned()),
        }
    }

    /// As it was typed.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Standard => "-".to_owned(),
            Self::File(path) => path.clone(),
            Self::Journal(None) => "journal".to_owned(),
            Self::Journal(Some(path)) => format!("journal:{path}"),
            Self::Line(line) => line.clone(),
        }
    }

    /// Opens it. `bar`: the way through a long file may be shown.
    pub(super) fn open(&self, filter: &Filter, bar: bool) -> Result<Blocks, Failure> {
        match self {
            Self::Standard => Ok(Blocks::of("standard input", Box::new(io::stdin()))),
            Self::Line(line) => {
                Ok(Blocks::of("the line", Box::new(io::Cursor::new(line.clone().into_bytes()))))
            }
            Self::File(path) => open_file(path, bar),
            Self::Journal(place) => {
                let mut command = Command::new("journalctl");
                command.args(["--quiet", "--no-pager", "--output=short-iso"]);
                match place {
                    Some(path) if Path::new(path).is_dir() => command.arg(format!("--directory={path}")),
                    Some(path) => command.arg(format!("--file={path}")),
                    None => &mut command,
                };
                command.args(selection(filter.journal_matches())?).stdin(Stdio::null());
                Blocks::of_child("journalctl", command)
            }
        }
    }
}

fn open_file(path: &str, bar: bool) -> Result<Blocks, Failure> {
    let failed = |error: io::Error| unreadable(path, &error);
    let mut start = [0; GZIP.len()];
    let about = std::fs::metadata(path).map_err(failed)?;
    // A pipe (a shell's <(...)) gives its bytes once.
    let zipped = about.is_file()
        && File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok()
        && start == GZIP;
    let file = File::open(path).map_err(failed)?;
    if zipped {
        let mut command = Command::new("gzip");
        command.arg("-dc").stdin(file);
        return Blocks::of_child("gzip", command);
    }
    let mut blocks = Blocks::of(path, Box::new(file));
    if bar && about.len() > LONG && io::stderr().is_terminal() {
        let bar = ProgressBar::new(about.len());
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {eta}") {
            bar.set_style(style);
        }
        blocks.bar = Some(bar);
    }
    Ok(blocks)
}

/// What journalctl is asked for: the terms of one entry belong together, and entries are alternatives.
fn selection(matches: &[String]) -> Result<Vec<String>, Failure> {
    let mut terms: Vec<String> = Vec::new();
    for entry in matches {
        if !terms.is_empty() {
            terms.push("+".to_owned());
        }
        for term in entry.split_whitespace() {
            let is_field = term.split_once('=').is_some_and(|(name, _)| {
                !name.is_empty()
                    && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
            });
            if !is_field && term != "+" {
                return Err(usage(format!("the filter's journalmatch '{entry}' is none: write FIELD=value")));
            }
            terms.push(term.to_owned());
        }
    }
    Ok(terms)
}

/// An input as blocks of whole lines, cut as the daemon cuts them.
pub(super) struct Blocks {
    name: String,
    input: Box<dyn Read>,
    /// The program that writes the input.
    child: Option<Child>,
    bar: Option<ProgressBar>,
    lines: Lines,
    chunk: Vec<u8>,
    block: Vec<u8>,
}

impl Blocks {
    fn of(name: &str, input: Box<dyn Read>) -> Self {
        Self {
            name: name.into(),
            input,
            child: None,
            bar: None,
            lines: Lines::new(),
            chunk: vec![0; CHUNK],
            block: Vec::new(),
        }
    }

    fn of_child(program: &str, mut command: Command) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            usage(format!(
                "cannot run {program}: {error}: install it, or write its output to a file and name that"
            ))
        };
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| failed(&error))?;
        let output = child.stdout.take().ok_or_else(|| failed(&"no output"))?;
        let mut blocks = Self::of(program, Box::new(output));
        blocks.child = Some(child);
        Ok(blocks)
    }

    /// The next block; empty at the end.
    pub(super) fn next(&mut self) -> Result<&[u8], Failure> {
        self.block.clear();
        while self.block.is_empty() {
            let read = match self.input.read(&mut self.chunk) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(&self.name, &error)),
            };
            if read == 0 {
                self.lines.end(&mut self.block);
                self.end()?;
                break;
            }
            if let Some(bar) = &self.bar {
                bar.inc(u64::try_from(read).unwrap_or_default());
            }
            self.lines.take(self.chunk.get(..read).unwrap_or_default(), &mut self.block);
        }
        Ok(&self.block)
    }

    /// A program that failed has not written everything.
    fn end(&mut self) -> Result<(), Failure> {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let status = child.wait().map_err(|error| unreadable(&self.name, &error))?;
        match status.success() {
            true => Ok(()),
            false => Err(usage(format!("{} failed ({status}): what it said stands above", self.name))),
        }
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn unreadable(name: &str, error: &io::Error) -> Failure {
    usage(format!(
        "cannot read {name}: {error}: name a log file, - for standard input, or a log line (it has a blank)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_files_or_lines_or_the_journal() {
        let mut notes = Vec::new();
        let mut of = |typed: &str| Input::of(typed, &mut notes);
        assert_eq!(of("-"), Input::Standard);
        assert_eq!(of("journal"), Input::Journal(None));
        assert_eq!(of("systemd-journal"), Input::Journal(None));
        assert_eq!(of("journal:/x y"), Input::Journal(Some("/x y".into())));
        assert_eq!(of("/nonexistent"), Input::File("/nonexistent".into()));
        assert_eq!(of("Cargo.toml"), Input::File("Cargo.toml".into()));
        assert_eq!(of("Nov 21 06:50:25 x"), Input::Line("Nov 21 06:50:25 x".into()));
        assert_eq!(notes.len(), 1);
    }

    #[test]
    fn a_filter_cannot_give_journalctl_options() {
        let terms =
            |entries: &[&str]| selection(&entries.iter().map(|e| (*e).to_owned()).collect::<Vec<_>>());
        assert_eq!(terms(&["_UID=0 A=b", "C=-d"]).unwrap(), ["_UID=0", "A=b", "+", "C=-d"]);
        assert_eq!(terms(&["A=b + C=d"]).unwrap(), ["A=b", "+", "C=d"]);
        for wrong in ["--file=/etc/shadow", "x", "=x", "a=b"] {
            assert!(terms(&[wrong]).is_err(), "{wrong}");
        }
    }
}
