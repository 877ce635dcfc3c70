//! Where the configuration lies, and reading it: which files count, in which order, and what keeps one from
//! being read. Nothing is understood here yet.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::report::{Problem, SourceFile};

/// No configuration is longer; a log file given by mistake is.
const LONGEST_FILE: u64 = 1024 * 1024;

/// The places of one configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// kban.toml.
    pub main: PathBuf,
    /// It has to exist.
    pub main_required: bool,
    /// The directory whose `*.toml` are read after it, in name order.
    pub drop_ins: Option<PathBuf>,
    /// Where the administrator's filters are looked for, in this order.
    pub filter_dirs: Vec<PathBuf>,
    /// The machine whose journal is looked for: `/`.
    pub root: PathBuf,
}

impl Default for Layout {
    /// /etc/kban, where everything may be missing.
    fn default() -> Self {
        Layout {
            main: PathBuf::from("/etc/kban/kban.toml"),
            main_required: false,
            drop_ins: Some(PathBuf::from("/etc/kban/kban.d")),
            filter_dirs: vec![PathBuf::from("/etc/kban/filter.d")],
            root: PathBuf::from("/"),
        }
    }
}

impl Layout {
    /// Just this file, which has to exist, and filter.d beside it: `--config FILE`.
    pub fn single(file: impl Into<PathBuf>) -> Self {
        let main = file.into();
        let filter_dirs = vec![main.with_file_name("filter.d")];
        Layout { main, main_required: true, drop_ins: None, filter_dirs, ..Self::default() }
    }

    /// What `--config PATH` names: a directory like /etc/kban, or just one file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        if !path.is_dir() {
            return Self::single(path);
        }
        Layout {
            main: path.join("kban.toml"),
            main_required: false,
            drop_ins: Some(path.join("kban.d")),
            filter_dirs: vec![path.join("filter.d")],
            ..Self::default()
        }
    }

    /// What it was named by: the same to [`Layout::at`], from every directory.
    pub fn named(&self) -> PathBuf {
        let named = match &self.drop_ins {
            Some(_) => self.main.parent().unwrap_or(&self.main),
            None => &self.main,
        };
        std::path::absolute(named).unwrap_or_else(|_| named.to_owned())
    }

    /// The files in the order in which they are laid over each other, and what could not be read. Those of `changed`
    /// are drop-ins that are to be there: they take the place of what is on the disk.
    pub(super) fn read(&self, changed: &[Arc<SourceFile>]) -> (Vec<Arc<SourceFile>>, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut files = Vec::new();
        let mut paths = vec![(self.main.clone(), self.main_required)];
        match self.drop_ins.as_deref().map_or(Ok(Vec::new()), drop_ins) {
            Ok(mut found) => {
                found.extend(changed.iter().map(|file| file.path.clone()));
                found.sort();
                found.dedup();
                paths.extend(found.into_iter().map(|path| (path, true)));
            }
            Err(problem) => problems.push(problem),
        }
        for (path, required) in paths {
            if let Some(file) = changed.iter().find(|file| file.path == path) {
                files.push(Arc::clone(file));
                continue;
            }
            match read_file(&path) {
                Ok((file, invalid)) => {
                    files.push(file);
                    problems.extend(invalid);
                }
                Err(Unreadable::Missing) if !required => {}
                Err(why) => problems.push(why.problem(&path)),
            }
        }
        (files, problems)
    }
}

/// Why a file has no text.
enum Unreadable {
    Missing,
    Dangling,
    NotAFile,
    TooLong,
    Failed(io::ErrorKind),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Unreadable::Missing,
            kind => Unreadable::Failed(kind),
        }
    }
}

impl Unreadable {
    fn problem(&self, path: &Path) -> Problem {
        let problem = match self {
            Unreadable::Missing => Problem::error("the configuration file does not exist")
                .help("create it, or name another one with --config"),
            Unreadable::Dangling => Problem::error("the configuration file is a link to nothing")
                .help("mend the link, or remove it"),
            Unreadable::NotAFile => Problem::error("the configuration is not a regular file")
                .help("name a file; drop-ins are read from the directory kban.d"),
            Unreadable::TooLong => Problem::error("the configuration file is longer than 1 MiB")
                .help("is it the right file? Split it into drop-ins if it is"),
            Unreadable::Failed(kind) => Problem::error(format!("the configuration cannot be read: {kind}"))
                .help("let the user that runs kban read it"),
        };
        in_file(problem, path)
    }
}

fn in_file(mut problem: Problem, path: &Path) -> Problem {
    problem.file = Some(Arc::new(SourceFile { path: path.to_owned(), text: String::new() }));
    problem
}

/// The `*.toml` of the directory by name; not hidden ones, and not what an editor or dpkg left behind.
fn drop_ins(dir: &Path) -> Result<Vec<PathBuf>, Problem> {
    let failed = |error: io::Error| Unreadable::Failed(error.kind()).problem(dir);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        if is_drop_in(&name) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names.into_iter().map(|name| dir.join(name)).collect())
}

fn is_drop_in(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let by_dpkg = name.windows(6).any(|part| part == b".dpkg-");
    name.ends_with(b".toml") && !name.starts_with(b".") && !by_dpkg
}

/// The text, and a problem if it is not all UTF-8 (what is, is still checked).
fn read_file(path: &Path) -> Result<(Arc<SourceFile>, Option<Problem>), Unreadable> {
    // Asked before opening: opening a FIFO would wait for a writer.
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(Unreadable::NotAFile),
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_symlink() => {
            return Err(Unreadable::Dangling);
        }
        Err(error) => return Err(error.into()),
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST_FILE {
        return Err(Unreadable::TooLong);
    }
    let invalid = std::str::from_utf8(&bytes).err().map(|error| error.valid_up_to());
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let file = Arc::new(SourceFile { path: path.to_owned(), text });
    let problem = invalid.map(|place| {
        Problem::error("the file is not UTF-8 from here on")
            .at(&file, place..place + char::REPLACEMENT_CHARACTER.len_utf8())
            .help("save it as UTF-8, or write the character as \\u00e9 does")
    });
    Ok((file, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finished_files_are_drop_ins() {
        for (name, counts) in [
            ("10-sshd.toml", true),
            ("a.b.toml", true),
            (".hidden.toml", false),
            (".#10-sshd.toml", false),
            ("10-sshd.toml~", false),
            ("10-sshd.toml.dpkg-old", false),
            ("10-sshd.dpkg-dist.toml", false),
            ("10-sshd.conf", false),
            ("README", false),
        ] {
            assert_eq!(is_drop_in(OsStr::new(name)), counts, "{name}");
        }
    }

    #[test]
    fn a_single_file_has_its_filters_beside_it() {
        let layout = Layout::single("conf/my.toml");
        assert_eq!(layout.filter_dirs, [PathBuf::from("conf/filter.d")]);
        assert!(layout.main_required && layout.drop_ins.is_none());
    }
}
