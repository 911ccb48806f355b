use std::fmt;
use std::str::FromStr;

/// The space for the path of a socket in the kernel.
const LONGEST_PATH: usize = 108;

/// `proto://address` of a daemon (PL-070).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    written: String,
    pub endpoint: Endpoint,
}

/// What to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// The path of a socket.
    Unix(String),
    /// Plain HTTP.
    Tcp {
        /// `host:port`
        authority: String,
        /// In front of the path of each request; empty or `/…`.
        base: String,
    },
}

/// An address that no daemon can be asked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    #[error("unable to parse docker host `{0}`")]
    NoProtocol(String),
    #[error("unix socket path {0:?} is too long")]
    TooLong(String),
    #[error("protocol not available")]
    Npipe,
    #[error("docker host {address:?}: protocol {protocol:?} is not supported; use unix:// or tcp://")]
    Protocol { address: String, protocol: String },
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let parts = text.split_once("://").filter(|(_, rest)| !rest.is_empty());
        let (protocol, rest) = parts.ok_or_else(|| BadAddress::NoProtocol(text.to_owned()))?;
        let endpoint = match protocol {
            "unix" if rest.len() > LONGEST_PATH => return Err(BadAddress::TooLong(rest.to_owned())),
            "unix" => Endpoint::Unix(rest.to_owned()),
            "tcp" | "http" => tcp(rest).ok_or_else(|| BadAddress::NoProtocol(text.to_owned()))?,
            "npipe" => return Err(BadAddress::Npipe),
            _ => {
                return Err(BadAddress::Protocol { address: text.to_owned(), protocol: protocol.to_owned() });
            }
        };
        Ok(Self { written: text.to_owned(), endpoint })
    }
}

/// Without a port it is that of HTTP.
fn tcp(rest: &str) -> Option<Endpoint> {
    let (authority, base) = match rest.find('/') {
        Some(slash) => (&rest[..slash], rest[slash..].trim_end_matches('/')),
        None => (rest, ""),
    };
    let parsed: http::uri::Authority = authority.parse().ok()?;
    let port = if parsed.port().is_some() { "" } else { ":80" };
    Some(Endpoint::Tcp { authority: format!("{authority}{port}"), base: base.to_owned() })
}

/// As the operator wrote it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Endpoint, String> {
        text.parse::<Address>().map(|address| address.endpoint).map_err(|error| error.to_string())
    }

    #[test]
    fn sockets_and_plain_tcp_are_taken() {
        // PL-070
        let tcp = |authority: &str, base: &str| {
            Ok(Endpoint::Tcp { authority: authority.to_owned(), base: base.to_owned() })
        };
        assert_eq!(read("unix:///run/d.sock"), Ok(Endpoint::Unix("/run/d.sock".to_owned())));
        assert_eq!(read("tcp://127.0.0.1:2375"), tcp("127.0.0.1:2375", ""));
        assert_eq!(read("tcp://[::1]:2375/a/b/"), tcp("[::1]:2375", "/a/b"));
        assert_eq!(read("http://docker"), tcp("docker:80", ""));
    }

    #[test]
    fn other_addresses_are_refused() {
        // PL-070
        for text in ["", "/run/d.sock", "unix://", "tcp://a b:1"] {
            assert_eq!(read(text), Err(format!("unable to parse docker host `{text}`")));
        }
        assert_eq!(read("npipe:////./x"), Err("protocol not available".to_owned()));
        assert!(
            read("ssh://me@host")
                .unwrap_err()
                .contains("protocol \"ssh\" is not supported; use unix:// or tcp://")
        );
        let long = format!("/{}", "x".repeat(LONGEST_PATH));
        assert_eq!(read(&format!("unix://{long}")), Err(format!("unix socket path {long:?} is too long")));
    }
}
