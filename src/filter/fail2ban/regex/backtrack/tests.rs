//! The machine beside another one that goes back.

use proptest::prelude::*;

use super::*;
use crate::filter::fail2ban::regex::parse::parse;

/// They mean the same in both syntaxes.
const PATTERNS: [&str; 19] = [
    r"(a|ab)(c|bcd)*(d*?)(?=b|$)",
    r"^(?:(?!ab).)*(b+)",
    r"(\w+)-\1",
    r"(?i)(\w)\1",
    r"(?<=a)b|(?<!b)c(.)?",
    r"(?<=é|b)(x)",
    r"(a)?b(?(1)c|d)(.*)",
    r"(?:(a)|b)*(?(1)x|-)",
    r"(?>a+)(ab)?(b)",
    r"(?:a*?b?)*?(c)",
    r"(a{2,3}?)(\d{0,2})(x)?",
    r"(?=(a+))a(.)",
    r"(?!(a)b)(\w)",
    r"\b(\w+?)\b(?! )",
    r"(?:(a)|(b)|\1\2)+(?!c)",
    r"(?=.*x)(?:[^ab]|a(?=b))+",
    r"(.+?)(?:-(.+))?(?= |\Z)",
    r"(?:a|(b))*(?=c)",
    r"(?i:A(?=b))(B|é)*",
];

fn machine(pattern: &str, alphabet: Alphabet) -> Backtracker {
    let parsed = parse(pattern, false).unwrap();
    Backtracker::new(&parsed.node, alphabet, false, parsed.names.len()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn it_finds_what_another_engine_finds(
        at in 0..PATTERNS.len(),
        words in proptest::collection::vec(
            prop::sample::select(vec!["a", "b", "ab", "c", "d", "x", " ", "-", "1", "A", "B", "é", "É"]),
            0..10,
        ),
        start in 0..3_usize,
    ) {
        let text = words.concat();
        let start = if text.is_char_boundary(start) { start } else { 0 };
        let other = fancy_regex::Regex::new(&PATTERNS[at].replace(r"\Z", r"\z")).unwrap();
        let theirs = other.captures_from_pos(&text, start).unwrap();
        let alphabets: &[Alphabet] =
            if text.is_ascii() { &[Alphabet::Ascii, Alphabet::Unicode] } else { &[Alphabet::Unicode] };
        for alphabet in alphabets {
            let ours = machine(PATTERNS[at], *alphabet).find(&text, start, false);
            prop_assert_eq!(ours.is_some(), theirs.is_some(), "{} in {:?}", PATTERNS[at], text);
            let (Some(ours), Some(theirs)) = (ours, &theirs) else { continue };
            for group in 0..theirs.len() {
                let theirs = theirs.get(group).map(|group| group.range());
                prop_assert_eq!(ours.get(group), theirs, "group {} of {} in {:?}", group, PATTERNS[at], text);
            }
        }
    }
}

#[test]
fn a_text_that_takes_too_many_ways_does_not_match() {
    let machine = machine(r"^(?:a+)+(?!a)b$", Alphabet::Ascii);
    assert!(machine.find(&format!("{}b", "a".repeat(500)), 0, false).is_some());
    assert!(machine.find(&"a".repeat(500), 0, false).is_none());
    // So many places to go back to are none.
    let long = "ab".repeat(200_000);
    assert!(self::machine(r"^(?:(?!x)(?:a|b))*$", Alphabet::Ascii).find(&long, 0, true).is_none());
}

#[test]
fn what_is_behind_must_have_one_width_as_in_python() {
    let parsed = parse(r"(?<=a|bc)d", false).unwrap();
    let refused = Backtracker::new(&parsed.node, Alphabet::Ascii, false, 1).unwrap_err();
    assert!(refused.to_string().contains("fixed width"), "{refused}");
}
