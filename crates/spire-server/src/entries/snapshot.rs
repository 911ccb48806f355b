//! Everything the index knows at one moment. Copies are free; changes cost what they touch.

use std::collections::HashSet;
use std::sync::Arc;

use spire_types::{AttestedAgent, Entry, SpiffeId, TrustDomain};

use super::entry::IndexedEntry;
use super::key::{Key, Keys, is_subset};
use super::sorted::{SortedMap, last_of_each};

/// Entries below this path are aliases of agents, not workloads (SA-227).
const SERVER_PATH: &str = "/spire/server";

/// An agent as the store had it when its last event was read.
#[derive(Debug, PartialEq, Eq)]
pub struct CachedAgent {
    /// The row; `selectors` is empty here.
    pub agent: AttestedAgent,
    pub(super) path: Key,
    pub(super) selectors: Box<[Key]>,
}

/// An entry that gives agents with certain selectors another name.
#[derive(Debug, Clone)]
pub(super) struct Alias {
    pub(super) entry: Arc<IndexedEntry>,
    /// Sorted, not empty.
    pub(super) selectors: Arc<[Key]>,
}

type Place = (Key, u32);

/// Entries that are read for a snapshot without any (SA-230).
#[derive(Debug)]
pub(super) struct Loaded {
    keys: Arc<Keys>,
    trust_domain: TrustDomain,
    next_seq: u32,
    /// By key; `None` is one that does not belong here.
    entries: Vec<(Key, Option<Arc<IndexedEntry>>)>,
}

impl Loaded {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        Self {
            keys: Arc::clone(&snapshot.keys),
            trust_domain: snapshot.trust_domain.clone(),
            next_seq: snapshot.next_seq,
            entries: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, entry: &Entry) {
        let indexed = belongs(entry, &self.trust_domain)
            .then(|| Arc::new(IndexedEntry::new(entry, self.next_seq, &self.keys)));
        self.next_seq = self.next_seq.wrapping_add(1);
        self.entries.push((self.keys.entry_id(&entry.id), indexed));
    }
}

fn belongs(entry: &Entry, trust_domain: &TrustDomain) -> bool {
    entry.spiffe_id.is_member_of(trust_domain) && entry.parent_id.is_member_of(trust_domain)
}

#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) keys: Arc<Keys>,
    pub(super) trust_domain: TrustDomain,
    /// Grows with every published change.
    pub(super) version: u64,
    server: Key,
    next_seq: u32,
    by_id: SortedMap<Key, Arc<IndexedEntry>>,
    by_parent: SortedMap<Place, Arc<IndexedEntry>>,
    by_spiffe_id: SortedMap<Place, Arc<IndexedEntry>>,
    /// By one of the alias's selectors: an agent without it does not match anyway.
    aliases: SortedMap<Place, Alias>,
    agents: SortedMap<Key, Arc<CachedAgent>>,
    /// Selector, then agent.
    agents_by_selector: SortedMap<(Key, Key), ()>,
}

impl Snapshot {
    pub(super) fn new(trust_domain: TrustDomain) -> Self {
        let keys = Arc::new(Keys::default());
        Self {
            server: keys.path(SERVER_PATH),
            keys,
            trust_domain,
            version: 0,
            next_seq: 0,
            by_id: SortedMap::default(),
            by_parent: SortedMap::default(),
            by_spiffe_id: SortedMap::default(),
            aliases: SortedMap::default(),
            agents: SortedMap::default(),
            agents_by_selector: SortedMap::default(),
        }
    }

