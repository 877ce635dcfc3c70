//! `banctl fleet init`, `invite`, `join` and `accept`: what they write, and who has to know.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Group, Pid, User, geteuid};
use serde::Serialize;

use super::super::config::absolute;
use super::super::enable::files::{self, Change};
use super::super::exit::{Exit, Failure, usage};
use super::super::{Shared, enable, output};
use super::{Accept, Becomes, Init, Invite, Join, friends};
use crate::config::fleet::DIRECTORY;
use crate::config::{Layout, SourceFile};
use crate::fleet::certificates;
use crate::fleet::invitation::{Answer, Invitation};
use crate::fleet::keys;
use crate::fleet::members::{Member, Members};
use crate::fleet::setup::{
    self, CA, CONFIGURATION, DECISIONS_SEED, EDGE_SEED, HOST_SEED, Place, REPORTS_SEED, SIGNER_SEED,
};

/// The drop-in that says what this machine is.
const DROP_IN: &str = "50-fleet.toml";
/// The user that Debian's nats-server is.
const NATS: &str = "nats";
/// The group that kband is, unless `[control] group` says otherwise.
const KBAN: &str = "kban";

/// `{"schema":1,"directory":...}`.
#[derive(Serialize)]
struct Made<'a> {
    directory: &'a Path,
    configuration: &'a Path,
    /// Whether a running kband knows.
    reloaded: bool,
}

pub(super) fn init(shared: &Shared, options: &Init, out: &mut dyn Write) -> Result<Exit, Failure> {
    let layout = shared.layout();
    let Init { server, directory, store } = options;
    let directory = absolute(directory)?;
    let store = absolute(store)?;
    let (host, port) = server.0.rsplit_once(':').unwrap_or((&server.0, "4222"));
    let place = Place { host: host.to_owned(), port: port.parse().unwrap_or(4222), store: store.clone() };
    let text = format!(
        "# Written by `banctl fleet init`.\n[fleet]\nrole = \"firewall\"\nserver = {:?}\ndirectory = {:?}\n\n\
         [jail.fleet]\nenabled = true\n# So many hosts have to report somebody.\nmaxretry = 1\n",
        server.0,
        directory.to_string_lossy(),
    );
    let drop_in = drop_in(&layout, text)?;
    setup::init(&directory, &place)?;
    fs::create_dir_all(&store).map_err(|error| {
        Failure::new(Exit::No, format!("cannot make {}: {error}; name another with --store", store.display()))
    })?;
    give(&directory, &[REPORTS_SEED, DECISIONS_SEED, SIGNER_SEED], KBAN);
    give_to_server(&directory, Some(&store));
    let reloaded = put(shared, drop_in)?;
    let configuration = directory.join(CONFIGURATION);
    if shared.json {
        output::print_json(out, &Made { directory: &directory, configuration: &configuration, reloaded })?;
        return Ok(Exit::Done);
    }
    writeln!(out, "made a fleet in {}; next:", directory.display())?;
    writeln!(out, "  start its server:   nats-server -c {}", configuration.display())?;
    writeln!(out, "  {}", if reloaded { "kband knows" } else { "start kband" })?;
    writeln!(out, "  invite a machine:   banctl fleet invite NAME")?;
    Ok(Exit::Done)
}

pub(super) fn invite(shared: &Shared, options: &Invite, out: &mut dyn Write) -> Result<Exit, Failure> {
    let directory = super::directory(&shared.layout());
    let members = super::members(&directory)?;
    let name = &options.name.0;
    is_free(&members, name)?;
    let place = setup::place(&directory)?;
    let signer = signer(&directory)?;
    let ca = fs::read_to_string(directory.join(CA))?;
    let invitation = Invitation {
        name: name.to_string(),
        host: matches!(options.role, Becomes::Host | Becomes::Both),
        edge: matches!(options.role, Becomes::Edge | Becomes::Both),
        peer: options.role == Becomes::Peer,
        server: format!("{}:{}", place.host, place.port),
        signer: signer.public_key(),
        ca,
        offer: String::new(),
    };
    print_line(shared, name, "join", &invitation.signed(&signer).line(), out)
}

