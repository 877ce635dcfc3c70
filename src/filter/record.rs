//! Rules over structured lines: `where.status = 401`, `host = "remote_ip"`.
//!
//! A rule matches when every condition holds and its host field is an address. Like a pattern it has literals
//! that a matching line must hold, so that other lines are never parsed: a literal is a run of characters that
//! neither format ever escapes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use regex_automata::meta::Regex;
use serde::Deserialize;

use super::error::{Fault, FaultKind};
use super::fields::{Fields, Format};
use super::pattern::{Pattern, compile_field};
use super::prefilter::{COMPARED, required_literals};
use super::tags::HostTag;

/// No shorter literal is looked for.
const SHORTEST: usize = 3;

/// One name or several, of which the first that the line has counts.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Names {
    /// One field.
    One(String),
    /// Several, the first that is there counts.
    Many(Vec<String>),
}

/// The conditions of one rule, or of several of which one must hold.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Where {
    /// `[where]`.
    One(BTreeMap<String, Condition>),
    /// `[[where]]`.
    Many(Vec<BTreeMap<String, Condition>>),
}

/// What must hold of one field.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Condition {
    /// The field is this text, number or truth value.
    Is(Scalar),
    /// The field is one of these.
    OneOf(Vec<Scalar>),
    /// A regular expression matches the field; with `<HOST>` in it, it says where the address is.
    Regex {
        /// The regular expression.
        regex: String,
    },
    /// Conditions on the fields below.
    Below(BTreeMap<String, Condition>),
}

/// A value that a field is compared with, as text.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// A number.
    Number(i64),
    /// A truth value.
    Truth(bool),
    /// A text.
    Text(String),
}

/// Where a rule finds what: the keys beside `where`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys<'a> {
    pub(super) format: Option<Format>,
    pub(super) host: Option<&'a Names>,
    pub(super) time: Option<&'a Names>,
    pub(super) user: Option<&'a Names>,
}

/// A compiled rule.
#[derive(Debug)]
pub(super) struct Rule {
    /// As it may be shown.
    pub(super) written: String,
    format: Format,
    host: Vec<String>,
    time: Vec<String>,
    user: Vec<String>,
    tests: Vec<Test>,
}

/// One condition.
#[derive(Debug)]
struct Test {
    path: String,
    asked: Asked,
    /// A line whose field passes holds one of them.
    literals: Vec<Vec<u8>>,
}

/// What of a field.
#[derive(Debug)]
enum Asked {
    OneOf(Vec<String>),
    Regex(Regex),
    Host(Pattern),
}

/// What a rule found.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) address: IpAddr,
    pub(super) date: Option<String>,
    pub(super) user: Option<String>,
}

impl Names {
    fn list(names: Option<&Self>) -> Vec<String> {
        match names {
            None => Vec::new(),
            Some(Self::One(name)) => vec![name.clone()],
            Some(Self::Many(names)) => names.clone(),
        }
    }
}

impl Where {
    /// The alternatives.
    pub(super) fn rules(&self) -> &[BTreeMap<String, Condition>] {
        match self {
            Self::One(rule) => std::slice::from_ref(rule),
            Self::Many(rules) => rules,
        }
    }
}

impl Scalar {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Truth(truth) => truth.to_string(),
        }
    }
}

impl Rule {
    /// Compiles one rule; a fault comes with the field and the text that are wrong.
    pub(super) fn compile(
        keys: Keys<'_>,
        conditions: &BTreeMap<String, Condition>,
    ) -> Result<Self, (String, String, Fault)> {
        let wrong = |kind| (String::new(), String::new(), Fault { offset: 0, kind });
        let mut rule = Self {
            written: String::new(),
            format: keys.format.ok_or_else(|| wrong(FaultKind::NoFormat))?,
            host: Names::list(keys.host),
            time: Names::list(keys.time),
            user: Names::list(keys.user),
            tests: Vec::new(),
        };
        rule.add("", conditions)?;
        if rule.tests.is_empty() {
            return Err(wrong(FaultKind::MatchesNothing));
        }
        let from_text = rule.tests.iter().any(|test| matches!(test.asked, Asked::Host(_)));
        if rule.host.is_empty() && !from_text {
            return Err(wrong(FaultKind::NoHost));
        }
        Ok(rule)
    }

