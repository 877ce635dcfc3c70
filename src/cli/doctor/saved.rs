//! Saved rulesets with table `inet kban` in them: `nft list ruleset > /etc/nftables.conf` saves every table.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::check::Check;
use super::root::Root;

/// Where distributions keep the ruleset that is loaded at boot.
const FILES: [&str; 2] = ["/etc/nftables.conf", "/etc/sysconfig/nftables.conf"];
/// Directories of such files.
const DIRECTORIES: [&str; 2] = ["/etc/nftables.d", "/etc/nftables"];
/// More of a file is not read, in bytes: a million elements have some 40 MB.
const LONGEST: u64 = 64 << 20;

/// nft's words for the flags of a table that is kband's alone.
const OWNER: &str = "owner";
const PERSIST: &str = "persist";

/// A table as it was saved.
#[derive(Debug, PartialEq, Eq)]
struct Saved {
    /// The line of `table inet kban {`, from 1.
    line: usize,
    /// The words behind `flags`; `None`: there are no flags.
    flags: Option<Vec<String>>,
}

/// Looks into every file of rulesets. `reads_owned` is whether this machine's nft reads what it prints of owned tables.
pub(super) fn checks(root: &Root, reads_owned: bool) -> Vec<Check> {
    let name = "kernel.saved_ruleset";
    let below = DIRECTORIES.into_iter().flat_map(|directory| {
        root.names(directory).into_iter().map(move |file| Path::new(directory).join(file))
    });
    let mut found: Vec<Check> = FILES
        .into_iter()
        .map(PathBuf::from)
        .chain(below)
        .filter_map(|path| match read(&root.at(&path)) {
            Ok(saved) => saved.map(|saved| judge(&path, &saved, reads_owned)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(Check::unknown(
                name,
                format!("{} cannot be read ({error})", path.display()),
                "run banctl doctor as root",
            )),
        })
        .collect();
    if found.is_empty() {
        found.push(Check::ok(name, "no saved ruleset has table inet kban in it"));
    }
    found
}

/// The table in a file; `None` as well if the path is no file.
fn read(path: &Path) -> io::Result<Option<Saved>> {
    // Asked before opening: opening a FIFO would wait for a writer.
    if !path.metadata()?.is_file() {
        return Ok(None);
    }
    find(BufReader::new(File::open(path)?.take(LONGEST)))
}

/// The first table `inet kban` that a ruleset makes.
fn find(ruleset: impl BufRead) -> io::Result<Option<Saved>> {
    let mut saved: Option<Saved> = None;
    for (number, line) in ruleset.split(b'\n').enumerate() {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        let code = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = code
            .split(|c: char| c.is_whitespace() || "{};".contains(c))
            .filter(|word| !word.is_empty())
            .collect();
        match &mut saved {
            None => match words.as_slice() {
                ["table", "inet", "kban", rest @ ..]
                | ["add" | "create", "table", "inet", "kban", rest @ ..] => {
                    saved = Some(Saved { line: number + 1, flags: flags(rest) });
                }
                _ => {}
            },
            Some(saved) => {
                // The table's own flags stand before its first set, which has flags as well.
                if words.first().is_some_and(|word| *word != "comment") {
                    saved.flags = saved.flags.take().or_else(|| flags(&words));
                    break;
                }
            }
        }
    }
    Ok(saved)
}

fn flags(words: &[&str]) -> Option<Vec<String>> {
    let ["flags", rest @ ..] = words else { return None };
    let words = rest.iter().flat_map(|word| word.split(','));
    Some(words.filter(|word| !word.is_empty()).map(str::to_owned).collect())
}

fn judge(path: &Path, saved: &Saved, reads_owned: bool) -> Check {
    let name = "kernel.saved_ruleset";
    let place = format!("{}:{}: table inet kban was saved with the ruleset", path.display(), saved.line);
    let remedy = "take the block out of the file: kband makes its table itself";
    let lost = "nothing of the file can be loaded, the other tables neither";
    let has = |word: &str| saved.flags.iter().flatten().any(|flag| flag == word);
    // What nft before 1.1 prints of a table that kband has left to the kernel.
    let unnamed = saved.flags.as_ref().is_some_and(Vec::is_empty);
    if unnamed {
        Check::fail(name, format!("{place}, by an nft that could not name its flags: {lost}"), remedy)
    } else if has(PERSIST) && !reads_owned {
        Check::fail(
            name,
            format!("{place}, with a flag that this machine's nft does not know: {lost}"),
            remedy,
        )
    } else if has(PERSIST) || has(OWNER) {
        Check::warn(
            name,
            format!("{place} as kband's own: while kband runs {lost}, since nobody else may touch the table"),
            remedy,
        )
    } else {
        Check::warn(
            name,
            format!(
                "{place}: whenever the file is loaded it brings back the bans of then, until kband puts that right"
            ),
            remedy,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::super::root::tests::machine;
    use super::*;

    const PLAIN: &str = "flush ruleset\n\ntable inet filter {\n}\ntable inet kban {\n\tset host4 {\n\t\ttype ipv4_addr\n\
                         \t\tflags timeout\n\t}\n}\n";

    fn found(ruleset: &str) -> Option<Saved> {
        find(ruleset.as_bytes()).unwrap()
    }

    #[test]
    fn only_what_makes_the_table_counts() {
        let at = |line, flags: Option<&[&str]>| {
            Some(Saved {
                line,
                flags: flags.map(|flags| flags.iter().map(|flag| (*flag).to_owned()).collect()),
            })
        };
        for (ruleset, expected) in [
            ("", None),
            ("table inet filter {\n}\n", None),
            ("# table inet kban {\n", None),
            ("delete table inet kban\nflush table inet kban\n", None),
            ("table ip kban {\n}\ntable inet kbanned {\n}\n", None),
            (PLAIN, at(5, None)),
            ("add table inet kban", at(1, None)),
            ("table inet kban{", at(1, None)),
            ("table inet kban {\n\tflags owner,persist\n", at(1, Some(&["owner", "persist"]))),
            (
                "table inet kban { # progname kband\n\tflags owner, persist\n",
                at(1, Some(&["owner", "persist"])),
            ),
            ("table inet kban {\n\tflags \n", at(1, Some(&[]))),
            ("table inet kban {\n\tcomment \"x\"\n\tflags persist;\n", at(1, Some(&["persist"]))),
            ("add table inet kban { flags owner; }\n", at(1, Some(&["owner"]))),
        ] {
            assert_eq!(found(ruleset), expected, "{ruleset}");
        }
    }

    #[test]
    fn what_cannot_be_loaded_is_worse_than_what_brings_back_old_bans() {
        let owned = "table inet kban {\n\tflags owner,persist\n";
        for (ruleset, reads_owned, state, part) in [
            (PLAIN, false, State::Warn, "whenever the file is loaded"),
            (owned, true, State::Warn, "while kband runs nothing"),
            (owned, false, State::Fail, "this machine's nft does not know"),
            ("table inet kban {\n\tflags owner\n", false, State::Warn, "while kband runs nothing"),
            ("table inet kban {\n\tflags \n", true, State::Fail, "could not name its flags"),
        ] {
            let (_directory, root) = machine(&[("/etc/nftables.conf", ruleset)]);
            let checks = checks(&root, reads_owned);
            let [check] = checks.as_slice() else { panic!("{checks:?}") };
            assert!(check.state == state && check.found.contains(part), "{check:?}");
            assert!(check.found.starts_with("/etc/nftables.conf:"), "as it is, not below a root: {check:?}");
        }
    }

    #[test]
    fn every_place_is_looked_at() {
        let (_directory, root) = machine(&[]);
        assert_eq!(checks(&root, true)[0].state, State::Ok);
        let (_directory, root) = machine(&[
            ("/etc/nftables.conf", "table inet filter {\n}\n"),
            ("/etc/nftables.d/10-a.nft", PLAIN),
            ("/etc/nftables/main.nft", PLAIN),
            ("/etc/sysconfig/nftables.conf", PLAIN),
            ("/etc/nftables/osf/pf.os", "# no ruleset\n"),
        ]);
        let places: Vec<String> = checks(&root, true)
            .into_iter()
            .map(|check| check.found.split(": ").next().unwrap().to_owned())
            .collect();
        assert_eq!(
            places,
            ["/etc/sysconfig/nftables.conf:5", "/etc/nftables.d/10-a.nft:5", "/etc/nftables/main.nft:5"]
        );
    }
}
