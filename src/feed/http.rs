//! A list on a web server: asked for only if it has changed, with limits for time, size and redirects.

use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use ureq::http::header::{ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Error};

use super::fetch::{FetchError, Fetched, Tag, bounded};

/// Until a connection is made, TLS included.
const CONNECT: Duration = Duration::from_secs(15);
/// Until the server begins to answer.
const ANSWER: Duration = Duration::from_secs(20);
/// Until everything is there.
const WHOLE: Duration = Duration::from_secs(180);
/// How many redirects are followed.
const REDIRECTS: u32 = 5;
/// The longest `ETag` or `Last-Modified` that is kept.
const LONGEST_TAG: usize = 512;

/// Where systems keep the certificates that they trust: Debian, Red Hat, Alpine; and what OpenSSL is told instead.
const TRUSTED: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
const TRUSTED_INSTEAD: &str = "SSL_CERT_FILE";

/// Gets the list, unless it is still the `known` one.
pub(super) fn get(url: &str, known: &Tag) -> Result<Fetched, FetchError> {
    let mut request = AGENT.get(url);
    if url.starts_with("https:") {
        // A redirect must not lead to where others can change the list.
        request = request.config().https_only(true).build();
    }
    for (name, value) in [(IF_NONE_MATCH, &known.etag), (IF_MODIFIED_SINCE, &known.modified)] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    let response = request.call().map_err(|error| explained(url, &error))?;
    match response.status() {
        StatusCode::OK => {
            let tag = Tag { etag: header(&response, ETAG), modified: header(&response, LAST_MODIFIED) };
            let text = bounded(response.into_body().into_reader());
            let text = text.map_err(|error| explained(url, &Error::from(error)))?;
            text.map(|text| Fetched::Text(text, tag)).ok_or(FetchError::TooLong)
        }
        StatusCode::NOT_MODIFIED if *known != Tag::default() => Ok(Fetched::Unchanged),
        status => Err(FetchError::Status {
            url: url.to_owned(),
            status: status.to_string(),
            remedy: match status {
                StatusCode::NOT_FOUND | StatusCode::GONE => "correct `url`, the list has moved",
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    "the list is not public; let a command fetch it with your credentials"
                }
                StatusCode::TOO_MANY_REQUESTS => "raise `every`",
                _ => "it is tried again; if that lasts, ask whoever runs the server",
            },
        }),
    }
}

/// Keeps no connection: lists are asked for hours apart.
static AGENT: LazyLock<Agent> = LazyLock::new(|| {
    let trusted = TlsConfig::builder().root_certs(trusted()).build();
    Agent::config_builder()
        .user_agent(concat!("kban/", env!("CARGO_PKG_VERSION")))
        .http_status_as_error(false)
        .max_redirects(REDIRECTS)
        .max_idle_connections(0)
        .timeout_resolve(Some(CONNECT))
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(ANSWER))
        .timeout_global(Some(WHOLE))
        .tls_config(trusted)
        .build()
        .new_agent()
});

/// The certificates that this system trusts; where it has none, those of Mozilla that are compiled in.
fn trusted() -> RootCerts {
    let instead = std::env::var(TRUSTED_INSTEAD).ok();
    let paths = instead.as_deref().into_iter().chain(TRUSTED);
    let Some(text) = paths.into_iter().find_map(|path| fs::read(path).ok()) else {
        return RootCerts::WebPki;
    };
    let certificates: Vec<Certificate<'static>> = parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() { RootCerts::WebPki } else { RootCerts::from(certificates) }
}

fn header(response: &Response<Body>, name: HeaderName) -> Option<String> {
    let value = response.headers().get(name)?.to_str().ok()?;
    (value.len() <= LONGEST_TAG).then(|| value.to_owned())
}

fn explained(url: &str, error: &Error) -> FetchError {
    let chain = error.to_string();
    let (what, remedy) = match error {
        Error::HostNotFound => ("its host is not found".to_owned(), "correct `url`, or this machine's DNS"),
        Error::Timeout(limit) => (
            format!("no answer in time ({limit})"),
            "it is tried again; see whether the server is reachable from here",
        ),
        Error::TooManyRedirects => {
            (format!("more than {REDIRECTS} redirects"), "name in `url` where the list really is")
        }
        Error::RequireHttpsOnly(_) => (
            "it redirects to where others can change the list (http)".to_owned(),
            "name an https address of the list",
        ),
        // What rustls says is inside what the socket says.
        _ if chain.contains("certificate") => (
            format!("its certificate is not trusted ({})", reason(&chain)),
            "add its authority to this system's certificates, or correct `url`",
        ),
        Error::Io(error) => {
            (error.to_string(), "it is tried again; see whether the server is reachable from here")
        }
        _ => (chain, "it is tried again; if that lasts, ask whoever runs the server"),
    };
    FetchError::Http { url: url.to_owned(), what, remedy }
}

/// "io: invalid peer certificate: UnknownIssuer" is "UnknownIssuer".
fn reason(chain: &str) -> &str {
    chain.rsplit_once("certificate: ").map_or(chain, |(_, reason)| reason)
}
