use crate::UnixSeconds;

/// A one-time secret that lets one node attest.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    pub token: String,
    pub expires_at: UnixSeconds,
}

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinToken").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}
