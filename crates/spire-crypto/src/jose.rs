//! JSON Web Keys, signatures and JWT-SVIDs (RFC 7515 to RFC 7519, SPIFFE JWT-SVID).

mod go_base64;
mod go_json;
mod jwk;
mod jwt_claims;
mod jwt_header;
mod jwt_svid;
mod private_jwk;
pub(crate) mod strict_json;

pub(crate) use jwk::Jwk;
pub use jwk::{JwkError, jwk_members};
pub use jwt_claims::{Claims, JwtClaims};
pub use jwt_svid::{JwtError, jws_algorithm, peek_key_id, sign_jwt_svid, validate_jwt_svid};
pub use private_jwk::private_jwk;
