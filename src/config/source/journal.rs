//! A source that is a journal, not the machine's own: which.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::value::{Text, deserialize_text, short};

/// A namespace of the journal (`LogNamespace=`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace(pub Arc<str>);

impl Text for Namespace {
    const EXPECTED: &'static str = "the name of a journal namespace";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        // journalctl takes `*` and `+` for several namespaces at once.
        if typed.is_empty() || typed.len() > 200 || typed.starts_with('-') || !typed.bytes().all(allowed) {
            let what = format!("`{}` cannot be the name of a journal namespace", short(typed));
            return Err((what, "write what LogNamespace= of the service says".to_owned()));
        }
        Ok(Self(typed.into()))
    }
}

/// A directory that holds journals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalDirectory(pub PathBuf);

impl Text for JournalDirectory {
    const EXPECTED: &'static str = "the path of a directory of journals";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        if typed.starts_with('/') && !typed.contains(char::is_control) {
            return Ok(Self(PathBuf::from(typed)));
        }
        let what = format!("`{}` is not the absolute path of a directory", short(typed));
        Err((what, "write the whole path, such as \"/var/log/journal/remote\"".to_owned()))
    }
}

deserialize_text!(Namespace, JournalDirectory);
