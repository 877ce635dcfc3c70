//! One thing that was looked at, and what was found.

use serde::Serialize;

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be, or good to know.
    Ok,
    /// It works, but perhaps not as meant.
    Warn,
    /// It does not work.
    Fail,
    /// It could not be looked at.
    Unknown,
}

impl State {
    /// The word for it, as JSON has it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }
}

/// One line of the diagnosis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// `THEME.WHAT`. Where several things of a kind are looked at, `found` says which.
    pub(super) check: &'static str,
    /// How it is.
    pub(super) state: State,
    /// What was found. May contain what others chose.
    pub(super) found: String,
    /// What to do about it.
    pub(super) remedy: Option<String>,
}

impl Check {
    /// Nothing to do.
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, state: State::Ok, found: found.into(), remedy: None }
    }

    /// Something that may not be as meant.
    pub(super) fn warn(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, state: State::Warn, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// Something that does not work.
    pub(super) fn fail(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, state: State::Fail, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// Something that could not be looked at, and how it could be.
    pub(super) fn unknown(check: &'static str, why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, state: State::Unknown, found: why.into(), remedy: Some(remedy.into()) }
    }

    /// A sentence of kban's own: these end with what to do, behind the last semicolon or colon.
    pub(super) fn said(check: &'static str, state: State, sentence: &str) -> Self {
        let parts = sentence.rsplit_once("; ").or_else(|| sentence.rsplit_once(": "));
        let (found, remedy) = parts.map_or((sentence, None), |(found, remedy)| (found, Some(remedy)));
        Self { check, state, found: found.to_owned(), remedy: remedy.map(str::to_owned) }
    }

    /// What comes before the dot: lines of one theme stand together.
    pub(super) fn theme(&self) -> &'static str {
        self.check.split('.').next().unwrap_or(self.check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_taken_apart_where_its_remedy_begins() {
        let said = |sentence: &str| {
            let check = Check::said("a.b", State::Warn, sentence);
            (check.found, check.remedy.unwrap_or_default())
        };
        let pair = |found: &str, remedy: &str| (found.to_owned(), remedy.to_owned());
        assert_eq!(
            said("\"/a: b\" is denied: let it be read"),
            pair("\"/a: b\" is denied", "let it be read")
        );
        assert_eq!(said("x failed: EIO; try again"), pair("x failed: EIO", "try again"));
        assert_eq!(said("nothing to do"), pair("nothing to do", ""));
        assert_eq!(Check::ok("a.b", "x").theme(), "a");
    }
}
