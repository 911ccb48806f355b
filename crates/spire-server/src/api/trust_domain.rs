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
use spire_runtime::logging::LogLevel;
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
    let mut fields = AuditFields::new().text("trust_domain_id", wire.trust_domain.as_str());
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
    async fn warn_without_bundle(&self, call: &Call, text: &str, relationship: &FederationRelationship) {
        let EndpointProfile::HttpsSpiffe { endpoint_spiffe_id } = &relationship.profile else { return };
        if relationship.bundle.is_some() {
            return;
        }
        let message = match self.0.datastore.fetch_bundle(endpoint_spiffe_id.trust_domain()).await {
            Ok(Some(_)) => return,
            Ok(None) => "bundle not found for the endpoint SPIFFE ID trust domain",
            Err(_) => "failed to check whether a bundle exists for the endpoint SPIFFE ID trust domain",
        };
        let fields = about(text).with("endpoint_spiffe_id", endpoint_spiffe_id.to_string());
        call.log(LogLevel::Warn, message, fields);
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
        self.warn_without_bundle(call, &wire.trust_domain, &created).await;
        call.log(LogLevel::Debug, "Federation relationship created", about(&wire.trust_domain));
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
        self.warn_without_bundle(call, &wire.trust_domain, &updated).await;
        call.log(LogLevel::Debug, "Federation relationship updated", about(&wire.trust_domain));
        Ok(updated)
    }

    async fn delete_one(&self, call: &Call, trust_domain: &TrustDomain, text: &str) -> Result<(), ApiError> {
        match self.0.datastore.delete_federation_relationship(trust_domain).await {
            Ok(()) => {
                call.log(LogLevel::Debug, "Federation relationship deleted", about(text));
                Ok(())
            }
            Err(error) if error.is_not_found() => {
                Err(ApiError::not_found("federation relationship not found"))
            }
            Err(error) => Err(ApiError::internal("failed to delete federation relationship", error)),
        }
    }
}

type Item = (types::Status, Option<types::FederationRelationship>);

fn item(
    call: &Call,
    text: &str,
    outcome: Result<FederationRelationship, ApiError>,
    mask: &FederationMask,
) -> Item {
    match outcome {
        Ok(relationship) => (ok_item(), Some(federation_relationship_to_wire(&relationship, mask))),
        Err(error) => (call.refuse_item(&error.about("trust_domain_id", text)), None),
    }
}

/// The trust domain that a deletion names.
fn named(text: &str) -> Result<TrustDomain, ApiError> {
    if text.is_empty() {
        return Err(ApiError::invalid("missing trust domain"));
    }
    parsed(text).map_err(|error| error.about("trust_domain_id", text))
}

fn about(text: &str) -> AuditFields {
    AuditFields::new().with("trust_domain_id", text)
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
            let (status, relationship) =
                item(&call, &wire.trust_domain, self.create_one(&call, wire).await, &mask);
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
            let (status, relationship) =
                item(&call, &wire.trust_domain, self.update_one(&call, wire, &input).await, &mask);
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
            let (status, trust_domain) = match named(&text) {
                // The answer names what was understood (SA-118).
                Ok(trust_domain) => {
                    let status = match self.delete_one(&call, &trust_domain, &text).await {
                        Ok(()) => ok_item(),
                        Err(error) => call.refuse_item(&error.about("trust_domain_id", text.as_str())),
                    };
                    (status, trust_domain.as_str().to_owned())
                }
                Err(error) => (call.refuse_item(&error), text.clone()),
            };
            call.note_item(Some(&status), || about(&text));
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
        let trust_domain = match parsed(&text) {
            Ok(trust_domain) => trust_domain,
            Err(error) => return call.conclude(Err(error)),
        };
        call.note(|| about(&text));
        let error = match self.0.datastore.fetch_federation_relationship(&trust_domain).await {
            Err(error) => ApiError::internal("failed to refresh bundle", error),
            Ok(None) => {
                ApiError::not_found(format!("no relationship with trust domain {:?}", trust_domain.as_str()))
            }
            Ok(Some(_)) => {
                let text = "fetching bundles of other trust domains is not built in this version";
                ApiError::new(Code::Unimplemented, text)
            }
        };
        call.conclude(Err(error.about("trust_domain_id", trust_domain.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audit_lines_name_what_the_request_names() {
        // SA-202
        let names = |wire: &types::FederationRelationship, mask: Option<&_>| {
            fields(wire, mask).0.into_iter().map(|(name, _)| name.into_owned()).collect::<Vec<_>>()
        };
        let mut wire = types::FederationRelationship::default();
        assert_eq!(names(&wire, None), ["bundle_endpoint_url"]);
        wire.trust_domain = "td.test".into();
        wire.bundle_endpoint_profile = Some(BundleEndpointProfile::HttpsWeb(types::HttpsWebProfile {}));
        let mask = types::FederationRelationshipMask { bundle_endpoint_profile: true, ..Default::default() };
        assert_eq!(names(&wire, Some(&mask)), ["trust_domain_id", "bundle_endpoint_profile"]);
    }

    #[test]
    fn a_deletion_names_a_trust_domain() {
        // SA-118
        assert_eq!(named("").unwrap_err().text(), "missing trust domain");
        assert_eq!(named("spiffe://td.test/x").unwrap().as_str(), "td.test");
        assert!(named("BAD").unwrap_err().text().starts_with("failed to parse trust domain: "));
    }
}
