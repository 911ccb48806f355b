//! gRPC channels: lazy, kept, reconnecting, and failing each call at once while there is no connection.

mod dial;
mod http_proxy;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::tls::ClientTls;
use dial::{Dialer, os_error};
use http_proxy::ProxySettings;

/// As long as Go's gRPC gives a connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Requests waiting for the connection; a few callers share each channel.
const QUEUE: usize = 64;

/// The address of a server is unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("server address {0:?} is not host:port")]
pub struct BadTarget(pub String);

/// A channel to the socket at `path`. Connects at the first call; while it cannot, each call fails with the words of
/// Go's gRPC (SC-225).
pub fn uds(path: &Path) -> Channel {
    let path: Arc<Path> = path.into();
    let connector = service_fn(move |_| {
        let path = path.clone();
        async move {
            match UnixStream::connect(&path).await {
                Ok(stream) => Ok(TokioIo::new(stream)),
                Err(error) => Err(ConnectFailed::dialing(&format!(
                    "dial unix {}: connect: {}",
                    shown(&path),
                    os_error(&error)
                ))),
            }
        }
    });
    endpoint("http://localhost").connect_with_connector_lazy(connector)
}

/// A channel to `address` without TLS, for a Workload API that listens there.
pub fn tcp(address: SocketAddr) -> Channel {
    let connector = service_fn(move |_| async move {
        match TcpStream::connect(address).await {
            Ok(stream) => Ok(TokioIo::new(stream)),
            Err(error) => {
                let reason = format!("dial tcp {address}: connect: {}", os_error(&error));
                Err(ConnectFailed::dialing(&reason))
            }
        }
    });
    endpoint(&format!("http://{address}")).connect_with_connector_lazy(connector)
}

/// Go shows an absolute path as the URL it made of it.
fn shown(path: &Path) -> String {
    let slashes = if path.is_absolute() { "//" } else { "" };
    format!("{slashes}{}", path.display())
}

/// A TLS channel to `target`, which is `host:port` (AG-231).
///
/// The name is resolved at each connection attempt. Each attempt starts with another of its addresses than the last
/// and tries all of them, so that connections spread over the servers and one dead server does not matter. A proxy in
/// the environment (`HTTPS_PROXY`, `NO_PROXY`) is used as Go's gRPC uses it; it then resolves the name.
pub fn tls(target: &str, tls: Arc<ClientTls>) -> Result<Channel, BadTarget> {
    let proxies = ProxySettings::from_env(|name| std::env::var(name).ok());
    let dialer = Dialer::new(target, tls, &proxies).ok_or_else(|| BadTarget(target.to_owned()))?;
    let dialer = Arc::new(dialer);
    let authority = http::uri::Authority::try_from(target).map_err(|_| BadTarget(target.to_owned()))?;
    let connector = service_fn(move |_| {
        let dialer = dialer.clone();
        async move {
            let attempt = Box::pin(dialer.connect());
            match tokio::time::timeout(CONNECT_TIMEOUT, attempt).await {
                Ok(Ok(stream)) => Ok(TokioIo::new(stream)),
                Ok(Err(failed)) => Err(failed),
                Err(_) => Err(ConnectFailed::dialing(&format!("dial tcp {}: i/o timeout", dialer.target()))),
            }
        }
    });
    Ok(endpoint(&format!("https://{authority}")).connect_with_connector_lazy(connector))
}

/// A plain stream to a server that is reached as the environment says (`HTTPS_PROXY`, `NO_PROXY`), for what is not
/// gRPC. The error is a text for people.
pub async fn stream(host: &str, port: u16) -> Result<tokio::net::TcpStream, String> {
    let proxies = ProxySettings::from_env(|name| std::env::var(name).ok());
    dial::stream(host, port, &proxies).await
}

fn endpoint(uri: &str) -> Endpoint {
    // The callers pass texts that are URIs by construction; should that ever fail, the placeholder only ends up in the
    // `:authority` header.
    let endpoint = Endpoint::from_shared(uri.to_owned());
    endpoint.unwrap_or_else(|_| Endpoint::from_static("http://localhost")).buffer_size(QUEUE)
}

/// No connection was to be had. tonic turns it into a status `Unavailable` with this text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct ConnectFailed(String);

impl ConnectFailed {
    fn dialing(reason: &str) -> Self {
        Self::connection(&format!("transport: Error while dialing: {reason}"))
    }

    fn connection(reason: &str) -> Self {
        Self(format!("connection error: desc = {}", spire_runtime::logging::go_quote(reason)))
    }
}

#[cfg(test)]
mod tests;
