//! References to filters, as a jail or a command line names them: `sshd`, `sshd[mode=aggressive]`,
//! `/path/x.toml`, `/etc/fail2ban/filter.d/sshd.conf[mode="aggressive", logtype=journal]`.
//!
//! A name is looked for in the administrator's directories and then in the catalogue.

use std::fs;
use std::path::{Path, PathBuf};

use super::catalogue;
use super::definition::NORMAL;
use super::error::{FilterError, closest};

const OPTIONS: [&str; 2] = ["mode", "logtype"];

/// No filter is bigger, in bytes.
const LARGEST: u64 = 4 << 20;

/// A filter's text, and how it is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The filter's name.
    pub(super) name: String,
    /// Its file, or `filter NAME` for one of the catalogue.
    pub(super) origin: String,
    pub(super) text: Text,
    /// It is of the catalogue.
    pub(super) built_in: bool,
}

/// A filter's two spellings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Text {
    /// TOML, and the mode that is meant.
    Toml { text: String, mode: String },
    /// A .conf of fail2ban's, which reads its options itself.
    Dialect { path: PathBuf, options: Vec<(String, String)> },
}

/// A reference, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reference {
    target: String,
    options: Vec<(String, String)>,
}

/// Finds the filter that `reference` names.
pub(super) fn resolve(reference: &str, directories: &[PathBuf]) -> Result<Found, FilterError> {
    let Reference { target, options } = parse(reference)?;
    let is_path = target.contains('/') || target.ends_with(".toml") || target.ends_with(".conf");
    let name = match is_path {
        true => {
            Path::new(&target).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
        }
        false => target.clone(),
    };
    let file = match is_path {
        true => Some(PathBuf::from(&target)),
        false => directories
            .iter()
            .map(|directory| in_directory(directory, &name))
            .find_map(Result::transpose)
            .transpose()?,
    };
    if let Some(path) =
        file.as_ref().filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
    {
        let origin = path.display().to_string();
        let text = Text::Dialect { path: path.clone(), options };
        return Ok(Found { name, origin, text, built_in: false });
    }
    let mut mode = NORMAL.to_owned();
    for (option, value) in options {
        match option.as_str() {
            "mode" => mode = value,
            // Where lines come from is the source's business; fail2ban's references name it here.
            "logtype" => {}
            _ => {
                let near = closest(&option, OPTIONS);
                return Err(FilterError::UnknownOption { filter: name, option, near });
            }
        }
    }
    if let Some(path) = file {
        let text = Text::Toml { text: read(&path)?, mode };
        return Ok(Found { name, origin: path.display().to_string(), text, built_in: false });
    }
    match catalogue::text(&name) {
        Some(text) => {
            let origin = format!("filter {name}");
            let text = Text::Toml { text: text.to_owned(), mode };
            Ok(Found { name, origin, text, built_in: true })
        }
        None => Err(unknown(name, directories)),
    }
}

/// The same filter, if it is in fail2ban's dialect, for lines of the journal: unless it says itself what its lines are.
#[must_use]
pub fn for_journal(reference: &str) -> String {
    match parse(reference) {
        Ok(Reference { options, .. }) if options.iter().any(|(name, _)| name == "logtype") => {
            reference.to_owned()
        }
        Ok(Reference { target, options }) if options.is_empty() => format!("{target}[logtype=journal]"),
        _ => match reference.trim_end().strip_suffix(']') {
            Some(open) => format!("{open}, logtype=journal]"),
            None => reference.to_owned(),
        },
    }
}

/// The file of that name in `directory`.
fn in_directory(directory: &Path, name: &str) -> Result<Option<PathBuf>, FilterError> {
    let file = |extension: &str| directory.join(format!("{name}.{extension}"));
    let (toml, conf, local) = (file("toml"), file("conf"), file("local"));
    match (toml.exists(), conf.exists(), local.exists()) {
        (true, true, _) => Err(FilterError::Ambiguous { name: name.to_owned(), toml, conf }),
        (_, false, true) => Err(FilterError::LonelyLocal { local }),
        (true, false, false) => Ok(Some(toml)),
        (false, true, _) => Ok(Some(conf)),
        (false, false, false) => Ok(None),
    }
}

fn read(path: &Path) -> Result<String, FilterError> {
    let failed = |error| FilterError::Read { path: path.to_owned(), error };
    let about = fs::metadata(path).map_err(failed)?;
    if !about.is_file() || about.len() > LARGEST {
        return Err(failed(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "not a file of at most 4 MiB",
        )));
    }
    fs::read_to_string(path).map_err(failed)
}

fn unknown(name: String, directories: &[PathBuf]) -> FilterError {
    let mut known: Vec<String> = catalogue::names().map(str::to_owned).collect();
    for entry in directories.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "toml" || extension == "conf") {
            known.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    let near = closest(&name, known.iter().map(String::as_str));
    FilterError::Unknown { name, near }
}

