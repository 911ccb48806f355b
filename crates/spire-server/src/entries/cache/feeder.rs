//! The only writer of the index.
//!
//! It wakes for local commits and once per `reload_interval`, reads which keys have events it has not seen, fetches
//! those keys and swaps in a snapshot with them. An idle server asks one cheap question per interval, however many
//! entries there are. Everything is read anew only if events were lost, rows changed without event, or once per
//! `full_reload_interval`.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use spire_datastore::{
    Change as Commit, ChangeBatch, ChangeReceiver, Datastore, DatastoreError, EventRange, Lagged, ListAgents,
};
use spire_runtime::{SharedClock, Shutdown};
use spire_types::{AttestedAgent, Entry, TrustDomain};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::super::affected::Affected;
use super::super::event_feed::EventFeed;
use super::super::key::Key;
use super::super::snapshot::{Change, Loaded, Snapshot};
use super::{EntryCache, EntryCacheSettings};

/// Entries read at a time by a full load.
const LOAD_PAGE: u32 = 2000;
/// Agents read at a time.
const AGENT_PAGE: usize = 500;
/// Intervals between two counts of all rows.
const COUNT_EVERY: u32 = 12;

#[derive(Debug)]
pub(super) struct Feeder {
    cache: Arc<EntryCache>,
    store: Datastore,
    clock: SharedClock,
    settings: EntryCacheSettings,
    commits: ChangeReceiver,
    snapshot: Snapshot,
    entry_events: EventFeed,
    agent_events: EventFeed,
    /// Keys that have changed and were not fetched yet.
    pending_entries: HashSet<Box<str>>,
    pending_agents: HashSet<Box<str>>,
    /// When agents expire; may hold outdated times.
    expiries: BTreeSet<(i64, Box<str>)>,
    /// Rows that are in the table but not in the index.
    unreadable: u64,
    reload_wanted: bool,
    loaded_at: Duration,
    pruned_at: Duration,
    ticks: u32,
}

impl Feeder {
    pub(super) async fn start(
        cache: Arc<EntryCache>,
        store: Datastore,
        clock: SharedClock,
        settings: EntryCacheSettings,
    ) -> Result<Self, DatastoreError> {
        // In this order nothing can be missed: listen, note how far the events are, read.
        let commits = store.changes();
        let now = clock.monotonic();
        let (entry_events, agent_events) = feeds(&store, now, settings.event_timeout).await?;
        let mut feeder = Self {
            snapshot: Snapshot::new(settings.trust_domain.clone()),
            cache,
            store,
            clock,
            settings,
            commits,
            entry_events,
            agent_events,
            pending_entries: HashSet::new(),
            pending_agents: HashSet::new(),
            expiries: BTreeSet::new(),
            unreadable: 0,
            reload_wanted: false,
            loaded_at: now,
            pruned_at: now,
            ticks: 0,
        };
        feeder.reload().await?;
        Ok(feeder)
    }

