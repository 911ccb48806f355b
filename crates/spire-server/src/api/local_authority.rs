use std::sync::Arc;

use spire_authority::{AuthorityState as Slots, ControlError, SlotView};
use spire_proto::convert::authority::authority_state;
use spire_proto::server::localauthority::v1::local_authority_server::LocalAuthority;
use spire_proto::server::localauthority::v1::*;
use spire_runtime::logging::LogLevel;
use spire_types::SlotStatus;
use tonic::{Code, Request};

use super::task::{Answer, detached};
use crate::access::{AuditFields, Call};
use crate::core::Core;
use crate::status::ApiError;

/// `spire.api.server.localauthority.v1.LocalAuthority` (CA-094 to CA-107).
#[derive(Debug, Clone)]
pub struct LocalAuthorityApi(pub Arc<Core>);

/// Active, prepared, old.
type States = (Option<AuthorityState>, Option<AuthorityState>, Option<AuthorityState>);

fn shown(slot: &SlotView) -> AuthorityState {
    authority_state(&slot.authority_id, slot.not_after, "")
}

fn only_id(id: &str) -> AuthorityState {
    authority_state(id, 0, "")
}

fn states(slots: &Slots) -> Result<States, ApiError> {
    if slots.current.status != SlotStatus::Active {
        return Err(ApiError::new(Code::Unavailable, "server is initializing"));
    }
    if slots.current.authority_id.is_empty() {
        return Err(ApiError::new(Code::Internal, "current slot does not contain authority ID"));
    }
    let next = (!slots.next.authority_id.is_empty()).then(|| shown(&slots.next));
    let (prepared, old) = match slots.next.status {
        SlotStatus::Prepared => (next, None),
        SlotStatus::Old => (None, next),
        SlotStatus::Active | SlotStatus::Unknown => (None, None),
    };
    Ok((Some(shown(&slots.current)), prepared, old))
}

fn wit() -> ApiError {
    ApiError::new(Code::Unimplemented, "WIT-SVID functionality is not yet implemented")
}

fn no_upstream(id: &str) -> ApiError {
    let error = ApiError::new(Code::FailedPrecondition, "upstream authority is not configured");
    if id.is_empty() { error } else { error.about("subject_key_id", id) }
}

/// CA-095, CA-100
fn prepare_error(failure: &str, error: ControlError) -> ApiError {
    match error {
        ControlError::Initializing => ApiError::new(Code::Unavailable, error.to_string()),
        error => ApiError::internal(failure, error),
    }
}

/// CA-096
fn activate_error(error: ControlError) -> ApiError {
    match error {
        ControlError::NotPrepared(status) => ApiError::internal(
            "only Prepared authorities can be activated",
            format!("unsupported local authority status: {status}"),
        ),
        error => ApiError::invalid(error.to_string()),
    }
}

/// CA-097, CA-102
fn taint_error(failure: &str, error: ControlError) -> ApiError {
    match error {
        ControlError::NoId | ControlError::TaintCurrent | ControlError::UnexpectedId => {
            ApiError::invalid(error.to_string())
        }
        ControlError::TaintNotOld(status) => ApiError::invalid_because(
            "only Old local authorities can be tainted",
            format!("unsupported local authority status: {status}"),
        ),
        ControlError::NotTainted(_) => ApiError::internal("failed to notify tainted authority", error),
        error => ApiError::internal(failure, error),
    }
}

/// CA-098, CA-104
fn revoke_error(failure: &str, error: ControlError) -> ApiError {
    match error {
        ControlError::Datastore(error) => ApiError::internal(failure, error),
        ControlError::Rotate(error) => ApiError::internal(failure, error),
        error => ApiError::invalid_because("invalid authority ID", error),
    }
}

impl LocalAuthorityApi {
    fn jwt_enabled(&self) -> Result<(), ApiError> {
        match self.0.settings.credentials.disable_jwt_svids {
            true => Err(ApiError::new(Code::Unimplemented, "JWT functionality is disabled")),
            false => Ok(()),
        }
    }

    /// What was changed must show at once to who asks next.
    async fn refresh(&self) {
        if let Err(error) = self.0.bundles.refresh().await {
            tracing::error!(error = %error, subsystem_name = "api", "Failed to refresh bundles");
        }
    }

    async fn done(&self, call: &Call, message: &str, id: &str) {
        self.refresh().await;
        call.log(LogLevel::Info, message, AuditFields::new().with("local_authority_id", id));
    }

    fn note(&self, call: &Call, id: &str) {
        call.note(|| AuditFields::new().text("local_authority_id", id));
    }

    async fn jwt_state(&self) -> Result<GetJwtAuthorityStateResponse, ApiError> {
        self.jwt_enabled()?;
        let (active, prepared, old) = states(&self.0.authorities.jwt_state().await)?;
        Ok(GetJwtAuthorityStateResponse { active, prepared, old })
    }

