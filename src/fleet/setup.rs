//! What `banctl fleet init` makes on the firewall: certificates, keys, and a configuration for nats-server.
//!
//! Five accounts keep apart who may reach what; `docs/decisions/0019` has why, and what was tried against it. Hosts, edges and
//! friends' fleets live in accounts without JetStream and reach the other two by imports of single subjects: what the server answers goes back
//! by a name of its own, so that a reply subject of a client's choice leads nowhere.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::audience::Audience;
use super::certificates;
pub use super::certificates::CA;
use super::certificates::{SERVER, SERVER_KEY};
use super::keys::{self, KeyError};
use super::members::Members;

/// The key that the firewall takes reports with.
pub const REPORTS_SEED: &str = "reports.seed";
/// The one that it publishes decisions with.
pub const DECISIONS_SEED: &str = "decisions.seed";
/// The one that it signs them with.
pub const SIGNER_SEED: &str = "signer.seed";
/// The one that a host reports with.
pub const HOST_SEED: &str = "host.seed";
/// The one that an edge follows decisions with.
pub const EDGE_SEED: &str = "edge.seed";
/// The one that this firewall reads the offenders of a friend's fleet with, and the certificate that its server is known by.
#[must_use]
pub fn peer_files(peer: &str) -> (String, String) {
    (format!("peer-{peer}.seed"), format!("peer-{peer}.pem"))
}
/// The server's configuration.
pub const CONFIGURATION: &str = "nats-server.conf";
/// Where the server runs, as `init` was told: needed to write the configuration again.
const PLACE: &str = "server.toml";

/// Where the server runs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The name or address that everybody reaches it by.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Where it keeps its streams.
    pub store: PathBuf,
}

