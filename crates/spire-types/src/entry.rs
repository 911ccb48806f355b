use crate::{Selector, SpiffeId, TrustDomain, UnixSeconds};

/// The id of a registration entry: a UUID, or what its creator chose (SA-345).
pub type EntryId = String;

/// A registration entry: which workload, below which parent, gets which SPIFFE ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Empty until stored.
    pub id: EntryId,
    pub spiffe_id: SpiffeId,
    pub parent_id: SpiffeId,
    pub selectors: Vec<Selector>,
    /// Seconds; 0 is the server's default.
    pub x509_svid_ttl: i32,
    /// Seconds; 0 is the server's default.
    pub jwt_svid_ttl: i32,
    pub federates_with: Vec<TrustDomain>,
    pub admin: bool,
    pub downstream: bool,
    /// 0 is never.
    pub expires_at: UnixSeconds,
    /// The first becomes the common name.
    pub dns_names: Vec<String>,
    pub revision_number: i64,
    pub store_svid: bool,
    pub hint: String,
    pub created_at: UnixSeconds,
    /// Absent when never set or all default (SA-083).
    pub additional_attributes: Option<AdditionalAttributes>,
}

impl Entry {
    /// An entry that is not stored yet; all else is as by default.
    pub fn new(spiffe_id: SpiffeId, parent_id: SpiffeId, selectors: Vec<Selector>) -> Self {
        Self {
            id: EntryId::new(),
            spiffe_id,
            parent_id,
            selectors,
            x509_svid_ttl: 0,
            jwt_svid_ttl: 0,
            federates_with: Vec::new(),
            admin: false,
            downstream: false,
            expires_at: 0,
            dns_names: Vec::new(),
            revision_number: 0,
            store_svid: false,
            hint: String::new(),
            created_at: 0,
            additional_attributes: None,
        }
    }
}

/// Rarely used switches of an entry (SA-304).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AdditionalAttributes {
    pub disable_x509_svid_prefetch: bool,
    pub jwt_svid_include_jti: bool,
}

/// Which fields of an [`Entry`] are meant; the id always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryMask {
    pub spiffe_id: bool,
    pub parent_id: bool,
    pub selectors: bool,
    pub x509_svid_ttl: bool,
    pub jwt_svid_ttl: bool,
    pub federates_with: bool,
    pub admin: bool,
    pub downstream: bool,
    pub expires_at: bool,
    pub dns_names: bool,
    pub revision_number: bool,
    pub store_svid: bool,
    pub hint: bool,
    pub created_at: bool,
    pub additional_attributes: bool,
}

impl EntryMask {
    pub const ALL: Self = Self {
        spiffe_id: true,
        parent_id: true,
        selectors: true,
        x509_svid_ttl: true,
        jwt_svid_ttl: true,
        federates_with: true,
        admin: true,
        downstream: true,
        expires_at: true,
        dns_names: true,
        revision_number: true,
        store_svid: true,
        hint: true,
        created_at: true,
        additional_attributes: true,
    };
}
