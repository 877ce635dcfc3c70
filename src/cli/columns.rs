//! Tables that fit: rows on one line each where there is room, without what matters least where there is little.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use super::output;

/// Between two columns.
const GAP: usize = 2;
/// A column is not asked to be wider than this before others are left out: it is broken over lines.
const WIDE: usize = 24;

/// A table without lines. Its cells are harmless already.
#[derive(Debug)]
pub(super) struct Columns {
    titles: Vec<String>,
    rows: Vec<Vec<String>>,
    /// The widest cell of each column.
    widest: Vec<usize>,
}

/// In columns of a terminal. Most of what is shown is ASCII.
fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.width() }
}

impl Columns {
    /// An empty table.
    pub(super) fn new(titles: &[&str]) -> Self {
        let widest = titles.iter().map(|_| 0).collect();
        Self { titles: titles.iter().map(|title| (*title).to_owned()).collect(), rows: Vec::new(), widest }
    }

    /// One more row, with a cell for each title.
    pub(super) fn add_row(&mut self, cells: Vec<String>) {
        for (widest, cell) in self.widest.iter_mut().zip(&cells) {
            *widest = (*widest).max(width(cell));
        }
        self.rows.push(cells);
    }

    /// Prints it, no wider than the terminal. Where that is too narrow, columns are left out in this order.
    pub(super) fn print(self, dispensable: &[&str], out: &mut dyn Write) -> io::Result<()> {
        let width = if output::is_terminal() { output::width() } else { usize::MAX };
        self.print_to(width, dispensable, out)
    }

    fn print_to(mut self, width: usize, dispensable: &[&str], out: &mut dyn Write) -> io::Result<()> {
        for name in dispensable {
            if self.needed(WIDE) <= width {
                break;
            }
            if let Some(index) = self.titles.iter().position(|title| title == name) {
                self.titles.remove(index);
                self.widest.remove(index);
                for row in self.rows.iter_mut().filter(|row| index < row.len()) {
                    row.remove(index);
                }
            }
        }
        if self.needed(usize::MAX) <= width { self.print_plain(out) } else { self.print_broken(width, out) }
    }

    /// The width of each column, `most` at most.
    fn widths(&self, most: usize) -> Vec<usize> {
        let columns = self.titles.iter().zip(&self.widest);
        columns.map(|(title, widest)| width(title).max((*widest).min(most))).collect()
    }

    fn needed(&self, most: usize) -> usize {
        let widths = self.widths(most);
        widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
    }

    fn print_plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let widths = self.widths(usize::MAX);
        let mut line = String::new();
        for cells in std::iter::once(&self.titles).chain(&self.rows) {
            line.clear();
            for (cell, column) in cells.iter().zip(&widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', column.saturating_sub(width(cell)) + GAP));
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    fn print_broken(&self, width: usize, out: &mut dyn Write) -> io::Result<()> {
        let titles: Vec<&str> = self.titles.iter().map(String::as_str).collect();
        let mut table = output::table(&titles);
        // A blank on the left of the first column is not printed.
        table.set_width(u16::try_from(width.saturating_add(1)).unwrap_or(u16::MAX));
        for row in &self.rows {
            table.add_row(row);
        }
        output::print_table(out, &table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(width: usize) -> String {
        let mut table = Columns::new(&["ADDRESS", "REASON", "SINCE"]);
        table.add_row(vec![
            "203.0.113.9".into(),
            "3 failures within 10m".into(),
            "2026-11-21 15:32:11".into(),
        ]);
        table.add_row(vec!["2001:db8::/64".into(), "x".into(), "2026-11-21 15:32:12".into()]);
        let mut out = Vec::new();
        table.print_to(width, &["SINCE", "NO SUCH"], &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn narrow_terminals_get_the_columns_that_matter() {
        insta::assert_snapshot!(printed(80), @r"
        ADDRESS        REASON                 SINCE
        203.0.113.9    3 failures within 10m  2026-11-21 15:32:11
        2001:db8::/64  x                      2026-11-21 15:32:12
        ");
        insta::assert_snapshot!(printed(40), @r"
        ADDRESS        REASON
        203.0.113.9    3 failures within 10m
        2001:db8::/64  x
        ");
        let narrow = printed(30);
        assert!(narrow.lines().count() > 3 && narrow.lines().all(|line| line.width() <= 30), "{narrow}");
    }
}
