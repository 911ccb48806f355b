use std::sync::Arc;

use crate::{SpiffeId, UnixSeconds};

/// An issued X509-SVID without its key, as the server hands it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct X509Svid {
    pub id: SpiffeId,
    /// DER, leaf first, then intermediates.
    pub cert_chain: Vec<Arc<[u8]>>,
    pub expires_at: UnixSeconds,
    pub hint: String,
}

/// An issued JWT-SVID.
#[derive(Clone, PartialEq, Eq)]
pub struct JwtSvid {
    pub id: SpiffeId,
    pub token: Arc<str>,
    pub issued_at: UnixSeconds,
    pub expires_at: UnixSeconds,
    pub hint: String,
}

impl std::fmt::Debug for JwtSvid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwtSvid")
            .field("id", &self.id)
            .field("issued_at", &self.issued_at)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
