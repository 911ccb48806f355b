//! The authorized entries with their SVIDs, and which of them a set of selectors matches.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use spire_runtime::logging::{LogLevel, LogValue, emit, enabled};
use spire_types::{Selector, TrustDomain};
use time::OffsetDateTime;

use super::entry::is_subset;
use super::slots::LastUse;
use super::{AgentEntry, WorkloadSvid};

/// First wait after a refusal to sign; it doubles up to the longest.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// What a sync found.
#[derive(Debug, Default)]
pub struct EntryUpdate {
    /// New, or not as before.
    pub changed: Vec<Arc<AgentEntry>>,
    pub removed: Vec<Arc<str>>,
}

/// An SVID that should be signed.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub entry: Arc<AgentEntry>,
    /// When the current one expires, if there is one.
    pub expires: Option<OffsetDateTime>,
}

/// Whose view is not what it was.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub everyone: bool,
    /// Those who have all selectors of one of these sets.
    pub selectors: Vec<Arc<[Selector]>>,
}

#[derive(Debug)]
pub(super) struct Record {
    entry: Arc<AgentEntry>,
    svid: Option<Arc<WorkloadSvid>>,
    /// The SVID is of an older revision, or of a tainted authority.
    outdated: bool,
    refusals: u32,
    /// No earlier than this, on the monotonic clock.
    retry_at: Duration,
    last_use: Duration,
}

impl Record {
    pub fn entry(&self) -> &Arc<AgentEntry> {
        &self.entry
    }

    pub fn svid(&self) -> Option<&Arc<WorkloadSvid>> {
        self.svid.as_ref()
    }

    /// The SVID is there and of the ID that the entry has now.
    pub fn is_current(&self) -> bool {
        self.svid.as_ref().is_some_and(|svid| svid.entry.spiffe_id == self.entry.spiffe_id)
    }

    pub fn is_refused(&self) -> bool {
        self.refusals > 0
    }
}

#[derive(Debug)]
pub(super) struct Records {
    max_size: usize,
    by_id: BTreeMap<Arc<str>, Record>,
    /// Each entry stands under one of its selectors, the one with the fewest others.
    by_selector: HashMap<Selector, Vec<Arc<str>>>,
    svid_count: usize,
}

impl Records {
    pub fn new(max_size: usize) -> Self {
        Self { max_size, by_id: BTreeMap::new(), by_selector: HashMap::new(), svid_count: 0 }
    }

    pub fn svid_count(&self) -> usize {
        self.svid_count
    }

    /// In the order of entry ids (AG-342). `selectors` are sorted.
    pub fn matching(&self, selectors: &[Selector]) -> Vec<&Record> {
        let mut found: Vec<&Record> = selectors
            .iter()
            .filter_map(|selector| self.by_selector.get(selector))
            .flatten()
            .filter_map(|id| self.by_id.get(id))
            .filter(|record| is_subset(&record.entry.selectors, selectors))
            .collect();
        found.sort_unstable_by(|a, b| a.entry.id.cmp(&b.entry.id));
        found
    }

    pub fn update(&mut self, update: &EntryUpdate) -> Touched {
        let mut touched = Touched::default();
        for id in &update.removed {
            if let Some(record) = self.by_id.remove(id) {
                self.unlist(&record.entry);
                self.svid_count -= usize::from(record.svid.is_some());
                log_entry(&record.entry, "Entry removed", &[]);
                touched.selectors.push(record.entry.selectors.clone());
            }
        }
        for entry in &update.changed {
            let Some(record) = self.by_id.get_mut(&entry.id) else {
                log_entry(entry, "Entry created", &differences(None, entry));
                self.list(entry);
                touched.selectors.push(entry.selectors.clone());
                self.by_id.insert(entry.id.clone(), Record::new(entry.clone()));
                continue;
            };
            let old = std::mem::replace(&mut record.entry, entry.clone());
            record.outdated |= old.is_outdated(entry.revision, entry.created_at);
            (record.refusals, record.retry_at) = (0, Duration::ZERO);
            let differences = differences(Some(&old), entry);
            if !differences.is_empty() {
                log_entry(entry, "Entry updated", &differences);
            }
            touched.selectors.push(entry.selectors.clone());
            if old.selectors != entry.selectors {
                touched.selectors.push(old.selectors.clone());
                self.unlist(&old);
                self.list(entry);
            }
        }
        touched
    }