    fn add(
        &mut self,
        below: &str,
        conditions: &BTreeMap<String, Condition>,
    ) -> Result<(), (String, String, Fault)> {
        for (name, condition) in conditions {
            let path = if below.is_empty() { name.clone() } else { format!("{below}.{name}") };
            let one_of = |values: Vec<String>| {
                let literals = values.iter().map(|value| longest_plain(value.as_bytes())).collect();
                (Asked::OneOf(values), literals)
            };
            let (shown, (asked, literals)) = match condition {
                Condition::Below(inner) => {
                    self.add(&path, inner)?;
                    continue;
                }
                Condition::Is(value) => (format!("= {}", value.text()), one_of(vec![value.text()])),
                Condition::OneOf(values) => {
                    let values: Vec<String> = values.iter().map(Scalar::text).collect();
                    (format!("in [{}]", values.join(", ")), one_of(values))
                }
                Condition::Regex { regex } => {
                    let asked = match regex.contains("<HOST>") || regex.contains("<ADDR>") {
                        true => Pattern::compile_with_host(regex)
                            .map(|(pattern, _)| (Asked::Host(pattern), Vec::new())),
                        false => compile_field(regex).map(|(hir, regex)| {
                            let literals = required_literals(&hir).unwrap_or_default();
                            let plain = literals.iter().map(|literal| longest_plain(literal));
                            (Asked::Regex(regex), plain.collect())
                        }),
                    };
                    (format!("~ {regex}"), asked.map_err(|fault| (path.clone(), regex.clone(), fault))?)
                }
            };
            let and = if self.written.is_empty() { "where" } else { " and" };
            self.written.push_str(&format!("{and} {path} {shown}"));
            self.tests.push(Test { path, asked, literals });
        }
        Ok(())
    }

    /// Literals of which a matching line holds one; none if nothing is known.
    pub(super) fn literals(&self) -> Option<Vec<Vec<u8>>> {
        let values = self.tests.iter().map(|test| test.literals.clone());
        let names = self.tests.iter().map(|test| vec![test.name()]);
        let shortest = |set: &Vec<Vec<u8>>| set.iter().map(Vec::len).min().unwrap_or_default();
        let all: Vec<Vec<Vec<u8>>> = values.chain(names).collect();
        let least = |bytes: usize| all.iter().find(|set| shortest(set) >= bytes).cloned();
        least(COMPARED).or_else(|| least(SHORTEST))
    }

    /// What the rule finds in a line.
    pub(super) fn find(&self, text: &[u8]) -> Option<Record> {
        let holds = |literal: &Vec<u8>| memchr::memmem::find(text, literal).is_some();
        if !self.tests.iter().all(|test| test.literals.is_empty() || test.literals.iter().any(holds)) {
            return None;
        }
        let fields = Fields::parse(self.format, text)?;
        let mut caught: Option<IpAddr> = None;
        for test in &self.tests {
            let value = fields.get(&test.path)?;
            match &test.asked {
                Asked::OneOf(values) => values.iter().any(|known| known == value).then_some(())?,
                Asked::Regex(regex) => regex.is_match(value).then_some(())?,
                Asked::Host(pattern) => caught = pattern.find(value.as_bytes(), false)?.host.address(),
            }
        }
        let first = |names: &[String]| names.iter().find_map(|name| fields.get(name).map(str::to_owned));
        let address = match caught {
            Some(address) => address,
            None => address(&first(&self.host)?)?,
        };
        Some(Record { address, date: first(&self.time), user: first(&self.user) })
    }
}

/// Explaining.
impl Rule {
    /// How many conditions hold, and the first that does not; none if the text is no such record, or not one of them holds.
    pub(super) fn refusal(&self, text: &[u8]) -> Option<(usize, String)> {
        let fields = Fields::parse(self.format, text)?;
        let holds = |test: &&Test| {
            fields.get(&test.path).is_some_and(|value| match &test.asked {
                Asked::OneOf(values) => values.iter().any(|known| known == value),
                Asked::Regex(regex) => regex.is_match(value),
                Asked::Host(pattern) => pattern.find(value.as_bytes(), false).is_some(),
            })
        };
        let passed = self.tests.iter().filter(holds).count();
        let path = &self.tests.iter().find(|test| !holds(test)).or(self.tests.last())?.path;
        let wanted = match (passed == self.tests.len(), fields.get(path)) {
            (true, _) => format!("an address in {}", self.host.join(" or ")),
            (false, Some(value)) => format!("another {path} than {value:?}"),
            (false, None) => format!("a field {path}"),
        };
        (passed > 0).then_some((passed, wanted))
    }
}

/// The address that a field holds, with or without a port.
fn address(value: &str) -> Option<IpAddr> {
    let value = value.trim();
    let bare = match value.strip_prefix('[') {
        Some(inner) => Cow::from(inner.split_once(']')?.0),
        None => Cow::from(value),
    };
    HostTag::Any.address(bare.as_bytes())
}

impl Test {
    /// Of the field's own name, what a line holds that has it.
    fn name(&self) -> Vec<u8> {
        longest_plain(self.path.rsplit('.').next().unwrap_or_default().as_bytes())
    }
}

