//! What is valid, and had better not be so: told by `banctl check`, not by a running daemon again and again.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::file::File;
use super::merge::{Layers, Merged};
use super::plan::{JailPlan, Plan};
use super::report::Problem;
use super::unused::unused;
use crate::filter::{Filter, catalogue};
use crate::source::Input;
use crate::source::file::is_there;

/// What can be said against the enabled jails, in the order of the files.
#[must_use]
pub fn lint(merged: &Merged, plan: &Plan) -> Vec<Problem> {
    let Merged { file, layers, .. } = merged;
    let mut linted = BTreeSet::new();
    let mut problems = unused(file, plan, layers);
    for jail in &plan.jails {
        problems.extend(one_failure(jail, file, layers));
        problems.extend(no_log(jail, file, layers));
        if let Some(filter) = &jail.filter
            // One filter with other options has other patterns.
            && linted.insert(Arc::as_ptr(filter))
        {
            let span = spans(jail, file).filter;
            let against = patterns(filter).chain(examples(filter));
            problems.extend(against.map(|problem| placed(layers, problem, span.as_ref())));
        }
    }
    layers.sort(&mut problems);
    problems
}

/// Where a jail's keys stand; the jail itself if a key is left out.
struct Spans {
    filter: Option<Range<usize>>,
    logpath: Option<Range<usize>>,
    maxretry: Option<Range<usize>>,
}

fn spans(jail: &JailPlan, file: &File) -> Spans {
    let typed = file.jail.get(&*jail.name);
    let whole = typed.map(|typed| typed.span.clone());
    let own = typed.map(|typed| &typed.value);
    let or_whole = |span: Option<Range<usize>>| span.or_else(|| whole.clone());
    let maxretry = own.and_then(|own| own.maxretry.as_ref()).or(file.defaults.maxretry.as_ref());
    Spans {
        filter: or_whole(own.and_then(|own| Some(own.filter.as_ref()?.span.clone()))),
        logpath: own.and_then(|own| Some(own.logpath.as_ref()?.span.clone())),
        maxretry: or_whole(maxretry.map(|maxretry| maxretry.span.clone())),
    }
}

fn placed(layers: &Layers, problem: Problem, span: Option<&Range<usize>>) -> Problem {
    match span {
        Some(span) => layers.place(problem, span),
        None => problem,
    }
}

/// People who log in mistype.
fn one_failure(jail: &JailPlan, file: &File, layers: &Layers) -> Option<Problem> {
    let filter = jail.filter.as_ref()?;
    let logs_in = filter.tells_successes() || filter.patterns().any(|pattern| pattern.contains("<F-USER>"));
    if jail.maxretry > 1 || !logs_in || jail.trust.is_some() {
        return None;
    }
    let what = format!("jail {}: whoever mistypes a password once is banned", jail.name);
    let problem = Problem::warning(what).help("set maxretry to 3 or more, or write trust = true");
    Some(placed(layers, problem, spans(jail, file).maxretry.as_ref()))
}

/// A log that the jail names itself; those that its filter knows have a warning already.
fn no_log(jail: &JailPlan, file: &File, layers: &Layers) -> Option<Problem> {
    let span = spans(jail, file).logpath?;
    let missing = jail.sources.iter().filter_map(Input::log_path).find(|path| !is_there(path))?;
    let what = format!("jail {}: its log {} does not exist here", jail.name, missing.display());
    Some(layers.place(Problem::warning(what).help("kband waits for it; is the path right?"), &span))
}

/// What can be said against a filter's patterns.
fn patterns(filter: &Filter) -> impl Iterator<Item = Problem> {
    let numbered = |wrong: fn(&str) -> bool| -> Vec<usize> {
        let patterns = filter.patterns().enumerate();
        patterns.filter(|(_, pattern)| wrong(pattern)).map(|(number, _)| number).collect()
    };
    // Our own language refuses both.
    let (unanchored, greedy) = if filter.is_dialect() {
        (numbered(is_unanchored), numbered(is_greedy))
    } else {
        (Vec::new(), Vec::new())
    };
    let name = filter.name();
    let tell = |which: &[usize], what: &str, help: &str| {
        let numbers = which.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let problem = Problem::warning(format!("filter {name}: patterns that {what}: {numbers}")).help(help);
        (!which.is_empty()).then_some(problem)
    };
    let see = format!("`banctl filters {name}` shows them");
    let problems = [
        tell(
            &unanchored,
            "may match in the middle of a line, where a client's own words stand (a name can be an address of somebody else)",
            &format!("begin them with ^; {see}"),
        ),
        tell(
            &greedy,
            "skip anything (.*) before <HOST>, so that a client's own words may take the address's place",
            &format!(
                "say what stands there ([^\"]*, \\S+), or end the pattern with what only the service writes and $; {see}"
            ),
        ),
        tell(
            &filter.backtracking(),
            "need backtracking, which is slower and is given up on lines that drive it far",
            &format!("do without look-around and back-references; {see}"),
        ),
    ];
    problems.into_iter().flatten()
}

/// What a filter that kban brings along does not do as its own examples say; those of other files were tried when they were read.
fn examples(filter: &Filter) -> Option<Problem> {
    let error = (!filter.is_dialect()).then(|| catalogue::check(filter.name()).err()).flatten()?;
    Some(Problem::warning(error.to_string()).help("this kban was built wrongly: install another"))
}

/// Whether the pattern may begin anywhere: no `^` comes first, flags and brackets aside.
fn is_unanchored(pattern: &str) -> bool {
    let mut rest = pattern.trim_start();
    while let Some(inner) = rest.strip_prefix('(') {
        rest = inner.strip_prefix('?').map_or(inner, |flags| {
            flags
                .trim_start_matches(|c: char| c.is_ascii_lowercase() || c == '-')
                .trim_start_matches([':', ')'])
        });
    }
    !rest.starts_with('^') && !rest.starts_with("\\A")
}

/// Whether anything at all may stand before the address, and anything behind it.
fn is_greedy(pattern: &str) -> bool {
    let host = ["<HOST>", "<ADDR>", "<IP4>", "<IP6>", "<SUBNET>", "<CIDR>"];
    let place = host.iter().filter_map(|tag| pattern.find(tag)).min();
    let Some((before, behind)) = place.and_then(|place| pattern.split_at_checked(place)) else {
        return false;
    };
    let skips = [".*", ".+"].iter().any(|any| {
        before.match_indices(any).any(|(at, _)| !before.get(..at).is_some_and(|text| text.ends_with('\\')))
    });
    skips && !behind.trim_end_matches(')').ends_with('$')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_can_be_forged_are_seen() {
        for (pattern, unanchored, greedy) in [
            ("^Failed password for \\S+ from <HOST>", false, false),
            ("Failed password .* from <HOST>", true, true),
            ("^Failed password .* from <HOST> port \\d+$", false, false),
            ("^Failed password .+ from <ADDR> port", false, true),
            ("^Failed \\.* from <HOST>", false, false),
            ("(?i)^a <HOST>", false, false),
            ("(?:^a|^b) <HOST>", false, false),
            ("(?i:a) <HOST>", true, false),
            ("^from <HOST>: .*", false, false),
            ("^no address", false, false),
        ] {
            assert_eq!((is_unanchored(pattern), is_greedy(pattern)), (unanchored, greedy), "{pattern}");
        }
    }
}
