//! Signing and validating JWT-SVIDs.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use spire_types::{SpiffeId, TrustDomain};

use crate::go_text::{base64_error, json_error};
use crate::key::{KeyAlgorithm, PublicKey, SignatureScheme};
use crate::signer::{SignError, Signer};

/// All claims of a token, as they stand in it.
pub type Claims = Map<String, Value>;

/// Tolerance on `exp`, `nbf` and `iat` in seconds (AG-494).
const LEEWAY: f64 = 60.0;

/// The claims of a JWT-SVID in the order in which they are written (CA-260, CA-261).
#[derive(Debug, Clone, Serialize)]
pub struct JwtClaims<'a> {
    pub aud: &'a [String],
    pub exp: i64,
    pub iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<&'a str>,
    pub sub: &'a str,
}

/// The protected header, members in alphabetical order (CA-258).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JwtHeader {
    pub alg: String,
    #[serde(default)]
    pub kid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typ: Option<String>,
}

/// Why a token was refused; the texts are those that clients of SPIRE see (AG-493).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    #[error("unable to parse JWT token: {0}")]
    Parse(String),
    /// A claim is of another type than it must be.
    #[error("go-jose/go-jose/jwt: {0}")]
    Claim(&'static str),
    #[error("token header missing key id")]
    NoKeyId,
    /// CA-398, CA-552
    #[error("token header type not equal to either JWT or JOSE")]
    Type,
    #[error("token missing subject claim")]
    NoSubject,
    #[error("token missing exp claim")]
    NoExpiry,
    // The misspelling is what users match on (CA-556).
    #[error("token has in invalid subject claim: {0}")]
    Subject(String),
    #[error("no keys found for trust domain \"{0}\"")]
    NoKeys(TrustDomain),
    #[error("public key \"{kid}\" not found in trust domain \"{trust_domain}\"")]
    UnknownKey { kid: String, trust_domain: TrustDomain },
    #[error("go-jose/go-jose: error in cryptographic primitive")]
    Signature,
    #[error("expected audience in {expected} (audience={found})")]
    Audience { expected: String, found: String },
    #[error("token has expired")]
    Expired,
    #[error("go-jose/go-jose/jwt: validation failed, token not valid yet (nbf)")]
    NotYetValid,
    #[error("go-jose/go-jose/jwt: validation field, token issued in the future (iat)")]
    IssuedInFuture,
}

/// The JWS algorithm of a key (CA-259).
pub fn jws_algorithm(key: &PublicKey) -> Option<(&'static str, SignatureScheme)> {
    Some(match key.algorithm() {
        KeyAlgorithm::Rsa { bits } if bits >= 2048 => ("RS256", SignatureScheme::RsaPkcs1Sha256),
        KeyAlgorithm::EcP256 => ("ES256", SignatureScheme::EcdsaSha256),
        KeyAlgorithm::EcP384 => ("ES384", SignatureScheme::EcdsaSha384),
        _ => return None,
    })
}

/// Signs claims, compact serialization (CA-258).
pub async fn sign_jwt_svid<C: Serialize + Sync>(
    claims: &C,
    kid: &str,
    signer: &dyn Signer,
) -> Result<String, SignError> {
    let (alg, scheme) = jws_algorithm(signer.public_key()).ok_or_else(|| {
        SignError::Remote("failed to determine JWT key algorithm: unsupported key".to_owned())
    })?;
    let header = JwtHeader { alg: alg.to_owned(), kid: kid.to_owned(), typ: Some("JWT".to_owned()) };
    let encode = |error: serde_json::Error| SignError::Remote(error.to_string());
    let mut token = String::with_capacity(512);
    URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(&header).map_err(encode)?, &mut token);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims).map_err(encode)?, &mut token);
    let signature = signer.sign(scheme, token.as_bytes()).await?;
    let signature = match coordinate_length(scheme) {
        Some(length) => fixed_signature(&signature, length)
            .ok_or_else(|| SignError::Remote("the key returned a malformed ECDSA signature".to_owned()))?,
        None => signature,
    };
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

/// Header and claims of a token, without any check of either.
pub fn peek_header(token: &str) -> Result<(JwtHeader, Claims), JwtError> {
    let malformed = |what: &str| JwtError::Parse(format!("go-jose/go-jose: {what}"));
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed("compact JWS format must have three parts"));
    };
    let decode = |part: &str| {
        URL_SAFE_NO_PAD.decode(part).map_err(|error| JwtError::Parse(base64_error(part, &error)))
    };
    let header: JwtHeader = read_json(&decode(header)?)?;
    decode(signature)?;
    let claims: Claims = read_json(&decode(claims)?)?;
    Ok((header, claims))
}

fn read_json<T: serde::de::DeserializeOwned>(text: &[u8]) -> Result<T, JwtError> {
    serde_json::from_slice(text).map_err(|error| JwtError::Parse(json_error(text, &error)))
}

