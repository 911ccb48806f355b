use std::time::Duration;

use spire_crypto::KeyType;
use spire_crypto::x509::Subject;
use spire_types::TrustDomain;

/// What certificates and tokens look like and how long they live.
#[derive(Debug, Clone)]
pub struct CredentialSettings {
    pub trust_domain: TrustDomain,
    /// Of X.509 authorities and JWT keys alike (CA-025).
    pub ca_ttl: Duration,
    pub x509_svid_ttl: Duration,
    pub jwt_svid_ttl: Duration,
    /// `None`: as workloads (CA-218).
    pub agent_svid_ttl: Option<Duration>,
    pub ca_subject: Subject,
    /// The `iss` claim; absent when empty (CA-260).
    pub jwt_issuer: String,
    pub ca_key_type: KeyType,
    pub jwt_key_type: KeyType,
    /// CA-087
    pub disable_jwt_svids: bool,
}

impl CredentialSettings {
    pub const DEFAULT_CA_TTL: Duration = Duration::from_secs(24 * 3600);
    pub const DEFAULT_X509_SVID_TTL: Duration = Duration::from_secs(3600);
    pub const DEFAULT_JWT_SVID_TTL: Duration = Duration::from_secs(300);

    /// `C=US, O=SPIFFE` (CA-213).
    pub fn default_ca_subject() -> Subject {
        Subject {
            country: vec!["US".to_owned()],
            organization: vec!["SPIFFE".to_owned()],
            ..Subject::default()
        }
    }

    /// What upstream takes when nothing is configured; zero lifetimes mean it too (SC-042).
    pub fn new(trust_domain: TrustDomain) -> Self {
        Self {
            trust_domain,
            ca_ttl: Self::DEFAULT_CA_TTL,
            x509_svid_ttl: Self::DEFAULT_X509_SVID_TTL,
            jwt_svid_ttl: Self::DEFAULT_JWT_SVID_TTL,
            agent_svid_ttl: None,
            ca_subject: Self::default_ca_subject(),
            jwt_issuer: String::new(),
            ca_key_type: KeyType::EcP256,
            jwt_key_type: KeyType::EcP256,
            disable_jwt_svids: false,
        }
    }
}
