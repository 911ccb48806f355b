//! One connection attempt: resolve, dial, shake hands.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::ConnectFailed;
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
}

impl Dialer {
    /// `None` if `target` is not `host:port`.
    pub fn new(target: &str, tls: Arc<ClientTls>) -> Option<Self> {
        let (host, port) = target.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok()?;
        (!host.is_empty()).then(|| Self { host: host.to_owned(), port, tls, attempts: AtomicUsize::new(0) })
    }

    pub fn target(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    pub async fn connect(&self) -> Result<ClientTlsStream, ConnectFailed> {
        let stream = self.dial().await?;
        // Small messages both ways: waiting to fill packets would only add latency.
        let _ = stream.set_nodelay(true);
        let shaken = self.tls.connect(stream, &self.host).await;
        shaken.map_err(|error| {
            ConnectFailed::connection(&format!("transport: authentication handshake failed: {error}"))
        })
    }

    async fn dial(&self) -> Result<TcpStream, ConnectFailed> {
        let mut addresses = self.resolve().await?;
        let start = self.attempts.fetch_add(1, Ordering::Relaxed) % addresses.len().max(1);
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

    async fn resolve(&self) -> Result<Vec<SocketAddr>, ConnectFailed> {
        match lookup_host((self.host.as_str(), self.port)).await {
            Ok(addresses) => Ok(addresses.collect()),
            Err(error) => Err(ConnectFailed(format!(
                "name resolver error: produced zero addresses: lookup {}: {}",
                self.host,
                lookup_error(&error)
            ))),
        }
    }
}

/// `failed to lookup address information: Name or service not known` without its introduction.
fn lookup_error(error: &io::Error) -> String {
    let text = error.to_string();
    text.rsplit(": ").next().map(str::to_owned).unwrap_or(text)
}
