//! Container logs: what the runtime has put around each line is taken off again.
//!
//! - `docker`: one JSON object a line, as Docker's `json-file` driver writes it:
//!   `{"log":"text\n","stream":"stdout","time":"2026-11-21T06:50:25.123456789Z"}`.
//! - `cri`: `2026-11-21T06:50:25.123456789Z stdout F text`, as containerd and CRI-O write it
//!   (kubernetes/design-proposals-archive, node/kubelet-cri-logging.md).
//!
//! Both cut lines at 16 KiB; the parts are joined again, those of stdout and of stderr apart. Lines in another form are
//! left out and counted: what is in them is not what the container wrote.
//!
//! Blocks end where no line is under way, so that a restart neither splits nor doubles one.

use std::borrow::Cow;

use memchr::{memchr, memmem};
use serde::Deserialize;

use crate::source::Runtime;
use crate::source::lines::Lines;

/// Docker cuts lines here. A shorter one without its end is the last that a container wrote.
const DOCKER_PART: usize = 16 * 1024;

/// What was taken out of its wrapping.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unwrapped {
    /// Whole lines.
    pub(super) bytes: Vec<u8>,
    /// So many bytes of the log are dealt with; the rest has to be seen again, with what comes after it.
    pub(super) consumed: usize,
    /// How many lines were cut.
    pub(super) cut: u64,
    /// How many lines of the log are in another form.
    pub(super) broken: u64,
}

/// One line of the log.
struct Part<'a> {
    /// 0 or 1.
    stream: usize,
    /// With its newline, if the line that the container wrote ends here; no other is in it.
    text: Cow<'a, [u8]>,
}

/// Takes lines out of their wrapping. `raw` begins with a line of the log. With `last`, nothing is to be waited for:
/// what has no end yet is handed over as it is.
pub(super) fn unwrap(runtime: Runtime, raw: &[u8], last: bool) -> Unwrapped {
    let (mut joined, mut done, mut bytes, mut broken, mut at) =
        ([Lines::new(), Lines::new()], Unwrapped::default(), Vec::with_capacity(raw.len()), 0, 0);
    let mut length = 0;
    while let Some(line) = raw.get(at..).and_then(|rest| rest.get(..=memchr(b'\n', rest)?)) {
        at += line.len();
        match part(runtime, line) {
            Some(Part { stream, text }) => {
                if let Some(lines) = joined.get_mut(stream) {
                    lines.take(&text, &mut bytes);
                }
            }
            None => broken += u64::from(line != b"\n"),
        }
        if !joined.iter().any(Lines::is_holding) {
            (length, done.consumed, done.broken) = (bytes.len(), at, broken);
            done.cut += joined.iter_mut().map(Lines::take_cut).sum::<u64>();
        }
    }
    if last && done.consumed == 0 {
        joined.iter_mut().for_each(|lines| lines.end(&mut bytes));
        (length, done.consumed, done.broken) = (bytes.len(), at, broken);
        done.cut = joined.iter_mut().map(Lines::take_cut).sum();
        if at == 0 {
            // One line longer than can be read at once.
            (done.consumed, done.broken) = (raw.len(), 1);
        }
    }
    bytes.truncate(length);
    done.bytes = bytes;
    done
}

/// The line from where its date stands, if it can be found.
pub(super) fn from_date(runtime: Runtime, line: &[u8]) -> &[u8] {
    const KEY: &[u8] = b"\"time\":\"";
    match runtime {
        Runtime::Cri => line,
        Runtime::Docker => {
            let value = memmem::rfind(line, KEY).and_then(|at| line.get(at + KEY.len()..));
            value
                .map_or(line, |rest| rest.get(..memchr(b'"', rest).unwrap_or(rest.len())).unwrap_or_default())
        }
    }
}

/// `line` is one of the log, with its newline.
fn part(runtime: Runtime, line: &[u8]) -> Option<Part<'_>> {
    match runtime {
        Runtime::Docker => docker(line),
        Runtime::Cri => cri(line),
    }
}

