//! Paths with wildcards: which files they mean at the moment, and which directories decide that.
//!
//! `*`, `?` and `[...]` stand for parts of one name, as in a shell: never for a `/`, nor for a dot at the start of a name.
//! Left out of what matches are older generations of a log (they are read with the log itself), compressed files,
//! whatever is no regular file, and all names but one of a file that has several.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use super::siblings;
use super::watch::{self, Names, Place};

/// How many directories a pattern leads into at most: a local user may make any number of them.
const MOST_DIRECTORIES: usize = 4096;

/// What compressed files end in.
const COMPRESSED: [&str; 8] = ["gz", "xz", "bz2", "zst", "lz4", "lzma", "Z", "zip"];

/// A path of which some names have wildcards.
#[derive(Debug, Clone)]
pub(in crate::source) struct Pattern {
    path: PathBuf,
    /// The directory above the first wildcard.
    root: PathBuf,
    /// The names from the first wildcard on.
    parts: Vec<Names>,
}

/// What a pattern means at the moment.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The files, in the order of their names.
    pub(super) files: BTreeSet<PathBuf>,
    /// The directories whose changes may change that.
    pub(super) places: Vec<Place>,
    /// A directory that could not be listed, or that there are too many of them.
    pub(super) trouble: Option<String>,
}

/// Whether a path has wildcards.
pub fn has_wildcards(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[".contains(byte))
}

/// What is wrong with a path as a pattern, and what to write instead; `None`: nothing.
pub fn flaw(path: &str) -> Option<(&'static str, &'static str)> {
    if path.contains("**") {
        return Some(("has `**`, which logpath does not take", "write `*/` for each directory on the way"));
    }
    let bad =
        Path::new(path).iter().any(|name| name.to_str().is_some_and(|it| glob::Pattern::new(it).is_err()));
    bad.then_some(("has a `[` without its `]`", "close it, or write `[[]` for a `[` that is meant"))
}

/// The log files that a path with wildcards means now.
#[must_use]
pub fn matching(path: &Path) -> Vec<PathBuf> {
    let found = Pattern::read(path).map(|pattern| pattern.find(|_| false));
    found.unwrap_or_default().files.into_iter().collect()
}

/// Whether there is a log to read: the file itself or, where a path has wildcards, one that it means.
#[must_use]
pub fn is_there(path: &Path) -> bool {
    if has_wildcards(path) { !matching(path).is_empty() } else { path.exists() }
}

impl Pattern {
    /// Reads a path; None if it has no wildcards, or a [`flaw`].
    pub(in crate::source) fn read(path: &Path) -> Option<Self> {
        let text = path.to_str().filter(|text| flaw(text).is_none())?;
        let (mut root, mut parts) = (PathBuf::new(), Vec::new());
        for component in Path::new(text).components() {
            let name = component.as_os_str();
            match glob::Pattern::new(name.to_str()?) {
                Ok(like) if has_wildcards(Path::new(name)) => parts.push(Names::Like(like)),
                _ if parts.is_empty() => root.push(component),
                _ if component == Component::CurDir => {}
                _ => parts.push(Names::One(name.to_owned())),
            }
        }
        (!parts.is_empty()).then(|| Self { path: path.to_owned(), root, parts })
    }

    /// The pattern as it was typed.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks for its files. One that was a log before stays one, and has its generations with it.
    pub(super) fn find(&self, was_log: impl Fn(&Path) -> bool) -> Found {
        let mut found = Found::default();
        let mut directories = vec![self.root.clone()];
        let last = self.parts.len() - 1;
        // Real path to the names that lead there, those without a symlink first.
        let mut names: BTreeMap<PathBuf, BTreeSet<(bool, PathBuf)>> = BTreeMap::new();
        for (depth, part) in self.parts.iter().enumerate() {
            let mut below = Vec::new();
            for directory in &directories {
                if depth == 0 {
                    found.places.extend(watch::places(&directory.join("*")));
                    found.places.retain(|place| place.directory != *directory);
                }
                if !directory.is_dir() {
                    continue;
                }
                found.places.push(Place { directory: directory.clone(), names: part.clone(), near: true });
                match part {
                    _ if depth == last => Self::logs(directory, part, &was_log, &mut names, &mut found),
                    Names::One(name) => below.push(directory.join(name)),
                    _ => {
                        let matching = list(directory, &mut found).filter(|it| part.has(&it.file_name()));
                        below.extend(matching.map(|entry| entry.path()).filter(|it| it.is_dir()));
                    }
                }
            }
            if below.len() > MOST_DIRECTORIES {
                below.sort();
                below.truncate(MOST_DIRECTORIES);
                found.trouble = Some(format!(
                    "{:?} leads into more than {MOST_DIRECTORIES} directories, and the rest is not read: name fewer",
                    self.path
                ));
            }
            directories = below;
        }
        found.files.extend(names.into_values().filter_map(|mut names| Some(names.pop_first()?.1)));
        found
    }

    fn logs(
        directory: &Path,
        part: &Names,
        was_log: &impl Fn(&Path) -> bool,
        names: &mut BTreeMap<PathBuf, BTreeSet<(bool, PathBuf)>>,
        found: &mut Found,
    ) {
        if let Names::One(name) = part {
            let path = directory.join(name);
            if is_log(&path) {
                let real = real(&path);
                let led = real != path;
                names.entry(real).or_default().insert((led, path));
            }
            return;
        }
        let entries: Vec<DirEntry> = list(directory, found).collect();
        let there: BTreeSet<OsString> = entries.iter().map(DirEntry::file_name).collect();
        let is_base = |name: &OsStr| there.contains(name) || was_log(&directory.join(name));
        let home = real(directory);
        for entry in entries {
            let (name, path) = (entry.file_name(), entry.path());
            if !part.has(&name) || is_compressed(&name) || siblings::is_generation(&name, is_base) {
                continue;
            }
            let link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            let plain = entry.file_type().is_ok_and(|kind| kind.is_file());
            if plain || (link && is_log(&path)) {
                let real = if link { real(&path) } else { home.join(&name) };
                names.entry(real).or_default().insert((link || home != directory, path));
            }
        }
    }
}

fn list(directory: &Path, found: &mut Found) -> impl Iterator<Item = DirEntry> + use<> {
    siblings::entries(directory)
        .map_err(|error| {
            if error.kind() != ErrorKind::NotFound {
                found.trouble = Some(format!(
                    "{directory:?} cannot be listed ({error}): let kband run as root, or allow it to read the directory"
                ));
            }
        })
        .into_iter()
        .flatten()
}

/// A regular file; or a symlink that leads nowhere yet, or nowhere ever: whoever opens it will say so.
fn is_log(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(metadata) => metadata.is_file(),
        Err(_) => path.is_symlink(),
    }
}

fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn is_compressed(name: &OsStr) -> bool {
    let extension = Path::new(name).extension().and_then(OsStr::to_str);
    extension.is_some_and(|extension| COMPRESSED.contains(&extension))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn found(root: &Path, pattern: &str) -> Vec<String> {
        let pattern = Pattern::read(&root.join(pattern)).unwrap();
        let files = pattern.find(|_| false).files;
        files.iter().map(|path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()).collect()
    }

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        dir
    }

    #[test]
    fn wildcards_stand_for_parts_of_one_name() {
        let dir = tree(&[
            "a/access.log",
            "b/access.log",
            "b/c/access.log",
            "b/.hidden.log",
            ".d/access.log",
            "x.log",
        ]);
        for (pattern, files) in [
            ("*/access.log", vec!["a/access.log", "b/access.log"]),
            ("*/*/access.log", vec!["b/c/access.log"]),
            ("[ax]/*.log", vec!["a/access.log"]),
            ("?.log", vec!["x.log"]),
            ("*/.*.log", vec!["b/.hidden.log"]),
            (".?/*", vec![".d/access.log"]),
            ("*", vec!["x.log"]),
            ("none/*/x", vec![]),
        ] {
            assert_eq!(found(dir.path(), pattern), files, "{pattern}");
        }
    }

    #[test]
    fn generations_compressed_files_and_what_is_no_file_are_left_out() {
        let dir = tree(&[
            "auth.log",
            "auth.log.1",
            "auth.log-20261114",
            "auth-20261115.log",
            "auth.log.2.gz",
            "old.log.zst",
            "alone.log.1",
            "app-20261121.log",
            "app-20261122.log",
        ]);
        nix::unistd::mkfifo(&dir.path().join("fifo.log"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(
            found(dir.path(), "*"),
            ["alone.log.1", "app-20261121.log", "app-20261122.log", "auth.log"],
            "what has no log beside it is one"
        );
        let pattern = Pattern::read(&dir.path().join("*")).unwrap();
        let alone = dir.path().join("alone.log");
        assert_eq!(pattern.find(|path| path == alone).files.len(), 3, "it had one");
    }

    #[test]
    fn one_file_under_several_names_is_read_under_one() {
        let dir = tree(&["real/x.log", "y.log"]);
        symlink("real", dir.path().join("link")).unwrap();
        symlink("y.log", dir.path().join("a.log")).unwrap();
        symlink("/nonexistent/z.log", dir.path().join("z.log")).unwrap();
        symlink("loop.log", dir.path().join("loop.log")).unwrap();
        assert_eq!(found(dir.path(), "*/x.log"), ["real/x.log"]);
        assert_eq!(found(dir.path(), "*.log"), ["loop.log", "y.log", "z.log"]);
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        for (path, part) in [("/a/**/b", "`**`"), ("/a/[b", "without its")] {
            assert!(flaw(path).unwrap().0.contains(part));
            assert!(Pattern::read(Path::new(path)).is_none());
        }
        assert!(flaw("/var/log/*/[[]x].log").is_none() && Pattern::read(Path::new("/var/log/x")).is_none());
    }

    #[test]
    fn the_directories_on_the_way_are_watched() {
        let dir = tree(&["a/b/x.log"]);
        let near = |pattern: &str| -> Vec<PathBuf> {
            let places = Pattern::read(&dir.path().join(pattern)).unwrap().find(|_| false).places;
            let near = places.iter().filter(|place| place.near);
            near.map(|place| place.directory.strip_prefix(dir.path()).unwrap().to_owned()).collect()
        };
        assert_eq!(near("*/b/*.log"), ["", "a", "a/b"].map(PathBuf::from));
        assert_eq!(near("a/none/*.log"), ["a"].map(PathBuf::from));
    }
}
