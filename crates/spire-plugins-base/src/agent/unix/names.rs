//! Names of users and groups, as the system's name service has them.
//!
//! It reads files or asks a directory each time, which would be a third of what a call of a workload costs. A name is
//! therefore remembered for a second.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{Gid, Group, Uid, User};
use parking_lot::Mutex;
use spire_runtime::SharedClock;

const REMEMBERED: Duration = Duration::from_secs(1);
/// More users than a node has at work within a second.
const MAX_NAMES: usize = 1024;

type Lookup = fn(u32) -> Option<Arc<str>>;

#[derive(Debug)]
pub(super) struct Names {
    users: Memory,
    groups: Memory,
    clock: SharedClock,
}

impl Names {
    pub(super) fn new(clock: SharedClock) -> Self {
        Self { users: Memory::new(user), groups: Memory::new(group), clock }
    }

    pub(super) fn user(&self, uid: u32) -> Option<Arc<str>> {
        self.users.get(uid, self.clock.monotonic())
    }

    pub(super) fn group(&self, gid: u32) -> Option<Arc<str>> {
        self.groups.get(gid, self.clock.monotonic())
    }
}

fn user(uid: u32) -> Option<Arc<str>> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name.into())
}

fn group(gid: u32) -> Option<Arc<str>> {
    Group::from_gid(Gid::from_raw(gid)).ok().flatten().map(|group| group.name.into())
}

#[derive(Debug)]
struct Memory {
    lookup: Lookup,
    found: Mutex<HashMap<u32, Found>>,
}

#[derive(Debug)]
struct Found {
    at: Duration,
    /// An ID without a name is remembered as well.
    name: Option<Arc<str>>,
}

impl Memory {
    fn new(lookup: Lookup) -> Self {
        Self { lookup, found: Mutex::default() }
    }

    fn get(&self, id: u32, now: Duration) -> Option<Arc<str>> {
        if let Some(found) = self.found.lock().get(&id)
            && now.saturating_sub(found.at) < REMEMBERED
        {
            return found.name.clone();
        }
        // Not under the lock: a directory may take its time.
        let name = (self.lookup)(id);
        let mut found = self.found.lock();
        if found.len() >= MAX_NAMES {
            found.clear();
        }
        found.insert(id, Found { at: now, name: name.clone() });
        name
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_renamed_user_is_seen_within_a_second() {
        // PL-058
        static ASKED: AtomicU32 = AtomicU32::new(0);
        let memory = Memory::new(|id| Some(format!("{id}-{}", ASKED.fetch_add(1, Ordering::Relaxed)).into()));
        for (milliseconds, expected) in [(0, "7-0"), (999, "7-0"), (1000, "7-1"), (1500, "7-1")] {
            assert_eq!(memory.get(7, Duration::from_millis(milliseconds)).as_deref(), Some(expected));
        }
        assert_eq!(memory.get(8, Duration::from_millis(1500)).as_deref(), Some("8-2"));
    }

    #[test]
    fn what_is_remembered_does_not_grow_without_end() {
        let memory = Memory::new(|_| None);
        for id in 0..3000 {
            assert_eq!(memory.get(id, Duration::ZERO), None);
        }
        assert!(memory.found.lock().len() <= MAX_NAMES);
    }
}
