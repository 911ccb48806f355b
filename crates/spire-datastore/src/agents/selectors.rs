//! What is known about each agent (SA-341, SA-342).

use spire_types::Selector;
use time::OffsetDateTime;

use crate::Result;
use crate::sql::Query;
use crate::store::Datastore;
use crate::transaction::Tx;

/// Rows per statement.
const CHUNK: usize = 500;

/// Statements that remove rows. By id, because deleting by SPIFFE ID makes MySQL lock gaps and deadlock (SA-341).
pub(super) fn push_delete(query: &mut Query, rows: &[i64]) {
    for chunk in rows.chunks(CHUNK) {
        query.push("DELETE FROM node_resolver_map_entries WHERE id IN (");
        query.push_list(chunk.iter().copied()).push(");");
    }
}

pub(super) fn push_insert(query: &mut Query, tx: &Tx, spiffe_id: &str, selectors: &[Selector]) {
    for chunk in selectors.chunks(CHUNK) {
        query.push("INSERT INTO node_resolver_map_entries (created_at, updated_at, spiffe_id, type, value)");
        query.push_rows(chunk.len(), 5).push(";");
        for selector in chunk {
            query.add(tx.stamp()).add(tx.stamp()).add(spiffe_id).add(selector.kind()).add(selector.value());
        }
    }
}

impl Datastore {
    /// The selectors of an agent in the order they were written.
    pub async fn agent_selectors(&self, spiffe_id: &str) -> Result<Vec<Selector>> {
        let query =
            Query::new("SELECT type, value FROM node_resolver_map_entries WHERE spiffe_id = ? ORDER BY id");
        self.read_all(query.bind(spiffe_id), |row| Ok(Selector::unchecked(row.text(0)?, row.text(1)?))).await
    }

    /// Selectors of every agent, or of those that expire after `valid_at`; grouped by SPIFFE ID.
    pub async fn list_agent_selectors(
        &self,
        valid_at: Option<OffsetDateTime>,
    ) -> Result<Vec<(String, Vec<Selector>)>> {
        let mut tx = self.begin_read().await?;
        let mut query = Query::build();
        query.push("SELECT s.spiffe_id, s.type, s.value FROM node_resolver_map_entries s");
        if let Some(valid_at) = valid_at {
            let valid_at = tx.dialect().time(valid_at);
            query.push(" JOIN attested_node_entries n ON n.spiffe_id = s.spiffe_id WHERE n.expires_at > ?");
            query.add(valid_at);
        }
        query.push(" ORDER BY s.spiffe_id, s.id");
        let mut all: Vec<(String, Vec<Selector>)> = Vec::new();
        tx.each(query, |_, row| {
            let (id, selector) = (row.text(0)?, Selector::unchecked(row.text(1)?, row.text(2)?));
            match all.last_mut().filter(|(last, _)| last == id) {
                Some((_, selectors)) => selectors.push(selector),
                None => all.push((id.to_owned(), vec![selector])),
            }
            Ok(())
        })
        .await?;
        Ok(all)
    }
}