    pub(super) async fn run(mut self, shutdown: Shutdown) {
        let mut next = self.clock.monotonic() + self.settings.reload_interval;
        loop {
            let wait = next.saturating_sub(self.clock.monotonic());
            let commit = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                commit = self.commits.next() => commit,
                () = self.clock.sleep(wait) => None,
            };
            // A pass that has begun is always finished.
            match commit {
                Some(commit) => self.after_commit(commit).await,
                None => {
                    self.interval().await;
                    next = self.clock.monotonic() + self.settings.reload_interval;
                }
            }
        }
    }

    /// Everything committed so far in one pass.
    async fn after_commit(&mut self, first: Result<ChangeBatch, Lagged>) {
        let mut bundles = HashSet::new();
        let (mut entries, mut agents) = (false, false);
        let mut next = Some(first);
        while let Some(commit) = next {
            match commit {
                Ok(batch) => {
                    for change in batch.iter() {
                        match change {
                            Commit::Entry(id) => {
                                entries = true;
                                self.pending_entries.insert(id.clone());
                            }
                            Commit::Agent(id) => {
                                agents = true;
                                self.pending_agents.insert(id.clone());
                            }
                            Commit::Bundle(td) => drop(bundles.insert(td.clone())),
                            Commit::Federation(_) => {}
                        }
                    }
                }
                // The events tell what the announcements no longer do; bundles have none.
                Err(Lagged(_)) => {
                    (entries, agents) = (true, true);
                    bundles.insert(self.settings.trust_domain.clone());
                }
            }
            next = self.commits.try_next();
        }
        if let Err(error) = self.follow(entries, agents).await {
            tracing::error!(subsystem_name = "endpoints", error = %error, "Failed to update entry cache");
        }
        if !bundles.is_empty() {
            self.ring_bundles(&bundles);
        }
    }

    /// The agents' own trust domain concerns all of them, others only those with an entry that federates.
    fn ring_bundles(&self, changed: &HashSet<TrustDomain>) {
        let own = changed.contains(&self.settings.trust_domain);
        let snapshot = &self.snapshot;
        self.cache.doorbell.ring_bundles(|agent| {
            own || {
                let view = self.cache.views.get(agent, snapshot);
                changed.iter().any(|td| view.federates_with(td))
            }
        });
    }

    /// What is done whether or not anything was announced.
    async fn interval(&mut self) {
        self.ticks = self.ticks.wrapping_add(1);
        let outcome = self.interval_pass().await;
        if let Err(error) = outcome {
            tracing::error!(subsystem_name = "endpoints", error = %error, "Failed to reload entry cache");
        }
        self.expire_agents();
        self.prune_events().await;
    }

    async fn interval_pass(&mut self) -> Result<(), DatastoreError> {
        let now = self.clock.monotonic();
        if self.ticks.is_multiple_of(COUNT_EVERY) {
            let rows = self.store.count_entry_rows().await?;
            self.reload_wanted |= rows != self.snapshot.entry_count() as u64 + self.unreadable;
        }
        let [entries, agents] = self.store.event_bounds().await?;
        // A table that went back in time is another table.
        self.reload_wanted |= entries.1 < self.entry_events.last() && entries.1 != 0;
        self.reload_wanted |= agents.1 < self.agent_events.last() && agents.1 != 0;
        if now.saturating_sub(self.loaded_at) >= self.settings.full_reload_interval {
            self.reload_wanted = true;
        }
        self.look_for_late_events(now).await?;
        if self.reload_wanted {
            (self.entry_events, self.agent_events) =
                feeds(&self.store, now, self.settings.event_timeout).await?;
            return self.reload().await;
        }
        let more_entries = entries.1 > self.entry_events.last() || !self.pending_entries.is_empty();
        let more_agents = agents.1 > self.agent_events.last() || !self.pending_agents.is_empty();
        self.follow(more_entries, more_agents).await
    }

    /// Ids that were skipped, and ids below the first (SA-242).
    async fn look_for_late_events(&mut self, now: Duration) -> Result<(), DatastoreError> {
        let missing = self.entry_events.missing(now);
        if !missing.is_empty() {
            for event in self.store.fetch_entry_events(&missing).await? {
                self.entry_events.found(event.event_id);
                self.pending_entries.insert(event.entry_id.into());
            }
        }
        let missing = self.agent_events.missing(now);
        if !missing.is_empty() {
            for event in self.store.fetch_agent_events(&missing).await? {
                self.agent_events.found(event.event_id);
                self.pending_agents.insert(event.spiffe_id.into());
            }
        }
        if let Some(first) = self.entry_events.before_first(now) {
            for event in self.store.list_entry_events(EventRange::Before(first)).await? {
                if self.entry_events.is_news(event.event_id) {
                    self.pending_entries.insert(event.entry_id.into());
                }
            }
        }
        if let Some(first) = self.agent_events.before_first(now) {
            for event in self.store.list_agent_events(EventRange::Before(first)).await? {
                if self.agent_events.is_news(event.event_id) {
                    self.pending_agents.insert(event.spiffe_id.into());
                }
            }
        }
        Ok(())
    }

    /// Reads new events and the keys they name.
    async fn follow(&mut self, entries: bool, agents: bool) -> Result<(), DatastoreError> {
        let now = self.clock.monotonic();
        let agent_commits = self.store.agent_commits();
        if entries {
            let events = self.store.list_entry_events(EventRange::After(self.entry_events.last())).await?;
            let lost = self.entry_events.advance(events.iter().map(|event| event.event_id), now).is_err();
            self.reload_wanted |= lost;
            self.pending_entries.extend(events.into_iter().map(|event| event.entry_id.into()));
        }
        if agents {
            let events = self.store.list_agent_events(EventRange::After(self.agent_events.last())).await?;
            let lost = self.agent_events.advance(events.iter().map(|event| event.event_id), now).is_err();
            self.reload_wanted |= lost;
            self.pending_agents.extend(events.into_iter().map(|event| event.spiffe_id.into()));
        }
        let mut next = self.snapshot.clone();
        let mut affected = Affected::default();
        let fetched = self.fetch(&mut next, &mut affected).await;
        self.publish(next, &affected);
        fetched?;
        if agents {
            self.cache.agents_as_of.store(agent_commits, Ordering::Release);
        }
        Ok(())
    }

    /// Keys stay pending until they were fetched.
    async fn fetch(&mut self, next: &mut Snapshot, affected: &mut Affected) -> Result<(), DatastoreError> {
        if !self.pending_agents.is_empty() {
            let ids: Vec<String> = self.pending_agents.iter().map(|id| String::from(&**id)).collect();
            for chunk in ids.chunks(AGENT_PAGE) {
                let found = self.store.fetch_agents(chunk).await?;
                self.put_agents(next, affected, chunk, found);
            }
            self.pending_agents.clear();
        }
        if !self.pending_entries.is_empty() {
            let ids: Vec<Box<str>> = self.pending_entries.iter().cloned().collect();
            let found = self.store.fetch_entries(&ids).await?;
            let mut changes = Vec::new();
            let mut present = HashSet::with_capacity(found.len());
            for entry in &found {
                present.insert(entry.id.as_str());
                changes.extend(next.put_entry(entry));
            }
            for id in ids.iter().filter(|id| !present.contains(&***id)) {
                changes.extend(next.remove_entry(id));
            }
            for change in &changes {
                affected.add_change(change, &self.snapshot, next);
            }
            self.pending_entries.clear();
        }
        Ok(())
    }

    fn put_agents(
        &mut self,
        next: &mut Snapshot,
        affected: &mut Affected,
        asked: &[String],
        found: Vec<AttestedAgent>,
    ) {
        let now = self.clock.unix();
        let mut present = HashSet::with_capacity(found.len());
        for agent in found.into_iter().filter(|agent| agent.not_after > now) {
            present.insert(agent.spiffe_id.clone());
            self.expiries.insert((agent.not_after, agent.spiffe_id.as_str().into()));
            if let Some(path) = next.put_agent(agent) {
                affected.add_agent(path);
            }
        }
        for id in asked.iter().filter(|id| !present.contains(*id)) {
            if let Some(agent) = next.remove_agent(id) {
                affected.add_agent(agent.path);
            }
        }
    }

    /// Swaps the snapshot in, then drops outdated views, then rings.
    fn publish(&mut self, mut next: Snapshot, affected: &Affected) {
        next.version += 1;
        self.snapshot = next;
        self.cache.snapshot.store(Arc::new(self.snapshot.clone()));
        self.cache.views.forget(affected, self.snapshot.version);
        self.cache.doorbell.ring_entries(&affected.paths);
    }

    /// Reads everything and publishes what differs.
    async fn reload(&mut self) -> Result<(), DatastoreError> {
        let agent_commits = self.store.agent_commits();
        let mut affected = Affected::default();
        // Nobody has a view yet before the first load is done.
        let (mut next, changes) = match self.snapshot.version {
            0 => (self.load().await?, Vec::new()),
            _ => self.compare().await?,
        };
        let now = OffsetDateTime::from_unix_timestamp(self.clock.unix()).ok();
        let request = ListAgents { valid_at: now, fetch_selectors: true, ..ListAgents::default() };
        let (agents, _) = self.store.list_agents(&request).await?;
        let present: HashSet<String> = agents.iter().map(|agent| agent.spiffe_id.clone()).collect();
        let gone: Vec<String> = next
            .agents()
            .map(|agent| agent.agent.spiffe_id.clone())
            .filter(|id| !present.contains(id))
            .collect();
        self.put_agents(&mut next, &mut affected, &gone, agents);
        for change in &changes {
            affected.add_change(change, &self.snapshot, &next);
        }
        // Rows of other trust domains and rows that do not convert are not in the index.
        self.unreadable = self.store.count_entry_rows().await?.saturating_sub(next.entry_count() as u64);
        self.publish(next, &affected);
        self.cache.agents_as_of.store(agent_commits, Ordering::Release);
        (self.reload_wanted, self.loaded_at) = (false, self.clock.monotonic());
        self.pending_entries.clear();
        self.pending_agents.clear();
        Ok(())
    }

    /// Everything for an index that is empty.
    async fn load(&self) -> Result<Snapshot, DatastoreError> {
        let mut loaded = Loaded::new(&self.snapshot);
        self.for_each_entry(|entry| loaded.add(entry)).await?;
        Ok(self.snapshot.clone().with_entries(loaded))
    }

    /// Everything, and in what it differs from the index.
    async fn compare(&self) -> Result<(Snapshot, Vec<Change>), DatastoreError> {
        let mut next = self.snapshot.clone();
        let mut changes = Vec::new();
        let mut seen: HashSet<Key> = HashSet::new();
        self.for_each_entry(|entry| {
            changes.extend(next.put_entry(entry));
            seen.insert(next.keys.entry_id(&entry.id));
        })
        .await?;
        let gone: Vec<_> = next.entries().filter(|entry| !seen.contains(&entry.key)).cloned().collect();
        for entry in gone {
            changes.extend(next.remove_entry(entry.id()));
        }
        Ok((next, changes))
    }

    async fn for_each_entry(&self, mut act: impl FnMut(&Entry)) -> Result<(), DatastoreError> {
        let (mut pages, reader) = read_ahead(self.store.clone());
        while let Some(entries) = pages.recv().await {
            entries?.iter().for_each(&mut act);
        }
        // What a reader that died did not bring must not count as gone.
        if let Err(died) = reader.await
            && let Ok(panic) = died.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
        Ok(())
    }

    /// Agents leave the index when their SVID does (SA-246).
    fn expire_agents(&mut self) {
        let now = self.clock.unix();
        let mut next = None;
        let mut affected = Affected::default();
        while let Some((not_after, id)) =
            self.expiries.first().filter(|(not_after, _)| *not_after <= now).cloned()
        {
            self.expiries.pop_first();
            let next = next.get_or_insert_with(|| self.snapshot.clone());
            let renewed = id
                .parse()
                .ok()
                .and_then(|id: spire_types::SpiffeId| next.agent(next.keys.path(id.path())))
                .is_some_and(|agent| agent.agent.not_after > not_after);
            if !renewed && let Some(agent) = next.remove_agent(&id) {
                affected.add_agent(agent.path);
            }
        }
        if let Some(next) = next {
            self.publish(next, &affected);
        }
    }

    /// SA-247: twice per age limit.
    async fn prune_events(&mut self) {
        let now = self.clock.monotonic();
        let age = self.settings.prune_events_older_than;
        if now.saturating_sub(self.pruned_at) < age / 2 {
            return;
        }
        self.pruned_at = now;
        if let Err(error) = self.store.prune_entry_events(age).await {
            tracing::error!(subsystem_name = "endpoints", error = %error, "Failed to prune registration entries events");
        }
        if let Err(error) = self.store.prune_agent_events(age).await {
            tracing::error!(subsystem_name = "endpoints", error = %error, "Failed to prune attested node events");
        }
    }
}

