//! The tags of failregex and ignoreregex, as groups of a regular expression: `<HOST>`, `<F-USER>...</F-USER>`.
//!
//! Named groups carry the tag's name in lower case; `F-ID` becomes `fid` and `F-PORT` `fport`. A name that begins
//! with `alt_` stands in for the rest of it where that caught nothing; one with `tuple_` is joined to it.

/// Dotted quads; whether it is an address is judged later.
const IP4: &str = r"(?:::f{4,6}:)?(?P<ip4>(?:\d{1,3}\.){3}\d{1,3})";
/// What consists of groups of hexadecimal digits and colons.
const IP6: &str = r"(?P<ip6>(?:[0-9A-Fa-f]{1,4}:{1,2}|:{2}){1,7}(?:[0-9A-Fa-f]{1,4}|:))";
const DNS: &str = r"(?P<dns>[-\w.^_]*\w)";
const CIDR: &str = r"(?P<cidr>\d+)";

/// Expands the tags of a pattern; what is no tag stays. With `names`, `<HOST>` takes host names, too.
pub(super) fn expand(pattern: &str, names: bool) -> String {
    let mut out = String::with_capacity(pattern.len() * 2);
    let mut opened: Vec<&str> = Vec::new();
    let mut skips = 0;
    let mut rest = pattern;
    while let Some((before, from)) = rest.find('<').map(|at| rest.split_at(at)) {
        out.push_str(before);
        let (tag, length) = tag(from);
        match length.and_then(|_| meaning(tag, names, &mut opened, &mut skips)) {
            Some(text) => out.push_str(&text),
            None => out.push_str(from.get(..length.unwrap_or(1)).unwrap_or_default()),
        }
        rest = from.get(length.unwrap_or(1)..).unwrap_or_default();
    }
    out.push_str(rest);
    local_flags(&out)
}

/// The text of a tag without its brackets, and how long it is with them; `text` begins with `<`.
fn tag(text: &str) -> (&str, Option<usize>) {
    let inside = text.get(1..).unwrap_or_default();
    let Some(end) = inside.find('>') else { return ("", None) };
    let tag = inside.get(..end).unwrap_or_default();
    let core = tag.strip_prefix('/').unwrap_or(tag);
    let core = core.strip_suffix('/').unwrap_or(core);
    let is_tag = !core.is_empty() && core.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    if is_tag { (tag, Some(end + 2)) } else { ("", None) }
}

fn meaning<'p>(tag: &'p str, names: bool, opened: &mut Vec<&'p str>, skips: &mut usize) -> Option<String> {
    let addr = || format!(r"\[?(?:{IP4}|{IP6})\]?");
    Some(match tag {
        "HOST" if names => format!("(?:{}|{DNS})", addr()),
        "HOST" | "ADDR" | "F-ADDR/" => addr(),
        "IP4" | "F-IP4/" => IP4.to_owned(),
        "IP6" | "F-IP6/" => IP6.to_owned(),
        "DNS" | "F-DNS/" => DNS.to_owned(),
        "CIDR" | "F-CIDR/" => CIDR.to_owned(),
        "SUBNET" | "F-SUBNET/" => format!(r"\[?(?:{IP4}|{IP6})(?:/{CIDR})?\]?"),
        "F-ID/" => r"(?P<fid>\S+)".to_owned(),
        "F-PORT/" => r"(?P<fport>\w+)".to_owned(),
        "SKIPLINES" => {
            *skips += 1;
            format!(r"\n(?P<skiplines{}>(?:[^\n]*\n)*?)", *skips - 1)
        }
        _ => {
            let (closing, name) = match tag.strip_prefix('/') {
                Some(name) => (true, name),
                None => (false, tag),
            };
            let name = name.strip_prefix("F-")?;
            let of_tag = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
            if name.is_empty() || !name.chars().all(of_tag) {
                return None;
            }
            if closing {
                return opened.contains(&name).then(|| ")".to_owned());
            }
            opened.push(name);
            format!("(?P<{}>", option(name))
        }
    })
}

/// The name of the group of a tag.
pub(super) fn option(tag: &str) -> String {
    match tag.to_lowercase().as_str() {
        "id" => "fid".to_owned(),
        "port" => "fport".to_owned(),
        other => other.to_owned(),
    }
}

/// `((?i)x)` and `(?:(?i)x)` mean `(?i:x)`: flags at the start of a group are the group's own.
fn local_flags(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let escaped = out.ends_with('\\');
        if let Some((flags, after)) = (c == '(' && !escaped).then(|| flags_of_group(rest)).flatten() {
            out.push_str("(?");
            out.push_str(flags);
            out.push(':');
            rest = after;
            continue;
        }
        out.push(c);
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    out
}

fn flags_of_group(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('(')?;
    let inside = inside.strip_prefix("?:").unwrap_or(inside);
    let (flags, after) = inside.strip_prefix("(?")?.split_once(')')?;
    (!flags.is_empty() && flags.bytes().all(|b| b.is_ascii_lowercase())).then_some((flags, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_groups_and_the_rest_stays() {
        assert_eq!(expand("^<F-USER>\\S+</F-USER> <br> </F-X>$", true), "^(?P<user>\\S+) <br> </F-X>$");
        assert_eq!(expand("<F-ID>a</F-ID><F-PORT/>", true), r"(?P<fid>a)(?P<fport>\w+)");
        assert!(expand("<HOST>", true).contains("?P<dns>"));
        assert!(!expand("<HOST>", false).contains("?P<dns>"));
        assert_eq!(expand("a<SKIPLINES>b<SKIPLINES>", true).matches("skiplines1").count(), 1);
        assert_eq!(expand(r"^\((?i)x((?i)y)(?:(?im)z)<", true), r"^\((?i)x(?i:y)(?im:z)<");
    }
}
