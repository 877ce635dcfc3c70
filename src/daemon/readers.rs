//! Who reads what: for each source its scanner, and the jails behind the scanner's filters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::pipeline::Pipeline;
use crate::config::choices::UseDns;
use crate::config::plan::{JailPlan, Plan};
use crate::filter::{Clock, Filter, Scanner, date_of};
use crate::jail::jails::JailId;
use crate::source::{CatchUp, Input, Manner, SourceConfig, SourceId};

/// One source, and the jails that read it.
pub(super) struct Reader {
    pub(super) input: Input,
    /// As the store knows it.
    pub(super) name: Arc<str>,
    pub(super) scanner: Scanner,
    /// The jails behind each of the scanner's filters: their names, and the filters again.
    pub(super) jails: Vec<(JailId, Arc<str>, Arc<Filter>)>,
    /// The names of those that ask for the addresses of hosts, and whether they say so.
    pub(super) asking: BTreeMap<JailId, (Arc<str>, UseDns)>,
}

impl Reader {
    /// One of so many `readers`.
    fn new(readers: usize, input: &Input, name: Arc<str>, jails: &[(JailId, &JailPlan)]) -> Self {
        let filters: Vec<Arc<Filter>> = jails.iter().filter_map(|(_, jail)| jail.filter.clone()).collect();
        let mut scanner = Scanner::one_of(readers, &filters);
        scanner.tell_successes();
        let asks = |(id, jail): &(JailId, &JailPlan)| (*id, (Arc::clone(&jail.name), jail.usedns));
        let asking: BTreeMap<_, _> =
            jails.iter().filter(|(_, jail)| jail.usedns != UseDns::No).map(asks).collect();
        if !asking.is_empty() {
            scanner.keep_named();
        }
        let filtering =
            |(id, jail): &(JailId, &JailPlan)| Some((*id, Arc::clone(&jail.name), jail.filter.clone()?));
        let jails = jails.iter().filter_map(filtering).collect();
        Self { input: input.clone(), name, scanner, jails, asking }
    }
}

impl Pipeline {
    /// Builds one reader for each source of the plan; the sources to follow are returned.
    pub(super) fn set_readers(&mut self, plan: &Plan) -> Vec<SourceConfig> {
        let mut reading: BTreeMap<&Input, Vec<(JailId, &JailPlan)>> = BTreeMap::new();
        for (id, jail) in plan.jails.iter().enumerate() {
            for input in &jail.sources {
                reading.entry(input).or_default().push((JailId(id), jail));
            }
        }
        self.zone = TimeZone::system();
        let known: BTreeMap<Input, SourceId> =
            std::mem::take(&mut self.readers).into_iter().map(|(id, reader)| (reader.input, id)).collect();
        let all = reading.len();
        let mut sources = Vec::new();
        for (input, jails) in reading {
            let window = jails.iter().map(|(_, jail)| jail.findtime).max().unwrap_or_default();
            let name: Arc<str> = input.to_string().into();
            let resume = self.trails.resume(&name, window);
            let id = known.get(input).copied().unwrap_or_else(|| {
                self.last_source += 1;
                SourceId(self.last_source)
            });
            sources.push(SourceConfig { id, input: input.clone(), resume, manner: manner(&jails) });
            self.readers.insert(id, Reader::new(all, input, name, &jails));
        }
        sources
    }

    /// What each source is.
    pub(super) fn input(&self, source: SourceId) -> Option<&Input> {
        self.readers.get(&source).map(|reader| &reader.input)
    }

    /// Failures in each source whose hosts are names that no jail asks for.
    pub(super) fn named(&self, source: SourceId) -> u64 {
        let reader = self.readers.get(&source).filter(|reader| reader.asking.is_empty());
        reader.map_or(0, |reader| reader.scanner.counters().named)
    }

    /// Lines of each source that matched without a readable date.
    pub(super) fn undated(&self, source: SourceId) -> u64 {
        self.readers.get(&source).map_or(0, |reader| reader.scanner.counters().undated)
    }
}

/// How the jails that share a source want its log files to be read.
fn manner(jails: &[(JailId, &JailPlan)]) -> Manner {
    let date_of = |line: &[u8]| {
        let clock = Clock { now: Timestamp::now(), zone: TimeZone::system() };
        date_of(line, &clock).map(SystemTime::from)
    };
    let back = jails.iter().map(|(_, jail)| jail.catch_up).max();
    Manner {
        poll: jails.iter().any(|(_, jail)| jail.poll),
        catch_up: back.map(|back| CatchUp { back, date_of }),
    }
}
