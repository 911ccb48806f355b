//! One connection attempt: resolve, dial, shake hands.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::ConnectFailed;
use super::http_proxy::{HttpProxy, ProxySettings};
use crate::tls::{ClientTls, ClientTlsStream};
use tokio::net::{TcpStream, lookup_host};

pub(super) use spire_runtime::logging::os_error_text as os_error;

#[derive(Debug)]
pub(super) struct Dialer {
    host: String,
    port: u16,
    tls: Arc<ClientTls>,
    /// How many attempts there were; where the next one starts among the addresses.
    attempts: AtomicUsize,
    proxy: Option<HttpProxy>,
}

impl Dialer {
    /// `None` if `target` is not `host:port`.
    pub fn new(target: &str, tls: Arc<ClientTls>, proxies: &ProxySettings) -> Option<Self> {
        let (host, port) = target.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok()?;
        if host.is_empty() {
            return None;
        }
        let proxy = proxies.for_host(host, port).cloned();
        Some(Self { host: host.to_owned(), port, tls, attempts: AtomicUsize::new(0), proxy })
    }

    pub fn target(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    pub async fn connect(&self) -> Result<ClientTlsStream, ConnectFailed> {
        let stream = match &self.proxy {
            None => self.dial(&self.host, self.port).await?,
            Some(proxy) => {
                let stream = self.dial(&proxy.host, proxy.port).await?;
                let tunnel = proxy.tunnel(stream, &self.target()).await;
                tunnel.map_err(|error| ConnectFailed::dialing(&error))?
            }
        };
        // Small messages both ways: waiting to fill packets would only add latency.
        let _ = stream.set_nodelay(true);
        let shaken = self.tls.connect(stream, &self.host).await;
        shaken.map_err(|error| {
            ConnectFailed::connection(&format!("transport: authentication handshake failed: {error}"))
        })
    }

    async fn dial(&self, host: &str, port: u16) -> Result<TcpStream, ConnectFailed> {
        dial(host, port, self.attempts.fetch_add(1, Ordering::Relaxed)).await
    }
}

/// Tries all addresses of the host, the `attempt`th first.
async fn dial(host: &str, port: u16, attempt: usize) -> Result<TcpStream, ConnectFailed> {
    let mut addresses = resolve(host, port).await?;
    let start = attempt % addresses.len().max(1);
    addresses.rotate_left(start);
    let mut failure = ConnectFailed("name resolver error: produced zero addresses".to_owned());
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                failure =
                    ConnectFailed::dialing(&format!("dial tcp {address}: connect: {}", os_error(&error)));
            }
        }
    }
    Err(failure)
}

/// A stream to `host:port`, through the proxy that the settings name for it.
pub(super) async fn stream(host: &str, port: u16, proxies: &ProxySettings) -> Result<TcpStream, String> {
    let text = |failed: ConnectFailed| failed.to_string();
    match proxies.for_host(host, port) {
        None => dial(host, port, 0).await.map_err(text),
        Some(proxy) => {
            let stream = dial(&proxy.host, proxy.port, 0).await.map_err(text)?;
            let target =
                if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
            proxy.tunnel(stream, &target).await
        }
    }
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectFailed> {
    match lookup_host((host, port)).await {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(ConnectFailed(format!(
            "name resolver error: produced zero addresses: lookup {host}: {}",
            lookup_error(&error)
        ))),
    }
}

/// `failed to lookup address information: Name or service not known` without its introduction.
fn lookup_error(error: &io::Error) -> String {
    let text = error.to_string();
    text.rsplit(": ").next().map(str::to_owned).unwrap_or(text)
}