pub(super) fn join(shared: &Shared, options: &Join, out: &mut dyn Write) -> Result<Exit, Failure> {
    let layout = shared.layout();
    let invitation = Invitation::read(&options.line).map_err(usage)?;
    if invitation.peer {
        return friends::join(shared, options, &invitation, out);
    }
    let directory = absolute(options.directory.as_deref().unwrap_or(Path::new(DIRECTORY)))?;
    let Invitation { name, host, edge, server, signer, ca, offer, .. } = &invitation;
    let roles: Vec<&str> = [(host, "\"host\""), (edge, "\"edge\"")]
        .into_iter()
        .filter_map(|(is, role)| is.then_some(role))
        .collect();
    let text = format!(
        "# Written by `banctl fleet join`.\n[fleet]\nrole = [{}]\nname = {name:?}\nserver = {server:?}\nsigner = {signer:?}\ndirectory = {:?}\n",
        roles.join(", "),
        directory.to_string_lossy(),
    );
    let drop_in = drop_in(&layout, text)?;
    let made = |wanted: &bool, seed: &str| wanted.then(|| make_key(&directory, seed, (CA, ca))).transpose();
    let (host, edge) = (made(host, HOST_SEED)?, made(edge, EDGE_SEED)?);
    let answer = Answer { name: name.clone(), host, edge, peer: None, offer: offer.clone() };
    put(shared, drop_in)?;
    print_line(shared, name, "accept", &answer.line(), out)
}

/// The key that this firewall signs with.
fn signer(directory: &Path) -> Result<nkeys::KeyPair, Failure> {
    Ok(keys::load(&directory.join(SIGNER_SEED)).map_err(setup::SetupError::from)?)
}

/// Makes a key of this machine's in the fleet's directory, and puts there the certificate of the server that it is for. Its
/// public half.
pub(super) fn make_key(directory: &Path, seed: &str, (file, ca): (&str, &str)) -> Result<String, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(
            Exit::Permission,
            format!("cannot write to {}: {error}; run banctl as root", directory.display()),
        )
    };
    fs::create_dir_all(directory).map_err(failed)?;
    let key = keys::make(&directory.join(seed)).map_err(|error| Failure::new(Exit::No, error))?;
    setup::replace(&directory.join(file), ca, 0o644).map_err(failed)?;
    give(directory, &[seed], KBAN);
    Ok(key.public_key())
}

/// The line that `banctl fleet VERB` takes elsewhere: alone on standard output, so that it can be piped. There is no secret in it.
pub(super) fn print_line(
    shared: &Shared,
    name: &str,
    verb: &str,
    line: &str,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    #[derive(Serialize)]
    struct Document<'a> {
        name: &'a str,
        line: &'a str,
    }
    if shared.json {
        output::print_json(out, &Document { name, line })?;
    } else {
        writeln!(out, "banctl fleet {verb} {line}")?;
    }
    Ok(Exit::Done)
}

/// Whether nobody who belongs to the fleet is called so.
fn is_free(members: &Members, name: &Arc<str>) -> Result<(), Failure> {
    match members.current().any(|(known, _)| known == name) {
        true => {
            Err(usage(format!("{name} belongs to the fleet already: `banctl fleet revoke {name}` first")))
        }
        false => Ok(()),
    }
}

pub(super) fn accept(shared: &Shared, options: &Accept, out: &mut dyn Write) -> Result<Exit, Failure> {
    let directory = super::directory(&shared.layout());
    let mut members = super::members(&directory)?;
    let answer = Answer::read(&options.line).map_err(usage)?;
    if !answer.was_offered(&signer(&directory)?) {
        let what = "this is no answer to a line of `banctl fleet invite` here, or it asks for more than that offered";
        return Err(usage(format!("{what}: invite {} again", answer.name)));
    }
    let Answer { name, host, edge, peer, .. } = answer;
    let is_friend = peer.is_some();
    let name: Arc<str> = name.into();
    let taken = |key: &&String| {
        let others = members.current().filter(|(other, _)| **other != name);
        others.flat_map(|(_, member)| member.keys()).any(|other| other == *key)
    };
    if let Some(key) = host.iter().chain(&edge).chain(&peer).find(taken) {
        return Err(usage(format!("another machine of the fleet has the key {key}")));
    }
    is_free(&members, &name)?;
    let (weight, since) = (options.weight, Timestamp::now());
    let member = Member { host, edge, peer, weight, since, revoked: None };
    members.0.insert(Arc::clone(&name), member);
    let told = change(shared, &directory, &members)?;
    if shared.json {
        #[derive(Serialize)]
        struct Accepted<'a> {
            name: &'a str,
            server_reloaded: bool,
        }
        output::print_json(out, &Accepted { name: &name, server_reloaded: told })?;
    } else {
        let reads = "reads whom the jails here have banned, and nothing else";
        writeln!(out, "{name} {}", if is_friend { reads } else { "belongs to the fleet" })?;
        ask_for_reload(told, out)?;
    }
    Ok(Exit::Done)
}

