use std::sync::Arc;

use spire_datastore::{DatastoreError, DeleteMode};
use spire_proto::convert::bundle::{
    bundle, bundle_mask, bundle_to_wire, jwt_authorities, jwt_authority, jwt_authority_to_wire,
    x509_authorities,
};
use spire_proto::server::bundle::v1::bundle_server::Bundle as BundleService;
use spire_proto::server::bundle::v1::{
    AppendBundleRequest, BatchCreateFederatedBundleRequest, BatchCreateFederatedBundleResponse,
    BatchDeleteFederatedBundleRequest, BatchDeleteFederatedBundleResponse, BatchSetFederatedBundleRequest,
    BatchSetFederatedBundleResponse, BatchUpdateFederatedBundleRequest, BatchUpdateFederatedBundleResponse,
    CountBundlesRequest, CountBundlesResponse, GetBundleRequest, GetFederatedBundleRequest,
    ListFederatedBundlesRequest, ListFederatedBundlesResponse, PublishJwtAuthorityRequest,
    PublishJwtAuthorityResponse, PublishWitAuthorityRequest, PublishWitAuthorityResponse,
    batch_create_federated_bundle_response, batch_delete_federated_bundle_request::Mode,
    batch_delete_federated_bundle_response, batch_set_federated_bundle_response,
    batch_update_federated_bundle_response,
};
use spire_proto::types;
use spire_runtime::logging::{LogLevel, LogValue};
use spire_types::{Bundle, BundleMask, TrustDomain};
use tonic::{Code, Request, Response, Status};

use super::{KEY_CHECKS, page};
use crate::access::{AuditFields, Call, digest};
use crate::core::Core;
use crate::status::{ApiError, ok_item};

/// `spire.api.server.bundle.v1.Bundle` (SA-101 to SA-112).
#[derive(Debug, Clone)]
pub struct BundleApi(pub Arc<Core>);

impl BundleApi {
    fn own(&self) -> &TrustDomain {
        &self.0.settings.trust_domain
    }

    /// What was written must show at once to who asks next.
    async fn written(&self) {
        if let Err(error) = self.0.bundles.refresh().await {
            tracing::error!(error = %error, subsystem_name = "api", "Failed to refresh bundles");
        }
    }

    async fn get(&self, call: &Call, request: GetBundleRequest) -> Result<types::Bundle, ApiError> {
        call.note(|| AuditFields::new().with("trust_domain_id", self.own().as_str()));
        let own = self.0.bundles.own().ok_or_else(|| ApiError::not_found("bundle not found"))?;
        Ok(bundle_to_wire(&own.bundle, &bundle_mask(request.output_mask.as_ref())))
    }

    async fn append(&self, call: &Call, request: AppendBundleRequest) -> Result<types::Bundle, ApiError> {
        call.note(|| authority_fields("", &request.x509_authorities, &request.jwt_authorities));
        if request.x509_authorities.is_empty() && request.jwt_authorities.is_empty() {
            return Err(ApiError::invalid("no authorities to append"));
        }
        let mut addition = Bundle::empty(self.own().clone());
        let about = |error: ApiError| error.about("trust_domain_id", self.own().as_str());
        addition.jwt_authorities = jwt_authorities(&request.jwt_authorities, KEY_CHECKS)
            .map_err(|error| about(ApiError::invalid_because("failed to convert JWT authority", error)))?;
        addition.x509_authorities = x509_authorities(&request.x509_authorities, KEY_CHECKS)
            .map_err(|error| about(ApiError::invalid_because("failed to convert X.509 authority", error)))?;
        let appended = self.0.datastore.append_bundle(&addition).await;
        let appended =
            appended.map_err(|error| about(ApiError::internal("failed to append bundle", error)))?;
        self.written().await;
        Ok(bundle_to_wire(&appended, &bundle_mask(request.output_mask.as_ref())))
    }

