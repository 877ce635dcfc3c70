//! Other firewalls and ban managers on this machine, and what each means beside kban.
//!
//! Found without starting a program: by the processes that run, by what systemd starts at boot, by ufw's own file.

use std::path::Path;

use super::check::Check;
use super::root::Root;

/// A program that deals with the firewall or with bans.
struct Neighbour {
    check: &'static str,
    name: &'static str,
    /// How its processes are called; the kernel keeps the first 15 bytes of a name.
    programs: &'static [&'static str],
    /// The unit that starts it.
    unit: &'static str,
    /// What it means beside kban.
    means: &'static str,
    /// What to do about it, if anything.
    remedy: Option<&'static str>,
}

/// What is said of firewalld, ufw and nftables.service is tried in `tests/it/beside.rs`.
const NEIGHBOURS: [Neighbour; 7] = [
    Neighbour {
        check: "neighbours.firewalld",
        name: "firewalld",
        programs: &["firewalld"],
        unit: "firewalld.service",
        means: "its reloads leave table inet kban alone, and whom kban bans is dropped before its rules",
        remedy: None,
    },
    Neighbour {
        check: "neighbours.ufw",
        name: "ufw",
        programs: &[],
        unit: "ufw.service",
        means: "it leaves table inet kban alone, and whom kban bans is dropped before its rules",
        remedy: None,
    },
    Neighbour {
        check: "neighbours.docker",
        name: "docker",
        programs: &["dockerd"],
        unit: "docker.service",
        means: "kban bans before packets go to containers, by the port that is published",
        remedy: None,
    },
    Neighbour {
        check: "neighbours.nftables",
        name: "nftables.service",
        programs: &[],
        unit: "nftables.service",
        means: "started, reloaded or stopped it flushes the ruleset: an owned table stays, and kband puts a plain one back at once",
        remedy: None,
    },
    Neighbour {
        check: "neighbours.fail2ban",
        name: "fail2ban",
        programs: &["fail2ban-server"],
        unit: "fail2ban.service",
        means: "two ban managers read the same logs: whoever kban lets in again may still be banned there",
        remedy: Some(
            "take its jails over with `banctl config import /etc/fail2ban`, then `systemctl disable --now fail2ban`",
        ),
    },
    Neighbour {
        check: "neighbours.sshguard",
        name: "sshguard",
        programs: &["sshguard", "sshg-blocker"],
        unit: "sshguard.service",
        means: "two ban managers read the same logs: whoever kban lets in again may still be banned there",
        remedy: Some("let one of them watch sshd: `systemctl disable --now sshguard`"),
    },
    Neighbour {
        check: "neighbours.crowdsec",
        name: "crowdsec",
        programs: &["crowdsec", "crowdsec-firewall-bouncer"],
        unit: "crowdsec.service",
        means: "its bouncer bans beside kban: whoever kban lets in again may still be banned there",
        remedy: Some("ask both before you look for a fault (`cscli decisions list`)"),
    },
];

/// How long a name the kernel keeps, in bytes (`TASK_COMM_LEN` without its NUL).
const NAME_MAX: usize = 15;
/// Programs whose first argument is what really runs; there are as many Pythons as versions.
const INTERPRETERS: [&str; 4] = ["sh", "dash", "bash", "perl"];
const PYTHON: &str = "python";

/// Looks for every neighbour.
pub(super) fn checks(root: &Root) -> Vec<Check> {
    let processes = processes(root);
    let mut found: Vec<Check> =
        NEIGHBOURS.iter().filter_map(|neighbour| look(root, neighbour, &processes)).collect();
    if !root.has("/proc/1/comm") {
        found.push(Check::unknown(
            "neighbours.processes",
            "other processes are hidden: programs that only run, and are not started at boot, were not looked for",
            "run banctl doctor as root",
        ));
    } else if found.is_empty() {
        found.push(Check::ok("neighbours.none", "no other firewall and no other ban manager is seen"));
    }
    found
}

fn look(root: &Root, neighbour: &Neighbour, processes: &[Vec<String>]) -> Option<Check> {
    let runs = processes
        .iter()
        .flatten()
        .any(|name| neighbour.programs.iter().any(|program| is_called(name, program)));
    let enabled = match neighbour.name {
        "ufw" => root.text("/etc/ufw/ufw.conf").is_ok_and(|text| ufw_is_enabled(&text)),
        _ => is_wanted(root, neighbour.unit),
    };
    let how = match (runs, enabled) {
        (true, true) => "runs, and starts at boot",
        (true, false) => "runs",
        (false, true) => "is set to start at boot",
        (false, false) => return None,
    };
    let found = format!("{} {how}: {}", neighbour.name, neighbour.means);
    Some(match neighbour.remedy {
        Some(remedy) => Check::warn(neighbour.check, found, remedy),
        None => Check::ok(neighbour.check, found),
    })
}

