//! What an attestation leaves behind (SA-055, SA-056).

use std::collections::{HashMap, HashSet};

use spire_types::AttestedAgent;

use super::{expiry, new_expiry, push_insert, selectors};
use crate::Result;
use crate::events::push_agent_event;
use crate::sql::Query;
use crate::store::Datastore;
use crate::transaction::Tx;

/// What became of an attested agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttestationOutcome {
    Stored,
    /// The agent is banned; nothing was written.
    Banned,
}

/// What was there before.
#[derive(Debug, Default)]
struct Known {
    /// Row and whether it is banned, by SPIFFE ID.
    agents: HashMap<String, (i64, bool)>,
    /// Row and SPIFFE ID.
    selectors: Vec<(i64, String)>,
}

impl Datastore {
    /// Stores an agent that has just attested: a new one, or all of a known one but its type and version. Its selectors take the
    /// place of all earlier ones, sorted and without repeats (SA-051).
    pub async fn record_attestation(&self, mut agent: AttestedAgent) -> Result<AttestationOutcome> {
        agent.selectors.sort();
        agent.selectors.dedup();
        self.groups().attestations.write(self, agent, record).await?
    }
}

async fn record(begun: Result<Tx>, agents: Vec<AttestedAgent>) -> Vec<Result<AttestationOutcome>> {
    match record_all(begun, &agents).await {
        Ok(banned) => {
            let outcome = |agent: &AttestedAgent| match banned.contains(&agent.spiffe_id) {
                true => AttestationOutcome::Banned,
                false => AttestationOutcome::Stored,
            };
            agents.iter().map(|agent| Ok(outcome(agent))).collect()
        }
        Err(error) => vec![Err(error); agents.len()],
    }
}

/// Returns who is banned.
async fn record_all(begun: Result<Tx>, agents: &[AttestedAgent]) -> Result<HashSet<String>> {
    let mut tx = begun?;
    let known = look_up(&mut tx, agents).await?;
    let is_banned = |id: &str| known.agents.get(id).is_some_and(|(_, banned)| *banned);
    // Of several attestations of one agent the last one counts.
    let last: HashMap<&str, &AttestedAgent> =
        agents.iter().map(|agent| (agent.spiffe_id.as_str(), agent)).collect();
    let mut query = Query::build();
    let outdated = known.selectors.iter().filter(|(_, id)| !is_banned(id)).map(|(row, _)| *row);
    selectors::push_delete(&mut query, &outdated.collect::<Vec<_>>());
    for (id, agent) in last.into_iter().filter(|(id, _)| !is_banned(id)) {
        selectors::push_insert(&mut query, &tx, id, &agent.selectors);
        match known.agents.get(id) {
            Some((row, _)) => push_update(&mut query, &tx, *row, agent),
            None => push_insert(&mut query, &tx, agent),
        }
        push_agent_event(&mut query, &mut tx, id);
    }
    if !query.text.is_empty() {
        tx.defer(query).await?;
    }
    tx.commit().await?;
    Ok(known.agents.into_iter().filter(|(_, (_, banned))| *banned).map(|(id, _)| id).collect())
}

async fn look_up(tx: &mut Tx, agents: &[AttestedAgent]) -> Result<Known> {
    let ids = || agents.iter().map(|agent| agent.spiffe_id.as_str());
    let for_update = tx.dialect().for_update();
    let mut query = Query::build();
    query.push("SELECT id, spiffe_id, serial_number FROM attested_node_entries WHERE spiffe_id IN (");
    query.push_list(ids()).push(")").push(for_update).push(";");
    query.push("SELECT id, spiffe_id FROM node_resolver_map_entries WHERE spiffe_id IN (");
    query.push_list(ids()).push(")");
    let mut known = Known::default();
    tx.each(query, |statement, row| {
        let (id, spiffe_id) = (row.int(0)?, row.text(1)?.to_owned());
        match statement {
            0 => drop(known.agents.insert(spiffe_id, (id, row.text(2)?.is_empty()))),
            _ => known.selectors.push((id, spiffe_id)),
        }
        Ok(())
    })
    .await?;
    Ok(known)
}

fn push_update(query: &mut Query, tx: &Tx, row: i64, agent: &AttestedAgent) {
    query.push(
        "UPDATE attested_node_entries SET updated_at = ?, serial_number = ?, expires_at = ?, new_serial_number = ?, \
         new_expires_at = ?, can_reattest = ? WHERE id = ?;",
    );
    query.add(tx.stamp()).add(agent.serial_number.as_str()).add(expiry(tx, agent.not_after));
    query.add(agent.new_serial_number.as_str()).add(new_expiry(tx, agent.new_not_after));
    query.add(agent.can_reattest).add(row);
}
