use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use spire_types::Selector;

use super::hints::without_duplicates;
use super::records::Records;
use super::response;
use super::{AgentBundle, AgentEntry, BundleSet, WorkloadSvid};

/// What one set of selectors is entitled to, at one moment. Answers are made at the first question and kept, framed
/// as gRPC sends them.
#[derive(Debug, Default)]
pub struct View {
    /// Matching entries, one per hint, in the order of their ids; for tokens.
    entries: Vec<Arc<AgentEntry>>,
    /// The SVIDs that there are, one per hint, in the order of entry ids.
    svids: Vec<Arc<WorkloadSvid>>,
    /// Those that lost to an older one of the same hint.
    ignored_entries: Vec<Arc<AgentEntry>>,
    ignored_svids: Vec<Arc<AgentEntry>>,
    settled: bool,
    own: Option<Arc<AgentBundle>>,
    /// Those that the identities federate with, by trust domain.
    federated: Vec<Arc<AgentBundle>>,
    x509_svids: OnceLock<Bytes>,
    x509_bundles: OnceLock<Bytes>,
    jwt_bundles: OnceLock<Bytes>,
}

impl View {
    /// `selectors` are sorted.
    pub(super) fn build(records: &Records, selectors: &[Selector], bundles: &BundleSet) -> Self {
        let mut entries = Vec::new();
        let mut svids = Vec::new();
        let (mut waiting, mut refused) = (false, false);
        for record in records.matching(selectors) {
            entries.push(record.entry().clone());
            svids.extend(record.svid().cloned());
            match record.is_current() {
                true => {}
                false if record.is_refused() => refused = true,
                false => waiting = true,
            }
        }
        let mut federated = BTreeMap::new();
        for trust_domain in svids.iter().flat_map(|svid| &svid.entry.federates_with) {
            if trust_domain != bundles.trust_domain()
                && let Some(bundle) = bundles.get(trust_domain)
            {
                federated.insert(trust_domain.clone(), bundle);
            }
        }
        let settled = !(waiting || refused && svids.is_empty());
        let (mut ignored_entries, mut ignored_svids) = (Vec::new(), Vec::new());
        Self {
            settled,
            entries: without_duplicates(entries, |entry| entry, &mut ignored_entries),
            svids: without_duplicates(svids, |svid| &svid.entry, &mut ignored_svids),
            ignored_entries,
            ignored_svids,
            own: bundles.own(),
            federated: federated.into_values().collect(),
            ..Self::default()
        }
    }

    /// Whether every matching entry has its SVID, or the server does not give one while it gives others (AG-345,
    /// AG-584).
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    pub fn has_identity(&self) -> bool {
        !self.svids.is_empty()
    }

    pub fn entries(&self) -> &[Arc<AgentEntry>] {
        &self.entries
    }

    /// Matching entries that get no token because of their hint.
    pub fn ignored_entries(&self) -> &[Arc<AgentEntry>] {
        &self.ignored_entries
    }

    /// Entries whose SVIDs are there but not handed out because of their hint.
    pub fn ignored_svids(&self) -> &[Arc<AgentEntry>] {
        &self.ignored_svids
    }

    pub fn svids(&self) -> &[Arc<WorkloadSvid>] {
        &self.svids
    }

    /// Own and federated ones, in the order of their trust domains but the own one first.
    pub fn bundles(&self) -> impl Iterator<Item = &Arc<AgentBundle>> {
        self.own.iter().chain(&self.federated)
    }

    /// A framed `X509SVIDResponse` (AG-484).
    pub fn x509_svids(&self) -> Bytes {
        let build = || {
            let own = self.own.as_ref().map(|own| own.x509.clone()).unwrap_or_default();
            response::x509_svids(&self.svids, &own, &self.federated)
        };
        self.x509_svids.get_or_init(build).clone()
    }

    /// A framed `X509BundlesResponse` (AG-487).
    pub fn x509_bundles(&self) -> Bytes {
        self.x509_bundles.get_or_init(|| response::x509_bundles(self.bundles())).clone()
    }

    /// A framed `JWTBundlesResponse` (AG-488).
    pub fn jwt_bundles(&self) -> Bytes {
        self.jwt_bundles.get_or_init(|| response::jwt_bundles(self.bundles())).clone()
    }
}
