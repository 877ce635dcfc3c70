//! Questions that go on beside everything else: names to be resolved, and programs that say who is not to be banned.

use jiff::Timestamp;

use super::asking::Asker;
use super::judged::Judged;
use super::pipeline::{Pipeline, tell_failure};
use super::resolver::{Answer, Question, Resolver};
use crate::filter::{Failure, Named};
use crate::jail::Verdict;
use crate::jail::asking::{Advice, Case};
use crate::jail::jails::JailId;
use crate::jail::shown;

/// Who is asked. Each is started with the first question.
#[derive(Default)]
pub(super) struct Beside {
    resolver: Option<Resolver>,
    asker: Option<Asker>,
    /// Failures that count against nobody because their host's name has no address, and the last such name.
    unresolved: (u64, Option<String>),
}

/// What has been found out.
pub(super) enum Answered {
    /// The addresses of a name.
    Name(Answer),
    /// What a program says of somebody.
    Case(Box<Case>, Advice),
}

impl Beside {
    /// Asks for the addresses of a name; a machine without threads goes on without.
    pub(super) fn ask_name(&mut self, question: Question) {
        if self.resolver.is_none() {
            match Resolver::start() {
                Ok(resolver) => self.resolver = Some(resolver),
                Err(error) => tracing::error!("names are not asked for: {error}"),
            }
        }
        if let Some(resolver) = &mut self.resolver {
            resolver.ask(question);
        }
    }

    /// Asks a program. Whoever cannot be asked about is returned.
    fn ask(&mut self, case: Case) -> Result<(), (Case, Advice)> {
        if self.asker.is_none() {
            match Asker::start() {
                Ok(asker) => self.asker = Some(asker),
                Err(error) => return Err((case, Advice::Failed(error.to_string()))),
            }
        }
        self.asker.as_mut().map_or(Ok(()), |asker| asker.ask(case))
    }

    /// The next answer. To be dropped and called again at any time.
    pub(super) async fn answered(&mut self) -> Answered {
        let Self { resolver, asker, .. } = self;
        tokio::select! {
            answer = resolved(resolver) => Answered::Name(answer),
            (case, advice) = advised(asker) => Answered::Case(Box::new(case), advice),
        }
    }

    /// How many failures count against nobody because their host's name has no address, and the last such name.
    pub(super) fn unresolved(&self) -> Option<(u64, &str)> {
        let (failures, name) = &self.unresolved;
        Some((*failures, name.as_deref()?))
    }

    /// Names that were not asked for because too many waited.
    pub(super) fn unasked(&self) -> u64 {
        self.resolver.as_ref().map_or(0, Resolver::dropped)
    }
}

async fn resolved(resolver: &mut Option<Resolver>) -> Answer {
    if let Some(resolver) = resolver
        && let Some(answer) = resolver.answer().await
    {
        return answer;
    }
    std::future::pending().await
}

async fn advised(asker: &mut Option<Asker>) -> (Case, Advice) {
    match asker {
        Some(asker) => asker.answer().await,
        None => std::future::pending().await,
    }
}

impl Pipeline {
    /// Acts upon an answer.
    pub(super) fn take_answer(&mut self, answered: Answered, now: Timestamp) {
        match answered {
            Answered::Name(answer) => self.count_resolved(&answer, now),
            Answered::Case(case, advice) => {
                let verdicts = self.act_upon(&case, &advice, now);
                self.take(&verdicts, now);
            }
        }
    }

    /// Asks about those who are to be banned; who cannot be asked about is banned.
    pub(super) fn ask(&mut self, cases: Vec<Case>, now: Timestamp) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for case in cases {
            if let Err((case, advice)) = self.beside.ask(case) {
                verdicts.extend(self.act_upon(&case, &advice, now));
            }
        }
        verdicts
    }

    fn act_upon(&mut self, case: &Case, advice: &Advice, now: Timestamp) -> Vec<Verdict> {
        let (jail, offender) = (&case.jail, shown(&case.prefix));
        match advice {
            Advice::Spare => tracing::info!("[{jail}] {offender} is not banned: its ignorecommand says so"),
            Advice::Ban => {}
            Advice::Failed(why) => tracing::warn!("[{jail}] ignorecommand: {why}; {offender} is banned"),
        }
        self.engine.follow(case, advice, now)
    }

    /// Counts a failure of a named host against each of its addresses.
    fn count_resolved(&mut self, answer: &Answer, now: Timestamp) {
        let Question { jail, source, named, line } = &answer.question;
        let known = self.engine.jails().iter().position(|known| known.name == *jail);
        let Some(id) = known.map(JailId) else { return };
        if answer.addresses.is_empty() {
            if answer.is_new {
                tracing::info!(
                    "[{jail}] {} has no address: its failures in {source} count against nobody",
                    named.name
                );
            }
            let (failures, last) = &mut self.beside.unresolved;
            *failures += u64::from(named.attempts);
            *last = Some(named.name.clone());
        }
        let mut judged = Judged::default();
        for &address in &answer.addresses {
            let Named { time, pattern, attempts, .. } = *named;
            let failure = Failure { time, address, prefix_len: None, pattern, attempts };
            tell_failure(&self.events, &self.engine, id, &failure, source, now);
            let counted = judged.take(self.engine.observe(id, &failure, None, source, now));
            if let (Some(prefix), Some(line)) = (counted, line) {
                self.evidence.note(prefix, jail, time, line);
            }
        }
        self.execute(judged, now);
    }
}
