//! The kernel's firewall: whether it takes what kband writes, and what is there of the table.

use std::path::Path;

use super::check::{Check, State};
use super::root::Root;
use crate::config::choices::Ownership;
use crate::control::protocol::Status;
use crate::firewall::{Belonging, Firewall, FirewallError, nft_reads_owned_tables};

/// What the kernel says, asked directly.
#[derive(Debug)]
struct Asked {
    /// Whose the table is; `None`: there is none.
    belonging: Option<Belonging>,
    /// Whether its rules are there.
    ruled: bool,
    /// Whether the kernel keeps an owned table; not asked while kband answers.
    can_own: Option<bool>,
    /// Whether the kernel renews bans with packets; not asked while kband answers.
    can_renew: Option<bool>,
    /// Whether the kernel counts packets by ban; not asked while kband answers.
    can_count: Option<bool>,
}

/// What the configuration asks of the kernel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) ownership: Ownership,
    /// A jail has `renew_on_contact`.
    pub(super) renewal: bool,
    /// Packets are to be counted by ban.
    pub(super) counting: bool,
}

/// Asks the kernel, and kband (by its `status`) where the kernel does not answer us. `elsewhere`: kband's is another
/// firewall than the one that is here.
pub(super) fn checks(status: Option<&Status>, elsewhere: bool, wanted: Wanted) -> Vec<Check> {
    let asked = ask(status.is_none());
    let table = if elsewhere {
        Check::unknown(
            "kernel.table",
            "kband works in another network namespace, whose tables are not seen from here",
            "run banctl where kband runs",
        )
    } else {
        there(asked.as_ref(), status)
    };
    let mut found = vec![nf_tables(asked.as_ref(), status), table];
    found.extend(ownership(asked.as_ref(), status, wanted.ownership));
    found.extend(renewal(asked.as_ref(), status, wanted.renewal));
    found.extend(counting(asked.as_ref(), status).filter(|_| wanted.counting));
    found
}

/// Whether the process with this id has another network, and so another firewall, than this one.
pub(super) fn is_elsewhere(root: &Root, pid: i32) -> bool {
    let network = |process: &str| root.link(Path::new("/proc").join(process).join("ns/net"));
    match (network("self"), network(&pid.to_string())) {
        (Ok(ours), Ok(its)) => ours != its,
        // Not ours to see: then it is not known to be elsewhere.
        _ => false,
    }
}

fn ask(alone: bool) -> Result<Asked, FirewallError> {
    let mut firewall = Firewall::open_existing()?;
    let belonging = firewall.belonging()?;
    if belonging.is_none() && alone {
        firewall.try_out()?;
    }
    Ok(Asked {
        belonging,
        ruled: belonging.is_some() && firewall.ruled()?.is_some(),
        can_own: if alone { Some(firewall.can_own()?) } else { None },
        can_renew: if alone { Some(firewall.can_renew()?) } else { None },
        can_count: if alone { Some(firewall.can_count()?) } else { None },
    })
}

fn nf_tables(asked: Result<&Asked, &FirewallError>, status: Option<&Status>) -> Check {
    let name = "kernel.nf_tables";
    let takes = "the kernel takes the table, sets and rules that kband writes";
    match asked {
        Ok(_) => Check::ok(name, takes),
        Err(error) if error.is_permission() => match status {
            Some(status) if status.firewall.packets.is_some() => Check::ok(name, takes),
            _ => Check::unknown(
                name,
                "asking the kernel's firewall needs the capability CAP_NET_ADMIN",
                "run banctl doctor as root",
            ),
        },
        Err(error) => Check::said(name, State::Fail, &error.to_string()),
    }
}

fn there(asked: Result<&Asked, &FirewallError>, status: Option<&Status>) -> Check {
    let name = "kernel.table";
    let by_kband = status.map(|status| status.firewall.packets.is_some());
    match (asked, by_kband) {
        (Ok(Asked { belonging: Some(_), ruled: true, .. }), Some(_)) => {
            Check::ok(name, "table inet kban is there, with its rules")
        }
        (Ok(Asked { belonging: Some(_), ruled: true, .. }), None) => Check::ok(
            name,
            "table inet kban is there from an earlier kband: its bans hold until they end, and nobody makes new ones",
        ),
        (Ok(Asked { belonging: None, .. }), None) => {
            Check::ok(name, "there is no table inet kban: kband makes it when it starts")
        }
        (Ok(Asked { belonging: Some(_), .. }), None) => Check::warn(
            name,
            "table inet kban is there without its rules, so it drops nobody",
            "start kband, which makes it whole",
        ),
        (Ok(asked), Some(_)) => {
            let what = if asked.belonging.is_some() {
                "the rules of table inet kban are"
            } else {
                "table inet kban is"
            };
            Check::fail(
                name,
                format!("kband runs, but {what} not there: nobody is dropped"),
                "kband puts it back within a minute; if it does not, `banctl reload`, and see its log",
            )
        }
        (Err(_), Some(true)) => Check::ok(name, "table inet kban is there, by kband's account"),
        (Err(_), Some(false)) => Check::fail(
            name,
            "kband runs, and says that it cannot read table inet kban: perhaps nobody is dropped",
            "see kband's log",
        ),
        (Err(error), None) if error.is_permission() => Check::unknown(
            name,
            "only root, or whoever may ask kband, can see the table",
            "run banctl doctor as root",
        ),
        (Err(_), None) => {
            Check::unknown(name, "the kernel's firewall does not answer", "see kernel.nf_tables")
        }
    }
}

