//! The SVID cache as its inner bench drives it.

use std::sync::Arc;

use spire_runtime::{FixedRandom, ManualClock};
use spire_types::{Bundle, Selector, TrustDomain, X509Authority};

use super::{AgentEntry, BundleSet, Cache, EntryUpdate, Subscription, WorkloadSvid};
use crate::identity::RotationPolicy;
use crate::testing::{NOW, TestCa};

/// A cache of some entries with SVIDs, each watched by its own workload.
#[derive(Debug)]
pub struct Workloads {
    cache: Arc<Cache>,
    watchers: Vec<Subscription>,
}

impl Workloads {
    pub async fn new(count: usize) -> Self {
        let ca = TestCa::new("example.org").await;
        let authority = X509Authority { der: ca.certificate.der().clone(), tainted: false };
        let trust_domain = TrustDomain::from_name("example.org").unwrap();
        let bundle = Bundle { x509_authorities: vec![authority], ..Bundle::empty(trust_domain) };
        let bundles = Arc::new(BundleSet::new(bundle).unwrap());
        let cache = Cache::new(bundles, count, ManualClock::at_unix(NOW).shared());
        let policy = RotationPolicy::new(None, Arc::new(FixedRandom(0.5)));
        let entries: Vec<_> = (0..count).map(|number| Arc::new(entry(number, ""))).collect();
        cache.update(&EntryUpdate { changed: entries.clone(), removed: Vec::new() }, &[]);
        for entry in entries {
            let (chain, key) = ca.issue(&entry.spiffe_id.to_string(), 3600).await;
            cache.put(vec![WorkloadSvid::new(entry, chain, &key, &policy).unwrap()]);
        }
        let watchers = (0..count).map(|number| cache.subscribe(selectors(number).to_vec())).collect();
        Self { cache, watchers }
    }

    /// What a sync with one changed entry does: its workload gets a new view.
    pub fn change(&self, number: usize, hint: &str) {
        let update = EntryUpdate { changed: vec![Arc::new(entry(number, hint))], removed: Vec::new() };
        self.cache.update(&update, &[]);
    }

    /// What a workload's call finds; the size of the answer.
    pub fn look(&self, number: usize) -> usize {
        let view = self.cache.view(selectors(number).to_vec());
        view.x509_svids().len() + usize::from(self.watchers.is_empty())
    }
}

fn selectors(number: usize) -> Arc<[Selector]> {
    ["unix:gid:0", "unix:uid:"]
        .iter()
        .map(|text| Selector::parse(&format!("{text}{number}")).unwrap())
        .collect()
}

fn entry(number: usize, hint: &str) -> AgentEntry {
    AgentEntry {
        id: format!("entry-{number}").into(),
        spiffe_id: format!("spiffe://example.org/workload/{number}").parse().unwrap(),
        selectors: selectors(number),
        federates_with: Vec::new(),
        revision: 0,
        created_at: 0,
        hint: hint.to_owned(),
        store_svid: false,
        disable_x509_svid_prefetch: false,
        jwt_svid_include_jti: false,
    }
}
