use super::*;
use proptest::prelude::*;

type Taken = (Vec<(Vec<u8>, bool)>, Result<bool, FrameError>);

fn in_pieces(bytes: &[u8], piece: usize) -> Taken {
    let (mut frames, mut messages) = (Frames::new(), Vec::new());
    let mut each = |frame: Frame<'_>| {
        if !frame.message.is_empty() {
            messages.push((frame.message.to_vec(), frame.cut));
        }
    };
    for piece in bytes.chunks(piece.max(1)) {
        if let Err(error) = frames.take(piece, &mut each) {
            return (messages, Err(error));
        }
        assert!(frames.held.len() <= LONGEST_LINE);
    }
    let sound = frames.end(&mut each);
    (messages, Ok(sound))
}

fn texts(bytes: &[u8]) -> (Vec<String>, Result<bool, FrameError>) {
    let (messages, ended) = in_pieces(bytes, bytes.len());
    (messages.into_iter().map(|(message, _)| String::from_utf8(message).unwrap()).collect(), ended)
}

#[test]
fn both_ways_of_framing_are_known_by_their_first_bytes() {
    for (bytes, messages) in [
        ("<1>a\n<2>b\n", vec!["<1>a", "<2>b"]),
        ("<1>a\0<2>b\0", vec!["<1>a", "<2>b"]),
        ("<1>a\n<2>b", vec!["<1>a", "<2>b"]),
        ("4 <1>a5 <2>\nb", vec!["<1>a", "<2>\nb"]),
        ("4 <1>a\n4 <2>b\n\0", vec!["<1>a", "<2>b"]),
        ("\n4 <1>a", vec!["<1>a"]),
        ("2026 is no length\n", vec!["2026 is no length"]),
        ("2026-11-21 x\n", vec!["2026-11-21 x"]),
        ("<1>a\n4 <2>b\n", vec!["<1>a", "4 <2>b"]),
        ("12", vec!["12"]),
        ("111111111111111111111 <1>a\n", vec!["111111111111111111111 <1>a"]),
        ("", vec![]),
    ] {
        let messages = messages.into_iter().map(str::to_owned).collect();
        assert_eq!(texts(bytes.as_bytes()), (messages, Ok(true)), "{bytes:?}");
    }
}

#[test]
fn a_count_that_cannot_be_meant_ends_the_connection() {
    let first = || vec!["<1>a".to_owned()];
    assert_eq!(texts(b"4 <1>a9999999 <1>b"), (first(), Err(FrameError::TooLong)));
    assert_eq!(texts(b"999999999999 <1>b").1, Err(FrameError::TooLong));
    assert_eq!(texts(b"4 <1>a<2>b"), (first(), Err(FrameError::NoLength)));
    assert_eq!(texts(b"4 <1>a04 <2>b"), (first(), Err(FrameError::NoLength)));
    assert_eq!(texts(b"4 <1>a4x"), (first(), Err(FrameError::NoLength)));
    assert_eq!(texts(b"4 <1>a20 <2>b"), (first(), Ok(false)), "shorter than announced");
    assert_eq!(texts(b"4 <1>a2"), (first(), Ok(false)));
}

#[test]
fn long_messages_are_cut_and_cost_no_more_than_a_line() {
    let long = format!("<1>{}", "x".repeat(3 * LONGEST_LINE));
    for bytes in [format!("{long}\n<2>b\n"), format!("{} {long}4 <2>b", long.len())] {
        for piece in [1000, LONGEST_LINE, bytes.len()] {
            let (messages, ended) = in_pieces(bytes.as_bytes(), piece);
            assert_eq!(ended, Ok(true));
            assert!(messages[0].0 == long.as_bytes()[..LONGEST_LINE] && messages[0].1);
            assert_eq!(messages[1], (b"<2>b".to_vec(), false));
        }
    }
}

proptest! {
    #[test]
    fn pieces_make_no_difference(
        bytes in "([0-9]{1,2} )?(<1>[a-z\n\0]{0,9}|[0-9 \n<]{0,9}){0,9}",
        piece in 1usize..9,
    ) {
        prop_assert_eq!(in_pieces(bytes.as_bytes(), piece), in_pieces(bytes.as_bytes(), bytes.len()));
    }

    #[test]
    fn what_is_counted_comes_out(messages in proptest::collection::vec("<[0-9]{1,3}>(.|\n){0,40}", 1..9), piece in 1usize..50) {
        let bytes: String = messages.iter().map(|message| format!("{} {message}", message.len())).collect();
        let (taken, ended) = in_pieces(bytes.as_bytes(), piece);
        let expected: Vec<_> = messages.into_iter().map(|message| (message.into_bytes(), false)).collect();
        prop_assert_eq!((taken, ended), (expected, Ok(true)));
    }

    #[test]
    fn anything_may_come(bytes in proptest::collection::vec(any::<u8>(), 0..300), piece in 1usize..50) {
        let (messages, _) = in_pieces(&bytes, piece);
        prop_assert!(messages.iter().all(|(message, _)| message.len() <= bytes.len()));
    }
}
