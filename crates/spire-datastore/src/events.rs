//! Event rows: "this key changed" (SA-240, SA-368..370).

use std::time::Duration;

use crate::Result;
use crate::changes::Change;
use crate::error::DatastoreError;
use crate::sql::Query;
use crate::store::Datastore;
use crate::transaction::Tx;

/// A registration entry was created, changed or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryEvent {
    pub event_id: u64,
    pub entry_id: String,
}

/// An agent or its selectors were created, changed or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentEvent {
    pub event_id: u64,
    pub spiffe_id: String,
}

/// Which events to list; always in the order of their ids (SA-369).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventRange {
    All,
    After(u64),
    Before(u64),
}

#[derive(Clone, Copy)]
enum Table {
    Entries,
    Agents,
}

impl Table {
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Entries => ("registered_entries_events", "entry_id"),
            Self::Agents => ("attested_node_entries_events", "spiffe_id"),
        }
    }
}

impl Datastore {
    pub async fn list_entry_events(&self, range: EventRange) -> Result<Vec<EntryEvent>> {
        let rows = self.events(Table::Entries, range).await?;
        Ok(rows.into_iter().map(|(event_id, entry_id)| EntryEvent { event_id, entry_id }).collect())
    }

    pub async fn list_agent_events(&self, range: EventRange) -> Result<Vec<AgentEvent>> {
        let rows = self.events(Table::Agents, range).await?;
        Ok(rows.into_iter().map(|(event_id, spiffe_id)| AgentEvent { event_id, spiffe_id }).collect())
    }

    /// Those of the given events that exist, for closing gaps (SA-242).
    pub async fn fetch_entry_events(&self, ids: &[u64]) -> Result<Vec<EntryEvent>> {
        let rows = self.events_by_id(Table::Entries, ids).await?;
        Ok(rows.into_iter().map(|(event_id, entry_id)| EntryEvent { event_id, entry_id }).collect())
    }

    /// Those of the given events that exist, for closing gaps (SA-242).
    pub async fn fetch_agent_events(&self, ids: &[u64]) -> Result<Vec<AgentEvent>> {
        let rows = self.events_by_id(Table::Agents, ids).await?;
        Ok(rows.into_iter().map(|(event_id, spiffe_id)| AgentEvent { event_id, spiffe_id }).collect())
    }

    /// First and last event id of entries, then of agents; zeros for an empty table. One cheap question that tells
    /// whether any server changed anything.
    pub async fn event_bounds(&self) -> Result<[(u64, u64); 2]> {
        let query = Query::new(
            "SELECT (SELECT min(id) FROM registered_entries_events), (SELECT max(id) FROM registered_entries_events), \
             (SELECT min(id) FROM attested_node_entries_events), (SELECT max(id) FROM attested_node_entries_events)",
        );
        let read = |row: crate::sql::Row<'_>| {
            let id = |column| Ok::<_, DatastoreError>(u64::try_from(row.int(column)?).unwrap_or(0));
            Ok([(id(0)?, id(1)?), (id(2)?, id(3)?)])
        };
        Ok(self.read_one(query, read).await?.unwrap_or_default())
    }

    /// How many events of entries and of agents there are; with [`Datastore::event_bounds`] it tells of gaps.
    pub async fn event_counts(&self) -> Result<(u64, u64)> {
        let query = Query::new(
            "SELECT (SELECT count(*) FROM registered_entries_events), (SELECT count(*) FROM attested_node_entries_events)",
        );
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        let counts = self.read_one(query, |row| Ok((count(row.int(0)?), count(row.int(1)?)))).await?;
        Ok(counts.unwrap_or_default())
    }

    /// Removes events written longer ago than `older_than`, by the writers' clocks.
    pub async fn prune_entry_events(&self, older_than: Duration) -> Result<u64> {
        self.prune_events(Table::Entries, older_than).await
    }

    /// Removes events written longer ago than `older_than`, by the writers' clocks.
    pub async fn prune_agent_events(&self, older_than: Duration) -> Result<u64> {
        self.prune_events(Table::Agents, older_than).await
    }

    async fn events(&self, table: Table, range: EventRange) -> Result<Vec<(u64, String)>> {
        let (table, key) = table.names();
        let mut query = Query::build();
        query.push("SELECT id, ").push(key).push(" FROM ").push(table);
        let signed = |id: u64| i64::try_from(id).unwrap_or(i64::MAX);
        match range {
            EventRange::All => {}
            EventRange::After(id) => drop(query.push(" WHERE id > ?").add(signed(id))),
            EventRange::Before(id) => drop(query.push(" WHERE id < ?").add(signed(id))),
        }
        query.push(" ORDER BY id");
        self.read_all(query, |row| Ok((u64::try_from(row.int(0)?).unwrap_or(0), row.text(1)?.to_owned())))
            .await
    }

    async fn events_by_id(&self, table: Table, ids: &[u64]) -> Result<Vec<(u64, String)>> {
        let (table, key) = table.names();
        let mut tx = self.begin_read().await?;
        let mut found = Vec::new();
        for chunk in ids.chunks(500) {
            let mut query = Query::build();
            query.push("SELECT id, ").push(key).push(" FROM ").push(table).push(" WHERE id IN (");
            query
                .push_list(chunk.iter().map(|id| i64::try_from(*id).unwrap_or(i64::MAX)))
                .push(") ORDER BY id");
            let rows =
                tx.all(query, |row| Ok((u64::try_from(row.int(0)?).unwrap_or(0), row.text(1)?.to_owned())));
            found.extend(rows.await?);
        }
        Ok(found)
    }

    async fn prune_events(&self, table: Table, older_than: Duration) -> Result<u64> {
        let (table, _) = table.names();
        let mut tx = self.begin_write().await?;
        let before = tx.dialect().time(tx.time() - older_than);
        let mut query = Query::build();
        query.push("DELETE FROM ").push(table).push(" WHERE created_at < ?").add(before);
        let pruned = tx.execute(query).await?;
        tx.commit().await?;
        Ok(pruned)
    }
}

/// Writes the event of an agent and notes the change.
pub(crate) async fn agent_event(tx: &mut Tx, spiffe_id: &str) -> Result<()> {
    let mut query = Query::build();
    push_agent_event(&mut query, tx, spiffe_id);
    tx.defer(query).await
}

/// The same as a statement of a longer query.
pub(crate) fn push_agent_event(query: &mut Query, tx: &mut Tx, spiffe_id: &str) {
    query
        .push("INSERT INTO attested_node_entries_events (created_at, updated_at, spiffe_id)")
        .push_rows(1, 3);
    query.add(tx.stamp()).add(tx.stamp()).add(spiffe_id).push(";");
    tx.changed(Change::Agent(spiffe_id.into()));
}
