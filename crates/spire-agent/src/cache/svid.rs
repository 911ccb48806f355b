use std::sync::Arc;

use bytes::Bytes;
use spire_crypto::PrivateKey;
use spire_crypto::x509::{Certificate, X509Error};
use time::OffsetDateTime;

use super::AgentEntry;
use crate::identity::RotationPolicy;

/// An X509-SVID of a workload, with the entry as it was when it was signed: ID and certificate always fit.
#[derive(Debug)]
pub struct WorkloadSvid {
    pub entry: Arc<AgentEntry>,
    /// Leaf first.
    pub chain: Vec<Certificate>,
    /// The same, DER, one after the other.
    pub chain_der: Bytes,
    /// PKCS#8; wiped when the last user is gone.
    pub key_der: Bytes,
    pub renew_at: OffsetDateTime,
    pub not_after: OffsetDateTime,
}

impl WorkloadSvid {
    /// `chain` is not empty.
    pub fn new(
        entry: Arc<AgentEntry>,
        chain: Vec<Certificate>,
        key: &PrivateKey,
        policy: &RotationPolicy,
    ) -> Result<Self, X509Error> {
        let leaf = chain.first().ok_or_else(|| X509Error::Malformed("empty certificate chain".to_owned()))?;
        let (renew_at, not_after) = (policy.renew_at(leaf), leaf.not_after());
        let der: Vec<u8> = chain.iter().flat_map(|certificate| certificate.der().iter().copied()).collect();
        let key_der = Bytes::from_owner(key.to_pkcs8()?);
        Ok(Self { entry, chain, chain_der: der.into(), key_der, renew_at, not_after })
    }
}
