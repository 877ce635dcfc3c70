//! Keys that do nothing where they stand, without being wrong.

use std::ops::Range;

use super::duration::BanTime;
use super::file::File;
use super::judgement::{Counts, Escalate};
use super::merge::Layers;
use super::plan::{JailPlan, Plan};
use super::report::Problem;
use crate::filter::Filter;

/// What the enabled jails say, or inherit, in vain.
pub(super) fn unused(file: &File, plan: &Plan, layers: &Layers) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    for jail in &plan.jails {
        let found =
            [never_asked(jail, file), no_factor(jail, file), forgotten(jail, file, plan), blind(jail, file)];
        for (problem, span) in found.into_iter().flatten() {
            let problem = layers.place(problem, &span);
            // Jails that inherit a key share what is wrong with it.
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
    }
    problems
}

type Found = Option<(Problem, Range<usize>)>;

/// Bans are asked about where they are made.
fn never_asked(jail: &JailPlan, file: &File) -> Found {
    let typed = file.jail.get(&*jail.name)?.value.ignorecommand.as_ref();
    let typed = typed.filter(|typed| jail.counts == Counts::Bans && !typed.value.0.is_empty())?;
    let what = format!("jail {}: its ignorecommand is never run: the jail counts bans", jail.name);
    let help = "leave it out: the jails that read logs ask before they ban";
    Some((Problem::warning(what).help(help), typed.span.clone()))
}

fn escalate(jail: &JailPlan, file: &File) -> Option<(Escalate, Range<usize>)> {
    let own = file.jail.get(&*jail.name)?.value.escalate.as_ref();
    let typed = own.or(file.defaults.escalate.as_ref())?;
    Some((typed.value.0.clone()?, typed.span.clone()))
}

fn no_factor(jail: &JailPlan, file: &File) -> Found {
    let (escalate, span) = escalate(jail, file)?;
    let both = !escalate.multipliers.is_empty() && escalate.factor != Escalate::default().factor;
    let problem = Problem::warning("escalate has multipliers, and its factor is not used");
    both.then(|| (problem.help("leave one of them out"), span))
}

/// Whoever is not in the store any more begins anew.
fn forgotten(jail: &JailPlan, file: &File, plan: &Plan) -> Found {
    let (escalate, span) = escalate(jail, file)?;
    let after = escalate.forget_after.map(|after| after.get());
    let too_long = after.is_none_or(|after| after > plan.store.keep);
    let after = after.map_or_else(|| "never".to_owned(), |after| format!("after {}", BanTime::For(after)));
    let what = format!(
        "offenders are to be forgotten {after}, but [store] keep says {}: a restart forgets them then",
        BanTime::For(plan.store.keep)
    );
    let help = "raise keep, or lower forget_after";
    too_long.then(|| (Problem::warning(what).help(help), span))
}

/// A jail that says so itself has a warning already.
fn blind(jail: &JailPlan, file: &File) -> Found {
    let own = &file.jail.get(&*jail.name)?.value;
    let inherited =
        file.defaults.trust.as_ref().filter(|typed| own.trust.is_none() && typed.value.0.is_some())?;
    let blind = jail.filter.as_deref().is_some_and(|filter: &Filter| !filter.tells_successes());
    let what = format!("jail {}: nobody will be trusted: its filter recognises no success", jail.name);
    let help = "write trust = false into the jail if that is meant, or take a filter with `success` patterns";
    blind.then(|| (Problem::warning(what).help(help), inherited.span.clone()))
}
