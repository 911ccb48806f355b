use std::sync::Arc;
use std::time::Duration;

use spire_config::duration::GoDuration;
use spire_runtime::SharedClock;
use time::OffsetDateTime;
use tokio::sync::Mutex;

use crate::storage::{BootstrapState, Purpose, Storage, StorageError};

/// The server's certificate is not covered by the trust bundle: what to do about it (AG-221).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disagreement {
    /// It may pass; wait this much longer.
    Wait(Duration),
    /// It lasted long enough: start over with the configured trust bundle.
    StartOver,
}

/// Remembers across restarts how long the agent has been trying (AG-217, AG-220).
#[derive(Debug)]
pub struct Bootstrapping {
    storage: Arc<Storage>,
    clock: SharedClock,
    state: Mutex<BootstrapState>,
}

impl Bootstrapping {
    pub async fn load(storage: Arc<Storage>, clock: SharedClock) -> Self {
        let mut state = storage.bootstrap_state().await;
        if state.purpose == Purpose::Unset {
            let known = storage.bundle().await.is_some();
            state.purpose = if known { Purpose::Rebootstrap } else { Purpose::Bootstrap };
        }
        Self { storage, clock, state: Mutex::new(state) }
    }

    /// Before trust was ever established a disagreement is just a failed attempt.
    pub async fn is_first(&self) -> bool {
        self.state.lock().await.purpose != Purpose::Rebootstrap
    }

    /// Another attempt to get a trust bundle from its source.
    pub async fn attempt(&self) -> Result<BootstrapState, StorageError> {
        let mut state = self.state.lock().await;
        state.attempts += 1;
        state.started.get_or_insert(self.clock.now());
        self.storage.store_bootstrap_state(*state).await?;
        Ok(*state)
    }

    /// The server is who the bundle says; the next bootstrap is a second one.
    pub async fn succeeded(&self) -> Result<(), StorageError> {
        self.settle(&mut *self.state.lock().await).await
    }

    /// The same while the agent runs: nothing to be done, unless there was a disagreement (AG-224).
    pub async fn still_agreed(&self) -> Result<(), StorageError> {
        let mut state = self.state.lock().await;
        match state.started {
            Some(_) => self.settle(&mut state).await,
            None => Ok(()),
        }
    }

    async fn settle(&self, state: &mut BootstrapState) -> Result<(), StorageError> {
        let took = match state.started {
            Some(since) => elapsed(since, self.clock.now()).into(),
            // Upstream counts from the year one, which is more than its durations can hold.
            None => GoDuration(i64::MAX),
        };
        tracing::info!(Logger = "TrustBundleSources", "Success after {took} attempts={}", state.attempts);
        tracing::info!(Logger = "TrustBundleSources", "Setting use.");
        let done = BootstrapState { purpose: Purpose::Rebootstrap, started: None, attempts: 0 };
        if *state != done {
            self.storage.store_bootstrap_state(done).await?;
            *state = done;
        }
        Ok(())
    }

    /// The server is not who the bundle says; counts from the first sighting.
    pub async fn disagreed(&self, patience: Duration) -> Result<Disagreement, StorageError> {
        let mut state = self.state.lock().await;
        let now = self.clock.now();
        let since = match state.started {
            Some(since) => since,
            None => {
                state.started = Some(now);
                self.storage.store_bootstrap_state(*state).await?;
                now
            }
        };
        let passed = elapsed(since, now);
        if passed >= patience {
            return Ok(Disagreement::StartOver);
        }
        Ok(Disagreement::Wait(patience - passed))
    }

    /// Forgets identity and bundle, so that the next start bootstraps anew (AG-222).
    pub async fn start_over(&self) -> Result<(), StorageError> {
        let mut state = self.state.lock().await;
        *state =
            BootstrapState { purpose: Purpose::Rebootstrap, started: Some(self.clock.now()), attempts: 0 };
        self.storage.store_bootstrap_state(*state).await?;
        self.storage.delete_svid().await?;
        self.storage.store_bundle(&[]).await
    }
}

fn elapsed(since: OffsetDateTime, now: OffsetDateTime) -> Duration {
    Duration::try_from(now - since).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use spire_runtime::ManualClock;

    use super::*;
    use crate::testing::{NOW, TestCa};

    const DELAY: Duration = Duration::from_secs(600);

    async fn bootstrapping(dir: &std::path::Path, clock: &ManualClock) -> Bootstrapping {
        let storage = Arc::new(Storage::open(dir).unwrap());
        Bootstrapping::load(storage, clock.shared()).await
    }

    #[tokio::test]
    async fn a_disagreement_must_last_before_trust_is_thrown_away_and_restarts_do_not_help_it() {
        // AG-221, AG-224: a server that is broken for a minute must not cost the agent its trust.
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at_unix(NOW);
        let first = bootstrapping(dir.path(), &clock).await;
        assert!(first.is_first().await);
        first.succeeded().await.unwrap();
        assert_eq!(first.disagreed(DELAY).await.unwrap(), Disagreement::Wait(DELAY));
        clock.advance(Duration::from_secs(500));
        let restarted = bootstrapping(dir.path(), &clock).await;
        assert!(!restarted.is_first().await);
        let wait = Duration::from_secs(100);
        assert_eq!(restarted.disagreed(DELAY).await.unwrap(), Disagreement::Wait(wait));
        let log = spire_runtime::logging::capture();
        restarted.still_agreed().await.unwrap();
        assert_eq!(log.messages(), ["Success after 8m20s attempts=0", "Setting use."]);
        restarted.still_agreed().await.unwrap();
        assert_eq!(log.take().len(), 2, "nothing happened since");
        clock.advance(Duration::from_secs(500));
        assert_eq!(restarted.disagreed(DELAY).await.unwrap(), Disagreement::Wait(DELAY));
        clock.advance(DELAY);
        assert_eq!(restarted.disagreed(DELAY).await.unwrap(), Disagreement::StartOver);
    }

    #[tokio::test]
    async fn starting_over_forgets_identity_and_bundle() {
        // AG-222
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at_unix(NOW);
        let ca = TestCa::new("example.org").await;
        let storage = Storage::open(dir.path()).unwrap();
        storage.store_svid(std::slice::from_ref(&ca.certificate), true).await.unwrap();
        storage.store_bundle(std::slice::from_ref(&ca.certificate)).await.unwrap();
        bootstrapping(dir.path(), &clock).await.start_over().await.unwrap();
        let again = Storage::open(dir.path()).unwrap();
        assert!(again.svid().await.is_none() && again.bundle().await.is_none());
        assert_eq!(again.bootstrap_state().await.purpose, Purpose::Rebootstrap);
    }
}
