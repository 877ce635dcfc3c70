//! Names of what is not there, and of what cannot be; each as the administrator is told.

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
          = help: a jail is written [jail.sshd]; other tables are `defaults`, `jail`, `source`, `feed`, `firewall`, `store`, `control`

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