fn ownership(
    asked: Result<&Asked, &FirewallError>,
    status: Option<&Status>,
    wanted: Ownership,
) -> Option<Check> {
    let name = "kernel.ownership";
    let owned = "others cannot change it, and `nft flush ruleset` passes it by";
    if let Some(firewall) = status.map(|status| &status.firewall) {
        if firewall.owned {
            return Some(Check::ok(name, format!("the table is kband's alone: {owned}")));
        }
        let why = firewall.why_plain.as_deref().unwrap_or("kband does not say why");
        let plain =
            format!("the table is not kband's alone ({why}), so what others change in it is put right");
        return Some(match wanted {
            Ownership::Owned => {
                Check::warn(name, plain, "it is what [firewall] ownership = \"owned\" asks for")
            }
            Ownership::Auto | Ownership::Plain => Check::ok(name, plain),
        });
    }
    // A kernel that does not answer is told of above.
    let Asked { belonging, can_own, .. } = asked.ok()?;
    if let Some(Belonging { owner: Some(port), .. }) = belonging {
        return Some(Check::warn(
            name,
            format!(
                "no kband answers, but a program owns the table (netlink port {port}): a kband with another socket, or the service manager, which keeps it for the next one"
            ),
            "name the socket of a kband that runs with --socket",
        ));
    }
    match wanted.why_plain(can_own.unwrap_or(false), nft_reads_owned_tables()) {
        None => Some(Check::ok(name, format!("the table will be kband's alone: {owned}"))),
        Some(why) => Some(Check::ok(
            name,
            format!(
                "the table will not be kband's alone ({why}), so what others change in it will be put right"
            ),
        )),
    }
}

fn renewal(asked: Result<&Asked, &FirewallError>, status: Option<&Status>, wanted: bool) -> Option<Check> {
    let name = "kernel.renewal";
    // A kernel that does not answer is told of above.
    let can = match status {
        Some(status) => status.firewall.can_renew,
        None => asked.ok()?.can_renew,
    }?;
    Some(match (can, wanted) {
        (true, _) => Check::ok(name, "the kernel can renew a ban with each packet of the offender"),
        (false, false) => {
            Check::ok(name, "the kernel cannot renew bans with packets, and no jail has renew_on_contact")
        }
        (false, true) => Check::warn(
            name,
            "the kernel cannot renew bans with packets: those of jails with renew_on_contact end as if it were not set",
            "use a newer kernel (Debian's 5.10 can), or leave renew_on_contact out",
        ),
    })
}

