//! Jails that read the journal: because they say so, or because this machine has one.

use super::*;
use crate::source::journal::Place;

const MACHINE: &str = "machine/run/log/journal/0123456789abcdef0123456789abcdef/system.journal";

fn with_journal(text: &str) -> Etc {
    Etc::new(&[("kban.toml", text), (MACHINE, "")])
}

fn sources(etc: &Etc) -> Vec<String> {
    let plan = etc.load().unwrap_or_else(|report| panic!("{}", report.render(false, 100)));
    plan.jails[0].sources.iter().map(ToString::to_string).collect()
}

const OF_SSHD: &str = "journal _SYSTEMD_SLICE=system-ssh.slice + _SYSTEMD_SLICE=system-sshd.slice + \
                       _SYSTEMD_UNIT=ssh.service + _SYSTEMD_UNIT=sshd.service";

#[test]
fn without_any_file_sshd_is_protected_from_the_journal() {
    let etc = Etc::new(&[(MACHINE, "")]);
    assert_eq!(sources(&etc), [OF_SSHD]);
    assert_eq!(etc.told().trim(), "");
    // A directory of no machine is no journal.
    let etc = Etc::new(&[("machine/var/log/journal/remote/x.journal", "")]);
    assert_eq!(sources(&etc), ["/nonexistent/auth.log"]);
}

#[test]
fn the_file_that_the_service_itself_writes_comes_before_the_journal() {
    let jail = "[jail.here]\nenabled = true\n";
    assert_eq!(sources(&with_journal(jail)), ["/dev/null"]);
    assert_eq!(sources(&with_journal(&format!("{jail}logpath = \"/a.log\"\n"))), ["/a.log"]);
    assert_eq!(sources(&with_journal("[jail.many]\nenabled = true\n")), ["/etc/passw?"]);
    let both = format!("{jail}logpath = \"/a.log\"\njournalmatch = \"_SYSTEMD_UNIT=a.service\"\n");
    assert_eq!(sources(&with_journal(&both)), ["/a.log", "journal _SYSTEMD_UNIT=a.service"]);
}

#[test]
fn jails_that_want_the_same_share_it() {
    let text = "[jail.sshd]\nenabled = true\njournalmatch = [\"_UID=0 _COMM=b\", \"_SYSTEMD_UNIT=a.service\"]\n\
                [jail.here]\nenabled = true\njournalmatch = \"_SYSTEMD_UNIT=a.service + _COMM=b _UID=0\"\n";
    let plan = with_journal(text).load().unwrap();
    assert_eq!(plan.jails[0].sources, plan.jails[1].sources);
    assert_eq!(plan.jails[0].sources.len(), 1);
}

#[test]
fn a_journal_of_elsewhere_is_a_source() {
    let source = "[source.far]\njournal_directory = \"/var/log/journal/remote\"\n[source.near]\njournal_namespace = \"web\"\n";
    let jail = "[jail.here]\nenabled = true\nsource = [\"far\", \"near\"]\n";
    let wanted = "journalmatch = \"_SYSTEMD_UNIT=a.service\"\n";
    assert_eq!(
        sources(&with_journal(&format!("{jail}{wanted}{source}"))),
        ["journal:/var/log/journal/remote _SYSTEMD_UNIT=a.service", "journal:web _SYSTEMD_UNIT=a.service"]
    );
    let plan = with_journal(&format!("{jail}{source}")).load().unwrap();
    let Input::Journal { place, matches } = &plan.jails[0].sources[1] else { panic!("{plan:?}") };
    assert_eq!((place, format!("journal {matches}")), (&Place::Namespace("web".into()), OF_SSHD.to_owned()));
}

#[test]
fn mistakes_about_the_journal_are_told() {
    let told = with_journal(
        "[jail.sshd]\nenabled = true\njournalmatch = [\"_COMM=sshd + _SYSTEMD_UNIT=ssh.service\", \"ssh.service\"]\n\
         [source.a]\njournal_namespace = \"*\"\n[source.b]\njournal_directory = \"journal\"\n\
         [source.c]\npipe = \"/p\"\njournal_namespace = \"x\"\n",
    )
    .told();
    for expected in [
        "warning: any local user can write journal entries that match _COMM=sshd: only those count that root wrote",
        "error: jail.sshd.journalmatch: `ssh.service` is no journal match\n --> /etc/kban/kban.toml:3:59",
        "= help: write FIELD=value, such as _SYSTEMD_UNIT=ssh.service",
        "error: source.a.journal_namespace: `*` cannot be the name of a journal namespace",
        "error: source.b.journal_directory: `journal` is not the absolute path of a directory",
        "error: source c: it says more than one thing to read",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
    let jail = "[jail.sshd]\nenabled = true\njournalmatch = \"_SYSTEMD_UNIT=ssh.service\"\n";
    assert_eq!(with_journal(jail).told().trim(), "");
    let told_without = super::told(jail);
    assert!(told_without.contains("this machine has none, or no journalctl"), "{told_without}");
    let wanting = "[jail.logless]\nenabled = true\nsource = \"a\"\n[source.a]\njournal_namespace = \"x\"\n";
    let told = super::told(wanting);
    assert!(
        told.contains("error: neither the jail nor its filter says which entries of the journal it reads"),
        "{told}"
    );
}
