use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use spire_crypto::jose::{JwtClaims, sign_jwt_svid};
use spire_plugin::ManagedKey;
use spire_types::{JwtSvid, SpiffeId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Authority, IssueError};

/// A JWT signing key.
#[derive(Debug)]
pub(crate) struct ActiveJwt {
    pub(crate) key: Arc<dyn ManagedKey>,
    pub(crate) key_id: String,
    pub(crate) not_after: OffsetDateTime,
}

/// What a token is to say.
#[derive(Debug, Clone)]
pub struct JwtSvidParams {
    pub spiffe_id: SpiffeId,
    /// Empty strings are dropped (CA-260).
    pub audience: Vec<String>,
    /// Zero: the default.
    pub ttl: Duration,
    /// A claim that makes each token unique (CA-262).
    pub include_jti: bool,
}

impl Authority {
    /// CA-258 to CA-264
    pub async fn sign_jwt_svid(&self, params: JwtSvidParams) -> Result<JwtSvid, IssueError> {
        params
            .spiffe_id
            .require_member_of(&self.settings.trust_domain)
            .map_err(|error| IssueError::JwtId(error.to_string()))?;
        let audience: Vec<String> = params.audience.into_iter().filter(|one| !one.is_empty()).collect();
        if audience.is_empty() {
            return Err(IssueError::NoAudience);
        }
        let key = self.jwt.load_full().ok_or(IssueError::NoJwtKey)?;
        let issued_at = self.clock.unix();
        let ttl = if params.ttl.is_zero() { self.settings.jwt_svid_ttl } else { params.ttl };
        let wanted = issued_at.saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX));
        let expires_at = wanted.min(key.not_after.unix_timestamp());
        crate::validate::token_expiry(expires_at, issued_at).map_err(IssueError::InvalidToken)?;
        let subject = params.spiffe_id.to_string();
        let jti = params.include_jti.then(|| URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes()));
        let claims = JwtClaims {
            aud: &audience,
            exp: expires_at,
            iat: issued_at,
            iss: Some(self.settings.jwt_issuer.as_str()).filter(|issuer| !issuer.is_empty()),
            jti: jti.as_deref(),
            sub: &subject,
        };
        let token = sign_jwt_svid(&claims, &key.key_id, &*key.key).await.map_err(IssueError::Jwt)?;
        Ok(JwtSvid { id: params.spiffe_id, token: token.into(), issued_at, expires_at, hint: String::new() })
    }
}
