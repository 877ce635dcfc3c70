//! `banctl config import`: what it makes of fail2ban's configuration passes `banctl check`, and what it leaves out is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::corpus::Package;
use crate::harness::{stderr, stdout};

fn banctl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_banctl")).args(arguments).output().unwrap()
}

/// A configuration of fail2ban's with this jail.conf and this jail.local, and a filter `door`.
fn configuration(conf: &str, local: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("filter.d")).unwrap();
    fs::write(directory.path().join("filter.d/door.conf"), "[Definition]\nfailregex = ^knock from <HOST>$\n")
        .unwrap();
    fs::write(directory.path().join("jail.conf"), conf).unwrap();
    fs::write(directory.path().join("jail.local"), local).unwrap();
    directory
}

/// The text with the directory as `DIR`.
fn relative(text: &str, directory: &Path) -> String {
    text.replace(&directory.display().to_string(), "DIR")
}

#[track_caller]
fn passes_check(toml: &Path) {
    let checked = banctl(&["--config", &toml.display().to_string(), "check"]);
    assert!(checked.status.success(), "{}{}", stdout(&checked), stderr(&checked));
}

const CONF: &str = "[DEFAULT]
bantime = 1h
findtime = 600
maxretry = 5
ignoreip = 127.0.0.1/8 ::1
enabled = false
filter = %(__name__)s
action = iptables[name=%(__name__)s]