    async fn publish(
        &self,
        call: &Call,
        request: PublishJwtAuthorityRequest,
    ) -> Result<PublishJwtAuthorityResponse, ApiError> {
        if let Some(key) = &request.jwt_authority {
            call.note(|| {
                AuditFields::new()
                    .with("jwt_authority_expires_at", key.expires_at)
                    .with("jwt_authority_key_id", key.key_id.as_str())
                    .with("jwt_authority_public_key_sha256", digest(&key.public_key))
            });
        }
        call.limit(1, "rejecting request due to key publishing rate limiting").await?;
        let key = request.jwt_authority.ok_or_else(|| ApiError::invalid("missing JWT authority"))?;
        let key = jwt_authority(&key, KEY_CHECKS)
            .map_err(|error| ApiError::invalid_because("invalid JWT authority", error))?;
        let mut addition = Bundle::empty(self.own().clone());
        addition.jwt_authorities.push(key);
        let appended = self.0.datastore.append_bundle(&addition).await;
        let appended = appended.map_err(|error| ApiError::internal("failed to publish JWT key", error))?;
        self.written().await;
        let jwt_authorities = appended.jwt_authorities.iter().map(jwt_authority_to_wire).collect();
        Ok(PublishJwtAuthorityResponse { jwt_authorities })
    }

    async fn list(
        &self,
        request: ListFederatedBundlesRequest,
    ) -> Result<ListFederatedBundlesResponse, ApiError> {
        let page = page(request.page_size, request.page_token);
        let listed = self.0.datastore.list_bundles(page.as_ref()).await;
        let (bundles, next_page_token) =
            listed.map_err(|error| ApiError::internal("failed to list bundles", error))?;
        let mask = bundle_mask(request.output_mask.as_ref());
        let foreign = bundles.iter().filter(|bundle| bundle.trust_domain != *self.own());
        let bundles = foreign.map(|bundle| bundle_to_wire(bundle, &mask)).collect();
        Ok(ListFederatedBundlesResponse { bundles, next_page_token })
    }

    async fn get_federated(
        &self,
        call: &Call,
        request: GetFederatedBundleRequest,
    ) -> Result<types::Bundle, ApiError> {
        call.note(|| AuditFields::new().with("trust_domain_id", request.trust_domain.as_str()));
        let trust_domain = foreign(&request.trust_domain, self.own(), "getting a federated")?;
        let found = self.0.datastore.fetch_bundle(&trust_domain).await;
        let found = found.map_err(|error| ApiError::internal("failed to fetch bundle", error))?;
        let found = found.ok_or_else(|| ApiError::not_found("bundle not found"))?;
        Ok(bundle_to_wire(&found, &bundle_mask(request.output_mask.as_ref())))
    }

    async fn create_one(&self, call: &Call, wire: &types::Bundle) -> Result<Bundle, ApiError> {
        foreign(&wire.trust_domain, self.own(), "creating a federated")?;
        let bundle = converted(wire)?;
        match self.0.datastore.create_bundle(&bundle).await {
            Ok(bundle) => {
                log(call, LogLevel::Debug, "Federated bundle created", wire);
                Ok(bundle)
            }
            Err(error) if error.code() == spire_datastore::Code::AlreadyExists => {
                Err(ApiError::new(Code::AlreadyExists, "bundle already exists"))
            }
            Err(error) => Err(ApiError::internal("unable to create bundle", error)),
        }
    }

    async fn update_one(
        &self,
        call: &Call,
        wire: &types::Bundle,
        mask: &BundleMask,
    ) -> Result<Bundle, ApiError> {
        foreign(&wire.trust_domain, self.own(), "updating a federated")?;
        let bundle = converted(wire)?;
        match self.0.datastore.update_bundle(&bundle, mask).await {
            Ok(bundle) => {
                log(call, LogLevel::Debug, "Federated bundle updated", wire);
                Ok(bundle)
            }
            Err(error) if error.is_not_found() => Err(ApiError::not_found("bundle not found")),
            Err(error) => Err(ApiError::internal("failed to update bundle", error)),
        }
    }