/// Where it is asked for.
fn counting(asked: Result<&Asked, &FirewallError>, status: Option<&Status>) -> Option<Check> {
    let name = "kernel.counting";
    let can = match status {
        Some(status) => status.firewall.can_count,
        None => asked.ok()?.can_count,
    }?;
    Some(if can {
        Check::ok(name, "the kernel can count packets by ban")
    } else {
        Check::warn(
            name,
            "the kernel cannot count packets by ban: bans hold, and do not count",
            "use a newer kernel (Linux 5.7), or leave [firewall] count out",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::status;
    use super::*;
    use crate::firewall::Attempt;

    const PLAIN: Belonging = Belonging { persists: false, owner: None };
    const DENIED: FirewallError = FirewallError::Permission { attempt: Attempt::Read };

    fn asked(belonging: Option<Belonging>, ruled: bool) -> Asked {
        Asked { belonging, ruled, can_own: Some(true), can_renew: Some(false), can_count: Some(false) }
    }

    #[test]
    fn a_table_is_judged_with_kband_and_without() {
        let mut blind = status();
        blind.firewall.packets = None;
        let running = status();
        for (asked, status, state, part) in [
            (Ok(asked(Some(PLAIN), true)), Some(&running), State::Ok, "with its rules"),
            (Ok(asked(Some(PLAIN), false)), Some(&running), State::Fail, "rules of table inet kban are not"),
            (Ok(asked(None, false)), Some(&running), State::Fail, "table inet kban is not there"),
            (Ok(asked(Some(PLAIN), true)), None, State::Ok, "from an earlier kband"),
            (Ok(asked(Some(PLAIN), false)), None, State::Warn, "drops nobody"),
            (Ok(asked(None, false)), None, State::Ok, "makes it when it starts"),
            (Err(DENIED), Some(&running), State::Ok, "by kband's account"),
            (Err(DENIED), Some(&blind), State::Fail, "cannot read"),
            (Err(DENIED), None, State::Unknown, "only root,"),
        ] {
            let check = there(asked.as_ref(), status);
            assert!(check.state == state && check.found.contains(part), "{part}: {check:?}");
        }
    }

    #[test]
    fn a_kernel_that_may_not_be_asked_is_known_by_kband() {
        assert_eq!(nf_tables(Err(&DENIED), Some(&status())).state, State::Ok);
        assert_eq!(nf_tables(Err(&DENIED), None).state, State::Unknown);
        let lacking =
            FirewallError::Unsupported { attempt: Attempt::SetUp, errno: nix::errno::Errno::EOPNOTSUPP };
        let check = nf_tables(Err(&lacking), None);
        assert_eq!(check.state, State::Fail);
        assert!(check.remedy.unwrap().starts_with("load the module nf_tables"));
    }

    #[test]
    fn ownership_is_explained() {
        let mut plain = status();
        plain.firewall.why_plain = Some("this kernel is old".into());
        let mut owned = status();
        owned.firewall.owned = true;
        let seen = asked(Some(PLAIN), true);
        let told = |status, wanted| ownership(Ok(&seen), Some(status), wanted).unwrap();
        assert_eq!(told(&owned, Ownership::Auto).state, State::Ok);
        let auto = told(&plain, Ownership::Auto);
        assert!(auto.state == State::Ok && auto.found.contains("(this kernel is old)"), "{auto:?}");
        assert_eq!(told(&plain, Ownership::Owned).state, State::Warn);
        let kept = asked(Some(Belonging { persists: true, owner: Some(77) }), true);
        let kept = ownership(Ok(&kept), None, Ownership::Auto).unwrap();
        assert!(kept.state == State::Warn && kept.found.contains("netlink port 77"), "{kept:?}");
        let plain = ownership(Ok(&seen), None, Ownership::Plain).unwrap();
        assert!(plain.found.contains("so the configuration says"), "{plain:?}");
        assert_eq!(ownership(Err(&DENIED), None, Ownership::Auto), None, "there() says that already");
    }

    #[test]
    fn renewal_matters_where_a_jail_asks_for_it() {
        let can = status();
        let seen = asked(None, false);
        assert_eq!(renewal(Err(&DENIED), Some(&can), true).unwrap().state, State::Ok);
        assert_eq!(renewal(Ok(&seen), None, false).unwrap().state, State::Ok);
        let check = renewal(Ok(&seen), None, true).unwrap();
        assert!(check.state == State::Warn && check.found.contains("cannot renew"), "{check:?}");
        assert_eq!(renewal(Err(&DENIED), None, true), None, "nf_tables() says that already");
        let mut older = status();
        older.firewall.can_renew = None;
        assert_eq!(renewal(Ok(&seen), Some(&older), true), None);
    }

    #[test]
    fn counting_is_told_where_the_kernel_cannot() {
        let (seen, mut running) = (asked(None, false), status());
        let check = counting(Ok(&seen), None).unwrap();
        assert!(check.state == State::Warn && check.found.contains("cannot count"), "{check:?}");
        assert_eq!(counting(Ok(&seen), Some(&running)), None, "kband was not asked for it");
        for (can, state) in [(true, State::Ok), (false, State::Warn)] {
            running.firewall.can_count = Some(can);
            assert_eq!(counting(Err(&DENIED), Some(&running)).unwrap().state, state);
        }
    }

    #[test]
    fn another_network_is_another_firewall() {
        let (_directory, root) = super::super::root::tests::machine(&[
            ("/proc/self/ns/net", "-> net:[1]"),
            ("/proc/7/ns/net", "-> net:[1]"),
            ("/proc/8/ns/net", "-> net:[2]"),
        ]);
        assert_eq!([7, 8, 9].map(|pid| is_elsewhere(&root, pid)), [false, true, false]);
    }
}
