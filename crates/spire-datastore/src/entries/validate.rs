//! What an entry must look like to be written (SA-345, SA-353, SA-354).

use spire_types::{Entry, EntryMask, Selector};

use crate::Result;
use crate::error::DatastoreError;

const MAX_ENTRY_ID: usize = 255;

pub(super) fn for_create(entry: &Entry) -> Result<()> {
    let invalid = |what: &str| Err(DatastoreError::validation(format!("invalid registration entry: {what}")));
    if entry.selectors.is_empty() {
        return invalid("missing selector list");
    }
    if entry.store_svid {
        if entry.additional_attributes.is_some_and(|attributes| attributes.disable_x509_svid_prefetch) {
            return Err(DatastoreError::validation(
                "specifying cache behaviour is incompatible with storable SVIDs",
            ));
        }
        same_selector_type(&entry.selectors)?;
    }
    if entry.id.len() > MAX_ENTRY_ID {
        return invalid("entry ID too long");
    }
    if !entry.id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        return invalid("entry ID contains invalid characters");
    }
    ttls(entry, true, true)
}

pub(super) fn for_update(entry: &Entry, mask: &EntryMask) -> Result<()> {
    if mask.selectors && entry.selectors.is_empty() {
        return Err(DatastoreError::validation("invalid registration entry: missing selector list"));
    }
    ttls(entry, mask.x509_svid_ttl, mask.jwt_svid_ttl)
}

/// Storable SVIDs go to one kind of platform.
pub(super) fn same_selector_type(selectors: &[Selector]) -> Result<()> {
    let mut kinds = selectors.iter().map(Selector::kind);
    let first = kinds.next();
    if kinds.all(|kind| Some(kind) == first) {
        return Ok(());
    }
    Err(DatastoreError::validation(
        "invalid registration entry: selector types must be the same when store SVID is enabled",
    ))
}

fn ttls(entry: &Entry, x509: bool, jwt: bool) -> Result<()> {
    if x509 && entry.x509_svid_ttl < 0 {
        return Err(DatastoreError::validation("invalid registration entry: X509SvidTtl is not set"));
    }
    if jwt && entry.jwt_svid_ttl < 0 {
        return Err(DatastoreError::validation("invalid registration entry: JwtSvidTtl is not set"));
    }
    Ok(())
}
