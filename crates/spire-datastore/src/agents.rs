//! Attested agents and their selectors (SA-336..343).

mod attested;
mod list;
mod prune;
mod selectors;

use spire_types::{AgentMask, AttestedAgent, MatchBehavior, Page, Selector};
use time::OffsetDateTime;

pub use attested::AttestationOutcome;
pub use prune::PrunedAgents;

use crate::error::DatastoreError;
use crate::events::{agent_event, push_agent_event};
use crate::sql::{Query, Row, Value};
use crate::store::Datastore;
use crate::transaction::Tx;
use crate::{Result, time_text};

/// Which agents a list or count is about. All given conditions must hold (SA-343).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListAgents {
    pub by_expires_before: Option<OffsetDateTime>,
    /// Not expired at that time.
    pub valid_at: Option<OffsetDateTime>,
    pub by_attestation_type: Option<String>,
    pub by_banned: Option<bool>,
    pub by_can_reattest: Option<bool>,
    pub by_selectors: Option<(Vec<Selector>, MatchBehavior)>,
    /// Without this, `selectors` of what is returned stays empty.
    pub fetch_selectors: bool,
    pub page: Option<Page>,
}

const COLUMNS: &str = "id, spiffe_id, data_type, serial_number, expires_at, new_serial_number, new_expires_at, can_reattest, agent_version";

fn select() -> Query {
    let mut query = Query::build();
    query.push("SELECT ").push(COLUMNS).push(" FROM attested_node_entries");
    query
}

/// The row id and the agent, without selectors.
fn read(row: Row<'_>) -> Result<(i64, AttestedAgent)> {
    let agent = AttestedAgent {
        spiffe_id: row.text(1)?.to_owned(),
        attestation_type: row.text(2)?.to_owned(),
        serial_number: row.text(3)?.to_owned(),
        not_after: row.unix(4)?,
        new_serial_number: row.text(5)?.to_owned(),
        new_not_after: row.unix(6)?,
        can_reattest: row.bool(7)?,
        agent_version: row.text(8)?.to_owned(),
        selectors: Vec::new(),
    };
    Ok((row.int(0)?, agent))
}

fn push_insert(query: &mut Query, tx: &Tx, agent: &AttestedAgent) {
    query.push(
        "INSERT INTO attested_node_entries (created_at, updated_at, spiffe_id, data_type, serial_number, \
         expires_at, new_serial_number, new_expires_at, can_reattest, agent_version)",
    );
    query.push_rows(1, 10);
    query.add(tx.stamp()).add(tx.stamp()).add(agent.spiffe_id.as_str()).add(agent.attestation_type.as_str());
    query.add(agent.serial_number.as_str()).add(expiry(tx, agent.not_after));
    query.add(agent.new_serial_number.as_str()).add(new_expiry(tx, agent.new_not_after));
    query.add(agent.can_reattest).add(agent.agent_version.as_str()).push(";");
}

impl Datastore {
    /// The agent, if there is one; selectors are not read.
    pub async fn fetch_agent(&self, spiffe_id: &str) -> Result<Option<AttestedAgent>> {
        let mut query = select();
        query.push(" WHERE spiffe_id = ?").add(spiffe_id);
        Ok(self.read_one(query, read).await?.map(|(_, agent)| agent))
    }

    /// Overwrites the masked fields and returns the agent as it is now.
    ///
    /// # Errors
    /// Not found.
    pub async fn update_agent(
        &self,
        spiffe_id: &str,
        values: &AttestedAgent,
        mask: &AgentMask,
    ) -> Result<AttestedAgent> {
        let mut tx = self.begin_write().await?;
        let (row_id, mut agent) = fetch_for_update(&mut tx, spiffe_id).await?;
        let mut query = Query::build();
        query.push("UPDATE attested_node_entries SET updated_at = ?").add(tx.stamp());
        if mask.serial_number {
            agent.serial_number.clone_from(&values.serial_number);
            query.push(", serial_number = ?").add(values.serial_number.as_str());
        }
        if mask.not_after {
            agent.not_after = values.not_after;
            query.push(", expires_at = ?").add(expiry(&tx, values.not_after));
        }
        if mask.new_serial_number {
            agent.new_serial_number.clone_from(&values.new_serial_number);
            query.push(", new_serial_number = ?").add(values.new_serial_number.as_str());
        }
        if mask.new_not_after {
            agent.new_not_after = values.new_not_after;
            query.push(", new_expires_at = ?").add(new_expiry(&tx, values.new_not_after));
        }
        if mask.can_reattest {
            agent.can_reattest = values.can_reattest;
            query.push(", can_reattest = ?").add(values.can_reattest);
        }
        if mask.agent_version {
            agent.agent_version.clone_from(&values.agent_version);
            query.push(", agent_version = ?").add(values.agent_version.as_str());
        }
        query.push(" WHERE id = ?;").add(row_id);
        push_agent_event(&mut query, &mut tx, spiffe_id);
        tx.defer(query).await?;
        tx.commit().await?;
        Ok(agent)
    }

    /// Removes the agent, its selectors and what its join token made (SA-338, SA-339). Returns what it was.
    ///
    /// # Errors
    /// Not found.
    pub async fn delete_agent(&self, spiffe_id: &str) -> Result<AttestedAgent> {
        let mut tx = self.begin_write().await?;
        let (_, agent) = fetch_for_update(&mut tx, spiffe_id).await?;
        let cascaded = prune::delete(&mut tx, &agent).await?;
        agent_event(&mut tx, spiffe_id).await?;
        tx.commit().await?;
        prune::log_cascade(&cascaded);
        Ok(agent)
    }

    /// The stored SPIFFE ID of the first agent by row, as it is: for the trust-domain check at start (SA-375).
    pub async fn first_agent_spiffe_id(&self) -> Result<Option<String>> {
        let query = Query::new("SELECT spiffe_id FROM attested_node_entries ORDER BY id LIMIT 1");
        self.read_one(query, |row| Ok(row.text(0)?.to_owned())).await
    }
}

async fn fetch_for_update(tx: &mut Tx, spiffe_id: &str) -> Result<(i64, AttestedAgent)> {
    let for_update = tx.dialect().for_update();
    let mut query = select();
    query.push(" WHERE spiffe_id = ?").add(spiffe_id).push(for_update);
    tx.first(query, read).await?.ok_or_else(DatastoreError::record_not_found)
}

fn expiry(tx: &Tx, not_after: i64) -> Value {
    tx.dialect().time(time_text::from_unix(not_after))
}

/// No pending SVID is NULL (SA-337).
fn new_expiry(tx: &Tx, not_after: i64) -> Value {
    match not_after {
        0 => Value::Null,
        seconds => expiry(tx, seconds),
    }
}
