//! The readers' side of the index, and how it is built.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use spire_datastore::{Datastore, DatastoreError};
use spire_runtime::{SharedClock, Shutdown};
use spire_types::{SpiffeId, TrustDomain};

use super::doorbell::{Doorbell, DoorbellStream};
use super::entry::IndexedEntry;
use super::snapshot::{CachedAgent, Snapshot};
use super::view::{AuthorizedEntries, Views};

mod feeder;

use feeder::Feeder;

/// How the index follows the store (SA-239).
#[derive(Debug, Clone)]
pub struct EntryCacheSettings {
    pub trust_domain: TrustDomain,
    /// How often to look for changes of other servers; local ones are seen at once. `cache_reload_interval`.
    pub reload_interval: Duration,
    /// How often to read everything anew in any case. `full_cache_reload_interval`.
    pub full_reload_interval: Duration,
    /// How long a skipped event may still appear. `event_timeout`.
    pub event_timeout: Duration,
    /// Older events are deleted (SA-247).
    pub prune_events_older_than: Duration,
}

impl EntryCacheSettings {
    /// Upstream's defaults.
    pub fn new(trust_domain: TrustDomain) -> Self {
        Self {
            trust_domain,
            reload_interval: Duration::from_secs(5),
            full_reload_interval: Duration::from_secs(24 * 3600),
            event_timeout: Duration::from_secs(15 * 60),
            prune_events_older_than: Duration::from_secs(12 * 3600),
        }
    }
}

/// The index could not be built.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct EntryCacheError(#[from] DatastoreError);

/// Answers what each agent may have. Shared by everybody; nothing here waits or asks the store.
#[derive(Debug)]
pub struct EntryCache {
    snapshot: ArcSwap<Snapshot>,
    views: Views,
    doorbell: Doorbell,
    store: Datastore,
    /// [`Datastore::agent_commits`] as of the last read of agents.
    agents_as_of: AtomicU64,
}

impl EntryCache {
    /// Reads everything once. The returned cache is complete but stands still until [`EntryCache::run`].
    ///
    /// # Errors
    /// The store failed; starting without an index makes no sense (SA-236).
    pub async fn build(
        store: Datastore,
        clock: SharedClock,
        settings: EntryCacheSettings,
    ) -> Result<(Arc<Self>, EntryCacheTask), EntryCacheError> {
        tracing::info!(subsystem_name = "endpoints", "Building in-memory entry cache");
        let cache = Arc::new(Self {
            snapshot: ArcSwap::from_pointee(Snapshot::new(settings.trust_domain.clone())),
            views: Views::new(),
            doorbell: Doorbell::default(),
            store: store.clone(),
            agents_as_of: AtomicU64::new(u64::MAX),
        });
        let feeder = Feeder::start(Arc::clone(&cache), store, clock, settings).await?;
        tracing::info!(subsystem_name = "endpoints", "Completed building in-memory entry cache");
        Ok((cache, EntryCacheTask { feeder }))
    }

    /// Everything the agent may have now (SA-228).
    pub fn authorized_entries(&self, agent: &SpiffeId) -> AuthorizedEntries {
        let snapshot = self.snapshot.load();
        if !agent.is_member_of(&snapshot.trust_domain) {
            return AuthorizedEntries::default();
        }
        self.views.get(snapshot.keys.path(agent.path()), &snapshot)
    }

    /// For each id the entry, if the agent may have it (SA-233).
    pub fn lookup<S: AsRef<str>>(&self, agent: &SpiffeId, ids: &[S]) -> Vec<Option<Arc<IndexedEntry>>> {
        let authorized = self.authorized_entries(agent);
        let snapshot = self.snapshot.load();
        let one = |id: &S| authorized.holds(snapshot.entry(id.as_ref())?).cloned();
        ids.iter().map(one).collect()
    }

    /// Entries with that SPIFFE ID, for asking whether a caller is an admin or downstream.
    pub fn entries_with_spiffe_id(&self, id: &SpiffeId) -> Vec<Arc<IndexedEntry>> {
        let snapshot = self.snapshot.load();
        if !id.is_member_of(&snapshot.trust_domain) {
            return Vec::new();
        }
        snapshot.with_spiffe_id(snapshot.keys.path(id.path())).cloned().collect()
    }

    /// The agent's row, if it is certain that this server did not change it since it was read. `None` says nothing:
    /// ask the store then. Changes by other servers are seen after `reload_interval` at the latest.
    pub fn fresh_agent(&self, agent: &SpiffeId) -> Option<Arc<CachedAgent>> {
        if self.agents_as_of.load(Ordering::Acquire) != self.store.agent_commits() {
            return None;
        }
        self.agent(agent)
    }

    /// The agent's row as it was when its last event was read.
    pub fn agent(&self, agent: &SpiffeId) -> Option<Arc<CachedAgent>> {
        let snapshot = self.snapshot.load();
        if !agent.is_member_of(&snapshot.trust_domain) {
            return None;
        }
        snapshot.agent(snapshot.keys.path(agent.path())).cloned()
    }

    /// Subscribes an agent to hints that a pull would bring something new.
    pub fn listen(&self, agent: &SpiffeId) -> DoorbellStream {
        self.doorbell.listen(self.snapshot.load().keys.path(agent.path()))
    }

    pub fn doorbell(&self) -> &Doorbell {
        &self.doorbell
    }

    /// How many entries of the trust domain there are.
    pub fn entry_count(&self) -> usize {
        self.snapshot.load().entry_count()
    }
}

/// The one writer of an [`EntryCache`].
#[derive(Debug)]
pub struct EntryCacheTask {
    feeder: Feeder,
}

impl EntryCacheTask {
    /// Follows the store until `shutdown`. What fails is logged and tried again; the index keeps what it has.
    pub async fn run(self, shutdown: Shutdown) {
        self.feeder.run(shutdown).await;
    }
}

#[cfg(test)]
mod tests;
