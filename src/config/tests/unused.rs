//! Keys that do nothing where they stand.

use super::*;

fn said(text: &str) -> Vec<String> {
    let etc = Etc::new(&[("kban.toml", text)]);
    let (merged, problems) = read(&etc.layout());
    assert_eq!(problems, []);
    let plan = etc.load().unwrap();
    lint(&merged, &plan).iter().map(ToString::to_string).collect()
}

#[test]
fn keys_that_do_nothing_are_told_with_their_place() {
    for (text, place, what) in [
        (
            "[jail.recidive]\nenabled = true\nignorecommand = [\"/bin/x\", \"<ip>\"]\n",
            ":3:17: ",
            "jail recidive: its ignorecommand is never run",
        ),
        (
            "[defaults]\nescalate = { factor = 3, multipliers = [1, 2] }\n[jail.sshd]\nenabled = true\n[jail.recidive]\nenabled = true\n",
            ":2:12: ",
            "its factor is not used",
        ),
        (
            "[store]\nkeep = \"7d\"\n[jail.sshd]\nenabled = true\nescalate = { forget_after = \"8d\" }\n",
            ":5:12: ",
            "forgotten after 8d, but [store] keep says 1w",
        ),
        (
            "[defaults]\ntrust = true\n[jail.sshd]\nenabled = true\n[jail.web]\nenabled = true\nfilter = \"logless\"\nlogpath = \"/dev/null\"\n",
            ":2:9: ",
            "jail web: nobody will be trusted",
        ),
    ] {
        let all = said(text);
        let about: Vec<_> = all.iter().filter(|one| one.contains(what)).collect();
        let [one] = about.as_slice() else { panic!("{text}: {all:?}") };
        assert!(one.contains(place), "{one}");
    }
}

#[test]
fn what_does_something_is_not_told_of() {
    let text = "[defaults]\nignorecommand = [\"/bin/x\", \"<ip>\"]\ntrust = true\nescalate = { factor = 3, forget_after = \"90d\" }\n\
                [jail.sshd]\nenabled = true\n[jail.recidive]\nenabled = true\n\
                [jail.web]\nenabled = true\nfilter = \"logless\"\nlogpath = \"/dev/null\"\ntrust = false\n";
    assert_eq!(said(text), Vec::<String>::new());
}
