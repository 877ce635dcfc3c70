//! The machine: its clock, its time zone, its interfaces.

use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::check::Check;
use super::root::Root;

/// Before this was written nobody can have installed it, whatever the file system says of the program's age.
const WRITTEN: Timestamp = Timestamp::constant(1_793_491_200, 0);

/// Looks at the clock and at the interfaces that are named in `[firewall] interfaces`.
pub(super) fn checks(root: &Root, interfaces: &[String], now: Timestamp) -> Vec<Check> {
    let mut found = vec![clock(now, installed())];
    if !interfaces.is_empty() {
        found.push(match root.text("/proc/self/net/dev") {
            Ok(table) => named(interfaces, &devices(&table)),
            Err(error) => Check::unknown(
                "machine.interfaces",
                format!("the interfaces of this machine cannot be listed (/proc/self/net/dev: {error})"),
                "mount /proc",
            ),
        });
    }
    found
}

/// When this program was put where it is; it cannot be earlier now.
fn installed() -> Timestamp {
    let modified = std::env::current_exe().and_then(|program| program.metadata()?.modified());
    let modified = modified.ok().and_then(|time: SystemTime| Timestamp::try_from(time).ok());
    modified.unwrap_or(WRITTEN).max(WRITTEN)
}

fn clock(now: Timestamp, installed: Timestamp) -> Check {
    let name = "machine.clock";
    if now >= installed {
        return Check::ok(name, "the clock is set, as far as can be told");
    }
    Check::fail(
        name,
        format!(
            "the clock says {now:.0}, which is before banctl was made ({installed:.0}): dates in logs are misjudged"
        ),
        "set it, and keep it set (`timedatectl set-ntp true`)",
    )
}

/// Judges what [`TimeZone::try_system`] says.
pub(super) fn zone(zone: Result<&TimeZone, &jiff::Error>) -> Check {
    let name = "machine.time_zone";
    match zone {
        Ok(zone) => {
            let zone = zone.iana_name().map_or_else(|| "its rules have no name".to_owned(), str::to_owned);
            Check::ok(name, format!("dates without a zone are read in the machine's ({zone})"))
        }
        Err(error) => Check::warn(
            name,
            format!("the machine's time zone cannot be read ({error}): dates without a zone are read as UTC"),
            "set it (`timedatectl set-timezone`), or remove TZ from the environment",
        ),
    }
}

/// The names in `/proc/net/dev` (proc(5)): two lines of headings, then `name: numbers`.
fn devices(table: &str) -> Vec<&str> {
    table.lines().skip(2).filter_map(|line| line.rsplit_once(':')).map(|(name, _)| name.trim()).collect()
}

fn named(wanted: &[String], there: &[&str]) -> Check {
    let name = "machine.interfaces";
    let is_there = |wanted: &str| match wanted.strip_suffix('*') {
        Some(beginning) => there.iter().any(|name| name.starts_with(beginning)),
        None => there.contains(&wanted),
    };
    let missing: Vec<&str> = wanted.iter().map(String::as_str).filter(|wanted| !is_there(wanted)).collect();
    let [all, missing_names] = [wanted.join(", "), missing.join(", ")];
    if missing.is_empty() {
        return Check::ok(name, format!("[firewall] interfaces are there ({all})"));
    }
    let what = if missing.len() == wanted.len() { ": nobody is dropped" } else { "" };
    Check::warn(
        name,
        format!("[firewall] interfaces names what is not there now ({missing_names}){what}"),
        "correct it; if it comes and goes, it is looked at as soon as it is there",
    )
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::super::root::tests::machine;
    use super::*;

    const DEV: &str = "Inter-|   Receive   |  Transmit\n face |bytes    packets|bytes\n    lo: 1 2 3\n  wan0:1 2 3\nppp10: 0 0\n";

    #[test]
    fn a_clock_before_the_program_is_wrong() {
        let made = "2026-11-21T06:00:00Z".parse().unwrap();
        assert_eq!(clock("2026-11-21T06:00:01Z".parse().unwrap(), made).state, State::Ok);
        let check = clock("1970-01-01T00:03:00Z".parse().unwrap(), made);
        assert_eq!(check.state, State::Fail);
        assert!(check.found.starts_with("the clock says 1970-01-01T00:03:00Z"), "{check:?}");
        assert!(installed() >= WRITTEN && installed() <= Timestamp::now());
    }

    #[test]
    fn a_zone_that_cannot_be_read_is_told() {
        let unknown = TimeZone::get("Nowhere/Here").unwrap_err();
        assert_eq!(zone(Ok(&TimeZone::UTC)).found, "dates without a zone are read in the machine's (UTC)");
        assert_eq!(zone(Err(&unknown)).state, State::Warn);
    }

    #[test]
    fn interfaces_that_are_not_there_are_named() {
        assert_eq!(devices(DEV), ["lo", "wan0", "ppp10"]);
        let told = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
            let check = named(&wanted, &devices(DEV));
            (check.state, check.found)
        };
        assert_eq!(told(&["wan0", "ppp*"]).0, State::Ok);
        let (state, found) = told(&["wan0", "wan1", "tun*"]);
        assert_eq!(
            (state, &*found),
            (State::Warn, "[firewall] interfaces names what is not there now (wan1, tun*)")
        );
        assert!(told(&["wan"]).1.ends_with("(wan): nobody is dropped"), "a whole name");
        let (_directory, root) = machine(&[]);
        let now = Timestamp::now();
        let hidden = &checks(&root, &["wan0".into()], now)[1];
        assert_eq!(hidden.state, State::Unknown);
        assert_eq!(checks(&root, &[], now).len(), 1, "every interface is meant");
    }
}
