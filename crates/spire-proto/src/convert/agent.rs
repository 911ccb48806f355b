use spire_types::AttestedAgent;

use super::id::spiffe_id_to_wire;
use super::selector::selectors_to_wire;
use crate::types;
use crate::wire_error::ConvertError;

/// An agent as the Agent API shows it, cut to the mask; the id always stays.
///
/// # Errors
/// When the stored id does not parse; lists skip such rows (SA-038).
pub fn agent_to_wire(
    agent: &AttestedAgent,
    mask: Option<&types::AgentMask>,
) -> Result<types::Agent, ConvertError> {
    let wants = |pick: fn(&types::AgentMask) -> bool| mask.is_none_or(pick);
    let id = agent.spiffe_id.parse::<spire_types::SpiffeId>()?;
    let mut wire = types::Agent { id: Some(spiffe_id_to_wire(&id)), ..Default::default() };
    if wants(|m| m.attestation_type) {
        wire.attestation_type.clone_from(&agent.attestation_type);
    }
    if wants(|m| m.x509svid_serial_number) {
        wire.x509svid_serial_number.clone_from(&agent.serial_number);
    }
    if wants(|m| m.x509svid_expires_at) {
        wire.x509svid_expires_at = agent.not_after;
    }
    if wants(|m| m.selectors) {
        wire.selectors = selectors_to_wire(&agent.selectors);
    }
    if wants(|m| m.banned) {
        wire.banned = agent.is_banned();
    }
    if wants(|m| m.can_reattest) {
        wire.can_reattest = agent.can_reattest;
    }
    if wants(|m| m.agent_version) {
        wire.agent_version.clone_from(&agent.agent_version);
    }
    Ok(wire)
}
