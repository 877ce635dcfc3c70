//! The tracer against the engines that it stands in for.

use proptest::prelude::*;
use regex_automata::meta;
use regex_automata::nfa::thompson::{NFA, WhichCaptures};
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind, PatternSet};

use super::cache::CACHE;
use super::*;

const PATTERNS: [&[&str]; 13] = [
    &[r"\A(?:(a)|(ab))(b*?)(?m:$)"],
    &[r"(?:(a)|(ab))(b|c)*"],
    &[r"(?:\b{start-half}|\b{end-half})(\d{1,2})(?:-(\d+))?(?:\b{start-half}|\b{end-half})"],
    &[r"\b(\w+?)\b(?: (\w+))??", r"(-)([ab])"],
    &[r"([ab]*?)(\d*)(x?)\B"],
    &[r"((?:\d{1,3}\.){3}\d{1,3})|((?:[0-9a-f]{1,4}:{1,2}|:{2}){1,7}(?:[0-9a-f]{1,4}|:))|([-\w.^_]*\w)"],
    &[r"(?s:.)*?(a)(?m:^)?", r"(b)"],
    &[r"\A[^\n]*( b)(?: [^\n]*)?(?m:$)"],
    &[r"(?i:A(b)+)(?:x|\z)"],
    &[r"(a|b)*(?:(x)|(-))?(?m:$)"],
    &[r"(?:a*)*(b)?(\w+)", r"\W(x)"],
    &[r"([^\s]+?)\s(é|\p{Nd})?(.*)$"],
    &[r"(?m:^)(?:(a|b)|(\d))+(?:\r?)(?m:$)"],
];

fn automaton(patterns: &[&str], unicode: bool, captures: WhichCaptures) -> NFA {
    let config = NFA::config().utf8(false).which_captures(captures);
    let syntax = syntax::Config::new().utf8(false).unicode(unicode);
    NFA::compiler().configure(config).syntax(syntax).build_many(patterns).unwrap()
}

fn engine(patterns: &[&str], unicode: bool, kind: MatchKind) -> meta::Regex {
    let config = meta::Config::new().utf8_empty(false).match_kind(kind);
    let syntax = syntax::Config::new().utf8(false).unicode(unicode);
    meta::Builder::new().configure(config).syntax(syntax).build_many(patterns).unwrap()
}

/// A pattern, and where its groups are.
type Groups = Option<(PatternID, Vec<Option<(u32, u32)>>)>;

/// The groups of the pattern among the slots.
fn groups(nfa: &NFA, found: Option<PatternID>, slots: &[u32]) -> Groups {
    let pattern = found?;
    let group = |group| {
        let (start, end) = nfa.group_info().slots(pattern, group)?;
        Some((slots[start], slots[end])).filter(|(start, end)| *start != UNSET && *end != UNSET)
    };
    Some((pattern, (0..nfa.group_info().group_len(pattern)).map(group).collect()))
}

