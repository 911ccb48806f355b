//! The tasks that keep a running agent up to date, and what they do when the server turns it away.

use std::sync::Arc;
use std::time::Duration;

use spire_runtime::{Backoff, BackoffOptions, Nudge, SharedClock, SharedRandom, Shutdown};

use super::Synchronizer;
use crate::bootstrap::{Bootstrapping, Disagreement};
use crate::duration::logged;
use crate::fault::{Consequence, Fault};
use crate::identity::{AgentSvid, Rotator};
use crate::settings::RebootstrapMode;
use crate::storage::Storage;

/// Longest wait while there is nothing to serve, or trust is in question (AG-305, AG-223).
const IMPATIENT: Duration = Duration::from_secs(5);
const MAX_SYNC_WAIT: Duration = Duration::from_secs(8 * 60);
const MAX_SYNC_MULTIPLE: u32 = 48;
/// How often SVIDs are looked at (AG-306).
const SIGN_EVERY: Duration = Duration::from_millis(500);
const MAX_SIGN_WAIT: Duration = Duration::from_secs(4 * 60);

/// What the tasks share.
#[derive(Debug)]
pub struct Tasks {
    pub synchronizer: Arc<Synchronizer>,
    pub rotator: Rotator,
    pub bootstrapping: Arc<Bootstrapping>,
    pub storage: Arc<Storage>,
    pub rebootstrap_mode: RebootstrapMode,
    pub rebootstrap_delay: Duration,
    pub sync_interval: Duration,
    /// Rung by the server.
    pub rings: Nudge,
    pub clock: SharedClock,
    pub random: SharedRandom,
}

impl Tasks {
    fn backoff(&self, first: Duration, max: Duration) -> Backoff {
        let options = BackoffOptions { max_interval: Some(max), ..BackoffOptions::default() };
        Backoff::with(first, options, self.clock.clone(), self.random.clone())
    }

