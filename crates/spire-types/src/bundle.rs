use std::sync::Arc;

use crate::{TrustDomain, UnixSeconds};

/// The public keys of a trust domain (SPIFFE Trust Domain and Bundle, section 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    pub trust_domain: TrustDomain,
    pub x509_authorities: Vec<X509Authority>,
    pub jwt_authorities: Vec<JwtAuthority>,
    pub wit_authorities: Vec<WitAuthority>,
    /// Seconds; 0 is unset.
    pub refresh_hint: i64,
    pub sequence_number: u64,
}

/// One X.509 root: DER, possibly several certificates in a row (SA-031).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct X509Authority {
    pub der: Arc<[u8]>,
    pub tainted: bool,
}

/// One JWT signing key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JwtAuthority {
    pub key_id: String,
    /// PKIX DER.
    pub public_key: Arc<[u8]>,
    /// 0 is unknown.
    pub expires_at: UnixSeconds,
    pub tainted: bool,
}

/// One WIT signing key; carried, never issued by this version.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WitAuthority {
    pub key_id: String,
    /// PKIX DER.
    pub public_key: Arc<[u8]>,
    pub expires_at: UnixSeconds,
    pub tainted: bool,
}

impl Bundle {
    pub fn empty(trust_domain: TrustDomain) -> Self {
        Self {
            trust_domain,
            x509_authorities: Vec::new(),
            jwt_authorities: Vec::new(),
            wit_authorities: Vec::new(),
            refresh_hint: 0,
            sequence_number: 0,
        }
    }
}

/// Which fields of a [`Bundle`] are meant; the trust domain always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BundleMask {
    pub x509_authorities: bool,
    pub jwt_authorities: bool,
    pub wit_authorities: bool,
    pub refresh_hint: bool,
    pub sequence_number: bool,
}

impl BundleMask {
    pub const ALL: Self = Self {
        x509_authorities: true,
        jwt_authorities: true,
        wit_authorities: true,
        refresh_hint: true,
        sequence_number: true,
    };
}
