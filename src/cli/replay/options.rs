//! The command line of `banctl replay`.

use clap::Args;
use jiff::Timestamp;

const EXAMPLES: &str = "\
Examples:
  banctl replay /var/log/auth.log* --jail sshd                      who would have been banned, and who of them logged in
  banctl replay /var/log/auth.log* --jail sshd --set maxretry=3     what would be different with another limit
  banctl replay journal --jail sshd --set bantime=1h --set escalate=true
  banctl replay mail.log auth.log --jail sshd --jail recidive --set recidive.maxretry=2

Old lines are judged as if they were read when they were written, and nobody was banned before. A date without a year is in the year before its file was
changed last. Rotated files of one log (.1, -20261121, .gz, .xz, .zst) are read as one, and several logs side by side, by
their dates. The logs of a machine that bans already hold what its firewall has let through. Packets are in no log:
renew_on_contact counts for nothing here, and neither do lists of addresses. The logs may be another machine's: this one's
addresses and gateways are not spared unless ignoreip names them.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Options {
    /// Log files, rotated and compressed ones, too, in any order; - is standard input, journal or journal:PATH the journal.
    #[arg(value_name = "FILE|journal", required = true)]
    pub(super) input: Vec<String>,
    /// The jail that judges; may be given several times, and need not be enabled [default: all that are enabled].
    #[arg(long, value_name = "JAIL")]
    pub(super) jail: Vec<String>,
    /// A key of [jail.NAME] and another value, in TOML: the replay is compared with one under the current settings. May be
    /// given several times; counts for every jail that reads logs, or as JAIL.KEY=VALUE for one.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Say of logins only that there were some, not whose.
    #[arg(long)]
    pub(super) no_users: bool,
    /// Read dates without a year as if every file had been written until TIME (RFC 3339). The environment's TZ is the zone of
    /// dates without one.
    #[arg(long, value_name = "TIME")]
    pub(super) now: Option<Timestamp>,
}