    async fn x509_state(&self) -> Result<GetX509AuthorityStateResponse, ApiError> {
        let (active, prepared, old) = states(&self.0.authorities.x509_state().await)?;
        Ok(GetX509AuthorityStateResponse { active, prepared, old })
    }

    async fn prepare_jwt(&self) -> Result<PrepareJwtAuthorityResponse, ApiError> {
        self.jwt_enabled()?;
        let prepared = self.0.authorities.prepare_jwt().await;
        let slot = prepared.map_err(|error| prepare_error("failed to prepare JWT authority", error))?;
        self.refresh().await;
        Ok(PrepareJwtAuthorityResponse { prepared_authority: Some(shown(&slot)) })
    }

    async fn prepare_x509(&self) -> Result<PrepareX509AuthorityResponse, ApiError> {
        let prepared = self.0.authorities.prepare_x509().await;
        let slot = prepared.map_err(|error| prepare_error("failed to prepare X.509 authority", error))?;
        self.refresh().await;
        Ok(PrepareX509AuthorityResponse { prepared_authority: Some(shown(&slot)) })
    }

    async fn activate_jwt(&self, call: &Call, id: &str) -> Result<ActivateJwtAuthorityResponse, ApiError> {
        self.note(call, id);
        self.jwt_enabled()?;
        let slot = self.0.authorities.activate_jwt(id).await.map_err(activate_error)?;
        self.refresh().await;
        Ok(ActivateJwtAuthorityResponse { activated_authority: Some(shown(&slot)) })
    }

    async fn activate_x509(&self, call: &Call, id: &str) -> Result<ActivateX509AuthorityResponse, ApiError> {
        self.note(call, id);
        let slot = self.0.authorities.activate_x509(id).await.map_err(activate_error)?;
        self.refresh().await;
        Ok(ActivateX509AuthorityResponse { activated_authority: Some(shown(&slot)) })
    }

    async fn taint_jwt(&self, call: &Call, id: &str) -> Result<TaintJwtAuthorityResponse, ApiError> {
        self.note(call, id);
        self.jwt_enabled()?;
        let tainted = self.0.authorities.taint_jwt(id).await;
        tainted.map_err(|error| taint_error("failed to taint JWT authority", error))?;
        self.done(call, "JWT authority tainted successfully", id).await;
        Ok(TaintJwtAuthorityResponse { tainted_authority: Some(only_id(id)) })
    }

    async fn taint_x509(&self, call: &Call, id: &str) -> Result<TaintX509AuthorityResponse, ApiError> {
        self.note(call, id);
        let tainted = self.0.authorities.taint_x509(id).await;
        let (slot, roots) = tainted.map_err(|error| taint_error("failed to taint X.509 authority", error))?;
        self.0.server_svid.taint(&roots);
        self.done(call, "X.509 authority tainted successfully", id).await;
        Ok(TaintX509AuthorityResponse { tainted_authority: Some(shown(&slot)) })
    }

    async fn revoke_jwt(&self, call: &Call, id: &str) -> Result<RevokeJwtAuthorityResponse, ApiError> {
        self.note(call, id);
        self.jwt_enabled()?;
        let revoked = self.0.authorities.revoke_jwt(id).await;
        revoked.map_err(|error| revoke_error("failed to revoke JWT authority", error))?;
        self.done(call, "JWT authority revoked successfully", id).await;
        Ok(RevokeJwtAuthorityResponse { revoked_authority: Some(only_id(id)) })
    }

    async fn revoke_x509(&self, call: &Call, id: &str) -> Result<RevokeX509AuthorityResponse, ApiError> {
        self.note(call, id);
        let revoked = self.0.authorities.revoke_x509(id).await;
        revoked.map_err(|error| revoke_error("failed to revoke X.509 authority", error))?;
        self.done(call, "X.509 authority revoked successfully", id).await;
        Ok(RevokeX509AuthorityResponse { revoked_authority: Some(only_id(id)) })
    }
}

/// A failure is logged with the authority that it is about.
fn about<T>(id: &str, outcome: Result<T, ApiError>) -> Result<T, ApiError> {
    match id {
        "" => outcome,
        id => outcome.map_err(|error| error.about("local_authority_id", id)),
    }
}

/// Changes run to their end: half a rotation must not stay, nor a taint that the server's own SVID does not hear of.
#[tonic::async_trait]
impl LocalAuthority for LocalAuthorityApi {
    async fn get_jwt_authority_state(
        &self,
        request: Request<GetJwtAuthorityStateRequest>,
    ) -> Answer<GetJwtAuthorityStateResponse> {
        Call::of(&request)?.conclude(self.jwt_state().await)
    }

    async fn prepare_jwt_authority(
        &self,
        request: Request<PrepareJwtAuthorityRequest>,
    ) -> Answer<PrepareJwtAuthorityResponse> {
        let (api, call) = (self.clone(), Call::of(&request)?);
        detached(async move { call.conclude(api.prepare_jwt().await) }).await
    }

