use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use spire_crypto::KeyType;
use spire_crypto::x509::{Certificate, Roots};
use spire_runtime::SharedClock;
use spire_types::{Bundle, TrustDomain};
use tokio::sync::Mutex;

use super::entries::{self, Known};
use super::signing::Signing;
use super::{bundles, status};
use crate::cache::{BundleSet, Cache, EntryUpdate, JwtCache};
use crate::fault::Fault;
use crate::identity::{Identity, RotationPolicy};
use crate::link::{CALL_TIMEOUT, ServerLink};
use crate::storage::Storage;

/// What of the settings matters here.
#[derive(Debug, Clone)]
pub struct SynchronizerSettings {
    /// `false` pulls everything each time (AG-319).
    pub use_sync_authorized_entries: bool,
    pub workload_key_type: KeyType,
    /// How long to wait for a new token while the old one still holds.
    pub token_patience: Duration,
}

/// Brings what the server knows into the cache.
#[derive(Debug)]
pub struct Synchronizer {
    pub(super) settings: SynchronizerSettings,
    pub(super) link: Arc<ServerLink>,
    pub(super) cache: Arc<Cache>,
    pub(super) tokens: Arc<JwtCache>,
    pub(super) bundles: Arc<BundleSet>,
    pub(super) identity: Arc<Identity>,
    pub(super) storage: Arc<Storage>,
    pub(super) policy: RotationPolicy,
    pub(super) clock: SharedClock,
    pub(super) signing: Signing,
    state: Mutex<State>,
    last_success: AtomicI64,
}

#[derive(Debug, Default)]
struct State {
    entries: Known,
    /// Authorities whose taint was acted upon.
    tainted_x509: HashSet<String>,
    tainted_jwt: HashSet<String>,
    /// The own bundle is on disk as it is in memory.
    bundle_stored: bool,
}

/// The parts that the synchronizer works with.
#[derive(Debug)]
pub struct Parts {
    pub link: Arc<ServerLink>,
    pub cache: Arc<Cache>,
    pub tokens: Arc<JwtCache>,
    pub bundles: Arc<BundleSet>,
    pub identity: Arc<Identity>,
    pub storage: Arc<Storage>,
    pub policy: RotationPolicy,
    pub clock: SharedClock,
}

impl Synchronizer {
    pub fn new(settings: SynchronizerSettings, parts: Parts) -> Self {
        let Parts { link, cache, tokens, bundles, identity, storage, policy, clock } = parts;
        let signing = Signing::new(link.clone(), cache.clone(), settings.workload_key_type, policy.clone());
        Self {
            settings,
            link,
            cache,
            tokens,
            bundles,
            identity,
            storage,
            policy,
            clock,
            signing,
            state: Mutex::default(),
            last_success: AtomicI64::new(0),
        }
    }

    /// Seconds since 1970; 0 before the first success.
    pub fn last_success(&self) -> i64 {
        self.last_success.load(Ordering::Acquire)
    }

    pub fn svid_count(&self) -> usize {
        self.cache.svid_count()
    }

    pub fn token_count(&self) -> usize {
        self.tokens.len()
    }

    pub async fn post_status(&self) {
        status::post_status(&self.link).await;
    }

    /// One batch of signatures; whether more is to be done at once.
    pub async fn sign_stale(&self) -> Result<bool, Fault> {
        self.signing.sign_stale().await
    }

    /// Entries, bundles, taints, signatures, in this order (AG-304).
    pub async fn synchronize(&self) -> Result<(), Fault> {
        let mut state = self.state.lock().await;
        let (update, bundles) = self.pull(&state.entries).await?;
        let own = bundles.iter().find(|bundle| bundle.trust_domain == *self.bundles.trust_domain()).cloned();
        let changed = self.bundles.update(bundles).map_err(|error| Fault::new(error.to_string()))?;
        self.persist(&mut state, changed.contains(self.bundles.trust_domain())).await;
        if let Some(own) = own {
            self.act_on_taints(&mut state, &own)?;
        }
        apply(&mut state.entries, &update);
        self.cache.update(&for_workloads(update), &changed);
        drop(state);
        while self.sign_stale().await? {}
        self.last_success.store(self.clock.unix(), Ordering::Release);
        Ok(())
    }

    /// Both within one deadline (AG-307).
    async fn pull(&self, known: &Known) -> Result<(EntryUpdate, Vec<Bundle>), Fault> {
        // Failures travel beside the status, because they carry more context than a status can.
        let mut fault = None;
        let pulled = self
            .link
            .call(CALL_TIMEOUT, |channel| async {
                let pulled = self.pull_from(channel, known).await;
                pulled.map_err(|found| {
                    let status = tonic::Status::new(found.code().unwrap_or(tonic::Code::Unknown), "");
                    fault = Some(found);
                    status
                })
            })
            .await;
        pulled.map_err(|status| match fault {
            Some(fault) => fault,
            None => {
                let fault = Fault::rpc(&status);
                tracing::error!(
                    error = %fault,
                    subsystem_name = "manager",
                    "Failed to fetch authorized entries"
                );
                fault.context("failed to fetch authorized entries")
            }
        })
    }