/// Validates a token against the keys of its subject's trust domain and one
/// audience, in upstream's order (CA-407): what, who, key, signature, audience, time.
///
/// `keys_of` gives the lookup from key id to key of a trust domain.
pub fn validate_jwt_svid<'k, F, K>(
    token: &str,
    keys_of: F,
    audience: &str,
    now_unix: i64,
) -> Result<(SpiffeId, Claims), JwtError>
where
    F: Fn(&TrustDomain) -> Option<K>,
    K: Fn(&str) -> Option<&'k PublicKey>,
{
    let (header, claims) = peek_header(token)?;
    let scheme = scheme_of(&header.alg).ok_or_else(|| {
        JwtError::Parse(format!("go-jose/go-jose: unexpected signature algorithm {:?}", header.alg))
    })?;
    if header.kid.is_empty() {
        return Err(JwtError::NoKeyId);
    }
    if !matches!(header.typ.as_deref(), None | Some("JWT" | "JOSE")) {
        return Err(JwtError::Type);
    }
    check_types(&claims)?;
    let subject =
        claims.get("sub").and_then(Value::as_str).filter(|s| !s.is_empty()).ok_or(JwtError::NoSubject)?;
    let expiry = number(&claims, "exp")?.ok_or(JwtError::NoExpiry)?;
    let id: SpiffeId =
        subject.parse().map_err(|e: spire_types::SpiffeIdError| JwtError::Subject(e.to_string()))?;
    let lookup = keys_of(id.trust_domain()).ok_or_else(|| JwtError::NoKeys(id.trust_domain().clone()))?;
    let key = lookup(&header.kid).ok_or_else(|| JwtError::UnknownKey {
        kid: header.kid.clone(),
        trust_domain: id.trust_domain().clone(),
    })?;
    verify(token, scheme, key)?;
    check_audience(&claims, audience)?;
    let now = now_unix as f64;
    if number(&claims, "nbf")?.is_some_and(|nbf| now + LEEWAY < nbf) {
        return Err(JwtError::NotYetValid);
    }
    if now - LEEWAY > expiry {
        return Err(JwtError::Expired);
    }
    if number(&claims, "iat")?.is_some_and(|iat| now + LEEWAY < iat) {
        return Err(JwtError::IssuedInFuture);
    }
    Ok((id, claims))
}

/// Upstream reads the claims before it looks at any of them.
fn check_types(claims: &Claims) -> Result<(), JwtError> {
    match claims.get("aud") {
        None | Some(Value::Null | Value::String(_)) => {}
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => {}
        Some(_) => {
            return Err(JwtError::Claim("expected string or array value to unmarshal to Audience"));
        }
    }
    for name in ["exp", "nbf", "iat"] {
        number(claims, name)?;
    }
    Ok(())
}

fn number(claims: &Claims, name: &str) -> Result<Option<f64>, JwtError> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64() {
            Some(number) => Ok(Some(number)),
            None => Err(JwtError::Claim("expected number value to unmarshal NumericDate")),
        },
    }
}

fn check_audience(claims: &Claims, wanted: &str) -> Result<(), JwtError> {
    let found: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if found.contains(&wanted) {
        return Ok(());
    }
    Err(JwtError::Audience { expected: format!("[{wanted:?}]"), found: quoted_list(&found) })
}

