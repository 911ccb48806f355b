//! Tells agents of ours that a pull would bring something new (A5).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::key::Key;

const ENTRIES: u8 = 1;
const BUNDLES: u8 = 2;
const FIRST: u8 = 4;

/// What a ring is about. Both are false only in the first ring, which follows the subscription at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ring {
    /// The agent's authorized set changed.
    pub entries: bool,
    /// A bundle that the agent holds changed.
    pub bundles: bool,
}

/// All listening agents.
#[derive(Debug, Clone, Default)]
pub struct Doorbell {
    listeners: Arc<Mutex<HashMap<Key, Vec<Weak<Bell>>>>>,
}

/// One subscription: rings that were not heard yet are one.
#[derive(Debug)]
struct Bell {
    pending: AtomicU8,
    wake: Notify,
}

impl Bell {
    fn ring(&self, what: u8) {
        self.pending.fetch_or(what, Ordering::AcqRel);
        self.wake.notify_one();
    }
}

impl Doorbell {
    pub(super) fn listen(&self, agent: Key) -> DoorbellStream {
        let bell = Arc::new(Bell { pending: AtomicU8::new(FIRST), wake: Notify::new() });
        self.listeners.lock().entry(agent).or_default().push(Arc::downgrade(&bell));
        DoorbellStream { bell, agent, doorbell: self.clone() }
    }

    /// How many subscriptions there are.
    pub fn len(&self) -> usize {
        self.listeners.lock().values().map(Vec::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.listeners.lock().is_empty()
    }

    pub(super) fn ring_entries<'a>(&self, agents: impl IntoIterator<Item = &'a Key>) {
        let listeners = self.listeners.lock();
        if listeners.is_empty() {
            return;
        }
        for agent in agents {
            for bell in listeners.get(agent).into_iter().flatten().filter_map(Weak::upgrade) {
                bell.ring(ENTRIES);
            }
        }
    }

    /// Rings for agents that hold the bundle in question.
    pub(super) fn ring_bundles(&self, holds: impl Fn(Key) -> bool) {
        let agents: Vec<(Key, Vec<Arc<Bell>>)> = {
            let listeners = self.listeners.lock();
            listeners
                .iter()
                .map(|(agent, bells)| (*agent, bells.iter().filter_map(Weak::upgrade).collect()))
                .collect()
        };
        // Outside the lock, because it may compute authorized sets.
        for (agent, bells) in agents {
            if holds(agent) {
                bells.iter().for_each(|bell| bell.ring(BUNDLES));
            }
        }
    }
}

/// The rings of one agent.
#[derive(Debug)]
pub struct DoorbellStream {
    bell: Arc<Bell>,
    agent: Key,
    doorbell: Doorbell,
}

impl DoorbellStream {
    /// Waits for the next ring; the first comes at once, so that no change falls between subscription and first pull.
    /// Safe to cancel.
    pub async fn next(&mut self) -> Ring {
        loop {
            let pending = self.bell.pending.swap(0, Ordering::AcqRel);
            if pending != 0 {
                return Ring { entries: pending & ENTRIES != 0, bundles: pending & BUNDLES != 0 };
            }
            self.bell.wake.notified().await;
        }
    }
}

impl Drop for DoorbellStream {
    fn drop(&mut self) {
        let mut listeners = self.doorbell.listeners.lock();
        if let Some(bells) = listeners.get_mut(&self.agent) {
            bells.retain(|bell| !std::ptr::eq(bell.as_ptr(), Arc::as_ptr(&self.bell)));
            if bells.is_empty() {
                listeners.remove(&self.agent);
            }
        }
    }
}
