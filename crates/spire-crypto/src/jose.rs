//! JSON Web Keys, signatures and JWT-SVIDs (RFC 7515 to RFC 7519, SPIFFE JWT-SVID).

mod jwk;
mod jwt_svid;
mod private_jwk;

pub use jwk::{JwkError, jwk_members, public_key_of};
pub use jwt_svid::{
    Claims, JwtClaims, JwtError, jws_algorithm, peek_key_id, sign_jwt_svid, validate_jwt_svid,
};
pub use private_jwk::private_jwk;