fn parse(reference: &str) -> Result<Reference, FilterError> {
    let malformed = |problem| FilterError::Reference { reference: reference.to_owned(), problem };
    let trimmed = reference.trim();
    let (target, inner) = match trimmed.split_once('[') {
        None => (trimmed, ""),
        Some((target, rest)) => match rest.strip_suffix(']') {
            Some(inner) => (target.trim_end(), inner),
            None => return Err(malformed("lacks the closing ]")),
        },
    };
    if target.is_empty() {
        return Err(malformed("names no filter"));
    }
    // "-" and "." are for names such as `apache-auth`, `3proxy`; ".." must not leave the directory.
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !target.contains('/') && (target.starts_with('.') || !target.chars().all(is_name)) {
        return Err(malformed("is no name"));
    }
    let mut options = Vec::new();
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let (option, after) = rest.split_once('=').ok_or_else(|| malformed("has an option without ="))?;
        let after = after.trim_start();
        let (value, after) = match after.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            Some(quote) => after
                .get(1..)
                .and_then(|quoted| quoted.split_once(quote))
                .ok_or_else(|| malformed("has a value whose quotes do not close"))?,
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        options.push((option.trim().to_owned(), value.trim().to_owned()));
        rest = match after.trim_start() {
            "" => "",
            more => more.strip_prefix(',').ok_or_else(|| malformed("has text behind a value"))?.trim_start(),
        };
    }
    Ok(Reference { target: target.to_owned(), options })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(reference: &str) -> (String, Vec<(String, String)>) {
        let Reference { target, options } = parse(reference).unwrap();
        (target, options)
    }

    #[test]
    fn references_are_taken_apart() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(parsed("sshd"), ("sshd".into(), vec![]));
        assert_eq!(parsed("sshd[mode=aggressive]"), ("sshd".into(), vec![pair("mode", "aggressive")]));
        assert_eq!(
            parsed("/f/sshd.conf[mode=\"a, b\", logtype=journal]"),
            ("/f/sshd.conf".into(), vec![pair("mode", "a, b"), pair("logtype", "journal")])
        );
        for (reference, of_journal) in [
            ("/f/sshd.conf", "/f/sshd.conf[logtype=journal]"),
            ("/f/sshd.conf[]", "/f/sshd.conf[logtype=journal]"),
            ("/f/sshd.conf[mode=x]", "/f/sshd.conf[mode=x, logtype=journal]"),
            ("/f/sshd.conf[logtype=short]", "/f/sshd.conf[logtype=short]"),
            ("[", "["),
        ] {
            assert_eq!(for_journal(reference), of_journal);
        }
        for wrong in
            ["", "[mode=x]", "sshd[mode=x", "sshd[mode]", "sshd[mode=\"x]", "sshd[mode='x' y]", "..", "a b"]
        {
            assert!(matches!(parse(wrong), Err(FilterError::Reference { .. })), "{wrong}");
        }
    }

    #[test]
    fn the_administrators_files_come_before_the_catalogue() {
        let directory = tempfile::tempdir().unwrap();
        let dirs = [directory.path().to_owned()];
        assert!(resolve("sshd", &dirs).unwrap().built_in);
        let toml = directory.path().join("sshd.toml");
        fs::write(&toml, "description = 'mine'").unwrap();
        assert_eq!(resolve("sshd[mode=ddos]", &dirs).unwrap().origin, toml.display().to_string());
        fs::write(directory.path().join("sshd.conf"), "").unwrap();
        assert!(matches!(resolve("sshd", &dirs), Err(FilterError::Ambiguous { .. })));
        fs::remove_file(&toml).unwrap();
        let options = vec![("mode".to_owned(), "x".to_owned()), ("any".to_owned(), "y".to_owned())];
        let text = Text::Dialect { path: directory.path().join("sshd.conf"), options };
        assert_eq!(resolve("sshd[mode=x, any=y]", &dirs).unwrap().text, text);
        fs::remove_file(directory.path().join("sshd.conf")).unwrap();
        fs::write(directory.path().join("sshd.local"), "").unwrap();
        assert!(matches!(resolve("sshd", &dirs), Err(FilterError::LonelyLocal { .. })));
    }

    #[test]
    fn wrong_names_and_options_get_the_nearest() {
        let error = resolve("shd", &[]).unwrap_err().to_string();
        assert!(error.contains("did you mean sshd?"), "{error}");
        let error = resolve("sshd[mod=x]", &[]).unwrap_err().to_string();
        assert!(error.contains("did you mean mode?"), "{error}");
        assert!(matches!(resolve("/does/not/exist.toml", &[]), Err(FilterError::Read { .. })));
        assert!(matches!(resolve("exists.not.toml", &[]), Err(FilterError::Read { .. })));
    }
}
