//! The two loops before an agent runs: until it has an identity, and until it knows its entries.

use std::sync::Arc;
use std::time::Duration;

use spire_runtime::{Backoff, BackoffOptions, SharedClock, SharedRandom};
use tonic::Code;

use crate::bootstrap::{Anchor, BootstrapError, Bootstrapping, Disagreement, TrustBundleSources};
use crate::duration::logged;
use crate::error::AgentError;
use crate::fault::{Consequence, Fault};
use crate::identity::{Attester, KeySlots, Recovered, RotationPolicy, recover};
use crate::settings::RebootstrapMode;
use crate::storage::Storage;
use crate::sync::{Synchronizer, forget_svid};

const FIRST_RETRY: Duration = Duration::from_secs(5);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
const NOT_POSSIBLE: &str = "you have requested rebootstrap support but the NodeAttestor plugin or the spire server configuration is not allowing it";

/// What both loops need.
#[derive(Debug)]
pub struct Startup {
    pub storage: Arc<Storage>,
    pub bootstrapping: Arc<Bootstrapping>,
    pub sources: TrustBundleSources,
    pub rebootstrap_mode: RebootstrapMode,
    pub rebootstrap_delay: Duration,
    pub policy: RotationPolicy,
    pub clock: SharedClock,
    pub random: SharedRandom,
}

impl Startup {
    /// Gives up after a minute, or after a day if help may come from a new bootstrap (AG-208).
    fn backoff(&self) -> Backoff {
        let limit = if self.rebootstrap_mode == RebootstrapMode::Never { MINUTE } else { DAY };
        let options = BackoffOptions { max_elapsed: Some(limit), ..BackoffOptions::default() };
        Backoff::with(FIRST_RETRY, options, self.clock.clone(), self.random.clone())
    }

    /// An identity that cannot be got again forbids throwing it away (AG-225).
    async fn check_rebootstrap(&mut self) -> Result<(), AgentError> {
        if self.rebootstrap_mode == RebootstrapMode::Never {
            return Ok(());
        }
        match self.storage.svid().await {
            Some(stored) if !stored.reattestable => {
                if self.rebootstrap_mode == RebootstrapMode::Always {
                    return Err(AgentError::Start(NOT_POSSIBLE.to_owned()));
                }
                tracing::warn!("{NOT_POSSIBLE}. Disabling");
                self.rebootstrap_mode = RebootstrapMode::Never;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Tries until there is an identity (AG-208 to AG-211).
    pub async fn identity(&mut self, attester: &Attester, keys: &KeySlots) -> Result<Recovered, AgentError> {
        self.check_rebootstrap().await?;
        let mut backoff = self.backoff();
        loop {
            let fault = match self.anchor().await {
                Err(BootstrapError::Storage(error)) => return Err(error.into()),
                Err(BootstrapError::Source(text)) => Fault::new(text),
                Ok(anchor) => match recover(anchor, attester, keys, &self.storage, &self.policy).await {
                    Ok(recovered) => {
                        self.bootstrapping.succeeded().await?;
                        self.check_rebootstrap().await?;
                        return Ok(recovered);
                    }
                    Err(fault) => {
                        if fault.is_unknown_authority() {
                            self.disagreed_at_first().await?;
                        }
                        // Banned; asking again would not help (AG-209).
                        if fault.code() == Some(Code::PermissionDenied) {
                            return Err(fault.into());
                        }
                        fault
                    }
                },
            };
            self.pause(&mut backoff, fault, "Failed to retrieve attestation result").await?;
        }
    }

    /// What was trusted before goes before what is configured (AG-210).
    async fn anchor(&self) -> Result<Anchor, BootstrapError> {
        match self.storage.bundle().await {
            Some(bundle) => Ok(Anchor::Bundle(bundle)),
            None => self.sources.fetch(&self.bootstrapping).await,
        }
    }

    /// AG-221
    async fn disagreed_at_first(&self) -> Result<(), AgentError> {
        if self.bootstrapping.is_first().await {
            tracing::info!("Trust Bundle and Server don't agree, bootstrapping again");
            return Ok(());
        }
        if self.rebootstrap_mode == RebootstrapMode::Never {
            return Ok(());
        }
        match self.bootstrapping.disagreed(self.rebootstrap_delay).await? {
            Disagreement::Wait(left) => log_ignored(left),
            Disagreement::StartOver => {
                tracing::warn!("Trust Bundle and Server don't agree, rebootstrapping");
                self.storage.store_bundle(&[]).await?;
            }
        }
        Ok(())
    }

    async fn pause(&self, backoff: &mut Backoff, fault: Fault, message: &str) -> Result<(), AgentError> {
        let Some(wait) = backoff.next() else { return Err(fault.into()) };
        tracing::warn!(
            error = %fault,
            retry_interval = logged(wait).as_value(),
            "{message}"
        );
        self.clock.sleep(wait).await;
        Ok(())
    }

    /// Tries until the entries are known (AG-301, AG-302).
    pub async fn first_sync(&mut self, synchronizer: &Synchronizer) -> Result<(), AgentError> {
        let mut backoff = self.backoff();
        loop {
            synchronizer.post_status().await;
            let Err(fault) = synchronizer.synchronize().await else {
                self.bootstrapping.still_agreed().await?;
                return Ok(());
            };
            let gone = match fault.consequence() {
                Consequence::Retry => None,
                Consequence::Reattest => Some("Agent needs to re-attest: removing SVID and shutting down"),
                Consequence::Banned => Some("Agent is banned: removing SVID and shutting down"),
            };
            if let Some(message) = gone {
                tracing::error!(error = %fault, subsystem_name = "manager", "{message}");
                forget_svid(&self.storage).await;
                return Err(fault.into());
            }
            if fault.is_unknown_authority() && self.rebootstrap_mode != RebootstrapMode::Never {
                match self.bootstrapping.disagreed(self.rebootstrap_delay).await? {
                    Disagreement::Wait(left) => log_ignored(left),
                    Disagreement::StartOver => {
                        tracing::info!("Trust Bundle and Server don't agree, rebootstrapping");
                        self.bootstrapping.start_over().await?;
                        let text = "Agent needs to rebootstrap. shutting down";
                        return Err(AgentError::Start(text.to_owned()));
                    }
                }
            }
            self.pause(&mut backoff, fault, "Failed to initialize manager").await?;
        }
    }
}

fn log_ignored(left: Duration) {
    tracing::info!(
        time_left = logged(left).as_value(),
        "Trust Bundle and Server don't agree, ignoring for now"
    );
}
