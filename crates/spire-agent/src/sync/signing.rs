//! Getting X509-SVIDs signed (AG-353 to AG-355).

use std::collections::BTreeMap;
use std::sync::Arc;

use spire_crypto::x509::{Certificate, CertificateRequest};
use spire_crypto::{KeyType, PrivateKey};
use spire_proto::server::svid::v1::svid_client::SvidClient;
use spire_proto::server::svid::v1::{BatchNewX509svidRequest, NewX509svidParams};
use spire_runtime::SizeLimitedBackoff;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Mutex;

use crate::cache::{Cache, Wanted, WorkloadSvid};
use crate::fault::{Fault, log_rpc_error};
use crate::identity::{RotationPolicy, request_subject};
use crate::link::{CALL_TIMEOUT, MAX_MESSAGE, ServerLink};

/// As many as the server signs a second for one address.
const MAX_BATCH: usize = 500;

/// Signs what the cache wants, one batch at a time.
#[derive(Debug)]
pub(super) struct Signing {
    link: Arc<ServerLink>,
    cache: Arc<Cache>,
    key_type: KeyType,
    policy: RotationPolicy,
    size: Mutex<SizeLimitedBackoff>,
}

/// A key and the request for it.
struct Prepared {
    wanted: Wanted,
    key: PrivateKey,
    request: Vec<u8>,
}

impl Signing {
    pub fn new(link: Arc<ServerLink>, cache: Arc<Cache>, key_type: KeyType, policy: RotationPolicy) -> Self {
        Self { link, cache, key_type, policy, size: Mutex::new(SizeLimitedBackoff::new(MAX_BATCH)) }
    }

    /// One batch; whether there is more to do at once.
    pub async fn sign_stale(&self) -> Result<bool, Fault> {
        let mut size = self.size.lock().await;
        let wanted = self.cache.stale(size.size());
        if wanted.is_empty() {
            return Ok(false);
        }
        let full = wanted.len() >= size.size();
        tracing::debug!(
            cache_type = "workload",
            count = wanted.len(),
            limit = size.size(),
            subsystem_name = "manager",
            "Renewing stale entries"
        );
        wanted.iter().for_each(log_wanted);
        let prepared = prepare(wanted, self.key_type).await?;
        match self.sign(prepared).await {
            Ok(()) => size.success(),
            Err(fault) => {
                size.failure();
                return Err(fault);
            }
        }
        Ok(full)
    }

    async fn sign(&self, prepared: Vec<Prepared>) -> Result<(), Fault> {
        let params = prepared.iter().map(|one| NewX509svidParams {
            entry_id: one.wanted.entry.id.to_string(),
            csr: one.request.clone().into(),
        });
        let request = BatchNewX509svidRequest { params: params.collect() };
        let signed = self
            .link
            .call(CALL_TIMEOUT, |channel| async move {
                let mut client = SvidClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
                Ok(client.batch_new_x509svid(request).await?.into_inner())
            })
            .await;
        let signed = signed.map_err(|status| {
            log_rpc_error("Failed to batch new X509 SVID(s)", &status);
            Fault::rpc(&status).context("failed to batch new X509 SVID(s)")
        })?;
        let mut by_id: BTreeMap<Arc<str>, Prepared> =
            prepared.into_iter().map(|one| (one.wanted.entry.id.clone(), one)).collect();
        let order: Vec<Arc<str>> = by_id.keys().cloned().collect();
        let (mut svids, mut refused) = (Vec::new(), Vec::new());
        // The results come in the order of the request, which was that of the ids.
        for (id, result) in order.iter().zip(signed.results) {
            let Some(one) = by_id.remove(id) else { continue };
            let status = result.status.unwrap_or_default();
            match result.svid {
                Some(svid) if status.code == 0 => svids.push(self.svid(one, &svid.cert_chain)?),
                _ => {
                    tracing::warn!(
                        error = status.message,
                        registration_id = &**id,
                        status = status.code,
                        subsystem_name = "manager",
                        "Failed to mint X509 SVID"
                    );
                    refused.push(id.clone());
                }
            }
        }
        // Whatever was not answered.
        refused.extend(by_id.into_keys());
        self.cache.put(svids);
        self.cache.refused(&refused);
        Ok(())
    }

    fn svid(&self, one: Prepared, chain: &[bytes::Bytes]) -> Result<WorkloadSvid, Fault> {
        let id = one.wanted.entry.id.clone();
        let failed = |error: spire_crypto::x509::X509Error| {
            Fault::new(format!("the server's SVID for entry {id:?} cannot be read: {error}"))
        };
        let chain: Result<Vec<_>, _> = chain.iter().map(|der| Certificate::parse(der)).collect();
        let chain = chain.map_err(failed)?;
        if let Some(leaf) = chain.first()
            && self.policy.falls_back(leaf)
        {
            tracing::warn!(
                entry_id = &*one.wanted.entry.id,
                spiffe_id = one.wanted.entry.spiffe_id.to_string(),
                subsystem_name = "manager",
                "X509 SVID lifetime isn't long enough to guarantee the availability_target, falling back to the default rotation strategy"
            );
        }
        WorkloadSvid::new(one.wanted.entry, chain, &one.key, &self.policy).map_err(failed)
    }
}

fn log_wanted(wanted: &Wanted) {
    let (entry_id, spiffe_id) = (&*wanted.entry.id, wanted.entry.spiffe_id.to_string());
    match wanted.expires {
        None => tracing::info!(entry_id, spiffe_id, subsystem_name = "manager", "Creating X509-SVID"),
        Some(expires) => tracing::info!(
            entry_id,
            expires_at = expires.format(&Rfc3339).unwrap_or_default(),
            spiffe_id,
            subsystem_name = "manager",
            "Renewing X509-SVID"
        ),
    }
}

/// Sorted by entry id. RSA keys take long to make, so this does not happen on the threads that serve.
async fn prepare(mut wanted: Vec<Wanted>, key_type: KeyType) -> Result<Vec<Prepared>, Fault> {
    wanted.sort_by(|a, b| a.entry.id.cmp(&b.entry.id));
    let failed = |error: String| Fault::new(format!("failed to make keys for workloads: {error}"));
    let made = tokio::task::spawn_blocking(move || {
        let subject = request_subject().map_err(|error| error.to_string())?;
        let prepare = |wanted: Wanted| {
            let key = PrivateKey::generate(key_type).map_err(|error| error.to_string())?;
            let id = [wanted.entry.spiffe_id.to_string()];
            let request = CertificateRequest::create(&subject, &id, &[], &key);
            Ok(Prepared { wanted, key, request: request.map_err(|error| error.to_string())? })
        };
        wanted.into_iter().map(prepare).collect::<Result<Vec<_>, String>>()
    });
    made.await.map_err(|error| failed(error.to_string()))?.map_err(failed)
}
