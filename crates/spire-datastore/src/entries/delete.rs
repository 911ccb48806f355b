//! Deleting and pruning entries (SA-355, SA-356) and the cascade from join-token agents (SA-339).

use spire_types::UnixSeconds;

use super::load;
use super::row::EntryRow;
use crate::Result;
use crate::changes::Change;
use crate::error::DatastoreError;
use crate::sql::Query;
use crate::store::Datastore;
use crate::transaction::Tx;

/// Entries per statement.
const CHUNK: usize = 500;

impl Datastore {
    /// Removes an entry, readable or not, with everything that hangs on it.
    ///
    /// # Errors
    /// Not found if there is none.
    pub async fn delete_entry(&self, id: &str) -> Result<()> {
        let mut tx = self.begin_write().await?;
        let query = Query::new("SELECT id FROM registered_entries WHERE entry_id = ?").bind(id);
        let row_id = tx.first(query, |row| row.int(0)).await?;
        let row_id = row_id.ok_or_else(DatastoreError::record_not_found)?;
        delete_rows(&mut tx, &[(row_id, id.to_owned())]).await?;
        tx.commit().await
    }

    /// Removes every entry that expired before `before` and says so in the log, one line each. Returns how many.
    pub async fn prune_entries(&self, before: UnixSeconds) -> Result<usize> {
        let mut tx = self.begin_write().await?;
        let query = Query::new(
            "SELECT id, entry_id, spiffe_id, parent_id FROM registered_entries WHERE expiry <> 0 AND expiry < ?",
        );
        let expired = tx
            .all(query.bind(before), |row| {
                Ok((row.int(0)?, row.text(1)?.to_owned(), row.text(2)?.to_owned(), row.text(3)?.to_owned()))
            })
            .await?;
        if expired.is_empty() {
            return Ok(0);
        }
        let rows: Vec<_> = expired.iter().map(|(id, entry_id, ..)| (*id, entry_id.clone())).collect();
        delete_rows(&mut tx, &rows).await?;
        tx.commit().await?;
        for (_, entry_id, spiffe_id, parent_id) in &expired {
            tracing::info!(
                subsystem_name = "sql", spiffe_id = %spiffe_id, parent_id = %parent_id, entry_id = %entry_id,
                "Pruned an expired registration"
            );
        }
        Ok(expired.len())
    }
}

/// Removes entries by row id and entry id, with children and events.
pub(crate) async fn delete_rows(tx: &mut Tx, entries: &[(i64, String)]) -> Result<()> {
    for chunk in entries.chunks(CHUNK) {
        let mut query = Query::build();
        for (table, column) in [
            ("federated_registration_entries", "registered_entry_id"),
            ("registered_entries", "id"),
            ("selectors", "registered_entry_id"),
            ("dns_names", "registered_entry_id"),
        ] {
            query.push("DELETE FROM ").push(table).push(" WHERE ").push(column).push(" IN (");
            query.push_list(chunk.iter().map(|(id, _)| *id)).push(");");
        }
        query.push("INSERT INTO registered_entries_events (created_at, updated_at, entry_id)");
        query.push_rows(chunk.len(), 3);
        for (_, entry_id) in chunk {
            query.add(tx.stamp()).add(tx.stamp()).add(entry_id.as_str());
        }
        tx.defer(query).await?;
    }
    for (_, entry_id) in entries {
        tx.changed(Change::Entry(entry_id.as_str().into()));
    }
    Ok(())
}

/// Entries that a join token made for this agent: one selector, `spiffe_id` with the agent's own ID (SA-339).
pub(crate) async fn matching_join_token_aliases(tx: &mut Tx, agent_id: &str) -> Result<Vec<EntryRow>> {
    let mut query = load::select();
    query.push(" WHERE parent_id = ?").add(agent_id).push(
        " AND EXISTS (SELECT 1 FROM selectors s WHERE s.registered_entry_id = registered_entries.id \
         AND s.type = 'spiffe_id' AND s.value = registered_entries.parent_id) \
         AND (SELECT count(*) FROM selectors s WHERE s.registered_entry_id = registered_entries.id) = 1 ORDER BY id",
    );
    tx.all(query, EntryRow::read).await
}
