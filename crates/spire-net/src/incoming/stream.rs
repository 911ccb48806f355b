//! A finished connection and what is known of its other side.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use spire_crypto::x509::Certificate;
use spire_types::SpiffeId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::transport::server::Connected;

use crate::tls::VerifiedPeer;

/// Who is on the other side; found in the extensions of each request.
#[derive(Debug, Clone)]
pub struct ConnectInfo(Arc<Info>);

#[derive(Debug)]
struct Info {
    peer_addr: SocketAddr,
    peer: Option<VerifiedPeer>,
}

impl ConnectInfo {
    /// Where the client is; what a trusted proxy says of it, if one is in between.
    pub fn peer_addr(&self) -> SocketAddr {
        self.0.peer_addr
    }

    /// The verified X509-SVID of the client, leaf first; empty if it presented none (SA-207).
    pub fn peer_certs(&self) -> &[Certificate] {
        self.0.peer.as_ref().map_or(&[], VerifiedPeer::chain)
    }

    /// The verified ID of the client; `None` if it presented no certificate.
    pub fn peer_id(&self) -> Option<&SpiffeId> {
        self.0.peer.as_ref().map(VerifiedPeer::id)
    }
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct TlsStream {
    stream: tokio_rustls::server::TlsStream<TcpStream>,
    info: ConnectInfo,
}

impl TlsStream {
    pub(super) fn new(
        stream: tokio_rustls::server::TlsStream<TcpStream>,
        peer_addr: SocketAddr,
        peer: Option<VerifiedPeer>,
    ) -> Self {
        Self { stream, info: ConnectInfo(Arc::new(Info { peer_addr, peer })) }
    }

    pub fn info(&self) -> &ConnectInfo {
        &self.info
    }

    /// The protocol agreed on, such as `h2`.
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.stream.get_ref().1.alpn_protocol()
    }
}

impl Connected for TlsStream {
    type ConnectInfo = ConnectInfo;

    fn connect_info(&self) -> ConnectInfo {
        self.info.clone()
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
