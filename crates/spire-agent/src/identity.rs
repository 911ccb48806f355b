//! Who the agent is: its key, its SVID, and how both are renewed.

mod attester;
mod exchange;
mod join_token;
mod keys;
mod recovery;
mod rotation;
mod rotator;
mod svid;

pub use attester::{Attester, Proof};
pub use keys::KeySlots;
pub use recovery::{Recovered, recover};
pub use rotation::RotationPolicy;
pub use rotator::Rotator;
pub use svid::{AgentSvid, Identity};

/// Subject of all requests: `C=US, O=SPIRE` (AG-238, AG-354).
pub fn request_subject() -> Result<spire_crypto::x509::DistinguishedName, spire_crypto::x509::X509Error> {
    spire_crypto::x509::Subject {
        country: vec!["US".to_owned()],
        organization: vec!["SPIRE".to_owned()],
        ..Default::default()
    }
    .to_name()
}
