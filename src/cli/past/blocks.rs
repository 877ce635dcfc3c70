//! An input as blocks of whole lines, and how far it is read.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek};
use std::process::{Child, ChildStdout, Command, Stdio};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::exit::{Failure, usage};
use crate::source::lines::Lines;

/// How much is read in one go.
const CHUNK: usize = 256 * 1024;
/// Longer files show how far they are read, in bytes.
const LONG: u64 = 8 << 20;
/// Packed ones hold about so many times their length.
const PACKED: u64 = 10;

/// An input as blocks of whole lines, cut as the daemon cuts them.
pub(in crate::cli) struct Blocks {
    name: String,
    input: Box<dyn Read>,
    /// The program that writes the input.
    child: Option<Child>,
    progress: Option<Progress>,
    lines: Lines,
    chunk: Vec<u8>,
    block: Vec<u8>,
    /// The block was looked at, and is the next one still.
    ahead: bool,
}

/// What is shown while an input is read.
struct Progress {
    bar: ProgressBar,
    /// The file whose place is shown; otherwise what was read is counted.
    file: Option<File>,
}

impl Blocks {
    pub(super) fn of(name: &str, input: Box<dyn Read>) -> Self {
        Self {
            name: name.into(),
            input,
            child: None,
            progress: None,
            lines: Lines::new(),
            chunk: vec![0; CHUNK],
            block: Vec::new(),
            ahead: false,
        }
    }

    /// What a program writes, as `read` reads it.
    pub(super) fn of_child(
        program: &str,
        mut command: Command,
        read: impl FnOnce(ChildStdout) -> Box<dyn Read>,
    ) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            usage(format!(
                "cannot run {program}: {error}: install it, or write its output to a file and name that"
            ))
        };
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| failed(&error))?;
        let output = child.stdout.take().ok_or_else(|| failed(&"no output"))?;
        let mut blocks = Self::of(program, read(output));
        blocks.child = Some(child);
        Ok(blocks)
    }

    /// Shows how far `file`, which is so long, is read; where somebody sees it and has to wait.
    pub(super) fn watch(&mut self, file: File, length: u64) {
        let holds = if self.child.is_some() { length.saturating_mul(PACKED) } else { length };
        if holds > LONG && io::stderr().is_terminal() {
            self.show(ProgressBar::new(length), "{wide_bar} {bytes}/{total_bytes} {eta}", Some(file));
        }
    }

    /// Shows how much was read of what has no known length.
    pub(super) fn count(&mut self) {
        if io::stderr().is_terminal() {
            self.show(ProgressBar::new_spinner(), "{spinner} {bytes} read", None);
        }
    }

    fn show(&mut self, bar: ProgressBar, template: &str, file: Option<File>) {
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        self.progress = Some(Progress { bar, file });
    }

    /// The next block without taking it.
    pub(in crate::cli) fn peek(&mut self) -> Result<&[u8], Failure> {
        if !self.ahead {
            self.fill()?;
            self.ahead = true;
        }
        Ok(&self.block)
    }

    /// The next block; empty at the end.
    pub(in crate::cli) fn next(&mut self) -> Result<&[u8], Failure> {
        if !std::mem::take(&mut self.ahead) {
            self.fill()?;
        }
        Ok(&self.block)
    }

    fn fill(&mut self) -> Result<(), Failure> {
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
            if let Some(progress) = &mut self.progress {
                progress.advance(read);
            }
            self.lines.take(self.chunk.get(..read).unwrap_or_default(), &mut self.block);
        }
        Ok(())
    }

    /// A program that failed has not written everything.
    fn end(&mut self) -> Result<(), Failure> {
        if let Some(progress) = self.progress.take() {
            progress.bar.finish_and_clear();
        }
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let status = child.wait().map_err(|error| unreadable(&self.name, &error))?;
        match status.success() {
            true => Ok(()),
            false => Err(usage(format!("{} failed ({status}): what it said stands above", self.name))),
        }
    }
}

impl Progress {
    fn advance(&mut self, read: usize) {
        match self.file.as_mut().map(Seek::stream_position) {
            Some(Ok(place)) => self.bar.set_position(place),
            Some(Err(_)) => {}
            None => self.bar.inc(u64::try_from(read).unwrap_or_default()),
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

pub(super) fn unreadable(name: &str, error: &io::Error) -> Failure {
    usage(format!(
        "cannot read {name}: {error}: name a log file, - for standard input, or a log line (it has a blank)"
    ))
}
