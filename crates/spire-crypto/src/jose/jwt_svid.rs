//! Signing and validating JWT-SVIDs.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use spire_types::go_text::quote as go_quote;
use spire_types::{SpiffeId, TrustDomain};

use super::jwt_claims::{self, Claims, quoted_list};
use super::jwt_header::Header;
use super::{go_base64, go_json};
use crate::key::{KeyAlgorithm, PublicKey, SignatureScheme};
use crate::signer::{SignError, Signer};

/// The protected header, members in alphabetical order (CA-258).
#[derive(Debug, Serialize)]
struct JwtHeader<'a> {
    alg: &'static str,
    kid: &'a str,
    typ: &'static str,
}

/// Why a token was refused; the texts are those that clients of SPIRE see (AG-493).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    #[error("unable to parse JWT token: {0}")]
    Parse(String),
    /// They cannot be read, or one is of another type than it must be.
    #[error("{0}")]
    Claims(String),
    #[error("token header missing key id")]
    NoKeyId,
    /// CA-398, CA-552
    #[error("token header type not equal to either JWT or JOSE")]
    Type,
    #[error("unable to parse JWT token: go-jose/go-jose: invalid embedded jwk, must be public key")]
    SecretKey,
    #[error("go-jose/go-jose: unsupported critical header")]
    Critical,
    #[error("token missing subject claim")]
    NoSubject,
    #[error("token missing exp claim")]
    NoExpiry,
    // The misspelling is what users match on (CA-556).
    #[error("token has in invalid subject claim: {0}")]
    Subject(String),
    #[error("no keys found for trust domain \"{0}\"")]
    NoKeys(TrustDomain),
    #[error("public key {} not found in trust domain \"{trust_domain}\"", go_quote(.kid))]
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
    let header = JwtHeader { alg, kid, typ: "JWT" };
    let encode = |error: serde_json::Error| SignError::Remote(error.to_string());
    let mut token = String::with_capacity(512);
    URL_SAFE_NO_PAD.encode_string(go_json::to_vec(&header).map_err(encode)?, &mut token);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(go_json::to_vec(claims).map_err(encode)?, &mut token);
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

/// A token taken apart; nothing of it is checked but that it can be read.
struct Parts {
    header: Header,
    claims: Vec<u8>,
    signature: Vec<u8>,
}

impl Parts {
    fn of(token: &str) -> Result<Self, JwtError> {
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JwtError::Parse(
                "go-jose/go-jose: compact JWS format must have three parts".to_owned(),
            ));
        };
        let decode = |part| go_base64::url(part).map_err(JwtError::Parse);
        let (header, claims, signature) = (decode(header)?, decode(claims)?, decode(signature)?);
        Ok(Self { header: Header::read(&header)?, claims, signature })
    }
}

/// What the signature is of: header and claims as their signer wrote them. Line breaks came in on the way.
fn signed_text(token: &str) -> Cow<'_, str> {
    let text = token.rsplit_once('.').map_or(token, |(text, _)| text);
    match go_base64::has_line_breaks(text) {
        true => go_base64::without_line_breaks(text).into(),
        false => text.into(),
    }
}

/// The id of the key that a token says it was signed with, without any check.
pub fn peek_key_id(token: &str) -> Result<String, JwtError> {
    Ok(Parts::of(token)?.header.key_id)
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
    let Parts { header, claims, signature } = Parts::of(token)?;
    let scheme = scheme_of(&header.algorithm)?;
    if header.secret_key {
        return Err(JwtError::SecretKey);
    }
    if header.key_id.is_empty() {
        return Err(JwtError::NoKeyId);
    }
    if header.foreign_type {
        return Err(JwtError::Type);
    }
    let claims = jwt_claims::read(&claims)?;
    let subject = claims.get("sub").and_then(|subject| subject.as_str()).filter(|s| !s.is_empty());
    let subject = subject.ok_or(JwtError::NoSubject)?;
    let expiry = jwt_claims::date(&claims, "exp")?.ok_or(JwtError::NoExpiry)?;
    let id: SpiffeId =
        subject.parse().map_err(|e: spire_types::SpiffeIdError| JwtError::Subject(e.to_string()))?;
    let lookup = keys_of(id.trust_domain()).ok_or_else(|| JwtError::NoKeys(id.trust_domain().clone()))?;
    let key = lookup(&header.key_id).ok_or_else(|| JwtError::UnknownKey {
        kid: header.key_id.clone(),
        trust_domain: id.trust_domain().clone(),
    })?;
    // What must be understood and is not (RFC 7515 section 4.1.11).
    if header.critical {
        return Err(JwtError::Critical);
    }
    // The signature would have to be of other bytes (RFC 7797 section 7).
    if header.unencoded {
        return Err(JwtError::Signature);
    }
    verify(&signed_text(token), signature, scheme, key)?;
    jwt_claims::check_audience(&claims, audience)?;
    jwt_claims::check_times(&claims, expiry, now_unix)?;
    Ok((id, claims))
}

