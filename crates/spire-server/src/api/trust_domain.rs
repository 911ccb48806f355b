use std::sync::Arc;

use spire_proto::convert::federation::{
    federation_mask, federation_relationship, federation_relationship_to_wire,
};
use spire_proto::server::trustdomain::v1::trust_domain_server::TrustDomain as TrustDomainService;
use spire_proto::server::trustdomain::v1::{
    BatchCreateFederationRelationshipRequest, BatchCreateFederationRelationshipResponse,
    BatchDeleteFederationRelationshipRequest, BatchDeleteFederationRelationshipResponse,
    BatchUpdateFederationRelationshipRequest, BatchUpdateFederationRelationshipResponse,
    GetFederationRelationshipRequest, ListFederationRelationshipsRequest,
    ListFederationRelationshipsResponse, RefreshBundleRequest, batch_create_federation_relationship_response,
    batch_delete_federation_relationship_response, batch_update_federation_relationship_response,
};
use spire_proto::types;
use spire_proto::types::federation_relationship::BundleEndpointProfile;
use spire_types::{EndpointProfile, FederationMask, FederationRelationship, TrustDomain};
use tonic::{Code, Request, Response, Status};

use super::bundle::bundle_fields;
use super::{KEY_CHECKS, page};
use crate::access::{AuditFields, Call};
use crate::core::Core;
use crate::status::{ApiError, ok_item};

/// `spire.api.server.trustdomain.v1.TrustDomain` (SA-113 to SA-122).
#[derive(Debug, Clone)]
pub struct TrustDomainApi(pub Arc<Core>);

fn parsed(text: &str) -> Result<TrustDomain, ApiError> {
    TrustDomain::parse(text).map_err(|error| ApiError::invalid_because("failed to parse trust domain", error))
}

fn converted(wire: &types::FederationRelationship) -> Result<FederationRelationship, ApiError> {
    federation_relationship(wire, KEY_CHECKS)
        .map_err(|error| ApiError::invalid_because("failed to convert federation relationship", error))
}

/// SA-202
fn fields(
    wire: &types::FederationRelationship,
    mask: Option<&types::FederationRelationshipMask>,
) -> AuditFields {
    let wants = |pick: fn(&types::FederationRelationshipMask) -> bool| mask.is_none_or(pick);
    let mut fields = AuditFields::new().with("trust_domain_id", wire.trust_domain.as_str());
    if wants(|m| m.bundle_endpoint_url) {
        fields = fields.with("bundle_endpoint_url", wire.bundle_endpoint_url.as_str());
    }
    if wants(|m| m.bundle_endpoint_profile) {
        match &wire.bundle_endpoint_profile {
            Some(BundleEndpointProfile::HttpsWeb(_)) => {
                fields = fields.with("bundle_endpoint_profile", "https_web")
            }
            Some(BundleEndpointProfile::HttpsSpiffe(profile)) => {
                fields = fields
                    .with("bundle_endpoint_profile", "https_spiffe")
                    .with("endpoint_spiffe_id", profile.endpoint_spiffe_id.as_str());
            }
            None => {}
        }
    }
    if wants(|m| m.trust_domain_bundle)
        && let Some(bundle) = &wire.trust_domain_bundle
    {
        fields.extend(bundle_fields("bundle_", bundle, None));
    }
    fields
}

impl TrustDomainApi {
    async fn list(
        &self,
        request: ListFederationRelationshipsRequest,
    ) -> Result<ListFederationRelationshipsResponse, ApiError> {
        let page = page(request.page_size, request.page_token);
        let listed = self.0.datastore.list_federation_relationships(page.as_ref()).await;
        let (found, next_page_token) =
            listed.map_err(|error| ApiError::internal("failed to list federation relationships", error))?;
        let mask = federation_mask(request.output_mask.as_ref());
        let federation_relationships =
            found.iter().map(|r| federation_relationship_to_wire(r, &mask)).collect();
        Ok(ListFederationRelationshipsResponse { federation_relationships, next_page_token })
    }

    async fn get(
        &self,
        call: &Call,
        request: GetFederationRelationshipRequest,
    ) -> Result<types::FederationRelationship, ApiError> {
        call.note(|| AuditFields::new().with("trust_domain_id", request.trust_domain.as_str()));
        let trust_domain = parsed(&request.trust_domain)?;
        let found = self.0.datastore.fetch_federation_relationship(&trust_domain).await;
        let found =
            found.map_err(|error| ApiError::internal("failed to fetch federation relationship", error))?;
        let found = found.ok_or_else(|| ApiError::not_found("federation relationship does not exist"))?;
        Ok(federation_relationship_to_wire(&found, &federation_mask(request.output_mask.as_ref())))
    }

    /// SA-121
    async fn warn_without_bundle(&self, call: &Call, relationship: &FederationRelationship) {
        let EndpointProfile::HttpsSpiffe { endpoint_spiffe_id } = &relationship.profile else { return };
        let found = self.0.datastore.fetch_bundle(endpoint_spiffe_id.trust_domain()).await;
        if matches!(found, Ok(None)) {
            let fields = AuditFields::new().with("endpoint_spiffe_id", endpoint_spiffe_id.to_string());
            let text = "bundle not found for the endpoint SPIFFE ID trust domain";
            call.log(spire_runtime::logging::LogLevel::Warn, text, fields);
        }
    }

    async fn create_one(
        &self,
        call: &Call,
        wire: &types::FederationRelationship,
    ) -> Result<FederationRelationship, ApiError> {
        let relationship = converted(wire)?;
        if relationship.trust_domain == self.0.settings.trust_domain {
            let text = "unable to create federation relationship for server trust domain";
            return Err(ApiError::invalid(text));
        }
        let created = self.0.datastore.create_federation_relationship(&relationship).await;
        let created =
            created.map_err(|error| ApiError::internal("failed to create federation relationship", error))?;
        self.warn_without_bundle(call, &created).await;
        Ok(created)
    }

