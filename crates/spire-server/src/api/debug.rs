use std::sync::Arc;
use std::time::Duration;

use spire_crypto::x509::{Certificate, leaf_spiffe_id, verify_chain};
use spire_datastore::{ListAgents, ListEntries};
use spire_proto::convert::id::spiffe_id_to_wire;
use spire_proto::server::debug::v1::debug_server::Debug as DebugService;
use spire_proto::server::debug::v1::{GetInfoRequest, GetInfoResponse, get_info_response};
use tokio::sync::Mutex;
use tonic::{Request, Response, Status};

use crate::access::Call;
use crate::core::Core;
use crate::status::ApiError;

/// An answer serves this long (SA-137).
const KEPT: Duration = Duration::from_secs(5);

/// `spire.api.server.debug.v1.Debug`.
#[derive(Debug, Clone)]
pub struct DebugApi {
    core: Arc<Core>,
    kept: Arc<Mutex<Option<(Duration, GetInfoResponse)>>>,
}

impl DebugApi {
    pub fn new(core: Arc<Core>) -> Self {
        Self { core, kept: Arc::default() }
    }

    async fn info(&self) -> Result<GetInfoResponse, ApiError> {
        let now = self.core.clock.monotonic();
        let mut kept = self.kept.lock().await;
        if let Some((at, answer)) = &*kept
            && now.saturating_sub(*at) < KEPT
        {
            return Ok(answer.clone());
        }
        let answer = self.fresh().await?;
        *kept = Some((now, answer.clone()));
        Ok(answer)
    }

    async fn fresh(&self) -> Result<GetInfoResponse, ApiError> {
        let store = &self.core.datastore;
        let clip = |count: u64| i32::try_from(count).unwrap_or(i32::MAX);
        let agents = store.count_agents(&ListAgents::default()).await;
        let agents = agents.map_err(|error| ApiError::internal("failed to count agents", error))?;
        let entries = store.count_entries(&ListEntries::default()).await;
        let entries = entries.map_err(|error| ApiError::internal("failed to count entries", error))?;
        let bundles = store.count_bundles().await;
        let bundles = bundles.map_err(|error| ApiError::internal("failed to count bundles", error))?;
        Ok(GetInfoResponse {
            svid_chain: self.chain()?,
            uptime: i32::try_from(self.core.clock.unix() - self.core.started_at).unwrap_or(i32::MAX),
            agents_count: clip(agents),
            federated_bundles_count: clip(bundles),
            entries_count: clip(entries),
        })
    }

    /// The server's SVID up to its root.
    fn chain(&self) -> Result<Vec<get_info_response::Cert>, ApiError> {
        let bundle =
            self.core.bundles.own().ok_or_else(|| ApiError::not_found("trust domain bundle not found"))?;
        for authority in &bundle.bundle.x509_authorities {
            // One certificate each, although more can be stored (SA-031).
            Certificate::parse(&authority.der)
                .map_err(|error| ApiError::internal("failed to parse bundle", error))?;
        }
        let chain = self.core.server_svid.chain().unwrap_or_default();
        let path = verify_chain(&chain, &bundle.roots, self.core.clock.now())
            .map_err(|error| ApiError::internal("failed verification against bundle", error))?;
        let shown = path.iter().map(|certificate| get_info_response::Cert {
            id: leaf_spiffe_id(certificate)
                .ok()
                .or_else(|| certificate.uri_sans().first().and_then(|uri| uri.parse().ok()))
                .map(|id| spiffe_id_to_wire(&id)),
            expires_at: certificate.not_after_unix(),
            subject: certificate.subject().to_string(),
        });
        Ok(shown.collect())
    }
}

#[tonic::async_trait]
impl DebugService for DebugApi {
    async fn get_info(&self, request: Request<GetInfoRequest>) -> Result<Response<GetInfoResponse>, Status> {
        let call = Call::of(&request)?;
        call.conclude(self.info().await)
    }
}
