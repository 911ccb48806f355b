//! What the access layer knows of agents, without asking the database each
//! time (SA-172 to SA-174).
//!
//! The entry index keeps the rows of agents and knows whether this server
//! changed any since it read them; then, and for a serial number that is not
//! the current one, the database is asked. Writes of other servers are seen
//! within the reload interval.

use std::sync::Arc;

use spire_datastore::Datastore;
use spire_proto::types::permission_denied_details::Reason;
use spire_types::{AgentMask, AttestedAgent, SpiffeId};

use crate::entries::EntryCache;
use crate::status::ApiError;

/// Judges the serial numbers of agents.
#[derive(Debug)]
pub struct AgentDirectory {
    datastore: Datastore,
    entries: Arc<EntryCache>,
}

impl AgentDirectory {
    pub fn new(datastore: Datastore, entries: Arc<EntryCache>) -> Self {
        Self { datastore, entries }
    }

    /// Whether this serial number is the agent's; the first use of a renewed
    /// SVID makes it the current one (SA-174).
    pub async fn check(&self, id: &SpiffeId, serial: &str) -> Result<Result<(), Reason>, ApiError> {
        let known = self.entries.fresh_agent(id);
        if known.is_some_and(|agent| !serial.is_empty() && agent.agent.serial_number == serial) {
            return Ok(Ok(()));
        }
        let fetched = self.datastore.fetch_agent(&id.to_string()).await;
        let fetched =
            fetched.map_err(|error| ApiError::internal("unable to look up agent information", error))?;
        let Some(agent) = fetched else { return Ok(Err(Reason::AgentNotAttested)) };
        if agent.is_banned() {
            return Ok(Err(Reason::AgentBanned));
        }
        if agent.serial_number == serial {
            return Ok(Ok(()));
        }
        if agent.new_serial_number == serial && !serial.is_empty() {
            self.activate(&agent).await?;
            return Ok(Ok(()));
        }
        Ok(Err(Reason::AgentNotActive))
    }

    async fn activate(&self, agent: &AttestedAgent) -> Result<(), ApiError> {
        let values = AttestedAgent {
            serial_number: agent.new_serial_number.clone(),
            not_after: agent.new_not_after,
            new_serial_number: String::new(),
            new_not_after: 0,
            ..agent.clone()
        };
        let mask = AgentMask {
            serial_number: true,
            not_after: true,
            new_serial_number: true,
            new_not_after: true,
            ..AgentMask::default()
        };
        let updated = self.datastore.update_agent(&agent.spiffe_id, &values, &mask).await;
        updated.map(drop).map_err(|error| ApiError::internal("unable to activate the new agent SVID", error))
    }
}
