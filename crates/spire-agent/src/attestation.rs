//! Who is calling: selectors of a local process (AG-457 to AG-465).

use std::sync::Arc;

use spire_catalog::Live;
use spire_net::local::{LocalPeer, PinnedPeer};
use spire_plugin::agent::{PinnedProcess, WorkloadAttestor};
use spire_runtime::Chain;
use spire_runtime::logging::{LogLevel, LogValue, enabled};
use spire_types::Selector;

/// Why a caller could not be attested.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    #[error("{0}")]
    Attestors(String),
    #[error("could not verify existence of the original caller: {0}")]
    CallerGone(String),
    #[error("the caller is not a local process")]
    NotLocal,
}

/// Asks all attestors about a caller.
#[derive(Debug, Clone)]
pub struct WorkloadAttestors(Arc<[Live<dyn WorkloadAttestor>]>);

impl WorkloadAttestors {
    pub fn new(attestors: &[Live<dyn WorkloadAttestor>]) -> Self {
        Self(attestors.into())
    }

    /// What holds for the process that made the connection. If it is gone by now, what was found may be true of
    /// another process that got its id, and is thrown away (AG-458, AG-459).
    pub async fn attest(&self, peer: Option<&LocalPeer>) -> Result<Vec<Selector>, AttestationError> {
        let peer = peer.and_then(LocalPeer::pinned).ok_or(AttestationError::NotLocal)?;
        let selectors = self.ask(peer).await?;
        peer.is_alive().map_err(|gone| AttestationError::CallerGone(Chain(&gone).to_string()))?;
        Ok(selectors)
    }

    async fn ask(&self, peer: &PinnedPeer) -> Result<Vec<Selector>, AttestationError> {
        let proc_dir = peer.proc_path();
        let process = PinnedProcess { pid: peer.pid(), proc_dir: &proc_dir };
        let answers = futures::future::join_all(self.0.iter().map(|attestor| attestor.attest(process))).await;
        let (mut selectors, mut failures) = (Vec::new(), Vec::new());
        for (attestor, answer) in self.0.iter().zip(answers) {
            let name = attestor.name();
            match answer {
                Ok(values) => selectors.extend(values.iter().map(|value| Selector::unchecked(name, value))),
                Err(error) => {
                    let error = error.rpc_text();
                    tracing::error!(
                        error,
                        pid = peer.pid(),
                        subsystem_name = "workload_attestor",
                        "workload attestor {name:?} failed"
                    );
                    failures.push(format!("workload attestor {name:?} failed: {error}"));
                }
            }
        }
        let all_failed = failures.len() == self.0.len();
        if !failures.is_empty() {
            let text = failures.join("\n");
            if all_failed {
                return Err(AttestationError::Attestors(text));
            }
            tracing::error!(
                error = text,
                subsystem_name = "workload_attestor",
                "Failed to collect all selectors"
            );
        }
        if !is_this_process(peer.pid()) && enabled(LogLevel::Debug) {
            tracing::debug!(
                pid = peer.pid(),
                selectors = shown(&selectors).as_value(),
                subsystem_name = "workload_attestor",
                "PID attested to have selectors"
            );
        }
        Ok(selectors)
    }
}

/// As Go prints a list of selectors.
pub fn shown(selectors: &[Selector]) -> LogValue {
    LogValue::list(
        selectors.iter().map(|selector| format!("type:{:?} value:{:?}", selector.kind(), selector.value())),
    )
}

/// The agent asks itself for its health, which nobody wants to read about (AG-456).
pub fn is_this_process(pid: i32) -> bool {
    u32::try_from(pid) == Ok(std::process::id())
}
