//! Decides which authorities there are and which of them sign.

mod control;
mod restore;
mod rotation;

use std::sync::Arc;

use spire_crypto::KeyError;
use spire_crypto::x509::X509Error;
use spire_datastore::{Datastore, DatastoreError};
use spire_plugin::{KeyManager, PluginError};
use spire_runtime::{Nudge, SharedClock};
use tokio::sync::Mutex;

use crate::journal::{Journal, JournalError};
use crate::settings::CredentialSettings;
use crate::sign::{Authority, IssueError};
use crate::slot::{AuthorityState, Jwt, Pair, X509};

pub use control::ControlError;

/// Why authorities could not be prepared, activated or restored.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    KeyManager(#[from] PluginError),
    #[error(transparent)]
    SelfSign(#[from] IssueError),
    #[error(transparent)]
    Datastore(#[from] DatastoreError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("unable to parse CA certificate: {0}")]
    Certificate(X509Error),
    #[error(transparent)]
    X509(#[from] X509Error),
    #[error("unable to prune bundle: {0}")]
    PruneBundle(DatastoreError),
    #[error("unable to prune CA journals: {0}")]
    PruneJournals(DatastoreError),
}

struct State {
    journal: Journal,
    x509: Pair<X509>,
    jwt: Pair<Jwt>,
}

/// Owns the slots; every change goes through its lock, one at a time.
pub struct AuthorityManager {
    authority: Arc<Authority>,
    keys: Arc<dyn KeyManager>,
    datastore: Datastore,
    clock: SharedClock,
    state: Mutex<State>,
    /// Rings after the own bundle was changed here.
    bundle_changed: Nudge,
    failed_rotations: std::sync::atomic::AtomicU32,
}

impl std::fmt::Debug for AuthorityManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorityManager").field("settings", self.settings()).finish_non_exhaustive()
    }
}

impl AuthorityManager {
    /// Reads the journal and activates what is still good (CA-055 to CA-059).
    pub async fn load(
        settings: CredentialSettings,
        keys: Arc<dyn KeyManager>,
        datastore: Datastore,
        clock: SharedClock,
    ) -> Result<Self, RotateError> {
        let authority = Arc::new(Authority::new(settings, clock.clone())?);
        let journal = Journal::load(datastore.clone(), &*keys).await?;
        let manager = Self {
            authority,
            keys,
            datastore,
            clock,
            state: Mutex::new(State { journal, x509: Pair::new(), jwt: Pair::new() }),
            bundle_changed: Nudge::new(),
            failed_rotations: std::sync::atomic::AtomicU32::new(0),
        };
        manager.restore().await?;
        Ok(manager)
    }

    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    fn settings(&self) -> &CredentialSettings {
        self.authority.settings()
    }

    /// Rings after the own trust domain's bundle was changed here.
    pub fn bundle_changed(&self) -> &Nudge {
        &self.bundle_changed
    }

    pub async fn x509_state(&self) -> AuthorityState {
        self.state.lock().await.x509.state()
    }

    pub async fn jwt_state(&self) -> AuthorityState {
        self.state.lock().await.jwt.state()
    }

    /// Failed rotations since the start, each kind by itself since the start (CA-012).
    pub fn failed_rotations(&self) -> u32 {
        self.failed_rotations.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
