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
        ("[source.app]\npipe = \"x\"\n".to_owned(), "not an absolute path", "the whole path"),
        ("[source.\"a b\"]\npipe = \"/x\"\n".to_owned(), "cannot be the name of a source", "letters"),
    ] {
        let (said, help) = help(&text);
        assert!(said.contains(message) && help.contains(remedy), "{text}\n{said}\n{help}");
    }
}