    async fn set_one(&self, call: &Call, wire: &types::Bundle) -> Result<Bundle, ApiError> {
        foreign(&wire.trust_domain, self.own(), "setting a federated")?;
        let bundle = converted(wire)?;
        match self.0.datastore.set_bundle(&bundle).await {
            Ok(bundle) => {
                log(call, LogLevel::Info, "Bundle set successfully", wire);
                Ok(bundle)
            }
            Err(error) => Err(ApiError::internal("failed to set bundle", error)),
        }
    }

    async fn delete_one(&self, text: &str, mode: DeleteMode) -> Result<(), ApiError> {
        let trust_domain = parsed(text)?;
        if trust_domain == *self.own() {
            return Err(ApiError::invalid("removing the bundle for the server trust domain is not allowed"));
        }
        match self.0.datastore.delete_bundle(&trust_domain, mode).await {
            Ok(()) => Ok(()),
            Err(error) if error.is_not_found() => Err(ApiError::not_found("bundle not found")),
            Err(error) => Err(ApiError::from_store("failed to delete federated bundle", &error)),
        }
    }

    async fn delete(
        &self,
        call: &Call,
        request: BatchDeleteFederatedBundleRequest,
    ) -> Result<BatchDeleteFederatedBundleResponse, ApiError> {
        let mode = match Mode::try_from(request.mode) {
            Ok(Mode::Restrict) => DeleteMode::Restrict,
            Ok(Mode::Delete) => DeleteMode::Delete,
            Ok(Mode::Dissociate) => DeleteMode::Dissociate,
            Err(_) => {
                let cause = format!("unhandled delete mode {:?}", request.mode.to_string());
                return Err(ApiError::invalid_because("failed to parse deletion mode", cause));
            }
        };
        let name = Mode::try_from(request.mode).map_or("", |mode| mode.as_str_name());
        let mut results = Vec::with_capacity(request.trust_domains.len());
        for text in request.trust_domains {
            let status = match self.delete_one(&text, mode).await {
                Ok(()) => ok_item(),
                Err(error) => {
                    let error = error
                        .about("delete_federated_bundle_mode", name)
                        .about("trust_domain_id", text.as_str());
                    call.refuse_item(&error)
                }
            };
            call.note_item(Some(&status), || {
                AuditFields::new()
                    .with("mode", LogValue::shown(name, request.mode))
                    .with("trust_domain_id", text.as_str())
            });
            results.push(batch_delete_federated_bundle_response::Result {
                status: Some(status),
                trust_domain: text,
            });
        }
        self.written().await;
        Ok(BatchDeleteFederatedBundleResponse { results })
    }
}

fn parsed(text: &str) -> Result<TrustDomain, ApiError> {
    TrustDomain::parse(text)
        .map_err(|error| ApiError::invalid_because("trust domain argument is not valid", error))
}

/// SA-107, SA-112
fn foreign(text: &str, own: &TrustDomain, doing: &str) -> Result<TrustDomain, ApiError> {
    let trust_domain = parsed(text)?;
    if trust_domain == *own {
        let text = format!("{doing} bundle for the server's own trust domain is not allowed");
        return Err(ApiError::invalid(text));
    }
    Ok(trust_domain)
}

fn converted(wire: &types::Bundle) -> Result<Bundle, ApiError> {
    bundle(wire, KEY_CHECKS).map_err(|error| ApiError::invalid_because("failed to convert bundle", error))
}

/// Requests carry no WIT keys, so a mask that names them must not clear the stored ones (SA-033). Without a mask the
/// whole bundle is replaced.
fn input_mask(mask: Option<&types::BundleMask>) -> BundleMask {
    BundleMask { wit_authorities: mask.is_none(), ..bundle_mask(mask) }
}

