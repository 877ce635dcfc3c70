//! The shapes that syslog messages consist of, in logs and on the wire: RFC 3164 and RFC 5424.
//!
//! Only shapes: whether a date is one is the business of who needs it.

/// What follows `<PRI>`; at most three digits (RFC 3164, 4.1.1).
pub(crate) fn skip_priority(line: &[u8]) -> Option<&[u8]> {
    let inner = line.strip_prefix(b"<")?;
    let digits = inner.iter().take_while(|b| b.is_ascii_digit()).count();
    if !(1..=3).contains(&digits) {
        return None;
    }
    inner.get(digits..)?.strip_prefix(b">")
}

/// The length of `Nov 21 06:50:25` at the start of `text`, followed by a space.
pub(crate) fn bsd_length(text: &[u8]) -> Option<usize> {
    month(text)?;
    let day_at = match text {
        [_, _, _, b' ', b' ', ..] => 5,
        [_, _, _, b' ', ..] => 4,
        _ => return None,
    };
    let digits = match text.get(day_at..)? {
        [b'0'..=b'9', b' ', ..] => 1,
        [b'0'..=b'9', b'0'..=b'9', b' ', ..] => 2,
        _ => return None,
    };
    let time_at = day_at + digits + 1;
    let end = time_at + 8;
    (is_time(text.get(time_at..end)?) && text.get(end) == Some(&b' ')).then_some(end)
}

/// `hh:mm:ss`.
fn is_time(text: &[u8]) -> bool {
    matches!(text, [b'0'..=b'9', b'0'..=b'9', b':', b'0'..=b'9', b'0'..=b'9', b':', b'0'..=b'9', b'0'..=b'9'])
}

/// The length of an ISO date and time at the start of `text`, followed by a space.
pub(crate) fn iso_length(text: &[u8]) -> Option<usize> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b' ', rest @ ..] = text else { return None };
    if ![y1, y2, y3, y4, m1, m2, d1, d2].into_iter().all(u8::is_ascii_digit) || !is_time(rest.get(..8)?) {
        return None;
    }
    let mut end = 19;
    if let Some(b'.' | b',') = text.get(end) {
        let digits = text.get(end + 1..)?.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        end += 1 + digits;
    }
    end += match text.get(end..)? {
        [b'Z', ..] => 1,
        [b'+' | b'-', b'0'..=b'9', b'0'..=b'9', b':', b'0'..=b'9', b'0'..=b'9', ..] => 6,
        [b'+' | b'-', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', ..] => 5,
        _ => 0,
    };
    (text.get(end) == Some(&b' ')).then_some(end)
}

/// The month, 1 to 12, whose English abbreviation stands first.
pub(crate) fn month(text: &[u8]) -> Option<i8> {
    Some(match text.first_chunk::<3>()? {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    })
}

/// The text up to the first space, and what follows the spaces.
pub(crate) fn split_token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (token, rest) = text.split_at_checked(memchr::memchr(b' ', text)?)?;
    Some((token, rest.trim_ascii_start()))
}

/// `prog:`, `prog[pid]:`, and `[prog]` or `[prog]:` where no host stands before it.
pub(crate) fn tag(token: &[u8], first: bool) -> Option<(&[u8], Option<&[u8]>)> {
    let bare = token.strip_suffix(b":");
    if let Some(inner) = bare.unwrap_or(token).strip_prefix(b"[") {
        return inner.strip_suffix(b"]").filter(|name| first && !name.is_empty()).map(|name| (name, None));
    }
    let bare = bare?;
    match bare.strip_suffix(b"]") {
        None => (!bare.is_empty()).then_some((bare, None)),
        Some(open) => {
            let at = memchr::memchr(b'[', open)?;
            let (program, pid) = open.split_at_checked(at)?;
            (!program.is_empty()).then_some((program, pid.get(1..)))
        }
    }
}

/// What follows `-` or `[id name="value"]...`; a value may hold `\"`, `\\` and `\]`.
pub(crate) fn skip_structured_data(text: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = text.strip_prefix(b"-") {
        return (rest.is_empty() || rest.starts_with(b" ")).then_some(rest);
    }
    let mut rest = text;
    while let Some(mut inner) = rest.strip_prefix(b"[") {
        let mut quoted = false;
        loop {
            let (byte, after) = inner.split_first()?;
            inner = match (quoted, byte) {
                (true, b'\\') => after.get(1..)?,
                (_, b'"') => {
                    quoted = !quoted;
                    after
                }
                (false, b']') => {
                    rest = after;
                    break;
                }
                _ => after,
            };
        }
    }
    (rest.len() < text.len() && (rest.is_empty() || rest.starts_with(b" "))).then_some(rest)
}