fn docker(line: &[u8]) -> Option<Part<'_>> {
    #[derive(Deserialize)]
    struct Entry<'a> {
        #[serde(borrow)]
        log: Cow<'a, str>,
        #[serde(borrow, default)]
        stream: Cow<'a, str>,
    }
    let entry: Entry<'_> = serde_json::from_slice(line).ok()?;
    let stream = usize::from(entry.stream == "stderr");
    let mut text = entry.log.into_owned().into_bytes();
    if text.last() != Some(&b'\n') && text.len() < DOCKER_PART {
        text.push(b'\n');
    }
    // Docker cuts at newlines; one inside would make two lines of what a container wrote as one.
    let ends = usize::from(text.last() == Some(&b'\n'));
    let length = text.len() - ends;
    let (inside, _) = text.split_at_mut(length);
    if memchr(b'\n', inside).is_some() {
        inside.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
    }
    Some(Part { stream, text: text.into() })
}

fn cri(line: &[u8]) -> Option<Part<'_>> {
    const NEWLINE: &[u8] = b"\n";
    let (whole, _) = line.split_at(line.len().saturating_sub(NEWLINE.len()));
    let mut words = whole.splitn(4, |byte| *byte == b' ');
    let (time, stream, tags) = (words.next()?, words.next()?, words.next()?);
    let stream = [b"stdout", b"stderr"].iter().position(|name| *name == stream)?;
    let dated = time.len() > 18 && time.get(10) == Some(&b'T');
    let ends = match tags.split(|byte| *byte == b':').next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    let text = words.next().unwrap_or_default();
    // It is the last word: its newline lies behind it.
    let text = if ends { line.get(whole.len() - text.len()..).unwrap_or(NEWLINE) } else { text };
    dated.then_some(Part { stream, text: text.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::lines::LONGEST_LINE;
    use proptest::prelude::*;

    const TIME: &str = "2026-11-21T06:50:25.123456789Z";

    fn docker(text: &str, stream: &str) -> String {
        let log = serde_json::to_string(text).unwrap();
        format!("{{\"log\":{log},\"stream\":\"{stream}\",\"time\":\"{TIME}\"}}\n")
    }

    fn lines(runtime: Runtime, raw: &str) -> String {
        let unwrapped = unwrap(runtime, raw.as_bytes(), false);
        assert_eq!((unwrapped.consumed, unwrapped.broken, unwrapped.cut), (raw.len(), 0, 0));
        String::from_utf8(unwrapped.bytes).unwrap()
    }

    #[test]
    fn what_the_container_wrote_comes_out() {
        for text in ["Nov 21 06:50:25 h sshd[1]: x \u{e9}\t\"y\" \\ \u{1}\r", "", " ", "{\"log\":\"x\\n\"}"] {
            assert_eq!(lines(Runtime::Docker, &docker(&format!("{text}\n"), "stdout")), format!("{text}\n"));
            assert_eq!(lines(Runtime::Cri, &format!("{TIME} stderr F {text}\n")), format!("{text}\n"));
        }
        let attributes =
            "{\"log\":\"x\\n\",\"stream\":\"stdout\",\"attrs\":{\"tag\":\"web\"},\"time\":\"t\"}\n";
        assert_eq!(lines(Runtime::Docker, attributes), "x\n");
        assert_eq!(lines(Runtime::Docker, &docker("two\nlines\n", "stdout")), "two lines\n");
        assert_eq!(lines(Runtime::Docker, &docker("the last", "stdout")), "the last\n");
        assert_eq!(
            lines(Runtime::Cri, &format!("{TIME} stdout F\n{TIME} stdout P:x a\n{TIME} stdout F:x b\n")),
            "\nab\n"
        );
    }

    #[test]
    fn parts_are_joined_for_each_stream() {
        let long = "o".repeat(DOCKER_PART);
        let raw = [(&*long, "stdout"), ("err\n", "stderr"), (&long, "stdout"), ("end\n", "stdout")];
        let raw: String = raw.iter().map(|(text, stream)| docker(text, stream)).collect();
        assert_eq!(lines(Runtime::Docker, &raw), format!("err\n{long}{long}end\n"));
        let raw = format!("{TIME} stdout P a\n{TIME} stderr P x\n{TIME} stderr F y\n{TIME} stdout F b\n");
        assert_eq!(lines(Runtime::Cri, &raw), "xy\nab\n");
    }

    #[test]
    fn what_is_under_way_is_seen_again() {
        let whole = format!("{TIME} stdout F a\n");
        for rest in
            ["2026", &format!("{TIME} stdout P b\n"), &format!("{TIME} stdout P b\n{TIME} stderr F c\n")]
        {
            let raw = format!("{whole}{rest}");
            let unwrapped = unwrap(Runtime::Cri, raw.as_bytes(), false);
            assert_eq!((&*unwrapped.bytes, unwrapped.consumed), (&b"a\n"[..], whole.len()));
            assert_eq!(unwrap(Runtime::Cri, rest.as_bytes(), false), Unwrapped::default());
        }
        let raw = format!("{TIME} stdout P b\n{TIME} stderr F c\n2026");
        let last = unwrap(Runtime::Cri, raw.as_bytes(), true);
        assert_eq!((&*last.bytes, last.consumed), (&b"c\nb\n"[..], raw.len() - 4));
    }

    #[test]
    fn a_joined_line_has_a_longest_length() {
        let part = format!("{TIME} stdout P {}\n", "x".repeat(16 * 1024));
        let raw = format!("{}{TIME} stdout F end\n{TIME} stdout F next\n", part.repeat(12));
        let unwrapped = unwrap(Runtime::Cri, raw.as_bytes(), false);
        assert_eq!((unwrapped.cut, unwrapped.bytes.len()), (1, LONGEST_LINE + "\nnext\n".len()));
    }

    #[test]
    fn lines_in_another_form_are_left_out_and_counted() {
        let bad = [
            "{\"log\":\"x\\n\"",
            "{\"log\":7}",
            "[]",
            "\0\0\0",
            "plain Nov 21",
            "{}",
            "{\"log\":\"\\ud800\"}",
            "2026 stdout F x",
            &format!("{TIME} stdin F x"),
            &format!("{TIME} stdout X x"),
            TIME,
        ];
        for line in bad {
            for runtime in [Runtime::Docker, Runtime::Cri] {
                let raw = format!("{line}\n");
                let unwrapped = unwrap(runtime, raw.as_bytes(), false);
                assert_eq!((unwrapped.broken, unwrapped.consumed), (1, raw.len()), "{line}");
                assert_eq!(unwrapped.bytes, b"");
            }
        }
        let endless = unwrap(Runtime::Docker, &[b'x'; 100], true);
        assert_eq!((endless.broken, endless.consumed), (1, 100));
    }

    #[test]
    fn where_the_date_is() {
        let line = docker("\"time\":\"not this one\"\n", "stdout");
        assert_eq!(from_date(Runtime::Docker, line.as_bytes()), TIME.as_bytes());
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            parts in proptest::collection::vec((0usize..2, any::<bool>(), "[a-z]{0,9}"), 0..30),
            piece in 1usize..400
        ) {
            let raw: String = parts.iter().map(|(stream, ends, text)| {
                format!("{TIME} {} {} {text}\n", ["stdout", "stderr"][*stream], if *ends { "F" } else { "P" })
            }).collect();
            let whole = unwrap(Runtime::Cri, raw.as_bytes(), false);
            let (mut from, mut to, mut bytes) = (0, 0, Vec::new());
            while to < raw.len() {
                to = (to + piece).min(raw.len());
                let unwrapped = unwrap(Runtime::Cri, &raw.as_bytes()[from..to], false);
                from += unwrapped.consumed;
                bytes.extend(unwrapped.bytes);
            }
            prop_assert_eq!((from, bytes), (whole.consumed, whole.bytes));
        }
    }
}
