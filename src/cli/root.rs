//! The machine's files, read without changing anything and without believing them to be short.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// No file that is read as a whole is longer.
const LONGEST: u64 = 1 << 20;

/// Where the machine's files are: `/`, or a directory that a test has made.
#[derive(Debug, Clone)]
pub(super) struct Root(PathBuf);

impl Root {
    /// The files below `root`.
    pub(super) fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// The place of an absolute path.
    pub(super) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A file's text, at most its first MiB; what is not UTF-8 is replaced.
    pub(super) fn text(&self, path: impl AsRef<Path>) -> io::Result<String> {
        let mut bytes = Vec::new();
        File::open(self.at(path))?.take(LONGEST).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The names in a directory, in order; none if it cannot be read or is not there.
    pub(super) fn names(&self, directory: impl AsRef<Path>) -> Vec<String> {
        let entries = fs::read_dir(self.at(directory)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Whether something is at `path`, and be it a link to nothing.
    pub(super) fn has(&self, path: impl AsRef<Path>) -> bool {
        self.at(path).symlink_metadata().is_ok()
    }

    /// Where a link leads.
    pub(super) fn link(&self, path: impl AsRef<Path>) -> io::Result<PathBuf> {
        fs::read_link(self.at(path))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A machine of these files, each with its text; a text that begins with `-> ` makes a link.
    pub(in crate::cli) fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path());
        for (path, text) in files {
            let path = root.at(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match text.strip_prefix("-> ") {
                Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
                None => fs::write(path, text).unwrap(),
            }
        }
        (directory, root)
    }

    #[test]
    fn everything_is_below_the_root() {
        let (_directory, root) =
            machine(&[("/etc/b", "text"), ("/etc/a", "\u{e9}"), ("/etc/gone", "-> /nowhere")]);
        assert_eq!(root.text("/etc/b").unwrap(), "text");
        assert_eq!(root.names("/etc"), ["a", "b", "gone"]);
        assert_eq!(root.names("/none"), [""; 0]);
        assert!(root.has("/etc/gone") && !root.has("/etc/c"));
        assert_eq!(root.link("/etc/gone").unwrap(), Path::new("/nowhere"));
        assert!(root.text("/etc/passwd").is_err(), "the machine's own is not looked at");
    }
}
