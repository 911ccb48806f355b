//! CA journals, one row per server (SA-364..367, CA-043).

use crate::Result;
use crate::blob::JournalBlob;
use crate::error::{Code, DatastoreError};
use crate::sql::{Query, Row};
use crate::store::Datastore;

/// One server's journal. Decode `data` with [`JournalBlob`], which keeps fields of newer versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaJournal {
    /// Row id; 0 for one that is not stored yet.
    pub id: u64,
    pub data: Vec<u8>,
    /// Lower-case hex subject key id of the active X.509 authority.
    pub active_x509_authority_id: String,
}

impl Datastore {
    /// Stores a new journal (id 0) or overwrites the one with that id; returns it with its id.
    ///
    /// # Errors
    /// Not found if the row was pruned meanwhile.
    pub async fn set_ca_journal(&self, journal: &CaJournal) -> Result<CaJournal> {
        let mut tx = self.begin_write().await?;
        let id = match journal.id {
            0 => {
                let mut query = Query::build();
                query.push(
                    "INSERT INTO ca_journals (created_at, updated_at, data, active_x509_authority_id, active_jwt_authority_id)",
                );
                query.push_rows(1, 5).push(" RETURNING id");
                query.add(tx.stamp()).add(tx.stamp()).add(journal.data.clone());
                query.add(journal.active_x509_authority_id.as_str()).add("");
                let id = tx.first(query, |row| row.int(0)).await?;
                id.and_then(|id| u64::try_from(id).ok()).ok_or_else(DatastoreError::record_not_found)?
            }
            id => {
                let query = Query::new(
                    "UPDATE ca_journals SET updated_at = ?, data = ?, active_x509_authority_id = ? WHERE id = ?",
                );
                let query = query.bind(tx.stamp()).bind(journal.data.clone());
                let query = query.bind(journal.active_x509_authority_id.as_str()).bind(signed(id));
                if tx.execute(query).await? == 0 {
                    return Err(DatastoreError::record_not_found());
                }
                id
            }
        };
        tx.commit().await?;
        Ok(CaJournal { id, ..journal.clone() })
    }

    /// The journal whose active X.509 authority is that one; the last of several.
    ///
    /// # Errors
    /// `active X509 authority ID is required` for an empty id.
    pub async fn fetch_ca_journal(&self, active_x509_authority_id: &str) -> Result<Option<CaJournal>> {
        if active_x509_authority_id.is_empty() {
            return Err(DatastoreError::status(
                Code::InvalidArgument,
                "active X509 authority ID is required",
            ));
        }
        let query = Query::new(
            "SELECT id, data, active_x509_authority_id FROM ca_journals WHERE active_x509_authority_id = ? ORDER BY id DESC LIMIT 1",
        );
        self.read_one(query.bind(active_x509_authority_id), read).await
    }

    /// Every server's journal.
    pub async fn list_ca_journals(&self) -> Result<Vec<CaJournal>> {
        let query = Query::new("SELECT id, data, active_x509_authority_id FROM ca_journals ORDER BY id");
        self.read_all(query, read).await
    }

    /// Removes journals in which no X.509 authority and no JWT key is valid after `before`; returns how many.
    ///
    /// # Errors
    /// One row that does not decode fails all of it (SA-367).
    pub async fn prune_ca_journals(&self, before: spire_types::UnixSeconds) -> Result<usize> {
        let mut tx = self.begin_write().await?;
        let query = Query::new("SELECT id, data, active_x509_authority_id FROM ca_journals ORDER BY id");
        let mut stale = Vec::new();
        for journal in tx.all(query, read).await? {
            let entries = JournalBlob::decode(&journal.data).map_err(|error| {
                DatastoreError::status(
                    Code::Internal,
                    format!("unable to unmarshal entries from CA journal record: {error}"),
                )
            })?;
            let alive = entries.x509_cas.iter().any(|item| item.value.not_after > before)
                || entries.jwt_keys.iter().any(|item| item.value.not_after > before);
            if !alive {
                tx.execute(Query::new("DELETE FROM ca_journals WHERE id = ?").bind(signed(journal.id)))
                    .await?;
                stale.push(journal.id);
            }
        }
        tx.commit().await?;
        for id in &stale {
            tracing::info!(subsystem_name = "sql", ca_journal_id = id, "Pruned stale CA journal record");
        }
        Ok(stale.len())
    }
}

fn read(row: Row<'_>) -> Result<CaJournal> {
    Ok(CaJournal {
        id: u64::try_from(row.int(0)?).unwrap_or(0),
        data: row.bytes(1)?.unwrap_or_default().to_vec(),
        active_x509_authority_id: row.text(2)?.to_owned(),
    })
}

fn signed(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}