    pub(super) fn entry_count(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn entry(&self, id: &str) -> Option<&Arc<IndexedEntry>> {
        self.by_id.get(&self.keys.entry_id(id)).filter(|entry| entry.id() == id)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Arc<IndexedEntry>> {
        self.by_id.iter().map(|(_, entry)| entry)
    }

    pub(super) fn agents(&self) -> impl Iterator<Item = &Arc<CachedAgent>> {
        self.agents.iter().map(|(_, agent)| agent)
    }

    pub(super) fn agent(&self, path: Key) -> Option<&Arc<CachedAgent>> {
        self.agents.get(&path)
    }

    pub(super) fn children(&self, parent: Key) -> impl Iterator<Item = &Arc<IndexedEntry>> {
        self.by_parent
            .from(&(parent, 0))
            .take_while(move |((key, _), _)| *key == parent)
            .map(|(_, entry)| entry)
    }

    pub(super) fn with_spiffe_id(&self, path: Key) -> impl Iterator<Item = &Arc<IndexedEntry>> {
        self.by_spiffe_id
            .from(&(path, 0))
            .take_while(move |((key, _), _)| *key == path)
            .map(|(_, entry)| entry)
    }

    pub(super) fn is_alias(&self, entry: &IndexedEntry) -> bool {
        entry.parent == self.server
    }

    /// Aliases whose selectors the agent has all of.
    pub(super) fn aliases_of<'a>(&'a self, agent: &'a CachedAgent) -> impl Iterator<Item = &'a Alias> {
        agent
            .selectors
            .iter()
            .flat_map(|selector| {
                self.aliases.from(&(*selector, 0)).take_while(move |((key, _), _)| key == selector)
            })
            .map(|(_, alias)| alias)
            .filter(|alias| is_subset(&alias.selectors, &agent.selectors))
    }

    /// Agents that have all selectors of the alias.
    pub(super) fn agents_matching(&self, alias: &IndexedEntry) -> Vec<Key> {
        let selectors = self.selectors_of(alias);
        let Some(first) = selectors.first().copied() else { return Vec::new() };
        self.agents_by_selector
            .from(&(first, Key::MIN))
            .take_while(|((selector, _), ())| *selector == first)
            .filter_map(|((_, agent), ())| self.agents.get(agent))
            .filter(|agent| is_subset(&selectors, &agent.selectors))
            .map(|agent| agent.path)
            .collect()
    }

    fn selectors_of(&self, entry: &IndexedEntry) -> Box<[Key]> {
        let message = entry.message();
        let selectors: Vec<_> = message
            .selectors
            .iter()
            .map(|selector| spire_types::Selector::unchecked(&selector.r#type, &selector.value))
            .collect();
        self.keys.selectors(&selectors)
    }

    /// Every entry the agent may have (SA-228), aliases themselves excluded, in no particular order.
    pub(super) fn authorized(&self, agent: Key) -> Vec<Arc<IndexedEntry>> {
        let mut found = Vec::new();
        let mut seen = HashSet::from([agent]);
        let mut open = vec![agent];
        if let Some(agent) = self.agents.get(&agent) {
            for alias in self.aliases_of(agent) {
                if seen.insert(alias.entry.spiffe) {
                    open.push(alias.entry.spiffe);
                }
            }
        }
        while let Some(parent) = open.pop() {
            for entry in self.children(parent) {
                if self.is_alias(entry) {
                    continue;
                }
                found.push(Arc::clone(entry));
                if seen.insert(entry.spiffe) {
                    open.push(entry.spiffe);
                }
            }
        }
        found
    }

    /// The same with these entries in the place of its own, of which it must have none. An entry that was read twice,
    /// because it was made anew meanwhile, is as it was read last.
    pub(super) fn with_entries(self, loaded: Loaded) -> Self {
        let next_seq = loaded.next_seq;
        let entries: Vec<Arc<IndexedEntry>> =
            last_of_each(loaded.entries).into_iter().filter_map(|(_, entry)| entry).collect();
        let all = || entries.iter();
        let mut filled = Self {
            next_seq,
            by_id: SortedMap::from_unsorted(all().map(|entry| (entry.key, Arc::clone(entry))).collect()),
            by_parent: SortedMap::from_unsorted(
                all().map(|entry| ((entry.parent, entry.seq), Arc::clone(entry))).collect(),
            ),
            by_spiffe_id: SortedMap::from_unsorted(
                all().map(|entry| ((entry.spiffe, entry.seq), Arc::clone(entry))).collect(),
            ),
            ..self
        };
        for entry in all() {
            if filled.is_alias(entry) {
                filled.insert_alias(entry);
            }
        }
        filled
    }

    fn insert_alias(&mut self, entry: &Arc<IndexedEntry>) {
        let selectors: Arc<[Key]> = self.selectors_of(entry).into();
        if let Some(first) = selectors.first().copied() {
            self.aliases.insert((first, entry.seq), Alias { entry: Arc::clone(entry), selectors });
        }
    }

    /// Puts the entry in, or takes it out if it left the trust domain (SA-230, SA-249). Returns the version before
    /// and after, if they differ.
    pub(super) fn put_entry(&mut self, entry: &Entry) -> Option<Change> {
        if !belongs(entry, &self.trust_domain) {
            return self.remove_entry(&entry.id);
        }
        let old = self.by_id.get(&self.keys.entry_id(&entry.id)).cloned();
        let seq = old.as_ref().map_or(self.next_seq, |old| old.seq);
        let new = Arc::new(IndexedEntry::new(entry, seq, &self.keys));
        match &old {
            Some(old) if old.same_content(&new) => return None,
            Some(old) => self.unlink(&Arc::clone(old)),
            None => self.next_seq = self.next_seq.wrapping_add(1),
        }
        self.by_id.insert(new.key, Arc::clone(&new));
        self.by_parent.insert((new.parent, seq), Arc::clone(&new));
        self.by_spiffe_id.insert((new.spiffe, seq), Arc::clone(&new));
        if self.is_alias(&new) {
            self.insert_alias(&new);
        }
        Some(Change { old, new: Some(new) })
    }

    /// Takes the entry out; `None` if it was not there.
    pub(super) fn remove_entry(&mut self, id: &str) -> Option<Change> {
        let old = self.by_id.remove(&self.keys.entry_id(id))?;
        self.unlink(&old);
        Some(Change { old: Some(old), new: None })
    }

    fn unlink(&mut self, old: &IndexedEntry) {
        self.by_parent.remove(&(old.parent, old.seq));
        self.by_spiffe_id.remove(&(old.spiffe, old.seq));
        if self.is_alias(old)
            && let Some(first) = self.selectors_of(old).first()
        {
            self.aliases.remove(&(*first, old.seq));
        }
    }

    /// Puts the agent in; says whether its selectors changed. Agents of other trust domains are ignored (SA-230).
    pub(super) fn put_agent(&mut self, agent: AttestedAgent) -> Option<Key> {
        let id: SpiffeId =
            agent.spiffe_id.parse().ok().filter(|id: &SpiffeId| id.is_member_of(&self.trust_domain))?;
        let path = self.keys.path(id.path());
        let selectors = self.keys.selectors(&agent.selectors);
        let old = self.agents.get(&path).cloned();
        let before = old.as_ref().map_or(&[][..], |old| &old.selectors);
        let changed = before != &*selectors;
        if changed {
            for selector in before {
                self.agents_by_selector.remove(&(*selector, path));
            }
            for selector in &selectors {
                self.agents_by_selector.insert((*selector, path), ());
            }
        }
        let agent = AttestedAgent { selectors: Vec::new(), ..agent };
        self.agents.insert(path, Arc::new(CachedAgent { agent, path, selectors }));
        changed.then_some(path)
    }

    /// Takes the agent out; `None` if it was not there.
    pub(super) fn remove_agent(&mut self, spiffe_id: &str) -> Option<Arc<CachedAgent>> {
        let id: SpiffeId =
            spiffe_id.parse().ok().filter(|id: &SpiffeId| id.is_member_of(&self.trust_domain))?;
        let path = self.keys.path(id.path());
        let old = self.agents.remove(&path)?;
        for selector in &old.selectors {
            self.agents_by_selector.remove(&(*selector, path));
        }
        Some(old)
    }
}

/// What became of one entry.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) old: Option<Arc<IndexedEntry>>,
    pub(super) new: Option<Arc<IndexedEntry>>,
}

#[cfg(test)]
mod tests;
