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
