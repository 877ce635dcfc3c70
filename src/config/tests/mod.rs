//! What an administrator sees: real files in, the plan or the rendered report out.

mod allowed;
mod documented;
mod feeds;
mod files;
#[cfg(feature = "fleet")]
mod fleet;
mod journal;
mod judgement;
mod mistakes;
mod schema;
mod sources;
mod store;
mod unused;
mod values;

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::duration::BanTime;
use super::*;
use crate::filter::Filter;
use crate::source::Input;

/// An /etc/kban of its own.
struct Etc(TempDir);

impl Etc {
    fn new(files: &[(&str, &str)]) -> Self {
        let etc = Etc(tempfile::tempdir().unwrap());
        for (name, text) in files {
            etc.write(name, text.as_bytes());
        }
        etc
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn layout(&self) -> Layout {
        Layout {
            main: self.path("kban.toml"),
            main_required: false,
            drop_ins: Some(self.path("kban.d")),
            filter_dirs: vec![self.path("filter.d")],
            root: self.path("machine"),
        }
    }

    fn load(&self) -> Result<Plan, Report> {
        load_with(&self.layout(), &library)
    }

    /// The report or the warnings as text, with the temporary directory called /etc/kban.
    fn told(&self) -> String {
        let report = self.load().map_or_else(|report| report, |plan| Report::from(plan.warnings));
        report.render(false, 100).replace(&*self.0.path().to_string_lossy(), "/etc/kban")
    }
}

/// Knows sshd (whose first log file does not exist anywhere), `here` (whose log file exists), `many` (whose second path
/// means a file), `logless`, and a `broken` one.
fn library(reference: &str, _: &[PathBuf]) -> Result<LoadedFilter, FilterProblem> {
    let logpath = match reference {
        "sshd" => vec![PathBuf::from("/nonexistent/auth.log"), PathBuf::from("/nonexistent/secure")],
        "here" => vec![PathBuf::from("/nonexistent/a.log"), PathBuf::from("/dev/null")],
        "many" => vec![PathBuf::from("/nonexistent/*.log"), PathBuf::from("/etc/passw?")],
        "logless" => Vec::new(),
        "broken" => {
            return Err(FilterProblem {
                message: "the pattern has an unclosed group".to_owned(),
                help: Some("close it with `)`".to_owned()),
                location: Some((
                    "/etc/kban/filter.d/broken.toml".into(),
                    13..14,
                    "failregex = [\"(\"]\n".to_owned(),
                )),
            });
        }
        _ => {
            return Err(FilterProblem {
                message: format!("there is no filter `{reference}`"),
                help: Some("`banctl filters` lists them".to_owned()),
                location: None,
            });
        }
    };
    // Its service has no unit.
    let name = if reference == "logless" { "apache-auth" } else { "sshd" };
    Ok(LoadedFilter { filter: Arc::new(Filter::load(name, &[]).expect("the catalogue has it")), logpath })
}

/// What one kban.toml is told.
fn told(text: &str) -> String {
    Etc::new(&[("kban.toml", text)]).told()
}

#[test]
fn without_any_file_sshd_is_protected() {
    let etc = Etc::new(&[]);
    let plan = etc.load().unwrap();
    let [sshd] = plan.jails.as_slice() else { panic!("{plan:?}") };
    assert_eq!(&*sshd.name, "sshd");
    assert_eq!(sshd.maxretry, 5);
    assert_eq!(sshd.findtime, Duration::from_secs(600));
    assert_eq!(sshd.bantime, BanTime::For(Duration::from_secs(600)));
    assert_eq!((sshd.ipv6_prefix, sshd.max_tracked), (64, 100_000));
    assert_eq!(sshd.sources, [Input::File("/nonexistent/auth.log".into())]);
    assert_eq!(plan.firewall.set_size, 1_048_576);
    assert_eq!(plan.control.group, "kban");
    assert_eq!(
        (&plan.ignoreip, &sshd.ignoreip),
        (&network::Ignored::default(), &network::Ignored::default())
    );
    insta::assert_snapshot!(etc.told(), @r#"
        warning: jail sshd: none of its log files exists (/nonexistent/auth.log, /nonexistent/secure)
         --> built-in, as there is no configuration:1:1
          |
        1 | [jail.sshd]
          | ^^^^^^^^^^^
          |
          = help: waiting for /nonexistent/auth.log; another one is named with logpath
        "#);
}

#[test]
fn an_empty_file_is_a_configuration() {
    insta::assert_snapshot!(told(""), @r#"
        warning: no jail is enabled: nothing will be banned
         |
         = help: write enabled = true in a jail, such as [jail.sshd]
        "#);
}

#[test]
fn a_single_file_is_read_alone() {
    let etc = Etc::new(&[
        ("my.toml", "[defaults]\nmaxretry = 2\n"),
        ("kban.d/1.toml", "[defaults]\nmaxretry = 9\n"),
    ]);
    let (merged, problems) = read(&Layout::single(etc.path("my.toml")));
    assert_eq!(problems, []);
    assert_eq!(merged.file.defaults.maxretry.as_ref().unwrap().value.0, 2);
    let missing = load_with(&Layout::single(etc.path("other.toml")), &library).unwrap_err();
    assert!(missing.to_string().contains("other.toml: the configuration file does not exist"), "{missing}");
}

#[test]
fn later_files_win_key_by_key() {
    let etc = Etc::new(&[
        (
            "kban.toml",
            "[defaults]\nmaxretry = 2\nbantime = \"1h\"\nignoreip = [\"192.0.2.1\"]\n[jail.here]\nenabled = true\nlogpath = \"/var/log/x\"\n",
        ),
        ("kban.d/20-b.toml", "[defaults]\nmaxretry = 4\n[jail.here]\nbantime = \"permanent\"\n"),
        (
            "kban.d/10-a.toml",
            "defaults.maxretry = 3\ndefaults.ignoreip = [\"2001:db8::/32\", \"::ffff:192.0.2.0/120\"]\n",
        ),
        ("kban.d/30-c.toml~", "[defaults]\nmaxretry = 99\n"),
        ("kban.d/.40-d.toml", "[defaults]\nmaxretry = 99\n"),
        ("kban.d/50.toml.dpkg-new", "[defaults]\nmaxretry = 99\n"),
    ]);
    let plan = etc.load().unwrap();
    let [here] = plan.jails.as_slice() else { panic!("{plan:?}") };
    assert_eq!(here.maxretry, 4, "20-b is after 10-a, whatever the order of the directory");
    assert_eq!(here.bantime, BanTime::Permanent, "a table is joined");
    assert_eq!(here.sources, [Input::File("/var/log/x".into())], "and keeps its other keys");
    let ignored: Vec<String> = plan.ignoreip.networks.iter().map(ToString::to_string).collect();
    assert_eq!(ignored, ["2001:db8::/32", "192.0.2.0/24"], "a list is replaced; IPv4-mapped is IPv4");
}

#[test]
fn values_remember_where_they_were_typed() {
    let etc = Etc::new(&[
        ("kban.toml", "# \u{e9}\n[jail.here]\nenabled = true\nmaxretry = 2\n"),
        ("kban.d/1.toml", "[jail.here]\nmaxretry = 3\n"),
    ]);
    let (merged, _) = read(&etc.layout());
    let jail =
        merged.file.jail.iter().find(|(name, _)| &*name.0 == "here").map(|(_, jail)| &jail.value).unwrap();
    let origin = |span: &Range<usize>| {
        let (file, span) = merged.layers.locate(span).unwrap();
        (file.path.file_name().unwrap().to_string_lossy().into_owned(), file.text[span].to_owned())
    };
    assert_eq!(origin(&jail.maxretry.as_ref().unwrap().span), ("1.toml".to_owned(), "3".to_owned()));
    assert_eq!(origin(&jail.enabled.as_ref().unwrap().span), ("kban.toml".to_owned(), "true".to_owned()));
    let built_in = &merged.file.defaults.bantime.as_ref().unwrap().span;
    assert_eq!(origin(built_in), ("built-in defaults".to_owned(), "\"10m\"".to_owned()));
}

#[test]
fn the_filters_log_files() {
    let etc = Etc::new(&[("kban.toml", "[jail.here]\nenabled = true\n")]);
    let plan = etc.load().unwrap();
    assert_eq!(plan.jails[0].sources, [Input::File("/dev/null".into())], "the first that exists");
    assert_eq!(plan.warnings, []);
    insta::assert_snapshot!(told("[jail.logless]\nenabled = true\n"), @r#"
        error: jail logless: its filter knows no log file
         --> /etc/kban/kban.toml:1:1
          |
        1 | [jail.logless]
          | ^^^^^^^^^^^^^^
          |
          = help: name it: logpath = "/var/log/..."
        "#);
}

#[test]
fn jails_with_one_filter_share_it() {
    let etc = Etc::new(&[(
        "kban.toml",
        "[jail.a]\nenabled = true\nfilter = \"here\"\n[jail.b]\nenabled = true\nfilter = \"here\"\n",
    )]);
    let plan = etc.load().unwrap();
    assert!(Arc::ptr_eq(plan.jails[0].filter.as_ref().unwrap(), plan.jails[1].filter.as_ref().unwrap()));
}

#[test]
fn json_for_editors() {
    let report = Etc::new(&[("kban.toml", "[defaults]\nbantme = \"1h\"\n")]).load().unwrap_err();
    let json: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    assert_eq!(json["schema"], 1);
    let problem = &json["problems"][0];
    assert_eq!((&problem["line"], &problem["column"]), (&2.into(), &1.into()));
    assert_eq!(problem["severity"], "error");
    assert_eq!(problem["help"], "did you mean `bantime`?");
    assert!(problem["file"].as_str().unwrap().ends_with("/kban.toml"));
}

/// Reading again for each mistake must not make a long file of mistakes endless.
#[test]
fn long_files_of_mistakes_come_to_an_end() {
    let long = |line: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        for number in 0.. {
            let line = line(number);
            if text.len() + line.len() > 200 * 1024 {
                break;
            }
            text.push_str(&line);
        }
        text
    };
    for text in [
        long(&|number| format!("key{number} = {number}\n")),
        format!("[broken\n{}", long(&|number| format!("key{number} = {number}\n")).split_off(20)),
        long(&|_| "[\n".to_owned()),
        long(&|_| "a=\n".to_owned()),
        long(&|number| format!("[[jail.x]]\nx{number} = 1\n")),
        long(&|number| format!("[jail.x{number}]\nmaxretry = 0\n")),
        format!("defaults.ignoreip = [{}]", long(&|_| "7,".to_owned()).split_off(40)),
    ] {
        let report = Etc::new(&[("kban.toml", &text)]).load().unwrap_err();
        assert!((1..=101).contains(&report.problems.len()), "{}", report.problems.len());
        let _ = report.render(false, 100);
    }
}

#[test]
fn editors_of_other_systems_are_read() {
    let etc = Etc::new(&[("kban.toml", "\u{feff}[jail.here]\r\nenabled = true\r\nmaxretry = 2\r\n")]);
    assert_eq!(etc.load().unwrap().jails[0].maxretry, 2);
    let broken = Etc::new(&[("kban.toml", "\u{feff}[jail.here]\r\nenabled = 1\r\n")]).load().unwrap_err();
    assert_eq!((broken.problems[0].line(), broken.problems[0].column()), (Some(2), Some(11)));
}

#[test]
fn deep_nesting_is_refused() {
    for text in [
        "[".repeat(100_000),
        format!("[{}a]", "a.".repeat(100_000)),
        format!("{}a = 1", "a.".repeat(100_000)),
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}", "{a=".repeat(100_000)),
    ] {
        assert!(Etc::new(&[("kban.toml", &text)]).load().is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let etc = Etc::new(&[]);
        etc.write("kban.toml", &bytes);
        let told = etc.told();
        prop_assert!(!told.chars().any(|c| c.is_control() && c != '\n'), "{told:?}");
    }

    #[test]
    fn arbitrary_toml_never_panics(
        lines in proptest::collection::vec(
            "(\\[{0,2}(jail|defaults|\"\\PC\")(\\.\"?[a-z\u{1b}\u{e9}]{0,3}\"?)?\\]{0,2})\
             |(enabled|bantime|ignoreip|logpath|jail|x) ?[=.] ?(true|-?[0-9]{1,25}|\"\\PC{0,4}\"?|\\[.{0,8}\\]?|\\{[a-z=1,]{0,6}\\}?)",
            0..12,
        ),
    ) {
        let etc = Etc::new(&[("kban.toml", &lines.join("\n")), ("kban.d/1.toml", &lines.concat())]);
        let _ = etc.told();
    }
}
