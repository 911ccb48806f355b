use spire_types::go_text::quote;
use spire_types::{
    BundleMask, EndpointProfile, FederationMask, FederationRelationship, GoUrl, SpiffeId, TrustDomain,
};

use super::bundle::{KeyChecks, bundle, bundle_to_wire};
use crate::types;
use crate::types::federation_relationship::BundleEndpointProfile as WireProfile;
use crate::wire_error::{ConvertError, InField};

pub fn federation_mask(mask: Option<&types::FederationRelationshipMask>) -> FederationMask {
    let Some(m) = mask else { return FederationMask::ALL };
    FederationMask {
        bundle_endpoint_url: m.bundle_endpoint_url,
        bundle_endpoint_profile: m.bundle_endpoint_profile,
        trust_domain_bundle: m.trust_domain_bundle,
    }
}

/// Checks a relationship of a request (SA-115). Fields outside the mask are
/// checked only as far as upstream does: URL and profile always matter (SA-117).
pub fn federation_relationship(
    wire: &types::FederationRelationship,
    checks: KeyChecks<'_>,
) -> Result<FederationRelationship, ConvertError> {
    let trust_domain = TrustDomain::parse(&wire.trust_domain).field("failed to parse trust domain")?;
    let bundle_endpoint_url = endpoint_url(&wire.bundle_endpoint_url)?;
    let profile = match &wire.bundle_endpoint_profile {
        Some(WireProfile::HttpsWeb(_)) => EndpointProfile::HttpsWeb,
        Some(WireProfile::HttpsSpiffe(profile)) => EndpointProfile::HttpsSpiffe {
            endpoint_spiffe_id: profile
                .endpoint_spiffe_id
                .parse::<SpiffeId>()
                .field("failed to parse endpoint SPIFFE ID")?,
        },
        None => return Err(ConvertError::message("unsupported bundle endpoint profile type: <nil>")),
    };
    let bundle = match &wire.trust_domain_bundle {
        None => None,
        Some(wire_bundle) => {
            let bundle = bundle(wire_bundle, checks).field("failed to parse bundle")?;
            if bundle.trust_domain != trust_domain {
                return Err(ConvertError::message(format!(
                    "trust domain bundle ({}) must match the trust domain of the federation relationship ({})",
                    quote(&wire_bundle.trust_domain),
                    quote(trust_domain.as_str())
                )));
            }
            Some(bundle)
        }
    };
    Ok(FederationRelationship { trust_domain, bundle_endpoint_url, profile, bundle })
}

/// The URL as upstream stores it (SPIFFE Federation section 5.2.1, SA-115).
fn endpoint_url(text: &str) -> Result<String, ConvertError> {
    let url = GoUrl::parse(text).field("failed to parse bundle endpoint URL")?;
    let refused = |rule: &str| Err(ConvertError::message(format!("bundle endpoint URL must {rule}")));
    if url.scheme() != "https" {
        return refused("use the https scheme");
    }
    if url.host().is_empty() {
        return refused("specify the host");
    }
    if url.has_user() {
        return refused("not contain user info");
    }
    Ok(url.to_string())
}

pub fn federation_relationship_to_wire(
    relationship: &FederationRelationship,
    mask: &FederationMask,
) -> types::FederationRelationship {
    let mut wire = types::FederationRelationship {
        trust_domain: relationship.trust_domain.as_str().to_owned(),
        ..Default::default()
    };
    if mask.bundle_endpoint_url {
        wire.bundle_endpoint_url.clone_from(&relationship.bundle_endpoint_url);
    }
    if mask.bundle_endpoint_profile {
        wire.bundle_endpoint_profile = Some(match &relationship.profile {
            EndpointProfile::HttpsWeb => WireProfile::HttpsWeb(types::HttpsWebProfile {}),
            EndpointProfile::HttpsSpiffe { endpoint_spiffe_id } => {
                WireProfile::HttpsSpiffe(types::HttpsspiffeProfile {
                    endpoint_spiffe_id: endpoint_spiffe_id.to_string(),
                })
            }
        });
    }
    if mask.trust_domain_bundle {
        wire.trust_domain_bundle = relationship.bundle.as_ref().map(|b| bundle_to_wire(b, &BundleMask::ALL));
    }
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_urls_are_https_with_a_host_and_without_user() {
        // SA-115, FT-091
        for (url, expected) in [
            ("http://td.test", "bundle endpoint URL must use the https scheme"),
            ("td.test", "bundle endpoint URL must use the https scheme"),
            ("", "bundle endpoint URL must use the https scheme"),
            ("https://", "bundle endpoint URL must specify the host"),
            ("https:///x", "bundle endpoint URL must specify the host"),
            ("https:x", "bundle endpoint URL must specify the host"),
            ("https://user@", "bundle endpoint URL must specify the host"),
            ("https://user@td.test", "bundle endpoint URL must not contain user info"),
            (":x", "failed to parse bundle endpoint URL: parse \":x\": missing protocol scheme"),
            // A server of SPIRE's would fail to list anything if this were in the database.
            (
                "https://h/%zz",
                "failed to parse bundle endpoint URL: parse \"https://h/%zz\": invalid URL escape \"%zz\"",
            ),
            // A text that is no URL is refused before its scheme is looked at.
            (
                "http://h/\n",
                "failed to parse bundle endpoint URL: parse \"http://h/\\n\": net/url: invalid control character in URL",
            ),
        ] {
            assert_eq!(endpoint_url(url).unwrap_err().to_string(), expected, "{url}");
        }
    }

    #[test]
    fn endpoint_urls_are_stored_and_shown_in_one_spelling() {
        // SA-115; a server of SPIRE's on the same database shows the same
        let checks = KeyChecks { x509: &|_| Ok(()), pkix: &|_| Ok(()) };
        for (url, stored) in [
            ("https://td.test/bundle", "https://td.test/bundle"),
            ("HTTPS://TD.test:8443", "https://TD.test:8443"),
            ("https://h/a b#", "https://h/a%20b"),
        ] {
            let wire = types::FederationRelationship {
                trust_domain: "td.test".to_owned(),
                bundle_endpoint_url: url.to_owned(),
                bundle_endpoint_profile: Some(WireProfile::HttpsWeb(types::HttpsWebProfile {})),
                trust_domain_bundle: None,
            };
            let relationship = federation_relationship(&wire, checks).unwrap();
            assert_eq!(relationship.bundle_endpoint_url, stored);
            let shown = federation_relationship_to_wire(&relationship, &FederationMask::ALL);
            assert_eq!(shown.bundle_endpoint_url, stored);
        }
    }
}
