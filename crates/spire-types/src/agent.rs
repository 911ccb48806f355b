use crate::{Selector, UnixSeconds};

/// A node that has attested. The id is kept as text because rows of old
/// releases may hold ids that no longer parse (SA-038, SA-041).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttestedAgent {
    pub spiffe_id: String,
    pub attestation_type: String,
    /// Decimal; empty means banned (SA-036).
    pub serial_number: String,
    pub not_after: UnixSeconds,
    /// The SVID that a renewal handed out and the agent has not used yet (SA-060).
    pub new_serial_number: String,
    /// 0 when there is none.
    pub new_not_after: UnixSeconds,
    pub can_reattest: bool,
    pub agent_version: String,
    /// Only filled when asked for.
    pub selectors: Vec<Selector>,
}

impl AttestedAgent {
    pub fn is_banned(&self) -> bool {
        self.serial_number.is_empty()
    }
}

/// Which fields of an [`AttestedAgent`] an update writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AgentMask {
    pub serial_number: bool,
    pub not_after: bool,
    pub new_serial_number: bool,
    pub new_not_after: bool,
    pub can_reattest: bool,
    pub agent_version: bool,
}

impl AgentMask {
    /// All but the attestation type, which never changes (SA-337).
    pub const ALL: Self = Self {
        serial_number: true,
        not_after: true,
        new_serial_number: true,
        new_not_after: true,
        can_reattest: true,
        agent_version: true,
    };
}
