//! Output that is never wider than the terminal: lines that would be are broken between words, in one place for every verb.

use std::io::{self, IsTerminal, Write};

use super::output;

/// Breaks the lines that pass through. A line counts as one when its end, or the end of the output, has come.
pub(super) struct Folded<W> {
    out: W,
    /// In columns.
    width: usize,
    /// What has come of it; of a document, only how it begins.
    line: Vec<u8>,
}

/// Standard output.
pub(super) fn stdout() -> Folded<impl Write> {
    let width = if output::is_terminal() { output::width() } else { usize::MAX };
    Folded::new(io::BufWriter::new(anstream::stdout().lock()), width)
}

/// Standard error, for whole lines.
pub(super) fn stderr() -> Folded<impl Write> {
    let width = if io::stderr().is_terminal() { output::width() } else { usize::MAX };
    Folded::new(anstream::stderr(), width)
}

impl<W: Write> Folded<W> {
    /// Lines of `width` columns at most.
    pub(super) fn new(out: W, width: usize) -> Self {
        Self { out, width, line: Vec::new() }
    }

    fn end_line(&mut self) -> io::Result<()> {
        let line = String::from_utf8_lossy(&self.line);
        if textwrap::core::display_width(line.trim_end()) <= self.width {
            self.out.write_all(&self.line)?;
        } else {
            let (text, end) = line.strip_suffix('\n').map_or((&*line, ""), |text| (text, "\n"));
            let indent: String = text.chars().take_while(|c| *c == ' ').take(self.width / 3).collect();
            let indent = indent + "  ";
            let options = textwrap::Options::new(self.width).subsequent_indent(&indent);
            write!(self.out, "{}{end}", textwrap::fill(text, options))?;
        }
        self.line.clear();
        Ok(())
    }
}

impl<W: Write> Write for Folded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.width == usize::MAX {
            return self.out.write(bytes);
        }
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            // Documents are for programs, and for copying; and they may be long.
            if self.line.first().or(part.first()) == Some(&b'{') {
                self.out.write_all(part)?;
                self.line.clear();
                self.line.extend((!part.ends_with(b"\n")).then_some(b'{'));
                continue;
            }
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.end_line()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.line.starts_with(b"{") {
            self.end_line()?;
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        let mut folded = Folded::new(Vec::new(), 20);
        // In pieces, as the output comes.
        for piece in text.as_bytes().chunks(3) {
            folded.write_all(piece).unwrap();
        }
        folded.flush().unwrap();
        String::from_utf8(folded.out).unwrap()
    }

    #[test]
    fn long_lines_are_broken_and_others_are_not_touched() {
        for (text, expected) in [
            ("short\n\n  also\n", "short\n\n  also\n"),
            ("the quick brown fox jumps", "the quick brown fox\n  jumps"),
            ("  indented brown fox jumps\n", "  indented brown fox\n    jumps\n"),
            ("aaaaaaaaaaaaaaaaaaaaaaaaa\n", "aaaaaaaaaaaaaaaaaa\n  aaaaaaa\n"),
            ("\u{1b}[32mok\u{1b}[0m and twelve more\n", "\u{1b}[32mok\u{1b}[0m and twelve more\n"),
            ("{\"document\": \"of any length\"}\n", "{\"document\": \"of any length\"}\n"),
        ] {
            assert_eq!(folded(text), expected);
        }
    }
}
