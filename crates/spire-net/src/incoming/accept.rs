use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_util::task::AbortOnDropHandle;

use super::proxy_protocol::{self, TrustedNetworks};
use super::stream::TlsStream;
use crate::tls::ServerTls;

/// How long to wait when the system is out of file descriptors or the like.
const RETRY: Duration = Duration::from_millis(50);

/// Limits of a listener.
#[derive(Debug, Clone)]
pub struct IncomingOptions {
    /// For everything from the accepted connection to the finished handshake, a proxy header included.
    pub handshake_timeout: Duration,
    /// Handshakes under way at once; each costs some 30 KB. Clients beyond it wait for their turn.
    pub max_handshakes: usize,
    /// Connections that are not yet served; beyond it they wait in the queue of the system.
    pub max_pending: usize,
    /// Peers whose PROXY protocol headers are believed; headers of others end the connection (SA-213). `None`: no
    /// header is expected from anybody and one ends the handshake.
    pub proxies: Option<TrustedNetworks>,
}

impl Default for IncomingOptions {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            max_handshakes: 512,
            max_pending: 8192,
            proxies: None,
        }
    }
}

/// Finished connections, for [`serve`](crate::serve::serve). Never fails; dropping it stops listening.
pub struct TlsIncoming {
    ready: mpsc::Receiver<TlsStream>,
    _accepting: AbortOnDropHandle<()>,
}

impl fmt::Debug for TlsIncoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIncoming").finish_non_exhaustive()
    }
}

impl Stream for TlsIncoming {
    type Item = io::Result<TlsStream>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ready.poll_recv(context).map(|stream| stream.map(Ok))
    }
}

/// Starts accepting on `listener`.
pub fn tls_incoming(listener: TcpListener, tls: Arc<ServerTls>, options: IncomingOptions) -> TlsIncoming {
    // The server takes connections as fast as it can spawn tasks, so a short queue does.
    let (sender, ready) = mpsc::channel(16);
    let shared = Arc::new(Shared {
        tls,
        handshakes: Arc::new(Semaphore::new(options.max_handshakes)),
        pending: Arc::new(Semaphore::new(options.max_pending)),
        options,
        ready: sender,
    });
    TlsIncoming { ready, _accepting: AbortOnDropHandle::new(tokio::spawn(accept(listener, shared))) }
}

struct Shared {
    tls: Arc<ServerTls>,
    options: IncomingOptions,
    handshakes: Arc<Semaphore>,
    pending: Arc<Semaphore>,
    ready: mpsc::Sender<TlsStream>,
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped, and everything in it with it, when listening ends.
    let mut handshakes = JoinSet::new();
    while let Ok(pending) = shared.pending.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, address)) => {
                // A listener for both families sees IPv4 as a part of IPv6; nobody else should.
                let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                handshakes.spawn(Box::pin(prepare(stream, address, shared.clone(), pending)));
            }
            Err(error) => {
                tracing::warn!(%error, "Failed to accept a connection");
                tokio::time::sleep(RETRY).await;
            }
        }
        while handshakes.try_join_next().is_some() {}
    }
}

async fn prepare(stream: TcpStream, address: SocketAddr, shared: Arc<Shared>, pending: OwnedSemaphorePermit) {
    // Small messages both ways: waiting to fill packets would only add latency.
    let _ = stream.set_nodelay(true);
    let handshake = Box::pin(establish(stream, address, &shared));
    let refused = match timeout(shared.options.handshake_timeout, handshake).await {
        Ok(Ok(stream)) => {
            drop(pending);
            // The receiver is gone when the server stops; then nobody is served any more.
            let _ = shared.ready.send(stream).await;
            return;
        }
        Ok(Err(reason)) => reason,
        Err(_) => format!("no handshake within {:?}", shared.options.handshake_timeout),
    };
    tracing::debug!(caller_addr = %address, error = refused, "Connection refused during the handshake");
}

async fn establish(mut stream: TcpStream, address: SocketAddr, shared: &Shared) -> Result<TlsStream, String> {
    let mut client = address;
    if let Some(trusted) = &shared.options.proxies {
        let named = proxy_protocol::read(&mut stream, trusted.contains(address.ip())).await;
        client = named.map_err(|error| error.to_string())?.unwrap_or(address);
    }
    // Idle connections wait here, where they cost nothing but their socket.
    stream.readable().await.map_err(|error| error.to_string())?;
    let _turn = shared.handshakes.acquire().await.map_err(|error| error.to_string())?;

    let acceptor = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
    let hello = acceptor.await.map_err(|error| error.to_string())?;
    let connection = shared.tls.connection(hello.client_hello().alpn()).map_err(|error| error.to_string())?;
    let handshake = hello.into_stream(connection.config.clone()).await;
    let stream = handshake.map_err(|error| connection.failure(&error))?;
    if !shared.tls.speaks(stream.get_ref().1.alpn_protocol()) {
        return Err("the client offers no protocol that is served here".to_owned());
    }
    Ok(TlsStream::new(stream, client, connection.peer()))
}