/// Has everybody know of other members: the file, the server, and kband. Whether the server was told.
pub(super) fn change(shared: &Shared, directory: &Path, members: &Members) -> Result<bool, Failure> {
    members.save(directory)?;
    setup::configure(directory, members)?;
    give_to_server(directory, None);
    // Whoever is let in finds everything ready; whoever is shut out is, whatever kband says.
    let reloaded = enable::reload(shared);
    let told = reload_server(directory);
    reloaded?;
    Ok(told)
}

/// A new certificate for the server. Connections that are there go on with the one before.
pub(super) fn renew(shared: &Shared, out: &mut dyn Write) -> Result<Exit, Failure> {
    let directory = super::directory(&shared.layout());
    super::members(&directory)?;
    certificates::renew(&directory, &setup::place(&directory)?.host)?;
    give_to_server(&directory, None);
    let told = reload_server(&directory);
    let until = certificates::end(&directory);
    if shared.json {
        #[derive(Serialize)]
        struct Renewed {
            until: Option<Timestamp>,
            server_reloaded: bool,
        }
        output::print_json(out, &Renewed { until, server_reloaded: told })?;
        return Ok(Exit::Done);
    }
    let until = until.map_or_else(String::new, |until| format!(", good until {}", until.strftime("%F")));
    writeln!(out, "the server has a new certificate{until}")?;
    ask_for_reload(told, out)?;
    Ok(Exit::Done)
}

/// Says what is left to do.
pub(super) fn ask_for_reload(told: bool, out: &mut dyn Write) -> std::io::Result<()> {
    if !told {
        writeln!(
            out,
            "nats-server does not run as its configuration says: start it, or have it read that again (systemctl reload nats-server)"
        )?;
    }
    Ok(())
}

/// Has nats-server read its configuration again. Whether it is there.
fn reload_server(directory: &Path) -> bool {
    let Ok(place) = setup::place(directory) else { return false };
    let pid =
        fs::read_to_string(setup::pid_file(&place)).ok().and_then(|text| text.trim().parse::<i32>().ok());
    let Some(pid) = pid.filter(|pid| *pid > 1) else { return false };
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim() == "nats-server" && kill(Pid::from_raw(pid), Signal::SIGHUP).is_ok()
}

/// The drop-in that says what this machine is in its fleet.
fn drop_in(layout: &Layout, text: String) -> Result<Change, Failure> {
    named_drop_in(layout, DROP_IN, text)
}

/// A drop-in, if the configuration is without errors with it.
pub(super) fn named_drop_in(layout: &Layout, name: &str, text: String) -> Result<Change, Failure> {
    let Some(directory) = &layout.drop_ins else {
        return Err(usage(format!(
            "{} is one file, and what a machine is in its fleet is written to the directory kban.d beside it: give the directory to --config",
            layout.main.display()
        )));
    };
    let file = Arc::new(SourceFile { path: directory.join(name), text });
    let change = Change { before: files::text(&file.path)?, after: file };
    files::tried(layout, std::slice::from_ref(&change))?;
    Ok(change)
}

/// Puts the drop-in in place. Whether a running kband knows.
pub(super) fn put(shared: &Shared, change: Change) -> Result<bool, Failure> {
    let directory = change.after.path.parent().map(Path::to_path_buf).unwrap_or_default();
    let placed = files::put_in_place(&directory, vec![change])?;
    Ok(enable::reload(shared).inspect_err(|_| placed.take_back())?.is_some())
}

/// Lets a group read files, if this is root and there is such a group. Who does not may read them by other means.
fn give(directory: &Path, files: &[&str], group: &str) {
    let Some(group) = Group::from_name(group).ok().flatten().filter(|_| geteuid().is_root()) else { return };
    for file in files {
        let _ = chown(directory.join(file), None, Some(group.gid.as_raw()));
    }
}

fn give_to_server(directory: &Path, store: Option<&Path>) {
    give(directory, &[CONFIGURATION, "server-key.pem"], NATS);
    let Some(user) = User::from_name(NATS).ok().flatten().filter(|_| geteuid().is_root()) else { return };
    if let Some(store) = store {
        let _ = chown(store, Some(user.uid.as_raw()), Some(user.gid.as_raw()));
        let _ = fs::set_permissions(store, fs::Permissions::from_mode(0o750));
    }
}