    async fn update_one(
        &self,
        call: &Call,
        wire: &types::FederationRelationship,
        mask: &FederationMask,
    ) -> Result<FederationRelationship, ApiError> {
        let relationship = converted(wire)?;
        let updated = self.0.datastore.update_federation_relationship(&relationship, mask).await;
        let updated =
            updated.map_err(|error| ApiError::internal("failed to update federation relationship", error))?;
        self.warn_without_bundle(call, &updated).await;
        Ok(updated)
    }

    async fn delete_one(&self, text: &str) -> Result<TrustDomain, ApiError> {
        if text.is_empty() {
            return Err(ApiError::invalid("missing trust domain"));
        }
        let trust_domain = parsed(text)?;
        match self.0.datastore.delete_federation_relationship(&trust_domain).await {
            Ok(()) => Ok(trust_domain),
            Err(error) if error.is_not_found() => {
                Err(ApiError::not_found("federation relationship not found"))
            }
            Err(error) => Err(ApiError::internal("failed to delete federation relationship", error)),
        }
    }
}

type Item = (types::Status, Option<types::FederationRelationship>);

fn item(call: &Call, outcome: Result<FederationRelationship, ApiError>, mask: &FederationMask) -> Item {
    match outcome {
        Ok(relationship) => (ok_item(), Some(federation_relationship_to_wire(&relationship, mask))),
        Err(error) => (call.refuse_item(&error), None),
    }
}

#[tonic::async_trait]
impl TrustDomainService for TrustDomainApi {
    async fn list_federation_relationships(
        &self,
        request: Request<ListFederationRelationshipsRequest>,
    ) -> Result<Response<ListFederationRelationshipsResponse>, Status> {
        let call = Call::of(&request)?;
        call.conclude(self.list(request.into_inner()).await)
    }

    async fn get_federation_relationship(
        &self,
        request: Request<GetFederationRelationshipRequest>,
    ) -> Result<Response<types::FederationRelationship>, Status> {
        let call = Call::of(&request)?;
        call.conclude(self.get(&call, request.into_inner()).await)
    }

    async fn batch_create_federation_relationship(
        &self,
        request: Request<BatchCreateFederationRelationshipRequest>,
    ) -> Result<Response<BatchCreateFederationRelationshipResponse>, Status> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let mask = federation_mask(request.output_mask.as_ref());
        let mut results = Vec::with_capacity(request.federation_relationships.len());
        for wire in &request.federation_relationships {
            let (status, relationship) = item(&call, self.create_one(&call, wire).await, &mask);
            call.note_item(Some(&status), || fields(wire, None));
            results.push(batch_create_federation_relationship_response::Result {
                status: Some(status),
                federation_relationship: relationship,
            });
        }
        call.conclude_batch(Ok(BatchCreateFederationRelationshipResponse { results }))
    }

    async fn batch_update_federation_relationship(
        &self,
        request: Request<BatchUpdateFederationRelationshipRequest>,
    ) -> Result<Response<BatchUpdateFederationRelationshipResponse>, Status> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let input = federation_mask(request.input_mask.as_ref());
        let mask = federation_mask(request.output_mask.as_ref());
        let mut results = Vec::with_capacity(request.federation_relationships.len());
        for wire in &request.federation_relationships {
            let (status, relationship) = item(&call, self.update_one(&call, wire, &input).await, &mask);
            call.note_item(Some(&status), || fields(wire, request.input_mask.as_ref()));
            results.push(batch_update_federation_relationship_response::Result {
                status: Some(status),
                federation_relationship: relationship,
            });
        }
        call.conclude_batch(Ok(BatchUpdateFederationRelationshipResponse { results }))
    }

    async fn batch_delete_federation_relationship(
        &self,
        request: Request<BatchDeleteFederationRelationshipRequest>,
    ) -> Result<Response<BatchDeleteFederationRelationshipResponse>, Status> {
        let call = Call::of(&request)?;
        let mut results = Vec::new();
        for text in request.into_inner().trust_domains {
            let (status, trust_domain) = match self.delete_one(&text).await {
                Ok(trust_domain) => (ok_item(), trust_domain.as_str().to_owned()),
                Err(error) => (call.refuse_item(&error), text.clone()),
            };
            call.note_item(Some(&status), || AuditFields::new().with("trust_domain_id", text.as_str()));
            results.push(batch_delete_federation_relationship_response::Result {
                status: Some(status),
                trust_domain,
            });
        }
        call.conclude_batch(Ok(BatchDeleteFederationRelationshipResponse { results }))
    }

    /// No relationship is managed until this server fetches bundles (SA-120).
    async fn refresh_bundle(&self, request: Request<RefreshBundleRequest>) -> Result<Response<()>, Status> {
        let call = Call::of(&request)?;
        let text = request.into_inner().trust_domain;
        call.note(|| AuditFields::new().with("trust_domain_id", text.as_str()));
        let outcome = match parsed(&text) {
            Err(error) => Err(error),
            Ok(trust_domain) => match self.0.datastore.fetch_federation_relationship(&trust_domain).await {
                Err(error) => Err(ApiError::internal("failed to refresh bundle", error)),
                Ok(None) => {
                    let text = format!("no relationship with trust domain {:?}", trust_domain.as_str());
                    Err(ApiError::not_found(text))
                }
                Ok(Some(_)) => {
                    let text = "fetching bundles of other trust domains is not built in this version";
                    Err(ApiError::new(Code::Unimplemented, text))
                }
            },
        };
        call.conclude(outcome)
    }
}