/// Go's `%q` of a list of strings.
fn quoted_list(list: &[&str]) -> String {
    let quoted: Vec<String> = list.iter().map(|item| format!("{item:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

fn verify(token: &str, scheme: SignatureScheme, key: &PublicKey) -> Result<(), JwtError> {
    let (message, signature) = token.rsplit_once('.').ok_or(JwtError::Signature)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| JwtError::Signature)?;
    let fits = matches!(
        (key.algorithm(), scheme),
        (KeyAlgorithm::EcP256, SignatureScheme::EcdsaSha256)
            | (KeyAlgorithm::EcP384, SignatureScheme::EcdsaSha384)
            | (KeyAlgorithm::EcP521, SignatureScheme::EcdsaSha512)
            | (KeyAlgorithm::Rsa { .. }, _)
    );
    if !fits {
        return Err(JwtError::Signature);
    }
    let signature = match coordinate_length(scheme) {
        Some(length) => asn1_signature(&signature, length).ok_or(JwtError::Signature)?,
        None => signature,
    };
    key.verify(scheme, message.as_bytes(), &signature).map_err(|_| JwtError::Signature)
}

/// The nine algorithms that a JWT-SVID may have (CA-396).
fn scheme_of(alg: &str) -> Option<SignatureScheme> {
    Some(match alg {
        "RS256" => SignatureScheme::RsaPkcs1Sha256,
        "RS384" => SignatureScheme::RsaPkcs1Sha384,
        "RS512" => SignatureScheme::RsaPkcs1Sha512,
        "ES256" => SignatureScheme::EcdsaSha256,
        "ES384" => SignatureScheme::EcdsaSha384,
        "ES512" => SignatureScheme::EcdsaSha512,
        "PS256" => SignatureScheme::RsaPssSha256,
        "PS384" => SignatureScheme::RsaPssSha384,
        "PS512" => SignatureScheme::RsaPssSha512,
        _ => return None,
    })
}

fn coordinate_length(scheme: SignatureScheme) -> Option<usize> {
    Some(match scheme {
        SignatureScheme::EcdsaSha256 => 32,
        SignatureScheme::EcdsaSha384 => 48,
        SignatureScheme::EcdsaSha512 => 66,
        _ => return None,
    })
}

#[derive(der::Sequence)]
struct Asn1Signature<'a> {
    r: der::asn1::UintRef<'a>,
    s: der::asn1::UintRef<'a>,
}

/// ASN.1 to raw R‖S (RFC 7518 section 3.4).
fn fixed_signature(asn1: &[u8], length: usize) -> Option<Vec<u8>> {
    let parsed = <Asn1Signature<'_> as der::Decode>::from_der(asn1).ok()?;
    let mut out = vec![0; 2 * length];
    for (half, number) in [parsed.r, parsed.s].iter().enumerate() {
        let bytes = number.as_bytes();
        let end = (half + 1) * length;
        out.get_mut(end.checked_sub(bytes.len())?..end)?.copy_from_slice(bytes);
    }
    Some(out)
}

fn asn1_signature(raw: &[u8], length: usize) -> Option<Vec<u8>> {
    if raw.len() != 2 * length {
        return None;
    }
    let (r, s) = raw.split_at(length);
    let parsed = Asn1Signature { r: der::asn1::UintRef::new(r).ok()?, s: der::asn1::UintRef::new(s).ok()? };
    der::Encode::to_der(&parsed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeyType, PrivateKey};

    const NOW: i64 = 1_700_000_000;

    fn block_on<F: Future>(future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
            std::task::Poll::Ready(output) => output,
            std::task::Poll::Pending => panic!("a local key does not wait"),
        }
    }

    fn token(key: &PrivateKey, claims: &Value) -> String {
        block_on(sign_jwt_svid(claims, "kid", key)).unwrap()
    }

    fn validate(key: &PrivateKey, token: &str) -> Result<Claims, String> {
        let keys = |td: &TrustDomain| {
            (td.as_str() == "td").then_some(|kid: &str| (kid == "kid").then_some(key.public_key()))
        };
        validate_jwt_svid(token, keys, "me", NOW).map(|(_, claims)| claims).map_err(|e| e.to_string())
    }

    fn good() -> Value {
        serde_json::json!({"sub": "spiffe://td/w", "aud": ["you", "me"], "exp": NOW + 10, "iat": NOW})
    }

    #[test]
    fn tokens_of_every_key_type_validate() {
        for kind in [KeyType::EcP256, KeyType::EcP384, KeyType::Rsa2048] {
            let key = PrivateKey::generate(kind).unwrap();
            assert!(validate(&key, &token(&key, &good())).is_ok(), "{kind}");
        }
    }

    #[test]
    fn header_and_claims_are_written_in_alphabetical_order() {
        // CA-258, CA-261
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let audience = vec!["a".to_owned()];
        let claims =
            JwtClaims { aud: &audience, exp: 2, iat: 1, iss: Some("i"), jti: None, sub: "spiffe://td/w" };
        let token = block_on(sign_jwt_svid(&claims, "k", &key)).unwrap();
        let part = |n: usize| URL_SAFE_NO_PAD.decode(token.split('.').nth(n).unwrap()).unwrap();
        assert_eq!(part(0), br#"{"alg":"ES256","kid":"k","typ":"JWT"}"#);
        assert_eq!(part(1), br#"{"aud":["a"],"exp":2,"iat":1,"iss":"i","sub":"spiffe://td/w"}"#);
    }

    #[test]
    fn each_flaw_has_its_own_text() {
        // CA-395 to CA-404
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let with = |name: &str, value: Value| {
            let mut claims = good();
            claims[name] = value;
            token(&key, &claims)
        };
        for (token, expected) in [
            (with("sub", Value::Null), "token missing subject claim"),
            (with("exp", Value::Null), "token missing exp claim"),
            (
                with("sub", "http://td/w".into()),
                "token has in invalid subject claim: scheme is missing or invalid",
            ),
            (with("sub", "spiffe://other/w".into()), "no keys found for trust domain \"other\""),
            (with("aud", "you".into()), "expected audience in [\"me\"] (audience=[\"you\"])"),
            (with("exp", (NOW - 61).into()), "token has expired"),
        ] {
            assert_eq!(validate(&key, &token).unwrap_err(), expected);
        }
        assert!(validate(&key, &with("exp", (NOW - 59).into())).is_ok());
        assert!(validate(&key, &with("aud", "me".into())).is_ok());
        let none = format!("{}.e30.", URL_SAFE_NO_PAD.encode(br#"{"alg":"none"}"#));
        assert!(validate(&key, &none).unwrap_err().starts_with("unable to parse JWT token: "));
    }

    #[test]
    fn another_key_does_not_validate() {
        let (key, other) =
            (PrivateKey::generate(KeyType::EcP256).unwrap(), PrivateKey::generate(KeyType::EcP256).unwrap());
        assert!(validate(&other, &token(&key, &good())).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_validator_panic(text: String) {
            let _ = peek_header(&text);
        }
    }
}