    fn list(&mut self, entry: &AgentEntry) {
        let others = |selector: &&Selector| self.by_selector.get(*selector).map_or(0, Vec::len);
        if let Some(selector) = entry.selectors.iter().min_by_key(others).cloned() {
            self.by_selector.entry(selector).or_default().push(entry.id.clone());
        }
    }

    fn unlist(&mut self, entry: &AgentEntry) {
        for selector in &*entry.selectors {
            if let Some(ids) = self.by_selector.get_mut(selector) {
                ids.retain(|id| *id != entry.id);
                if ids.is_empty() {
                    self.by_selector.remove(selector);
                }
            }
        }
    }

    /// The selector sets of entries that federate with one of these.
    pub fn federating_with(&self, trust_domains: &[TrustDomain]) -> Vec<Arc<[Selector]>> {
        let federates = |record: &&Record| {
            record.entry.federates_with.iter().any(|trust_domain| trust_domains.contains(trust_domain))
        };
        self.by_id.values().filter(federates).map(|record| record.entry.selectors.clone()).collect()
    }

    /// Entries that somebody waits for come first, then those that may be asked for, as far as there is room.
    pub fn stale(
        &self,
        now: OffsetDateTime,
        monotonic: Duration,
        limit: usize,
        is_watched: impl Fn(&[Selector]) -> bool,
    ) -> Vec<Wanted> {
        let mut room = self.max_size.saturating_sub(self.svid_count);
        let (mut urgent, mut early) = (Vec::new(), Vec::new());
        for record in self.by_id.values() {
            if record.retry_at > monotonic {
                continue;
            }
            let wanted = |expires| Wanted { entry: record.entry.clone(), expires };
            match &record.svid {
                Some(svid) if record.outdated || now >= svid.renew_at => {
                    urgent.push(wanted(Some(svid.not_after)));
                }
                Some(_) => {}
                None if is_watched(&record.entry.selectors) => {
                    room = room.saturating_sub(1);
                    urgent.push(wanted(None));
                }
                None if !record.entry.disable_x509_svid_prefetch => early.push(wanted(None)),
                None => {}
            }
        }
        early.truncate(room);
        urgent.extend(early);
        urgent.truncate(limit);
        urgent
    }

    pub fn put(&mut self, svids: Vec<WorkloadSvid>) -> Touched {
        let mut touched = Touched::default();
        for svid in svids {
            let Some(record) = self.by_id.get_mut(&svid.entry.id) else {
                tracing::debug!(
                    registration_id = &*svid.entry.id,
                    subsystem_name = "cache_manager",
                    "Entry not found"
                );
                continue;
            };
            // The entry may have changed while the server was signing.
            record.outdated = record.entry.is_outdated(svid.entry.revision, svid.entry.created_at);
            (record.refusals, record.retry_at) = (0, Duration::ZERO);
            let before = record.svid.replace(Arc::new(svid));
            self.svid_count += usize::from(before.is_none());
            log_entry(&record.entry, "SVID updated", &[]);
            touched.selectors.push(record.entry.selectors.clone());
        }
        touched
    }

    pub fn refused(&mut self, ids: &[Arc<str>], monotonic: Duration) -> Touched {
        let mut touched = Touched::default();
        for id in ids {
            if let Some(record) = self.by_id.get_mut(id) {
                let wait = FIRST_RETRY.saturating_mul(1 << record.refusals.min(10)).min(LAST_RETRY);
                record.refusals += 1;
                record.retry_at = monotonic + wait;
                touched.selectors.push(record.entry.selectors.clone());
            }
        }
        touched
    }

    pub fn svids(&self) -> Vec<(Arc<str>, Arc<WorkloadSvid>)> {
        let with_svid = |(id, record): (&Arc<str>, &Record)| Some((id.clone(), record.svid.clone()?));
        self.by_id.iter().filter_map(with_svid).collect()
    }

    pub fn taint(&mut self, tainted: &[(Arc<str>, Arc<WorkloadSvid>)]) {
        for (id, svid) in tainted {
            if let Some(record) = self.by_id.get_mut(id)
                && record.svid.as_ref().is_some_and(|current| Arc::ptr_eq(current, svid))
            {
                record.outdated = true;
            }
        }
    }

