//! `[defaults]` and one `[jail.NAME]`, as text.

use std::time::Duration;

use super::keys::one_line;
use super::{Import, action, value};
use crate::config::duration::BanTime;
use crate::filter::Filter;
use crate::source::file;

/// What every jail starts from: keys with their values as TOML.
pub(super) struct Defaults {
    pub(super) text: String,
    scalars: Vec<(&'static str, Option<String>)>,
    ignoreip: Vec<String>,
}

/// The keys with one value.
const SCALARS: [&str; 5] = ["bantime", "findtime", "maxretry", "usedns", "escalate"];

impl Import<'_> {
    /// What `[DEFAULT]` says.
    pub(super) fn defaults(&mut self) -> Defaults {
        let scalars: Vec<_> = SCALARS.iter().map(|key| (*key, self.scalar(None, key))).collect();
        let ignoreip = self.ignoreip(None);
        let mut text = String::new();
        for (key, value) in &scalars {
            text += &value.as_ref().map_or(String::new(), |value| format!("{key} = {value}\n"));
        }
        if !ignoreip.is_empty() {
            text += &format!("ignoreip = {}\n", listed(&ignoreip));
        }
        text += "# fail2ban counts and bans single IPv6 addresses. 64 is wiser: one customer has them all.\n";
        text += "ipv6_prefix = 128\n";
        self.tell_unknown(None);
        Defaults { text, scalars, ignoreip }
    }

