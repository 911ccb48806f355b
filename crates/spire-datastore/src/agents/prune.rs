//! Removing agents: expired ones, and what goes with any of them (SA-338..340).

use spire_types::AttestedAgent;
use time::OffsetDateTime;

use super::{read, select};
use crate::Result;
use crate::entries::{delete_rows, matching_join_token_aliases};
use crate::events::agent_event;
use crate::sql::Query;
use crate::store::Datastore;
use crate::transaction::Tx;

/// What upstream takes when no batch size is given.
const DEFAULT_BATCH: u32 = 1000;

/// What one prune run removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PrunedAgents {
    pub agents: usize,
}

/// An entry that went with its join-token agent.
pub(super) struct Cascaded {
    spiffe_id: String,
    parent_id: String,
    entry_id: String,
}

impl Datastore {
    /// Removes at most `batch` (0: 1000) agents that expired before `before` and are not banned; those that cannot
    /// attest again only if `include_non_reattestable`.
    pub async fn prune_agents(
        &self,
        before: OffsetDateTime,
        include_non_reattestable: bool,
        batch: u32,
    ) -> Result<PrunedAgents> {
        let mut tx = self.begin_write().await?;
        let mut query = select();
        query.push(" WHERE expires_at < ? AND serial_number <> ''").add(tx.dialect().time(before));
        if !include_non_reattestable {
            query.push(" AND can_reattest = true");
        }
        query.push(" LIMIT ?").add(if batch == 0 { DEFAULT_BATCH } else { batch });
        let expired = tx.all(query, read).await?;
        let mut cascaded = Vec::new();
        for (_, agent) in &expired {
            cascaded.extend(delete(&mut tx, agent).await?);
            agent_event(&mut tx, &agent.spiffe_id).await?;
        }
        tx.commit().await?;
        log_cascade(&cascaded);
        tracing::info!(subsystem_name = "sql", count = expired.len(), "Pruned expired agents");
        Ok(PrunedAgents { agents: expired.len() })
    }
}

/// Everything but the agent's own event.
pub(super) async fn delete(tx: &mut Tx, agent: &AttestedAgent) -> Result<Vec<Cascaded>> {
    let mut cascaded = Vec::new();
    if agent.attestation_type == "join_token" {
        let aliases = matching_join_token_aliases(tx, &agent.spiffe_id).await?;
        let rows: Vec<_> = aliases.iter().map(|row| (row.row_id, row.entry.id.clone())).collect();
        delete_rows(tx, &rows).await?;
        cascaded.extend(aliases.into_iter().map(|row| Cascaded {
            spiffe_id: row.entry.spiffe_id,
            parent_id: row.entry.parent_id,
            entry_id: row.entry.id,
        }));
    }
    let query = Query::new(
        "DELETE FROM node_resolver_map_entries WHERE spiffe_id = ?; DELETE FROM attested_node_entries WHERE spiffe_id = ?",
    );
    tx.execute(query.bind(agent.spiffe_id.as_str()).bind(agent.spiffe_id.as_str())).await?;
    Ok(cascaded)
}

/// One line per entry, once it is certain.
pub(super) fn log_cascade(cascaded: &[Cascaded]) {
    for entry in cascaded {
        tracing::info!(
            subsystem_name = "sql", spiffe_id = %entry.spiffe_id, parent_id = %entry.parent_id,
            entry_id = %entry.entry_id, "Cascade-deleted registration entry on attested node deletion"
        );
    }
}
