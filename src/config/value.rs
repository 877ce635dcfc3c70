//! The values of kban.toml, each checked while it is read.
//!
//! What is wrong with one value alone is found here, so that the error points at that value (at one element of
//! a list, too) and is found in every file: also in a disabled jail, and also where a later file overrides it.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::source::file;

/// A value and where it was typed: bytes in [`super::merge::Layers`], which knows the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Range<usize>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = toml::Spanned::<T>::deserialize(deserializer)?;
        let span = spanned.span();
        Ok(At { value: spanned.into_inner(), span })
    }
}

/// A table, and nothing else: serde's derived structs would also take a list of their values in order, so that
/// `[[jail.x]]` or `firewall = [5]` meant something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table<T>(pub T);

impl<T> std::ops::Deref for Table<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnlyMap<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyMap<T> {
            type Value = Table<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of keys (in single brackets)")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Table<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Table)
            }
        }
        deserializer.deserialize_any(OnlyMap(PhantomData))
    }
}

/// Serde carries one string; the second line of ours is the help. [`super::recover`] takes them apart again.
pub(super) fn refusal<E: de::Error>(what: &str, help: &str) -> E {
    E::custom(format_args!("{what}\n{help}"))
}

/// A value that is written as a string and has rules of its own.
pub(super) trait Text: Sized {
    /// What serde says was expected, for a value of another type.
    const EXPECTED: &'static str;
    /// Reads it, or says what is wrong and what to write instead.
    fn read(typed: &str) -> Result<Self, (String, String)>;
}

/// Errors are raised inside the visitor: only there does the deserializer know the span of a list's element.
pub(super) struct TextVisitor<T>(pub(super) PhantomData<T>);

impl<T: Text> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, typed: &str) -> Result<T, E> {
        T::read(typed).map_err(|(what, help)| refusal(&what, &help))
    }
}

/// Reads each of these types as [`Text`].
macro_rules! deserialize_text {
    ($($name:ty),+) => {$(
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any($crate::config::value::TextVisitor(std::marker::PhantomData))
            }
        }
    )+};
}
pub(super) use deserialize_text;

/// Has the command line take what the configuration takes.
macro_rules! parse_text {
    ($($name:ty),+) => {$(
        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(typed: &str) -> Result<Self, String> {
                Self::read(typed).map_err(|(what, help)| format!("{what}: {help}"))
            }
        }
    )+};
}
pub(super) use parse_text;

deserialize_text!(JailName, FeedName, SourceName, LogPath, GroupName, FilterName);

/// NAME in `[feed.NAME]`: 1 to 64 of `A-Z a-z 0-9 . _ -`. Its bans belong to the jail `feed.NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedName(pub Arc<str>);

impl Text for FeedName {
    const EXPECTED: &'static str = "the name of a feed";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        if is_name(typed) {
            return Ok(Self(typed.into()));
        }
        Err((format!("`{}` cannot be the name of a feed", short(typed)), NAMES.to_owned()))
    }
}

/// NAME in `[source.NAME]`: 1 to 64 of `A-Z a-z 0-9 . _ -`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceName(pub Arc<str>);

impl Text for SourceName {
    const EXPECTED: &'static str = "the name of a source";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        if is_name(typed) {
            return Ok(Self(typed.into()));
        }
        Err((format!("`{}` cannot be the name of a source", short(typed)), NAMES.to_owned()))
    }
}

/// One source or a list of them; never none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceNames(pub Vec<SourceName>);

impl<'de> Deserialize<'de> for SourceNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMore::of(SourceName::EXPECTED)).map(SourceNames)
    }
}

/// What names of jails, sources and feeds are made of.
const NAMES: &str = "use 1 to 64 letters, digits, `.`, `_` or `-`";

fn is_name(typed: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&typed.len()) && typed.bytes().all(allowed)
}

/// The start of something that was typed, short enough for a sentence.
pub(super) fn short(typed: &str) -> String {
    let start: String = typed.chars().take(60).collect();
    if start.len() < typed.len() { start + "..." } else { start }
}

/// NAME in `[jail.NAME]`: 1 to 64 of `A-Z a-z 0-9 . _ -`, and none that kban uses itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct JailName(pub Arc<str>);

impl Text for JailName {
    const EXPECTED: &'static str = "the name of a jail";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        if !is_name(typed) {
            return Err((format!("`{}` cannot be the name of a jail", short(typed)), NAMES.to_owned()));
        }
        let why = match typed {
            "manual" => "bans by hand belong to it",
            "adopted" => "bans found in the kernel belong to it",
            _ if typed.starts_with("feed.") => "names with `feed.` belong to feeds",
            _ => return Ok(JailName(typed.into())),
        };
        Err((
            format!("`{typed}` is reserved and cannot be the name of a jail"),
            format!("choose another name: {why}"),
        ))
    }
}

/// So that a map of jails is asked with a name from elsewhere.
impl std::borrow::Borrow<str> for JailName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

parse_text!(JailName);

/// One log file; with wildcards, several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPath(pub PathBuf);

