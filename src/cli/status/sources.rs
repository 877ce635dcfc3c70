//! The sources in `banctl status`: a line for each; for a path with wildcards one line, and one for each of its files that
//! has trouble.

use std::collections::BTreeSet;

use crate::cli::columns::Columns;
use crate::cli::output::{self, counted};
use crate::control::protocol::SourceRow;

/// So many files with trouble are shown of one path.
const MOST_SHOWN: usize = 20;

pub(super) fn table(sources: &[SourceRow]) -> Columns {
    let mut table = Columns::new(&[
        "SOURCE", "STATE", "LINES", "LINES/S", "BYTES/S", "LAG", "CUT", "UNDATED", "RESTARTS",
    ]);
    let wholes: BTreeSet<&str> = sources.iter().filter(|it| it.whole).map(|it| &*it.source).collect();
    for source in sources.iter().filter(|it| it.whole || !wholes.contains(&*it.source)) {
        if source.whole {
            let files: Vec<&SourceRow> =
                sources.iter().filter(|it| !it.whole && it.source == source.source).collect();
            let path = format!("{} ({})", source.path, counted(files.len(), "file", "files"));
            table.add_row(row(&SourceRow { path, ..sum(source, &files) }));
            let troubled = files.iter().filter(|file| file.error.is_some());
            troubled.take(MOST_SHOWN).for_each(|file| {
                table.add_row(row(file));
            });
        } else {
            table.add_row(row(source));
        }
    }
    table
}

fn row(source: &SourceRow) -> Vec<String> {
    vec![
        output::harmless(&source.path),
        output::harmless(&source.state),
        source.lines.to_string(),
        source.lines_per_second.to_string(),
        source.bytes_per_second.to_string(),
        source.lag.map_or_else(String::new, |lag| lag.to_string()),
        (source.lines_cut + source.lines_broken).to_string(),
        source.undated.to_string(),
        source.restarts.to_string(),
    ]
}

fn sum(whole: &SourceRow, files: &[&SourceRow]) -> SourceRow {
    let all = |count: fn(&SourceRow) -> u64| files.iter().map(|file| count(file)).sum::<u64>();
    SourceRow {
        lines: all(|file| file.lines),
        lines_per_second: all(|file| file.lines_per_second),
        bytes_per_second: all(|file| file.bytes_per_second),
        lag: Some(all(|file| file.lag.unwrap_or_default())),
        lines_cut: all(|file| file.lines_cut),
        lines_broken: all(|file| file.lines_broken),
        restarts: all(|file| file.restarts),
        ..whole.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, source: &str) -> SourceRow {
        let json = format!(
            r#"{{"path":"{path}","state":"following","error":null,"lines":7,"bytes":100,"lines_cut":1,"undated":0,"lag":5}}"#
        );
        SourceRow { source: source.to_owned(), ..serde_json::from_str(&json).unwrap() }
    }

    #[test]
    fn a_path_with_wildcards_has_one_line_and_its_trouble() {
        let mut sources =
            vec![file("/var/log/x\\u001b", "x"), SourceRow { whole: true, lines: 0, ..file("/l/*", "/l/*") }];
        sources.extend((0..300).map(|n| file(&format!("/l/{n:03}"), "/l/*")));
        sources[100].error = Some("it cannot be read".into());
        sources[100].state = "failed".into();
        let mut shown = Vec::new();
        table(&sources).print(&[], &mut shown).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines.len(), 4, "{shown}");
        assert!(lines[1][0].contains("\\u{1b}") && lines[1][1] == "following");
        assert_eq!(
            lines[2],
            ["/l/*", "(300", "files)", "following", "2100", "0", "0", "1500", "300", "0", "0"]
        );
        assert_eq!(lines[3][..2], ["/l/098", "failed"]);
    }
}
