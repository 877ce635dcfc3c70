//! `banctl config show [--origin]`: the configuration as all files together make it. Needs no daemon.

use std::io::Write;

use clap::Args;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use super::exit::{Exit, Failure};
use super::{Shared, output};
use crate::config::{self, Report, Setting};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Say beside each key which file it comes from, and the line there.
    #[arg(long)]
    pub(super) origin: bool,
}

/// `{"schema":1,"settings":[...]}`.
#[derive(Serialize)]
struct Document<'a> {
    settings: &'a [Setting],
}

pub(super) fn run(shared: &Shared, options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (merged, problems) = config::read(&shared.layout());
    let report = Report::from(problems);
    if shared.json {
        output::print_json(out, &Document { settings: &merged.settings })?;
    } else {
        print(&merged.settings, options.origin, out)?;
    }
    if report.has_errors() {
        out.flush()?;
        let told = report.render(output::is_terminal(), output::width());
        return Err(Failure::new(Exit::No, format!("this is without what has errors:\n{}", told.trim_end())));
    }
    Ok(Exit::Done)
}

fn print(settings: &[Setting], origin: bool, out: &mut dyn Write) -> std::io::Result<()> {
    for (number, table) in settings.chunk_by(|a, b| a.table == b.table).enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        writeln!(out, "[{}]", table.first().map_or("", |first| &first.table))?;
        let line = |setting: &Setting| output::harmless(&format!("{} = {}", setting.key, setting.value));
        let widest = table.iter().map(|setting| line(setting).width()).max().unwrap_or_default();
        for setting in table {
            let line = line(setting);
            if !origin {
                writeln!(out, "{line}")?;
                continue;
            }
            let place = place(setting);
            if output::is_terminal() && widest + 4 + place.width() > output::width() {
                writeln!(out, "# {place}\n{line}")?;
            } else {
                writeln!(out, "{line}{}  # {place}", " ".repeat(widest.saturating_sub(line.width())))?;
            }
        }
    }
    Ok(())
}

/// The file, and the line in it.
pub(super) fn place(setting: &Setting) -> String {
    output::harmless(&format!("{}:{}", setting.file, setting.line))
}
