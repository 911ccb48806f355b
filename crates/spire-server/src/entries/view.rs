//! One agent's authorized set, kept until a change concerns it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use spire_types::TrustDomain;

use super::affected::Affected;
use super::entry::IndexedEntry;
use super::key::Key;
use super::snapshot::Snapshot;

const SHARDS: usize = 64;

/// What one agent may have, at one moment. Cheap to clone; stays as it is while the index moves on (SA-084).
#[derive(Debug, Clone, Default)]
pub struct AuthorizedEntries {
    /// Ordered by `seq`.
    entries: Arc<[Arc<IndexedEntry>]>,
}

impl AuthorizedEntries {
    pub(super) fn new(mut entries: Vec<Arc<IndexedEntry>>) -> Self {
        entries.sort_unstable_by_key(|entry| entry.seq);
        Self { entries: entries.into() }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Arc<IndexedEntry>> {
        self.entries.iter()
    }

    /// The entries themselves, in a stable order.
    pub fn as_slice(&self) -> &[Arc<IndexedEntry>] {
        &self.entries
    }

    /// Whether any of the entries federates with the trust domain.
    pub fn federates_with(&self, trust_domain: &TrustDomain) -> bool {
        self.entries.iter().any(|entry| entry.federates_with().contains(trust_domain))
    }

    pub(super) fn holds(&self, entry: &IndexedEntry) -> Option<&Arc<IndexedEntry>> {
        let at = self.entries.binary_search_by_key(&entry.seq, |candidate| candidate.seq).ok()?;
        self.entries.get(at).filter(|held| held.key == entry.key)
    }
}

impl<'a> IntoIterator for &'a AuthorizedEntries {
    type Item = &'a Arc<IndexedEntry>;
    type IntoIter = std::slice::Iter<'a, Arc<IndexedEntry>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Views of agents that asked lately.
#[derive(Debug)]
pub(super) struct Views {
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Debug, Default)]
struct Shard {
    views: HashMap<Key, AuthorizedEntries>,
    /// Views computed from an older snapshot must not be kept any more.
    oldest: u64,
}

impl Views {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    fn shard(&self, agent: Key) -> &Mutex<Shard> {
        // The remainder is always in range.
        &self.shards[(agent.0 % SHARDS as u64) as usize]
    }

    pub(super) fn get(&self, agent: Key, snapshot: &Snapshot) -> AuthorizedEntries {
        if let Some(view) = self.shard(agent).lock().views.get(&agent) {
            return view.clone();
        }
        let view = AuthorizedEntries::new(snapshot.authorized(agent));
        // Only agents are worth remembering; others could fill the memory with guesses.
        if snapshot.agent(agent).is_some() {
            let mut shard = self.shard(agent).lock();
            if snapshot.version >= shard.oldest {
                shard.views.insert(agent, view.clone());
            }
        }
        view
    }

    /// Forgets the views of these agents; call after the new snapshot is visible.
    pub(super) fn forget(&self, affected: &Affected, version: u64) {
        for agent in &affected.paths {
            let mut shard = self.shard(*agent).lock();
            shard.views.remove(agent);
            shard.oldest = version;
        }
    }
}
