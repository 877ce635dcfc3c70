use super::*;
use proptest::prelude::*;

const ENVELOPE: Envelope<'_> = Envelope { sender: "10.1.1.5", received: "2026-11-21T06:50:26Z" };

fn line(message: &[u8]) -> (String, Rendered) {
    let mut block = Vec::new();
    let rendered = render(message, false, ENVELOPE, &mut block);
    (String::from_utf8(block).unwrap(), rendered)
}

#[test]
fn every_shape_becomes_the_line_that_filters_know() {
    for (message, expected) in [
        (
            "<38>Nov 21 06:50:25 edge sshd[77]: Failed password\n",
            "Nov 21 06:50:25 edge sshd[77]: Failed password",
        ),
        ("<38>Nov  1 06:50:25 edge sshd: x\0", "Nov  1 06:50:25 edge sshd: x"),
        ("<38>Nov 21 06:50:25 sshd[77]: to /dev/log", "Nov 21 06:50:25 10.1.1.5 sshd[77]: to /dev/log"),
        ("<38>sshd[77]: no date", "2026-11-21T06:50:26Z 10.1.1.5 sshd[77]: no date"),
        (
            "<38>2026-11-21T06:50:25.123456+01:00 edge sshd[77]: x",
            "2026-11-21T06:50:25.123456+01:00 edge sshd[77]: x",
        ),
        ("<13>Nov 21 06:50:25 edge a message of nobody", "Nov 21 06:50:25 edge -: a message of nobody"),
        ("<13>Foo 21 06:50:25 edge x", "2026-11-21T06:50:26Z 10.1.1.5 -: Foo 21 06:50:25 edge x"),
        ("no priority", "2026-11-21T06:50:26Z 10.1.1.5 -: no priority"),
        ("Nov 21 06:50:25 edge sshd[77]: x", "Nov 21 06:50:25 edge sshd[77]: x"),
        ("<>x", "2026-11-21T06:50:26Z 10.1.1.5 -: <>x"),
        (
            "<34>1 2003-10-11T22:14:15.003Z mymachine su - ID47 - \u{feff}'su root' failed",
            "2003-10-11T22:14:15.003Z mymachine su: 'su root' failed",
        ),
        (
            "<34>1 2003-10-11T22:14:15Z h sshd 77 - [a@1 b=\"\\]\\\"x\"][c@1] Failed",
            "2003-10-11T22:14:15Z h sshd[77]: Failed",
        ),
        ("<34>1 - - - - - -", "2026-11-21T06:50:26Z 10.1.1.5 -: "),
        ("<34>1 - - sshd 77 - - x", "2026-11-21T06:50:26Z 10.1.1.5 sshd[77]: x"),
        ("<34>1 2003-10-11T22:14:15Z 2001:db8:: sshd 7 - - x", "2003-10-11T22:14:15Z 2001:db8::0 sshd[7]: x"),
        ("<34>1 2003-10-11T22:14:15Z h a:b[1] 7]: - - x", "2003-10-11T22:14:15Z h a_b_1_[7__]: x"),
    ] {
        let (line, rendered) = line(message.as_bytes());
        assert_eq!(line, format!("{expected}\n"), "{message:?}");
        assert_eq!(rendered, Rendered::default(), "{message:?}");
    }
    assert_eq!(line(b"\n\0 \r").0, "", "nothing is no line");
}

#[test]
fn what_is_broken_is_read_as_far_as_it_goes() {
    for (message, expected) in [
        (
            "<34>1 2003-10-11T22:14:15Z h sshd 7 - [a b=\"x] Failed",
            "2003-10-11T22:14:15Z h sshd[7]: [a b=\"x] Failed",
        ),
        ("<34>1 2003-10-11T22:14:15Z h sshd 7 - Failed", "2003-10-11T22:14:15Z h sshd[7]: Failed"),
        ("<34>1 yesterday h sshd 7 - - Failed", "2026-11-21T06:50:26Z h sshd[7]: Failed"),
        ("<34>1 x", "2026-11-21T06:50:26Z 10.1.1.5 -: x"),
    ] {
        let (line, rendered) = line(message.as_bytes());
        assert_eq!((line, rendered.broken), (format!("{expected}\n"), true), "{message}");
    }
}

#[test]
fn no_message_makes_two_lines_or_another_programs() {
    let forged = "<38>Nov 21 06:50:25 edge app: x\nNov 21 06:50:25 edge sshd[1]: Failed\r\u{1b}[2J\0y\t.";
    assert_eq!(
        line(forged.as_bytes()).0,
        "Nov 21 06:50:25 edge app: x#012Nov 21 06:50:25 edge sshd[1]: Failed#015#033[2J#000y\t.\n"
    );
}

#[test]
fn what_is_too_long_is_cut_and_too_long_to_match() {
    let long = format!("<38>Nov 21 06:50:25 edge app: {}", "x".repeat(LONGEST_LINE));
    let many = format!("<38>Nov 21 06:50:25 edge app: {}x", "\u{1}".repeat(LONGEST_LINE - 100));
    let short = "<38>1 - - - - - [a b=\"much\"] x".to_owned();
    for (message, cut) in [(long, false), (many, false), (short, true)] {
        let mut block = b"before\n".to_vec();
        assert!(render(message.as_bytes(), cut, ENVELOPE, &mut block).cut);
        assert_eq!(block.len(), b"before\n".len() + LONGEST_LINE + 1);
    }
}

proptest! {
    /// Whatever comes is one line at most, with the parts in their places.
    #[test]
    fn any_bytes_make_one_line(message in proptest::collection::vec(any::<u8>(), 0..300), cut: bool) {
        let mut block = Vec::new();
        render(&message, cut, ENVELOPE, &mut block);
        prop_assert!(block.is_empty() || block.iter().position(|byte| *byte == b'\n') == Some(block.len() - 1));
        prop_assert!(!block.iter().any(|byte| *byte < b' ' && !b"\n\t".contains(byte)));
    }

    /// The same for what is nearly a message.
    #[test]
    fn nearly_messages_make_one_line(
        message in "(<[0-9]{0,4}>)?(1 )?([A-Z][a-z]{2} [ 0-9]{2} [0-9:]{8}|[0-9T:.Z-]{10,24}|-) ([a-z:-]{0,5} ){0,5}(\\[[a-z=\"\\\\\\] ]{0,9}\\]? ?)?.{0,20}"
    ) {
        let mut block = Vec::new();
        render(message.as_bytes(), false, ENVELOPE, &mut block);
        let newlines = block.iter().filter(|byte| **byte == b'\n').count();
        prop_assert_eq!(newlines, usize::from(!block.is_empty()));
    }
}
