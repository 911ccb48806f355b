//! The connection to the server that the agent keeps (AG-231 to AG-236, AG-308).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use spire_net::channel::{self, BadTarget};
use spire_net::tls::ClientTls;
use tokio::sync::{RwLock, RwLockWriteGuard, watch};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// Longest time for a call (AG-307).
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// A server with the fullest page of entries or SVIDs stays far below.
pub const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// One shared connection; made at the first call and again after a failure.
#[derive(Debug)]
pub struct ServerLink {
    target: String,
    tls: Arc<ClientTls>,
    current: Mutex<Current>,
    /// Held for writing while the agent's SVID changes: the server accepts only the newest one.
    rotation: RwLock<()>,
    /// Counts connections that are given up.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Current {
    channel: Option<Channel>,
    /// Tells a connection from its successor, so that a late failure does not close the wrong one.
    number: u64,
}

impl ServerLink {
    pub fn new(target: String, tls: Arc<ClientTls>) -> Result<Self, BadTarget> {
        // Only to see that the address can be used.
        channel::tls(&target, tls.clone())?;
        Ok(Self {
            target,
            tls,
            current: Mutex::default(),
            rotation: RwLock::new(()),
            changes: watch::Sender::new(0),
        })
    }

    fn channel(&self) -> Result<(Channel, u64), Status> {
        let mut current = self.current.lock();
        if let Some(channel) = &current.channel {
            return Ok((channel.clone(), current.number));
        }
        let made = channel::tls(&self.target, self.tls.clone())
            .map_err(|error| Status::unavailable(error.to_string()))?;
        current.number += 1;
        current.channel = Some(made.clone());
        Ok((made, current.number))
    }

    fn close(&self, number: u64) {
        let mut current = self.current.lock();
        if current.number == number && current.channel.take().is_some() {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Makes a call, which waits while the agent's SVID changes.
    pub async fn call<T, F, Fut>(&self, timeout: Duration, call: F) -> Result<T, Status>
    where
        F: FnOnce(Channel) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        let _unchanged = self.rotation.read().await;
        self.call_while_rotating(timeout, call).await
    }

    /// A call by whoever holds the rotation.
    pub async fn call_while_rotating<T, F, Fut>(&self, timeout: Duration, call: F) -> Result<T, Status>
    where
        F: FnOnce(Channel) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        let (channel, number) = self.channel()?;
        let outcome = tokio::time::timeout(timeout, call(channel)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(Status::deadline_exceeded("context deadline exceeded")));
        if let Err(status) = &outcome
            && speaks_of_the_connection(status.code())
        {
            self.close(number);
        }
        outcome
    }

    /// For a stream that outlives calls; it must end when [`changes`](Self::changes) says so.
    pub async fn stream_channel(&self) -> Result<Channel, Status> {
        let _unchanged = self.rotation.read().await;
        Ok(self.channel()?.0)
    }

    /// Waits for the calls in flight; no other begins until the guard is dropped.
    pub async fn rotate(&self) -> RwLockWriteGuard<'_, ()> {
        self.rotation.write().await
    }

    /// The agent has a new SVID, so connections made with the old one are of no use.
    pub fn identity_changed(&self) {
        self.current.lock().channel = None;
        self.changes.send_modify(|count| *count += 1);
    }

    /// Changes whenever a connection is given up.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// Failures after which another connection, maybe to another server, may do better (AG-236).
fn speaks_of_the_connection(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::Unauthenticated
            | Code::PermissionDenied
    )
}
