//! `[source.NAME]`, and the jails that read them.

use super::*;

fn jail(more: &str) -> String {
    format!("[jail.here]\nenabled = true\n{more}\n")
}

fn help(text: &str) -> (String, String) {
    let report = Etc::new(&[("kban.toml", text)]).load().unwrap_err();
    let problem = report.problems.first().unwrap();
    (problem.message.clone(), problem.help.clone().unwrap_or_default())
}

#[test]
fn a_jail_reads_the_sources_that_it_names() {
    let app = "[source.app]\npipe = \"/run/app.pipe\"\n";
    let plan = |jails: &str| Etc::new(&[("kban.toml", &format!("{app}{jails}"))]).load().unwrap();
    let pipe = Input::Pipe { name: "app".into(), path: "/run/app.pipe".into() };
    assert_eq!(plan(&jail("source = \"app\"")).jails[0].sources, std::slice::from_ref(&pipe), "and no file");
    let both = plan(&jail("logpath = \"/var/log/x\"\nsource = [\"app\", \"app\"]"));
    assert_eq!(both.jails[0].sources, [Input::File("/var/log/x".into()), pipe]);
}

#[test]
fn each_kind_is_planned() {
    let text = format!(
        "{}[source.edge]\nsyslog = [\"udp://0.0.0.0:514\", \"unix:///run/x\"]\nallow = \"10.0.0.0/8\"\ngroup = \"adm\"\n\
         [source.lone]\nsyslog = \"tcp://[::1]:601\"\n[source.pods]\ncommand = [\"kubectl\", \"logs\"]\n",
        jail("source = [\"edge\", \"lone\", \"pods\"]")
    );
    let plan = Etc::new(&[("kban.toml", &text)]).load().unwrap();
    let names: Vec<String> = plan.jails[0].sources.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["syslog edge", "syslog lone", "command pods"]);
    let Input::Syslog(edge) = &plan.jails[0].sources[0] else { panic!("{:?}", plan.jails[0].sources) };
    assert_eq!((edge.listen.len(), edge.allow.len(), edge.group.as_deref()), (2, 1, Some("adm")));
}

#[test]
fn mistakes_are_told_with_what_to_write() {
    let app = "[source.app]\npipe = \"/run/app.pipe\"\n";
    for (text, message, remedy) in [
        (format!("{app}{}", jail("source = \"apps\"")), "no source `apps`", "did you mean \"app\"?"),
        (
            format!("{app}{}", jail("source = \"kubernetes\"")),
            "no source `kubernetes`",
            "[source.kubernetes]",
        ),
        (jail("source = []"), "list is empty", "leave the key out"),
        (
            jail("counts = \"bans\"\nsource = \"app\"").to_string(),
            "counts bans has no source",
            "leave it out",
        ),
        ("[source.app]\n".to_owned(), "does not say what is read", "pipe ="),
        (
            "[source.x]\nsyslog = \"udp://0.0.0.0:514\"\n".to_owned(),
            "everybody who reaches udp://0.0.0.0:514",
            "allow =",
        ),
        (
            "[source.x]\nsyslog = \"udp://0.0.0.0:514\"\nallow = \"::/0\"\n".to_owned(),
            "covers everything",
            "may send",
        ),
        ("[source.x]\nsyslog = \"0.0.0.0\"\n".to_owned(), "no place to listen", "udp://ADDRESS:PORT"),
        (
            "[source.x]\nsyslog = [\"udp://edge:514\", \"unix:///a\"]\n".to_owned(),
            "no address with a port",
            "an address of this machine",
        ),
        ("[source.x]\nsyslog = [\"unix:///a\", \"unix:///a\"]\n".to_owned(), "named twice", "once"),
        ("[source.x]\nsyslog = \"unix:///a\"\npipe = \"/b\"\n".to_owned(), "more than one thing", "keep one"),
        (
            "[source.x]\npipe = \"/b\"\nallow = \"10.0.0.0/8\"\n".to_owned(),
            "allow is for sources with syslog",
            "leave",
        ),
        ("[source.x]\ncommand = []\n".to_owned(), "does not name a program", "no shell"),
        ("[source.x]\ncommand = [\"./x\"]\n".to_owned(), "does not name a program", "whole path"),
        ("[source.app]\npipe = \"x\"\n".to_owned(), "not an absolute path", "the whole path"),
        ("[source.\"a b\"]\npipe = \"/x\"\n".to_owned(), "cannot be the name of a source", "letters"),
    ] {
        let (said, help) = help(&text);
        assert!(said.contains(message) && help.contains(remedy), "{text}\n{said}\n{help}");
    }
}
