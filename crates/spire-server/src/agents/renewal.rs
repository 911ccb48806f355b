use spire_crypto::x509::CertificateRequest;
use spire_proto::rpc_status::permission_denied_details;
use spire_proto::server::agent::v1::{RenewAgentRequest, RenewAgentResponse};
use spire_proto::types::permission_denied_details::Reason;
use spire_runtime::logging::LogLevel;
use spire_types::{AgentMask, AttestedAgent, SpiffeId, X509Svid};
use tonic::Code;

use crate::access::{AuditFields, Call, digest};
use crate::core::Core;
use crate::status::ApiError;

/// Parses a CSR of an agent and checks that its sender has the key (CA-230, CA-553).
pub(super) fn public_key(csr: &[u8]) -> Result<spire_crypto::PublicKey, ApiError> {
    let failed =
        |error: spire_crypto::x509::X509Error| ApiError::invalid_because("failed to parse CSR", error);
    let request = CertificateRequest::parse(csr).map_err(failed)?;
    request
        .verify_signature()
        .map_err(|error| ApiError::invalid_because("failed to verify CSR signature", error))?;
    Ok(request.public_key().clone())
}

/// Signs for an agent.
pub(super) async fn sign(core: &Core, id: &SpiffeId, csr: &[u8]) -> Result<X509Svid, ApiError> {
    let key = public_key(csr)?;
    let signed = core.authorities.authority().sign_agent_svid(id, &key).await;
    signed.map_err(|error| ApiError::internal("failed to sign X509 SVID", error))
}

/// Serial number of an issued SVID, in decimal.
pub(super) fn serial_of(svid: &X509Svid) -> Result<String, ApiError> {
    let failed =
        |error: spire_crypto::x509::X509Error| ApiError::internal("failed to parse issued SVID", error);
    let leaf = svid.cert_chain.first().map(|der| spire_crypto::x509::Certificate::parse(der));
    match leaf {
        Some(leaf) => Ok(leaf.map_err(failed)?.serial_decimal().to_owned()),
        None => Err(ApiError::new(Code::Internal, "issued SVID has no certificate")),
    }
}

/// A new SVID beside the current one, which stays good until the new one is
/// used (SA-059, SA-060).
pub async fn renew(
    core: &Core,
    call: &Call,
    request: RenewAgentRequest,
) -> Result<RenewAgentResponse, ApiError> {
    let csr = request.params.as_ref().map(|params| params.csr.clone()).unwrap_or_default();
    call.note(|| AuditFields::new().text("csr", digest(&csr)));
    call.limit(1, "rejecting request due to renew agent rate limiting").await?;
    let id = call
        .caller()
        .id
        .clone()
        .ok_or_else(|| ApiError::new(Code::Internal, "caller ID missing from request context"))?;
    let agent = core.datastore.fetch_agent(&id.to_string()).await;
    let agent = agent.map_err(|error| ApiError::internal("failed to fetch agent", error))?;
    let agent = agent.ok_or_else(|| ApiError::not_found("agent not found"))?;
    if agent.can_reattest {
        let message = "agent must reattest instead of renew";
        let mut error = ApiError::new(Code::PermissionDenied, message);
        error.details = permission_denied_details(message, Reason::AgentMustReattest);
        return Err(error);
    }
    call.log(LogLevel::Info, "Renewing agent SVID", AuditFields::new());
    if request.params.is_none() {
        return Err(ApiError::invalid("params cannot be nil"));
    }
    if csr.is_empty() {
        return Err(ApiError::invalid("missing CSR"));
    }
    let svid = sign(core, &id, &csr).await?;
    let values =
        AttestedAgent { new_serial_number: serial_of(&svid)?, new_not_after: svid.expires_at, ..agent };
    let mask = AgentMask { new_serial_number: true, new_not_after: true, ..AgentMask::default() };
    match core.datastore.update_agent(&id.to_string(), &values, &mask).await {
        Ok(_) => {}
        Err(error) if error.is_not_found() => return Err(ApiError::not_found("agent not found")),
        Err(error) => return Err(ApiError::internal("failed to update agent", error)),
    }
    Ok(RenewAgentResponse { svid: Some(spire_proto::convert::svid::x509_svid_to_wire(&svid)) })
}