[door]
logpath = /var/log/door.log
[gate]
filter = door
logpath = /var/log/gate.log tail
          /var/log/gate/*.log
[asleep]
logpath = /var/log/asleep.log
";

#[test]
fn a_whole_configuration_is_carried_over() {
    let directory = configuration(CONF, "[door]\nenabled = true\nbantime = -1\nmaxretry = 3\n");
    let imported = banctl(&["config", "import", &directory.path().display().to_string()]);
    assert_eq!((imported.status.code(), stderr(&imported).as_str()), (Some(0), ""));
    assert_eq!(
        relative(&stdout(&imported), directory.path()),
        "# Made by `banctl config import` from DIR.\n\
         \n\
         [defaults]\n\
         bantime = \"1h\"\n\
         findtime = \"10m\"\n\
         maxretry = 5\n\
         ignoreip = [\"127.0.0.0/8\", \"::1\"]\n\
         # fail2ban counts and bans single IPv6 addresses. 64 is wiser: one customer has them all.\n\
         ipv6_prefix = 128\n\
         \n\
         [jail.door]\n\
         enabled = true\n\
         filter = \"DIR/filter.d/door.conf\"\n\
         logpath = \"/var/log/door.log\"\n\
         bantime = \"permanent\"\n\
         maxretry = 3\n"
    );
}

#[test]
fn ports_are_carried_over_where_the_action_looks_at_them() {
    for (jail, expected) in [
        ("port = ssh\n", "port = \"ssh\"\n"),
        (
            "port = http,https, 8000:8010\nprotocol = all\n",
            "port = [\"http\", \"https\", \"8000-8010\"]\nprotocol = [\"tcp\", \"udp\"]\n",
        ),
        ("port = 53\nprotocol = udp\n", "port = 53\nprotocol = \"udp\"\n"),
        ("port = 0:65535\n", ""),
        ("port = ssh\naction = nftables-allports[name=x]\n", ""),
    ] {
        let directory = configuration(CONF, &format!("[door]\nenabled = true\n{jail}"));
        let to = directory.path().join("kban.toml");
        let imported = banctl(&[
            "config",
            "import",
            &directory.path().display().to_string(),
            "--to",
            &to.display().to_string(),
        ]);
        let text = fs::read_to_string(&to).unwrap();
        assert_eq!(stderr(&imported), "", "{jail}");
        let port = text.lines().filter(|line| line.starts_with("port") || line.starts_with("protocol"));
        assert_eq!(port.map(|line| format!("{line}\n")).collect::<String>(), expected, "{jail}");
        passes_check(&to);
    }
}

#[test]
fn what_cannot_be_carried_over_is_told_with_its_line() {
    let local = "[DEFAULT]
bantime.increment = true
ignoreip = 127.0.0.1/8 office.example.net
[gate]
enabled = yes
port = nowhere
action = iptables
         sendmail[name=x]
ignoreip = 192.0.2.7 file:/etc/office Home.example.net
ignorecommand = /bin/true <ip> | cat
colour = green
[door]
enabled = true
backend = systemd
filter = dor
";
    let directory = configuration(CONF, local);
    let to = directory.path().join("kban.toml");
    let (from, file) = (directory.path().display().to_string(), to.display().to_string());
    let imported = banctl(&["config", "import", &from, "--to", &file]);
    assert_eq!((imported.status.code(), stdout(&imported).as_str()), (Some(1), ""));
    let told = relative(&stderr(&imported), directory.path());
    let lines: Vec<&str> = told.lines().collect();
    for expected in [
        "DIR/jail.conf:14: logpath = /var/log/gate/*.log is not carried over: kban takes no wildcards yet: ",
        "DIR/jail.local:6: port = nowhere is not carried over: ",
        "DIR/jail.local:7: action sendmail is not carried over: ",
        "DIR/jail.local:9: ignoreip: the jail gate spares 127.0.0.0/8 too, by [defaults]: ",
        "DIR/jail.local:10: ignorecommand is not carried over: ",
        "DIR/jail.local:11: colour is not carried over: ",
        "DIR/jail.local:14: the jail door has no journalmatch and reads the whole journal; it is not enabled: ",
        "DIR/jail.local:15: the jail door is not enabled, because kban cannot run its filter dor: ",
    ] {
        assert_eq!(lines.iter().filter(|line| line.starts_with(expected)).count(), 1, "{expected}\n{told}");
    }
    assert_eq!(lines.len(), 8, "{told}");
    let written = relative(&fs::read_to_string(&to).unwrap(), directory.path());
    let gate = "[jail.gate]\nenabled = true\nfilter = \"DIR/filter.d/door.conf\"\nlogpath = \"/var/log/gate.log\"\nignoreip = [\"192.0.2.7\", \"/etc/office\", \"home.example.net\"]\n";
    assert!(written.contains("ignoreip = [\"127.0.0.0/8\", \"office.example.net\"]\n"), "{written}");
    assert!(written.contains(gate) && written.contains("[jail.door]\nenabled = false\n"), "{written}");
    passes_check(&to);

    let again = banctl(&["config", "import", &from, "--to", &file]);
    assert_eq!(again.status.code(), Some(2), "a file that exists is not touched");
    assert!(stderr(&again).contains("name a new file"), "{}", stderr(&again));
    let json = banctl(&["--json", "config", "import", &from]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["schema"], json["problems"].as_array().unwrap().len()), (&1.into(), 8));
    assert_eq!(json["problems"][0]["line"], 14);
    assert_eq!(relative(json["config"].as_str().unwrap(), directory.path()), written);
}

#[test]
fn growing_bans_and_recidive_are_carried_over() {
    let local = "[DEFAULT]
bantime.increment = true
bantime.maxtime = 5w
bantime.rndtime = 8m
bantime.overalljails = true
[gate]
enabled = yes
action = iptables
bantime.factor = 1
bantime.multipliers = 1 5 30 60
[recidive]
enabled = true
filter = recidive
logpath = /var/log/fail2ban.log
bantime = 1w
findtime = 1d
bantime.increment = false
";
    let directory = configuration(CONF, local);
    let to = directory.path().join("kban.toml");
    let (from, file) = (directory.path().display().to_string(), to.display().to_string());
    let imported = banctl(&["config", "import", &from, "--to", &file]);
    let told = stderr(&imported);
    assert!(!told.contains("bantime.") && !told.contains("recidive"), "{told}");
    let written = fs::read_to_string(&to).unwrap();
    let rest = "max = \"5w\", jitter = \"8m\", across_jails = true }\n";
    assert!(written.contains(&format!("\nescalate = {{ factor = 2, {rest}")), "{written}");
    assert!(written.contains(&format!("\nescalate = {{ multipliers = [1, 5, 30, 60], {rest}")), "{written}");
    let recidive = "[jail.recidive]\nenabled = true\ncounts = \"bans\"\nbantime = \"1w\"\nfindtime = \"1d\"\nescalate = false\n";
    assert!(written.contains(recidive), "{written}");
    passes_check(&to);
}

#[test]
fn a_directory_without_jails_is_no_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let imported = banctl(&["config", "import", &directory.path().display().to_string()]);
    assert_eq!(imported.status.code(), Some(2));
    assert!(stderr(&imported).contains("neither jail.conf nor jail.local"), "{}", stderr(&imported));
}

/// Every jail of the package at once: what can run is enabled, and the result is a configuration.
#[test]
fn the_packages_configuration_passes_check() {
    let package = Package::find().config;
    let directory = tempfile::tempdir().unwrap();
    let own = directory.path().join("fail2ban");
    let copied = Command::new("cp").arg("-r").arg(&package).arg(&own).status().unwrap();
    assert!(copied.success());
    let import = |local: &str, name: &str| -> (PathBuf, Output) {
        fs::write(own.join("jail.local"), local).unwrap();
        let to = directory.path().join(name);
        let (from, file) = (own.display().to_string(), to.display().to_string());
        let output = banctl(&["config", "import", &from, "--to", &file]);
        (to, output)
    };
    let some = "[sshd]\nenabled = true\nmode = aggressive\n[postfix]\nenabled = true\n[recidive]\nenabled = true\n\
                [pass2allow-ftp]\nenabled = true\n[nginx-http-auth]\nenabled = true\nlogpath = /var/log/nginx/error.log\n";
    let (toml, output) = import(some, "some.toml");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    passes_check(&toml);
    let text = fs::read_to_string(&toml).unwrap();
    let sshd = format!("filter = \"{}/filter.d/sshd.conf[mode=aggressive]\"", own.display());
    assert!(text.contains(&sshd), "{text}");
    assert!(text.contains("[jail.pass2allow-ftp]\nenabled = false"), "who knocks is not banned: {text}");
    assert!(text.contains("bantime = \"1w\"\nfindtime = \"1d\"\n"), "{text}");

    let (toml, output) = import("[DEFAULT]\nenabled = true\n", "all.toml");
    assert_eq!(output.status.code(), Some(1));
    passes_check(&toml);
    let text = fs::read_to_string(&toml).unwrap();
    let enabled = text.matches("\nenabled = true\n").count();
    assert!(enabled >= 60, "only {enabled} jails can run:\n{}", stderr(&output));
    assert!(!stderr(&output).contains("cannot run its filter"), "{}", stderr(&output));
}

#[test]
fn what_reads_the_journal_goes_on_reading_it() {
    let local = "[gate]
enabled = yes
backend = systemd
journalmatch = _SYSTEMD_UNIT=gate.service + _COMM=gate
[door]
enabled = true
";
    let directory = configuration(CONF, local);
    let to = directory.path().join("kban.toml");
    let (from, file) = (directory.path().display().to_string(), to.display().to_string());
    let imported = banctl(&["config", "import", &from, "--to", &file]);
    let told = relative(&stderr(&imported), directory.path());
    assert!(told.contains("DIR/jail.local:4: any local user can write what matches _COMM=gate: "), "{told}");
    let written = relative(&fs::read_to_string(&to).unwrap(), directory.path());
    let gate = "[jail.gate]\nenabled = true\nfilter = \"DIR/filter.d/door.conf\"\n\
                journalmatch = \"_SYSTEMD_UNIT=gate.service + _COMM=gate\"\n";
    assert!(written.contains(gate), "{written}");
    passes_check(&to);
}
