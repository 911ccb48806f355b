//! Keeps the agent's own SVID fresh (AG-371 to AG-375).

use std::sync::Arc;
use std::time::Duration;

use spire_crypto::x509::Certificate;
use spire_net::tls::BundleSource;
use spire_proto::server::agent::v1::agent_client::AgentClient;
use spire_proto::server::agent::v1::{AgentX509svidParams, RenewAgentRequest};
use spire_runtime::{Backoff, BackoffOptions, SharedClock, SharedRandom};

use super::attester::request;
use super::recovery::agent_svid;
use super::{AgentSvid, Attester, Identity, KeySlots, RotationPolicy};
use crate::fault::{Consequence, Fault, log_rpc_error};
use crate::link::{CALL_TIMEOUT, ServerLink};
use crate::storage::Storage;

/// How often the SVID is looked at, if nothing is known to happen earlier.
const CHECK_EVERY: Duration = Duration::from_secs(5);
const MAX_WAIT: Duration = Duration::from_secs(120);

/// Renews or re-attests, one at a time.
#[derive(Debug)]
pub struct Rotator {
    pub identity: Arc<Identity>,
    pub link: Arc<ServerLink>,
    pub attester: Attester,
    pub keys: KeySlots,
    pub storage: Arc<Storage>,
    pub bundles: Arc<dyn BundleSource>,
    pub policy: RotationPolicy,
    pub clock: SharedClock,
    pub random: SharedRandom,
}

impl Rotator {
    pub(crate) fn backoff(&self) -> Backoff {
        let options = BackoffOptions { max_interval: Some(MAX_WAIT), ..BackoffOptions::default() };
        Backoff::with(CHECK_EVERY, options, self.clock.clone(), self.random.clone())
    }

    /// Not later than the moment when the SVID is due.
    pub(crate) fn next_look(&self, wait: Duration) -> Duration {
        let left = self.identity.current().renew_at - self.clock.now();
        match Duration::try_from(left) {
            Ok(left) => wait.min(left.max(Duration::from_millis(100))),
            Err(_) => wait,
        }
    }

    pub async fn rotate_if_due(&self) -> Result<(), Fault> {
        if !self.identity.is_due(self.clock.now()) {
            return Ok(());
        }
        let svid = self.identity.current();
        let (what, rotated) = if svid.reattestable {
            ("reattest agent", self.reattest_from(&svid).await)
        } else {
            ("rotate agent SVID", self.renew_from(&svid).await)
        };
        let Err(fault) = rotated else { return Ok(()) };
        tracing::error!(error = %fault, subsystem_name = "manager", "Could not {what}");
        if svid.is_expired(self.clock.now()) && fault.consequence() == Consequence::Retry {
            return Err(fault.context(format!("current SVID has already expired and {what} failed")));
        }
        Err(fault)
    }

    /// The running SVID is no good any more, for reasons of which there is nothing to learn by waiting.
    pub fn is_expired(&self) -> bool {
        self.identity.current().is_expired(self.clock.now())
    }

    /// Attests anew because the server asked for it. `refused` is the SVID with which it did so: if it is not in use
    /// any more, nothing is to be done.
    pub async fn reattest(&self, refused: &Arc<AgentSvid>) -> Result<(), Fault> {
        if !refused.reattestable {
            return Err(Fault::new("attestation method is not re-attestable"));
        }
        self.reattest_from(refused).await
    }

    async fn reattest_from(&self, old: &Arc<AgentSvid>) -> Result<(), Fault> {
        let _alone = self.link.rotate().await;
        if !Arc::ptr_eq(&self.identity.current(), old) {
            return Ok(());
        }
        tracing::debug!(subsystem_name = "manager", "Reattesting node");
        if self.bundles.roots(&self.attester.trust_domain).is_none() {
            return Err(Fault::new("bundle not found"));
        }
        let key = self.keys.generate(Some(old.key.id())).await;
        let key = key.map_err(|error| Fault::new(error.rpc_text()))?;
        let new = self.attester.reattest(&*key, self.bundles.clone()).await?;
        let svid = agent_svid(new.chain, key, new.reattestable, &self.policy)?;
        tracing::info!(
            spiffe_id = svid.id.to_string(),
            subsystem_name = "manager",
            "Successfully reattested node"
        );
        self.adopt(svid).await
    }

    async fn renew_from(&self, old: &Arc<AgentSvid>) -> Result<(), Fault> {
        let _alone = self.link.rotate().await;
        if !Arc::ptr_eq(&self.identity.current(), old) {
            return Ok(());
        }
        tracing::debug!(subsystem_name = "manager", "Rotating agent SVID");
        let key = self.keys.generate(Some(old.key.id())).await;
        let key = key.map_err(|error| Fault::new(error.rpc_text()))?;
        let csr = request(&*key).await.map_err(Fault::new)?;
        let call = RenewAgentRequest { params: Some(AgentX509svidParams { csr: csr.into() }) };
        let renewed = self
            .link
            .call_while_rotating(CALL_TIMEOUT, |channel| async move {
                Ok(AgentClient::new(channel).renew_agent(call).await?.into_inner())
            })
            .await;
        let renewed = renewed.map_err(|status| {
            log_rpc_error("Failed to renew agent", &status);
            Fault::rpc(&status).context("failed to renew agent")
        })?;
        let chain: Result<Vec<_>, _> =
            renewed.svid.unwrap_or_default().cert_chain.iter().map(|der| Certificate::parse(der)).collect();
        let chain = chain.map_err(|error| Fault::new(error.to_string()))?;
        // A renewed SVID says nothing about attesting again (AG-372).
        let svid = agent_svid(chain, key, false, &self.policy)?;
        tracing::info!(
            spiffe_id = svid.id.to_string(),
            subsystem_name = "manager",
            "Successfully rotated agent SVID"
        );
        self.adopt(svid).await
    }

    /// To disk first: after a crash the server must not know a newer SVID than we do.
    async fn adopt(&self, svid: AgentSvid) -> Result<(), Fault> {
        if let Err(error) = self.storage.store_svid(&svid.chain, svid.reattestable).await {
            tracing::warn!(error = %error, subsystem_name = "manager", "Could not store SVID");
        }
        self.identity.replace(svid).map_err(|error| Fault::new(error.to_string()))?;
        self.link.identity_changed();
        Ok(())
    }
}
