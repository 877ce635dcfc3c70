//! Structured log lines as fields: JSON objects and logfmt (`key=value key="quoted value"`).
//!
//! A field is named by its path, `request.remote_ip` for `{"request":{"remote_ip":...}}` and `headers.0` for the
//! first of a list; its value is kept as text. A field that occurs twice has no value at all: a service that
//! does not escape what clients send would let them add a second `remote_ip`, and nobody could say which is true.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// How a structured line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object.
    Json,
    /// `key=value` pairs between blanks; a value with blanks stands in double quotes, with backslash escapes.
    Logfmt,
}

/// The fields of one line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(BTreeMap<String, Option<String>>);

impl Fields {
    /// Reads a line; none if it is not written in this format.
    pub(super) fn parse(format: Format, text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        match format {
            Format::Json => json(&text),
            Format::Logfmt => logfmt(&text),
        }
    }

    /// The value of a field that occurs once.
    pub(super) fn get(&self, path: &str) -> Option<&str> {
        self.0.get(path)?.as_deref()
    }

    fn add(&mut self, path: &str, value: String) {
        self.0.entry(path.to_owned()).and_modify(|known| *known = None).or_insert(Some(value));
    }
}

fn json(text: &str) -> Option<Fields> {
    // The mark that CEE-aware syslog daemons put before JSON.
    let text = text.strip_prefix("@cee:").unwrap_or(text).trim_start();
    if !text.starts_with('{') {
        return None;
    }
    let mut fields = Fields::default();
    let mut reader = serde_json::Deserializer::from_str(text);
    Flatten { fields: &mut fields, path: &mut String::new() }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(fields)
}

/// Puts every leaf of a JSON value into `fields`, under its path.
struct Flatten<'a> {
    fields: &'a mut Fields,
    path: &'a mut String,
}

impl Flatten<'_> {
    fn leaf<E: Error>(self, value: String) -> Result<(), E> {
        self.fields.add(self.path, value);
        Ok(())
    }

    /// Runs `inner` with `name` added to the path.
    fn below<T>(&mut self, name: &str, inner: impl FnOnce(Flatten<'_>) -> T) -> T {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        let done = inner(Flatten { fields: self.fields, path: self.path });
        self.path.truncate(length);
        done
    }
}

impl<'de> DeserializeSeed<'de> for Flatten<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Flatten<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.leaf(value.to_string())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.leaf(value.to_string())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.leaf(value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.leaf(value.to_string())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.leaf(value.to_owned())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        for index in 0_usize.. {
            if self.below(&index.to_string(), |inner| items.next_element_seed(inner))?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        while let Some(name) = entries.next_key::<String>()? {
            self.below(&name, |inner| entries.next_value_seed(inner))?;
        }
        Ok(())
    }
}

/// A bare word without `=` is skipped; a quote that does not close ends the line's fields.
fn logfmt(text: &str) -> Option<Fields> {
    let mut fields = Fields::default();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (key, after) = rest.split_at_checked(end)?;
        rest = match after.strip_prefix('=') {
            None => after.trim_start(),
            Some(after) => {
                let (value, after) = match after.strip_prefix('"') {
                    Some(quoted) => unquote(quoted)?,
                    None => {
                        let end = after.find(char::is_whitespace).unwrap_or(after.len());
                        let (value, after) = after.split_at_checked(end)?;
                        (value.to_owned(), after)
                    }
                };
                if !key.is_empty() {
                    fields.add(key, value);
                }
                after.trim_start()
            }
        };
    }
    (!fields.0.is_empty()).then_some(fields)
}

/// The text up to the closing quote, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                other => value.push(other),
            },
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(format: Format, text: &str) -> Fields {
        Fields::parse(format, text.as_bytes()).unwrap()
    }

    #[test]
    fn json_is_flattened() {
        let fields =
            of(Format::Json, r#"{"a":{"b":1,"c":[true,"x"]},"ts":1795243825.25,"n":null,"s":"\u0041\""} "#);
        for (path, value) in [
            ("a.b", Some("1")),
            ("a.c.0", Some("true")),
            ("a.c.1", Some("x")),
            ("ts", Some("1795243825.25")),
            ("n", None),
            ("s", Some("A\"")),
            ("a", None),
        ] {
            assert_eq!(fields.get(path), value, "{path}");
        }
        for wrong in ["", "[1]", "{\"a\":1", "{\"a\":1} x", "x {\"a\":1}"] {
            assert_eq!(Fields::parse(Format::Json, wrong.as_bytes()), None, "{wrong}");
        }
        let deep = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
        assert_eq!(Fields::parse(Format::Json, deep.as_bytes()), None, "nesting is bounded");
    }

    #[test]
    fn a_field_that_occurs_twice_has_no_value() {
        assert_eq!(of(Format::Json, r#"{"ip":"1","ip":"2","x":"3"}"#).get("ip"), None);
        assert_eq!(of(Format::Json, r#"{"a.b":"1","a":{"b":"2"}}"#).get("a.b"), None);
        assert_eq!(of(Format::Logfmt, "ip=1 x=3 ip=2").get("ip"), None);
        assert_eq!(of(Format::Logfmt, "ip=1 x=3 ip=2").get("x"), Some("3"));
    }

    #[test]
    fn logfmt_with_quotes() {
        let fields = of(
            Format::Logfmt,
            r#"t=5 lvl=eror msg="a \"b\" remote_addr=1.2.3.4" uname= flag remote_addr=5.6.7.8"#,
        );
        assert_eq!(fields.get("msg"), Some(r#"a "b" remote_addr=1.2.3.4"#));
        assert_eq!(fields.get("uname"), Some(""));
        assert_eq!(fields.get("flag"), None);
        assert_eq!(fields.get("remote_addr"), Some("5.6.7.8"));
        assert_eq!(Fields::parse(Format::Logfmt, b"no pairs here"), None);
        assert_eq!(Fields::parse(Format::Logfmt, b"a=\"open b=2"), None);
    }
}
