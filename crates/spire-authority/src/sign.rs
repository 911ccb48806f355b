//! Issuing certificates and tokens (CA-201 to CA-265).

mod jwt;
mod x509;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use spire_crypto::x509::X509Error;
use spire_crypto::{KeyError, SignError};
use spire_runtime::SharedClock;
use spire_types::SpiffeId;

use crate::settings::CredentialSettings;
use crate::validate::Invalid;

pub(crate) use jwt::ActiveJwt;
pub use jwt::JwtSvidParams;
pub use x509::WorkloadSvidParams;
pub(crate) use x509::{ActiveX509, self_signed};

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("X509 CA is not available for signing")]
    NoX509Authority,
    #[error("JWT key is not available for signing")]
    NoJwtKey,
    #[error("invalid X509-SVID ID: {0}")]
    X509Id(String),
    #[error("invalid JWT-SVID ID: {0}")]
    JwtId(String),
    #[error("invalid JWT-SVID audience: cannot be empty")]
    NoAudience,
    #[error(transparent)]
    X509(#[from] X509Error),
    #[error("unable to sign JWT SVID: {0}")]
    Jwt(#[source] SignError),
    #[error(transparent)]
    Key(#[from] KeyError),
    /// What it was to be, and why it must not leave (CA-246).
    #[error("invalid {0}: {1}")]
    Invalid(&'static str, Invalid),
    #[error(transparent)]
    InvalidToken(Invalid),
}

/// Signs with the active authorities. Readers take an immutable snapshot; the
/// manager swaps it.
#[derive(Debug)]
pub struct Authority {
    settings: CredentialSettings,
    clock: SharedClock,
    x509: ArcSwapOption<ActiveX509>,
    jwt: ArcSwapOption<ActiveJwt>,
    svid_subject: spire_crypto::x509::DistinguishedName,
}

impl Authority {
    pub(crate) fn new(settings: CredentialSettings, clock: SharedClock) -> Result<Self, X509Error> {
        Ok(Self {
            settings,
            clock,
            x509: ArcSwapOption::empty(),
            jwt: ArcSwapOption::empty(),
            svid_subject: x509::svid_subject(None).to_name()?,
        })
    }

    pub fn settings(&self) -> &CredentialSettings {
        &self.settings
    }

    pub(crate) fn activate_x509(&self, authority: Arc<ActiveX509>) {
        self.x509.store(Some(authority));
    }

    pub(crate) fn activate_jwt(&self, key: Arc<ActiveJwt>) {
        self.jwt.store(Some(key));
    }

    /// IDs of other trust domains and without a path are never signed (CA-225).
    fn check_id(&self, id: &SpiffeId) -> Result<(), IssueError> {
        id.require_member_of(&self.settings.trust_domain)
            .map_err(|error| IssueError::X509Id(error.to_string()))
    }
}
