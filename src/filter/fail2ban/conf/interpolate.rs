//! `%(name)s` in values: another option of the section, of `[DEFAULT]`, or (with a `/`) of another section.
//!
//! `%(known/name)s` is what the option was before a later file replaced it, `%(default/name)s` that of `[DEFAULT]`;
//! `%%` is a percent sign.

use indexmap::IndexMap;

use super::merge::Merged;

/// How deep values may refer to each other.
const DEEPEST: usize = 10;

/// Why a value cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Missing {
    /// There is no such option.
    Option,
    /// It refers to something that is not there, or to itself.
    Broken(String),
}

impl Merged {
    /// The value of an option, everything in it replaced. `given` comes before what the files say.
    pub(super) fn value(
        &self,
        section: &str,
        option: &str,
        given: &IndexMap<String, String>,
    ) -> Result<String, Missing> {
        let option = option.to_lowercase();
        let raw = self.raw(section, &option, given).ok_or(Missing::Option)?;
        let mut out = String::new();
        self.interpolate(section, raw, given, 1, &mut out)?;
        Ok(out)
    }

    fn raw<'v>(
        &'v self,
        section: &str,
        option: &str,
        given: &'v IndexMap<String, String>,
    ) -> Option<&'v str> {
        let own = || self.sections.get(section)?.get(option);
        given.get(option).or_else(own).or_else(|| self.defaults.get(option)).map(String::as_str)
    }

    fn interpolate(
        &self,
        section: &str,
        raw: &str,
        given: &IndexMap<String, String>,
        depth: usize,
        out: &mut String,
    ) -> Result<(), Missing> {
        if depth > DEEPEST {
            return Err(Missing::Broken(format!("its values refer to each other too deep: {raw}")));
        }
        let mut rest = raw;
        while let Some((before, after)) = rest.split_once('%') {
            out.push_str(before);
            if let Some(more) = after.strip_prefix('%') {
                out.push('%');
                rest = more;
                continue;
            }
            let reference = after.strip_prefix('(').and_then(|inside| inside.split_once(")s"));
            let Some((name, more)) = reference.filter(|(name, _)| !name.contains(')')) else {
                return Err(Missing::Broken(format!(
                    "a % in it is followed by neither % nor (NAME)s: {raw}"
                )));
            };
            let value = self
                .referenced(section, name, given)
                .ok_or_else(|| Missing::Broken(format!("%({name})s in it is defined nowhere")))?;
            if value.contains('%') {
                self.interpolate(section, value, given, depth + 1, out)?;
            } else {
                out.push_str(value);
            }
            if out.len() > super::options::LONGEST {
                return Err(Missing::Broken("its values grow beyond 1 MiB".into()));
            }
            rest = more;
        }
        out.push_str(rest);
        Ok(())
    }

    fn referenced<'v>(
        &'v self,
        section: &str,
        name: &str,
        given: &'v IndexMap<String, String>,
    ) -> Option<&'v str> {
        let name = name.to_lowercase();
        if let Some(value) = self.raw(section, &name, given) {
            return Some(value);
        }
        let (place, option) = name.split_once('/')?;
        let found = match place {
            "default" => None,
            "known" => self.known.get(section).and_then(|known| known.get(option)),
            other => self
                .sections
                .iter()
                .find(|(section, _)| section.to_lowercase() == other)
                .and_then(|(_, options)| options.get(option)),
        };
        found.or_else(|| self.defaults.get(option)).map(String::as_str)
    }
}
