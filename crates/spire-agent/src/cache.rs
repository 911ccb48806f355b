//! What the agent holds for its workloads.
//!
//! One place decides: [`Cache`], fed by the synchronizer alone. Callers read immutable [`View`]s, one per distinct set
//! of selectors, found without a lock and holding the answers ready to be sent.

#[cfg(feature = "bench")]
#[allow(clippy::unwrap_used, reason = "a bench on fixed input")]
pub mod bench;
mod bundles;
mod entry;
mod hints;
mod jwt;
mod records;
mod response;
mod slots;
mod svid;
mod view;

use std::sync::Arc;

use parking_lot::Mutex;
use spire_crypto::x509::{Certificate, Roots, chains_to};
use spire_runtime::{Nudge, SharedClock};
use spire_types::{Selector, TrustDomain};

pub use bundles::{AgentBundle, BundleSet};
pub use entry::AgentEntry;
pub use jwt::{CachedToken, JwtCache};
pub use records::{EntryUpdate, Wanted};
pub use slots::Subscription;
pub use svid::WorkloadSvid;
pub use view::View;

pub(crate) use response::framed;

use records::Records;
use slots::Slots;

/// X509-SVIDs by registration entry, and who watches them.
#[derive(Debug)]
pub struct Cache {
    records: Mutex<Records>,
    slots: Slots,
    bundles: Arc<BundleSet>,
    clock: SharedClock,
    /// Somebody waits for an SVID that is not there yet.
    wanted: Nudge,
}

impl Cache {
    /// `max_size` is how many SVIDs are kept for workloads that may come (AG-347).
    pub fn new(bundles: Arc<BundleSet>, max_size: usize, clock: SharedClock) -> Arc<Self> {
        Arc::new(Self {
            records: Mutex::new(Records::new(max_size)),
            slots: Slots::default(),
            bundles,
            clock,
            wanted: Nudge::new(),
        })
    }

    /// Nudged when an SVID should be signed before the next look.
    pub fn wanted(&self) -> &Nudge {
        &self.wanted
    }

    pub fn svid_count(&self) -> usize {
        self.records.lock().svid_count()
    }

    /// The identities of whoever has these selectors, now and from now on.
    pub fn subscribe(self: &Arc<Self>, mut selectors: Vec<Selector>) -> Subscription {
        selectors.sort_unstable();
        selectors.dedup();
        let now = self.clock.monotonic();
        let subscription = match self.slots.subscribe(&selectors, now) {
            Some(subscription) => subscription,
            None => {
                // Under the lock, so that no change falls between the view and its registration.
                let records = self.records.lock();
                match self.slots.subscribe(&selectors, now) {
                    Some(subscription) => subscription,
                    None => {
                        let view = View::build(&records, &selectors, &self.bundles);
                        self.slots.add(selectors, view, now)
                    }
                }
            }
        };
        if !subscription.current().is_settled() {
            self.wanted.nudge();
        }
        subscription
    }

    /// The identities of whoever has these selectors, at this moment.
    pub fn view(self: &Arc<Self>, selectors: Vec<Selector>) -> Arc<View> {
        self.subscribe(selectors).current()
    }

    /// Takes over what a sync found, bundles having been published before (AG-304, AG-346).
    pub fn update(&self, update: &EntryUpdate, changed_bundles: &[TrustDomain]) {
        let mut records = self.records.lock();
        let mut touched = records.update(update);
        if changed_bundles.contains(self.bundles.trust_domain()) {
            touched.everyone = true;
        } else if !changed_bundles.is_empty() {
            touched.selectors.extend(records.federating_with(changed_bundles));
        }
        let evicted = records.evict(|selectors| self.slots.last_use(selectors));
        touched.selectors.extend(evicted);
        self.slots.refresh(&touched, &mut records, &self.bundles);
    }

    /// What should be signed now, at most `limit` (AG-347, AG-350).
    pub fn stale(&self, limit: usize) -> Vec<Wanted> {
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        self.records.lock().stale(now, monotonic, limit, |selectors| self.slots.is_watched(selectors))
    }

    /// New SVIDs; whoever watches them is told.
    pub fn put(&self, svids: Vec<WorkloadSvid>) {
        let mut records = self.records.lock();
        let touched = records.put(svids);
        self.slots.refresh(&touched, &mut records, &self.bundles);
    }

    /// The server did not sign for these entries; they are tried again, ever more rarely.
    pub fn refused(&self, entry_ids: &[Arc<str>]) {
        let mut records = self.records.lock();
        let touched = records.refused(entry_ids, self.clock.monotonic());
        self.slots.refresh(&touched, &mut records, &self.bundles);
    }

    /// Whatever was signed by these authorities is signed anew; the old SVID stays in use until then (AG-410).
    pub fn taint(&self, authorities: &Roots) {
        let now = self.clock.now();
        // Verification takes its time and needs no lock.
        let chains: Vec<(Arc<str>, Arc<WorkloadSvid>)> = self.records.lock().svids();
        let signed_by = |chain: &[Certificate]| matches!(chains_to(chain, authorities, now), Ok(true));
        let tainted: Vec<(Arc<str>, Arc<WorkloadSvid>)> =
            chains.into_iter().filter(|(_, svid)| signed_by(&svid.chain)).collect();
        if tainted.is_empty() {
            tracing::debug!(
                subsystem_name = "cache_manager",
                "No SVID entries to process for tainted X.509 authorities"
            );
            return;
        }
        tracing::info!(
            subsystem_name = "cache_manager",
            tainted_svids = tainted.len(),
            "Tainted X.509 SVIDs"
        );
        self.records.lock().taint(&tainted);
        self.wanted.nudge();
    }
}

#[cfg(test)]
mod tests;
