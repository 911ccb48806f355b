//! Public keys as JSON Web Keys (RFC 7517, RFC 7518 section 6).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use const_oid::db::{rfc5912, rfc8410};
use der::Encode;
use der::asn1::{AnyRef, BitStringRef, UintRef};
use serde_json::value::RawValue;

use super::go_base64;
use super::strict_json::{Members, string, strings};
use crate::key::{KeyAlgorithm, KeyError, PublicKey, rsa_parts};
use crate::x509::{Certificate, X509Error};

/// Why a JWK is not a key; the texts are those of go-jose where it refuses the same.
#[derive(Debug, thiserror::Error)]
pub enum JwkError {
    /// It is no object, has a member of another type than it must be, or two of one name.
    #[error("{0}")]
    Json(String),
    #[error("go-jose/go-jose: missing json web key type")]
    NoType,
    #[error("go-jose/go-jose: unsupported key type/format")]
    UnsupportedType,
    #[error("go-jose/go-jose: unsupported elliptic curve '{0}'")]
    UnknownCurve(String),
    #[error("go-jose/go-jose: invalid {0}")]
    Missing(&'static str),
    #[error("go-jose/go-jose: invalid EC public key, wrong length for {0}")]
    Length(&'static str),
    #[error("go-jose/go-jose: invalid EC key, X/Y are not on declared curve")]
    OffCurve,
    #[error("go-jose/go-jose: failed to unmarshal x5c field: {0}")]
    Chain(String),
    #[error("go-jose/go-jose: invalid JWK, found 'oct' (symmetric) key with cert chain")]
    SymmetricWithChain,
    #[error("go-jose/go-jose: invalid JWK, public keys in key and x5c fields do not match")]
    Mismatch,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Certificate(#[from] X509Error),
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

/// The key of a JWK; of a private one the public part.
#[derive(Debug)]
pub(crate) enum JwkKey {
    Public(PublicKey),
    Private(PublicKey),
    Symmetric,
}

/// A JWK that was read (CA-332).
#[derive(Debug)]
pub(crate) struct Jwk {
    pub(crate) key_id: String,
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) key: JwkKey,
}

impl Jwk {
    pub(crate) fn read(raw: &RawValue) -> Result<Self, JwkError> {
        Self::of(&Self::members(raw)?)
    }

    pub(crate) fn members(raw: &RawValue) -> Result<Members<'_>, JwkError> {
        Members::read(raw.get().as_bytes(), "jose.rawJSONWebKey").map_err(JwkError::Json)
    }

    /// What go-jose checks, in its order: types, certificates, key, and that these belong together.
    pub(crate) fn of(members: &Members<'_>) -> Result<Self, JwkError> {
        let text = |name| members.text(name).map_err(JwkError::Json);
        for name in ["use", "alg", "x5u", "x5t", "x5t#S256"] {
            text(name)?;
        }
        let (key_id, kind, curve) = (text("kid")?, text("kty")?, text("crv")?);
        let chain = members.get("x5c").map_or_else(|| Ok(Vec::new()), strings).map_err(JwkError::Json)?;
        let certificates = certificate_chain(&chain).map_err(JwkError::Chain)?;
        let public = match (kind.as_str(), curve.as_str()) {
            ("EC", curve) => Some(ec_key(members, curve)?),
            ("RSA", _) => match (bytes(members, "n")?, bytes(members, "e")?) {
                (Some(n), Some(e)) if !n.is_empty() && !e.is_empty() => Some(rsa_key(&n, &e)?),
                _ => return Err(JwkError::Missing("RSA key, missing n/e values")),
            },
            ("OKP", "Ed25519") => {
                let x = bytes(members, "x")?.ok_or(JwkError::Missing("Ed key, missing x value"))?;
                Some(key_from(rfc8410::ID_ED_25519, &[], &x)?)
            }
            ("oct", _) if !certificates.is_empty() => return Err(JwkError::SymmetricWithChain),
            ("oct", _) if bytes(members, "k")?.is_none() => {
                return Err(JwkError::Missing("OCT (symmetric) key, missing k value"));
            }
            ("oct", _) => None,
            ("", _) => return Err(JwkError::NoType),
            _ => return Err(JwkError::UnsupportedType),
        };
        if let (Some(leaf), Some(key)) = (certificates.first(), &public)
            && leaf.public_key()? != *key
        {
            return Err(JwkError::Mismatch);
        }
        let key = match public {
            None => JwkKey::Symmetric,
            Some(key) if members.get("d").is_some() => JwkKey::Private(key),
            Some(key) => JwkKey::Public(key),
        };
        Ok(Self { key_id, certificates, key })
    }

    pub(crate) fn is_public(&self) -> bool {
        matches!(self.key, JwkKey::Public(_))
    }
}

impl JwkKey {
    /// The public key, or what Go calls the type of one that nobody should know.
    pub(crate) fn into_public(self) -> Result<PublicKey, &'static str> {
        match self {
            Self::Public(key) => Ok(key),
            Self::Symmetric => Err("[]uint8"),
            Self::Private(key) => Err(match key.algorithm() {
                KeyAlgorithm::Rsa { .. } => "*rsa.PrivateKey",
                KeyAlgorithm::Ed25519 => "ed25519.PrivateKey",
                _ => "*ecdsa.PrivateKey",
            }),
        }
    }
}

/// The certificates of an `x5c`.
pub(super) fn certificate_chain(texts: &[String]) -> Result<Vec<Certificate>, String> {
    let certificate = |text: &String| {
        let der = go_base64::standard(text)?;
        Certificate::parse(&der).map_err(|error| error.to_string())
    };
    texts.iter().map(certificate).collect()
}

fn bytes(members: &Members<'_>, name: &str) -> Result<Option<Vec<u8>>, JwkError> {
    let Some(raw) = members.get(name) else { return Ok(None) };
    let text = string(raw).map_err(JwkError::Json)?;
    go_base64::url(&text).map(Some).map_err(JwkError::Json)
}

fn ec_key(members: &Members<'_>, curve: &str) -> Result<PublicKey, JwkError> {
    let (oid, length) = match curve {
        "P-256" => (rfc5912::SECP_256_R_1, 32),
        "P-384" => (rfc5912::SECP_384_R_1, 48),
        "P-521" => (rfc5912::SECP_521_R_1, 66),
        other => return Err(JwkError::UnknownCurve(other.to_owned())),
    };
    let (Some(x), Some(y)) = (bytes(members, "x")?, bytes(members, "y")?) else {
        return Err(JwkError::Missing("EC key, missing x/y values"));
    };
    for (name, coordinate) in [("x", &x), ("y", &y)] {
        if coordinate.len() != length {
            return Err(JwkError::Length(name));
        }
    }
    let point = [&[4][..], &x, &y].concat();
    let parameters = oid.to_der().map_err(|_| JwkError::Unsupported)?;
    key_from(rfc5912::ID_EC_PUBLIC_KEY, &parameters, &point).map_err(|_| JwkError::OffCurve)
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

    fn read(text: &str) -> Result<Jwk, String> {
        let raw = serde_json::from_str::<&RawValue>(text).unwrap();
        Jwk::read(raw).map_err(|error| error.to_string())
    }

    fn written(key: &PublicKey) -> String {
        let members = jwk_members(key).unwrap();
        let members = members.iter().map(|(name, value)| format!("{name:?}:{value:?}"));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }

    #[test]
    fn keys_survive_the_way_through_a_jwk() {
        for kind in [KeyType::EcP256, KeyType::EcP384, KeyType::Rsa2048] {
            let key = PrivateKey::generate(kind).unwrap();
            let jwk = read(&written(key.public_key())).unwrap();
            assert_eq!(&jwk.key.into_public().unwrap(), key.public_key(), "{kind}");
        }
    }

    #[test]
    fn an_edwards_key_is_written_and_read_as_rfc_8037_shows_it() {
        // CA-322; RFC 8037 appendix A.2
        let text = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let key = read(text).unwrap().key.into_public().unwrap();
        assert_eq!(key.algorithm(), KeyAlgorithm::Ed25519);
        assert_eq!(written(&key), text);
    }

    #[test]
    fn keys_that_nobody_should_know_are_told_apart() {
        // Else half of a key pair counts as the authority that its owner meant to publish.
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let private = written(key.public_key()).replacen('{', r#"{"d":"AA","#, 1);
        for (text, go_type) in [(&*private, "*ecdsa.PrivateKey"), (r#"{"kty":"oct","k":"AA"}"#, "[]uint8")] {
            let jwk = read(text).unwrap();
            assert!(!jwk.is_public());
            assert_eq!(jwk.key.into_public().unwrap_err(), go_type);
        }
    }

    #[test]
    fn what_is_no_key_is_refused_in_the_words_of_go_jose() {
        for (text, expected) in [
            ("{}", "missing json web key type"),
            ("null", "missing json web key type"),
            (r#"{"kty":"XX"}"#, "unsupported key type/format"),
            (r#"{"kty":"OKP","crv":"X25519","x":"AAAA"}"#, "unsupported key type/format"),
            (r#"{"kty":"EC","crv":"P-224"}"#, "unsupported elliptic curve 'P-224'"),
            (r#"{"kty":"EC","crv":"P-256","x":"AA"}"#, "invalid EC key, missing x/y values"),
            (r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#, "invalid EC public key, wrong length for x"),
            (r#"{"kty":"RSA","n":"AAAA"}"#, "invalid RSA key, missing n/e values"),
            (r#"{"kty":"OKP","crv":"Ed25519"}"#, "invalid Ed key, missing x value"),
            (r#"{"kty":"oct"}"#, "invalid OCT (symmetric) key, missing k value"),
        ] {
            assert_eq!(read(text).unwrap_err(), format!("go-jose/go-jose: {expected}"), "{text}");
        }
        let point = "A".repeat(43);
        let off_curve = format!(r#"{{"kty":"EC","crv":"P-256","x":"{point}","y":"{point}"}}"#);
        assert!(read(&off_curve).unwrap_err().ends_with("invalid EC key, X/Y are not on declared curve"));
        for text in [
            r#"{"kty":"RSA","n":"","e":"AQAB"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#,
            r#"{"kty":"oct","kty":"oct","k":"AA"}"#,
            r#"{"kty":"oct","k":"!"}"#,
            r#"{"kty":"oct","k":"AA","kid":5}"#,
            r#"{"kty":"oct","k":"AA","x5c":"x"}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
