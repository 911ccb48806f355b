//! Reaching the server through an HTTP proxy named by the environment, as Go's gRPC does (AG-231).

use std::fmt;
use std::net::IpAddr;

use base64::Engine;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No sensible answer to CONNECT is longer.
const MAX_ANSWER: usize = 8192;

/// What the environment says of proxies.
#[derive(Debug, Default)]
pub(super) struct ProxySettings {
    proxy: Option<HttpProxy>,
    exceptions: Vec<Exception>,
}

/// A proxy that opens tunnels.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct HttpProxy {
    pub host: String,
    pub port: u16,
    /// `user:password`.
    credentials: Option<String>,
}

impl fmt::Debug for HttpProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpProxy({}:{})", self.host, self.port)
    }
}

/// One item of `NO_PROXY`.
#[derive(Debug)]
enum Exception {
    All,
    Network(crate::incoming::TrustedNetworks),
    /// The name itself unless `below` only, and all names below it; on one port or all.
    Name {
        name: String,
        below: bool,
        port: Option<u16>,
    },
}

impl ProxySettings {
    /// `get` reads a variable of the environment.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: [&str; 2]| names.into_iter().filter_map(&get).find(|value| !value.is_empty());
        let proxy = first(["HTTPS_PROXY", "https_proxy"]).and_then(|text| {
            let proxy = HttpProxy::parse(&text);
            if proxy.is_none() {
                tracing::warn!("The proxy in HTTPS_PROXY is not of the form http://host:port and is ignored");
            }
            proxy
        });
        let exceptions = first(["NO_PROXY", "no_proxy"]).unwrap_or_default();
        let exceptions = exceptions.split(',').map(str::trim).filter(|item| !item.is_empty());
        Self { proxy, exceptions: exceptions.map(Exception::parse).collect() }
    }

    /// The proxy to take to a server; never one to this machine itself.
    pub fn for_host(&self, host: &str, port: u16) -> Option<&HttpProxy> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return None;
        }
        let excepted = self.exceptions.iter().any(|exception| exception.matches(&host, address, port));
        self.proxy.as_ref().filter(|_| !excepted)
    }
}

impl Exception {
    fn parse(item: &str) -> Self {
        let item = item.to_ascii_lowercase();
        if item == "*" {
            return Self::All;
        }
        let address =
            item.parse::<IpAddr>().map(|ip| format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 }));
        if let Ok(network) = crate::incoming::TrustedNetworks::parse([address.as_ref().unwrap_or(&item)]) {
            return Self::Network(network);
        }
        let (name, port) = match item.rsplit_once(':') {
            Some((name, port)) if port.parse::<u16>().is_ok() => (name, port.parse().ok()),
            _ => (item.as_str(), None),
        };
        let name = name.strip_prefix('*').unwrap_or(name);
        let below = name.starts_with('.');
        Self::Name { name: name.trim_start_matches('.').to_owned(), below, port }
    }

    fn matches(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        match self {
            Self::All => true,
            Self::Network(network) => address.is_some_and(|address| network.contains(address)),
            Self::Name { name, below, port: only } => {
                let named = (host == name && !below)
                    || host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                named && only.is_none_or(|only| only == port)
            }
        }
    }
}

