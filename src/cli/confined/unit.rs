//! A unit by its files (systemd.unit(5)): what it lets its service do, and as whom that runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::cli::root::Root;

/// Where units and their drop-ins are; the first has precedence.
const PLACES: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// What reads whatever it likes (capabilities(7)).
const READS_ALL: [&str; 2] = ["CAP_DAC_READ_SEARCH", "CAP_DAC_OVERRIDE"];

/// A unit's directives.
#[derive(Debug)]
pub(super) struct Unit {
    name: String,
    /// The file and its drop-ins, one after the other; `None`: there is no such unit.
    text: Option<String>,
}

/// As whom a service reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) user: u32,
    pub(super) groups: BTreeSet<u32>,
}

impl Unit {
    /// Reads `name`, and its drop-ins in the order of their names: of several of one name the first place's counts.
    pub(super) fn read(root: &Root, name: &str) -> Self {
        let file = PLACES.iter().find_map(|place| root.text(Path::new(place).join(name)).ok());
        let mut drop_ins = BTreeMap::new();
        for place in PLACES {
            let directory = Path::new(place).join(format!("{name}.d"));
            let names = root.names(&directory).into_iter().filter(|name| name.ends_with(".conf"));
            for name in names {
                let path: PathBuf = directory.join(&name);
                drop_ins.entry(name).or_insert(path);
            }
        }
        let text = file.map(|file| {
            let rest = drop_ins.into_values().filter_map(|path| root.text(path).ok());
            std::iter::once(file).chain(rest).collect::<Vec<_>>().join("\n")
        });
        Self { name: name.to_owned(), text }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_installed(&self) -> bool {
        self.text.is_some()
    }

    /// Whether a list of what is allowed has `part`, or is not there: then nothing is forbidden.
    pub(super) fn allows(&self, directive: &str, part: &str) -> bool {
        let mut values = self.values(directive).peekable();
        values.peek().is_none() || values.any(|value| value.contains(part))
    }

    /// Whether its service sees what is below /home, /root and /run/user (systemd.exec(5), `ProtectHome=`).
    pub(super) fn sees_homes(&self) -> bool {
        let last = self.values("ProtectHome").last().unwrap_or_default();
        !["yes", "true", "on", "1", "tmpfs"].contains(&last)
    }

    /// Whether its service reads files of whatever mode.
    pub(super) fn reads_all(&self) -> bool {
        let lists = |directive| READS_ALL.iter().any(|capability| self.allows(directive, capability));
        if self.is_root() {
            return lists("CapabilityBoundingSet");
        }
        self.values("AmbientCapabilities").next().is_some() && lists("AmbientCapabilities")
    }

    /// As whom its service reads; `None`: it cannot be known from the machine's files.
    pub(super) fn identity(&self, root: &Root) -> Option<Identity> {
        let name = self.values("User").last().filter(|_| !self.is_root()).unwrap_or("root");
        let users = root.text("/etc/passwd").ok()?;
        let user = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|it| it.first() == Some(&name))?;
        let id = |field: usize| user.get(field)?.parse::<u32>().ok();
        let (user, mut primary) = (id(2)?, id(3)?);
        let more: BTreeSet<&str> =
            self.values("SupplementaryGroups").flat_map(str::split_whitespace).collect();
        let (own, mut groups) = (self.values("Group").last().unwrap_or_default(), BTreeSet::new());
        for line in root.text("/etc/group").ok()?.lines() {
            let mut fields = line.split(':');
            let (Some(group), Some(Ok(number))) = (fields.next(), fields.nth(1).map(str::parse)) else {
                continue;
            };
            if group == own {
                primary = number;
            }
            if more.contains(group)
                || fields.next().is_some_and(|members| members.split(',').any(|it| it == name))
            {
                groups.insert(number);
            }
        }
        groups.insert(primary);
        Some(Identity { user, groups })
    }

    fn is_root(&self) -> bool {
        ["", "root", "0"].contains(&self.values("User").last().unwrap_or_default())
    }

    fn values<'a>(&'a self, directive: &str) -> impl Iterator<Item = &'a str> {
        let lines = self.text.as_deref().unwrap_or_default().lines();
        lines.filter_map(move |line| Some(line.trim().strip_prefix(directive)?.strip_prefix('=')?.trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::root::tests::machine;

    #[test]
    fn drop_ins_count_by_their_names_and_each_name_once() {
        let (_directory, root) = machine(&[
            ("/usr/lib/systemd/system/x.service", "[Service]\nProtectHome=yes\n"),
            ("/etc/systemd/system/x.service.d/20-late.conf", "ProtectHome=read-only\n"),
            ("/usr/lib/systemd/system/x.service.d/20-late.conf", "ProtectHome=tmpfs\n"),
            ("/usr/lib/systemd/system/x.service.d/30-note.txt", "ProtectHome=yes\n"),
            ("/run/systemd/system/x.service.d/10-early.conf", "ProtectHome=true\n"),
        ]);
        assert!(Unit::read(&root, "x.service").sees_homes());
        assert!(!Unit::read(&root, "y.service").is_installed());
    }

    #[test]
    fn whose_files_a_service_reads_is_known_from_the_machines_accounts() {
        let accounts = [
            ("/etc/passwd", "root:x:0:0::/root:/bin/sh\nkban:x:990:991::/:/bin/false\n"),
            ("/etc/group", "root:x:0:\nadm:x:4:syslog\nkban:x:991:\nweb:x:33:www,kban\njournal:x:5:\n"),
        ];
        for (unit, user, groups, all) in [
            ("User=kban\nSupplementaryGroups=adm journal\n", 990, &[4, 5, 33, 991][..], false),
            ("User=kban\nGroup=adm\n", 990, &[4, 33], false),
            (
                "User=kban\nAmbientCapabilities=CAP_NET_ADMIN\nAmbientCapabilities=CAP_DAC_READ_SEARCH\n",
                990,
                &[33, 991],
                true,
            ),
            ("", 0, &[0], true),
            ("CapabilityBoundingSet=CAP_NET_ADMIN\n", 0, &[0], false),
        ] {
            let files =
                accounts.into_iter().chain([("/etc/systemd/system/x.service", unit)]).collect::<Vec<_>>();
            let (_directory, root) = machine(&files);
            let read = Unit::read(&root, "x.service");
            let identity = Identity { user, groups: groups.iter().copied().collect() };
            assert_eq!((read.identity(&root), read.reads_all()), (Some(identity), all), "{unit}");
        }
        let (_directory, root) = machine(&[("/etc/systemd/system/x.service", "User=nobody-here\n")]);
        assert_eq!(Unit::read(&root, "x.service").identity(&root), None);
    }
}
