use super::Etc;

const SIGNER: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";

#[test]
fn a_machine_has_its_part_or_none() {
    assert_eq!(Etc::new(&[("kban.toml", "[jail.here]\nenabled = true\n")]).load().unwrap().fleet, None);
    let text = format!(
        "[fleet]\nrole = [\"host\", \"edge\"]\nserver = \"[2001:db8::1]:4222\"\nname = \"web1\"\nsigner = \"{SIGNER}\"\n"
    );
    let plan = Etc::new(&[("kban.toml", &text)]).load().unwrap();
    let fleet = plan.fleet.unwrap();
    assert_eq!((fleet.firewall, fleet.host, fleet.edge, &*fleet.name), (false, true, true, "web1"));
    assert_eq!((fleet.spool, fleet.evidence, fleet.max_reports_per_minute), (16 << 20, false, 6_000));
    assert!(plan.warnings.is_empty(), "an edge needs no jail: {:?}", plan.warnings);
    let text = "[fleet]\nrole = \"firewall\"\nserver = \"fw:4222\"\n[jail.fleet]\nenabled = true\n";
    let plan = Etc::new(&[("kban.toml", text)]).load().unwrap();
    assert!(plan.fleet.unwrap().firewall && plan.warnings.is_empty(), "{:?}", plan.warnings);
    assert_eq!(plan.jails[0].maxretry, 1);
}

#[test]
fn what_a_fleet_needs_is_asked_for_by_name() {
    for (text, words) in [
        ("[fleet]\nrole = \"host\"\nname = \"a\"\n", "does not say where the server is"),
        ("[fleet]\nrole = \"host\"\nserver = \"fw:1\"\n", "what this machine is called"),
        ("[fleet]\nrole = \"edge\"\nserver = \"fw:1\"\nname = \"a\"\n", "whose decisions"),
        (
            "[fleet]\nrole = [\"firewall\", \"edge\"]\nserver = \"fw:1\"\nname = \"a\"\n",
            "neither a host nor an edge",
        ),
        ("[fleet]\nrole = \"boss\"\n", "`boss` is nothing"),
        ("[fleet]\nserver = \"fw\"\n", "is not a host and a port"),
        ("[fleet]\nserver = \"fw:99999\"\n", "is not a host and a port"),
        ("[fleet]\nserver = \"tls://fw:1\"\n", "is not a host and a port"),
        ("[fleet]\nname = \"a.b\"\n", "cannot be the name"),
        ("[fleet]\nsigner = \"SUAC\"\n", "is no public key"),
        ("[fleet]\nrole = \"firewall\"\nserver = \"fw:1\"\n", "no jail counts reports"),
        ("[jail.fleet]\nenabled = true\n", "none will come to this machine"),
        (
            "[jail.fleet]\nenabled = true\ncounts = \"failures\"\nfilter = \"here\"\n",
            "counts reports of the fleet and nothing else",
        ),
        (
            "[jail.fleet]\nenabled = true\nlogpath = \"/var/log/x\"\n",
            "a jail that counts reports has no logpath",
        ),
    ] {
        let told = Etc::new(&[("kban.toml", text)]).told();
        assert!(told.contains(words), "{text}{told}");
    }
}

fn peer(name: &str, signer: &str, more: &str) -> String {
    format!("[fleet.peer.{name}]\nserver = \"{name}:4222\"\nname = \"us\"\nsigner = \"{signer}\"\n{more}")
}

#[test]
fn friends_fleets_are_those_of_a_firewall_or_of_a_machine_alone() {
    let other = SIGNER.replace('4', "5");
    let two = [peer("alpha", SIGNER, ""), peer("beta", &other, "weight = 2\n")].concat();
    let fleet = Etc::new(&[("kban.toml", &two)]).load().unwrap().fleet.unwrap();
    assert!(!fleet.firewall && !fleet.host && !fleet.edge && fleet.server.is_empty());
    assert_eq!((fleet.peers.needs, fleet.peers.max_offenders), (2, 50_000));
    assert_eq!(fleet.peers.bantime, Some(std::time::Duration::from_secs(86_400)));
    assert_eq!((fleet.peers.peers["alpha"].weight, fleet.peers.peers["beta"].weight), (1, 2));
    let firewall = "[jail.fleet]\nenabled = true\n[fleet]\nrole = [\"firewall\", \"peer\"]\nserver = \"fw:1\"\nbantime = \"permanent\"\n";
    let plan = Etc::new(&[("kban.toml", &format!("{firewall}{two}"))]).load().unwrap();
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    let fleet = plan.fleet.unwrap();
    assert!(fleet.firewall && fleet.peers.bantime.is_none() && fleet.peers.peers.len() == 2);
    let one = peer("alpha", SIGNER, "");
    for (text, words) in [
        (one.clone(), "theirs is worth 1, and needs = 2"),
        ("[fleet]\nrole = \"peer\"\n".to_owned(), "and there is none"),
        ("[fleet.peer.alpha]\nserver = \"a:1\"\n".to_owned(), "does not say server, signer and name"),
        ("[fleet.peer.\"a b\"]\n".to_owned(), "cannot be the name"),
        ("[fleet]\nneeds = 0\n".to_owned(), "needs"),
        (
            format!("[fleet]\nrole = \"edge\"\nserver = \"a:1\"\nname = \"e\"\n{one}"),
            "not on the word of friends",
        ),
        (format!("{one}{}", peer("again", SIGNER, "")), "it would count twice"),
        (format!("[jail.peers]\nenabled = true\nfilter = \"sshd\"\n{one}"), "belongs to the jail peers"),
    ] {
        let told = Etc::new(&[("kban.toml", &text)]).told();
        assert!(told.contains(words), "{text}{told}");
    }
}
