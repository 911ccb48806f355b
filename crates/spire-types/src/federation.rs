use crate::{Bundle, SpiffeId, TrustDomain};

/// How and where the bundle of another trust domain is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FederationRelationship {
    pub trust_domain: TrustDomain,
    /// `https`, with a host, without user info, as [`GoUrl`](crate::GoUrl) prints it (SA-115). Old rows of the
    /// database may have it as it was written.
    pub bundle_endpoint_url: String,
    pub profile: EndpointProfile,
    /// What is stored of that trust domain now, if anything.
    pub bundle: Option<Bundle>,
}

/// How a bundle endpoint authenticates itself (SPIFFE Federation section 5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointProfile {
    HttpsWeb,
    HttpsSpiffe { endpoint_spiffe_id: SpiffeId },
}

impl EndpointProfile {
    /// The name in the database and on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::HttpsWeb => "https_web",
            Self::HttpsSpiffe { .. } => "https_spiffe",
        }
    }
}

/// Which fields of a [`FederationRelationship`] are meant; the trust domain always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FederationMask {
    pub bundle_endpoint_url: bool,
    pub bundle_endpoint_profile: bool,
    pub trust_domain_bundle: bool,
}

impl FederationMask {
    pub const ALL: Self =
        Self { bundle_endpoint_url: true, bundle_endpoint_profile: true, trust_domain_bundle: true };
}
