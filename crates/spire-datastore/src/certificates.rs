//! The two things the store must know about stored root certificates.

use spire_crypto::x509::Certificate;

use crate::Result;
use crate::error::{Code, DatastoreError};

/// Lower-case hex of the subject key id of a single certificate, empty if it has none.
pub(crate) fn subject_key_id(der: &[u8], what: &str) -> Result<String> {
    let certificate = Certificate::parse(der).map_err(|error| {
        DatastoreError::status(Code::Internal, format!("failed to parse {what}: {error}"))
    })?;
    let id = certificate.subject_key_id().unwrap_or_default();
    Ok(id.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The first certificate of a stored item that is not valid after `at`.
pub(crate) fn ended(der: &[u8], at: i64) -> Result<Option<Certificate>> {
    let certificates = Certificate::parse_many(der).map_err(|error| {
        DatastoreError::status(Code::Unknown, format!("cannot parse certificates: {error}"))
    })?;
    Ok(certificates.into_iter().find(|certificate| certificate.not_after_unix() <= at))
}
