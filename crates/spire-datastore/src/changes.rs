//! Tells the rest of the process what was just committed (A5), so that nobody has to poll for local writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use spire_types::TrustDomain;
use tokio::sync::broadcast;

/// Batches kept for a receiver that is behind; beyond that it gets [`Lagged`] and reads everything again.
const CAPACITY: usize = 8192;

/// Something that one committed transaction created, changed or removed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Change {
    /// A registration entry, by entry id.
    Entry(Box<str>),
    /// An attested agent or its selectors, by SPIFFE ID.
    Agent(Box<str>),
    /// The bundle of a trust domain.
    Bundle(TrustDomain),
    /// The relationship with a trust domain.
    Federation(TrustDomain),
}

/// Everything one transaction changed.
pub type ChangeBatch = Arc<[Change]>;

/// The receiver fell so far behind that changes were dropped; whatever it keeps must be read anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} change batches were dropped")]
pub struct Lagged(pub u64);

/// Hears of every local commit from the moment it was made.
#[derive(Debug)]
pub struct ChangeReceiver(broadcast::Receiver<ChangeBatch>);

impl ChangeReceiver {
    /// Waits for the next commit; `None` once the store is gone. Safe to cancel.
    pub async fn next(&mut self) -> Option<Result<ChangeBatch, Lagged>> {
        match self.0.recv().await {
            Ok(batch) => Some(Ok(batch)),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(Err(Lagged(count))),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// What is there already, without waiting.
    pub fn try_next(&mut self) -> Option<Result<ChangeBatch, Lagged>> {
        match self.0.try_recv() {
            Ok(batch) => Some(Ok(batch)),
            Err(broadcast::error::TryRecvError::Lagged(count)) => Some(Err(Lagged(count))),
            Err(_) => None,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct ChangeSender {
    sender: broadcast::Sender<ChangeBatch>,
    agent_commits: Arc<AtomicU64>,
}

impl ChangeSender {
    pub(crate) fn new() -> Self {
        Self { sender: broadcast::Sender::new(CAPACITY), agent_commits: Arc::default() }
    }

    pub(crate) fn subscribe(&self) -> ChangeReceiver {
        ChangeReceiver(self.sender.subscribe())
    }

    pub(crate) fn send(&self, changes: Vec<Change>) {
        if changes.iter().any(|change| matches!(change, Change::Agent(_))) {
            self.agent_commits.fetch_add(1, Ordering::AcqRel);
        }
        if !changes.is_empty() {
            // Nobody listening is fine: correctness never depends on the nudge.
            let _ = self.sender.send(changes.into());
        }
    }

    pub(crate) fn agent_commits(&self) -> u64 {
        self.agent_commits.load(Ordering::Acquire)
    }
}
