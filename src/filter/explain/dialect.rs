//! Explaining the patterns of a filter in fail2ban's dialect.

use super::walk::Walk;
use super::{Capture, Explanation, Outcome, Ranking, Stop, Wanted};
use crate::filter::Clock;
use crate::filter::fail2ban::{Rules, Seen, Seer, Tree};

pub(super) struct Explainer<'f> {
    seer: Seer<'f>,
    trees: Vec<Option<Tree<'f>>>,
    prefix: Option<Tree<'f>>,
}

impl<'f> Explainer<'f> {
    pub(super) fn new(rules: &'f Rules) -> Self {
        let seer = Seer::new(rules);
        Self { trees: seer.trees(), prefix: seer.prefix_tree(), seer }
    }

    pub(super) fn explain(&mut self, line: &[u8], clock: &Clock) -> Explanation {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\r', '\n']).to_owned();
        match self.seer.see(&text, clock) {
            Err(seen) => {
                let stop = self.prefix_stop(&seen);
                Explanation { text, date: seen.date, outcome: Outcome::NoPrefix { stop } }
            }
            Ok(seen) => {
                let outcome = self.outcome(&seen);
                Explanation { text, date: seen.date, outcome }
            }
        }
    }

    fn outcome(&self, seen: &Seen) -> Outcome {
        if let Some(exception) = self.seer.ignored_by(seen) {
            return Outcome::Ignored { exception, regex: self.seer.exception(exception).to_owned() };
        }
        match self.seer.first(seen) {
            Some(pattern) => {
                let captures = self.seer.captures(pattern, seen).into_iter().map(|(name, span)| {
                    let name =
                        if ["ip4", "ip6", "dns", "fid"].contains(&&*name) { "host".to_owned() } else { name };
                    Capture { name, span }
                });
                Outcome::Matched { pattern, captures: captures.collect() }
            }
            None => self.missed(seen),
        }
    }

    fn missed(&self, seen: &Seen) -> Outcome {
        let mut ranking = Ranking::default();
        let mut walk = Walk::new(seen.text.as_bytes());
        for (index, tree) in self.trees.iter().enumerate() {
            let Some(Tree { hir, names }) = tree else { continue };
            ranking.walk(&mut walk, (index, hir, names), &|at| seen.place(at), |way| Stop {
                at: seen.place(way.places.last().copied().unwrap_or_default()),
                wanted: Wanted::Around,
            });
        }
        ranking.outcome()
    }

    fn prefix_stop(&self, seen: &Seen) -> Option<Stop> {
        let Tree { hir, names } = self.prefix.as_ref()?;
        let mut walk = Walk::new(seen.text.as_bytes());
        let way = walk.whole(hir, names);
        match way.stop {
            _ if walk.gave_up() => None,
            Some(stop) if way.places.is_empty() => {
                Some(Stop { at: seen.place(stop.at), wanted: stop.wanted })
            }
            _ => Some(Stop { at: seen.place(way.places.last().copied()?), wanted: Wanted::Around }),
        }
    }

    pub(super) fn prepare(&mut self, line: &[u8], clock: &Clock) -> Option<String> {
        let text = String::from_utf8_lossy(line);
        self.seer.see(text.trim_end_matches(['\r', '\n']), clock).ok().map(|seen| seen.text)
    }

    pub(super) fn tries(&self, index: usize, text: &str) -> bool {
        self.seer.tries(index, text)
    }
}
