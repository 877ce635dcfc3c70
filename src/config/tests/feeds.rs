//! `[feed.NAME]`: what is taken, and what is told.

use super::*;
use crate::config::plan::FeedSource;

fn feeds(text: &str) -> Vec<plan::FeedPlan> {
    let plan = Etc::new(&[("kban.toml", text)]).load();
    plan.unwrap_or_else(|report| panic!("{}", report.render(false, 100))).feeds
}

#[test]
fn a_feed_has_one_source_and_defaults() {
    let feeds = feeds(
        "[feed.a]\nfile = \"/a.netset\"\n[feed.b]\nurl = \"https://example.org/b?x=1\"\nevery = \"1d\"\nbantime = \"2d\"\n\
         [feed.c]\ncommand = [\"/bin/c\", \"-x\"]\nmax_entries = 7\nbantime = \"permanent\"\n[feed.d]\nenabled = false\n",
    );
    let [a, b, c] = feeds.as_slice() else { panic!("{feeds:?}") };
    assert_eq!((&*a.name, &a.source), ("a", &FeedSource::File("/a.netset".into())));
    assert_eq!((a.every, a.bantime, a.max_entries), (Duration::from_secs(3600), None, 500_000));
    assert_eq!((b.every, b.bantime), (Duration::from_secs(86_400), Some(Duration::from_secs(172_800))));
    assert_eq!(b.source, FeedSource::Url("https://example.org/b?x=1".into()));
    assert_eq!(
        (&c.source, c.bantime, c.max_entries),
        (&FeedSource::Command(vec!["/bin/c".into(), "-x".into()]), None, 7)
    );
}

#[test]
fn mistakes_are_told_with_their_place_and_what_to_write() {
    for (text, line, words, help) in [
        ("every = \"1h\"", 1, "does not say where its list comes from", "write one of file"),
        ("file = \"/a\"\nurl = \"https://x/\"", 3, "more than one place", "a feed of its own"),
        ("file = \"a.netset\"", 2, "not an absolute path", "the whole path"),
        ("url = \"ftp://x/list\"", 2, "not a URL that can be fetched", "https://HOST/PATH"),
        ("url = \"https://\"", 2, "not a URL that can be fetched", "https://HOST/PATH"),
        ("url = \"https://me:secret@x/list\"", 2, "holds a password", "let a command fetch"),
        ("command = [\"curl\", \"x\"]", 2, "does not name a program", "its whole path"),
        ("command = []", 2, "does not name a program", "its whole path"),
        ("command = \"/bin/x\"", 2, "expected a list", ""),
        ("file = \"/a\"\nevery = \"59s\"", 3, "too often", "at least \"1m\""),
        ("file = \"/a\"\nevery = 3600", 3, "no unit", "\"1h\""),
        ("file = \"/a\"\nbantime = \"1h\"", 3, "before its list is read again", "more than \"1h\""),
        ("file = \"/a\"\nmax_entries = 0", 3, "too small", "from 1 to 2000000"),
        ("fil = \"/a\"", 2, "unknown key `fil`", "did you mean `file`"),
    ] {
        let told = told(&format!("[feed.x]\n{text}\n"));
        assert!(told.contains(words) && told.contains(help), "{text}: {told}");
        assert!(told.contains(&format!("kban.toml:{line}:")), "{text}: {told}");
        assert!(!told.contains("secret@x") || told.contains("password"), "{told}");
    }
    assert!(told("[feed.\"a/b\"]\nfile = \"/a\"").contains("cannot be the name of a feed"));
    assert!(
        told("[feed.x]\nurl = \"http://example.org/\"").contains("warning: feed x: whoever is on the way")
    );
    assert!(!told("[feed.x]\nurl = \"http://127.0.0.1:8080/\"").contains("warning"));
}
