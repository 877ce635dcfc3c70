//! The corpus of log lines that comes with the installed fail2ban, and how to read its annotations.
//!
//! A comment `failJSON: {...}` says what must come of the next line, `filterOptions:` with which options of the filter (a
//! list: each of them), `fileOptions:` what they have in common, and `addFILE:` names another file to go on with. The
//! package is a peer of the tests only; nothing of it is part of kban.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// Where the package is, unpacked or installed.
pub(crate) struct Package {
    pub(crate) python: PathBuf,
    pub(crate) config: PathBuf,
}

impl Package {
    /// The one that `scripts/install-tools test` puts in place.
    pub(crate) fn find() -> Self {
        let root = std::env::var_os("KBAN_FAIL2BAN").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/fail2ban"),
            PathBuf::from,
        );
        let roots = [root.clone(), PathBuf::from("/")];
        let package = roots.map(|root| Self {
            python: root.join("usr/lib/python3/dist-packages"),
            config: root.join("etc/fail2ban"),
        });
        package.into_iter().find(|package| package.logs().is_dir()).unwrap_or_else(|| {
            panic!(
                "fail2ban's corpus is neither in {} nor installed: run scripts/install-tools test",
                root.display()
            )
        })
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.python.join("fail2ban/tests/files/logs")
    }

    /// All filters with a log: their names and files.
    pub(crate) fn filters(&self) -> Vec<(String, PathBuf)> {
        let own = self.config.join("filter.d");
        let tests = self.python.join("fail2ban/tests/config/filter.d");
        let mut found = Vec::new();
        for (directory, of_tests) in [(own, false), (tests, true)] {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let file = path.file_name().unwrap().to_str().unwrap().to_owned();
                let Some(name) = file.strip_suffix(".conf") else { continue };
                let wanted = if of_tests { name.starts_with("zzz-") } else { !name.ends_with("common") };
                if wanted && self.logs().join(name).is_file() {
                    found.push((name.to_owned(), path));
                }
            }
        }
        found.sort();
        found
    }
}

/// One line with one set of options.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// File and line number, for messages.
    pub(crate) place: String,
    /// As bytes, without line feed.
    pub(crate) line: Vec<u8>,
    /// Those of the filter, without those of the test.
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) expected: Map<String, Value>,
}

impl Case {
    pub(crate) fn must_match(&self) -> bool {
        self.expected.get("match").is_some_and(|value| *value != Value::Bool(false))
    }
}

/// Every evaluation of a filter's corpus, in order.
pub(crate) fn cases(package: &Package, name: &str) -> Vec<Case> {
    let mut files = vec![name.to_owned()];
    let mut reader = Reader { name, sets: None, blocked: false, common: Map::new(), cases: Vec::new() };
    let mut at = 0;
    while let Some(file) = files.get(at).cloned() {
        reader.common = Map::new();
        reader.blocked = false;
        reader.file(package, &file, &mut files);
        at += 1;
    }
    reader.cases
}

struct Reader<'a> {
    name: &'a str,
    sets: Option<Vec<Map<String, Value>>>,
    blocked: bool,
    common: Map<String, Value>,
    cases: Vec<Case>,
}

impl Reader<'_> {
    fn file(&mut self, package: &Package, file: &str, files: &mut Vec<String>) {
        let bytes = fs::read(package.logs().join(file)).unwrap();
        let mut lines = bytes.split(|byte| *byte == b'\n').enumerate();
        while let Some((number, line)) = lines.next() {
            let place = |number: usize| format!("{file}:{}", number + 1);
            let Some((key, json)) = annotation(line) else {
                if !self.blocked && !line.starts_with(b"#") && !line.trim_ascii().is_empty() {
                    self.line(&place(number), line, &Map::new());
                }
                continue;
            };
            match key {
                "fileOptions" => self.common = json.as_object().unwrap().clone(),
                "filterOptions" => self.options(&json),
                "addFILE" => files.push(json.as_str().unwrap().to_owned()),
                _ => {
                    let Some((number, line)) = lines.next() else {
                        panic!("{}: no line follows", place(number))
                    };
                    if !self.blocked {
                        self.line(&place(number), line, json.as_object().unwrap());
                    }
                }
            }
        }
    }

    fn options(&mut self, json: &Value) {
        let sets = match json {
            Value::Array(sets) => sets.clone(),
            set => vec![set.clone()],
        };
        self.blocked = false;
        let mut wanted = Vec::new();
        for set in sets {
            let mut options = self.common.clone();
            options.extend(set.as_object().unwrap().clone());
            if let Some(condition) = options.get("test.condition").and_then(Value::as_str) {
                self.blocked = !self.holds(condition, &options);
            }
            if !self.blocked {
                wanted.push(options);
            }
        }
        self.sets = Some(wanted);
    }

    fn line(&mut self, place: &str, line: &[u8], expected: &Map<String, Value>) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut line = line.to_vec();
        for set in self.sets.clone().filter(|sets| !sets.is_empty()).unwrap_or_else(|| vec![Map::new()]) {
            if let Some(constraint) = expected.get("constraint").and_then(Value::as_str)
                && !self.holds(constraint, &set)
            {
                continue;
            }
            let text = |key: &str| set.get(key).and_then(Value::as_str);
            if text("logtype") == Some("journal")
                && let Some(prefix) = text("test.prefix-line")
            {
                line = [prefix.as_bytes(), &line].concat();
            }
            let options = set.iter().filter(|(key, _)| !key.starts_with("test."));
            let options = options.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()));
            self.cases.push(Case {
                place: place.to_owned(),
                line: line.clone(),
                options: options.collect(),
                expected: expected.clone(),
            });
        }
    }

    /// The few forms of Python expressions that annotations use.
    fn holds(&self, expression: &str, options: &Map<String, Value>) -> bool {
        let (left, right) = expression.split_once(['=', '!']).unwrap();
        let equal = expression.contains("==");
        let wanted = right.trim_start_matches('=').trim().trim_matches('\'').to_owned();
        let key = left.trim().strip_prefix("opts.get('").and_then(|rest| rest.strip_suffix("')"));
        let actual = match (left.trim(), key) {
            ("name", _) => Some(self.name),
            (_, Some(key)) => options.get(key).and_then(Value::as_str),
            _ => panic!("an annotation asks for what this test does not know: {expression}"),
        };
        (actual == Some(wanted.as_str())) == equal
    }
}

fn annotation(line: &[u8]) -> Option<(&'static str, Value)> {
    let text = std::str::from_utf8(line).ok()?;
    let comment = text.trim_start_matches('#');
    if comment.len() == text.len() {
        return None;
    }
    let comment = comment.strip_prefix(' ').unwrap_or(comment);
    let keys = ["failJSON", "fileOptions", "filterOptions", "addFILE"];
    let (key, json) = keys
        .into_iter()
        .find_map(|key| Some((key, comment.strip_prefix(key)?.strip_prefix(':')?)))
        .filter(|(_, json)| !json.is_empty())?;
    Some((key, serde_json::from_str(json).unwrap_or_else(|error| panic!("{error} in {text}"))))
}
