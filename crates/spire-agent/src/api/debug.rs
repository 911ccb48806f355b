use std::sync::Arc;
use std::time::Duration;

use spire_crypto::x509::verify_chain;
use spire_proto::agent_debug::v1::debug_server::Debug as DebugService;
use spire_proto::agent_debug::v1::{GetInfoRequest, GetInfoResponse, get_info_response};
use spire_proto::convert::id::spiffe_id_to_wire;
use spire_runtime::SharedClock;
use spire_types::SpiffeId;
use tokio::sync::Mutex;
use tonic::{Request, Response, Status};

use crate::cache::BundleSet;
use crate::identity::Identity;
use crate::sync::Synchronizer;

/// An answer serves this long (AG-532).
const KEPT: Duration = Duration::from_secs(5);

/// `spire.agent.debug.v1.Debug`
#[derive(Debug)]
pub struct DebugApi {
    pub identity: Arc<Identity>,
    pub bundles: Arc<BundleSet>,
    pub synchronizer: Arc<Synchronizer>,
    pub clock: SharedClock,
    /// On the monotonic clock.
    pub started_at: Duration,
    pub kept: Mutex<Option<(Duration, GetInfoResponse)>>,
}

impl DebugApi {
    #[expect(deprecated, reason = "clients of old still read svids_count")]
    fn fresh(&self) -> Result<GetInfoResponse, Status> {
        let clip = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let uptime = self.clock.monotonic().saturating_sub(self.started_at).as_secs();
        let svids = clip(self.synchronizer.svid_count());
        Ok(GetInfoResponse {
            svid_chain: self.chain()?,
            uptime: i32::try_from(uptime).unwrap_or(i32::MAX),
            svids_count: svids,
            last_sync_success: self.synchronizer.last_success(),
            cached_x509_svids_count: svids,
            cached_jwt_svids_count: clip(self.synchronizer.token_count()),
            cached_svidstore_x509_svids_count: 0,
        })
    }

    /// The agent's SVID up to its root.
    fn chain(&self) -> Result<Vec<get_info_response::Cert>, Status> {
        let failed = |error: String| {
            tracing::error!(error, subsystem_name = "debug_api", "Failed to verify agent SVID");
            Status::internal(format!("failed to verify agent SVID: {error}"))
        };
        let own = self.bundles.own().ok_or_else(|| failed("there is no bundle".to_owned()))?;
        let svid = self.identity.current();
        let path = verify_chain(&svid.chain, &own.roots, self.clock.now())
            .map_err(|error| failed(error.to_string()))?;
        let shown = path.iter().map(|certificate| {
            let id = certificate.uri_sans().first().and_then(|uri| uri.parse::<SpiffeId>().ok());
            get_info_response::Cert {
                id: id.as_ref().map(spiffe_id_to_wire),
                expires_at: certificate.not_after_unix(),
                subject: certificate.subject().to_string(),
            }
        });
        Ok(shown.collect())
    }
}

#[tonic::async_trait]
impl DebugService for DebugApi {
    async fn get_info(&self, _: Request<GetInfoRequest>) -> Result<Response<GetInfoResponse>, Status> {
        let now = self.clock.monotonic();
        let mut kept = self.kept.lock().await;
        if let Some((at, answer)) = &*kept
            && now.saturating_sub(*at) < KEPT
        {
            return Ok(Response::new(answer.clone()));
        }
        let answer = self.fresh()?;
        *kept = Some((now, answer.clone()));
        Ok(Response::new(answer))
    }
}