type Page = Result<Vec<Entry>, DatastoreError>;

/// All entries, page by page: the next one is read while the last one is put in.
fn read_ahead(store: Datastore) -> (mpsc::Receiver<Page>, JoinHandle<()>) {
    let (pages, incoming) = mpsc::channel(1);
    let reader = tokio::spawn(async move {
        let mut after = Some(0);
        while let Some(from) = after {
            let page = store.load_entries(from, LOAD_PAGE).await.transpose();
            after = page.as_ref().and_then(|page| page.as_ref().ok()).map(|(_, last)| *last);
            let Some(page) = page else { return };
            if pages.send(page.map(|(entries, _)| entries)).await.is_err() {
                return;
            }
        }
    });
    (incoming, reader)
}

/// Both tables as they are now.
async fn feeds(
    store: &Datastore,
    now: Duration,
    timeout: Duration,
) -> Result<(EventFeed, EventFeed), DatastoreError> {
    let [entries, agents] = store.event_bounds().await?;
    let (entry_count, agent_count) = store.event_counts().await?;
    let holes = |(first, last): (u64, u64), count: u64| last != 0 && last - first + 1 != count;
    let entry_ids = match holes(entries, entry_count) {
        true => Some(ids(store.list_entry_events(EventRange::All).await?.iter().map(|event| event.event_id))),
        false => None,
    };
    let agent_ids = match holes(agents, agent_count) {
        true => Some(ids(store.list_agent_events(EventRange::All).await?.iter().map(|event| event.event_id))),
        false => None,
    };
    Ok((
        EventFeed::start(entries, entry_ids.as_deref(), now, timeout),
        EventFeed::start(agents, agent_ids.as_deref(), now, timeout),
    ))
}

fn ids(ids: impl Iterator<Item = u64>) -> Vec<u64> {
    ids.collect()
}