    /// Somebody with these selectors was there at that time.
    pub fn used(&mut self, selectors: &[Selector], at: Duration) {
        let ids: Vec<Arc<str>> =
            self.matching(selectors).iter().map(|record| record.entry.id.clone()).collect();
        for id in ids {
            if let Some(record) = self.by_id.get_mut(&id) {
                record.last_use = record.last_use.max(at);
            }
        }
    }

    /// Beyond the limit SVIDs go that nobody watches, the longest unused first (AG-349).
    pub fn evict(&mut self, last_use: impl Fn(&[Selector]) -> LastUse) -> Vec<Arc<[Selector]>> {
        let Some(excess) = self.svid_count.checked_sub(self.max_size).filter(|excess| *excess > 0) else {
            return Vec::new();
        };
        let mut idle = Vec::new();
        for record in self.by_id.values_mut().filter(|record| record.svid.is_some()) {
            match last_use(&record.entry.selectors) {
                LastUse::Watched => {}
                LastUse::At(at) => {
                    record.last_use = record.last_use.max(at);
                    idle.push((record.last_use, record.entry.clone()));
                }
            }
        }
        idle.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.id.cmp(&b.1.id)));
        idle.truncate(excess);
        for (_, entry) in &idle {
            if let Some(record) = self.by_id.get_mut(&entry.id) {
                record.svid = None;
                self.svid_count -= 1;
            }
        }
        idle.into_iter().map(|(_, entry)| entry.selectors.clone()).collect()
    }
}

impl Record {
    fn new(entry: Arc<AgentEntry>) -> Self {
        Self {
            entry,
            svid: None,
            outdated: false,
            refusals: 0,
            retry_at: Duration::ZERO,
            last_use: Duration::ZERO,
        }
    }
}

type Field = (&'static str, LogValue);

/// How many selectors and federated trust domains came and went; what did not change is left out.
fn differences(old: Option<&AgentEntry>, new: &AgentEntry) -> Vec<Field> {
    fn only_in<T: PartialEq>(these: &[T], others: &[T]) -> usize {
        these.iter().filter(|item| !others.contains(item)).count()
    }
    let selectors: &[Selector] = old.map_or(&[], |old| &old.selectors);
    let federated: &[TrustDomain] = old.map_or(&[], |old| &old.federates_with);
    let counts = [
        ("selectors_added", only_in(&new.selectors, selectors)),
        ("selectors_removed", only_in(selectors, &new.selectors)),
        ("fed_add", only_in(&new.federates_with, federated)),
        ("fed_rem", only_in(federated, &new.federates_with)),
    ];
    counts.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name, count.into())).collect()
}

fn log_entry(entry: &AgentEntry, message: &str, more: &[Field]) {
    if !enabled(LogLevel::Debug) {
        return;
    }
    let mut fields: Vec<Field> = vec![
        ("entry", entry.id.as_ref().into()),
        ("spiffe_id", entry.spiffe_id.to_string().into()),
        ("subsystem_name", "cache_manager".into()),
    ];
    fields.extend_from_slice(more);
    emit(LogLevel::Debug, message, &fields);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_how_many_selectors_and_trust_domains_came_and_went() {
        // AG-357
        let entry = |selectors: &[&str], federated: &[&str]| AgentEntry {
            id: "e".into(),
            spiffe_id: "spiffe://example.org/w".parse().unwrap(),
            selectors: selectors.iter().map(|text| Selector::parse(text).unwrap()).collect(),
            federates_with: federated.iter().map(|name| TrustDomain::parse(name).unwrap()).collect(),
            revision: 0,
            created_at: 0,
            hint: String::new(),
            store_svid: false,
            disable_x509_svid_prefetch: false,
            jwt_svid_include_jti: false,
        };
        let shown = |old: Option<&AgentEntry>, new: &AgentEntry| {
            let found = differences(old, new);
            found.iter().map(|(name, count)| format!("{name}={count}")).collect::<Vec<_>>().join(" ")
        };
        let (one, two) = (entry(&["a:1"], &["x.test"]), entry(&["a:2", "a:3"], &[]));
        assert_eq!(shown(None, &one), "selectors_added=1 fed_add=1");
        assert_eq!(shown(Some(&one), &two), "selectors_added=2 selectors_removed=1 fed_rem=1");
        assert_eq!(shown(Some(&one), &one), "");
    }
}