    async fn pull_from(
        &self,
        channel: tonic::transport::Channel,
        known: &Known,
    ) -> Result<(EntryUpdate, Vec<Bundle>), Fault> {
        let pulled = match self.settings.use_sync_authorized_entries {
            true => entries::sync(channel.clone(), known).await,
            false => entries::fetch_all(channel.clone(), known).await,
        };
        let update = pulled.map_err(|fault| {
            tracing::error!(error = %fault, subsystem_name = "manager", "Failed to fetch authorized entries");
            fault.context("failed to fetch authorized entries")
        })?;
        let bundles = bundles::fetch(channel, self.federated(known, &update)).await?;
        Ok((update, bundles))
    }

    /// Trust domains that some entry federates with, after the update.
    fn federated(&self, known: &Known, update: &EntryUpdate) -> BTreeSet<TrustDomain> {
        let replaced: HashSet<&str> = update
            .changed
            .iter()
            .map(|entry| &*entry.id)
            .chain(update.removed.iter().map(|id| &**id))
            .collect();
        let kept = known.values().filter(|entry| !replaced.contains(&*entry.id));
        let all = kept.chain(&update.changed).flat_map(|entry| &entry.federates_with);
        all.filter(|trust_domain| *trust_domain != self.bundles.trust_domain()).cloned().collect()
    }

    /// After a crash the agent must recognise a server whose authority changed meanwhile (AG-246, AG-582).
    async fn persist(&self, state: &mut State, changed: bool) {
        if !changed && state.bundle_stored {
            return;
        }
        let Some(own) = self.bundles.own() else { return };
        let certificates: Vec<Certificate> = own.roots.certificates().cloned().collect();
        match self.storage.store_bundle(&certificates).await {
            Ok(()) => state.bundle_stored = true,
            Err(error) => {
                state.bundle_stored = false;
                tracing::error!(error = %error, subsystem_name = "manager", "Could not store bundle");
            }
        }
    }

    /// Each tainted authority once (AG-410 to AG-413).
    fn act_on_taints(&self, state: &mut State, own: &Bundle) -> Result<(), Fault> {
        let mut new = Vec::new();
        let mut names = Vec::new();
        for authority in own.x509_authorities.iter().filter(|authority| authority.tainted) {
            let failed = |error| Fault::new(format!("failed to parse tainted x509 authority: {error}"));
            for certificate in Certificate::parse_many(&authority.der).map_err(failed)? {
                let id = certificate.subject_key_id_hex().map_err(failed)?;
                if !state.tainted_x509.contains(&id) {
                    names.push(id);
                    new.push(certificate);
                }
            }
        }
        if !new.is_empty() {
            tracing::debug!(
                subject_key_ids = names.join(","),
                subsystem_name = "manager",
                "New tainted X.509 authorities found"
            );
            let roots = Roots::new(new)
                .map_err(|error| Fault::new(format!("failed to search X.509 authorities: {error}")))?;
            self.cache.taint(&roots);
            self.identity.taint(&roots, self.clock.now());
            state.tainted_x509.extend(names);
        }
        let tainted = own.jwt_authorities.iter().filter(|authority| authority.tainted);
        let tainted: HashSet<String> = tainted.map(|authority| authority.key_id.clone()).collect();
        let new: Vec<String> = tainted.difference(&state.tainted_jwt).cloned().collect();
        if !new.is_empty() {
            tracing::debug!(
                jwt_authority_key_ids = new.join(","),
                subsystem_name = "manager",
                "New tainted JWT authorities found"
            );
            self.tokens.taint(&tainted);
            state.tainted_jwt.extend(new);
        }
        Ok(())
    }
}

fn apply(known: &mut Known, update: &EntryUpdate) {
    for id in &update.removed {
        known.remove(id);
    }
    for entry in &update.changed {
        known.insert(entry.id.clone(), entry.clone());
    }
}

/// Entries for SVID stores are none for workloads; one that became such is gone for them (AG-341).
fn for_workloads(update: EntryUpdate) -> EntryUpdate {
    let EntryUpdate { changed, mut removed } = update;
    let (stored, changed): (Vec<_>, Vec<_>) = changed.into_iter().partition(|entry| entry.store_svid);
    removed.extend(stored.into_iter().map(|entry| entry.id.clone()));
    EntryUpdate { changed, removed }
}