fn log(call: &Call, level: LogLevel, message: &str, wire: &types::Bundle) {
    call.log(level, message, AuditFields::new().with("trust_domain_id", wire.trust_domain.as_str()));
}

/// SA-201
pub(super) fn authority_fields(
    prefix: &str,
    x509: &[types::X509Certificate],
    jwt: &[types::JwtKey],
) -> AuditFields {
    let mut fields = AuditFields::new();
    for (index, key) in jwt.iter().enumerate() {
        fields = fields
            .with(format!("{prefix}jwt_authority_expires_at.{index}"), key.expires_at)
            .with(format!("{prefix}jwt_authority_key_id.{index}"), key.key_id.as_str())
            .with(format!("{prefix}jwt_authority_public_key_sha256.{index}"), digest(&key.public_key));
    }
    for (index, authority) in x509.iter().enumerate() {
        let hash = digest(&authority.asn1);
        fields = fields.with(format!("{prefix}x509_authorities_asn1_sha256.{index}"), hash);
    }
    fields
}

/// SA-201, SA-202
pub(super) fn bundle_fields(
    prefix: &str,
    wire: &types::Bundle,
    mask: Option<&types::BundleMask>,
) -> AuditFields {
    let wants = |pick: fn(&types::BundleMask) -> bool| mask.is_none_or(pick);
    let mut fields = AuditFields::new().with(format!("{prefix}trust_domain_id"), wire.trust_domain.as_str());
    if wants(|m| m.refresh_hint) {
        fields = fields.with(format!("{prefix}refresh_hint"), wire.refresh_hint);
    }
    if wants(|m| m.sequence_number) {
        fields = fields.with(format!("{prefix}sequence_number"), wire.sequence_number);
    }
    let x509 = if wants(|m| m.x509_authorities) { &wire.x509_authorities[..] } else { &[] };
    let jwt = if wants(|m| m.jwt_authorities) { &wire.jwt_authorities[..] } else { &[] };
    fields.extend(authority_fields(prefix, x509, jwt));
    fields
}

type Item = (types::Status, Option<types::Bundle>);

fn item(call: &Call, text: &str, outcome: Result<Bundle, ApiError>, mask: &BundleMask) -> Item {
    match outcome {
        Ok(bundle) => (ok_item(), Some(bundle_to_wire(&bundle, mask))),
        Err(error) => (call.refuse_item(&error.about("trust_domain_id", text)), None),
    }
}

#[tonic::async_trait]
impl BundleService for BundleApi {
    async fn count_bundles(
        &self,
        request: Request<CountBundlesRequest>,
    ) -> Result<Response<CountBundlesResponse>, Status> {
        let call = Call::of(&request)?;
        let failed = |error: DatastoreError| ApiError::internal("failed to count bundles", error);
        let count = self.0.datastore.count_bundles().await.map_err(failed);
        call.conclude(
            count.map(|count| CountBundlesResponse { count: i32::try_from(count).unwrap_or(i32::MAX) }),
        )
    }

    async fn get_bundle(
        &self,
        request: Request<GetBundleRequest>,
    ) -> Result<Response<types::Bundle>, Status> {
        let call = Call::of(&request)?;
        call.conclude(self.get(&call, request.into_inner()).await)
    }

    async fn append_bundle(
        &self,
        request: Request<AppendBundleRequest>,
    ) -> Result<Response<types::Bundle>, Status> {
        let call = Call::of(&request)?;
        call.conclude(self.append(&call, request.into_inner()).await)
    }

    async fn publish_jwt_authority(
        &self,
        request: Request<PublishJwtAuthorityRequest>,
    ) -> Result<Response<PublishJwtAuthorityResponse>, Status> {
        let call = Call::of(&request)?;
        call.conclude(self.publish(&call, request.into_inner()).await)
    }

