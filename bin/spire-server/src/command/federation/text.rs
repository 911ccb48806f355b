//! A relationship as people read it (SC-315).

use spire_proto::types::FederationRelationship;
use spire_proto::types::federation_relationship::BundleEndpointProfile;

/// The lines about one relationship. Its bundle is never shown.
pub(super) fn block(relationship: &FederationRelationship) -> String {
    let head = format!(
        "Trust domain              : {}\nBundle endpoint URL       : {}\n",
        relationship.trust_domain, relationship.bundle_endpoint_url
    );
    match &relationship.bundle_endpoint_profile {
        Some(BundleEndpointProfile::HttpsWeb(_)) => head + "Bundle endpoint profile   : https_web\n",
        Some(BundleEndpointProfile::HttpsSpiffe(profile)) => format!(
            "{head}Bundle endpoint profile   : https_spiffe\nEndpoint SPIFFE ID        : {}\n",
            profile.endpoint_spiffe_id
        ),
        None => head,
    }
}
