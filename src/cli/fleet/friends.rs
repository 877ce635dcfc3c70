//! Friends' fleets whose offenders this machine reads: `banctl fleet join` with a friend's line, and `revoke` with its name.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;

use super::super::config::absolute;
use super::super::exit::{Exit, Failure, usage};
use super::super::{Shared, enable};
use super::{Join, making};
use crate::config;
use crate::config::fleet::MemberName;
use crate::fleet::invitation::{Answer, Invitation};
use crate::fleet::keys;
use crate::fleet::setup::{SIGNER_SEED, peer_files};

/// The drop-in that says who a friend is: behind the one that says what this machine is.
fn drop_in(name: &str) -> String {
    format!("51-peer-{name}.toml")
}

pub(super) fn join(
    shared: &Shared,
    options: &Join,
    invitation: &Invitation,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let layout = shared.layout();
    let Invitation { name: called, server, signer, ca, offer, .. } = invitation;
    let name = match &options.name {
        Some(name) => Arc::clone(&name.0),
        None => named_like(server).0,
    };
    let (merged, _) = config::read(&layout);
    let fleet = &merged.file.fleet;
    if fleet.peer.contains_key(&MemberName(Arc::clone(&name))) {
        return Err(usage(format!(
            "a friend's fleet is called {name} already: `banctl fleet revoke {name}` first, or choose another --name"
        )));
    }
    let configured = super::directory(&layout);
    let directory = match &options.directory {
        Some(directory) => absolute(directory)?,
        None => configured.clone(),
    };
    if directory != configured && (fleet.role.is_some() || !fleet.peer.is_empty()) {
        let configured = configured.display();
        return Err(usage(format!("the keys of this machine are in {configured}: leave --directory out")));
    }
    if keys::load(&directory.join(SIGNER_SEED)).is_ok_and(|own| own.public_key() == *signer) {
        return Err(usage("this is a line of this machine's own fleet: it is for a friend's firewall"));
    }
    let elsewhere = match directory == configured {
        true => String::new(),
        false => format!("[fleet]\ndirectory = {:?}\n\n", directory.to_string_lossy()),
    };
    let text = format!(
        "# Written by `banctl fleet join`.\n{elsewhere}[fleet.peer.{name}]\nserver = {server:?}\nsigner = {signer:?}\nname = {called:?}\n"
    );
    let drop_in = making::named_drop_in(&layout, &drop_in(&name), text)?;
    let (seed, certificate) = peer_files(&name);
    let key = making::make_key(&directory, &seed, (&certificate, ca))?;
    let answer =
        Answer { name: called.clone(), host: None, edge: None, peer: Some(key), offer: offer.clone() };
    making::put(shared, drop_in)?;
    making::print_line(shared, &name, "accept", &answer.line(), out)
}

/// What a fleet is called whose server is at HOST:PORT.
fn named_like(server: &str) -> MemberName {
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let name: String = host.trim_matches(['[', ']']).chars().map(letter).take(32).collect();
    MemberName(name.into())
}

/// Reads the offenders of a friend's fleet no more. Whether they were read.
pub(super) fn leave(shared: &Shared, name: &str) -> Result<bool, Failure> {
    let layout = shared.layout();
    let known = |layout| {
        let (merged, _) = config::read(layout);
        let table = merged.file.fleet.peer.get(&MemberName(name.into()))?;
        merged.layers.locate(&table.span).map(|(file, _)| file.path.display().to_string())
    };
    if known(&layout).is_none() {
        return Ok(false);
    }
    if let Some(drop_ins) = &layout.drop_ins {
        remove(&drop_ins.join(drop_in(name)))?;
    }
    if let Some(file) = known(&layout) {
        return Err(usage(format!(
            "{file} has [fleet.peer.{name}], which is not of `banctl fleet join`: remove it there"
        )));
    }
    let directory = super::directory(&layout);
    let (seed, certificate) = peer_files(name);
    for file in [seed, certificate] {
        remove(&directory.join(file))?;
    }
    enable::reload(shared)?;
    Ok(true)
}

fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            let what = format!("cannot remove {}: {error}; run banctl as root", path.display());
            Err(Failure::new(Exit::Permission, what))
        }
        _ => Ok(()),
    }
}
