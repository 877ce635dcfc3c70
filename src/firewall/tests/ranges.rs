//! Networks of unusual lengths.

use super::*;
use crate::namespace::in_namespace;

fn held(firewall: &mut Firewall) -> Vec<(String, Option<u64>)> {
    let elements = firewall.elements().unwrap();
    let shown = |element: &Element| {
        (
            element.target.prefix.to_string(),
            element.left.map(|left| (left + Duration::from_millis(500)).as_secs()),
        )
    };
    elements.iter().map(shown).collect()
}

fn replace(firewall: &mut Firewall, bans: &[(&str, Option<u64>)]) {
    let bans: Vec<_> =
        bans.iter().map(|(prefix, left)| (net(prefix), left.map(Duration::from_secs))).collect();
    firewall.replace_ranges(&bans).unwrap();
}

fn held_as(ranges: &[(&str, Option<u64>)]) -> Vec<(String, Option<u64>)> {
    ranges.iter().map(|(prefix, left)| ((*prefix).to_owned(), *left)).collect()
}

#[test]
fn nested_and_neighbouring_ranges_each_keep_their_time() {
    in_namespace("firewall::tests::ranges::nested_and_neighbouring_ranges_each_keep_their_time", || {
        let mut firewall = ready();
        replace(
            &mut firewall,
            &[
                ("10.0.0.0/16", Some(3_600)),
                ("10.0.4.0/22", Some(7_200)),
                ("10.1.0.0/16", None),
                ("224.0.0.0/3", Some(60)),
                ("2001:db8::/32", Some(3_600)),
                ("8000::/1", None),
            ],
        );
        assert_eq!(
            held(&mut firewall),
            held_as(&[
                ("10.0.0.0/22", Some(3_600)),
                ("10.0.4.0/22", Some(7_200)),
                ("10.0.8.0/21", Some(3_600)),
                ("10.0.16.0/20", Some(3_600)),
                ("10.0.32.0/19", Some(3_600)),
                ("10.0.64.0/18", Some(3_600)),
                ("10.0.128.0/17", Some(3_600)),
                ("10.1.0.0/16", None),
                ("224.0.0.0/3", Some(60)),
                ("2001:db8::/32", Some(3_600)),
                ("8000::/1", None),
            ])
        );
        let inside = firewall.contains(net("10.0.4.0/23").into()).unwrap();
        assert_left(inside, 2 * HOUR);
        let amid_a_piece = firewall.contains(net("10.0.130.0/23").into()).unwrap();
        assert_left(amid_a_piece, HOUR);
        assert_eq!(firewall.contains(net("11.0.0.0/16").into()).unwrap(), None);
        replace(&mut firewall, &[("10.0.0.0/15", Some(60))]);
        assert_eq!(held(&mut firewall), held_as(&[("10.0.0.0/15", Some(60))]));
        replace(&mut firewall, &[]);
        assert_eq!(held(&mut firewall), []);
        firewall.tidy().unwrap();
        insta::assert_snapshot!(nft("list table inet kban"));
    });
}

#[test]
fn ranges_stay_when_the_table_is_set_up_again() {
    in_namespace("firewall::tests::ranges::ranges_stay_when_the_table_is_set_up_again", || {
        let mut firewall = ready();
        replace(&mut firewall, &[("10.0.0.0/15", Some(3_600))]);
        let mut other = Firewall::open(Options::sized(65_536)).unwrap();
        let found = other.set_up(&[]).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(held(&mut other), held_as(&[("10.0.0.0/15", Some(3_600))]));
        assert!(nft("list table inet kban").contains("@net4_any goto offender"));
        replace(&mut other, &[("10.0.0.0/14", None)]);
        assert_eq!(held(&mut other), held_as(&[("10.0.0.0/14", None)]));
    });
}

#[test]
fn many_ranges_are_written_in_several_messages() {
    in_namespace("firewall::tests::ranges::many_ranges_are_written_in_several_messages", || {
        let mut firewall = ready();
        let bans: Vec<_> = (0..2_000_u32)
            .map(|number| (net(&format!("{}.{}.0.0/23", 11 + number / 250, number % 250)), Some(HOUR)))
            .collect();
        firewall.replace_ranges(&bans).unwrap();
        assert_eq!(firewall.elements().unwrap().len(), 2_000);
    });
}