    /// Pulls on the timer and at each ring (AG-305).
    pub async fn sync(self: Arc<Self>, shutdown: Shutdown) -> Result<(), Fault> {
        let max = MAX_SYNC_WAIT.min(self.sync_interval.saturating_mul(MAX_SYNC_MULTIPLE));
        let mut backoff = self.backoff(self.sync_interval, max);
        let mut wait = backoff.next().unwrap_or(max).min(IMPATIENT);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                () = self.rings.nudged() => {}
                () = self.clock.sleep(wait) => {}
            }
            let svid = self.rotator.identity.current();
            let begun = self.clock.monotonic();
            let Some(outcome) = shutdown.unless_cancelled(self.synchronizer.synchronize()).await else {
                return Ok(());
            };
            wait = match outcome {
                Ok(()) => {
                    self.bootstrapping.still_agreed().await.map_err(|error| Fault::new(error.to_string()))?;
                    backoff.reset();
                    let next = backoff.next().unwrap_or(max);
                    if self.synchronizer.svid_count() == 0 { next.min(IMPATIENT) } else { next }
                }
                Err(fault) if fault.is_unknown_authority() => {
                    self.disagreed(fault).await?;
                    backoff.reset();
                    backoff.next().unwrap_or(max).min(IMPATIENT)
                }
                Err(fault) => {
                    tracing::error!(error = %fault, subsystem_name = "manager", "Synchronize failed");
                    match self.turned_away(&fault, &svid, &shutdown).await? {
                        true => Duration::ZERO,
                        false => backoff.next().unwrap_or(max),
                    }
                }
            };
            // A server that rings without pause gets as much rest as it gets work.
            let spent = self.clock.monotonic().saturating_sub(begun).min(Duration::from_secs(1));
            if shutdown.unless_cancelled(self.clock.sleep(spent)).await.is_none() {
                return Ok(());
            }
        }
    }

    /// AG-223
    async fn disagreed(&self, fault: Fault) -> Result<(), Fault> {
        if self.rebootstrap_mode == RebootstrapMode::Never {
            tracing::info!(
                error = %fault,
                subsystem_name = "manager",
                "Synchronize failed, non-recoverable error"
            );
            return Err(fault.context("failed to sync with SPIRE Server"));
        }
        let stored = |error: crate::storage::StorageError| Fault::new(error.to_string());
        match self.bootstrapping.disagreed(self.rebootstrap_delay).await.map_err(stored)? {
            Disagreement::Wait(left) => {
                tracing::info!(
                    subsystem_name = "manager",
                    time_left = logged(left).as_value(),
                    "Trust Bundle and Server don't agree, ignoring for now"
                );
                Ok(())
            }
            Disagreement::StartOver => {
                tracing::warn!(
                    subsystem_name = "manager",
                    "Trust Bundle and Server don't agree, rebootstrapping"
                );
                self.bootstrapping.start_over().await.map_err(stored)?;
                Err(Fault::new("shutting down for rebootstrapping"))
            }
        }
    }

    /// The server refused an SVID: attest again, or give up (AG-401 to AG-405). Whether there is a new one.
    async fn turned_away(
        &self,
        fault: &Fault,
        refused: &Arc<AgentSvid>,
        shutdown: &Shutdown,
    ) -> Result<bool, Fault> {
        match fault.consequence() {
            Consequence::Retry => Ok(false),
            Consequence::Banned => {
                tracing::warn!(
                    error = %fault,
                    subsystem_name = "manager",
                    "Agent is banned: removing SVID and shutting down"
                );
                self.forget_svid().await;
                Err(fault.clone())
            }
            Consequence::Reattest => {
                tracing::warn!(
                    error = %fault,
                    subsystem_name = "manager",
                    "Agent needs to re-attest; will attempt to re-attest"
                );
                match shutdown.unless_cancelled(self.rotator.reattest(refused)).await {
                    None => Ok(false),
                    Some(Ok(())) => Ok(true),
                    Some(Err(error)) => {
                        tracing::error!(
                            error = %error,
                            subsystem_name = "manager",
                            "Agent failed re-attestation; removing SVID and shutting down"
                        );
                        self.forget_svid().await;
                        Err(fault.clone())
                    }
                }
            }
        }
    }

    async fn forget_svid(&self) {
        forget_svid(&self.storage).await;
    }

    /// Signs what is missing or due, between the pulls (AG-306).
    pub async fn sign(self: Arc<Self>, shutdown: Shutdown) -> Result<(), Fault> {
        let mut backoff = self.backoff(SIGN_EVERY, MAX_SIGN_WAIT);
        let mut wait = backoff.next().unwrap_or(SIGN_EVERY);
        let mut failing = false;
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                // While the server fails, new callers must not make us ask more often.
                () = self.synchronizer.cache.wanted().nudged(), if !failing => {}
                () = self.clock.sleep(wait) => {}
            }
            let Some(outcome) = shutdown.unless_cancelled(self.synchronizer.sign_stale()).await else {
                return Ok(());
            };
            failing = outcome.is_err();
            match outcome {
                Ok(more) => {
                    backoff.reset();
                    if more {
                        self.synchronizer.cache.wanted().nudge();
                    }
                }
                Err(fault) => {
                    tracing::error!(error = %fault, subsystem_name = "manager", "SVID sync failed");
                }
            }
            wait = backoff.next().unwrap_or(MAX_SIGN_WAIT);
        }
    }

    /// Keeps the agent's own SVID fresh (AG-371).
    pub async fn rotate(self: Arc<Self>, shutdown: Shutdown) -> Result<(), Fault> {
        let mut backoff = self.rotator.backoff();
        loop {
            let svid = self.rotator.identity.current();
            let Some(outcome) = shutdown.unless_cancelled(self.rotator.rotate_if_due()).await else {
                return Ok(());
            };
            let wait = match outcome {
                Ok(()) => {
                    backoff.reset();
                    self.rotator.next_look(backoff.next().unwrap_or(IMPATIENT))
                }
                Err(fault) => {
                    if !self.turned_away(&fault, &svid, &shutdown).await? && self.rotator.is_expired() {
                        return Err(fault);
                    }
                    backoff.next().unwrap_or(IMPATIENT)
                }
            };
            if shutdown.unless_cancelled(self.clock.sleep(wait)).await.is_none() {
                return Ok(());
            }
        }
    }
}

/// The next start attests anew.
pub async fn forget_svid(storage: &Storage) {
    if let Err(error) = storage.delete_svid().await {
        tracing::error!(error = %error, subsystem_name = "manager", "Failed to remove SVID");
    }
}

#[cfg(test)]
mod tests;
