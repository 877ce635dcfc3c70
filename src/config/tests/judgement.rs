//! What jails make of repeat offenders: tables that may be just `true`.

use super::*;
use crate::config::judgement::{Escalate, Mode, Subnet};

fn plan(text: &str) -> Plan {
    let loaded = Etc::new(&[("kban.toml", text)]).load();
    loaded.unwrap_or_else(|report| panic!("{}", report.render(false, 100)))
}

#[test]
fn a_jails_own_table_replaces_the_default_whole() {
    let plan = plan(
        "[defaults]\nescalate = { factor = 3, max = \"1w\" }\nsubnet = true\nmode = \"observe\"\nmax_bans_per_minute = 9\n\
         [jail.a]\nenabled = true\nfilter = \"sshd\"\n\
         [jail.b]\nenabled = true\nfilter = \"sshd\"\nescalate = { jitter = \"5m\" }\nsubnet = false\nmode = \"ban\"\n",
    );
    let [a, b] = &plan.jails[..] else { panic!("{:?}", plan.jails) };
    let escalate = a.escalate.as_ref().unwrap();
    assert_eq!((escalate.factor.0, escalate.max.unwrap().get().as_secs()), (3.0, 7 * 86_400));
    assert_eq!(
        (a.subnet.clone(), a.mode, a.max_bans_per_minute),
        (Some(Subnet::default()), Mode::Observe, Some(9))
    );
    let escalate = b.escalate.clone().unwrap();
    assert_eq!(Escalate { jitter: None, ..escalate }, Escalate::default());
    assert_eq!((b.subnet.clone(), b.mode, b.max_bans_per_minute), (None, Mode::Ban, Some(9)));
}

#[test]
fn recidive_is_there_and_needs_no_log() {
    let plan = plan("[jail.recidive]\nenabled = true\nmaxretry = 4\n");
    let [jail] = &plan.jails[..] else { panic!("{:?}", plan.jails) };
    assert!(jail.filter.is_none() && jail.sources.is_empty() && jail.maxretry == 4);
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
}

#[test]
fn slips_of_the_pen_are_told_at_their_place() {
    insta::assert_snapshot!(told(r#"
[defaults]
escalate = 5
subnet = { after = 1, widest_ipv6 = 60 }
[jail.a]
enabled = true
filter = "sshd"
escalate = { faktor = 2, multipliers = [1, "2", 5000] }
mode = "watch"
logpath = "/var/log/auth.log"
[jail.recidive]
enabled = true
logpath = "/var/log/x"
"#), @r#"
        error: defaults.escalate: expected true, false or a table such as { ... }, not this number
         --> /etc/kban/kban.toml:3:12
          |
        3 | escalate = 5
          |            ^

        error: defaults.subnet.after: 1 is too small
         --> /etc/kban/kban.toml:4:20
          |
        4 | subnet = { after = 1, widest_ipv6 = 60 }
          |                    ^
          |
          = help: write a number from 2 to 256

        error: defaults.subnet.widest_ipv6: 60 is not a prefix length that can be banned as a whole
         --> /etc/kban/kban.toml:4:37
          |
        4 | subnet = { after = 1, widest_ipv6 = 60 }
          |                                     ^^
          |
          = help: write 64, 56 or 48

        error: unknown key `faktor` in [jail.a.escalate]
         --> /etc/kban/kban.toml:8:14
          |
        8 | escalate = { faktor = 2, multipliers = [1, "2", 5000] }
          |              ^^^^^^
          |
          = help: did you mean `factor`?

        error: jail.a.escalate.multipliers: expected a number from 1 to 1000, not a string
         --> /etc/kban/kban.toml:8:44
          |
        8 | escalate = { faktor = 2, multipliers = [1, "2", 5000] }
          |                                            ^^^

        error: jail.a.escalate.multipliers: 5000 is no factor
         --> /etc/kban/kban.toml:8:49
          |
        8 | escalate = { faktor = 2, multipliers = [1, "2", 5000] }
          |                                                 ^^^^
          |
          = help: write a number from 1 to 1000

        error: jail.a.mode: `watch` is no mode
         --> /etc/kban/kban.toml:9:8
          |
        9 | mode = "watch"
          |        ^^^^^^^
          |
          = help: write "ban" or "observe"

        error: a jail that counts bans has no logpath
          --> /etc/kban/kban.toml:13:11
           |
        13 | logpath = "/var/log/x"
           |           ^^^^^^^^^^^^
           |
           = help: leave it out, or take away counts = "bans"

        8 errors
        "#);
}