/// The longest run of characters that JSON and logfmt write as they are.
fn longest_plain(text: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'_' | b'-' | b'.' | b':');
    text.split(|byte| !plain(byte)).max_by_key(|run| run.len()).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use crate::filter::{Clock, Definition, Filter, LineVerdict, NORMAL};

    fn found(filter: &str, line: &str) -> Option<(String, String)> {
        let definition = Definition::parse("x", &format!("description = 'x'\n{filter}")).unwrap();
        let filter = Filter::compile("x", "x", definition.into(), NORMAL).unwrap();
        let clock = Clock { now: "2026-11-21T12:00:00Z".parse().unwrap(), zone: jiff::tz::TimeZone::UTC };
        match filter.line(line.as_bytes(), &clock, false) {
            LineVerdict::Match { first, .. } => Some((first.host, first.time.to_string())),
            _ => None,
        }
    }

    const CADDY: &str = r#"
format = "json"
host = ["request.client_ip", "request.remote_ip"]
time = "ts"
where.status = [401, 403]
where.request.uri = { regex = '^/login' }
"#;

    #[test]
    fn every_condition_must_hold() {
        let line = |status: u16, uri: &str, more: &str| {
            format!(
                r#"{{"ts":1795243825.5,"request":{{"remote_ip":"192.0.2.1","uri":"{uri}"{more}}},"status":{status}}}"#
            )
        };
        let hit = Some(("192.0.2.1".to_owned(), "2026-11-21T06:50:25.5Z".to_owned()));
        assert_eq!(found(CADDY, &line(401, "/login?x", "")), hit);
        assert_eq!(found(CADDY, &line(200, "/login", "")), None);
        assert_eq!(found(CADDY, &line(403, "/other", "")), None);
        let client = found(CADDY, &line(403, "/login", r#","client_ip":"[2001:db8::1]:443""#));
        assert_eq!(client.unwrap().0, "2001:db8::1");
        // A second address makes the first one worthless.
        assert_eq!(found(CADDY, &line(403, "/login", r#","remote_ip":"198.51.100.1""#)), None);
        assert_eq!(
            found(CADDY, &format!("Nov 21 06:50:25 h caddy[1]: {}", line(401, "/login", ""))).unwrap().0,
            "192.0.2.1"
        );
    }

    #[test]
    fn what_is_rare_is_looked_for() {
        let looked_for = |conditions: &str| {
            let filter = format!("description = 'x'\nformat = 'json'\nhost = 'ip'\n[where]\n{conditions}");
            let definition = Definition::parse("x", &filter).unwrap();
            let filter = Filter::compile("x", "x", definition.into(), NORMAL).unwrap();
            let literals =
                filter.literals().unwrap().iter().map(|text| String::from_utf8_lossy(text).into_owned());
            literals.collect::<Vec<_>>()
        };
        assert_eq!(looked_for("status = 401"), ["status"]);
        assert_eq!(looked_for("n = 401"), ["401"]);
        assert_eq!(looked_for("status = 401\nmsg = 'login: no \"such\" user'"), ["login: no "]);
        assert_eq!(looked_for("msg = { regex = '^(?:Bad|Wrong) \"?password (?:of|for) ' }"), ["password "]);
        assert_eq!(looked_for("msg = { regex = '^/[a-z]+$' }\nevent = ['login.failed', 'no']"), ["event"]);
    }

    #[test]
    fn alternatives_and_an_address_within_a_text() {
        let filter = r#"
format = "logfmt"
[[where]]
msg = { regex = '^login of .* failed \(from <HOST>\)$' }
[[where]]
msg = "locked out"
"remote" = { regex = '^<HOST>$' }
"#;
        let line = r#"level=warn msg="login of x (from 198.51.100.1) failed (from 192.0.2.1)""#;
        assert_eq!(found(filter, line).unwrap().0, "192.0.2.1");
        assert_eq!(found(filter, r#"msg="locked out" remote=192.0.2.2:77"#).unwrap().0, "192.0.2.2");
        assert_eq!(found(filter, r#"msg="let in" remote=192.0.2.2"#), None);
    }

    #[test]
    fn rules_that_mean_nothing_are_refused() {
        let refused = |filter: &str| {
            let definition = Definition::parse("x", &format!("description = 'x'\n{filter}")).unwrap();
            Filter::compile("x", "x", definition.into(), NORMAL).unwrap_err().to_string()
        };
        assert!(
            refused("host = 'a'\nwhere.b = 1").contains("format"),
            "{}",
            refused("host = 'a'\nwhere.b = 1")
        );
        assert!(refused("format = 'json'\nwhere.b = 1").contains("where the address is"));
        assert!(refused("format = 'json'\nhost = 'a'\nwhere.b = { regex = '(' }").contains("b: "));
    }
}
