//! Examples below each verb's `--help`. All of them are understood: a test types them.

/// The verb, and what one may type.
const EXAMPLES: &[(&str, &[&str])] = &[
    ("status", &["banctl status", "banctl status sshd", "banctl status --json"]),
    (
        "list",
        &[
            "banctl list sshd",
            "banctl list 203.0.113.0/24 --sort times",
            "banctl list --expiring 5m --names",
            "banctl list --country=/usr/share/GeoIP/GeoLite2-Country.mmdb",
            "banctl list --kernel",
        ],
    ),
    ("why", &["banctl why 203.0.113.9"]),
    ("history", &["banctl history 203.0.113.0/24 --since 7d", "banctl history --jail sshd"]),
    ("stats", &["banctl stats --since 7d"]),
    (
        "ban",
        &[
            "banctl ban 203.0.113.9",
            "banctl ban 203.0.113.0/24 --for 1d --reason 'asked too often'",
            "banctl ban 203.0.113.9 --jail sshd --for permanent",
        ],
    ),
    ("unban", &["banctl unban 203.0.113.9", "banctl unban 203.0.113.0/24 --jail sshd", "banctl unban --all"]),
    (
        "allow",
        &["banctl allow add 198.51.100.7 --for 8h", "banctl allow del 198.51.100.7", "banctl allow list"],
    ),
    ("reload", &["banctl config diff", "banctl reload"]),
    ("check", &["banctl check", "banctl check --config /root/new-kban --json"]),
    ("filters", &["banctl filters", "banctl filters 'sshd[mode=aggressive]'"]),
    ("jails", &["banctl jails"]),
    ("enable", &["banctl enable postfix"]),
    ("disable", &["banctl disable postfix"]),
    (
        "config",
        &[
            "banctl config show --origin",
            "banctl config diff",
            "banctl config import /etc/fail2ban --to /etc/kban/kban.toml",
        ],
    ),
    ("export", &["banctl export"]),
    ("load", &["banctl load bans.jsonl"]),
    ("watch", &["banctl watch --jail sshd", "banctl watch --jsonl"]),
    ("top", &["banctl top", "banctl top sshd"]),
    ("doctor", &["banctl doctor"]),
    ("flush", &["banctl flush"]),
    ("completions", &["banctl completions bash"]),
];

/// The command line, with the examples. `test` and `replay` have their own, with more to say below them.
pub(super) fn added(command: clap::Command) -> clap::Command {
    command.mut_subcommands(|verb| match EXAMPLES.iter().find(|(name, _)| *name == verb.get_name()) {
        Some((_, lines)) => {
            let lines: String = lines.iter().map(|line| format!("\n  {line}")).collect();
            verb.after_help(format!("Examples:{lines}"))
        }
        None => verb,
    })
}

#[cfg(test)]
mod tests {
    /// What a shell makes of a line, as far as these lines need it.
    fn words(line: &str) -> Vec<String> {
        let parts = line.split('\'').enumerate();
        let parts = parts.flat_map(|(number, part)| match number % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        });
        parts.collect()
    }

    #[test]
    fn every_verb_has_examples_that_are_understood() {
        for verb in crate::cli::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let below = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert_eq!(below.matches("Examples:\n").count(), 1, "{}: {below}", verb.get_name());
            let lines = below.lines().filter(|line| line.starts_with("  banctl "));
            // What follows more blanks says what it does.
            let lines: Vec<&str> = lines.filter_map(|line| line.trim().split("   ").next()).collect();
            assert!(!lines.is_empty(), "{}: {below}", verb.get_name());
            for line in lines {
                let parsed = crate::cli::command().try_get_matches_from(words(line));
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            }
        }
    }

    #[test]
    fn what_else_a_verb_has_to_say_is_said() {
        for (verb, notes) in
            [("test", "A pattern is tried in kban's own"), ("replay", "Old lines are judged as if")]
        {
            let mut command = crate::cli::command();
            let help = command.find_subcommand_mut(verb).unwrap().render_help().to_string();
            assert!(help.contains(notes), "{help}");
        }
    }
}
