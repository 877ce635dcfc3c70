//! The nearest name that would have been right.

/// Longer names are no typing mistakes, and comparing costs their length.
const LONGEST: usize = 64;

/// The candidate that `typed` was probably meant to be: a third of its letters may be wrong; case, `_` and
/// `-` do not matter (programs spell one word differently in just these).
pub(super) fn nearest<'c>(typed: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if typed.len() > LONGEST {
        return None;
    }
    let plain = |name: &str| -> String {
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let meant = plain(typed);
    let near = candidates.into_iter().filter_map(|candidate| {
        let other = plain(candidate);
        let distance = strsim::damerau_levenshtein(&meant, &other);
        (distance <= other.len().max(3) / 3).then_some((distance, candidate))
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let keys = ["bantime", "findtime", "maxretry", "ignoreip", "logpath", "enabled"];
        for (typed, meant) in [
            ("bantme", Some("bantime")),
            ("ban_time", Some("bantime")),
            ("max-retry", Some("maxretry")),
            ("IgnoreIP", Some("ignoreip")),
            ("log_paths", Some("logpath")),
            ("enable", Some("enabled")),
            ("colour", None),
            ("", None),
            ("\u{1b}", None),
        ] {
            assert_eq!(nearest(typed, keys), meant, "{typed}");
        }
        assert_eq!(nearest(&"bantime".repeat(1000), keys), None);
    }
}
