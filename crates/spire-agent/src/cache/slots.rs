//! Who watches what: one slot per set of selectors that callers have.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use spire_types::Selector;
use tokio::sync::watch;

use super::entry::is_subset;
use super::records::{Records, Touched};
use super::{BundleSet, View};

/// Stands for the number of watchers of a slot that is no longer kept up to date.
const RETIRED: usize = usize::MAX;
/// Slots that nobody watches are kept for the next caller, up to this many.
const MAX_IDLE: usize = 1024;

type Map = HashMap<Arc<[Selector]>, Arc<Slot>>;

/// Found without a lock; changed only by whoever holds the lock of the records.
#[derive(Debug, Default)]
pub(super) struct Slots {
    map: ArcSwap<Map>,
}

#[derive(Debug)]
struct Slot {
    selectors: Arc<[Selector]>,
    view: watch::Sender<Arc<View>>,
    watchers: AtomicUsize,
    /// Milliseconds on the monotonic clock.
    last_use: AtomicU64,
}

/// How recently SVIDs of an entry were of use to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastUse {
    Watched,
    At(Duration),
}

impl Slot {
    /// Fails when the slot was retired in between.
    fn enter(&self) -> bool {
        let enter = |count| (count != RETIRED).then(|| count + 1);
        self.watchers.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter).is_ok()
    }

    fn retire(&self) -> bool {
        self.watchers.compare_exchange(0, RETIRED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn is_watched(&self) -> bool {
        !matches!(self.watchers.load(Ordering::Acquire), 0 | RETIRED)
    }

    fn last_use(&self) -> Duration {
        Duration::from_millis(self.last_use.load(Ordering::Acquire))
    }

    fn used_at(&self, now: Duration) {
        self.last_use.fetch_max(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::AcqRel);
    }
}

impl Slots {
    /// `None` if nobody had these selectors before. `selectors` are sorted.
    pub fn subscribe(&self, selectors: &[Selector], now: Duration) -> Option<Subscription> {
        let map = self.map.load();
        let slot = map.get(selectors)?;
        if !slot.enter() {
            return None;
        }
        slot.used_at(now);
        Some(Subscription { view: slot.view.subscribe(), slot: slot.clone() })
    }

    pub fn add(&self, selectors: Vec<Selector>, view: View, now: Duration) -> Subscription {
        let slot = Arc::new(Slot {
            selectors: selectors.into(),
            view: watch::Sender::new(Arc::new(view)),
            watchers: AtomicUsize::new(1),
            last_use: AtomicU64::new(0),
        });
        slot.used_at(now);
        let mut map = Map::clone(&self.map.load());
        if map.len() >= MAX_IDLE {
            map.retain(|_, slot| !slot.retire());
        }
        map.insert(slot.selectors.clone(), slot.clone());
        self.map.store(Arc::new(map));
        Subscription { view: slot.view.subscribe(), slot }
    }

    /// Whoever watches and is touched gets a new view; what nobody watches is dropped instead.
    pub fn refresh(&self, touched: &Touched, records: &mut Records, bundles: &BundleSet) {
        if !touched.everyone && touched.selectors.is_empty() {
            return;
        }
        let map = self.map.load_full();
        let is_touched = |slot: &Slot| {
            touched.everyone || touched.selectors.iter().any(|set| is_subset(set, &slot.selectors))
        };
        let mut retired = Vec::new();
        for slot in map.values().filter(|slot| is_touched(slot)) {
            if slot.retire() {
                records.used(&slot.selectors, slot.last_use());
                retired.push(slot.selectors.clone());
            } else {
                slot.view.send_replace(Arc::new(View::build(records, &slot.selectors, bundles)));
            }
        }
        if !retired.is_empty() {
            let mut map = Map::clone(&map);
            for selectors in retired {
                map.remove(&selectors);
            }
            self.map.store(Arc::new(map));
        }
    }

    /// Whether somebody watches who matches these selectors.
    pub fn is_watched(&self, selectors: &[Selector]) -> bool {
        self.map.load().values().any(|slot| slot.is_watched() && is_subset(selectors, &slot.selectors))
    }

    pub fn last_use(&self, selectors: &[Selector]) -> LastUse {
        let mut latest = Duration::ZERO;
        for slot in self.map.load().values().filter(|slot| is_subset(selectors, &slot.selectors)) {
            if slot.is_watched() {
                return LastUse::Watched;
            }
            latest = latest.max(slot.last_use());
        }
        LastUse::At(latest)
    }
}

/// The view of one set of selectors; newer views replace unread ones (AG-344).
#[derive(Debug)]
pub struct Subscription {
    view: watch::Receiver<Arc<View>>,
    slot: Arc<Slot>,
}

impl Subscription {
    /// Sorted.
    pub fn selectors(&self) -> &[Selector] {
        &self.slot.selectors
    }

    pub fn current(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// The newest view that was not seen yet; waits for one. Safe to cancel.
    pub async fn changed(&mut self) -> Arc<View> {
        if self.view.changed().await.is_err() {
            // The cache is gone and nothing will ever change again.
            std::future::pending::<()>().await;
        }
        self.view.borrow_and_update().clone()
    }

    /// The first view in which all identities have their SVIDs. Safe to cancel.
    pub async fn settled(&mut self) -> Arc<View> {
        loop {
            let view = self.view.borrow_and_update().clone();
            if view.is_settled() {
                return view;
            }
            if self.view.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.slot.watchers.fetch_sub(1, Ordering::AcqRel);
    }
}