/// What both find.
fn both(tracer: &Tracer, engine: &meta::Regex, text: &[u8], start: usize, anchored: bool) -> [Groups; 2] {
    let nfa = tracer.nfa();
    let mut slots = vec![UNSET; nfa.group_info().slot_len()];
    let ours = tracer.find(text, start, anchored, &mut slots).map(|traced| traced.pattern);
    let mut places: Vec<Option<NonMaxUsize>> = vec![None; slots.len()];
    let anchored = if anchored { Anchored::Yes } else { Anchored::No };
    let input = Input::new(text).range(start..).anchored(anchored);
    let theirs = engine.search_slots(&input, &mut places);
    let number =
        |place: Option<NonMaxUsize>| place.map_or(UNSET, |place| u32::try_from(place.get()).unwrap());
    let places: Vec<u32> = places.into_iter().map(number).collect();
    [groups(nfa, ours, &slots), groups(nfa, theirs, &places)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_tracer_finds_what_the_engines_find(
        at in 0..PATTERNS.len(),
        unicode in any::<bool>(),
        texts in proptest::collection::vec(
            (
                proptest::collection::vec(
                    prop::sample::select(vec![
                        "a", "b", "ab", "c", "x", " ", "-", ".", ":", "::", "1", "23", "192.0.2.1", "\n", "\r", "A", "é", "٣",
                    ]),
                    0..12,
                ),
                0..6_usize,
                any::<bool>(),
            ),
            1..20,
        ),
    ) {
        let unicode = unicode || PATTERNS[at].concat().contains("\\p");
        let tracer = Tracer::new(automaton(PATTERNS[at], unicode, WhichCaptures::All));
        let engine = engine(PATTERNS[at], unicode, MatchKind::LeftmostFirst);
        for (words, start, anchored) in texts {
            let text = words.concat();
            for start in [0, start.min(text.len())] {
                let [ours, theirs] = both(&tracer, &engine, text.as_bytes(), start, anchored);
                prop_assert_eq!(&ours, &theirs, "{:?} from {}", text, start);
                let traced = tracer.find(text.as_bytes(), start, anchored, &mut []);
                prop_assert_eq!(traced.is_some(), ours.is_some());
            }
            let mut slots = vec![UNSET; tracer.nfa().group_info().slot_len()];
            let found = tracer.find(text.as_bytes(), 0, anchored, &mut slots);
            if let Some(decided) = found.and_then(|found| found.decided) {
                let other = [&text.as_bytes()[..decided], b"b-1\n a"].concat();
                let [ours, theirs] = both(&tracer, &engine, &other, 0, anchored);
                prop_assert_eq!(&ours, &theirs);
                let known = groups(tracer.nfa(), found.map(|found| found.pattern), &slots);
                prop_assert_eq!(ours, known, "{:?} is decided by {}", text, decided);
            }
        }
    }

    #[test]
    fn all_patterns_that_match_are_found(
        words in proptest::collection::vec(prop::sample::select(vec!["a", "b", "-", "1", " ", "x", "\n"]), 0..9),
    ) {
        let patterns: Vec<&str> = PATTERNS[..11].iter().flat_map(|patterns| patterns.iter().copied()).collect();
        let tracer = Tracer::of_all(automaton(&patterns, false, WhichCaptures::None));
        let engine = engine(&patterns, false, MatchKind::All);
        let text = words.concat();
        let (mut ours, mut theirs) = (PatternSet::new(patterns.len()), PatternSet::new(patterns.len()));
        tracer.find_all(text.as_bytes(), &mut ours);
        engine.which_overlapping_matches(&Input::new(&text), &mut theirs);
        prop_assert_eq!(ours, theirs, "{:?}", text);
    }
}

/// Letters that nobody can foresee.
fn letters(seed: &mut u64, count: usize) -> Vec<u8> {
    let letter = |_| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if *seed >> 60 & 1 == 0 { b'a' } else { b'b' }
    };
    (0..count).map(letter).collect()
}

#[test]
fn hostile_texts_fill_no_more_than_the_cache_and_are_left_to_the_engines() {
    // Each of the last letters may be the one that counts: the DFA has 2^16 states.
    let pattern = r"^[ab]*?(a[ab]{16}c)$";
    let tracer = Tracer::new(automaton(&[pattern], false, WhichCaptures::All));
    let engine = engine(&[pattern], false, MatchKind::LeftmostFirst);
    let (mut seed, mut rested) = (1, false);
    for _ in 0..3000 {
        let mut text = letters(&mut seed, 200);
        text.push(b'c');
        let [ours, theirs] = both(&tracer, &engine, &text, 0, false);
        assert_eq!(ours, theirs);
        let cache = tracer.shared.cache.lock().unwrap();
        assert!(cache.bytes() <= CACHE + CACHE / 2, "{}", cache.bytes());
        rested |= cache.rest > 0;
    }
    assert!(rested);
}

#[test]
fn all_together_stay_within_the_budget_and_the_busy_keep_what_they_know() {
    let hostile = |place: usize| format!(r"^[ab]*?(a[ab]{{16}}[c-f]{{{place}}})$");
    let build = |pattern: String| Tracer::new(automaton(&[&pattern], false, WhichCaptures::All));
    let tracers: Vec<Tracer> = (1..24).map(|place| build(hostile(place))).collect();
    let busy = build(r"^(a+)b$".to_owned());
    let idle = build(r"^(b+)a$".to_owned());
    let mut seed = 7;
    for _ in 0..60 {
        for tracer in &tracers {
            let text = letters(&mut seed, 400);
            tracer.find(&text, 0, false, &mut [UNSET; 4]);
            assert!(busy.find(b"aab", 0, false, &mut [UNSET; 4]).is_some());
            assert!(taken() <= crate::filter::DIALECT_BUDGET, "{}", taken());
        }
    }
    let emptied = tracers.iter().filter(|tracer| tracer.shared.cache.lock().unwrap().bytes() == 0);
    assert!(emptied.count() > 0, "the budget was never reached");
    assert_eq!(idle.shared.cache.lock().unwrap().rest, 0, "whoever was not asked fills nothing");
}
