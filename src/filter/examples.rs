//! Runs a filter's own examples: a filter that does not do what its file says is refused.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::{Timestamp, tz::TimeZone};

use super::definition::{Definition, Example, NORMAL};
use super::error::FilterError;
use super::matcher::{Field, Filter, LineVerdict};
use super::{Clock, Scanner, host};

/// Tries every example, in its mode.
///
/// # Errors
/// The first example that fails, or the first mode or pattern that does not compile.
pub fn check(name: &str, origin: &str, definition: &Arc<Definition>) -> Result<(), FilterError> {
    let clock = Clock { now: Timestamp::UNIX_EPOCH, zone: TimeZone::UTC };
    let mut filters: BTreeMap<String, Arc<Filter>> = BTreeMap::new();
    for mode in definition.modes() {
        // `normal` may be empty where every pattern belongs to a mode.
        match Filter::compile(name, origin, Arc::clone(definition), &mode) {
            Err(FilterError::Empty { .. }) if mode == NORMAL => {}
            compiled => {
                filters.insert(mode, Arc::new(compiled?));
            }
        }
    }
    for (index, example) in definition.example.iter().enumerate() {
        let mode = example.mode.as_deref().unwrap_or(NORMAL);
        let problem = match filters.get(mode) {
            Some(filter) => {
                let mut scanner = Scanner::new(&[Arc::clone(filter)]);
                let mut line = |text: &str| scanner.line(0, text.as_bytes(), &clock, false);
                let early =
                    example.before.iter().find(|text| matches!(line(text), LineVerdict::Match { .. }));
                match early {
                    Some(text) => {
                        Some(format!("the line before it matches already: {}", text.escape_debug()))
                    }
                    None => problem(example, line(&example.line)),
                }
            }
            None => Some(format!("its mode '{mode}' has no patterns")),
        };
        if let Some(problem) = problem {
            let line = example.line.escape_debug().to_string();
            return Err(FilterError::Example { origin: origin.to_owned(), index, line, problem });
        }
    }
    Ok(())
}

fn problem(example: &Example, verdict: LineVerdict) -> Option<String> {
    let expected =
        match example.host.as_deref().map(|host| (host.parse::<IpAddr>(), host::name(host.as_bytes()))) {
            None => None,
            Some((Ok(address), _)) => Some(address.to_string()),
            Some((Err(_), Some(name))) => Some(name.to_owned()),
            Some((Err(_), None)) => return Some("its host is neither an address nor a name".to_owned()),
        };
    let found = match verdict {
        LineVerdict::Match { first, .. } => Some(first),
        _ => None,
    };
    match (expected, found) {
        (None, None) => None,
        (None, Some(found)) => {
            Some(format!("pattern {} finds {}, nothing should match", found.pattern, found.host))
        }
        (Some(expected), None) => Some(format!("nothing matches, {expected} should be found")),
        (Some(expected), Some(found)) if expected != found.host => {
            Some(format!("pattern {} finds {} instead of {expected}", found.pattern, found.host))
        }
        (Some(_), Some(found)) => {
            let caught = found.fields.get("user").and_then(Field::text);
            (example.user.is_some() && example.user.as_deref() != caught).then(|| {
                format!("pattern {} catches the user {:?}", found.pattern, caught.unwrap_or_default())
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(example: &str) -> String {
        let text = format!(
            "description = 'x'\nfailregex = ['^no <F-USER>.*</F-USER> <HOST>$']\n[[example]]\n{example}"
        );
        let definition = Arc::new(Definition::parse("x", &text).unwrap());
        check("x", "x.toml", &definition).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_failing_example_says_what_happened() {
        assert_eq!(outcome("line = 'no a 192.0.2.1'\nhost = '192.0.2.1'\nuser = 'a'"), "");
        assert_eq!(outcome("line = 'yes a 192.0.2.1'"), "");
        assert!(
            outcome("line = 'yes'\nhost = '192.0.2.1'")
                .contains("nothing matches, 192.0.2.1 should be found")
        );
        assert!(outcome("line = 'no a 192.0.2.1'").contains("nothing should match"));
        assert!(outcome("line = 'no a 192.0.2.1'\nhost = '192.0.2.2'").contains("instead of 192.0.2.2"));
        assert!(
            outcome("line = 'no a 192.0.2.1'\nhost = '192.0.2.1'\nuser = 'b'").contains("catches the user")
        );
        assert!(outcome("line = 'x'\nmode = 'ddos'").contains("has no patterns"));
    }
}
