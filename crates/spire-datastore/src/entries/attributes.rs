//! The `additional_attributes` blob (SA-304).

use prost::Message as _;
use spire_proto::private::spire::common::registration_entry::AdditionalAttributes as Stored;
use spire_types::AdditionalAttributes;

use crate::Result;
use crate::error::DatastoreError;

/// NULL when never set; an all-default message is an empty blob.
pub(super) fn encode(attributes: Option<&AdditionalAttributes>) -> Option<Vec<u8>> {
    attributes.map(|attributes| {
        Stored {
            disable_x509_svid_prefetch: attributes.disable_x509_svid_prefetch,
            jwt_svid_include_jti: attributes.jwt_svid_include_jti,
        }
        .encode_to_vec()
    })
}

/// An empty blob reads back as absent, like NULL.
pub(super) fn decode(blob: Option<&[u8]>) -> Result<Option<AdditionalAttributes>> {
    let Some(blob) = blob.filter(|blob| !blob.is_empty()) else { return Ok(None) };
    let stored = Stored::decode(blob).map_err(|error| {
        DatastoreError::sql(format!("failed to unmarshal additional attributes: {error}"))
    })?;
    Ok(Some(AdditionalAttributes {
        disable_x509_svid_prefetch: stored.disable_x509_svid_prefetch,
        jwt_svid_include_jti: stored.jwt_svid_include_jti,
    }))
}
