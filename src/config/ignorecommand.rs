//! `ignorecommand`: a program that says who is not to be banned.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::duration::Period;
use super::feed::Words;
use super::report::Problem;
use super::value::At;

/// A ban waits for the program no longer than this.
const LONGEST: Duration = Duration::from_secs(60);

/// The program of one jail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoreCommand {
    /// Its path and its arguments, with `<ip>` and `<jail>` where those go. Never empty.
    pub words: Vec<String>,
    /// How long a ban waits for it.
    pub limit: Duration,
}

impl IgnoreCommand {
    /// The words for one address.
    #[must_use]
    pub fn for_one(&self, address: IpAddr, jail: &str) -> Vec<String> {
        let address = address.to_string();
        self.words.iter().map(|word| word.replace("<ip>", &address).replace("<jail>", jail)).collect()
    }
}

/// What a jail's command is, `None` if it has none; what is wrong with it is told.
pub(super) fn plan(
    command: &At<Words>,
    limit: &At<Period>,
    tell: &mut dyn FnMut(Problem, &Range<usize>),
) -> Option<Arc<IgnoreCommand>> {
    let words = &command.value.0;
    if words.is_empty() {
        return None;
    }
    let named = words.first().is_some_and(|program| program.starts_with('/'));
    if !named || words.iter().any(|word| word.contains('\0')) {
        let problem = Problem::error("the ignorecommand does not name a program").help(
            "write its whole path and each argument by itself, such as [\"/usr/local/bin/is-ours\", \"<ip>\"]; no shell reads it",
        );
        tell(problem, &command.span);
        return None;
    }
    if !words.iter().any(|word| word.contains("<ip>")) {
        let problem = Problem::warning("the ignorecommand is not told whom it is asked about");
        tell(problem.help("write \"<ip>\" as one of its arguments"), &command.span);
    }
    if limit.value.get() > LONGEST {
        let problem = Problem::error("bans would wait too long for their ignorecommand");
        tell(problem.help("write at most \"1m\""), &limit.span);
        return None;
    }
    Some(Arc::new(IgnoreCommand { words: words.clone(), limit: limit.value.get() }))
}
