//! A stream that is written to once a turn.
//!
//! HTTP/2 writes and flushes headers, data and trailers of an answer one after the other, each of which would be a
//! system call, a record of TLS, a packet and a wake-up of the client.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use zeroize::Zeroize as _;

/// More than that is not held back.
const MOST: usize = 64 * 1024;

/// Holds back what is written until [`Cork::drain`]. Clones are the same stream: one for HTTP/2, one for whoever
/// knows when a turn is over.
#[derive(Debug)]
pub(super) struct Cork<IO>(Arc<Mutex<Inner<IO>>>);

#[derive(Debug)]
struct Inner<IO> {
    stream: IO,
    held: Vec<u8>,
    /// Bytes at the beginning of `held` that are written already.
    written: usize,
    /// Why nothing can be written any more; whoever reads hears of it.
    failed: Option<io::ErrorKind>,
}

impl<IO> Clone for Cork<IO> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Cork<IO> {
    pub(super) fn new(stream: IO) -> Self {
        Self(Arc::new(Mutex::new(Inner { stream, held: Vec::new(), written: 0, failed: None })))
    }

    /// Writes what was held back, as far as possible now. Wakes whoever reads once there may be more to do.
    pub(super) fn drain(&self, context: &mut Context<'_>) {
        let mut inner = self.0.lock();
        if let Poll::Ready(Err(error)) = inner.poll_drain(context) {
            inner.failed = Some(error.kind());
            context.waker().wake_by_ref();
        }
    }
}

impl<IO: AsyncWrite + Unpin> Inner<IO> {
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.held.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.written < self.held.len() {
            let rest = &self.held[self.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        // Idle connections are many and need no buffer. Keys of workloads may have been in it.
        self.held.zeroize();
        (self.held, self.written) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    /// Takes as much as there is room for, and says how much that is.
    fn hold(&mut self, parts: &[IoSlice<'_>]) -> usize {
        let offered = parts.iter().map(|part| part.len()).sum::<usize>();
        let length = offered.min(MOST - self.held.len().min(MOST));
        if self.held.capacity() < self.held.len() + length {
            // One that grows by itself leaves what was in it behind.
            let mut larger = Vec::with_capacity(self.held.len() + length);
            larger.extend_from_slice(&self.held);
            self.held.zeroize();
            self.held = larger;
        }
        let full = self.held.len() + length;
        for part in parts {
            let room = full - self.held.len();
            self.held.extend_from_slice(&part[..part.len().min(room)]);
        }
        length
    }

    /// Makes room, if there is too much already.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.held.len() < MOST { Poll::Ready(Ok(())) } else { self.poll_drain(context) }
    }
}

impl<IO> Drop for Inner<IO> {
    fn drop(&mut self) {
        self.held.zeroize();
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Cork<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.0.lock();
        match inner.failed {
            Some(kind) => Poll::Ready(Err(kind.into())),
            None => Pin::new(&mut inner.stream).poll_read(context, buffer),
        }
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Cork<IO> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.0.lock();
        ready!(inner.poll_room(context))?;
        Poll::Ready(Ok(inner.hold(&[IoSlice::new(bytes)])))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.0.lock();
        ready!(inner.poll_room(context))?;
        Poll::Ready(Ok(inner.hold(parts)))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().poll_room(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.lock();
        ready!(inner.poll_drain(context))?;
        Pin::new(&mut inner.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn nothing_is_lost_and_the_order_is_kept_however_slow_the_reader() {
        let (ours, mut theirs) = tokio::io::duplex(1000);
        let mut cork = Cork::new(ours);
        let sent: Vec<u8> = (0..300_000u32).map(|number| number as u8).collect();
        let expected = sent.clone();
        let reader = tokio::spawn(async move {
            let mut received = Vec::new();
            theirs.read_to_end(&mut received).await.unwrap();
            received
        });
        for chunk in sent.chunks(7000) {
            cork.write_all(chunk).await.unwrap();
            cork.flush().await.unwrap();
        }
        cork.shutdown().await.unwrap();
        assert_eq!(reader.await.unwrap(), expected);
    }

    #[tokio::test]
    async fn what_was_written_waits_for_the_end_of_the_turn() {
        let (ours, mut theirs) = tokio::io::duplex(1000);
        let mut cork = Cork::new(ours);
        cork.write_all(b"headers ").await.unwrap();
        cork.flush().await.unwrap();
        cork.write_all(b"data").await.unwrap();
        assert!(futures::poll!(std::pin::pin!(theirs.read_u8())).is_pending());
        cork.drain(&mut Context::from_waker(std::task::Waker::noop()));
        let mut received = [0; 12];
        theirs.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"headers data");
    }

    #[tokio::test]
    async fn a_client_that_is_gone_ends_the_connection() {
        let (ours, theirs) = tokio::io::duplex(1000);
        let mut cork = Cork::new(ours);
        cork.write_all(b"data").await.unwrap();
        drop(theirs);
        cork.drain(&mut Context::from_waker(std::task::Waker::noop()));
        let error = cork.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
