//! Files laid over each other: tables are joined, anything else (a list, too) is replaced by the later file.
//!
//! The files' texts are thought of as one long text, in the order in which they are laid; a span in it names the
//! file as well as the place. So every value of the merged configuration knows where it was typed, and the
//! structs need to carry nothing but the span.

use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::File;
use super::recover;
use super::report::{Problem, SourceFile};
use super::setting::{self, Setting};

/// The files of a configuration, lowest first, and the spans that their values have.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    files: Vec<Arc<SourceFile>>,
}

impl Layers {
    /// The file in which a value was typed, and where in it.
    pub fn locate(&self, span: &Range<usize>) -> Option<(&Arc<SourceFile>, Range<usize>)> {
        let mut base = 0;
        for file in &self.files {
            let end = base + file.text.len();
            if span.start <= end {
                return Some((file, span.start.saturating_sub(base)..span.end.saturating_sub(base)));
            }
            base = end + 1;
        }
        None
    }

    /// In the order of the files and their lines: files without text first, what stands in none of these last.
    pub(super) fn sort(&self, problems: &mut [Problem]) {
        problems.sort_by_key(|problem| {
            let known = |file: &Arc<SourceFile>| self.files.iter().position(|other| Arc::ptr_eq(file, other));
            let file = match (&problem.file, &problem.span) {
                (Some(_), None) => 0,
                (file, _) => file.as_ref().and_then(known).unwrap_or(usize::MAX),
            };
            (file, problem.span.as_ref().map(|span| span.start))
        });
    }

    /// The problem, at the place where a value was typed.
    pub(super) fn place(&self, problem: Problem, span: &Range<usize>) -> Problem {
        match self.locate(span) {
            Some((file, span)) => problem.at(file, span),
            None => problem,
        }
    }
}

/// What all files say together.
#[derive(Debug, Clone, Default)]
pub struct Merged {
    /// The values; their spans are those of `layers`.
    pub file: File,
    /// Where they come from.
    pub layers: Layers,
    /// The same values one by one.
    pub settings: Vec<Setting>,
}

/// Reads and merges the files, lowest first. Parts with errors are left out and told of.
pub(super) fn merge(files: &[Arc<SourceFile>]) -> (Merged, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut merged = DeTable::new();
    let mut base = 0;
    for source in files {
        let (table, found) = recover::read(source);
        problems.extend(found);
        lay_over(&mut merged, moved(table, base));
        base += source.text.len() + 1;
    }
    let layers = Layers { files: files.to_vec() };
    let settings = setting::all(&merged, &layers);
    let document = Spanned::new(0..0, merged);
    let file = File::deserialize(toml::Deserializer::from(document));
    // Every layer was valid by itself, and no merge makes a new kind of value.
    let file = file.unwrap_or_else(|error| {
        let problem = Problem::error(format!("the files contradict each other: {}", error.message()));
        problems.push(error.span().map_or(problem.clone(), |span| layers.place(problem, &span)));
        File::default()
    });
    (Merged { file, layers, settings }, problems)
}

/// Keys of `over` win; its spans do, too, so that a problem is shown in the file that said it last.
fn lay_over<'t>(under: &mut DeTable<'t>, over: DeTable<'t>) {
    for (key, mut value) in over {
        if let Some((_, below)) = under.remove_entry(&key) {
            let (DeValue::Table(above), DeValue::Table(mut below)) = (value.get_mut(), below.into_inner())
            else {
                under.insert(key, value);
                continue;
            };
            lay_over(&mut below, std::mem::take(above));
            *above = below;
        }
        under.insert(key, value);
    }
}

/// The same table, its spans further on in the long text.
fn moved(table: DeTable<'_>, base: usize) -> DeTable<'_> {
    let entries = table.into_iter().map(|(key, value)| {
        let span = further(&key.span(), base);
        (Spanned::new(span, key.into_inner()), moved_value(value, base))
    });
    entries.collect()
}

fn moved_value(value: Spanned<DeValue<'_>>, base: usize) -> Spanned<DeValue<'_>> {
    let span = further(&value.span(), base);
    let value = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(moved(table, base)),
        DeValue::Array(array) => {
            DeValue::Array(array.into_iter().map(|element| moved_value(element, base)).collect())
        }
        plain => plain,
    };
    Spanned::new(span, value)
}

fn further(span: &Range<usize>, base: usize) -> Range<usize> {
    span.start + base..span.end + base
}