impl HttpProxy {
    fn parse(text: &str) -> Option<Self> {
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(_) => return None,
            None => text,
        };
        let rest = rest.split(['/', '?', '#']).next()?;
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((credentials, place)) => (Some(percent_decoded(credentials)), place),
            None => (None, rest),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (place, 80),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        (!host.is_empty()).then(|| Self { host: host.to_owned(), port, credentials })
    }

    /// Asks for a tunnel to `target`; what follows on the stream is the target's.
    pub async fn tunnel(&self, mut stream: TcpStream, target: &str) -> Result<TcpStream, String> {
        let mut request =
            format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: spire-agent\r\n");
        if let Some(credentials) = &self.credentials {
            let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
            request.push_str(&format!("Proxy-Authorization: Basic {encoded}\r\n"));
        }
        request.push_str("\r\n");
        let failed = |error: std::io::Error| format!("failed to talk to the HTTP proxy: {error}");
        stream.write_all(request.as_bytes()).await.map_err(failed)?;
        // Byte by byte: nothing of what follows may be taken. The server speaks second, so little is lost.
        let mut answer = Vec::with_capacity(256);
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() == MAX_ANSWER {
                return Err("the answer of the HTTP proxy has no end".to_owned());
            }
            answer.push(stream.read_u8().await.map_err(failed)?);
        }
        let answer = String::from_utf8_lossy(&answer);
        let first = answer.lines().next().unwrap_or_default();
        match first.split(' ').nth(1) {
            Some("200") => Ok(stream),
            _ => Err(format!(
                "failed to do connect handshake, response: {}",
                spire_runtime::logging::go_quote(first)
            )),
        }
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn settings(proxy: &'static str, exceptions: &'static str) -> ProxySettings {
        ProxySettings::from_env(|name| match name {
            "https_proxy" => Some(proxy.to_owned()),
            "NO_PROXY" => Some(exceptions.to_owned()),
            _ => None,
        })
    }

    #[test]
    fn the_environment_says_which_servers_are_reached_through_a_proxy() {
        let settings =
            settings("http://proxy:3128", "a.test, .b.test,*.c.test,d.test:1,10.0.0.0/8,192.0.2.1");
        for (host, through) in [
            ("server.test", true),
            ("localhost", false),
            ("127.0.0.1", false),
            ("::1", false),
            ("a.test", false),
            ("x.A.test", false),
            ("xa.test", true),
            ("b.test", true),
            ("x.b.test", false),
            ("x.c.test", false),
            ("d.test", true),
            ("10.1.1.1", false),
            ("192.0.2.1", false),
            ("192.0.2.2", true),
        ] {
            assert_eq!(settings.for_host(host, 8081).is_some(), through, "{host}");
        }
        assert!(self::settings("http://proxy:3128", "*").for_host("server.test", 1).is_none());
        assert!(self::settings("", "").for_host("server.test", 1).is_none());
    }

    #[test]
    fn proxies_are_http_urls_whose_password_is_never_shown() {
        let proxy = HttpProxy::parse("http://me:p%40ss@proxy.test:3128/").unwrap();
        assert_eq!(proxy.credentials.as_deref(), Some("me:p@ss"));
        assert_eq!(format!("{proxy:?}"), "HttpProxy(proxy.test:3128)");
        let bare = HttpProxy::parse("proxy").unwrap();
        assert_eq!((bare.host.as_str(), bare.port), ("proxy", 80));
        let six = HttpProxy::parse("http://[::1]:8080").unwrap();
        assert_eq!((six.host.as_str(), six.port), ("::1", 8080));
        assert!(HttpProxy::parse("socks5://proxy:1").is_none());
    }

    #[tokio::test]
    async fn a_tunnel_is_asked_for_and_a_refusal_is_reported() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\nX: y\r\n\r\nrest", Ok(())),
            (
                "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
                Err(
                    "failed to do connect handshake, response: \"HTTP/1.1 407 Proxy Authentication Required\"",
                ),
            ),
        ] {
            let proxy = HttpProxy::parse("http://me:secret@proxy:1").unwrap();
            let client = TcpStream::connect(address).await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            server.write_all(answer.as_bytes()).await.unwrap();
            let tunnel = proxy.tunnel(client, "server.test:8081").await;
            assert_eq!(tunnel.as_ref().map(|_| ()).map_err(String::as_str), expected);
            let mut request = [0; 512];
            let length = server.read(&mut request).await.unwrap();
            let request = std::str::from_utf8(&request[..length]).unwrap();
            assert!(request.starts_with("CONNECT server.test:8081 HTTP/1.1\r\n"), "{request}");
            assert!(request.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"), "{request}");
            if let Ok(mut stream) = tunnel {
                let mut rest = [0; 4];
                stream.read_exact(&mut rest).await.unwrap();
                assert_eq!(&rest, b"rest");
            }
        }
    }
}
