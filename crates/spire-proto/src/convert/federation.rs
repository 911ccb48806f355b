use spire_types::{
    BundleMask, EndpointProfile, FederationMask, FederationRelationship, SpiffeId, TrustDomain,
};
use url::Url;

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
    check_url(&wire.bundle_endpoint_url)?;
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
                    "trust domain bundle ({:?}) must match the trust domain of the federation relationship ({:?})",
                    wire_bundle.trust_domain,
                    trust_domain.as_str()
                )));
            }
            Some(bundle)
        }
    };
    Ok(FederationRelationship {
        trust_domain,
        bundle_endpoint_url: wire.bundle_endpoint_url.clone(),
        profile,
        bundle,
    })
}

/// SPIFFE Federation section 5.2.1 and SA-115.
fn check_url(text: &str) -> Result<(), ConvertError> {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    if !scheme.eq_ignore_ascii_case("https") {
        if scheme.is_empty() && text.starts_with(':') {
            return Err(ConvertError::message(format!("parse {text:?}: missing protocol scheme")))
                .field("failed to parse bundle endpoint URL");
        }
        return Err(ConvertError::message("bundle endpoint URL must use the https scheme"));
    }
    let rest = &text[scheme.len() + 1..];
    let authority = rest.strip_prefix("//").unwrap_or_default();
    let authority = &authority[..authority.find(['/', '?', '#']).unwrap_or(authority.len())];
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host.is_empty() {
        return Err(ConvertError::message("bundle endpoint URL must specify the host"));
    }
    if authority.contains('@') {
        return Err(ConvertError::message("bundle endpoint URL must not contain user info"));
    }
    Url::parse(text)
        .map_err(|error| ConvertError::message(format!("parse {text:?}: {error}")))
        .field("failed to parse bundle endpoint URL")?;
    Ok(())
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
        // SA-115
        for (url, expected) in [
            ("https://td.test/bundle", None),
            ("HTTPS://td.test:8443", None),
            ("http://td.test", Some("bundle endpoint URL must use the https scheme")),
            ("td.test", Some("bundle endpoint URL must use the https scheme")),
            ("https://", Some("bundle endpoint URL must specify the host")),
            ("https:///x", Some("bundle endpoint URL must specify the host")),
            ("https://user@td.test", Some("bundle endpoint URL must not contain user info")),
        ] {
            assert_eq!(check_url(url).err().map(|e| e.to_string()).as_deref(), expected, "{url}");
        }
    }
}
