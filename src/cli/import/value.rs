//! Single values: fail2ban's lengths of time, its lists of addresses, and its commands.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::config::network::{Lookup, folded, too_wide};
use crate::jail::shown;

/// Units by the words for them, in seconds; a year has 365.25 days and a month is the twelfth part of it.
const UNITS: [(&[&str], i64); 7] = [
    (&["", "s", "se", "sec", "secs", "second", "seconds"], 1),
    (&["m", "mi", "min", "mins", "minute", "minutes"], 60),
    (&["h", "ho", "hour", "hours"], 3_600),
    (&["d", "da", "day", "days"], 86_400),
    (&["w", "we", "week", "weeks"], 604_800),
    (&["mo", "mon", "month", "months"], 2_629_800),
    (&["y", "ye", "yea", "year", "years"], 31_557_600),
];

/// The seconds of `600`, `1h`, `1d12h`, `-1`; none for what is none of these.
pub(super) fn seconds(typed: &str) -> Option<i64> {
    let typed = typed.trim().to_lowercase();
    let (negative, mut rest) = match typed.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, typed.as_str()),
    };
    let mut sum: i64 = 0;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(digits)?;
        let after = after.trim_start();
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (word, more) = after.split_at_checked(letters)?;
        let (_, unit) = UNITS.iter().find(|(words, _)| words.contains(&word))?;
        sum = number.parse::<i64>().ok()?.checked_mul(*unit)?.checked_add(sum)?;
        rest = more.trim_start();
        if rest.is_empty() {
            return Some(if negative { -sum } else { sum });
        }
    }
}

/// One word of `ignoreip` as kban takes it, or the reason why it cannot and what to do.
pub(super) fn ignored(word: &str) -> Result<String, (String, &'static str)> {
    match Lookup::read(word) {
        Some(Ok(Lookup::Name(name))) => Ok(name.to_string()),
        Some(Ok(Lookup::File(path))) => Ok(path.to_string_lossy().into_owned()),
        Some(Err((what, _))) => Err((format!("ignoreip: {what}"), "write the whole path of a list")),
        None => network(word).map(|net| shown(&net)),
    }
}

/// The prefix that one word of `ignoreip` means (bits behind the prefix length do not count), or the reason why kban
/// cannot take it and what to do.
pub(super) fn network(word: &str) -> Result<IpNet, (String, &'static str)> {
    let (address, length) =
        word.split_once('/').map_or((word, None), |(address, rest)| (address, Some(rest)));
    let parsed = address.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    let Some(address) = parsed else {
        return Err((
            format!("ignoreip: {word} is neither an address nor a name"),
            "write the addresses that are meant",
        ));
    };
    let bits = match length {
        None => Some(if address.is_ipv4() { 32 } else { 128 }),
        Some(length) => length.parse::<u8>().ok().or_else(|| mask(length)),
    };
    let Some(net) = bits.and_then(|bits| IpNet::new(address, bits).ok()) else {
        return Err((format!("ignoreip: {word} has no valid prefix length"), "write it as 192.0.2.0/24"));
    };
    let net = folded(net.trunc());
    if too_wide(&net).is_some() {
        let what = if net.prefix_len() == 0 { "everything" } else { "a large part of the Internet" };
        return Err((
            format!("ignoreip: {word} covers {what}"),
            "nobody would ever be banned: name the networks that are to be spared",
        ));
    }
    Ok(net)
}

fn mask(typed: &str) -> Option<u8> {
    ipnet::ipv4_mask_to_prefix(typed.parse::<Ipv4Addr>().ok()?).ok()
}

/// The words of a command that no shell is needed for, with kban's tags; none if one is.
pub(super) fn command(typed: &str) -> Option<Vec<String>> {
    let plain = |c: char| c.is_alphanumeric() || c.is_whitespace() || "/._-+=:,@%<>".contains(c);
    let words: Vec<String> = typed.split_whitespace().map(str::to_owned).collect();
    let known = |word: &String| !word.replace("<ip>", "").contains(['<', '>']);
    let program = words.first()?.starts_with('/');
    (program && typed.chars().all(plain) && words.iter().all(known)).then_some(words)
}