impl Text for LogPath {
    const EXPECTED: &'static str = "the path of a log file, or a list of paths";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        let (what, help) = if !typed.starts_with('/') {
            ("is not an absolute path", "write the whole path, such as \"/var/log/auth.log\"")
        } else if typed.ends_with('/') {
            ("is a directory", "name the log file in it")
        } else if typed.contains(|c: char| c.is_control()) {
            ("has a control character", "write the path without it")
        } else if let Some(flaw) = file::flaw(typed) {
            flaw
        } else {
            return Ok(LogPath(PathBuf::from(typed)));
        };
        Err((format!("`{}` {what}", short(typed)), help.to_owned()))
    }
}

/// The reference of a filter: a name, or a path; each possibly with `[options]`. The library resolves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterName(pub String);

impl Text for FilterName {
    const EXPECTED: &'static str = "the name of a filter";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        if typed.trim().is_empty() || typed.contains(|c: char| c.is_control()) {
            return Err((
                "the name of the filter is empty or has control characters".to_owned(),
                "name a filter, such as \"sshd\"; left out, it is the jail's own name".to_owned(),
            ));
        }
        Ok(FilterName(typed.to_owned()))
    }
}

/// A system group, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupName(pub String);

impl Text for GroupName {
    const EXPECTED: &'static str = "the name of a group";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let starts = typed.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !starts || typed.len() > 32 || !typed.bytes().all(allowed) {
            return Err((
                format!("`{}` cannot be the name of a group", short(typed)),
                "name a group of this machine, such as \"kban\"".to_owned(),
            ));
        }
        Ok(GroupName(typed.to_owned()))
    }
}

/// One path, or a list of them; never none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPaths(pub Vec<LogPath>);

impl<'de> Deserialize<'de> for LogPaths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = LogPath::EXPECTED.to_owned();
        let empty =
            ("the list of log files is empty", "name a file, or leave logpath out for the filter's own");
        deserializer.deserialize_any(OneOrMore { expected, empty, of: PhantomData }).map(LogPaths)
    }
}

/// One value or a list of them; never none.
pub(super) struct OneOrMore<T> {
    expected: String,
    /// What is wrong with a list of nothing, and what to do.
    empty: (&'static str, &'static str),
    of: PhantomData<T>,
}

impl<T> OneOrMore<T> {
    /// One or more values, of which `one` says what is expected.
    pub(super) fn of(one: &'static str) -> Self {
        let empty = ("the list is empty", "name one at least, or leave the key out");
        Self { expected: format!("{one}, or a list"), empty, of: PhantomData }
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMore<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.expected)
    }

    fn visit_i64<E: de::Error>(self, typed: i64) -> Result<Vec<T>, E> {
        T::deserialize(de::value::I64Deserializer::new(typed)).map(|one| vec![one])
    }

    fn visit_str<E: de::Error>(self, typed: &str) -> Result<Vec<T>, E> {
        T::deserialize(de::value::StrDeserializer::new(typed)).map(|one| vec![one])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = list.next_element()? {
            all.push(one);
        }
        if all.is_empty() {
            return Err(refusal(self.empty.0, self.empty.1));
        }
        Ok(all)
    }
}

/// A whole number from MIN to MAX.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count<const MIN: u32, const MAX: u32>(pub u32);

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number<const MIN: u32, const MAX: u32>;
        impl<const MIN: u32, const MAX: u32> Visitor<'_> for Number<MIN, MAX> {
            type Value = Count<MIN, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from {MIN} to {MAX}")
            }

            fn visit_i64<E: de::Error>(self, typed: i64) -> Result<Self::Value, E> {
                let number = u32::try_from(typed).ok().filter(|number| (MIN..=MAX).contains(number));
                number.map(Count).ok_or_else(|| {
                    let what = if typed < i64::from(MIN) { "too small" } else { "too large" };
                    refusal(&format!("{typed} is {what}"), &format!("write a number from {MIN} to {MAX}"))
                })
            }

            fn visit_str<E: de::Error>(self, typed: &str) -> Result<Self::Value, E> {
                match typed.parse::<u32>() {
                    Ok(number) => Err(refusal("the number is in quotes", &format!("write {number}"))),
                    Err(_) => Err(E::invalid_type(de::Unexpected::Str(typed), &self)),
                }
            }
        }
        deserializer.deserialize_any(Number)
    }
}

/// How many leading bits of an IPv6 address count as one offender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv6Prefix(pub u8);

impl<'de> Deserialize<'de> for Ipv6Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bits;
        impl Visitor<'_> for Bits {
            type Value = Ipv6Prefix;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("128, 64, 56 or 48")
            }

            fn visit_i64<E: de::Error>(self, typed: i64) -> Result<Ipv6Prefix, E> {
                match typed {
                    128 => Ok(Ipv6Prefix(128)),
                    64 => Ok(Ipv6Prefix(64)),
                    56 => Ok(Ipv6Prefix(56)),
                    48 => Ok(Ipv6Prefix(48)),
                    _ => Err(refusal(
                        &format!("{typed} is not a prefix length that can be banned"),
                        "write 128 (single addresses), 64, 56 or 48",
                    )),
                }
            }
        }
        deserializer.deserialize_any(Bits)
    }
}
