//! Files of configuration, changed whole or not at all, and taken back.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::config::plan::Plan;
use crate::config::{self, Layout, SourceFile};

/// A file that is to become another.
pub(in crate::cli) struct Change {
    /// Its text now; `None`: there is no such file.
    pub(in crate::cli) before: Option<String>,
    /// As it is to be.
    pub(in crate::cli) after: Arc<SourceFile>,
}

/// What was changed.
#[derive(Default)]
pub(in crate::cli) struct Placed {
    files: Vec<Change>,
    /// Directories, each before those in it.
    made: Vec<PathBuf>,
}

/// The text of a file of configuration; `None`: there is none.
pub(in crate::cli) fn text(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(not_done("read", path, &error)),
    }
}

/// What the configuration would be with these files, if it has no errors then.
pub(in crate::cli) fn tried(layout: &Layout, changes: &[Change]) -> Result<Plan, Failure> {
    let changed: Vec<_> = changes.iter().map(|change| Arc::clone(&change.after)).collect();
    config::load_changed(layout, &changed).map_err(|report| {
        let told = report.render(output::is_terminal(), output::width());
        let what =
            format!("nothing was changed, as the configuration would have errors:\n{}", told.trim_end());
        Failure::new(Exit::No, what)
    })
}

/// Changes all of them, or none.
pub(in crate::cli) fn put_in_place(directory: &Path, changes: Vec<Change>) -> Result<Placed, Failure> {
    let mut placed = Placed::default();
    let done = placed.make(directory).and_then(|()| placed.change(changes));
    match done {
        Ok(()) => Ok(placed),
        Err(failure) => {
            placed.take_back();
            Err(failure)
        }
    }
}

impl Placed {
    /// kband is another user, and has to get in whatever the umask is.
    fn make(&mut self, directory: &Path) -> Result<(), Failure> {
        let missing: Vec<&Path> = directory.ancestors().take_while(|above| !above.exists()).collect();
        for directory in missing.into_iter().rev() {
            fs::create_dir(directory).map_err(|error| not_done("make", directory, &error))?;
            self.made.push(directory.to_owned());
            fs::set_permissions(directory, Permissions::from_mode(0o755))
                .map_err(|error| not_done("make", directory, &error))?;
        }
        Ok(())
    }

    fn change(&mut self, changes: Vec<Change>) -> Result<(), Failure> {
        for change in changes {
            let path = &change.after.path;
            if text(path)? != change.before {
                let what =
                    format!("{} has been changed just now: nothing was changed, try again", path.display());
                return Err(Failure::new(Exit::No, what));
            }
            replace(path, &change.after.text).map_err(|error| not_done("write", path, &error))?;
            self.files.push(change);
        }
        Ok(())
    }

    /// As it was. What cannot be put back is told with the error that led here; there is nothing more to do.
    pub(in crate::cli) fn take_back(&self) {
        for Change { before, after } in &self.files {
            let _ = match before {
                Some(text) => replace(&after.path, text),
                None => fs::remove_file(&after.path),
            };
        }
        for directory in self.made.iter().rev() {
            let _ = fs::remove_dir(directory);
        }
    }
}

/// Whoever could read the file still can, and nobody else; a new one is for all, as files of configuration are.
/// kband reads no file whose name begins with a dot.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
    let written = made.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        match fs::metadata(path) {
            Ok(old) => {
                fchown(&file, Some(old.uid()), Some(old.gid()))?;
                file.set_permissions(old.permissions())?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                file.set_permissions(Permissions::from_mode(0o644))?;
            }
            Err(error) => return Err(error),
        }
        file.sync_all()
    });
    let placed = written.and_then(|()| fs::rename(&beside, path));
    if placed.is_err() {
        // It may not be there.
        let _ = fs::remove_file(&beside);
    }
    placed
}

fn not_done(what: &str, path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    match error.kind() {
        ErrorKind::PermissionDenied => {
            Failure::new(Exit::Permission, format!("cannot {what} {path} ({error}): run banctl as root"))
        }
        _ => Failure::new(Exit::No, format!("cannot {what} {path} ({error}): nothing was changed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(path: PathBuf, before: Option<&str>, text: &str) -> Change {
        let after = Arc::new(SourceFile { path, text: text.to_owned() });
        Change { before: before.map(str::to_owned), after }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn what_was_made_goes_again_and_what_was_there_stays_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("etc/kban.d");
        let placed = put_in_place(&directory, vec![change(directory.join("a"), None, "new")]).unwrap();
        assert_eq!((mode(&directory), mode(&directory.join("a"))), (0o755, 0o644));
        placed.take_back();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);

        let file = root.path().join("old");
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let placed = put_in_place(root.path(), vec![change(file.clone(), Some("old"), "new")]).unwrap();
        assert_eq!((fs::read_to_string(&file).unwrap().as_str(), mode(&file)), ("new", 0o640));
        placed.take_back();
        assert_eq!((fs::read_to_string(&file).unwrap().as_str(), mode(&file)), ("old", 0o640));
    }

    #[test]
    fn what_somebody_else_has_changed_meanwhile_is_not_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let (first, second) = (root.path().join("a"), root.path().join("b"));
        fs::write(&second, "by hand").unwrap();
        let changes = vec![change(first.clone(), None, "x"), change(second.clone(), None, "y")];
        let failure = put_in_place(root.path(), changes).err().unwrap();
        assert!(failure.message.contains("has been changed just now"), "{}", failure.message);
        assert!(!first.exists());
        assert_eq!(fs::read_to_string(&second).unwrap(), "by hand");
    }
}
