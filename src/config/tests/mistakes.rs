//! Each kind of mistake, and the report that the administrator gets.

use std::fs;

use super::{Etc, told};

#[test]
fn an_unknown_filter_is_shown_in_the_file_that_named_it() {
    let etc = Etc::new(&[
        ("kban.toml", "[jail.vnc]\nenabled = true\nfilter = \"here\"\n"),
        ("kban.d/10-vnc.toml", "\n[jail.vnc]\nfilter = \"tightvnc\"\n"),
        ("kban.d/20-web.toml", "[jail.web]\nenabled = true\n"),
    ]);
    insta::assert_snapshot!(etc.told(), @r#"
        error: there is no filter `tightvnc`
         --> /etc/kban/kban.d/10-vnc.toml:3:10
          |
        3 | filter = "tightvnc"
          |          ^^^^^^^^^^
          |
          = help: `banctl filters` lists them

        error: there is no filter `web`
         --> /etc/kban/kban.d/20-web.toml:1:1
          |
        1 | [jail.web]
          | ^^^^^^^^^^
          |
          = help: `banctl filters` lists them

        2 errors
        "#);
}

#[test]
fn a_broken_filter_is_told_once_and_in_its_own_file() {
    insta::assert_snapshot!(told("[jail.a]\nenabled = true\nfilter = \"broken\"\n[jail.b]\nenabled = true\nfilter = \"broken\"\n"), @r#"
        error: the pattern has an unclosed group
         --> /etc/kban/filter.d/broken.toml:1:14
          |
        1 | failregex = ["("]
          |              ^
          |
          = help: close it with `)`
        "#);
}

#[test]
fn unknown_keys() {
    insta::assert_snapshot!(told(r#"
bantime = "1h"

[sshd]
enabled = true

[default]
maxretry = 5

[jail.here]
enabled = true
ban_time = "1h"
colour = "red"
"#), @r#"
        error: unknown key `bantime`
         --> /etc/kban/kban.toml:2:1
          |
        2 | bantime = "1h"
          | ^^^^^^^
          |
          = help: write it below a table such as [defaults] or [jail.NAME]

        error: unknown key `sshd`
         --> /etc/kban/kban.toml:4:2
          |
        4 | [sshd]
          |  ^^^^
          |
          = help: a jail is written [jail.sshd]; other tables are `defaults`, `jail`, `source`, `feed`, `firewall`, `store`, `control`, `fleet`

        error: unknown key `default`
         --> /etc/kban/kban.toml:7:2
          |
        7 | [default]
          |  ^^^^^^^
          |
          = help: did you mean `defaults`?

        error: unknown key `ban_time` in [jail.here]
          --> /etc/kban/kban.toml:12:1
           |
        12 | ban_time = "1h"
           | ^^^^^^^^
           |
           = help: did you mean `bantime`?

        error: unknown key `colour` in [jail.here]
          --> /etc/kban/kban.toml:13:1
           |
        13 | colour = "red"
           | ^^^^^^
           |
           = help: known here: `enabled`, `filter`, `logpath`, `source`, `journalmatch`, `bantime`, `findtime`, `maxretry`, `ignoreip`, `proxies`, `ignorecommand`, `ignorecommand_timeout`, `ipv6_prefix`, `max_tracked`, `port`, `protocol`, `usedns`, `escalate`, `subnet`, `trust`, `mode`, `max_bans_per_minute`, `counts`, `renew_on_contact`, `catch_up`, `format`, `poll`

        5 errors
        "#);
}

#[test]
fn wrong_types() {
    insta::assert_snapshot!(told(r#"
firewall = 5
[jail.here]
enabled = "yes"
maxretry = "5"
logpath = 7
ignoreip = "10.0.0.0/8"
max_tracked = 1.5
bantime = true
[[jail.list]]
enabled = true
"#), @r#"
        error: firewall: expected a table of keys (in single brackets), not this number
         --> /etc/kban/kban.toml:2:12
          |
        2 | firewall = 5
          |            ^

        error: jail.here.enabled: expected true or false (without quotes), not a string
         --> /etc/kban/kban.toml:4:11
          |
        4 | enabled = "yes"
          |           ^^^^^

        error: jail.here.maxretry: the number is in quotes
         --> /etc/kban/kban.toml:5:12
          |
        5 | maxretry = "5"
          |            ^^^
          |
          = help: write 5

        error: jail.here.logpath: expected the path of a log file, or a list of paths, not this number
         --> /etc/kban/kban.toml:6:11
          |
        6 | logpath = 7
          |           ^

        error: jail.here.ignoreip: the addresses are not in a list
         --> /etc/kban/kban.toml:7:12
          |
        7 | ignoreip = "10.0.0.0/8"
          |            ^^^^^^^^^^^^
          |
          = help: write ["10.0.0.0/8"]

        error: jail.here.max_tracked: expected a whole number from 1 to 10000000, not a fraction
         --> /etc/kban/kban.toml:8:15
          |
        8 | max_tracked = 1.5
          |               ^^^

        error: jail.here.bantime: expected a duration such as "10m", not true or false
         --> /etc/kban/kban.toml:9:11
          |
        9 | bantime = true
          |           ^^^^

        error: jail.list: expected a table of keys (in single brackets), not a list
          --> /etc/kban/kban.toml:10:1
           |
        10 | [[jail.list]]
           | ^^^^^^^^^^^^^

        8 errors
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

#[test]
fn names_that_cannot_be() {
    insta::assert_snapshot!(told(r#"
[jail.manual]
[jail."feed.x"]
[jail."a b"]
[jail.here]
logpath = ["/var/log/**/xy", "var/log/x", "/var/log/", "/var/log/ok"]
filter = ""
[control]
group = "no group"
"#), @r#"
        error: `manual` is reserved and cannot be the name of a jail
         --> /etc/kban/kban.toml:2:7
          |
        2 | [jail.manual]
          |       ^^^^^^
          |
          = help: choose another name: bans by hand belong to it

        error: `feed.x` is reserved and cannot be the name of a jail
         --> /etc/kban/kban.toml:3:7
          |
        3 | [jail."feed.x"]
          |       ^^^^^^^^
          |
          = help: choose another name: names with `feed.` belong to feeds

        error: `a b` cannot be the name of a jail
         --> /etc/kban/kban.toml:4:7
          |
        4 | [jail."a b"]
          |       ^^^^^
          |
          = help: use 1 to 64 letters, digits, `.`, `_` or `-`

        error: jail.here.logpath: `/var/log/**/xy` has `**`, which logpath does not take
         --> /etc/kban/kban.toml:6:12
          |
        6 | logpath = ["/var/log/**/xy", "var/log/x", "/var/log/", "/var/log/ok"]
          |            ^^^^^^^^^^^^^^^^
          |
          = help: write `*/` for each directory on the way

        error: jail.here.logpath: `var/log/x` is not an absolute path
         --> /etc/kban/kban.toml:6:30
          |
        6 | logpath = ["/var/log/**/xy", "var/log/x", "/var/log/", "/var/log/ok"]
          |                              ^^^^^^^^^^^
          |
          = help: write the whole path, such as "/var/log/auth.log"

        error: jail.here.logpath: `/var/log/` is a directory
         --> /etc/kban/kban.toml:6:43
          |
        6 | logpath = ["/var/log/**/xy", "var/log/x", "/var/log/", "/var/log/ok"]
          |                                           ^^^^^^^^^^^
          |
          = help: name the log file in it

        error: jail.here.filter: the name of the filter is empty or has control characters
         --> /etc/kban/kban.toml:7:10
          |
        7 | filter = ""
          |          ^^
          |
          = help: name a filter, such as "sshd"; left out, it is the jail's own name

        error: control.group: `no group` cannot be the name of a group
         --> /etc/kban/kban.toml:9:9
          |
        9 | group = "no group"
          |         ^^^^^^^^^^
          |
          = help: name a group of this machine, such as "kban"

        8 errors
        "#);
}

#[test]
fn not_toml() {
    insta::assert_snapshot!(told("[defaults]\nbantime = 10m\nmaxretry = 3\nmaxretry = 4\n[jail.here\nenabled = true\nfindtme = \"1h\"\n"), @r#"
        error: not valid TOML: the value has no quotes
         --> /etc/kban/kban.toml:2:11
          |
        2 | bantime = 10m
          |           ^^^
          |
          = help: write "10m"

        error: not valid TOML: duplicate key
         --> /etc/kban/kban.toml:4:1
          |
        4 | maxretry = 4
          | ^^^^^^^^

        error: not valid TOML: unclosed table, expected `]`
         --> /etc/kban/kban.toml:5:11
          |
        5 | [jail.here
          |           ^

        3 errors
        "#);
}

#[test]
fn everything_at_once_in_every_file() {
    let etc = Etc::new(&[
        ("kban.toml", "[defaults]\nbantime = 600\nmaxretr = 3\n[jail.off]\nenabled = false\nmaxretry = 0\n"),
        (
            "kban.d/10.toml",
            "[jail.here]\nenabled = true\nfilter = \"hre\"\nlogpath = \"x\"\n[defaults]\nbantime = \"1h\"\n",
        ),
        ("kban.d/20.toml", "x =\n"),
    ]);
    etc.write("kban.d/30.toml", b"[control]\ngroup = \"k\xe9\"\n");
    fs::create_dir(etc.path("kban.d/40.toml")).unwrap();
    insta::assert_snapshot!(etc.told(), @r#"
        error: the configuration is not a regular file
        --> /etc/kban/kban.d/40.toml
         = help: name a file; drop-ins are read from the directory kban.d

        error: defaults.bantime: the duration 600 has no unit
         --> /etc/kban/kban.toml:2:11
          |
        2 | bantime = 600
          |           ^^^
          |
          = help: write "10m" (or "600s")

        error: unknown key `maxretr` in [defaults]
         --> /etc/kban/kban.toml:3:1
          |
        3 | maxretr = 3
          | ^^^^^^^
          |
          = help: did you mean `maxretry`?

        error: jail.off.maxretry: 0 is too small
         --> /etc/kban/kban.toml:6:12
          |
        6 | maxretry = 0
          |            ^
          |
          = help: write a number from 1 to 1000000

        error: there is no filter `hre`
         --> /etc/kban/kban.d/10.toml:3:10
          |
        3 | filter = "hre"
          |          ^^^^^
          |
          = help: `banctl filters` lists them

        error: jail.here.logpath: `x` is not an absolute path
         --> /etc/kban/kban.d/10.toml:4:11
          |
        4 | logpath = "x"
          |           ^^^
          |
          = help: write the whole path, such as "/var/log/auth.log"

        error: not valid TOML: the value is missing
         --> /etc/kban/kban.d/20.toml:1:4
          |
        1 | x =
          |    ^
          |
          = help: write a value after `=`

        error: control.group: `k�` cannot be the name of a group
         --> /etc/kban/kban.d/30.toml:2:9
          |
        2 | group = "k�"
          |         ^^^^
          |
          = help: name a group of this machine, such as "kban"

        error: the file is not UTF-8 from here on
         --> /etc/kban/kban.d/30.toml:2:11
          |
        2 | group = "k�"
          |           ^
          |
          = help: save it as UTF-8, or write the character as \u00e9 does

        9 errors
        "#);
}

#[test]
fn files_that_cannot_be_read() {
    let etc = Etc::new(&[("kban.toml", &" ".repeat(1024 * 1024 + 1))]);
    std::os::unix::fs::symlink("/nonexistent/x", etc.path("link")).unwrap();
    fs::create_dir(etc.path("kban.d")).unwrap();
    fs::rename(etc.path("link"), etc.path("kban.d/1.toml")).unwrap();
    nix::unistd::mkfifo(&etc.path("kban.d/2.toml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    insta::assert_snapshot!(etc.told(), @r#"
        error: the configuration file is longer than 1 MiB
        --> /etc/kban/kban.toml
         = help: is it the right file? Split it into drop-ins if it is

        error: the configuration file is a link to nothing
        --> /etc/kban/kban.d/1.toml
         = help: mend the link, or remove it

        error: the configuration is not a regular file
        --> /etc/kban/kban.d/2.toml
         = help: name a file; drop-ins are read from the directory kban.d

        3 errors
        "#);
}

#[test]
fn a_list_is_no_table() {
    insta::assert_snapshot!(told("defaults = [\"1h\"]\n[[jail.here]]\nenabled = true\n"), @r#"
        error: defaults: expected a table of keys (in single brackets), not a list
         --> /etc/kban/kban.toml:1:12
          |
        1 | defaults = ["1h"]
          |            ^^^^^^

        error: jail.here: expected a table of keys (in single brackets), not a list
         --> /etc/kban/kban.toml:2:1
          |
        2 | [[jail.here]]
          | ^^^^^^^^^^^^^

        2 errors
        "#);
}

#[test]
fn fail2bans_spelling_is_answered() {
    insta::assert_snapshot!(told("[defaults]\nignoreip = \"127.0.0.1/8 ::1\"\nmaxretry = \"5\"\nbantime = -1\n"), @r#"
        error: defaults.ignoreip: the addresses are not in a list
         --> /etc/kban/kban.toml:2:12
          |
        2 | ignoreip = "127.0.0.1/8 ::1"
          |            ^^^^^^^^^^^^^^^^^
          |
          = help: write ["127.0.0.0/8", "::1"]

        error: defaults.maxretry: the number is in quotes
         --> /etc/kban/kban.toml:3:12
          |
        3 | maxretry = "5"
          |            ^^^
          |
          = help: write 5

        error: defaults.bantime: the duration is negative
         --> /etc/kban/kban.toml:4:11
          |
        4 | bantime = -1
          |           ^^
          |
          = help: write a length such as "10m"; a ban without end is "permanent"

        3 errors
        "#);
}