    async fn activate_jwt_authority(
        &self,
        request: Request<ActivateJwtAuthorityRequest>,
    ) -> Answer<ActivateJwtAuthorityResponse> {
        let (api, call, id) = (self.clone(), Call::of(&request)?, request.into_inner().authority_id);
        detached(async move { call.conclude(about(&id, api.activate_jwt(&call, &id).await)) }).await
    }

    async fn taint_jwt_authority(
        &self,
        request: Request<TaintJwtAuthorityRequest>,
    ) -> Answer<TaintJwtAuthorityResponse> {
        let (api, call, id) = (self.clone(), Call::of(&request)?, request.into_inner().authority_id);
        detached(async move { call.conclude(about(&id, api.taint_jwt(&call, &id).await)) }).await
    }

    async fn revoke_jwt_authority(
        &self,
        request: Request<RevokeJwtAuthorityRequest>,
    ) -> Answer<RevokeJwtAuthorityResponse> {
        let (api, call, id) = (self.clone(), Call::of(&request)?, request.into_inner().authority_id);
        detached(async move { call.conclude(about(&id, api.revoke_jwt(&call, &id).await)) }).await
    }

    async fn get_x509_authority_state(
        &self,
        request: Request<GetX509AuthorityStateRequest>,
    ) -> Answer<GetX509AuthorityStateResponse> {
        Call::of(&request)?.conclude(self.x509_state().await)
    }

    async fn prepare_x509_authority(
        &self,
        request: Request<PrepareX509AuthorityRequest>,
    ) -> Answer<PrepareX509AuthorityResponse> {
        let (api, call) = (self.clone(), Call::of(&request)?);
        detached(async move { call.conclude(api.prepare_x509().await) }).await
    }

    async fn activate_x509_authority(
        &self,
        request: Request<ActivateX509AuthorityRequest>,
    ) -> Answer<ActivateX509AuthorityResponse> {
        let (api, call, id) = (self.clone(), Call::of(&request)?, request.into_inner().authority_id);
        detached(async move { call.conclude(about(&id, api.activate_x509(&call, &id).await)) }).await
    }

    async fn taint_x509_authority(
        &self,
        request: Request<TaintX509AuthorityRequest>,
    ) -> Answer<TaintX509AuthorityResponse> {
        let (api, call, id) = (self.clone(), Call::of(&request)?, request.into_inner().authority_id);
        detached(async move { call.conclude(about(&id, api.taint_x509(&call, &id).await)) }).await
    }

    async fn taint_x509_upstream_authority(
        &self,
        request: Request<TaintX509UpstreamAuthorityRequest>,
    ) -> Answer<TaintX509UpstreamAuthorityResponse> {
        let call = Call::of(&request)?;
        call.note(|| AuditFields::new().text("subject_key_id", request.get_ref().subject_key_id.as_str()));
        call.conclude(Err(no_upstream(&request.get_ref().subject_key_id)))
    }

    async fn revoke_x509_authority(
        &self,
        request: Request<RevokeX509AuthorityRequest>,
    ) -> Answer<RevokeX509AuthorityResponse> {
        let (api, call, id) = (self.clone(), Call::of(&request)?, request.into_inner().authority_id);
        detached(async move { call.conclude(about(&id, api.revoke_x509(&call, &id).await)) }).await
    }

    async fn revoke_x509_upstream_authority(
        &self,
        request: Request<RevokeX509UpstreamAuthorityRequest>,
    ) -> Answer<RevokeX509UpstreamAuthorityResponse> {
        let call = Call::of(&request)?;
        call.note(|| AuditFields::new().text("subject_key_id", request.get_ref().subject_key_id.as_str()));
        call.conclude(Err(no_upstream(&request.get_ref().subject_key_id)))
    }

    async fn get_wit_authority_state(
        &self,
        request: Request<GetWitAuthorityStateRequest>,
    ) -> Answer<GetWitAuthorityStateResponse> {
        Call::of(&request)?.conclude(Err(wit()))
    }

    async fn prepare_wit_authority(
        &self,
        request: Request<PrepareWitAuthorityRequest>,
    ) -> Answer<PrepareWitAuthorityResponse> {
        Call::of(&request)?.conclude(Err(wit()))
    }

    async fn activate_wit_authority(
        &self,
        request: Request<ActivateWitAuthorityRequest>,
    ) -> Answer<ActivateWitAuthorityResponse> {
        Call::of(&request)?.conclude(Err(wit()))
    }

    async fn taint_wit_authority(
        &self,
        request: Request<TaintWitAuthorityRequest>,
    ) -> Answer<TaintWitAuthorityResponse> {
        Call::of(&request)?.conclude(Err(wit()))
    }

    async fn revoke_wit_authority(
        &self,
        request: Request<RevokeWitAuthorityRequest>,
    ) -> Answer<RevokeWitAuthorityResponse> {
        Call::of(&request)?.conclude(Err(wit()))
    }
}
