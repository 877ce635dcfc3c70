//! Why no connection to the server comes about, by name.
//!
//! The client library tells only whether it was the network or TLS. So the same connection is tried once more here, as far as the
//! server's certificate, and whatever goes wrong is told with what to do about it.

use std::io::{self, Read as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_nats::rustls::client::WebPkiServerVerifier;
use async_nats::rustls::crypto::ring::default_provider;
use async_nats::rustls::pki_types::pem::PemObject;
use async_nats::rustls::pki_types::{CertificateDer, ServerName};
use async_nats::rustls::{CertificateError, ClientConfig, ClientConnection, Error, RootCertStore};
use jiff::Timestamp;

/// No step takes longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the server says first is no longer, in bytes (`INFO {...}`).
const LONGEST_GREETING: u64 = 64 * 1024;

/// Who trusts what the authority in the file `ca` has signed, and nothing else.
pub(super) fn verifier(ca: &Path) -> io::Result<Arc<WebPkiServerVerifier>> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(ca).map_err(io::Error::other)?;
    roots.add(certificate).map_err(io::Error::other)?;
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()))
        .build()
        .map_err(io::Error::other)
}

/// What is in the way of a connection to `server` (HOST:PORT), if anything is. Waits for the network.
pub(super) fn obstacle(server: &str, ca: &Path) -> Option<String> {
    attempt(server, ca).err().map(|error| {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        tls.map_or_else(|| error.to_string(), |tls| told(tls, server))
    })
}

/// As far as the server's certificate.
fn attempt(server: &str, ca: &Path) -> io::Result<()> {
    let mut outcome = Err(io::Error::other("its name has no address"));
    for address in server.to_socket_addrs()? {
        outcome = TcpStream::connect_timeout(&address, PATIENCE);
        if outcome.is_ok() {
            break;
        }
    }
    let mut stream = outcome?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // Nothing more may be taken from the stream than this line.
    let mut byte = [0];
    for _ in 0..LONGEST_GREETING {
        stream.read_exact(&mut byte)?;
        if byte == *b"\n" {
            break;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(verifier(ca)?)
        .with_no_client_auth();
    let name = server.rsplit_once(':').map_or(server, |(name, _)| name).trim_matches(['[', ']']);
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let mut tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut stream)?;
    }
    Ok(())
}

/// An error of TLS, and its remedy.
fn told(error: &Error, server: &str) -> String {
    let date = |time: &async_nats::rustls::pki_types::UnixTime| {
        let second = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        Timestamp::from_second(second).map_or_else(|_| "?".to_owned(), |time| time.strftime("%F").to_string())
    };
    let Error::InvalidCertificate(error) = error else { return error.to_string() };
    match error {
        CertificateError::ExpiredContext { time, not_after } => format!(
            "the server's certificate has expired: it was good until {}, and by this machine's clock it is {}; \
             set the clock, or `banctl fleet renew` on the firewall",
            date(not_after),
            date(time)
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the server's certificate is not valid yet: it is good from {} on, and by this machine's clock it is {}; set the clock",
            date(not_before),
            date(time)
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
            "the server's certificate is not for {server}: [fleet] server has to be what `banctl fleet init` was given"
        ),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the server's certificate is not of this fleet: was the fleet made anew? Then join it anew"
                .to_owned()
        }
        other => format!("the server's certificate: {other}"),
    }
}
