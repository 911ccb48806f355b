//! A connection from a local process.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BufMut;
use rustix::net::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tonic::transport::server::Connected;

use super::authority::AuthorityFilter;
use super::listener::Tracking;
use super::pin::{PeerCredentials, PinError, PinnedPeer};

/// Who is on the other side; found in the extensions of each request.
#[derive(Debug, Clone)]
pub struct LocalPeer(Arc<Known>);

#[derive(Debug)]
struct Known {
    /// Unless peers are not tracked on this listener.
    pinned: Option<PinnedPeer>,
    /// Counts the connection as open. Not in the stream, because this allocation has room for it.
    _open: Arc<()>,
}

impl LocalPeer {
    /// The pinned process; `None` on a listener that does not track its peers.
    pub fn pinned(&self) -> Option<&PinnedPeer> {
        self.0.pinned.as_ref()
    }
}

/// A connection from a local process.
#[derive(Debug)]
pub struct LocalStream {
    // Shared only with the pin, which closes the connection when the peer is found to be gone.
    stream: Arc<UnixStream>,
    peer: LocalPeer,
    filter: AuthorityFilter,
}

impl LocalStream {
    pub(super) fn accepted(stream: UnixStream, tracking: Tracking, open: Arc<()>) -> Result<Self, PinError> {
        let stream = Arc::new(stream);
        let pinned = match tracking {
            Tracking::Off => None,
            Tracking::Pinned => {
                let credentials = stream.peer_cred().map_err(|source| PinError::Handle { pid: 0, source })?;
                let pid = credentials.pid().unwrap_or_default();
                let credentials = PeerCredentials { pid, uid: credentials.uid(), gid: credentials.gid() };
                Some(PinnedPeer::of_connection(credentials, &stream)?)
            }
        };
        let peer = LocalPeer(Arc::new(Known { pinned, _open: open }));
        Ok(Self { stream, peer, filter: AuthorityFilter::new() })
    }

    pub fn peer(&self) -> &LocalPeer {
        &self.peer
    }
}

impl Connected for LocalStream {
    type ConnectInfo = LocalPeer;

    fn connect_info(&self) -> LocalPeer {
        self.peer.clone()
    }
}

impl AsyncRead for LocalStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let wanted = this.filter.wanted();
            if wanted == Some(0) || buffer.remaining() == 0 {
                let due = this.filter.deliver(buffer.initialize_unfilled());
                buffer.advance(due);
                return Poll::Ready(Ok(()));
            }
            ready!(this.stream.poll_read_ready(context))?;
            // Never cleared, so that of a large buffer only as much gets memory as is read.
            let before = buffer.filled().len();
            let mut room = BufMut::limit(&mut *buffer, wanted.unwrap_or(usize::MAX));
            let read = match this.stream.try_read_buf(&mut room) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Poll::Ready(Err(error)),
            };
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
            let fresh = &mut buffer.filled_mut()[before..];
            let passed = match wanted {
                Some(_) => {
                    this.filter.hold(fresh);
                    0
                }
                None => this.filter.pass(fresh),
            };
            buffer.set_filled(before + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl LocalStream {
    fn poll_send(
        &self,
        context: &mut Context<'_>,
        send: impl Fn(&UnixStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            match send(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

impl AsyncWrite for LocalStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(context, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(context, |stream| stream.try_write_vectored(parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match rustix::net::shutdown(&*self.stream, Shutdown::Write) {
            // The other side may be gone, or the pin may have closed the connection.
            Ok(()) | Err(rustix::io::Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}
