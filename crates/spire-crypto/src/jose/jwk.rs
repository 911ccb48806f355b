//! Public keys as JSON Web Keys (RFC 7517, RFC 7518 section 6).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use const_oid::db::{rfc5912, rfc8410};
use der::Encode;
use der::asn1::{AnyRef, BitStringRef, UintRef};
use serde_json::{Map, Value};

use crate::key::{KeyAlgorithm, KeyError, PublicKey, rsa_parts};

/// Why a JWK is not a key.
#[derive(Debug, thiserror::Error)]
pub enum JwkError {
    #[error("JWK has no \"kty\"")]
    NoType,
    #[error("unknown json web key type '{0}'")]
    UnknownType(String),
    #[error("unsupported elliptic curve '{0}'")]
    UnknownCurve(String),
    #[error("invalid JWK: member {0:?} is missing or malformed")]
    Member(&'static str),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the key cannot be written as JWK")]
    Unsupported,
}

/// The key's own members in the order in which they are written (CA-322):
/// `kty crv x y`, `kty n e` or `kty crv x` (RFC 8037).
pub fn jwk_members(key: &PublicKey) -> Result<Vec<(&'static str, String)>, JwkError> {
    let (curve, length) = match key.algorithm() {
        KeyAlgorithm::EcP256 => ("P-256", 32),
        KeyAlgorithm::EcP384 => ("P-384", 48),
        KeyAlgorithm::EcP521 => ("P-521", 66),
        KeyAlgorithm::Rsa { .. } => {
            let (n, e) = rsa_parts(key.key_bits())?;
            return Ok(vec![
                ("kty", "RSA".to_owned()),
                ("n", URL_SAFE_NO_PAD.encode(n)),
                ("e", URL_SAFE_NO_PAD.encode(e)),
            ]);
        }
        KeyAlgorithm::Ed25519 => {
            return Ok(vec![
                ("kty", "OKP".to_owned()),
                ("crv", "Ed25519".to_owned()),
                ("x", URL_SAFE_NO_PAD.encode(key.key_bits())),
            ]);
        }
        KeyAlgorithm::Other => return Err(JwkError::Unsupported),
    };
    let (x, y) = key.key_bits()[1..].split_at(length);
    Ok(vec![
        ("kty", "EC".to_owned()),
        ("crv", curve.to_owned()),
        ("x", URL_SAFE_NO_PAD.encode(x)),
        ("y", URL_SAFE_NO_PAD.encode(y)),
    ])
}

/// Reads the key of a JWK (CA-332).
pub fn public_key_of(jwk: &Map<String, Value>) -> Result<PublicKey, JwkError> {
    let kty = jwk.get("kty").and_then(Value::as_str).ok_or(JwkError::NoType)?;
    match kty {
        "RSA" => rsa_key(&bytes(jwk, "n")?, &bytes(jwk, "e")?),
        "EC" => {
            let curve = jwk.get("crv").and_then(Value::as_str).unwrap_or_default();
            let (oid, length) = match curve {
                "P-256" => (rfc5912::SECP_256_R_1, 32),
                "P-384" => (rfc5912::SECP_384_R_1, 48),
                "P-521" => (rfc5912::SECP_521_R_1, 66),
                other => return Err(JwkError::UnknownCurve(other.to_owned())),
            };
            let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
            if x.len() != length {
                return Err(JwkError::Member("x"));
            }
            if y.len() != length {
                return Err(JwkError::Member("y"));
            }
            let point = [&[4][..], &x, &y].concat();
            let parameters = oid.to_der().map_err(|_| JwkError::Unsupported)?;
            key_from(rfc5912::ID_EC_PUBLIC_KEY, &parameters, &point)
        }
        "OKP" => match jwk.get("crv").and_then(Value::as_str).unwrap_or_default() {
            "Ed25519" => {
                let x = bytes(jwk, "x")?;
                if x.len() != 32 {
                    return Err(JwkError::Member("x"));
                }
                key_from(rfc8410::ID_ED_25519, &[], &x)
            }
            other => Err(JwkError::UnknownCurve(other.to_owned())),
        },
        other => Err(JwkError::UnknownType(other.to_owned())),
    }
}

fn bytes(jwk: &Map<String, Value>, member: &'static str) -> Result<Vec<u8>, JwkError> {
    let text = jwk.get(member).and_then(Value::as_str).ok_or(JwkError::Member(member))?;
    match URL_SAFE_NO_PAD.decode(text) {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes),
        _ => Err(JwkError::Member(member)),
    }
}

fn rsa_key(n: &[u8], e: &[u8]) -> Result<PublicKey, JwkError> {
    let failed = |_| JwkError::Unsupported;
    let mut parts = UintRef::new(n).and_then(|n| n.to_der()).map_err(failed)?;
    parts.extend(UintRef::new(e).and_then(|e| e.to_der()).map_err(failed)?);
    let key = AnyRef::new(der::Tag::Sequence, &parts).and_then(|s| s.to_der()).map_err(failed)?;
    let null = AnyRef::NULL.to_der().map_err(failed)?;
    key_from(rfc5912::RSA_ENCRYPTION, &null, &key)
}

fn key_from(oid: const_oid::ObjectIdentifier, parameters: &[u8], bits: &[u8]) -> Result<PublicKey, JwkError> {
    let failed = |_| JwkError::Unsupported;
    let mut algorithm = oid.to_der().map_err(failed)?;
    algorithm.extend_from_slice(parameters);
    let mut info = AnyRef::new(der::Tag::Sequence, &algorithm).and_then(|s| s.to_der()).map_err(failed)?;
    info.extend(BitStringRef::from_bytes(bits).and_then(|b| b.to_der()).map_err(failed)?);
    let spki = AnyRef::new(der::Tag::Sequence, &info).and_then(|s| s.to_der()).map_err(failed)?;
    let key = PublicKey::from_pkix(&spki)?;
    key.check()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeyType, PrivateKey};

    #[test]
    fn keys_survive_the_way_through_a_jwk() {
        for kind in [KeyType::EcP256, KeyType::EcP384, KeyType::Rsa2048] {
            let key = PrivateKey::generate(kind).unwrap();
            let jwk: Map<String, Value> = jwk_members(key.public_key())
                .unwrap()
                .into_iter()
                .map(|(name, value)| (name.to_owned(), Value::String(value)))
                .collect();
            assert_eq!(&public_key_of(&jwk).unwrap(), key.public_key(), "{kind}");
        }
    }

    #[test]
    fn an_edwards_key_is_written_and_read_as_rfc_8037_shows_it() {
        // CA-322; RFC 8037 appendix A.2
        let text = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let key = public_key_of(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(key.algorithm(), KeyAlgorithm::Ed25519);
        let members = jwk_members(&key).unwrap();
        let written = members.iter().map(|(name, value)| format!("{name:?}:{value:?}"));
        assert_eq!(format!("{{{}}}", written.collect::<Vec<_>>().join(",")), text);
    }

    #[test]
    fn unknown_types_and_curves_are_refused() {
        let jwk = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        for text in [
            r#"{}"#,
            r#"{"kty":"oct"}"#,
            r#"{"kty":"EC","crv":"P-224"}"#,
            r#"{"kty":"RSA","n":"","e":"AQAB"}"#,
            r#"{"kty":"OKP","crv":"X25519","x":"AAAA"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#,
        ] {
            assert!(public_key_of(&jwk(text)).is_err(), "{text}");
        }
    }
}
