//! Where past lines are: files, standard input, the journal, or one line.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};

use super::blocks::{Blocks, unreadable};
use crate::cli::exit::{Failure, usage};
use crate::cli::{fold, output};
use crate::source::journal::{Matches, Past};

/// What compressed files begin with, and the program that unpacks them from its standard input: gzip (RFC 1952, 2.3.1), xz
/// (the .xz file format, 2.1.1.1), zstd (RFC 8878, 3.1.1).
const PACKED: [(&[u8], &str, &str); 3] = [
    (&[0x1f, 0x8b], "gzip", "-dc"),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz", "-dc"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd", "-dcq"),
];
/// No such beginning is longer.
const LONGEST_MAGIC: u64 = 6;

/// One input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Input {
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
    pub(in crate::cli) fn of(typed: &str, notes: &mut Vec<String>) -> Self {
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
    pub(in crate::cli) fn name(&self) -> String {
        match self {
            Self::Standard => "-".to_owned(),
            Self::File(path) => path.clone(),
            Self::Journal(None) => "journal".to_owned(),
            Self::Journal(Some(path)) => format!("journal:{path}"),
            Self::Line(line) => line.clone(),
        }
    }

    /// Opens it. `entries`: journal matches, those of the journal's entries that are wanted; `bar`: the way through it may be
    /// shown.
    pub(in crate::cli) fn open(&self, entries: &[String], bar: bool) -> Result<Blocks, Failure> {
        match self {
            Self::Standard => Ok(Blocks::of("standard input", Box::new(io::stdin()))),
            Self::Line(line) => {
                Ok(Blocks::of("the line", Box::new(io::Cursor::new(line.clone().into_bytes()))))
            }
            Self::File(path) => open_file(path, bar),
            Self::Journal(place) => {
                let mut command = Command::new("journalctl");
                command.args(["--quiet", "--no-pager"]);
                match place {
                    Some(path) if Path::new(path).is_dir() => command.arg(format!("--directory={path}")),
                    Some(path) => command.arg(format!("--file={path}")),
                    None => &mut command,
                };
                let wanted = wanted(entries)?;
                command.args(Past::<ChildStdout>::arguments(wanted.as_ref())).stdin(Stdio::null());
                let lines = |output| -> Box<dyn Read> { Box::new(Past::new(output, wanted, tell_refused)) };
                let mut blocks = Blocks::of_child("journalctl", command, lines)?;
                if bar {
                    blocks.count();
                }
                Ok(blocks)
            }
        }
    }
}

fn open_file(path: &str, bar: bool) -> Result<Blocks, Failure> {
    let failed = |error: io::Error| unreadable(path, &error);
    let about = std::fs::metadata(path).map_err(failed)?;
    let file = File::open(path).map_err(failed)?;
    // The way through the file is the way through what it is unpacked from, too.
    let watched = if bar && about.is_file() { Some(file.try_clone().map_err(failed)?) } else { None };
    // A pipe (a shell's <(...)) gives its bytes once.
    let mut blocks = match if about.is_file() { unpacker(path) } else { None } {
        Some((program, option)) => {
            let mut command = Command::new(program);
            command.arg(option).stdin(file);
            Blocks::of_child(program, command, |output| Box::new(output))?
        }
        None => Blocks::of(path, Box::new(file)),
    };
    if let Some(file) = watched {
        blocks.watch(file, about.len());
    }
    Ok(blocks)
}

/// The program that unpacks a file, and its option; `None`: it is not packed.
fn unpacker(path: &str) -> Option<(&'static str, &'static str)> {
    let mut start = Vec::new();
    File::open(path).ok()?.take(LONGEST_MAGIC).read_to_end(&mut start).ok()?;
    let packed = PACKED.iter().find(|(magic, ..)| start.starts_with(magic));
    packed.map(|(_, program, option)| (*program, *option))
}

/// Which entries are wanted; `None`: all.
fn wanted(matches: &[String]) -> Result<Option<Matches>, Failure> {
    if matches.is_empty() {
        return Ok(None);
    }
    let matches = Matches::of(matches);
    matches.map(Some).map_err(|error| usage(format!("the filter's journalmatch: {error}")))
}

fn tell_refused(entries: u64) {
    if entries > 0 {
        // What is read is right without it.
        let _ = writeln!(
            fold::stderr(),
            "{} that the service cannot be seen to have written; kband does not read such, and they are \
             left out",
            output::counted(entries, "entry matches", "entries match")
        );
    }
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
        let terms = |entries: &[&str]| {
            let wanted = wanted(&entries.iter().map(|e| (*e).to_owned()).collect::<Vec<_>>())?;
            let arguments = Past::<ChildStdout>::arguments(wanted.as_ref());
            Ok::<_, Failure>(arguments.into_iter().filter(|it| !it.starts_with("--")).collect::<Vec<_>>())
        };
        assert_eq!(terms(&["_UID=0 A=b", "C=-d"]).unwrap(), ["A=b", "_UID=0", "+", "C=-d"]);
        assert_eq!(terms(&["A=b + C=d"]).unwrap(), ["A=b", "+", "C=d"]);
        for wrong in ["--file=/etc/shadow", "x", "=x", "a=b"] {
            assert!(terms(&[wrong]).is_err(), "{wrong}");
        }
    }
}
