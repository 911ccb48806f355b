use spire_types::{SpiffeId, TrustDomain};

use crate::types;
use crate::wire_error::ConvertError;

pub fn spiffe_id_to_wire(id: &SpiffeId) -> types::Spiffeid {
    types::Spiffeid { trust_domain: id.trust_domain().as_str().to_owned(), path: id.path().to_owned() }
}

/// Any SPIFFE ID; the trust domain field may hold a name or a full ID (SA-021).
pub fn spiffe_id(id: Option<&types::Spiffeid>) -> Result<SpiffeId, ConvertError> {
    let id = id.ok_or(ConvertError::MissingSpiffeId)?;
    let trust_domain = TrustDomain::parse(&id.trust_domain)?;
    Ok(SpiffeId::from_path(trust_domain, &id.path)?)
}

/// A member of the trust domain, reserved paths included (SA-023).
pub fn member_id(trust_domain: &TrustDomain, id: Option<&types::Spiffeid>) -> Result<SpiffeId, ConvertError> {
    let id = spiffe_id(id)?;
    id.require_member_of(trust_domain)?;
    Ok(id)
}

/// An agent of the trust domain (SA-024).
pub fn agent_id(trust_domain: &TrustDomain, id: Option<&types::Spiffeid>) -> Result<SpiffeId, ConvertError> {
    let id = spiffe_id(id)?;
    id.require_agent_of(trust_domain)?;
    Ok(id)
}

/// A workload of the trust domain (SA-025).
pub fn workload_id(
    trust_domain: &TrustDomain,
    id: Option<&types::Spiffeid>,
) -> Result<SpiffeId, ConvertError> {
    let id = spiffe_id(id)?;
    id.require_workload_of(trust_domain)?;
    Ok(id)
}
