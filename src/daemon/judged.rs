//! What the failures of a block, or of a name, lead to.

use ipnet::IpNet;
use jiff::Timestamp;

use super::intent;
use super::pipeline::Pipeline;
use crate::firewall::Target;
use crate::jail::Verdict;
use crate::jail::asking::Case;
use crate::jail::engine::Judgement;

/// Judgements, sorted by what is to be done.
#[derive(Debug, Default)]
pub(super) struct Judged {
    verdicts: Vec<Verdict>,
    /// Who is banned unless a program says otherwise.
    cases: Vec<Case>,
    /// Who is banned and still heard.
    heard: Vec<IpNet>,
}

impl Judged {
    /// One more. Against whom the failure counts, if it does.
    pub(super) fn take(&mut self, judgement: Judgement) -> Option<IpNet> {
        match judgement {
            Judgement::Nothing => None,
            Judgement::Counted(prefix) => Some(prefix),
            Judgement::Ask(case) => {
                let prefix = case.prefix;
                self.cases.push(case);
                Some(prefix)
            }
            Judgement::Verdicts(more) => {
                // The first is that of the offender, then what follows from it.
                let prefix = more.first().map(|verdict| verdict.ban().prefix);
                self.verdicts.extend(more);
                prefix
            }
            Judgement::StillHeard(prefix) => {
                self.heard.push(prefix);
                None
            }
        }
    }
}

impl Pipeline {
    /// Makes true what was judged.
    pub(super) fn execute(&mut self, judged: Judged, now: Timestamp) {
        let Judged { mut verdicts, cases, heard } = judged;
        let heard: Vec<Target> =
            heard.iter().flat_map(|prefix| intent::targets_of(&self.engine, prefix)).collect();
        self.effect.doubt(heard);
        verdicts.extend(self.ask(cases, now));
        self.take(&verdicts, now);
    }
}
