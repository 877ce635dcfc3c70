//! Getting the text of a list, from wherever it comes, within limits of time and size.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::command::{self, Running};
use super::http;
use super::list::LONGEST_LIST;
use crate::config::plan::FeedSource;

/// What was got.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fetched {
    /// What the server had before.
    Unchanged,
    /// A text, and how to ask whether it has changed.
    Text(Vec<u8>, Tag),
}

/// How a server names a version of a list (RFC 9110, 8.8); empty if it does not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tag {
    /// `ETag`.
    pub(super) etag: Option<String>,
    /// `Last-Modified`.
    pub(super) modified: Option<String>,
}

/// Why there is no text. Each sentence ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{path} cannot be read: {error}: put the list there, or name another file", path = .path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("{path} is no regular file: name the list itself", path = .path.display())]
    NoFile { path: PathBuf },
    #[error("there are more than {} MiB: name a plain list, or a shorter one", LONGEST_LIST >> 20)]
    TooLong,
    #[error("{program} cannot be started: {error}: name an executable program that is there")]
    Start { program: String, error: io::Error },
    #[error(
        "{program} failed ({how}){said}: run it by hand to see why; it has to end with 0 when its list is whole"
    )]
    Failed { program: String, how: String, said: String },
    #[error("{program} has not ended within {limit:?} and was killed: let it give up earlier")]
    Hung { program: String, limit: Duration },
    #[error("reading what {program} writes failed: {error}: it is tried again")]
    Pipe { program: String, error: io::Error },
    #[error("{url}: the server answered {status}: {remedy}")]
    Status { url: String, status: String, remedy: &'static str },
    #[error("{url}: {what}: {remedy}")]
    Http { url: String, what: String, remedy: &'static str },
}

/// Gets the text; `known` is the version that is at hand already.
pub(super) fn fetch(source: &FeedSource, known: &Tag, running: &Running) -> Result<Fetched, FetchError> {
    match source {
        FeedSource::File(path) => file(path).map(|text| Fetched::Text(text, Tag::default())),
        FeedSource::Command(words) => {
            command::output(words, running).map(|text| Fetched::Text(text, Tag::default()))
        }
        FeedSource::Url(url) => http::get(url, known),
    }
}

/// The text of a list that lies in a regular file.
pub fn file(path: &Path) -> Result<Vec<u8>, FetchError> {
    let unreadable = |error| FetchError::File { path: path.to_owned(), error };
    // Opening a pipe would wait for its writer.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(FetchError::NoFile { path: path.to_owned() });
    }
    bounded(File::open(path).map_err(unreadable)?).map_err(unreadable)?.ok_or(FetchError::TooLong)
}

/// All that there is; `None` if it is too long.
pub(super) fn bounded(reader: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut text = Vec::new();
    let most = u64::try_from(LONGEST_LIST).unwrap_or(u64::MAX);
    reader.take(most.saturating_add(1)).read_to_end(&mut text)?;
    Ok((text.len() <= LONGEST_LIST).then_some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> Result<Fetched, FetchError> {
        fetch(&FeedSource::File(path.to_owned()), &Tag::default(), &Running::default())
    }

    #[test]
    fn a_file_is_read_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        assert!(read(&path).unwrap_err().to_string().contains("put the list there"));
        assert!(read(dir.path()).unwrap_err().to_string().contains("no regular file"));
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(read(&pipe).unwrap_err().to_string().contains("no regular file"));
        fs::write(&path, "192.0.2.1\n").unwrap();
        assert_eq!(read(&path).unwrap(), Fetched::Text(b"192.0.2.1\n".to_vec(), Tag::default()));
        File::options().write(true).open(&path).unwrap().set_len(40 << 20).unwrap();
        assert!(matches!(read(&path), Err(FetchError::TooLong)));
    }
}
