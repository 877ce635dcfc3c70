//! The %-codes of date patterns, as groups of a regular expression.
//!
//! They are those of strptime(3), with fail2ban's `%Ex...` for exactly two digits and years of this century, and
//! `%k`, `%l` for hours that a space may fill. A group is named after its code.

const MONTHS: &str = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec";
const MONTH_NAMES: &str =
    "september|february|november|december|january|october|august|march|april|june|july|may";
const DAYS: &str = "mon|tue|wed|thu|fri|sat|sun";
const DAY_NAMES: &str = "wednesday|thursday|saturday|tuesday|monday|friday|sunday";
const ZONE_NAME: &str = "[A-Z](?:[A-Z]{2,4})?";
const OFFSET: &str = r"[+-][01]\d(?::?\d{2})?";

/// Replaces the codes of a pattern; says whether names of months, days or halves of a day are among them. `%ExY` takes
/// years up to the decade of `latest`.
pub(super) fn expand(pattern: &str, latest: i16) -> (String, bool) {
    let (mut out, mut named) = (String::new(), false);
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(more) = after.strip_prefix('%') {
            out.push('%');
            rest = more;
            continue;
        }
        let length = if after.starts_with("Ex") { 3 } else { 1 };
        let code = after.get(..length).unwrap_or_default();
        match group(code, latest) {
            Some(text) => {
                named |= matches!(code, "a" | "A" | "b" | "B" | "p");
                out.push_str(&text);
                rest = after.get(length..).unwrap_or_default();
            }
            None => {
                out.push('%');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    (out, named)
}

fn group(code: &str, latest: i16) -> Option<String> {
    let fixed = |name: &str, inner: &str| Some(format!("(?P<{name}>{inner})"));
    match code {
        "a" => fixed("a", DAYS),
        "A" => fixed("A", DAY_NAMES),
        "b" => fixed("b", MONTHS),
        "B" => fixed("B", MONTH_NAMES),
        "p" => fixed("p", "am|pm"),
        "d" => fixed("d", r"[12]\d|[0 ]?[1-9]|3[01]"),
        "Exd" => fixed("d", r"[12]\d|0[1-9]|3[01]"),
        "m" => fixed("m", "0?[1-9]|1[0-2]"),
        "Exm" => fixed("m", "0[1-9]|1[0-2]"),
        "Y" => fixed("Y", r"\d{4}"),
        "ExY" => fixed("Y", &format!(r"20[0-{}]\d", (latest / 10 % 10).max(1))),
        "y" => fixed("y", r"\d\d"),
        "Exy" => fixed("y", r"\d{2}"),
        "G" => fixed("G", r"\d{4}"),
        "H" => fixed("H", r"[01]?\d|2[0-3]"),
        "ExH" => fixed("H", r"[01]\d|2[0-3]"),
        "k" => Some(r" ?(?P<H>[0-2]?\d)".to_owned()),
        "Exk" => Some(r" ?(?P<H>[01]?\d|2[0-3])".to_owned()),
        "I" => fixed("I", "1[0-2]|0[1-9]|[1-9]"),
        "l" => Some(r" ?(?P<I>1?\d)".to_owned()),
        "Exl" => Some(r" ?(?P<I>1[0-2]|\d)".to_owned()),
        "M" => fixed("M", r"[0-5]?\d"),
        "ExM" => fixed("M", r"[0-5]\d"),
        "S" => fixed("S", r"[0-5]?\d|6[01]"),
        "ExS" => fixed("S", r"[0-5]\d|6[01]"),
        "f" => fixed("f", "[0-9]{1,6}"),
        "j" => fixed("j", r"36[0-6]|3[0-5]\d|[12]\d\d|0[1-9]\d|00[1-9]|[1-9]\d|0[1-9]|[1-9]"),
        "U" => fixed("U", r"5[0-3]|[0-4]\d|\d"),
        "W" => fixed("W", r"5[0-3]|[0-4]\d|\d"),
        "V" => fixed("V", r"5[0-3]|0[1-9]|[1-4]\d|\d"),
        "u" => fixed("u", "[1-7]"),
        "w" => fixed("w", "[0-6]"),
        "z" => fixed("z", &format!("Z|UTC|GMT|{OFFSET}")),
        "Z" => fixed("Z", "Z|[A-Z]{3,5}"),
        "Exz" => fixed("z", &format!("(?:{ZONE_NAME})?{OFFSET}|{ZONE_NAME}")),
        "ExZ" => fixed("Z", ZONE_NAME),
        _ => None,
    }
}
