//! Drift: whether the kernel holds what kband intends, and who changed it if not.

use jiff::Timestamp;

use super::ago;
use super::check::{Check, State};
use crate::cli::output::{between, counted};
use crate::control::protocol::FirewallStatus;

/// What happened longer ago, in seconds, is good to know and nothing more.
const RECENT: u64 = 24 * 3600;

/// What kband says of its table.
pub(super) fn checks(firewall: &FirewallStatus, now: Timestamp) -> Vec<Check> {
    vec![pending(firewall), changes(firewall, now)]
}

/// What the kernel still has to be told.
fn pending(firewall: &FirewallStatus) -> Check {
    let name = "drift.pending";
    match (&firewall.error, firewall.pending) {
        (Some(error), _) => Check::said(name, State::Fail, error),
        (None, 0) => Check::ok(name, "the kernel has taken every change"),
        // Under a flood changes wait for their turn, so some are no fault.
        (None, waiting) => Check::ok(
            name,
            format!(
                "{} on the way to the kernel, with the next turn",
                counted(waiting, "change is", "changes are")
            ),
        ),
    }
}

/// What others have done to the table since kband started.
fn changes(firewall: &FirewallStatus, now: Timestamp) -> Check {
    let name = "drift.changes";
    let FirewallStatus { changed_by_others, restored, repaired, .. } = firewall;
    if [changed_by_others, restored, repaired].into_iter().all(|count| *count == 0) {
        return Check::ok(name, "nobody but kband has changed the table since kband started");
    }
    let mut done = Vec::new();
    if *restored > 0 {
        done.push(format!("made the table again {}", times(*restored)));
    }
    if *repaired > 0 {
        done.push(format!("put {} right", counted(*repaired, "ban", "bans")));
    }
    let done = if done.is_empty() { "put it right".to_owned() } else { done.join(" and ") };
    let found = match (*changed_by_others, &firewall.last_change) {
        (0, _) => format!(
            "drift: the kernel did not hold what kband intended, and nobody was heard to change it; kband has {done}"
        ),
        (count, Some(last)) => format!(
            "drift: the table was changed {} by others, the last time {} ({}); kband has {done}",
            times(count),
            ago(last.at, now),
            last.what
        ),
        (count, None) => format!("drift: the table was changed {} by others; kband has {done}", times(count)),
    };
    if firewall.last_change.as_ref().is_some_and(|last| between(last.at, now).as_secs() > RECENT) {
        return Check::ok(name, found);
    }
    let remedy = if firewall.owned {
        "it is kband's alone now, so this happened before, or while no kband ran"
    } else {
        "whom it banned may have come through meanwhile; have that program leave table inet kban alone \
         (kband's log names it each time), or have the table owned, see kernel.ownership"
    };
    Check::warn(name, found, remedy)
}

fn times(count: u64) -> String {
    if count == 1 { "once".into() } else { format!("{count} times") }
}

#[cfg(test)]
mod tests {
    use super::super::tests::status;
    use super::*;
    use crate::control::protocol::ForeignChange;

    #[test]
    fn drift_is_explained_with_who_did_it() {
        let now: Timestamp = "2026-11-21T06:00:00Z".parse().unwrap();
        let mut firewall = status().firewall;
        let told = |firewall: &FirewallStatus| changes(firewall, now);
        assert_eq!(told(&firewall).state, State::Ok);
        (firewall.changed_by_others, firewall.restored) = (2, 1);
        firewall.last_change = Some(ForeignChange {
            at: "2026-11-21T05:50:00Z".parse().unwrap(),
            what: "nft (pid 12) removed table inet kban".into(),
        });
        let check = told(&firewall);
        assert_eq!(
            (check.state, &*check.found),
            (
                State::Warn,
                "drift: the table was changed 2 times by others, the last time 10m ago (nft (pid 12) removed table \
                 inet kban); kband has made the table again once"
            )
        );
        let later = changes(&firewall, "2026-11-23T06:00:00Z".parse().unwrap());
        assert!(later.state == State::Ok && later.found.contains("2d ago"), "{later:?}");
        firewall.last_change = None;
        (firewall.changed_by_others, firewall.restored, firewall.repaired) = (0, 0, 3);
        assert_eq!(
            told(&firewall).found,
            "drift: the kernel did not hold what kband intended, and nobody was heard to change it; kband has put 3 \
             bans right"
        );
    }

    #[test]
    fn what_the_kernel_refuses_is_a_failure_and_what_waits_is_not() {
        let mut firewall = status().firewall;
        assert_eq!(pending(&firewall).state, State::Ok);
        firewall.pending = 7;
        assert!(pending(&firewall).found.starts_with("7 changes"));
        firewall.error = Some("set host4 is full (2 elements): raise [firewall] set_size".into());
        let check = pending(&firewall);
        assert_eq!((check.state, check.remedy.as_deref()), (State::Fail, Some("raise [firewall] set_size")));
    }
}
