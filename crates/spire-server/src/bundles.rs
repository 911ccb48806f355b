//! Bundles as handshakes and `GetBundle` want them: immutable, ready made.
//!
//! Changes made here show at once; those of other servers within a second
//! of somebody looking (SA-102, SA-208, SA-254).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use spire_crypto::x509::Roots;
use spire_datastore::{Datastore, DatastoreError};
use spire_net::tls::BundleSource;
use spire_runtime::{Chain, SharedClock, Shutdown};
use spire_types::{Bundle, TrustDomain};

/// How old a look may be.
const STALE_AFTER: Duration = Duration::from_secs(1);
/// How often an absent bundle is worth a line (SA-209).
const WARN_EVERY: Duration = Duration::from_secs(60);

/// One bundle and its roots, parsed once.
#[derive(Debug)]
pub struct Parsed {
    pub bundle: Bundle,
    pub roots: Roots,
}

type Snapshot = HashMap<TrustDomain, Arc<Parsed>>;

/// The own bundle and those of the trust domains that administrators come from.
#[derive(Debug)]
pub struct BundleCache {
    datastore: Datastore,
    own: TrustDomain,
    watched: BTreeSet<TrustDomain>,
    snapshot: ArcSwap<Snapshot>,
    /// Somebody looked since the last refresh.
    looked_at: AtomicBool,
    /// Administrators came from there, but there is no bundle.
    missing: Mutex<BTreeSet<TrustDomain>>,
}

impl BundleCache {
    pub fn new(
        datastore: Datastore,
        own: TrustDomain,
        others: impl IntoIterator<Item = TrustDomain>,
    ) -> Self {
        let mut watched: BTreeSet<TrustDomain> = others.into_iter().collect();
        watched.insert(own.clone());
        let snapshot = ArcSwap::from_pointee(Snapshot::new());
        let (looked_at, missing) = (AtomicBool::new(false), Mutex::default());
        Self { datastore, own, watched, snapshot, looked_at, missing }
    }

    /// The own bundle; absent until there is an authority.
    pub fn own(&self) -> Option<Arc<Parsed>> {
        self.looked_at.store(true, Ordering::Relaxed);
        self.snapshot.load().get(&self.own).cloned()
    }

    /// Reads again; what did not change is not parsed again.
    pub async fn refresh(&self) -> Result<(), DatastoreError> {
        let old = self.snapshot.load_full();
        let mut new = Snapshot::new();
        for trust_domain in &self.watched {
            let Some(bundle) = self.datastore.fetch_bundle(trust_domain).await? else { continue };
            let known = old.get(trust_domain).filter(|parsed| parsed.bundle == bundle);
            let parsed = match known {
                Some(known) => known.clone(),
                None => match Roots::of_bundle(&bundle) {
                    Ok(roots) => Arc::new(Parsed { bundle, roots }),
                    Err(error) => {
                        tracing::error!(
                            error = %Chain(&error),
                            subsystem_name = "endpoints",
                            trust_domain_id = trust_domain.id_string(),
                            "Bundle does not parse"
                        );
                        continue;
                    }
                },
            };
            new.insert(trust_domain.clone(), parsed);
        }
        self.snapshot.store(Arc::new(new));
        Ok(())
    }

    /// Refreshes once a second while anybody looks, until `shutdown`. Nobody
    /// looking costs nothing.
    pub async fn follow(self: Arc<Self>, clock: SharedClock, shutdown: Shutdown) {
        let mut warned = HashMap::new();
        while shutdown.unless_cancelled(clock.sleep(STALE_AFTER)).await.is_some() {
            self.warn_of_missing(&mut warned, clock.monotonic());
            if !self.looked_at.swap(false, Ordering::Relaxed) {
                continue;
            }
            if let Err(error) = self.refresh().await {
                tracing::error!(error = %Chain(&error), subsystem_name = "endpoints", "Failed to refresh bundles");
            }
        }
    }
}

impl BundleCache {
    fn warn_of_missing(&self, warned: &mut HashMap<TrustDomain, Duration>, now: Duration) {
        for trust_domain in std::mem::take(&mut *self.missing.lock()) {
            if warned.get(&trust_domain).is_some_and(|last| now.saturating_sub(*last) < WARN_EVERY) {
                continue;
            }
            tracing::warn!(
                subsystem_name = "endpoints",
                trust_domain = trust_domain.as_str(),
                "No bundle found for foreign admin trust domain; admins from this trust domain will not be able to \
                 connect. Make sure this trust domain is correctly federated."
            );
            warned.insert(trust_domain, now);
        }
    }
}

impl BundleSource for BundleCache {
    fn roots(&self, trust_domain: &TrustDomain) -> Option<Roots> {
        self.looked_at.store(true, Ordering::Relaxed);
        let roots = self.snapshot.load().get(trust_domain).map(|parsed| parsed.roots.clone());
        if roots.is_none() && *trust_domain != self.own && self.watched.contains(trust_domain) {
            self.missing.lock().insert(trust_domain.clone());
        }
        roots
    }
}

#[cfg(test)]
mod tests {
    use spire_datastore::DatastoreSettings;
    use spire_runtime::{ManualClock, logging};

    use super::*;

    #[tokio::test]
    async fn an_absent_bundle_of_administrators_is_warned_of_once_a_minute() {
        // SA-209
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let settings = DatastoreSettings::sqlite(path.to_str().unwrap());
        let store = Datastore::open(settings, ManualClock::at_unix(0).shared()).await.unwrap();
        let names = ["td.test", "admins.test"].map(|name| name.parse::<TrustDomain>().unwrap());
        let [own, foreign] = names;
        let cache = BundleCache::new(store, own.clone(), [foreign.clone()]);
        let (log, mut warned) = (logging::capture(), HashMap::new());
        for seconds in [0, 59, 60] {
            for trust_domain in [&own, &foreign, &"other.test".parse().unwrap()] {
                assert!(cache.roots(trust_domain).is_none());
            }
            cache.warn_of_missing(&mut warned, Duration::from_secs(seconds));
        }
        let lines = log.lines();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.field("trust_domain") == "admins.test"));
    }
}