fn verify(
    message: &str,
    signature: Vec<u8>,
    scheme: SignatureScheme,
    key: &PublicKey,
) -> Result<(), JwtError> {
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
const ALGORITHMS: [(&str, SignatureScheme); 9] = [
    ("ES256", SignatureScheme::EcdsaSha256),
    ("ES384", SignatureScheme::EcdsaSha384),
    ("ES512", SignatureScheme::EcdsaSha512),
    ("RS256", SignatureScheme::RsaPkcs1Sha256),
    ("RS384", SignatureScheme::RsaPkcs1Sha384),
    ("RS512", SignatureScheme::RsaPkcs1Sha512),
    ("PS256", SignatureScheme::RsaPssSha256),
    ("PS384", SignatureScheme::RsaPssSha384),
    ("PS512", SignatureScheme::RsaPssSha512),
];

fn scheme_of(algorithm: &str) -> Result<SignatureScheme, JwtError> {
    ALGORITHMS.iter().find(|(name, _)| *name == algorithm).map(|(_, scheme)| *scheme).ok_or_else(|| {
        let expected = quoted_list(&ALGORITHMS.map(|(name, _)| name));
        let found = go_quote(algorithm);
        JwtError::Parse(format!("unexpected signature algorithm {found}; expected {expected}"))
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
    use serde_json::Value;

    use super::*;
    use crate::jose::JwtClaims;
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
        // CA-395 to CA-404, CA-407
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let with = |name: &str, value: Value| {
            let mut claims = good();
            claims[name] = value;
            token(&key, &claims)
        };
        let number = "go-jose/go-jose/jwt: expected number value to unmarshal NumericDate";
        let audience = "go-jose/go-jose/jwt: expected string or array value to unmarshal to Audience";
        for (token, expected) in [
            (with("sub", Value::Null), "token missing subject claim"),
            (with("sub", "".into()), "token missing subject claim"),
            (with("sub", 5.into()), "json: cannot unmarshal number into Go value of type string"),
            (with("iss", Value::Array(vec![])), "json: cannot unmarshal array into Go value of type string"),
            (with("exp", Value::Null), "token missing exp claim"),
            (with("exp", "soon".into()), number),
            (
                with("sub", "http://td/w".into()),
                "token has in invalid subject claim: scheme is missing or invalid",
            ),
            (with("sub", "spiffe://other/w".into()), "no keys found for trust domain \"other\""),
            (with("aud", "you".into()), "expected audience in [\"me\"] (audience=[\"you\"])"),
            (
                with("aud", "a\u{1}b\u{200b}".into()),
                r#"expected audience in ["me"] (audience=["a\x01b\u200b"])"#,
            ),
            (with("aud", Value::Array(vec![])), "expected audience in [\"me\"] (audience=[])"),
            (with("aud", Value::Null), audience),
            (with("aud", 5.into()), audience),
            (with("exp", (NOW - 61).into()), "token has expired"),
            (with("exp", (NOW as f64 - 59.5).into()), "token has expired"),
            (with("exp", 1e19.into()), "token has expired"),
            (with("exp", 1e300.into()), "token has expired"),
            (
                with("nbf", (NOW + 61).into()),
                "go-jose/go-jose/jwt: validation failed, token not valid yet (nbf)",
            ),
            (
                with("iat", (NOW + 61).into()),
                "go-jose/go-jose/jwt: validation field, token issued in the future (iat)",
            ),
        ] {
            assert_eq!(validate(&key, &token).unwrap_err(), expected);
        }
        for (name, value) in [
            ("exp", (NOW - 59).into()),
            ("exp", (NOW as f64 + 0.5).into()),
            ("exp", 9e18.into()),
            ("nbf", (NOW + 60).into()),
            ("nbf", 1e19.into()),
            ("iat", 1e19.into()),
            ("iat", Value::Null),
            ("aud", "me".into()),
        ] {
            assert!(validate(&key, &with(name, value)).is_ok(), "{name}");
        }
    }

    #[test]
    fn headers_are_judged_before_claims_are_read() {
        // CA-395 to CA-399, CA-407, CA-552
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let expected =
            r#"expected ["ES256" "ES384" "ES512" "RS256" "RS384" "RS512" "PS256" "PS384" "PS512"]"#;
        let algorithm =
            |name| format!("unable to parse JWT token: unexpected signature algorithm {name:?}; {expected}");
        let text = |header: &str, claims: &str| {
            format!("{}.{}.AA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
        };
        let three = "unable to parse JWT token: go-jose/go-jose: compact JWS format must have three parts";
        let claims = good().to_string();
        for (token, expected) in [
            ("a.b".to_owned(), three.to_owned()),
            ("{\"payload\":\"\"}".to_owned(), three.to_owned()),
            ("..".to_owned(), algorithm("")),
            (text(r#"{"alg":"none","kid":"kid"}"#, "junk"), algorithm("none")),
            (text(r#"{"alg":"HS256","kid":"kid"}"#, "{}"), algorithm("HS256")),
            (text(r#"{"alg":"EdDSA","kid":"kid"}"#, "{}"), algorithm("EdDSA")),
            (text(r#"{"alg":"ES256"}"#, "junk"), "token header missing key id".to_owned()),
            (
                text(r#"{"alg":"ES256","kid":"kid","typ":"wit+jwt"}"#, &claims),
                "token header type not equal to either JWT or JOSE".to_owned(),
            ),
            (
                text(r#"{"alg":"ES256","kid":"kid"}"#, "junk"),
                "invalid character 'j' looking for beginning of value".to_owned(),
            ),
            (text(r#"{"alg":"ES256","kid":"kid"}"#, "null"), "token missing subject claim".to_owned()),
            (
                text(r#"{"alg":"ES256","kid":"kid"}"#, "[]"),
                "json: cannot unmarshal array into Go value of type jwt.Claims".to_owned(),
            ),
            (text("null", &claims), algorithm("")),
            ("e.e.e".to_owned(), "unable to parse JWT token: illegal base64 data at input byte 0".to_owned()),
            (
                text(r#"{"alg":"ES256","kid":"q\"u\\o"}"#, &claims),
                r#"public key "q\"u\\o" not found in trust domain "td""#.to_owned(),
            ),
            (
                text(r#"{"alg":"ES256","kid":"kid","crit":["x"]}"#, &claims),
                "go-jose/go-jose: unsupported critical header".to_owned(),
            ),
            (
                text(r#"{"alg":"RS256","kid":"kid","typ":"JOSE"}"#, &claims),
                "go-jose/go-jose: error in cryptographic primitive".to_owned(),
            ),
        ] {
            assert_eq!(validate(&key, &token).unwrap_err(), expected);
        }
    }

    /// Header and claims as they are written here.
    fn signed(key: &PrivateKey, header: &str, claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let text = format!("{}.{}", part(header), part(claims));
        let signature = key.sign(SignatureScheme::EcdsaSha256, text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(fixed_signature(&signature, 32).unwrap()))
    }

    #[test]
    fn tokens_that_two_readers_could_read_differently_are_refused() {
        // Security: a workload of SPIRE's refuses them, whoever signed them.
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let header = r#"{"alg":"ES256","kid":"kid"}"#;
        let claims = good().to_string();
        assert!(validate(&key, &signed(&key, header, &claims)).is_ok());
        for (header, claims, expected) in [
            (
                header,
                claims.replacen('{', r#"{"sub":"spiffe://td/admin","#, 1),
                "json: duplicate key 'sub' in object",
            ),
            (
                header,
                claims.replacen('{', r#"{"x":[{"y":1,"y":2}],"#, 1),
                "json: duplicate key 'y' in object",
            ),
            (
                r#"{"alg":"ES256","kid":"kid","kid":"kid"}"#,
                claims.clone(),
                "unable to parse JWT token: json: duplicate key 'kid' in object",
            ),
            (
                r#"{"alg":"ES256","kid":"kid","b64":false}"#,
                claims.clone(),
                "go-jose/go-jose: error in cryptographic primitive",
            ),
            (
                r#"{"alg":"ES256","kid":"kid","jwk":{"kty":"oct","k":"AA"}}"#,
                claims.clone(),
                "unable to parse JWT token: go-jose/go-jose: invalid embedded jwk, must be public key",
            ),
        ] {
            assert_eq!(validate(&key, &signed(&key, header, &claims)).unwrap_err(), expected);
        }
    }

    #[test]
    fn line_breaks_in_a_token_count_for_nothing() {
        // Tokens come out of files, with a line break at their end.
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let token = token(&key, &good());
        let broken = token.replace('.', "\n.\r\n");
        for token in [format!("{token}\n"), format!("\r\n{token}\r\n"), broken] {
            assert!(validate(&key, &token).is_ok(), "{token:?}");
        }
        for (token, at) in
            [(format!("{token} "), 86), (format!("{token}=="), 86), (format!("{token}\n!"), 87)]
        {
            let expected = format!("unable to parse JWT token: illegal base64 data at input byte {at}");
            assert_eq!(validate(&key, &token).unwrap_err(), expected);
        }
    }

    #[test]
    fn the_signature_counts_before_the_time() {
        // CA-407
        let (key, other) =
            (PrivateKey::generate(KeyType::EcP256).unwrap(), PrivateKey::generate(KeyType::EcP256).unwrap());
        let mut claims = good();
        claims["exp"] = 1.into();
        assert_eq!(
            validate(&other, &token(&key, &claims)).unwrap_err(),
            "go-jose/go-jose: error in cryptographic primitive"
        );
    }

    #[test]
    fn another_key_does_not_validate() {
        let (key, other) =
            (PrivateKey::generate(KeyType::EcP256).unwrap(), PrivateKey::generate(KeyType::EcP256).unwrap());
        assert!(validate(&other, &token(&key, &good())).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_validator_panic(header: String, claims: String, signature: Vec<u8>) {
            let key = PrivateKey::generate(KeyType::EcP256).unwrap();
            let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            for header in [&header[..], r#"{"alg":"ES256","kid":"kid"}"#] {
                for claims in [claims.clone(), good().to_string()] {
                    let token =
                        format!("{}.{}.{}", part(header.as_bytes()), part(claims.as_bytes()), part(&signature));
                    let _ = peek_key_id(&token);
                    let _ = validate(&key, &token);
                }
            }
        }
    }
}
