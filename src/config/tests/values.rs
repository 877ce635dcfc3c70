//! Wrong values, and how the administrator is told of them.

use super::told;

#[test]
fn wrong_types() {
    insta::assert_snapshot!(told(r#"
store = ["disk"]
firewall = 5
[jail.here]
enabled = "yes"
maxretry = "5"
logpath = 7
ignoreip = "127.0.0.1/8 ::1"
max_tracked = 1.5
bantime = true
[[jail.list]]
enabled = true
"#), @r#"
        error: store: expected a table of keys (in single brackets), not a list
         --> /etc/kban/kban.toml:2:9
          |
        2 | store = ["disk"]
          |         ^^^^^^^^

        error: firewall: expected a table of keys (in single brackets), not this number
         --> /etc/kban/kban.toml:3:12
          |
        3 | firewall = 5
          |            ^

        error: jail.here.enabled: expected true or false (without quotes), not a string
         --> /etc/kban/kban.toml:5:11
          |
        5 | enabled = "yes"
          |           ^^^^^

        error: jail.here.maxretry: the number is in quotes
         --> /etc/kban/kban.toml:6:12
          |
        6 | maxretry = "5"
          |            ^^^
          |
          = help: write 5

        error: jail.here.logpath: expected the path of a log file, or a list of paths, not this number
         --> /etc/kban/kban.toml:7:11
          |
        7 | logpath = 7
          |           ^

        error: jail.here.ignoreip: the addresses are not in a list
         --> /etc/kban/kban.toml:8:12
          |
        8 | ignoreip = "127.0.0.1/8 ::1"
          |            ^^^^^^^^^^^^^^^^^
          |
          = help: write ["127.0.0.0/8", "::1"]

        error: jail.here.max_tracked: expected a whole number from 1 to 10000000, not a fraction
         --> /etc/kban/kban.toml:9:15
          |
        9 | max_tracked = 1.5
          |               ^^^

        error: jail.here.bantime: expected a duration such as "10m", not true or false
          --> /etc/kban/kban.toml:10:11
           |
        10 | bantime = true
           |           ^^^^

        error: jail.list: expected a table of keys (in single brackets), not a list
          --> /etc/kban/kban.toml:11:1
           |
        11 | [[jail.list]]
           | ^^^^^^^^^^^^^

        9 errors
        "#);
}

#[test]
fn durations_without_sense() {
    insta::assert_snapshot!(told(r#"
[defaults]
bantime = 600
findtime = "permanent"
[jail.here]
bantime = -1
findtime = "3600"
[jail.other]
bantime = "10 parsecs"
findtime = "0s"
"#), @r#"
        error: defaults.bantime: the duration 600 has no unit
         --> /etc/kban/kban.toml:3:11
          |
        3 | bantime = 600
          |           ^^^
          |
          = help: write "10m" (or "600s")

        error: defaults.findtime: only a ban can be permanent
         --> /etc/kban/kban.toml:4:12
          |
        4 | findtime = "permanent"
          |            ^^^^^^^^^^^
          |
          = help: write a length such as "10m"

        error: jail.here.bantime: the duration is negative
         --> /etc/kban/kban.toml:6:11
          |
        6 | bantime = -1
          |           ^^
          |
          = help: write a length such as "10m"; a ban without end is "permanent"

        error: jail.here.findtime: the duration 3600 has no unit
         --> /etc/kban/kban.toml:7:12
          |
        7 | findtime = "3600"
          |            ^^^^^^
          |
          = help: write "1h" (or "3600s")

        error: jail.other.bantime: `10 parsecs` is not a duration
         --> /etc/kban/kban.toml:9:11
          |
        9 | bantime = "10 parsecs"
          |           ^^^^^^^^^^^^
          |
          = help: write numbers with units (s, m, h, d, w), such as "90s", "10m" or "1d 6h"

        error: jail.other.findtime: the duration is zero
          --> /etc/kban/kban.toml:10:12
           |
        10 | findtime = "0s"
           |            ^^^^
           |
           = help: write at least "1s", such as "10m"

        6 errors
        "#);
}

#[test]
fn numbers_out_of_range() {
    insta::assert_snapshot!(told(r#"
[defaults]
maxretry = 0
ipv6_prefix = 60
max_tracked = 10_000_001
[firewall]
set_size = -3
"#), @r#"
        error: defaults.maxretry: 0 is too small
         --> /etc/kban/kban.toml:3:12
          |
        3 | maxretry = 0
          |            ^
          |
          = help: write a number from 1 to 1000000

        error: defaults.ipv6_prefix: 60 is not a prefix length that can be banned
         --> /etc/kban/kban.toml:4:15
          |
        4 | ipv6_prefix = 60
          |               ^^
          |
          = help: write 128 (single addresses), 64, 56 or 48

        error: defaults.max_tracked: 10000001 is too large
         --> /etc/kban/kban.toml:5:15
          |
        5 | max_tracked = 10_000_001
          |               ^^^^^^^^^^
          |
          = help: write a number from 1 to 10000000

        error: firewall.set_size: -3 is too small
         --> /etc/kban/kban.toml:7:12
          |
        7 | set_size = -3
          |            ^^
          |
          = help: write a number from 1 to 16777216

        4 errors
        "#);
}

#[test]
fn networks_that_are_none() {
    insta::assert_snapshot!(told(r#"
[defaults]
ignoreip = ["10.13.37.5/24", "0.0.0.0/0", "::ffff:0.0.0.0/96", "300.1.1.1", "local:ost", "10.0.0.0/33", "192.0.2.1", 5]
"#), @r#"
        error: defaults.ignoreip: `10.13.37.5/24` has bits set behind its prefix length
         --> /etc/kban/kban.toml:3:13
          |
        3 | ignoreip = ["10.13.37.5/24", "0.0.0.0/0", "::ffff:0.0.0.0/96", "300.1.1.1", "local:ost", "10....
          |             ^^^^^^^^^^^^^^^
          |
          = help: write "10.13.37.0/24", or "10.13.37.5" for the single address

        error: defaults.ignoreip: `0.0.0.0/0` covers everything
         --> /etc/kban/kban.toml:3:30
          |
        3 | ignoreip = ["10.13.37.5/24", "0.0.0.0/0", "::ffff:0.0.0.0/96", "300.1.1.1", "local:ost", "10....
          |                              ^^^^^^^^^^^
          |
          = help: nobody would ever be banned: name the networks that are to be spared

        error: defaults.ignoreip: `::ffff:0.0.0.0/96` covers everything
         --> /etc/kban/kban.toml:3:43
          |
        3 | ignoreip = ["10.13.37.5/24", "0.0.0.0/0", "::ffff:0.0.0.0/96", "300.1.1.1", "local:ost", "10....
          |                                           ^^^^^^^^^^^^^^^^^^^
          |
          = help: nobody would ever be banned: name the networks that are to be spared

        error: defaults.ignoreip: `300.1.1.1` is neither an address nor a prefix
         --> /etc/kban/kban.toml:3:64
          |
        3 | ignoreip = ["10.13.37.5/24", "0.0.0.0/0", "::ffff:0.0.0.0/96", "300.1.1.1", "local:ost", "10....
          |                                                                ^^^^^^^^^^^
          |
          = help: write an address or a prefix, such as "192.0.2.7", "10.0.0.0/8" or "2001:db8::/32"

        error: defaults.ignoreip: `local:ost` is neither an address nor a prefix
         --> /etc/kban/kban.toml:3:77
          |
        3 | ignoreip = ["10.13.37.5/24", "0.0.0.0/0", "::ffff:0.0.0.0/96", "300.1.1.1", "local:ost", "10....
          |                                                                             ^^^^^^^^^^^
          |
          = help: write an address or a prefix, such as "192.0.2.7", "10.0.0.0/8" or "2001:db8::/32"

        error: defaults.ignoreip: `10.0.0.0/33` has no valid prefix length
         --> /etc/kban/kban.toml:3:90
          |
        3 | ....0.0.0/96", "300.1.1.1", "local:ost", "10.0.0.0/33", "192.0.2.1", 5]
          |                                          ^^^^^^^^^^^^^
          |
          = help: write a number from 1 to 32 after the slash

        error: defaults.ignoreip: expected an address, a prefix, a name or a file in quotes, not this number
         --> /etc/kban/kban.toml:3:118
          |
        3 | ...", "local:ost", "10.0.0.0/33", "192.0.2.1", 5]
          |                                                ^

        7 errors
        "#);
}