    /// The table of an enabled jail; nothing if its name cannot be used.
    pub(super) fn jail(&mut self, name: &str, defaults: &Defaults) -> String {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let reserved = matches!(name, "manual" | "adopted") || name.starts_with("feed.");
        if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) || reserved {
            let message = format!("the jail {name} is not carried over: kban takes no such name");
            self.tell(Some(name), "enabled", message, "rename it: 1 to 64 letters, digits, `.`, `_` or `-`");
            return String::new();
        }
        let some = Some(name);
        let bans = self.bans(name);
        // Its log is what fail2ban writes; kban knows its own bans.
        let typed = self.value(some, "filter").unwrap_or_default();
        if typed.split('[').next().is_some_and(|filter| filter.trim() == "recidive") {
            return self.keys(name, &format!("enabled = {bans}\ncounts = \"bans\"\n"), defaults);
        }
        let filter = self.filter(name);
        let inputs = match self.reads_journal(name) {
            true => self.journalmatch(name, filter.as_deref()),
            false => self.logpaths(name),
        };
        let enabled = filter.is_some() && inputs.is_some() && bans;
        let mut text = format!("enabled = {enabled}\n");
        text += &filter.map_or(String::new(), |filter| format!("filter = {}\n", quoted(&filter)));
        text += &inputs.unwrap_or_default();
        self.keys(name, &text, defaults)
    }

    /// The jail's table: `text` and the keys that every jail has.
    fn keys(&mut self, name: &str, text: &str, defaults: &Defaults) -> String {
        let some = Some(name);
        let heading = if name.contains('.') { quoted(name) } else { name.to_owned() };
        let mut text = format!("\n[jail.{heading}]\n{text}");
        for (key, default) in &defaults.scalars {
            let own = self.scalar(some, key);
            if let Some(own) = own.filter(|own| Some(own) != default.as_ref()) {
                text += &format!("{key} = {own}\n");
            }
        }
        text += &self.ports(name);
        text += &self.own_ignoreip(name, &defaults.ignoreip);
        text += &self.ignorecommand(name);
        self.tell_rest(name);
        text
    }

    fn scalar(&mut self, jail: Option<&str>, key: &str) -> Option<String> {
        if key == "escalate" {
            return self.escalate(jail);
        }
        let typed = self.value(jail, key)?;
        if key == "usedns" {
            // What is neither: names stay what they are.
            let asks = matches!(typed.trim(), "yes" | "warn");
            return Some(quoted(if asks { typed.trim() } else { "no" }));
        }
        let number =
            if key == "maxretry" { typed.trim().parse::<i64>().ok() } else { value::seconds(&typed) };
        let written = number.and_then(|number| written(key, number));
        if written.is_none() {
            let help = match key {
                "maxretry" => "write a number from 1 to 1000000 into kban.toml",
                _ => "write it into kban.toml as \"10m\", \"12h\" or \"1d 6h\"",
            };
            self.tell(jail, key, one_line(&format!("{key} = {typed} is not carried over")), help);
        }
        written
    }

    fn ignoreip(&mut self, jail: Option<&str>) -> Vec<String> {
        let Some(typed) = self.value(jail, "ignoreip") else { return Vec::new() };
        let mut list = Vec::new();
        for word in typed.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()) {
            match value::ignored(word) {
                Ok(entry) if !list.contains(&entry) => list.push(entry),
                Ok(_) => {}
                Err((message, help)) => self.tell(jail, "ignoreip", message, help),
            }
        }
        list
    }

    /// kban adds a jail's list to that of `[defaults]`, where fail2ban replaces it.
    fn own_ignoreip(&mut self, jail: &str, defaults: &[String]) -> String {
        let list = self.ignoreip(Some(jail));
        if let Some(spared) = defaults.iter().find(|entry| !list.contains(entry)) {
            let message = format!("ignoreip: the jail {jail} spares {spared} too, by [defaults]");
            self.tell(
                Some(jail),
                "ignoreip",
                message,
                "move the list of [defaults] to the jails that need it",
            );
        }
        let own: Vec<String> = list.into_iter().filter(|entry| !defaults.contains(entry)).collect();
        if own.is_empty() { String::new() } else { format!("ignoreip = {}\n", listed(&own)) }
    }

    /// fail2ban waits for a command as long as it takes; so does kban, nearly.
    fn ignorecommand(&mut self, jail: &str) -> String {
        let Some(typed) = self.value(Some(jail), "ignorecommand").filter(|typed| !typed.trim().is_empty())
        else {
            return String::new();
        };
        let Some(words) = value::command(&typed) else {
            let message =
                "ignorecommand is not carried over: kban runs it without a shell, and knows <ip> only";
            let help = "put it into a script: ignorecommand = [\"/path/of/script\", \"<ip>\"]";
            self.tell(Some(jail), "ignorecommand", message, help);
            return String::new();
        };
        if self.value(Some(jail), "ignorecache").is_some_and(|typed| !typed.trim().is_empty()) {
            let message = "ignorecache is not carried over: kban remembers the last 1,000 answers for five minutes each, by \
                           what the command is given";
            let help = "nothing has to be done; what the command is asked about is <ip>";
            self.tell(Some(jail), "ignorecache", message, help);
        }
        format!("ignorecommand = {}\nignorecommand_timeout = \"10s\"\n", listed(&words))
    }

    /// The key that names the log files; `None`: there are none.
    fn logpaths(&mut self, jail: &str) -> Option<String> {
        let paths = self.logpath(jail);
        match paths.as_slice() {
            [] => {
                let help = "name the log file in kban.toml, and enable the jail there";
                let message = format!("the jail {jail} has no log file, and is not enabled");
                self.tell(Some(jail), "logpath", message, help);
                None
            }
            [path] => Some(format!("logpath = {}\n", quoted(path))),
            paths => Some(format!("logpath = {}\n", listed(paths))),
        }
    }

    /// The log files.
    fn logpath(&mut self, jail: &str) -> Vec<String> {
        let some = Some(jail);
        let mut paths: Vec<String> = Vec::new();
        for line in self.value(some, "logpath").unwrap_or_default().lines() {
            let line = line.trim();
            let path =
                line.strip_suffix(" tail").or_else(|| line.strip_suffix(" head")).unwrap_or(line).trim();
            if path.is_empty() || paths.iter().any(|known| known == path) {
                continue;
            }
            if let Some((flaw, help)) = file::flaw(path) {
                self.tell(some, "logpath", format!("logpath = {path} is not carried over: it {flaw}"), help);
            } else if !path.starts_with('/') || path.ends_with('/') || path.contains(char::is_control) {
                let message =
                    format!("logpath = {path} is not carried over: it is not the whole path of a file");
                self.tell(some, "logpath", message, "write the whole path into kban.toml");
            } else {
                if path.ends_with("/fail2ban.log") {
                    let message = format!("logpath = {path} will have no more lines: fail2ban writes it");
                    self.tell(
                        some,
                        "logpath",
                        message,
                        "let the jail count kban's own bans: counts = \"bans\"",
                    );
                }
                paths.push(path.to_owned());
            }
        }
        paths
    }

    /// Whether the jail keeps offenders out; one that lets them in must not be turned round.
    fn bans(&mut self, jail: &str) -> bool {
        let allows = self.value(Some(jail), "action").is_some_and(|value| action::read(&value).allows);
        if allows {
            let message = format!("the jail {jail} lets addresses in, which kban cannot; it is not enabled");
            self.tell(Some(jail), "action", message, "keep it in fail2ban, or do without");
        }
        !allows
    }

    /// The reference of the jail's filter by its path, if kban can run it.
    fn filter(&mut self, jail: &str) -> Option<String> {
        let some = Some(jail);
        let Some(typed) = self.value(some, "filter").map(|typed| one_line(&typed)) else {
            self.tell(
                some,
                "filter",
                format!("the jail {jail} has no filter, and is not enabled"),
                "write a filter of its own, name it in kban.toml, and enable the jail there",
            );
            return None;
        };
        let (name, options) = typed.split_once('[').map_or((typed.as_str(), ""), |(name, rest)| (name, rest));
        let name = name.trim().trim_end_matches(".conf").trim_end_matches(".local");
        let path = self.directory.join("filter.d").join(format!("{name}.conf")).display().to_string();
        // fail2ban takes several brackets, too: the options of all of them count.
        let options = options.replace("][", ",").replace("] [", ",");
        let reference = if options.is_empty() { path } else { format!("{path}[{options}") };
        if let Err(error) = Filter::load(&reference, &[]) {
            let reason = error.to_string();
            let message =
                format!("the jail {jail} is not enabled, because kban cannot run its filter {name}");
            let help = reason.lines().next().unwrap_or_default();
            self.tell(some, "filter", message, help);
            return None;
        }
        Some(reference)
    }
}

/// A number as kban writes it, if it can.
fn written(key: &str, number: i64) -> Option<String> {
    const LONGEST: u64 = 36_500 * 86_400;
    match key {
        "maxretry" => (1..=1_000_000).contains(&number).then(|| number.to_string()),
        "bantime" if number < 0 => Some(quoted("permanent")),
        _ => {
            let seconds = u64::try_from(number).ok().filter(|seconds| (1..=LONGEST).contains(seconds))?;
            Some(quoted(&BanTime::For(Duration::from_secs(seconds)).to_string()))
        }
    }
}

/// A single address without its length.
pub(super) fn listed(list: &[String]) -> String {
    let list: Vec<String> = list.iter().map(|one| quoted(one)).collect();
    format!("[{}]", list.join(", "))
}

/// A string of TOML.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
