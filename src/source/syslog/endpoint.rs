//! Where messages are received: `udp://ADDRESS:PORT`, `tcp://ADDRESS:PORT` or `unix:///PATH`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// One socket to listen on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// RFC 5426: each datagram is a message.
    Udp(SocketAddr),
    /// RFC 6587: octet-counted or ended by newlines, as each sender likes.
    Tcp(SocketAddr),
    /// A datagram socket as `/dev/log` is one.
    Unix(PathBuf),
}

impl Endpoint {
    /// Whether hosts of the network reach it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self {
            Self::Udp(address) | Self::Tcp(address) => !address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => false,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(address) => write!(f, "udp://{address}"),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// What is wrong with an endpoint, as half a sentence about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoEndpoint {
    /// Neither of the three kinds.
    #[error("is no place to listen")]
    Kind,
    /// A name, or nothing, stands for the address; or the port is missing.
    #[error("has no address with a port")]
    Address,
    /// Port 0 is none.
    #[error("has no port that senders could know")]
    Port,
    /// The path is relative or too long for a socket, which has 107 bytes.
    #[error("has no whole path of at most 107 bytes")]
    Path,
}

/// `sun_path` of sockaddr_un(7), without the zero at its end.
const LONGEST_PATH: usize = 107;

impl FromStr for Endpoint {
    type Err = NoEndpoint;

    fn from_str(text: &str) -> Result<Self, NoEndpoint> {
        let (kind, place) = text.split_once("://").ok_or(NoEndpoint::Kind)?;
        if kind == "unix" {
            let whole = place.starts_with('/') && !place.ends_with('/') && place.len() <= LONGEST_PATH;
            let plain = whole && !place.contains(|c: char| c.is_control());
            return if plain { Ok(Self::Unix(place.into())) } else { Err(NoEndpoint::Path) };
        }
        let of = match kind {
            "udp" => Self::Udp,
            "tcp" => Self::Tcp,
            _ => return Err(NoEndpoint::Kind),
        };
        let address: SocketAddr = place.parse().map_err(|_| NoEndpoint::Address)?;
        if address.port() == 0 { Err(NoEndpoint::Port) } else { Ok(of(address)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_shown_again() {
        for text in
            ["udp://0.0.0.0:514", "tcp://[::]:601", "unix:///run/kban/syslog.sock", "udp://127.0.0.1:5514"]
        {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), text);
            assert_eq!(endpoint.is_open(), text.contains("0.0.0.0") || text.contains("[::]"), "{text}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for (text, why) in [
            ("0.0.0.0:514", NoEndpoint::Kind),
            ("http://0.0.0.0:514", NoEndpoint::Kind),
            ("udp://0.0.0.0", NoEndpoint::Address),
            ("udp://localhost:514", NoEndpoint::Address),
            ("tcp://[::]:0", NoEndpoint::Port),
            ("unix://run/x", NoEndpoint::Path),
            ("unix:///run/", NoEndpoint::Path),
            (&format!("unix:///{}", "x".repeat(107)), NoEndpoint::Path),
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(why), "{text}");
        }
    }
}