/// The names of each process of this network namespace (others have another firewall): what the kernel calls it, and
/// what it was started as.
fn processes(root: &Root) -> Vec<Vec<String>> {
    let network = root.link("/proc/self/ns/net").ok();
    let numbers =
        root.names("/proc").into_iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let directories = numbers.map(|number| Path::new("/proc").join(number));
    let ours = directories.filter(|process| {
        // Whose namespace is not ours to see may be here.
        root.link(process.join("ns/net")).map_or(true, |its| network.is_none() || network == Some(its))
    });
    ours.map(|process| {
        let comm = root.text(process.join("comm")).unwrap_or_default();
        let arguments = root.text(process.join("cmdline")).unwrap_or_default();
        std::iter::once(comm.trim_end().to_owned()).chain(started_as(&arguments)).collect()
    })
    .collect()
}

/// The program of a command line, and the script if the program is an interpreter.
fn started_as(arguments: &str) -> Vec<String> {
    let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let mut words = arguments.split('\0');
    let Some(program) = words.next().map(base).filter(|program| !program.is_empty()) else {
        return Vec::new();
    };
    let interprets = INTERPRETERS.contains(&&*program) || program.starts_with(PYTHON);
    let script = words.find(|word| !word.starts_with('-')).filter(|_| interprets).map(base);
    std::iter::once(program).chain(script).collect()
}

fn is_called(name: &str, program: &str) -> bool {
    name == program || (name.len() == NAME_MAX && program.starts_with(name))
}

/// Whether a target of the administrator's wants a unit: systemd.unit(5).
fn is_wanted(root: &Root, unit: &str) -> bool {
    let units = Path::new("/etc/systemd/system");
    let pulls = |name: &String| name.ends_with(".wants") || name.ends_with(".requires");
    root.names(units).iter().filter(|name| pulls(name)).any(|name| root.has(units.join(name).join(unit)))
}

/// `ENABLED=yes`, as ufw reads it.
fn ufw_is_enabled(conf: &str) -> bool {
    let mut values = conf.lines().filter_map(|line| line.trim().strip_prefix("ENABLED="));
    values.next_back().is_some_and(|value| value.trim_matches(['"', '\'', ' ']).eq_ignore_ascii_case("yes"))
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::super::root::tests::machine;
    use super::*;

    fn told(files: &[(&str, &str)]) -> Vec<(&'static str, State)> {
        let (_directory, root) = machine(files);
        checks(&root).into_iter().map(|check| (check.check, check.state)).collect()
    }

    const INIT: (&str, &str) = ("/proc/1/comm", "systemd\n");

    #[test]
    fn running_and_enabled_neighbours_are_found() {
        assert_eq!(told(&[INIT]), [("neighbours.none", State::Ok)]);
        assert_eq!(
            told(&[
                INIT,
                ("/proc/20/comm", "fail2ban-server\n"),
                ("/proc/21/comm", "python3\n"),
                ("/proc/21/cmdline", "/usr/bin/python3\0-s\0/usr/sbin/firewalld\0--nofork\0"),
                ("/proc/22/comm", "crowdsec-firewa\n"),
                ("/proc/meminfo", ""),
                ("/etc/systemd/system/multi-user.target.wants/docker.service", "-> /lib/docker.service"),
                ("/etc/systemd/system/sysinit.target.wants/nftables.service", "-> /lib/nftables.service"),
                ("/etc/ufw/ufw.conf", "# a comment\nENABLED=yes\nLOGLEVEL=low\n"),
            ]),
            [
                ("neighbours.firewalld", State::Ok),
                ("neighbours.ufw", State::Ok),
                ("neighbours.docker", State::Ok),
                ("neighbours.nftables", State::Ok),
                ("neighbours.fail2ban", State::Warn),
                ("neighbours.crowdsec", State::Warn),
            ]
        );
    }

    #[test]
    fn what_only_looks_alike_is_not_found() {
        let files = [
            INIT,
            ("/proc/20/comm", "vim\n"),
            ("/proc/20/cmdline", "vim\0/etc/fail2ban/fail2ban-server\0"),
            ("/proc/21/comm", "crowdsec-other\n"),
            ("/proc/23/cmdline", "sha256sum\0/usr/bin/fail2ban-server\0"),
            ("/proc/self/ns/net", "-> net:[1]"),
            ("/proc/22/comm", "sshguard\n"),
            ("/proc/22/ns/net", "-> net:[2]"),
            ("/etc/ufw/ufw.conf", "ENABLED=no\n"),
            ("/etc/systemd/system/fail2ban.service.d/x.conf", ""),
            // It listens for a firewall that is not enabled.
            ("/etc/systemd/system/multi-user.target.wants/ufw.service", "-> /lib/ufw.service"),
        ];
        assert_eq!(told(&files), [("neighbours.none", State::Ok)]);
        let mut here = files.to_vec();
        here[7].1 = "-> net:[1]";
        assert_eq!(told(&here), [("neighbours.sshguard", State::Warn)]);
    }

    #[test]
    fn hidden_processes_are_admitted() {
        assert_eq!(told(&[]), [("neighbours.processes", State::Unknown)]);
    }

    #[test]
    fn ufw_is_read_as_it_reads_itself() {
        for (conf, enabled) in [
            ("ENABLED=yes", true),
            ("ENABLED=\"Yes\"", true),
            ("#ENABLED=yes", false),
            ("ENABLED=no", false),
            ("", false),
        ] {
            assert_eq!(ufw_is_enabled(conf), enabled, "{conf}");
        }
    }
}
