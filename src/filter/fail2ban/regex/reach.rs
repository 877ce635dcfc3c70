//! How far into a text a pattern of its start looks.

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{NFA, WhichCaptures};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

/// What a cache may take, in bytes.
const CACHE: usize = 64 << 10;

/// An automaton that tells when a pattern has seen enough. Of ASCII alone.
pub(in crate::filter::fail2ban) struct Reach(DFA);

impl std::fmt::Debug for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reach").finish()
    }
}

impl Reach {
    /// None if the patterns may begin elsewhere than at the start.
    pub(super) fn new(texts: &[String]) -> Option<Self> {
        let syntax = syntax::Config::new().utf8(false).unicode(false);
        let config = NFA::config().utf8(false).which_captures(WhichCaptures::None);
        let nfa = NFA::compiler().configure(config).syntax(syntax).build_many(texts);
        let nfa = nfa.ok().filter(NFA::is_always_start_anchored)?;
        let config = DFA::config().cache_capacity(CACHE).skip_cache_capacity_check(true);
        DFA::builder().configure(config).build_from_nfa(nfa).ok().map(Self)
    }

    pub(in crate::filter::fail2ban) fn cache(&self) -> Cache {
        self.0.create_cache()
    }

    /// How many bytes of `text` were read when no way through the pattern was left: texts that begin with these bytes
    /// match alike, groups and all, whatever follows. None if it may depend on all of the text.
    pub(in crate::filter::fail2ban) fn of(&self, text: &[u8], cache: &mut Cache) -> Option<usize> {
        let mut state = self.0.start_state_forward(cache, &Input::new(text).anchored(Anchored::Yes)).ok()?;
        for (at, byte) in text.iter().enumerate() {
            state = self.0.next_state(cache, state, *byte).ok()?;
            if state.is_dead() {
                return Some(at + 1);
            }
            if state.is_quit() {
                return None;
            }
        }
        None
    }
}
