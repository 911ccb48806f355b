/// X.509: lower-case hex of the CA's subject key id; JWT: the key id (CA-022).
pub type AuthorityId = String;

/// What a CA slot holds (CA-018).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SlotStatus {
    #[default]
    Unknown,
    Prepared,
    Active,
    Old,
}

impl SlotStatus {
    /// The name in messages and in the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Prepared => "PREPARED",
            Self::Active => "ACTIVE",
            Self::Old => "OLD",
        }
    }
}
