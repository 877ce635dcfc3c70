//! Files that cannot be read, or that are no TOML; and all mistakes of several files at once.

use std::fs;

use super::{Etc, told};

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
