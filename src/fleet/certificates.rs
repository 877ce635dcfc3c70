//! The fleet's certificates: an authority of its own, and the server's, which it has signed. The firewall has both keys.
//!
//! Everybody in the fleet knows the authority by its certificate, which is in the invitation. So the server's certificate can be
//! made anew as often as one likes, and nobody has to be invited again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use async_nats::rustls::client::danger::ServerCertVerifier as _;
use async_nats::rustls::pki_types::pem::PemObject;
use async_nats::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use async_nats::rustls::{CertificateError, Error};
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::setup::{SetupError, write};
use super::trust;

/// The certificate that everybody in the fleet trusts.
pub const CA: &str = "ca.pem";
/// Its key, which only the firewall has.
const CA_KEY: &str = "ca-key.pem";
/// The server's certificate and key.
pub(super) const SERVER: &str = "server.pem";
pub(super) const SERVER_KEY: &str = "server-key.pem";
/// How many years the authority is good for, and the server's certificate.
const YEARS: (i16, i16) = (30, 10);
/// Later than any certificate ends, in seconds.
const LATE: Duration = Duration::from_secs(250_000_000_000);

/// A certificate for the authority or the server, before it is signed.
fn params(names: Vec<String>, name: &str, years: i16) -> Result<CertificateParams, rcgen::Error> {
    let year = jiff::Zoned::now().year();
    let mut params = CertificateParams::new(names)?;
    // A clock that is behind does no harm.
    params.not_before = rcgen::date_time_ymd((year - 1).into(), 1, 1);
    params.not_after = rcgen::date_time_ymd((year + years).into(), 1, 1);
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn authority() -> Result<CertificateParams, rcgen::Error> {
    let mut authority = params(Vec::new(), "kban fleet", YEARS.0)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(authority)
}

/// Makes an authority in `directory`, and a certificate for the server, which is reached by the name or address `host`.
///
/// # Errors
/// They cannot be made or written.
pub(super) fn make(directory: &Path, host: &str) -> Result<(), SetupError> {
    let key = KeyPair::generate()?;
    let trusted = authority()?.self_signed(&key)?;
    write(directory, CA, &trusted.pem(), 0o644)?;
    write(directory, CA_KEY, &key.serialize_pem(), 0o600)?;
    renew(directory, host)
}

/// Makes a new key and a new certificate for the server, signed by the authority that is there.
///
/// # Errors
/// The authority's key is gone, or they cannot be written.
pub fn renew(directory: &Path, host: &str) -> Result<(), SetupError> {
    let path = directory.join(CA_KEY);
    let text = fs::read_to_string(&path).map_err(|error| SetupError::File { path, error })?;
    // Of the authority's certificate only its name and its key are in what it signs: they are the same for as long as it lives.
    let issuer = Issuer::new(authority()?, KeyPair::from_pem(&text)?);
    let bare = host.trim_matches(['[', ']']).to_owned();
    let names = vec![bare, "localhost".into(), "127.0.0.1".into(), "::1".into()];
    let mut server = params(names, "kban fleet server", YEARS.1)?;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &issuer)?;
    write(directory, SERVER_KEY, &key.serialize_pem(), 0o640)?;
    write(directory, SERVER, &certificate.pem(), 0o644)
}

/// When the server's certificate in `directory` ends; `None` if that cannot be told.
#[must_use]
pub fn end(directory: &Path) -> Option<Timestamp> {
    let certificate = CertificateDer::from_pem_file(directory.join(SERVER)).ok()?;
    let name = ServerName::try_from("localhost").ok()?;
    // It is verified long after its end: that it has ended is looked at first, and told with the time.
    let late = UnixTime::since_unix_epoch(LATE);
    let verifier = trust::verifier(&directory.join(CA)).ok()?;
    match verifier.verify_server_cert(&certificate, &[], &name, &[], late) {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Timestamp::from_second(i64::try_from(not_after.as_secs()).ok()?).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_certificate_is_made_anew_and_the_authority_stays() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), "fw.example.org").unwrap();
        let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
        let (ca, ca_key, server, key) = (read(CA), read(CA_KEY), read(SERVER), read(SERVER_KEY));
        let ends = end(dir.path()).unwrap();
        let year = ends.to_zoned(jiff::tz::TimeZone::UTC).year();
        assert_eq!(year, jiff::Zoned::now().year() + YEARS.1);
        renew(dir.path(), "fw.example.org").unwrap();
        assert_eq!((read(CA), read(CA_KEY)), (ca, ca_key));
        assert!(read(SERVER) != server && read(SERVER_KEY) != key);
        let trusts = |name: &'static str| {
            let certificate = CertificateDer::from_pem_file(dir.path().join(SERVER)).unwrap();
            let verifier = trust::verifier(&dir.path().join(CA)).unwrap();
            let name = ServerName::try_from(name).unwrap();
            verifier.verify_server_cert(&certificate, &[], &name, &[], UnixTime::now()).is_ok()
        };
        assert!(trusts("fw.example.org") && trusts("127.0.0.1") && !trusts("other.example.org"));
        // Somebody else's.
        let other = tempfile::tempdir().unwrap();
        make(other.path(), "fw.example.org").unwrap();
        fs::copy(other.path().join(SERVER), dir.path().join(SERVER)).unwrap();
        assert!(!trusts("fw.example.org"));
        fs::remove_file(dir.path().join(CA_KEY)).unwrap();
        assert!(renew(dir.path(), "x").unwrap_err().to_string().contains(CA_KEY));
    }
}
