//! Options of jails that kban has no key for, and what to do without each.

use super::Import;
use super::action;

/// What kban reads, and what has no meaning or no effect without what is told of already.
const SILENT: [&str; 31] = [
    "enabled",
    "mode",
    "filter",
    "logpath",
    "bantime",
    "findtime",
    "maxretry",
    "ignoreip",
    "ignoreself",
    "backend",
    "journalmatch",
    "port",
    "usedns",
    "action",
    "ignorecommand",
    "logencoding",
    "maxmatches",
    "ignorecache",
    "skip_if_nologs",
    "protocol",
    "chain",
    "banaction",
    "banaction_allports",
    "destemail",
    "sender",
    "sendername",
    "mta",
    "fail2ban_agent",
    "blocktype",
    "returntype",
    "bantime.increment",
];

/// Options that change what a jail does, with what to do.
const TOLD: [(&str, &str); 6] = [
    ("failregex", "write it into a filter of your own and name that in filter"),
    ("ignoreregex", "write it into a filter of your own and name that in filter"),
    ("prefregex", "write it into a filter of your own and name that in filter"),
    ("datepattern", "write it into a filter of your own and name that in filter"),
    ("maxlines", "write it into a filter of your own and name that in filter"),
    ("logtimezone", "run kban in the zone that the log is written in"),
];

impl Import<'_> {
    /// Tells of the options of an enabled jail that are not carried over.
    pub(super) fn tell_rest(&mut self, jail: &str) {
        let some = Some(jail);
        for (option, help) in TOLD {
            let value = self.value(some, option);
            if value.is_some() {
                self.tell(some, option, format!("{option} is not carried over"), help);
            }
        }
        if self.value(some, "ignoreself").is_some_and(|value| is_no(&value)) {
            let help = "nothing can be done: a ban of an own address would cut off the machine";
            self.tell(some, "ignoreself", "ignoreself: kban always spares the machine's own addresses", help);
        }
        let encoding = self.value(some, "logencoding").map(|value| value.trim().to_lowercase());
        if let Some(encoding) =
            encoding.filter(|encoding| !matches!(encoding.as_str(), "auto" | "utf-8" | "utf8" | "ascii"))
        {
            let message = format!("logencoding = {encoding} is not carried over: kban reads UTF-8");
            self.tell(some, "logencoding", message, "have the service write UTF-8");
        }
        self.tell_actions(jail);
        self.tell_unknown(some);
    }

    fn tell_actions(&mut self, jail: &str) {
        let Some(value) = self.value(Some(jail), "action") else { return };
        for name in action::read(&value).others {
            let message =
                format!("action {name} is not carried over: kban bans in the kernel, and does no more");
            let help = "keep what else it did (mail, reports) in a service that reads `banctl list --json`";
            self.tell(Some(jail), "action", message, help);
        }
    }

    /// Options that fail2ban does not know either may be variables, which other values refer to.
    pub(super) fn tell_unknown(&mut self, jail: Option<&str>) {
        let options: Vec<String> = self.conf.options(jail).map(str::to_owned).collect();
        for option in options {
            let known = SILENT.contains(&option.as_str())
                || TOLD.iter().any(|(told, _)| *told == option)
                || option.starts_with("action_")
                || self.conf.is_referred_to(&option);
            // What belongs to increments matters only with them.
            if !known && !option.starts_with("bantime.") {
                let message = format!("{option} is not carried over: kban does not know it");
                self.tell(jail, &option, message, "remove it if nothing needs it");
            }
        }
    }
}

pub(super) fn is_no(value: &str) -> bool {
    matches!(value.trim().to_lowercase().as_str(), "false" | "no" | "off" | "0")
}

/// The text with its line breaks as spaces.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
