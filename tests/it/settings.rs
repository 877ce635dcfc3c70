//! The configuration from banctl's side: shown, compared with what runs, and changed jail by jail.

use std::fs;

use crate::harness::{Daemon, Machine, stderr, stdout};

/// A machine with a directory like /etc/kban.
struct Etc(Machine);

impl Etc {
    fn new(files: &[(&str, &str)]) -> Self {
        let etc = Self(Machine::new());
        fs::create_dir_all(etc.0.path("etc/kban.d")).unwrap();
        for (name, text) in files {
            etc.write(name, text);
        }
        etc
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path("etc").join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path("etc").join(name)).unwrap_or_default()
    }

    fn start(&self) -> Daemon<'_> {
        self.0.start(self.0.kband_of("etc", &self.0.path("run")))
    }

    /// Exit code, standard output and error, without the names of temporary directories.
    fn banctl(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let etc = self.0.path("etc").display().to_string();
        let all: Vec<&str> = ["--config", &etc].into_iter().chain(arguments.iter().copied()).collect();
        let output = self.0.banctl(&all);
        let plain = |text: String| text.replace(&etc, "/etc/kban");
        (output.status.code(), plain(stdout(&output)), plain(stderr(&output)))
    }

    fn jails(&self) -> Vec<String> {
        let status = self.0.banctl_json(&["status"]);
        let jails = status["jails"].as_array().unwrap().iter();
        jails.map(|jail| jail["name"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn a_jail_is_turned_on_and_off_in_a_file_of_its_own() {
    let etc = Etc::new(&[("kban.toml", "[jail.sshd]\nenabled = true\n")]);
    let _daemon = etc.start();
    let (exit, said, _) = etc.banctl(&["enable", "postfix"]);
    let first = said.lines().next().unwrap_or_default();
    assert_eq!(
        (exit, first),
        (Some(0), "postfix is enabled in /etc/kban/kban.d/50-postfix.toml; kband knows")
    );
    assert_eq!(etc.jails(), ["postfix", "sshd"]);
    etc.write("kban.d/50-postfix.toml", "# by hand\n[jail.postfix]\nmaxretry = 7\nenabled = true # why\n");
    let (exit, said, _) = etc.banctl(&["disable", "postfix"]);
    assert!(exit == Some(0) && said.starts_with("postfix is disabled in "), "{said}");
    assert_eq!(
        etc.read("kban.d/50-postfix.toml"),
        "# by hand\n[jail.postfix]\nmaxretry = 7\nenabled = false # why\n"
    );
    assert_eq!(etc.jails(), ["sshd"]);
    assert_eq!(etc.banctl(&["disable", "postfix"]).1, "postfix is disabled already\n");
    let (exit, said, _) = etc.banctl(&["enable", "postfix", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((exit, &document["reloaded"], &document["enabled"]), (Some(0), &true.into(), &true.into()));
    let left: Vec<_> = fs::read_dir(etc.0.path("etc/kban.d")).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing is left behind: {left:?}");
}

#[test]
fn whoever_could_read_the_files_still_can() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    let etc = Etc::new(&[("kban.d/50-postfix.toml", "[jail.postfix]\nmaxretry = 7\n")]);
    let (directory, old) = (etc.0.path("etc/kban.d"), etc.0.path("etc/kban.d/50-postfix.toml"));
    // Somebody without privileges has no other group to give it to.
    let group = if nix::unistd::geteuid().is_root() { 65_534 } else { nix::unistd::getegid().as_raw() };
    chown(&old, None, Some(group)).unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o640)).unwrap();
    let careful = |etc: &Etc, jail: &str| {
        let (banctl, config) = (env!("CARGO_BIN_EXE_banctl"), etc.0.path("etc"));
        etc.0.sh(&format!("umask 077; {banctl} --config {} enable {jail}", config.display()))
    };
    let is = |path: &std::path::Path| {
        let file = fs::metadata(path).unwrap();
        (file.gid(), file.mode() & 0o7777)
    };
    careful(&etc, "postfix");
    assert!(etc.read("kban.d/50-postfix.toml").contains("enabled = true"));
    assert_eq!(is(&old), (group, 0o640));
    careful(&etc, "dovecot");
    assert_eq!(is(&directory.join("50-dovecot.toml")).1, 0o644);
    let etc = Etc(Machine::new());
    fs::create_dir(etc.0.path("etc")).unwrap();
    careful(&etc, "postfix");
    assert_eq!(is(&etc.0.path("etc/kban.d")).1, 0o755);
}

#[test]
fn what_would_not_work_is_refused_and_changes_nothing() {
    let etc = Etc::new(&[
        ("kban.toml", "[jail.sshd]\nenabled = true\n"),
        ("kban.d/90-late.toml", "[jail.postfix]\nenabled = false\n"),
    ]);
    for (jail, exit, sentence) in [
        ("postfix", 1, "/etc/kban/kban.d/90-late.toml:2 is read later and says enabled = false"),
        ("postfox", 2, "there is no jail postfox"),
        ("../x", 2, "cannot be the name of a jail"),
        ("manual", 2, "is reserved"),
    ] {
        let (code, _, said) = etc.banctl(&["enable", jail]);
        assert_eq!(code, Some(exit), "{jail}: {said}");
        assert!(said.contains(sentence), "{jail}: {said}");
    }
    etc.write("kban.d/20-wrong.toml", "[jail.sshd]\nmaxretry = 0\n");
    let (code, _, said) = etc.banctl(&["enable", "dovecot"]);
    assert!(code == Some(1) && said.contains("nothing was changed") && said.contains("^"), "{said}");
    assert_eq!(fs::read_dir(etc.0.path("etc/kban.d")).unwrap().count(), 2);
    let file = etc.0.path("etc/kban.toml").display().to_string();
    let output = etc.0.banctl(&["--config", &file, "enable", "dovecot"]);
    assert!(stderr(&output).contains("give the directory to --config"), "{}", stderr(&output));
}

#[test]
fn the_first_jail_does_not_end_the_protection_of_sshd() {
    let etc = Etc::new(&[]);
    let (exit, said, _) = etc.banctl(&["enable", "postfix"]);
    assert!(exit == Some(0) && said.contains("no kband runs"), "{said}");
    assert!(etc.read("kban.d/50-sshd.toml").contains("[jail.sshd]\nenabled = true"));
    let (_, said, _) = etc.banctl(&["jails", "--json"]);
    let jails: serde_json::Value = serde_json::from_str(&said).unwrap();
    let on = jails["jails"].as_array().unwrap().iter().filter(|jail| jail["enabled"] == true);
    assert_eq!(on.map(|jail| jail["name"].as_str().unwrap()).collect::<Vec<_>>(), ["postfix", "sshd"]);
    insta::assert_snapshot!(etc.banctl(&["jails"]).1);
}

#[test]
fn the_merged_configuration_says_where_each_key_comes_from() {
    let etc = Etc::new(&[
        (
            "kban.toml",
            "[defaults]\nbantime = \"12h\"\nescalate = { factor = 2 }\n[jail.sshd]\nenabled = true\nmaxretry = 4\n",
        ),
        ("kban.d/10-more.toml", "[jail.sshd]\nmaxretry = 3\n[jail.\"a.b\"]\nlogpath = [\"/x\", \"/y\"]\n"),
    ]);
    let (exit, said, _) = etc.banctl(&["config", "show", "--origin"]);
    assert_eq!(exit, Some(0));
    let interesting: Vec<&str> =
        said.lines().filter(|line| line.contains("/etc/kban") || line.starts_with('[')).collect();
    insta::assert_snapshot!(interesting.join("\n"));
    let (_, plain, _) = etc.banctl(&["config", "show"]);
    // What is shown is a configuration, and means the same.
    let again = Etc::new(&[("kban.toml", &plain)]);
    assert_eq!(again.banctl(&["config", "show"]), (Some(0), plain, String::new()));
    let (_, said, _) = etc.banctl(&["config", "show", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&said).unwrap();
    let maxretry = document["settings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["table"] == "jail.sshd" && one["key"] == "maxretry");
    let expected = serde_json::json!({"table": "jail.sshd", "key": "maxretry", "value": "3", "file": "/etc/kban/kban.d/10-more.toml", "line": 2});
    assert_eq!(maxretry, Some(&expected));
    etc.write("kban.d/20-wrong.toml", "[jail.sshd]\nmaxretr = 1\n");
    let (exit, said, error) = etc.banctl(&["config", "show"]);
    assert!(
        exit == Some(1) && said.contains("maxretry = 3") && error.contains("did you mean `maxretry`?"),
        "{error}"
    );
}

#[test]
fn what_runs_is_compared_with_the_files() {
    let etc = Etc::new(&[("kban.toml", "[jail.sshd]\nenabled = true\nmaxretry = 3\n")]);
    assert_eq!(etc.banctl(&["config", "diff"]).0, Some(3));
    let _daemon = etc.start();
    // Without --config banctl looks where the daemon does.
    let same = etc.0.banctl(&["config", "diff"]);
    assert_eq!((same.status.code(), stdout(&same)), (Some(0), "what runs is what the files say\n".into()));
    etc.write(
        "kban.toml",
        "[control]\ngroup = \"adm\"\n\n[jail.sshd]\nenabled = true\nmaxretry = 4\nfindtime = \"1h\"\n",
    );
    let (exit, said, _) = etc.banctl(&["config", "diff"]);
    assert_eq!(exit, Some(1));
    // In which line a default stands is nobody's business.
    let said =
        said.lines().map(|line| line.split("defaults:").next().unwrap()).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(said);
    let (_, said, _) = etc.banctl(&["config", "diff", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(document["changes"][1]["key"], "findtime");
    assert!(document["changes"][1]["running"].is_null());
    assert!(etc.0.banctl(&["reload"]).status.success());
    let (exit, said, _) = etc.banctl(&["config", "diff"]);
    assert!(
        exit == Some(1) && said.contains("group") && !said.contains("maxretry"),
        "a group waits for a restart: {said}"
    );
    etc.write("kban.toml", "[jail.sshd]\nmaxretry = 0\n");
    let (exit, _, error) = etc.banctl(&["config", "diff"]);
    assert!(exit == Some(1) && error.contains("the files have errors"), "{error}");
}

#[test]
fn check_says_what_had_better_be_otherwise() {
    let filter = "[Definition]\nfailregex = login failed .* from <HOST>\n            ^(?!x)denied <HOST>$\n";
    let etc = Etc::new(&[(
        "kban.toml",
        "[jail.sshd]\nenabled = true\nmaxretry = 1\nlogpath = \"/nonexistent/auth.log\"\n\
         [jail.door]\nenabled = true\nlogpath = \"/dev/null\"\n",
    )]);
    fs::create_dir(etc.0.path("etc/filter.d")).unwrap();
    etc.write("filter.d/door.conf", filter);
    let (exit, said, _) = etc.banctl(&["check"]);
    assert_eq!(exit, Some(0), "what is only unwise is no error: {said}");
    insta::assert_snapshot!(said);
    let (_, said, _) = etc.banctl(&["check", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&said).unwrap();
    let problems = document["problems"].as_array().unwrap();
    assert!(
        problems.iter().all(|problem| problem["severity"] == "warning" && problem["line"].is_u64()),
        "{said}"
    );
    etc.write(
        "kban.toml",
        "[jail.sshd]\nenabled = true\nmaxretry = 1\ntrust = true\nlogpath = \"/dev/null\"\n",
    );
    assert_eq!(etc.banctl(&["check"]).1, "the configuration has no errors; enabled: sshd\n");
}

#[test]
fn check_knows_which_logs_a_path_means() {
    let etc = Etc::new(&[]);
    let logs = etc.0.path("logs");
    fs::create_dir_all(logs.join("site")).unwrap();
    fs::write(logs.join("site/access.log"), "").unwrap();
    for (path, format, is_there) in [
        ("*/access.log", "", true),
        ("*/*.none", "", false),
        ("site/access.log", "format = \"docker\"\n", true),
        ("site/none.log", "format = \"docker\"\n", false),
        ("*/none-json.log", "format = \"docker\"\n", false),
    ] {
        let path = logs.join(path);
        etc.write("kban.toml", &format!("[jail.nagios]\nenabled = true\nlogpath = {path:?}\n{format}"));
        let (exit, said, _) = etc.banctl(&["check"]);
        let missing = format!("its log {} does not exist here", path.display());
        assert_eq!((exit, said.contains(&missing)), (Some(0), !is_there), "{said}");
    }
}

#[test]
fn check_names_the_drop_in_that_the_service_lacks() {
    let etc = Etc::new(&[(
        "kban.toml",
        "[jail.sshd]\nenabled = true\nusedns = \"yes\"\nlogpath = \"/home/*/sshd.log\"\n",
    )]);
    let drop_ins = || {
        let (exit, said, _) = etc.banctl(&["check", "--json"]);
        let document: serde_json::Value = serde_json::from_str(&said).unwrap();
        let helps =
            document["problems"].as_array().unwrap().iter().filter_map(|problem| problem["help"].as_str());
        let named = helps.flat_map(|help| help.split("/usr/share/kban/systemd/").skip(1));
        assert_eq!(exit, Some(0), "{said}");
        named.map(|file| file.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(drop_ins(), [""; 0], "no service is installed here");
    let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd");
    etc.0.sh(&format!("install -D -t /run/systemd/system {ours}/kban.service"));
    assert_eq!(drop_ins(), ["network.conf", "home-logs.conf"]);
    etc.0.sh(&format!("install -D -t /run/systemd/system/kban.service.d {ours}/drop-ins/home-logs.conf"));
    assert_eq!(drop_ins(), ["network.conf"]);
}
