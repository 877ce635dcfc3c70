//! Who is never banned: `proxies`, `ignorecommand`; what `ignoreip` takes is tested beside it.

use super::*;

fn plan(text: &str) -> Plan {
    let plan = Etc::new(&[("kban.toml", text)]).load();
    plan.unwrap_or_else(|report| panic!("{}", report.render(false, 100)))
}

#[test]
fn a_command_is_inherited_and_may_be_left_out() {
    let text = "[defaults]\nignorecommand = [\"/bin/a\", \"<ip>\"]\n[jail.here]\nenabled = true\n\
                [jail.none]\nenabled = true\nfilter = \"here\"\nignorecommand = []\n\
                [jail.own]\nenabled = true\nfilter = \"here\"\nignorecommand = [\"/bin/b\", \"-x<ip>\", \"<jail>\"]\nignorecommand_timeout = \"5s\"\n";
    let plan = plan(text);
    let [here, none, own] = plan.jails.as_slice() else { panic!("{plan:?}") };
    let here = here.ignorecommand.as_ref().unwrap();
    assert_eq!((here.words.len(), here.limit), (2, Duration::from_secs(1)));
    assert_eq!(none.ignorecommand, None);
    let own = own.ignorecommand.as_ref().unwrap();
    assert_eq!(own.limit, Duration::from_secs(5));
    assert_eq!(own.for_one("2001:db8::1".parse().unwrap(), "own"), ["/bin/b", "-x2001:db8::1", "own"]);
    assert_eq!(plan.warnings, []);
}

#[test]
fn mistakes_are_told_with_what_to_write() {
    for (text, words, help) in [
        ("ignorecommand = [\"is-ours\", \"<ip>\"]", "does not name a program", "its whole path"),
        ("ignorecommand = \"/bin/is-ours <ip>\"", "expected a list", ""),
        (
            "ignorecommand = [\"/bin/is-ours\"]",
            "warning: the ignorecommand is not told whom",
            "write \"<ip>\"",
        ),
        (
            "ignorecommand = [\"/bin/x\", \"<ip>\"]\nignorecommand_timeout = \"2m\"",
            "wait too long",
            "at most \"1m\"",
        ),
        ("proxies = [\"cdn.example.net\"]", "neither an address nor a prefix", ""),
        ("proxies = [\"0.0.0.0/0\"]", "covers everything", ""),
        (
            "ignoreip = [\"192.0.2.0/24\", \"0.0.0.0/1\", \"128.0.0.0/1\"]",
            "/etc/kban/kban.toml:3:29\n  |\n3 | ignoreip = [\"192.0.2.0/24\", \"0.0.0.0/1\"",
            "of at least /8",
        ),
        ("proxies = [\"2000::/3\"]", "`2000::/3` covers a large part of the Internet", "of at least /16"),
    ] {
        let told = told(&format!("[jail.here]\nenabled = true\n{text}\n"));
        assert!(told.contains(words) && told.contains(help), "{text}: {told}");
    }
}

#[test]
fn proxies_of_every_jail_are_everybodys() {
    let plan = plan(
        "[defaults]\nproxies = [\"192.0.2.1\"]\n[jail.here]\nenabled = true\nproxies = [\"198.51.100.0/24\"]\n\
         [jail.off]\nproxies = [\"203.0.113.1\"]\n",
    );
    let proxies: Vec<String> = plan.proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["192.0.2.1/32", "198.51.100.0/24"]);
}