/// Why a fleet cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A key.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// A file.
    #[error("{}: {error}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the file system says.
        error: io::Error,
    },
    /// A certificate.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// What is written there is not what `init` wrote.
    #[error("{}: {why}", .path.display())]
    Place {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// Writes a file whole or not at all, with this mode.
///
/// # Errors
/// What the file system says; what was there before is still there then.
pub fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let new = path.with_extension("new");
    // One that a crash has left.
    let _ = fs::remove_file(&new);
    let mut file = File::options().write(true).create_new(true).mode(mode).open(&new)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

pub(super) fn write(directory: &Path, name: &str, text: &str, mode: u32) -> Result<(), SetupError> {
    let path = directory.join(name);
    replace(&path, text, mode).map_err(|error| SetupError::File { path, error })
}

/// Makes a fleet in `directory`: keys, certificates, and the server's configuration.
///
/// # Errors
/// There is one already, or something cannot be written.
pub fn init(directory: &Path, place: &Place) -> Result<(), SetupError> {
    fs::create_dir_all(directory)
        .and_then(|()| fs::set_permissions(directory, fs::Permissions::from_mode(0o755)))
        .map_err(|error| SetupError::File { path: directory.to_owned(), error })?;
    // The first of these files says whether there is a fleet already.
    for seed in [SIGNER_SEED, REPORTS_SEED, DECISIONS_SEED] {
        keys::make(&directory.join(seed))?;
    }
    certificates::make(directory, &place.host)?;
    let text = toml::to_string(place)
        .map_err(|error| SetupError::Place { path: directory.join(PLACE), why: error.to_string() })?;
    write(directory, PLACE, &text, 0o640)?;
    configure(directory, &Members::default())
}

/// Where the server of the fleet in `directory` runs.
///
/// # Errors
/// There is no fleet, or its file cannot be read.
pub fn place(directory: &Path) -> Result<Place, SetupError> {
    let path = directory.join(PLACE);
    let text = fs::read_to_string(&path).map_err(|error| SetupError::File { path: path.clone(), error })?;
    toml::from_str(&text).map_err(|error| SetupError::Place { path, why: error.to_string() })
}

/// Writes the server's configuration for these members; the server has to read it again.
///
/// # Errors
/// There is no fleet, or it cannot be written.
pub fn configure(directory: &Path, members: &Members) -> Result<(), SetupError> {
    let public = |name: &str| keys::load(&directory.join(name)).map(|key| key.public_key());
    let (reports, decisions) = (public(REPORTS_SEED)?, public(DECISIONS_SEED)?);
    let text = configuration(directory, &place(directory)?, &reports, &decisions, members);
    write(directory, CONFIGURATION, &text, 0o640)
}

/// Where the server says which process it is.
#[must_use]
pub fn pid_file(place: &Place) -> PathBuf {
    place.store.join("nats-server.pid")
}

fn configuration(
    directory: &Path,
    place: &Place,
    reports: &str,
    decisions: &str,
    members: &Members,
) -> String {
    let quoted = |path: PathBuf| format!("{:?}", path.to_string_lossy());
    let mut hosts = String::new();
    // Writing to a string cannot fail.
    for (name, member) in members.current() {
        if let Some(key) = &member.host {
            let _ = writeln!(
                hosts,
                "      {{ nkey: {key}, permissions: {{ publish: [\"ban.report.{name}\"], subscribe: [\"_INBOX.{name}.>\"] }} }}"
            );
        }
    }
    let (mut exports, mut readers) = (String::new(), String::new());
    for audience in [Audience::Edges, Audience::Peers] {
        let (account, services) = (audience.account(), services(audience, None));
        let [next, acknowledged, wishes] = &services;
        for (service, response) in [(next, "response: stream, "), (acknowledged, ""), (wishes, "")] {
            let _ = writeln!(exports, "      {{ service: \"{service}\", {response}accounts: [{account}] }}");
        }
        let _ = writeln!(readers, "  {account} {{\n    users: [");
        for (name, member) in members.current() {
            let Some(key) = member.key(audience) else { continue };
            let wanted =
                self::services(audience, Some(name)).map(|service| format!("\"{service}\"")).join(", ");
            let _ = writeln!(
                readers,
                "      {{ nkey: {key}, permissions: {{\n          publish: [{wanted}]\n          subscribe: [\"_INBOX.{name}.>\"] }} }}"
            );
        }
        let _ = writeln!(readers, "    ]\n    imports: [");
        for service in &services {
            let _ =
                writeln!(readers, "      {{ service: {{ account: DECISIONS, subject: \"{service}\" }} }}");
        }
        let _ = writeln!(readers, "    ]\n  }}");
    }
    format!(
        r#"# The nats-server of a fleet of kban. Written by `banctl fleet`, which overwrites what is changed here.
port: {port}
server_name: kban
pid_file: {pid}
max_payload: 16KB
max_connections: 8192
max_subscriptions: 256
write_deadline: "10s"
tls {{ cert_file: {certificate}, key_file: {key}, timeout: 5 }}
jetstream {{ store_dir: {store}, max_memory_store: 64MB, max_file_store: 4GB }}
accounts {{
  REPORTS {{
    jetstream: enabled
    users: [ {{ nkey: {reports} }} ]
    exports: [ {{ service: "ban.report.*", accounts: [HOSTS] }} ]
  }}
  DECISIONS {{
    jetstream: enabled
    users: [ {{ nkey: {decisions} }} ]
    exports: [
{exports}    ]
  }}
  HOSTS {{
    users: [
{hosts}    ]
    imports: [ {{ service: {{ account: REPORTS, subject: "ban.report.*" }} }} ]
  }}
{readers}}}
"#,
        port = place.port,
        pid = quoted(pid_file(place)),
        certificate = quoted(directory.join(SERVER)),
        key = quoted(directory.join(SERVER_KEY)),
        store = quoted(place.store.clone()),
    )
}

/// What a reader asks for, or all of them: the next messages, that they have arrived, and a place in the stream.
fn services(audience: Audience, reader: Option<&str>) -> [String; 3] {
    let (stream, one) = (audience.stream(), reader.unwrap_or("*"));
    let behind = reader.map_or_else(|| ">".to_owned(), |reader| format!("{reader}.>"));
    [
        format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{one}"),
        format!("$JS.ACK.{stream}.{behind}"),
        audience.wishes(one),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_is_made_once_and_nobody_else_reads_its_keys() {
        let dir = tempfile::tempdir().unwrap();
        let fleet = dir.path().join("fleet");
        let place = Place { host: "fw.example.org".into(), port: 4222, store: dir.path().join("nats") };
        init(&fleet, &place).unwrap();
        assert_eq!(self::place(&fleet).unwrap(), place);
        for (name, mode) in [
            (CA, 0o644),
            ("ca-key.pem", 0o600),
            (SERVER_KEY, 0o640),
            (SIGNER_SEED, 0o640),
            (CONFIGURATION, 0o640),
        ] {
            assert_eq!(fs::metadata(fleet.join(name)).unwrap().permissions().mode() & 0o777, mode, "{name}");
        }
        let text = fs::read_to_string(fleet.join(CONFIGURATION)).unwrap();
        assert!(text.contains("users: [\n    ]"), "nobody is invited yet: {text}");
        let (ca, signer) = (fs::read(fleet.join(CA)).unwrap(), fs::read(fleet.join(SIGNER_SEED)).unwrap());
        assert!(matches!(init(&fleet, &place), Err(SetupError::Key(KeyError::IsThere { .. }))));
        assert_eq!(
            (ca, signer),
            (fs::read(fleet.join(CA)).unwrap(), fs::read(fleet.join(SIGNER_SEED)).unwrap())
        );
    }
}
