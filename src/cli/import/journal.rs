//! What a jail of fail2ban's reads of the journal.

use super::Import;
use super::jail::{listed, quoted};
use crate::filter::Filter;
use crate::source::journal::{Alternative, Matches};

impl Import<'_> {
    /// Whether fail2ban reads the journal for the jail, and no log file.
    pub(super) fn reads_journal(&mut self, jail: &str) -> bool {
        self.value(Some(jail), "backend").is_some_and(|backend| backend.trim().starts_with("systemd"))
    }

    /// The keys that say which entries the jail reads, none if its filter says it; `None`: nobody does, or not in a way that
    /// kban takes.
    pub(super) fn journalmatch(&mut self, jail: &str, filter: Option<&str>) -> Option<String> {
        let some = Some(jail);
        if self.value(some, "backend").is_some_and(|backend| backend.contains('[')) {
            let message =
                "the options of backend = systemd are not carried over: kban reads the machine's journal";
            let help = "for another one, write a [source.NAME] with journal_directory or journal_namespace";
            self.tell(some, "backend", message, help);
        }
        let Some(typed) = self.value(some, "journalmatch") else {
            let says =
                |filter: &str| Filter::load(filter, &[]).is_ok_and(|it| !it.journal_matches().is_empty());
            if filter.is_some_and(says) {
                return Some(String::new());
            }
            let message =
                format!("the jail {jail} has no journalmatch and reads the whole journal; it is not enabled");
            let help = "name its service in kban.toml, journalmatch = \"_SYSTEMD_UNIT=NAME.service\", and enable it there";
            self.tell(some, "backend", message, help);
            return None;
        };
        let lines: Vec<String> =
            typed.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        let matches = match Matches::of(&lines) {
            Ok(matches) => matches,
            Err(error) => {
                let message = format!("journalmatch is not carried over, and {jail} is not enabled: {error}");
                self.tell(some, "journalmatch", message, "mend it in kban.toml, and enable the jail there");
                return None;
            }
        };
        let open = |it: &&Alternative| it.is_forgeable();
        for forgeable in matches.alternatives().filter(open) {
            let message = format!(
                "any local user can write what matches {forgeable}: kban counts only what root wrote"
            );
            let help = "name the service's unit: journalmatch = \"_SYSTEMD_UNIT=NAME.service\"";
            self.tell(some, "journalmatch", message, help);
        }
        Some(match lines.as_slice() {
            [line] => format!("journalmatch = {}\n", quoted(line)),
            lines => format!("journalmatch = {}\n", listed(lines)),
        })
    }
}