    async fn publish_wit_authority(
        &self,
        request: Request<PublishWitAuthorityRequest>,
    ) -> Result<Response<PublishWitAuthorityResponse>, Status> {
        let call = Call::of(&request)?;
        let text = "WIT-SVID functionality is not yet implemented";
        call.conclude(Err(ApiError::new(Code::Unimplemented, text)))
    }

    async fn list_federated_bundles(
        &self,
        request: Request<ListFederatedBundlesRequest>,
    ) -> Result<Response<ListFederatedBundlesResponse>, Status> {
        let call = Call::of(&request)?;
        call.conclude(self.list(request.into_inner()).await)
    }

    async fn get_federated_bundle(
        &self,
        request: Request<GetFederatedBundleRequest>,
    ) -> Result<Response<types::Bundle>, Status> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let text = request.trust_domain.clone();
        let outcome = self.get_federated(&call, request).await;
        call.conclude(outcome.map_err(|error| error.about("trust_domain_id", text)))
    }

    async fn batch_create_federated_bundle(
        &self,
        request: Request<BatchCreateFederatedBundleRequest>,
    ) -> Result<Response<BatchCreateFederatedBundleResponse>, Status> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let mask = bundle_mask(request.output_mask.as_ref());
        let mut results = Vec::with_capacity(request.bundle.len());
        for wire in &request.bundle {
            let (status, bundle) = item(&call, &wire.trust_domain, self.create_one(&call, wire).await, &mask);
            call.note_item(Some(&status), || bundle_fields("", wire, None));
            results.push(batch_create_federated_bundle_response::Result { status: Some(status), bundle });
        }
        self.written().await;
        call.conclude_batch(Ok(BatchCreateFederatedBundleResponse { results }))
    }

    async fn batch_update_federated_bundle(
        &self,
        request: Request<BatchUpdateFederatedBundleRequest>,
    ) -> Result<Response<BatchUpdateFederatedBundleResponse>, Status> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let input = input_mask(request.input_mask.as_ref());
        let mask = bundle_mask(request.output_mask.as_ref());
        let mut results = Vec::with_capacity(request.bundle.len());
        for wire in &request.bundle {
            let (status, bundle) =
                item(&call, &wire.trust_domain, self.update_one(&call, wire, &input).await, &mask);
            call.note_item(Some(&status), || bundle_fields("", wire, request.input_mask.as_ref()));
            results.push(batch_update_federated_bundle_response::Result { status: Some(status), bundle });
        }
        self.written().await;
        call.conclude_batch(Ok(BatchUpdateFederatedBundleResponse { results }))
    }

    async fn batch_set_federated_bundle(
        &self,
        request: Request<BatchSetFederatedBundleRequest>,
    ) -> Result<Response<BatchSetFederatedBundleResponse>, Status> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let mask = bundle_mask(request.output_mask.as_ref());
        let mut results = Vec::with_capacity(request.bundle.len());
        for wire in &request.bundle {
            let (status, bundle) = item(&call, &wire.trust_domain, self.set_one(&call, wire).await, &mask);
            call.note_item(Some(&status), || bundle_fields("", wire, None));
            results.push(batch_set_federated_bundle_response::Result { status: Some(status), bundle });
        }
        self.written().await;
        call.conclude_batch(Ok(BatchSetFederatedBundleResponse { results }))
    }

    async fn batch_delete_federated_bundle(
        &self,
        request: Request<BatchDeleteFederatedBundleRequest>,
    ) -> Result<Response<BatchDeleteFederatedBundleResponse>, Status> {
        let call = Call::of(&request)?;
        call.conclude_batch(self.delete(&call, request.into_inner()).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_that_names_wit_keys_does_not_clear_them() {
        // SA-033
        let named = types::BundleMask { wit_authorities: true, refresh_hint: true, ..Default::default() };
        let mask = input_mask(Some(&named));
        assert!(mask.refresh_hint && !mask.wit_authorities && !mask.x509_authorities);
        assert!(input_mask(None).wit_authorities);
    }
}
