//! kban's own filters: data, compiled in.

/// Name and text of each filter, by name.
const FILTERS: [(&str, &str); 1] = [("sshd", include_str!("sshd.toml"))];

/// The names of all filters.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILTERS.iter().map(|(name, _)| *name)
}

/// The TOML text of a filter.
#[must_use]
pub fn text(name: &str) -> Option<&'static str> {
    FILTERS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::filter::Definition;
    use crate::filter::examples;

    #[test]
    fn every_filter_does_what_its_examples_say() {
        for (name, text) in FILTERS {
            let definition = Arc::new(Definition::parse(name, text).unwrap());
            assert!(!definition.example.is_empty(), "{name} has no examples");
            if let Err(error) = examples::check(name, name, &definition) {
                panic!("{error}");
            }
        }
    }

    #[test]
    fn a_free_name_is_followed_by_a_rigid_tail() {
        for (name, text) in FILTERS {
            let definition = Definition::parse(name, text).unwrap();
            let in_modes = definition.mode.values().flat_map(|mode| &mode.failregex);
            for pattern in definition.failregex.iter().chain(in_modes) {
                let pattern = pattern.get_ref();
                let before_host = pattern.split("<HOST>").next().unwrap();
                assert!(!before_host.contains(".*") || pattern.ends_with('$'), "{name}: {pattern}");
            }
        }
    }
}
