//! Which agents a change is about: the authorized-entries rule read backwards.

use std::collections::HashSet;

use super::entry::IndexedEntry;
use super::key::Key;
use super::snapshot::{Change, Snapshot};

/// Paths of agents whose authorized set may have changed. Paths of workloads on the way are in it too and do no
/// harm, because nobody listens under them.
#[derive(Debug, Default)]
pub(super) struct Affected {
    pub(super) paths: HashSet<Key>,
}

impl Affected {
    /// Both versions count: one agent may lose the entry and another get it.
    pub(super) fn add_change(&mut self, change: &Change, before: &Snapshot, after: &Snapshot) {
        for (entry, snapshot) in [(&change.old, before), (&change.new, after)] {
            if let Some(entry) = entry {
                self.add_entry(entry, snapshot);
            }
        }
    }

    pub(super) fn add_agent(&mut self, path: Key) {
        self.paths.insert(path);
    }

    fn add_entry(&mut self, entry: &IndexedEntry, snapshot: &Snapshot) {
        if snapshot.is_alias(entry) {
            self.paths.extend(snapshot.agents_matching(entry));
            return;
        }
        let mut open = vec![entry.parent];
        let mut seen = HashSet::from([entry.parent]);
        while let Some(path) = open.pop() {
            self.paths.insert(path);
            for holder in snapshot.with_spiffe_id(path) {
                if snapshot.is_alias(holder) {
                    self.paths.extend(snapshot.agents_matching(holder));
                } else if seen.insert(holder.parent) {
                    open.push(holder.parent);
                }
            }
        }
    }
}
